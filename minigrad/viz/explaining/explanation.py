"""`explain`: why a gradient is None, zero, small, huge or NaN, from the tape.

It says what is known. Within ``with viz.watch():`` more is known: the line that cut the tape off,
what was computed under `no_grad`, what clipping and the optimisers did.
"""

from __future__ import annotations

from typing import Any

from minigrad.autograd.modes import modes
from minigrad.autograd.node import TapeError
from minigrad.errors.values import told
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor
from minigrad.viz.explaining.arriving import look_at
from minigrad.viz.explaining.case import Case, op_of
from minigrad.viz.explaining.findings import Explanation
from minigrad.viz.explaining.grads import clipped, compare_kept, other_object
from minigrad.viz.explaining.lost import constant, none, not_reached, other_grad, stopped
from minigrad.viz.names import variables
from minigrad.viz.observing import Watch, last_watch
from minigrad.viz.reading import Entry, Tape, read


def explain(tensor: Tensor, loss: Tensor | None = None, optimizer: Any = None) -> Explanation:
    """Say why the gradient of `tensor` is None, zero, small, huge or not finite.

    ::

        with mg.viz.watch():
            loss = model.loss(ids, targets)
            loss.backward()
        print(mg.explain(model.output.weight))

    Parameters
    ----------
    tensor
        a parameter, an input or a result of ops.
    loss
        what the gradient is of; None: what the last watch saw a walk back from.
    optimizer
        one of which to say whether it has `tensor`; None: those that the last watch saw.

    Raises
    ------
    TypeError
        if `tensor` or `loss` is no Tensor.
    """
    for name, value in (("tensor", tensor), ("loss", loss)):
        if not isinstance(value, Tensor) and not (name == "loss" and value is None):
            raise TypeError(f"explain: {name} must be a Tensor, not {told(value)}")
    if optimizer is not None and not hasattr(optimizer, "param_groups"):
        raise TypeError(f"explain: optimizer must be an optimiser, not {told(optimizer)}")
    watch = modes.observer if isinstance(modes.observer, Watch) else last_watch()
    if watch is not None:
        made = tensor if loss is None and not tensor.is_leaf else loss
        if made is not None and not watch.made(made):
            watch = None  # it is about something else
    optimizers = [optimizer] if optimizer is not None else []
    if watch is not None and isinstance(tensor, Parameter):
        optimizers = optimizers or watch.optimizers
    return _explanation(Case(tensor, loss, watch, optimizers, variables()))


def _explanation(case: Case) -> Explanation:
    """All that there is to say."""
    tensor, name = case.tensor, case.name
    if tensor.dtype.kind != "f":
        case.tell(
            f"its numbers are {tensor.dtype}: only floating-point tensors have a gradient. "
            'Convert what is to be learnt: x.astype("float32")'
        )
        return Explanation(f"The gradient of {name} is None.", case.findings)
    if tensor._node is None:
        constant(case)
        return Explanation(none(case), case.findings)
    entry, number, tape = _on_tape(case)
    if case.findings:  # the tape could not be read
        other_grad(case, known=False)
        return Explanation(f"The gradient of {name} is not known.", case.findings)
    if entry is None or (g := entry.results[number].gradient) is None:
        if entry is None:
            not_reached(case)
        elif tape is not None:
            stopped(case, entry, tape)
        other_grad(case, known=case.loss is not None)
        other_object(case)
        return Explanation(none(case), case.findings)
    assert tape is not None
    state = look_at(case, entry, number, g, tape)
    clipped(case)
    compare_kept(case, g)
    other_object(case)
    return Explanation(f"The gradient of {name} {state}.", case.findings)


def _on_tape(case: Case) -> tuple[Entry | None, int, Tape | None]:
    """The entry of the tensor on the tape of the loss, if it is on it."""
    if case.loss is None or case.loss._node is None:
        return None, 0, None
    try:
        tape = read(case.loss, case.known, caller="explain")
    except TapeError as error:
        case.tell(str(error).removeprefix("explain: "))
        return None, 0, None
    if tape.trouble:
        case.tell(tape.trouble)
    assert case.tensor._node is not None
    node, number = op_of(case.tensor._node), getattr(case.tensor._node, "index", 0)
    found = next((entry for entry in tape if entry.node is node), None)
    return found, number, tape
