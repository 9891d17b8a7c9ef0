"""A recurrent layer from a cell of your own, which says what happens at one time step.

::

    class MyCell(nn.Module):
        def __init__(self, input_size, hidden_size): ...

        def forward(self, x, state): ...        # returns (output, state)

    layer = nn.Recurrent(MyCell, input_size, hidden_size, num_layers=2, bidirectional=True)
    output, state = layer(x, lengths=lengths)

Several layers, both directions and sequences of different lengths come from `Layers` (`stack.py`),
the loop over the time steps from `unrolled` (`equations.py`). See docs/cells.md.

Next: `steps.py`, where the way of the fused ops begins.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.random import drawing_from
from minigrad.errors.values import told
from minigrad.nn.checking import check_sizes
from minigrad.nn.module import Module
from minigrad.nn.recurrent.cells import GRUCell, LSTMCell, RNNCell
from minigrad.nn.recurrent.equations import State, unrolled
from minigrad.nn.recurrent.stack import Layers
from minigrad.tensor import Tensor

_LAYERS: dict[Any, str] = {RNNCell.forward: "RNN", LSTMCell.forward: "LSTM", GRUCell.forward: "GRU"}
"""The layers for minigrad's own cells, which do not return (output, state)."""


class Recurrent(Layers):
    """A cell of your own over a sequence.

    Parameters
    ----------
    cell
        a Module class, or any function, that makes a cell from (input_size, hidden_size), or if it
        takes an ``rng`` from (input_size, hidden_size, rng=rng). It is called once for each layer
        and direction; if it returns the same cell each time, they share its parameters.
        `functools.partial` gives it further arguments.
    input_size, hidden_size
        lengths of x and of the cell's output at each time step.
    num_layers, batch_first, dropout, bidirectional
        as in `LSTM`.
    rng
        the generator of the dropout between the layers, and of all that the cells draw without a
        generator of their own, when they are made and when they are called (by `minigrad.nn.init`,
        `Linear`, `Dropout` and the like; not by NumPy). None: minigrad's own.

    Attributes
    ----------
    cell_l0
        the cell of layer 0, so its parameter W is named ``"cell_l0.W"``. The names of the next
        layers end in ``_l1`` and so on, and their input is D * hidden_size long, where D is the
        number of directions. The names of the other direction end in ``_reverse`` after that.

    Raises
    ------
    TypeError, ValueError
        if `cell` makes no cells, or minigrad's own (for those there are RNN, LSTM and GRU); if
        their `state_sizes` are no sizes, or differ; for wrong sizes, or a dropout that is not from
        0 to 1. In a call also if a cell returns something else than it should.

    Notes
    -----
    The layer calls ``output, state = cell(x, state)`` for the n sequences that run at a time step,
    with Tensors: x (n, input_size), the state (n, hidden_size), the output (n, hidden_size). A cell
    with another state has an attribute `state_sizes`, a tuple with the length of each part. If
    there are several parts, the cell takes and returns a tuple of Tensors (n, size), and the
    layer's state is a tuple too, with parts of shape (num_layers * D, N, size).
    """

    def __init__(
        self,
        cell: Callable[..., Module],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, rng
        )
        if isinstance(cell, Module) or not callable(cell):
            raise TypeError(
                f"{type(self).__name__}: cell must be a class or function that makes cells from "
                f"(input_size, hidden_size), not a {type(cell).__name__}"
            )
        options = {"rng": self.rng} if _takes_rng(cell) else {}
        for name in self._names:
            with drawing_from(self.rng):
                made = cell(self._input_size(name), self.hidden_size, **options)
            sizes = self._checked_cell(made)
            if name == "_l0":
                self._state_sizes = sizes
            elif sizes != self._state_sizes:
                raise ValueError(
                    f"{type(self).__name__}: cell{name} has state_sizes {sizes}, but cell_l0 "
                    f"{self._state_sizes}; they must be the same in all layers and directions"
                )
            setattr(self, f"cell{name}", made)
        if len(self._state_sizes) > 1:
            self._state = tuple(f"state[{k}]" for k in range(len(self._state_sizes)))

    def _checked_cell(self, cell: Any) -> tuple[int, ...]:
        """The sizes of a cell's state; a TypeError or ValueError if it is no cell."""
        name = type(self).__name__
        if not isinstance(cell, Module):
            raise TypeError(
                f"{name}: cell must make an nn.Module, not a {type(cell).__name__}: {told(cell)}"
            )
        if isinstance(cell, Layers):
            raise TypeError(
                f"{name}: {type(cell).__name__} runs over whole sequences: it is a layer, "
                "not a cell"
            )
        layer = _LAYERS.get(getattr(type(cell), "forward", None))
        if layer is not None:
            raise TypeError(
                f"{name}: {type(cell).__name__} does not return (output, state); use nn.{layer}, "
                "which runs it over a sequence"
            )
        sizes = getattr(cell, "state_sizes", (self.hidden_size,))
        if not isinstance(sizes, tuple | list) or not sizes:
            raise TypeError(
                f"{type(cell).__name__}: state_sizes must be a tuple with the size of each part of "
                f"the state, not {told(sizes)}"
            )
        named = {f"state_sizes[{k}]": size for k, size in enumerate(sizes)}
        return tuple(check_sizes(cell, **named))

    def _over_sequence(
        self, name: str, x: Any, state: State, sizes: Sequence[int] | None, reverse: bool
    ) -> Any:
        cell = getattr(self, f"cell{name}")

        def step(x: Any, state: State) -> tuple[Any, State]:
            returned = cell(x, state if len(state) > 1 else state[0])
            return self._checked_step(name, returned, x.shape[0])

        with drawing_from(self.rng):
            return unrolled(step, _tensor(x), tuple(map(_tensor, state)), sizes, reverse)

    def _checked_step(self, name: str, returned: Any, n: int) -> tuple[Tensor, State]:
        """The output and the parts of the state that a cell has returned for n sequences.

        If it has returned something else, a TypeError or ValueError.
        """
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise TypeError(
                f"{self._cell_told(name)} must return (output, state), not {told(returned)}"
            )
        output, state = returned
        sizes, is_tuple = self._state_sizes, isinstance(state, tuple | list)
        if len(sizes) == 1 and is_tuple:
            raise TypeError(
                f"{self._cell_told(name)} must return one Tensor as its state, not {told(state)}; "
                "if a cell's state has several parts, their sizes are in its attribute state_sizes"
            )
        if len(sizes) > 1 and (not is_tuple or len(state) != len(sizes)):
            raise TypeError(
                f"{self._cell_told(name)} must return a tuple of {len(sizes)} Tensors as its "
                f"state, of the sizes in its state_sizes {sizes}, not {told(state)}"
            )
        parts = tuple(state) if is_tuple else (state,)
        names = ("output", *(self._state if is_tuple else ("state",)))
        lengths = (self.hidden_size, *sizes)
        for what, part, size in zip(names, (output, *parts), lengths, strict=True):
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{self._cell_told(name)} must return a Tensor as its {what}, not a "
                    f"{type(part).__name__}: {told(part)}"
                )
            if part.shape != (n, size):
                raise ValueError(
                    f"{self._cell_told(name)} returned a Tensor of shape {part.shape} as its "
                    f"{what}, expected {(n, size)}"
                )
        return output, parts

    def _cell_told(self, name: str) -> str:
        return f"{type(self).__name__}: cell{name} ({type(getattr(self, f'cell{name}')).__name__})"


def _takes_rng(cell: Callable[..., Any]) -> bool:
    """Whether `cell` has an argument `rng` for which it has been given nothing yet."""
    try:
        rng = inspect.signature(cell).parameters.get("rng")
    except (TypeError, ValueError):  # a callable written in C may not say
        return False
    return rng is not None and (rng.default is None or rng.default is rng.empty)


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)
