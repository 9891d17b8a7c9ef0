"""What the recurrent networks over a sequence share: time steps, states, and matrix products.

For `minigrad.nn.recurrent.fused` and, on GPUs, `minigrad.nn.recurrent.fused_gpu`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from minigrad.arrays.buffers import empty
from minigrad.arrays.library import Array, array_module
from minigrad.arrays.sums import total

Sizes = Sequence[int] | None

FEW = 32
"""Tokens: for so many the weights are not copied, into the order and scale that suit the loop."""


class Steps:
    """Which rows belong to each time step. Its lists are in the order in which they are read."""

    def __init__(self, x: Array, sizes: Sizes, reverse: bool, by_kernels: bool = False) -> None:
        self.lead = x.shape[:-1]  # (T, N), or packed (total,)
        self.few = math.prod(self.lead) <= FEW
        self.sizes, self.reverse = sizes, reverse
        self.count = self.lead[0] if sizes is None else len(sizes)
        self.by_kernels = by_kernels  # whether they are done by `minigrad.nn.recurrent.fused_gpu`

    def of(self, array: Array) -> list[Array]:
        """The part of `array` that belongs to each step."""
        if self.sizes is None:
            parts = list(array)
        else:
            parts = [array[i:k] for i, k in pairwise(accumulate(self.sizes, initial=0))]
        return parts[::-1] if self.reverse else parts

    def rows(self, array: Array) -> list[Array]:
        """For each step the first rows of `array`, as many as there are sequences then."""
        if self.sizes is None:
            return [array] * self.lead[0]
        return [array[:n] for n in (reversed(self.sizes) if self.reverse else self.sizes)]

    def gradients(self, g: Any) -> list[Any]:
        """The part of `g` that belongs to each step, last step first; None if there is no `g`."""
        return [None] * self.count if g is None else self.of(g)[::-1]

    def spans(self) -> list[tuple[int, int]]:
        """For each step its first row, of those of all steps, and how many it has."""
        sizes = [self.lead[1]] * self.lead[0] if self.sizes is None else self.sizes
        spans = list(zip(accumulate(sizes, initial=0), sizes, strict=False))
        return spans[::-1] if self.reverse else spans


class States:
    """A state before and after each time step; `start` is that before the first."""

    def __init__(self, steps: Steps, start: Array, dtype: Any) -> None:
        xp, H = array_module(start), start.shape[1]
        self.start, self.steps = start, steps
        if steps.sizes is None:  # what is after one step is before the next, in the same place
            T, N = steps.lead
            room = empty(xp, (T + 1, N, H), dtype)
            room[-1 if steps.reverse else 0] = start
            early, late = room[:-1], room[1:]
            self.all_before, self.all_after = (late, early) if steps.reverse else (early, late)
        else:
            self.all_before = empty(xp, (*steps.lead, H), dtype)
            self.all_after = empty(xp, (*steps.lead, H), dtype)

    def before(self) -> list[Array]:
        """The state before each step."""
        return self.steps.of(self.all_before)

    def after(self) -> list[Array]:
        """The state after each step."""
        return self.steps.of(self.all_after)

    def moves(self) -> list[Any]:
        """For each step what to copy, from where, when the step before it has been done."""
        moves: list[Any] = [None] * self.steps.count
        if self.steps.sizes is None:
            return moves
        known, after_all = 0, self.after()
        for i, before in enumerate(self.before()):
            m, n = min(known, len(before)), len(before)
            if m < n:
                before[m:] = self.start[m:n]
            if m:
                moves[i] = (before[:m], after_all[i - 1][:m])
            known = n
        return moves

    def last(self) -> Array:
        """The state of each sequence after the last step that it has, in memory of its own."""
        if self.steps.sizes is None:
            return self.all_after[0 if self.steps.reverse else -1].copy()
        last = self.start.astype(self.all_after.dtype)
        for after in self.after():
            last[: len(after)] = after
        return last


def flat(sequence: Array) -> Array:
    """`sequence` as a matrix with a row for each time step of each sequence."""
    return sequence if sequence.ndim == 2 else sequence.reshape(-1, sequence.shape[-1])


def room_for(sequence: Array) -> Array:
    """An array of the shape and dtype of `sequence`, with whatever is in it."""
    return empty(array_module(sequence), sequence.shape, sequence.dtype)


def products(x: Array, W: Any, bias: Any, dtype: Any, scale: Any = None) -> Array:
    """(W x + b) scale of all time steps at once; `x` is W x already if W is None."""
    xp = array_module(x)
    result = empty(xp, (*x.shape[:-1], x.shape[-1] if W is None else len(W)), dtype)
    if W is None:
        xp.multiply(x, 1 if scale is None else scale, out=result)
    else:
        W = W if scale is None else W * scale[:, None]
        xp.matmul(flat(x), W.T, out=flat(result))
    if bias is not None:
        result += bias if scale is None else bias * scale
    return result


def common_dtype(*inputs: Any) -> Any:
    """What `inputs`, some of which may be None, are computed in."""
    dtypes = {x.dtype for x in inputs if x is not None}
    return dtypes.pop() if len(dtypes) == 1 else array_module(inputs[0]).result_type(*dtypes)


def both(b_ih: Any, b_hh: Any) -> Any:
    """The sum of two biases, each of which may be None."""
    return b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh


def final_gradient(g: Any, states: States) -> Array:
    """The gradient of the final state, in an array of its own; zeros if `g` is None."""
    xp, dtype = array_module(states.start), states.all_after.dtype
    if g is None:
        return xp.zeros(states.start.shape, dtype)
    start = xp.empty(g.shape, dtype)
    start[...] = g
    return start


def of_parameters(
    needs: Sequence[bool], x: Array, h: Array, W_ih: Any, dx: Array, dh: Array
) -> list[Any]:
    """The gradients of x, W_ih, W_hh, b_ih and b_hh, those that are needed.

    `dx` and `dh` are the gradients of W_ih x + b_ih and of W_hh h + b_hh at all time steps.
    """
    wx, *_, wW_ih, wW_hh, wb_ih, wb_hh = needs
    flat_x, flat_h = flat(dx), flat(dh)
    db = total(flat_x, 0) if wb_ih or (wb_hh and dh is dx) else None
    of_x = dx if W_ih is None else products(dx, W_ih.T, None, dx.dtype) if wx else None
    return [
        of_x,
        flat_x.T @ flat(x) if wW_ih else None,
        flat_h.T @ flat(h) if wW_hh else None,
        db,
        db if dh is dx else total(flat_h, 0) if wb_hh else None,
    ]
