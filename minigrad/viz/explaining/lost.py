"""Why no gradient comes to a tensor, or a part of it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.library import is_array
from minigrad.autograd.node import Leaf
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor
from minigrad.viz.explaining.case import Case
from minigrad.viz.explaining.findings import Finding, shortened
from minigrad.viz.explaining.ways import norm, to
from minigrad.viz.observing import Call, Cut, Watch
from minigrad.viz.reading import Entry, Tape, dense, on_host


def none(case: Case) -> str:
    """The sentence for a tensor to which no gradient comes."""
    if case.tensor.grad is None:
        return f"The gradient of {case.name} is None."
    if case.loss is None:
        return f"The gradient of {case.name} is not known."
    return f"No gradient comes to {case.name}, though its .grad is set."


def other_grad(case: Case, known: bool) -> None:
    """What is to say of a ``.grad`` that is not of the loss; `known`: that this is so."""
    if case.tensor.grad is not None:
        size = norm(on_host(dense(case.tensor.grad)))
        other = " and is of another backward pass" if known else ""
        case.tell(f"its .grad has the norm {size:.3g}{other}")


def constant(case: Case) -> None:
    """Why a tensor has no place on the tape."""
    other_grad(case, known=True)
    if case.watch is not None:
        for cut in reversed(case.watch.cuts):
            if cut.result is case.tensor:
                case.tell(f"it is the result of {cut.by}(), which cuts it off", cut.line)
                return
        for call in reversed(case.watch.calls):
            if any(y is case.tensor for y in call.outputs):
                _unrecorded(case, call)
                return
    if isinstance(case.tensor, Parameter):
        case.tell("it is frozen: its requires_grad is False; requires_grad_() asks for one")
        return
    case.tell(
        "it is a constant: it was not asked to have a gradient. Write "
        "x = mg.tensor(..., requires_grad=True), x.requires_grad_(), or nn.Parameter(...) "
        "in a module, before computing with it"
    )
    if case.watch is None:
        case.tell(
            "if it is the result of ops, detach(), no_grad() or arguments that are all "
            "constants have cut it off; within viz.watch() the line is known"
        )


def _unrecorded(case: Case, call: Call) -> None:
    """Why a call left nothing on the tape."""
    op = call.op.name
    if not call.grad_args:
        case.tell(
            f"it is the result of {op}, and no argument of that required a gradient", call.line
        )
    elif any(y.dtype.kind != "f" for y in call.outputs):
        case.tell(f"{op} made integers here, which have no gradient", call.line)
    elif not call.recording:
        case.tell(f"{op} ran within no_grad(), which records nothing", call.line)


def not_reached(case: Case) -> None:
    """Why the tape of the loss does not lead to the tensor."""
    watch = case.watch
    if case.loss is None:
        if watch is None:
            case.tell(
                "no backward pass is known; pass the loss, explain(tensor, loss), before its "
                "backward(), or run the step within viz.watch()"
            )
            return
        if watch.walks:
            if all(isinstance(start, Leaf) for start in watch.walks[-1].starts):
                case.tell(
                    "backward() began at a leaf, which no op made: item(), numpy() and "
                    "mg.tensor(...) take numbers off the tape"
                )
            else:
                case.tell("the watch saw a backward pass, but not what led to it: watch both")
            return
        case.tell(
            "the watch saw no backward pass: loss.backward() was not called within it, or "
            "ended in an error"
        )
    elif case.loss._node is None:
        case.tell("the loss is a constant: nothing on the tape leads to it")
        of_loss = Case(case.loss, None, watch, [], case.known)
        constant(of_loss)
        case.findings += of_loss.findings
    if watch is None:
        case.tell(
            "the loss does not depend on it: it was not used, or a detach(), no_grad() or an "
            "op without a derivative is between them; within viz.watch() the line is known"
        )
        return
    _lost(case, watch)


def _lost(case: Case, watch: Watch) -> None:
    """Follow the tensor through the watch, to where its way to the loss ends."""
    events, used, numbers = in_order(watch), False, []
    reached, leads = {id(case.tensor)}, _leading_to_the_loss(case, events)
    for event in events:
        args, results = ends(event)
        mine = [a for a in args if id(a) in reached]
        if not mine:
            continue
        used = True
        reached |= {id(y) for y in results}
        if isinstance(event, Cut) and event.by in ("item", "numpy"):
            numbers.append(Finding(f"{event.by}() takes its values off the tape here", event.line))
        floats = [y for y in results if y.dtype.kind == "f"]  # the rest may be converted
        if leads is not None and floats and leads.isdisjoint(map(id, floats)):
            continue
        if isinstance(event, Call):
            _cut_off(case, event, mine)
        elif event.by not in ("item", "numpy"):
            of = "it" if event.tensors[0] is case.tensor else "what was made of it"
            case.tell(f"{event.by}() cuts {of} off from the tape here", event.line)
    if not used:
        case.tell("it was not used: no op that the last watch saw had it as an argument")
        _same_values(case, watch)
    elif not case.findings and case.loss is not None:
        case.tell("what was computed with it on the tape is not used for the loss")
        case.findings += numbers
    case.findings[:] = shortened(case.findings)


def _leading_to_the_loss(case: Case, events: list[Any]) -> set[int] | None:
    """The ids of all tensors of which the loss was made; None: there is no loss."""
    if case.loss is None:
        return None
    leads = {id(case.loss)}
    for event in reversed(events):
        args, results = ends(event)
        if not leads.isdisjoint(id(y) for y in results):
            leads |= {id(a) for a in args}
    return leads


def _cut_off(case: Case, call: Call, mine: list[Tensor]) -> None:
    """What is to say of a call that may have cut `mine` off from the loss."""
    name = call.op.name
    if call.node is None and any(call.asked(a) for a in mine):
        if any(y.dtype.kind != "f" for y in call.outputs):
            case.tell(f"{name} makes integers of it here, without a gradient", call.line)
        elif not call.recording:
            case.tell(f"{name} ran within no_grad() here", call.line)
    elif any(a is case.tensor and not call.asked(a) for a in mine):
        case.tell(
            f"it did not require a gradient when {name} used it: requires_grad_() came later",
            call.line,
        )


def _same_values(case: Case, watch: Watch) -> None:
    """Another tensor with the same values was used in its place."""
    if is_uniform(case.tensor):
        return
    for call in watch.calls:
        for a in call.args:
            is_one = is_array(a) or (isinstance(a, Tensor) and a is not case.tensor)
            if is_one and np.array_equal(on_host(a), on_host(case.tensor)):
                what = "an array" if is_array(a) else "another tensor"
                case.tell(f"{what} with the same values was used here", call.line)
                return


def stopped(case: Case, entry: Entry, tape: Tape) -> None:
    """The tape leads from the loss to the tensor, but no gradient arrives."""
    if not case.tensor.is_leaf and case.tensor.grad is None:
        case.tell(
            "it is the result of an op: only leaves keep a .grad. Call y.retain_grad() before "
            "backward(), or mg.grad(loss, y)"
        )
    for op, edge in to(entry, tape):
        came = any(result.gradient is not None for result in op.results)
        if came and edge.gradient is None:
            case.tell(f"{op.op} passes none on to its {edge.argument}", op.line)


def cut_on_the_way(case: Case) -> None:
    """Where detach() drops a part of a gradient that arrives on other ways."""
    if case.watch is None:
        return
    events = in_order(case.watch)
    reached, leads = {id(case.tensor)}, _leading_to_the_loss(case, events) or set()
    for event in events:
        args, results = ends(event)
        if reached.isdisjoint(map(id, args)):
            continue
        reached |= {id(y) for y in results}
        if isinstance(event, Cut) and event.by == "detach" and id(event.result) in leads:
            case.tell(
                "a part of it is missing: detach() cuts off what would come back through here",
                event.line,
            )


def ends(event: Call | Cut) -> tuple[list[Tensor], list[Tensor]]:
    """The Tensors that a call or cut was given, and those that it gave."""
    if isinstance(event, Call):
        given, made = event.args, event.outputs
    else:
        given, made = event.tensors, (event.result,)
    return [a for a in given if isinstance(a, Tensor)], [y for y in made if isinstance(y, Tensor)]


def in_order(watch: Watch) -> list[Any]:
    """The calls and cuts of a watch; each cut after the calls that were before it."""
    return sorted([*watch.calls, *watch.cuts], key=lambda event: event.stamp)


def is_uniform(tensor: Tensor) -> bool:
    """Whether its numbers are all the same, as those of many tensors are at first."""
    values = on_host(tensor)
    return bool((values == values.flat[:1]).all())
