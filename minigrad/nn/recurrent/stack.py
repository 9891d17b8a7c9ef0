"""What all recurrent layers share: several layers, both directions, batches and their lengths.

What one layer does over a sequence is left to the subclass: the fused RNN, LSTM and GRU
(`layers.py`), or a cell of your own, run step by step (`own_cell.py`).

Next: `layers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.arrays.library import ArrayLike
from minigrad.nn.checking import (
    as_input,
    check_flag,
    check_floats,
    check_lengths,
    check_rng,
    check_share,
    check_sizes,
    checked_state,
)
from minigrad.nn.module import Module
from minigrad.nn.recurrent.equations import State
from minigrad.nn.recurrent.steps import Packing
from minigrad.tensor import Tensor


class Layers(Module):
    """Recurrent layers on top of each other, in one direction or both.

    A subclass says in `_over_sequence` what one layer does in one direction, in `_state` what the
    parts of a state are called, and in `_state_sizes` how long each is.
    """

    _state: tuple[str, ...] = ("h_0",)
    _state_sizes: tuple[int, ...]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        rng: np.random.Generator | None,
    ) -> None:
        self.input_size, self.hidden_size, self.num_layers = check_sizes(
            self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        self.batch_first = check_flag(self, batch_first=batch_first)
        self.dropout = check_share(self, dropout=dropout)
        self.bidirectional = check_flag(self, bidirectional=bidirectional)
        self.rng = check_rng(self, rng)
        self._names = [
            f"_l{layer}{direction}"
            for layer in range(self.num_layers)
            for direction in (("", "_reverse") if self.bidirectional else ("",))
        ]

    def _input_size(self, name: str) -> int:
        """The length of the input of the layer whose parameters' names end in `name`."""
        first = name in ("_l0", "_l0_reverse")
        return self.input_size if first else self.hidden_size * (1 + self.bidirectional)

    def _over_sequence(
        self, name: str, x: Any, state: State, sizes: Sequence[int] | None, reverse: bool
    ) -> Any:
        """The output and the parts of the last state of the layer whose names end in `name`.

        `equations.py` tells the layout of `x`.
        """
        raise NotImplementedError

    def forward(
        self, x: ArrayLike, state: Any = None, lengths: ArrayLike = None
    ) -> tuple[Tensor, Any]:
        """Runs over a sequence; D is 2 for a bidirectional layer, else 1.

        Parameters
        ----------
        x
            shape (T, N, input_size), with `batch_first` (N, T, input_size). One sequence without a
            batch is (T, input_size); output and states then have no N either.
        state
            h_0 of shape (num_layers * D, N, hidden_size), layer by layer, in each layer the forward
            direction first. An LSTM has a pair (h_0, c_0), `Recurrent` what its cells need. None:
            zeros.
        lengths
            the number of time steps of each sequence: N integers from 0 to T in any order, on the
            host (an integer for one sequence without a batch). What comes after is padding, which
            changes nothing and is not computed. None: all have T.

        Returns
        -------
        output, state
            the last layer's h at each time step, of shape (T, N, D * hidden_size), with
            `batch_first` (N, T, ...), and 0 where there is padding; and each sequence's state after
            its own last step, of the shape of `state`.

        Raises
        ------
        TypeError, ValueError
            if `x`, `state` or `lengths` is something else, or T is 0.
        """
        x = self._checked_input(x)
        shape, batched = x.shape, x.ndim == 3
        time_second = batched and self.batch_first
        T, N = shape[time_second], shape[not time_second] if batched else 1
        if T == 0:
            raise ValueError(
                f"{type(self).__name__}: x has shape {shape}; the sequence needs at least one "
                "time step"
            )
        start = (len(self._names), N) if batched else (len(self._names),)
        shapes = [(*start, size) for size in self._state_sizes]
        parts = checked_state(self, self._like(x), state, self._state, shapes)
        packing = self._packing(x, lengths, T, N)
        if time_second:
            x = ops.swapaxes(x, 0, 1)
        elif not batched:
            x = ops.expand_dims(x, 1)
            parts = tuple(ops.expand_dims(part, 1) for part in parts)
        x = x if packing is None else packing.pack(x)
        x, parts = self._run(x, parts, packing)
        x = x if packing is None else packing.unpack(x, T)
        if time_second:
            x = ops.swapaxes(x, 0, 1)
        elif not batched:
            x = ops.squeeze(x, 1)
            parts = tuple(ops.squeeze(part, 1) for part in parts)
        return x, parts if len(parts) > 1 else parts[0]

    def _checked_input(self, x: ArrayLike) -> Any:
        """`x`, after a check of its dtype and shape; its last axis is the features."""
        x = check_floats(self, as_input(self, x))
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            batch = "N, T" if self.batch_first else "T, N"
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, expected ({batch}, "
                f"{self.input_size}), or (T, {self.input_size}) for one sequence"
            )
        return x

    def _like(self, x: Any) -> Any:
        """Something that has the dtype and device of a first state."""
        return x

    def _packing(self, x: Any, lengths: ArrayLike, T: int, N: int) -> Packing | None:
        """How to leave out the padding; None if there is none."""
        if lengths is None:
            return None
        shape = (N,) if x.ndim == 3 else ()
        given = check_lengths(self, lengths, shape, T).reshape(N)
        return None if (given == T).all() else Packing(given, x)

    def _run(self, x: Any, state: State, packing: Packing | None) -> tuple[Any, State]:
        """All layers, with `x` of shape (T, N, input) or packed, and a batch in each state."""
        sizes = None if packing is None else packing.sizes
        finals: list[State] = []
        outputs: list[Any] = []
        for k, name in enumerate(self._names):
            start = tuple([part[k] for part in state])
            if packing is not None:
                start = tuple(map(packing.sorted, start))
            reverse = name.endswith("_reverse")
            output, *final = self._over_sequence(name, x, start, sizes, reverse)
            outputs.append(output)
            finals.append(tuple(final if packing is None else map(packing.restored, final)))
            if reverse or not self.bidirectional:  # the layer is complete
                x = ops.concatenate(outputs, axis=-1) if len(outputs) > 1 else output
                outputs = []
                if k + 1 < len(self._names):
                    x = ops.dropout(x, self.dropout, self.training, self.rng)
        if len(finals) == 1:
            return x, tuple([ops.expand_dims(part, 0) for part in finals[0]])
        return x, tuple([ops.stack(parts) for parts in zip(*finals, strict=True)])

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the default."""
        defaults = {"num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False}
        defaults |= {"dropout": 0.0, "bidirectional": False, "unroll": False}
        defaults |= {"one_hot": False, "weight_dropout": 0.0}
        others = [
            f"{name}={vars(self)[name]!r}"
            for name, default in defaults.items()
            if vars(self).get(name, default) != default
        ]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *others])
