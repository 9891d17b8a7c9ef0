"""The output layer of a language model, with its loss: linear and cross-entropy in one op.

With a vocabulary of 10,000, the logits of all tokens are the largest array of a training step, and
most of its time goes into them. Here they are made block by block. A block becomes its own gradient
in place; this is used at once for the gradients of the hidden states and of the weights; and the
next block is made in the same memory.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.arrays import threads
from minigrad.arrays.blocks import product
from minigrad.arrays.buffers import empty
from minigrad.arrays.devices import is_unit
from minigrad.arrays.kernel import THREADS
from minigrad.arrays.library import Array, ArrayLike, array_module, on_gpu
from minigrad.arrays.sums import total, wide
from minigrad.autograd.fused import fused
from minigrad.autograd.modes import modes
from minigrad.ops.arithmetic import in_dtype, where
from minigrad.ops.cross_entropy import composed_cross_entropy
from minigrad.ops.kernels import cross_entropy_rows
from minigrad.ops.linalg import linear
from minigrad.ops.targets import (
    as_class_ids,
    as_floats,
    as_integer,
    check_classes,
    check_smoothing,
)
from minigrad.tensor import Tensor

BLOCK = 1 << 22
"""The largest number of logits in a block, for few weights: it has enough rows for matrix products
at full speed. A block may always have twice as many logits as there are weights, since all weights
are read for each block."""

GPU_BLOCK = 1 << 27
"""The same on a GPU, where a product takes many more rows to run at full speed."""

PIECE = 160_000
"""The number of logits that a thread works on at once: in float32 they fit into a core's cache."""

NAT = math.log2(math.e)
"""In bits."""


def _added(so_far: Any, part: Any) -> Any:
    """The sum, made in place; `so_far` is None at first."""
    if so_far is None:
        return part
    so_far += part
    return so_far


def composed_linear_cross_entropy(
    hidden: Any,
    weight: Any,
    bias: Any,
    targets: Array,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    any_ignored: bool,
    wanted: tuple[bool, ...],
) -> Any:
    """Cross-entropy of a linear layer, composed of plain ops: the twin of the fused one."""
    given = np.result_type(*[x.dtype for x in (hidden, weight, bias) if x is not None])
    if any_ignored:  # these rows may hold NaN, and the gradient of `weight` reads them
        hidden = where((targets == ignore_index)[..., None], 0.0, hidden)
    logits = linear(in_dtype(hidden, wide(hidden.dtype)), weight, bias)
    options = (None, ignore_index, label_smoothing, reduction)
    return in_dtype(composed_cross_entropy(logits, targets, *options), given)


def _backward(g: Any, kept: list[Any]) -> list[Any]:
    """The gradients were made in the forward pass, for a `g` of 1."""
    if is_unit(g):
        return kept
    return [None if d is None else d * g for d in kept]


@cache
def _fast_powers_of_2() -> bool:
    """Whether NumPy has vector instructions for 2^z: it then takes half the time of e^z."""
    found = np.lib.introspect.opt_func_info(func_name="^exp2$", signature="float32")
    return not found["exp2"]["ff"]["current"].startswith("baseline")


class _Rows:
    """Turns rows of logits into their gradient, times the sum of exp(logits), in place.

    The logits are in nats, or with `in_bits` in bits: e^z = 2^(z log2(e)).
    """

    def __init__(
        self, bias: Any, targets: Array, smoothing: float, logits: Array, in_bits: bool
    ) -> None:
        self.bias, self.targets, self.smoothing = bias, targets, smoothing
        self.exp: Any = np.exp2 if in_bits else np.exp
        self.log: Any = np.log2 if in_bits else np.log
        self.logits = logits  # of the present block
        xp = array_module(logits)
        self.losses, self.sums = (xp.empty(len(targets), logits.dtype) for _ in range(2))

    def __call__(self, piece: tuple[int, int, int]) -> None:
        """`piece`: the first row of its block, its own first row, and the row after its last."""
        begin, start, stop = piece
        z, targets = self.logits[start - begin : stop - begin], self.targets[start:stop]
        xp, V = array_module(z), z.shape[1]
        if self.bias is not None:
            z += self.bias
        z -= z.max(1, keepdims=True)
        flat, index = z.reshape(-1), xp.arange(0, z.size, V) + targets  # where each target is
        index = index.astype(np.intp, copy=False)
        picked = flat.take(index, 0, None, "clip")
        kept, shared = 1 - self.smoothing, self.smoothing / V
        mean = z.sum(1) * shared if shared else 0
        wanted = kept * picked + mean if kept else mean
        self.exp(z, out=z)
        sums = z.sum(1)
        xp.subtract(self.log(sums), wanted, out=self.losses[start:stop])
        flat[index] = flat.take(index, 0, None, "clip") - kept * sums
        if shared:
            z -= (shared * sums)[:, None]
        self.sums[start:stop] = sums


def _blocks(M: int, weight: Array, block: int) -> list[tuple[int, int]]:
    """The first row and the end of each block of M rows: at least one block, about equally long."""
    count = -(-M * len(weight) // max(block, 2 * weight.size))
    count = max(1, min(count, M))
    return list(pairwise(M * i // count for i in range(count + 1)))


def _on_cpu(
    h: Array, weight: Array, bias: Any, targets: Array, ignored: Array | None, share: Array,
    smoothing: float, wanted: tuple[bool, ...],
) -> tuple[Array, list[Any]]:  # fmt: skip
    """The loss of each row of `h`, and the gradients of the loss; `share`: of a row in the loss."""
    xp, V, dtype = array_module(h), len(weight), h.dtype
    blocks = _blocks(len(h), weight, BLOCK)
    longest = max(stop - start for start, stop in blocks)
    logits = empty(xp, (longest, V), dtype)
    x, in_bits = h, logits.size > PIECE and _fast_powers_of_2()
    if in_bits:  # the inputs are smaller than the logits
        x, bias = h * NAT, None if bias is None else bias * NAT
    counted = targets if ignored is None else np.where(ignored, 0, targets)
    counted = counted.astype(np.intp, copy=False)
    rows = _Rows(bias, counted, smoothing, logits, in_bits)
    of_hidden, of_weight, of_bias = wanted
    dh = empty(xp, h.shape, dtype) if of_hidden else None
    dW, db = None, None
    for start, stop in blocks:
        z = logits[: stop - start]
        product(x[start:stop], weight.T, z)
        step = max(1, PIECE // V)
        threads.share(rows, [(start, i, min(i + step, stop)) for i in range(start, stop, step)])
        if not any(wanted):
            continue
        # divide z by the sums; or, if it is smaller, the factor of z in the products
        scale: Any = (share[start:stop] / rows.sums[start:stop])[:, None]
        block, weights = h[start:stop], scale[:, 0]
        if h.shape[1] >= V:
            z *= scale
            scale, weights = None, np.ones_like(weights)
        if dh is not None:
            of_block = product(z, weight, dh[start:stop])
            if scale is not None:
                of_block *= scale
        if of_bias:
            db = _added(db, _weighted(weights, z))
        if of_weight:
            if scale is not None:
                block = np.multiply(block, scale, out=empty(xp, block.shape, dtype))
            dW = _added(dW, product(z.T, block))
    losses = rows.losses / NAT if in_bits else rows.losses
    return losses if ignored is None else np.where(ignored, 0, losses), [dh, dW, db]


def _weighted(weights: Array, rows: Array) -> Array:
    """The sum of the rows, each times its weight; 512 at a time, so it is exact."""
    if len(rows) <= 512:
        return weights @ rows
    starts = range(0, len(rows), 512)
    return total(np.stack([weights[i : i + 512] @ rows[i : i + 512] for i in starts]), 0)


def _on_gpu(
    h: Array, weight: Array, bias: Any, targets: Array, ignore_index: int, share: Array,
    smoothing: float, wanted: tuple[bool, ...],
) -> tuple[Array, list[Any]]:  # fmt: skip
    """The same with one kernel call for each block, which turns the logits into their gradient."""
    xp, V, dtype = array_module(h), len(weight), h.dtype
    of_hidden, of_weight, of_bias = wanted
    blocks = _blocks(len(h), weight, GPU_BLOCK)
    longest = max(stop - start for start, stop in blocks)
    logits, ones = xp.empty((longest, V), dtype), xp.ones(longest if of_bias else 0, dtype)
    targets, losses = targets.astype(np.int64, copy=False), xp.empty(len(h), dtype)
    bias = None if bias is None else xp.ascontiguousarray(bias)
    dh = xp.empty(h.shape, dtype) if of_hidden else None
    dW, db = None, None
    for start, stop in blocks:
        z, here = logits[: stop - start], slice(start, stop)
        xp.matmul(h[here], weight.T, out=z)
        cross_entropy_rows(
            len(z), THREADS, dtype,
            V, z, bias, targets[here], ignore_index, smoothing, share[here], losses[here],
        )  # fmt: skip
        if dh is not None:
            xp.matmul(z, weight, out=dh[here])
        if of_bias:
            db = _added(db, ones[: len(z)] @ z)
        if of_weight:
            dW = _added(dW, z.T @ h[here])
    return losses, [dh, dW, db]


@fused(
    twin=composed_linear_cross_entropy,
    backward=_backward,
    kept_outputs=(),
    inputs=["hidden", "weight", "bias"],
)
def _linear_cross_entropy(
    hidden: Any,
    weight: Any,
    bias: Any,
    targets: Array,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    any_ignored: bool,
    wanted: tuple[bool, ...],
) -> tuple[Any, Any]:
    """Loss and gradients in one pass.

    `wanted` says which inputs need a gradient; `any_ignored`, whether a target may be
    `ignore_index`.
    """
    xp = array_module(hidden)
    given = np.result_type(*[x.dtype for x in (hidden, weight, bias) if x is not None])
    dtype = wide(given)  # sums of so many terms would not fit into float16
    weight, bias = (None if x is None else x.astype(dtype, copy=False) for x in (weight, bias))
    h = hidden.reshape(targets.size, weight.shape[1]).astype(dtype, copy=False)
    targets = targets.reshape(-1)
    ignored = targets == ignore_index if any_ignored else None
    if ignored is None:
        share, counted = xp.ones(len(h), dtype), max(len(h), 1)
    else:
        h = xp.where(ignored[:, None], 0, h)  # these rows may hold NaN
        share = (~ignored).astype(dtype)
        counted = xp.maximum(share.sum(), 1)
    if reduction == "mean":
        share /= counted
    shared = (share, label_smoothing, wanted)
    if not on_gpu(hidden):
        losses, gradients = _on_cpu(h, weight, bias, targets, ignored, *shared)
    else:
        losses, gradients = _on_gpu(h, weight, bias, targets, ignore_index, *shared)
    if wanted[0]:
        gradients[0] = gradients[0].reshape(hidden.shape)
    if given != dtype:
        gradients = [None if d is None else d.astype(given) for d in gradients]
    loss = (losses * share).sum() if losses.size or reduction == "sum" else xp.full((), np.nan)
    return loss.astype(given, copy=False), gradients


def linear_cross_entropy(
    hidden: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    targets: ArrayLike,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """``cross_entropy(linear(hidden, weight, bias), targets)``, with the logits made in blocks.

    Parameters
    ----------
    hidden
        floats of shape (..., features).
    weight
        shape (C, features), for C classes.
    bias
        shape (C,), or None.
    targets
        integer class indices of the shape of `hidden` without its last axis.
    ignore_index, label_smoothing
        as in `cross_entropy`.
    reduction
        ``"mean"`` over all targets that are not ignored, or ``"sum"``.

    Returns
    -------
    Tensor, a single number, in nats. A block has up to 4 million logits (on a GPU 134 million), or
    twice as many as there are weights, if this is more. So memory grows with C and with the number
    of tokens, not with their product. The gradients are made together with the loss: if you want
    the loss alone, call it within `no_grad`.

    Raises
    ------
    TypeError, ValueError, IndexError
        for inputs that are not floats, shapes that do not fit, class indices outside [0, C).
        On a GPU class indices are not checked: the loss of such a target is NaN.
    """
    name = "linear_cross_entropy"
    hidden, weight = as_floats(name, "hidden", hidden), as_floats(name, "weight", weight)
    shape, (classes, *features) = hidden.shape, weight.shape or (0,)
    if len(features) != 1 or list(shape[-1:]) != features or classes == 0:
        raise ValueError(
            f"{name}: hidden has shape {shape}, weight {weight.shape}; expected (..., features) "
            "and (classes, features), with at least one class"
        )
    if bias is not None and as_floats(name, "bias", bias).shape != (classes,):
        raise ValueError(f"{name}: bias has shape {bias.shape}, expected {(classes,)}")
    if reduction not in ("mean", "sum"):
        raise ValueError(
            f'{name}: reduction must be "mean" or "sum", not {reduction!r}; for the loss of each '
            "target there is cross_entropy(linear(hidden, weight, bias), targets)"
        )
    label_smoothing = check_smoothing(name, label_smoothing)
    targets, ignore_index = (
        as_class_ids(targets, hidden, weight, bias),
        as_integer(name, ignore_index),
    )
    any_ignored = check_classes(name, targets, (*shape[:-1], classes), ignore_index)
    wanted = tuple(
        [
            modes.recording and isinstance(x, Tensor) and x._node is not None
            for x in (hidden, weight, bias)
        ]
    )
    options = (ignore_index, label_smoothing, reduction, any_ignored, wanted)
    return _linear_cross_entropy(hidden, weight, bias, targets, *options)
