"""A model reads a text: the state of its recurrent layers after each token, and what it expects.

`nn.RNN`, `nn.LSTM`, `nn.GRU` and `nn.Recurrent` run over the text one time step at a time, so that
the whole state after each step is seen: of an LSTM also c, which a layer gives at its end alone.
`nn.RNNCell`, `nn.LSTMCell` and `nn.GRUCell`, which a model calls in a loop of its own, tell what
they return. Of a model that has none of them, the state that it returns after each token is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data import BytePairVocabulary, ByteVocabulary, TextDecoder, Tokenizer
from minigrad.data.checks import check_is_str, positive_int
from minigrad.errors.values import told
from minigrad.nn import GRUCell, LSTMCell, Module, Recurrent, RNNCell
from minigrad.nn.recurrent.stack import Layers
from minigrad.ops import concatenate
from minigrad.tensor import Tensor
from minigrad.training import evaluating
from minigrad.viz.neurons.predictions import Predictions, joined, predictions_of

CALLER = "watch_neurons"
CELLS = (RNNCell, LSTMCell, GRUCell)

Array = NDArray[Any]
Notes = dict[str, list[Array]]
"""By the name of a part of the state ("layer 1 h"), the vector after each time step."""


class Reading(NamedTuple):
    """What a model did while it read a text of T tokens."""

    tokens: list[str]
    """The tokens as text."""

    activations: dict[str, Array]
    """Each part of the state, such as "layer 1 h", of shape (T, H)."""

    predictions: Predictions


def read(model: Module, text: str, tokenizer: Tokenizer, window: int) -> Reading:
    """Runs `model` over `text` in windows of so many tokens, with the state carried on.

    It is in eval mode, and nothing is recorded; afterwards the model is as it was before. See
    `minigrad.viz.watch_neurons`, also for what is raised.
    """
    if not isinstance(model, Module):
        raise TypeError(f"{CALLER}: model must be an nn.Module, not {told(model)}")
    check_is_str(text, CALLER)
    if not hasattr(tokenizer, "encode"):
        raise TypeError(
            f"{CALLER}: tokenizer must have encode(), as data.Vocabulary.from_text(text) has, "
            f"not {told(tokenizer)}"
        )
    window = positive_int(window, f"{CALLER}: window")
    ids = tokenizer.encode(text)
    if not len(ids):
        raise ValueError(f"{CALLER}: the text has no tokens")
    layers = [module for module in model.modules() if isinstance(module, Layers)]
    has_known = bool(layers) or any(isinstance(module, CELLS) for module in model.modules())
    with_state = _takes_state(model)
    if not with_state or any(layer.bidirectional for layer in layers):
        window = len(ids)  # nothing can be carried from one window to the next
    if not has_known:
        window = 1  # so that each state is seen
    names = pieces(tokenizer)
    expected: list[Predictions] = []
    with evaluating(model), _noting(model) as notes:
        state = None
        for start in range(0, len(ids), window):
            seen = _input(ids[start : start + window], model, layers)
            returned = model(seen, state) if with_state else model(seen)
            outputs, state = returned if isinstance(returned, tuple) else (returned, None)
            if not has_known:
                _note_state(state, notes, model)
            logits = _logits(outputs, min(window, len(ids) - start), len(tokenizer), model)
            targets = ids[start + 1 : start + 1 + window]
            expected.append(predictions_of(logits, targets, names))
            if state is None and start + window < len(ids):
                raise TypeError(
                    f"{CALLER}: {type(model).__name__} takes a state, but returned none: it must "
                    f"return (logits, state), not {told(returned)}"
                )
    activations = {name: np.stack(rows) for name, rows in sorted(notes.items(), key=_number)}
    for name, rows in activations.items():
        if len(rows) != len(ids):
            raise ValueError(
                f"{CALLER}: {type(model).__name__} ran {name!r} for {len(rows)} time steps, but "
                f"the text has {len(ids)} tokens"
            )
    return Reading(_as_text(text, ids, tokenizer), activations, joined(expected))


def pieces(tokenizer: Tokenizer) -> list[str]:
    r"""Each token of the vocabulary as text; bytes that are no letter as in ``\xec``."""
    if isinstance(tokenizer, ByteVocabulary | BytePairVocabulary):
        return [piece.decode("utf-8", "backslashreplace") for piece in tokenizer.token_bytes]
    return [tokenizer.decode([id]) for id in range(len(tokenizer))]


def _as_text(text: str, ids: Array, tokenizer: Tokenizer) -> list[str]:
    """What each token adds to the text; an unknown character is shown as it was written."""
    if tokenizer.level == "char":
        return list(text)
    decoder = TextDecoder(tokenizer)
    return [decoder.push(int(id)) for id in ids]


# ------------------------------------------------------------------ how the model is called


def _takes_state(model: Module) -> bool:
    """Whether the model is called as model(ids, state), and not as model(ids)."""
    try:
        inspect.signature(model.forward).bind(None, None)
    except TypeError:
        return False
    return True


def _input(ids: Array, model: Module, layers: list[Layers]) -> Any:
    """The ids as a batch of one text, on the device of the model."""
    batch = ids[None] if any(layer.batch_first for layer in layers) else ids[:, None]
    parameters = model.parameters()
    if parameters and parameters[0].device != "cpu":
        return Tensor(batch, device=parameters[0].device)
    return batch


def _logits(outputs: Any, T: int, vocab_size: int, model: Module) -> Array:
    """The logits of T tokens, of shape (T, vocab_size)."""
    if not isinstance(outputs, Tensor) or outputs.size != T * vocab_size:
        shape = f"shape {outputs.shape}" if isinstance(outputs, Tensor) else told(outputs)
        raise ValueError(
            f"{CALLER}: {type(model).__name__} must give the logits of each next token, of shape "
            f"({T}, 1, {vocab_size}), got {shape}"
        )
    return outputs.numpy().reshape(T, vocab_size)


# ------------------------------------------------------------------ noting the states


@contextmanager
def _noting(model: Module) -> Iterator[Notes]:
    """Within it, the recurrent layers and cells of `model` note their state after each step."""
    notes: Notes = {}
    number = 1
    inside: tuple[str, ...] = ()
    with ExitStack() as undo:
        for path, module in model.named_modules():
            if inside and path.startswith(inside):
                continue  # a cell of a layer that is noted
            if isinstance(module, Layers):
                run = _step_by_step(module, number, notes)
                number += module.num_layers
                inside = (*inside, f"{path}.")
            elif isinstance(module, CELLS):
                run = _noted(module, number, notes)
                number += 1
            else:
                continue
            undo.callback(vars(module).update, _own_forward(module))
            undo.callback(vars(module).pop, "forward")
            vars(module)["forward"] = run
        yield notes


def _own_forward(module: Module) -> dict[str, Any]:
    """A `forward` that someone has put into this one object; most have none."""
    return {name: value for name, value in vars(module).items() if name == "forward"}


def _step_by_step(layer: Layers, number: int, notes: Notes) -> Callable[..., Any]:
    """The forward of `layer`, one time step at a time; its first layer has the `number`."""
    forward = layer.forward

    def run(x: Any, state: Any = None, lengths: Any = None) -> Any:
        if layer.bidirectional or lengths is not None:  # it needs the whole sequence at once
            output, state = forward(x, state, lengths)
            name = f"layer {number + layer.num_layers - 1} h"
            rows = output.numpy().reshape(-1, output.shape[-1])
            if not layer.bidirectional:
                notes.setdefault(name, []).extend(rows)
            else:
                for way, half in zip(("forward", "backward"), np.split(rows, 2, -1), strict=True):
                    notes.setdefault(f"{name} {way}", []).extend(half)
            return output, state
        axis = int(layer.batch_first)
        outputs = []
        for t in range(x.shape[axis]):
            output, state = forward(x[:, t : t + 1] if axis else x[t : t + 1], state)
            outputs.append(output)
            parts = state if isinstance(state, tuple) else (state,)
            for name, part in zip(_names(layer, len(parts)), parts, strict=True):
                for k, row in enumerate(part.numpy()):
                    notes.setdefault(f"layer {number + k} {name}", []).append(row.reshape(-1))
        return concatenate(outputs, axis), state

    return run


def _names(layer: Layers, parts: int) -> list[str]:
    """What the parts of the state of `layer` are called."""
    if isinstance(layer, Recurrent):
        return ["state"] if parts == 1 else [f"state {k + 1}" for k in range(parts)]
    return ["h", "c"][:parts]


def _noted(cell: Module, number: int, notes: Notes) -> Callable[..., Any]:
    """The forward of a cell, which is called for each time step."""
    forward = cell.forward

    def run(x: Any, state: Any = None) -> Any:
        returned = forward(x, state)
        parts = returned if isinstance(returned, tuple) else (returned,)
        for name, part in zip("hc", parts, strict=False):
            notes.setdefault(f"layer {number} {name}", []).append(part.numpy().reshape(-1))
        return returned

    return run


def _note_state(state: Any, notes: Notes, model: Module) -> None:
    """The Tensors of the state that a model has returned after one time step."""
    parts = list(_tensors(state))
    if not parts:
        raise TypeError(
            f"{CALLER}: {type(model).__name__} has no nn.RNN, LSTM, GRU, Recurrent or cell in it, "
            "and returns no state. Let it return (logits, state), or pass what you computed "
            "yourself to viz.Neurons(tokens, activations)"
        )
    for k, part in enumerate(parts):
        name = "state" if len(parts) == 1 else f"state {k + 1}"
        notes.setdefault(name, []).append(part.numpy().reshape(-1))


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, tuple | list):
        for part in state:
            yield from _tensors(part)


def _number(named: tuple[str, Any]) -> int:
    """The number of the layer; its parts stay in their order."""
    words = named[0].split()
    return int(words[1]) if words[0] == "layer" else 0
