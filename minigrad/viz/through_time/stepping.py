"""A model run one time step at a time, with the states of its recurrent layers in view.

A model is called as ``logits, state = model(ids, state)``, and goes on where it stopped when it is
called with that state. So it can be run step by step, whatever is in it. What is asked for beyond
that is the state of each recurrent layer as it is on the tape: the tensor that goes up to the
output as well as on to the next time step. The layers of `minigrad.nn` are asked for it here. In a
model that has none of them, the state that it returns is taken.

Next: `measuring.py`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.autograd.modes import no_grad
from minigrad.errors.values import told
from minigrad.nn.module import Module
from minigrad.nn.recurrent.cells import GRUCell, LSTMCell, RNNCell
from minigrad.nn.recurrent.layers import GRU, LSTM, RNN
from minigrad.nn.recurrent.stack import Layers
from minigrad.tensor import Tensor

CALLER = "gradient_through_time"

Arrays = list[NDArray[np.float64]]

GATES = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}
"""The gates whose W_h lie below each other in weight_hh; the RNN has one W_hh."""

LAYERS = (RNN, LSTM, GRU)
CELLS = (RNNCell, LSTMCell, GRUCell)


class Layer(NamedTuple):
    """A recurrent layer at one time step."""

    name: str
    """Where it is in the model, as ``"recurrent.0"``."""

    kind: str
    """Its class, as ``"LSTM"``."""

    gates: str
    """The letters of `GATES`; empty for a cell of one's own."""

    weights: Mapping[str, Tensor]
    """W_hh by its name in the model; of a cell of one's own all its parameters."""

    state: tuple[Tensor, ...]
    """The parts of its state after the step, each of shape (N, H): h, or of an LSTM h and c."""

    @property
    def parts(self) -> list[str]:
        """What the parts of its state are called."""
        if len(self.state) == 1:
            return ["h"]
        if self.gates == GATES["LSTM"]:
            return ["h", "c"]
        return [f"state[{k}]" for k in range(len(self.state))]


class Step(NamedTuple):
    """What a time step gives."""

    logits: Tensor
    """Shape (N, V)."""

    state: list[Tensor]
    """The parts of the model's state after it, each of shape (..., N, size)."""

    layers: list[Layer]


class Stepped:
    """A copy of a model in float64, in evaluation mode, that is run one time step at a time.

    The measurements are made on a copy, so nothing of the model changes. In float64 gradients can
    vanish to 1e-300 before they are 0.

    Parameters
    ----------
    model
        an nn.Module; see `minigrad.viz.gradient_through_time`.

    Raises
    ------
    TypeError, ValueError
        if it is no Module, has a bidirectional layer, or parameters that are not finite.
    """

    def __init__(self, model: Any) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"{CALLER}: model must be an nn.Module, not {told(model)}")
        self.name = type(model).__name__
        try:
            inspect.signature(model.forward).bind("ids", "state")
        except TypeError as error:
            raise TypeError(
                f"{CALLER}: {self.name} is called as logits, state = model(ids, state), and its "
                f"forward does not take these two: {error}"
            ) from None
        self.learnt = [name for name, p in model.named_parameters() if p.requires_grad]
        self.model = copy.deepcopy(model).requires_grad_().to(dtype=np.float64).eval()
        self.parameters = dict(self.model.named_parameters())
        if not self.parameters:
            raise ValueError(f"{CALLER}: {self.name} has no parameters")
        for name, parameter in self.parameters.items():
            if not np.isfinite(parameter.numpy()).all():
                raise ValueError(f"{CALLER}: {self.name}: {name} has values that are not finite")
        self.device = parameter.device
        self._form: Any = None
        self._seen: list[Layer] = []
        for name, module in self.model.named_modules():
            if isinstance(module, Layers) and module.bidirectional:
                raise ValueError(
                    f"{CALLER}: {self.name}: {name or 'it'} is bidirectional; there a loss depends "
                    "on states of later time steps too, and the steps cannot be run one by one"
                )

    @cached_property
    def vocab_size(self) -> int:
        """The number of logits at each time step."""
        with no_grad():
            return int(self.whole(np.zeros(1, np.int64)).shape[-1])

    def whole(self, ids: NDArray[np.int64]) -> Tensor:
        """The logits (T, V) of `ids` (T,) in one call, as in training."""
        logits, _ = self._called(ids[:, None], None)
        return logits[:, 0]

    def watch_layers(self) -> None:
        """From now on each step tells the states of the recurrent layers."""
        inside: set[int] = set()
        for name, module in self.model.named_modules():
            if id(module) in inside:  # a part of a cell of one's own
                continue
            if isinstance(module, Layers):
                inside |= {id(below) for below in module.modules()}
                if isinstance(module, LAYERS):
                    module.unroll = True  # then a state is a tensor with a place on the tape
                vars(module)["_over_sequence"] = self._watched_layer(name, module)
            elif isinstance(module, CELLS):
                vars(module)["forward"] = self._watched_cell(name, module)

    def step(self, ids: NDArray[np.int64], state: list[Tensor] | None) -> Step:
        """One time step of N texts side by side.

        Parameters
        ----------
        ids
            shape (N,).
        state
            as an earlier step gave it, or tensors of its shapes; None: the texts begin.
        """
        self._seen = []
        given = None if state is None else _formed(self._form, iter(state))
        logits, after = self._called(ids[None], given)
        flat = _flat(after)
        if not flat:
            raise TypeError(
                f"{CALLER}: {self.name} gave {told(after)} as its state; expected a Tensor, or a "
                "tuple or list of them"
            )
        for part in flat:
            if part.dtype.kind != "f":
                raise TypeError(
                    f"{CALLER}: {self.name} gave a state of {part.dtype}, which has no gradient"
                )
            if part.ndim < 2 or part.shape[-2] != len(ids):
                raise ValueError(
                    f"{CALLER}: {self.name} gave a state of shape {part.shape} for {len(ids)} texts"
                    f" side by side; expected (..., {len(ids)}, size)"
                )
        self._form = after
        layers = self._seen or [Layer("state", self.name, "", self.parameters, tuple(flat))]
        return Step(logits[0], flat, layers)

    def _called(self, ids: NDArray[np.int64], state: Any) -> tuple[Tensor, Any]:
        """The model on `ids` (T, N)."""
        result = self.model(ids if self.device == "cpu" else Tensor(ids, device=self.device), state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{CALLER}: {self.name} must give a pair (logits, state), not {told(result)}"
            )
        logits = result[0]
        if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != ids.shape:
            raise TypeError(
                f"{CALLER}: {self.name} gave {told(logits)} as the logits of ids of shape "
                f"{ids.shape} (time, texts); expected a Tensor of shape ({ids.shape[0]}, "
                f"{ids.shape[1]}, V)"
            )
        return result

    # ------------------------------------------------------------------ how layers are watched

    def _watched_layer(self, name: str, layer: Layers) -> Callable[..., Any]:
        run = layer._over_sequence

        def over_sequence(end: str, *args: Any) -> Any:
            output, *state = run(end, *args)
            if isinstance(layer, LAYERS):
                kind = kind_of(layer)
                gates, weights = GATES[kind], [vars(layer)[f"weight_hh{end}"]]
            else:
                cell = vars(layer)[f"cell{end}"]
                kind, gates, weights = type(cell).__name__, "", cell.parameters()
            number = f" {end[1:]}" if layer.num_layers > 1 else ""
            self._note(f"{name}{number}", kind, gates, weights, tuple(state))
            return (output, *state)

        return over_sequence

    def _watched_cell(self, name: str, cell: RNNCell | LSTMCell | GRUCell) -> Callable[..., Any]:
        run, kind = cell.forward, kind_of(cell)

        def forward(*args: Any, **options: Any) -> Any:
            state = run(*args, **options)
            parts = state if isinstance(state, tuple) else (state,)
            self._note(name, kind, GATES[kind[:-4]], [vars(cell)["weight_hh"]], parts)
            return state

        return forward

    def _note(
        self, name: str, kind: str, gates: str, weights: list[Any], state: tuple[Tensor, ...]
    ) -> None:
        name = name.strip() or kind
        again = sum(layer.name.split(" #")[0] == name for layer in self._seen)
        name = f"{name} #{again + 1}" if again else name  # one cell used twice in a time step
        named = {key: w for key, w in self.parameters.items() if any(w is own for own in weights)}
        self._seen.append(Layer(name, kind, gates, named, state))


def kind_of(module: Module) -> str:
    """Its class; of a subclass of one of minigrad's recurrent layers and cells the name of that."""
    own = (kind for kind in (*LAYERS, *CELLS) if isinstance(module, kind))
    return next(own, type(module)).__name__


def _flat(state: Any) -> list[Tensor]:
    """The Tensors in nested tuples and lists."""
    if isinstance(state, Tensor):
        return [state]
    return [t for part in state for t in _flat(part)] if isinstance(state, tuple | list) else []


def _formed(form: Any, parts: Any) -> Any:
    """`parts` in the form of the state `form`."""
    if isinstance(form, Tensor):
        return next(parts)
    if isinstance(form, tuple) and hasattr(form, "_fields"):
        return type(form)(*[_formed(each, parts) for each in form])
    if isinstance(form, tuple | list):
        return type(form)([_formed(each, parts) for each in form])
    return form
