"""What must hold when a recorded function has ended, and for the arguments of each call."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.library import bare
from minigrad.arrays.recording import Number
from minigrad.errors.values import told
from minigrad.replay.memory import root_of
from minigrad.replay.places import Call, CaptureError
from minigrad.replay.recorder import Recorder


def check_kept(recorder: Recorder, where: str) -> None:
    """Raise if something that was made in the recording is kept; `where` has changed."""
    if any(t._array is not recorded.array for t, recorded in recorder.stand_ins):  # by t.data = ...
        raise CaptureError(
            "capture: the function gives one of its arguments another array; return the new "
            "value, or change the argument in place: x.data[...] = value"
        )
    if any(t._node is not None or t.grad is not None for t, _ in recorder.stand_ins):
        raise CaptureError(
            "capture: the function sets requires_grad or the .grad of one of its arguments, "
            "which a replay would not do; call x.requires_grad_() before, or use "
            "x.detach().requires_grad_() inside"
        )
    recorder.stand_ins.clear()
    if _kept(recorder) is not None:
        gc.collect()  # perhaps it is only a cycle that nobody refers to
    kept = _kept(recorder)
    if kept is None:
        return
    what, advice = kept
    raise CaptureError(
        f"capture: the captured function has made {what} that a replay would not make anew"
        f"{f' (it changes {where})' * bool(where)}; {advice}"
    )


def check_apart(recorder: Recorder, arguments: Sequence[Any]) -> None:
    """Raise if memory that the function changes is in an argument and somewhere else, too."""
    if recorder.outside_memory is None:
        recorder.outside_memory = {}
        for tensor, array, *_ in recorder.outsiders:
            entry = (tensor in recorder.changed_tensors, array)
            recorder.outside_memory.setdefault(id(root_of(array)), []).append(entry)
        recorder.changes_memory = bool(recorder.changed_tensors) or any(
            p.writes for p, _ in recorder.inputs
        )
    seen: dict[int, list[Any]] = {}
    for place, number in recorder.inputs if recorder.changes_memory else ():
        if type(number) is not int:
            continue
        array = bare(arguments[number])
        memory = id(root_of(array))
        for changed, other in (*recorder.outside_memory.get(memory, ()), *seen.get(memory, ())):
            if (changed or place.writes) and np.may_share_memory(array, other):
                raise CaptureError(
                    f"capture: an argument ({told(array)}) lies in the same memory as another "
                    "one, or as a Tensor that the function uses, and the function changes it; "
                    "a replay works on copies of its arguments. Pass x.copy()"
                )
        seen.setdefault(memory, []).append((place.writes, array))


def _kept(recorder: Recorder) -> tuple[str, str] | None:
    """What is kept, and what to do instead; None if there is nothing."""
    back = (
        "return it as a result and keep it outside; a state is passed to the next call as an "
        "argument"
    )
    gradients = {id(g) for g in recorder.set_grads.values()}
    for reference in recorder.born:
        tensor = reference()
        if tensor is not None and id(tensor) not in gradients:
            return f"a Tensor ({told(tensor)})", back
    for call in recorder.calls:
        if type(call) is tuple:
            continue
        for place in call.out if isinstance(call.out, list) else [call.out]:
            if place is None or call.function == "set grad":
                continue
            stand = place.stand()
            if type(stand) is Number:
                return "a number", "return it as a result and keep it outside"
            if stand is not None:
                return f"an array ({told(stand)})", back
    generators = [
        x
        for call in recorder.calls
        if type(call) is Call and call.effect
        for x in (*call.args, *call.kwargs.values())
        if isinstance(x, np.random.Generator)
    ]
    for x in generators:
        uses = 2 * sum(other is x for other in generators)  # in calls, and in this list
        if sys.getrefcount(x) <= uses + 3:  # in `draws`, too
            return "a random generator", "make it outside the function, and give it as rng="
    return None
