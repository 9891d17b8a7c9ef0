"""What became of a gradient: ``.grad``, clipping and the optimiser."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.viz.explaining.case import Case
from minigrad.viz.explaining.lost import is_uniform
from minigrad.viz.explaining.ways import norm, typical
from minigrad.viz.observing import Clip
from minigrad.viz.reading import dense, on_host


def compare_kept(case: Case, g: Any) -> None:
    """What is to say of ``.grad``, as against `g`, the gradient of this walk."""
    if case.tensor.grad is not None:
        if case.walks() and np.isfinite(g).all():
            _compared(case, on_host(dense(case.tensor.grad)), g)
        return
    if not case.tensor.is_leaf:
        case.tell(
            "its .grad is None, as it is the result of an op: only leaves keep one. Call "
            "y.retain_grad() before backward()"
        )
    elif case.watch is not None and case.watch.walks:
        case.tell(
            "its .grad is None now: zero_grad() was called after backward(), or the walk was "
            "that of mg.grad"
        )
    else:
        case.tell("its .grad is None so far: loss.backward() was not called")


def _compared(case: Case, kept: Any, g: Any) -> None:
    expected = g * math.prod(clip.factor for clip in _clips(case))
    if np.allclose(kept, expected, rtol=1e-3, atol=1e-6 * (typical(g) or 1.0)):
        return
    n = len(case.walks())
    case.tell(
        f"its .grad is another one, of the norm {norm(kept):.3g}: "
        + (
            f"{n} backward passes within the watch came to it, and .grad adds them up until "
            "zero_grad(); or it"
            if n > 1
            else "zero_grad() was not called, and earlier backward passes are added up in it; or it"
        )
        + " was changed, as by a hook or clip_grad_value_"
    )


def _clips(case: Case) -> list[Clip]:
    """Where its gradient was clipped after the last walk that came to it."""
    if case.watch is None:
        return []
    last = max((walk.stamp for walk in case.walks()), default=0)
    clips = [clip for clip in case.watch.clips if clip.stamp > last]
    return [clip for clip in clips if any(t is case.tensor for t in clip.tensors)]


def clipped(case: Case) -> None:
    for clip in _clips(case):
        if math.isnan(clip.norm):
            case.tell(
                f"clip_grad_norm_ made its .grad NaN: the common norm of {len(clip.tensors)} "
                "gradients was NaN",
                clip.line,
            )
        elif clip.factor < 1:
            case.tell(
                f"clip_grad_norm_ multiplied its .grad by {clip.factor:.3g}: the common norm "
                f"of {len(clip.tensors)} gradients was {clip.norm:.3g}, max_norm is "
                f"{clip.max_norm:g}",
                clip.line,
            )


def other_object(case: Case) -> None:
    """Whether an optimiser has the tensor."""
    if not case.optimizers or not case.tensor.is_leaf:
        return
    for optimizer in case.optimizers:
        if any(p is case.tensor for p in optimizer.parameters()):
            return
    others = [p for optimizer in case.optimizers for p in optimizer.parameters()]
    alike = [
        np.array_equal(on_host(p), on_host(case.tensor))
        for p in others
        if p.shape == case.tensor.shape
    ]
    kind = type(case.optimizers[-1]).__name__
    if any(alike) and not is_uniform(case.tensor):
        case.tell(
            f"{kind} has another object with the same values: it steps that one, not this. "
            "Make the optimiser of the parameters that the model uses now"
        )
    else:
        case.tell(f"{kind} does not have it, and will not change it")
