"""Clipping: keep gradients from becoming too large, as they easily do through time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial, reduce
from typing import Any

import numpy as np

from minigrad.arrays.devices import gpus
from minigrad.arrays.library import FLOAT32, Array, array_module, on_gpu, zeros
from minigrad.arrays.recording import one_call
from minigrad.arrays.sums import wide
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.errors.values import told
from minigrad.optim import clipping_gpu, pieces
from minigrad.optim.arguments import check_number, in_order
from minigrad.optim.pieces import of_pieces
from minigrad.tensor import Tensor, mark_changed, wrap

ROW = 10_000
"""OpenBLAS spreads a longer dot product over its threads. The bits would depend on their number, so
longer ones are made of these."""


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients in place by one factor, so that their common norm is at most `max_norm`.

    The factor is min(1, max_norm / (norm + 1e-6)). Pascanu, Mikolov and Bengio, "On the difficulty
    of training recurrent neural networks" (2013).

    Parameters
    ----------
    parameters
        a Tensor, or several, whose ``.grad`` to scale. One without a ``.grad`` is left out, and one
        that is there twice counts once.
    max_norm
        the largest norm allowed; ``math.inf`` measures without scaling.
    norm_type
        p of the p-norm; ``math.inf`` (or ``"inf"``) for the largest absolute value.
    error_if_nonfinite
        if the norm is infinite or NaN, raise, and leave the gradients as they are. Without it, an
        infinite norm makes the gradients 0 (and the infinite elements NaN), and a norm of NaN makes
        all of them NaN. On a GPU the host must wait for the norm. It need not wait with
        ``optimizer.step(if_finite=norm)``, where the GPU itself looks at the norm.

    Returns
    -------
    Tensor
        the norm before scaling, a single number, on the device of the gradients and of their dtype
        (float32 for float16 gradients, since their norm may be larger than any float16). It is
        exact to about the precision of that dtype, on a GPU too, since the sums are in float64. So
        a float32 norm is right from 1e-38 to 1e38, where the squares would not fit into float32.

    Raises
    ------
    ValueError
        if there are no parameters (perhaps an iterator that was used up), a number is out of range,
        the gradients are not all on one device, or one is in read-only memory. Then nothing is
        changed.
    RuntimeError
        if `error_if_nonfinite`, and the norm is infinite or NaN.
    """
    max_norm, norm_type = float(max_norm), float(norm_type)
    if max_norm != math.inf:
        check_number(max_norm, "clip_grad_norm_: max_norm")
    if norm_type != math.inf:
        check_number(norm_type, "clip_grad_norm_: norm_type", positive=True)
    tensors = _tensors(parameters, "clip_grad_norm_")
    gradients = _gradients(tensors)
    if not gradients:
        return _tensor(zeros((), like=tensors[0], dtype=FLOAT32))
    arrays = [elements(g) for g in gradients]
    if max_norm != math.inf:
        _check_changeable(arrays, "clip_grad_norm_")
    by_kernels = _on_gpu(arrays)
    if by_kernels:
        norm = clipping_gpu.common_norm(arrays, norm_type)
    else:
        norm = _norm([x.reshape(-1) for x in arrays], norm_type)
    if error_if_nonfinite and not bool(array_module(norm).isfinite(norm)):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of the gradients is {float(norm)}; nothing was scaled "
            f"({_first_culprit(gradients)})"
        )
    if watchers and modes.observer is not None:
        modes.observer.clipped(tensors, norm, max_norm)
    if max_norm != math.inf:
        _tell_the_tape(gradients)
        (clipping_gpu.scale_all if by_kernels else _scale_all)(arrays, norm, max_norm)
    return _tensor(array_module(norm).asarray(norm, dtype=wide(gradients[0].dtype)))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Move each element of each gradient, in place, into [-clip_value, clip_value].

    Parameters
    ----------
    parameters
        a Tensor, or several, whose ``.grad`` to clip; one without a ``.grad`` is left out.
    clip_value
        the largest absolute value allowed. NaN stays NaN.

    Raises
    ------
    ValueError
        if there are no parameters (perhaps an iterator that was used up), `clip_value` is negative,
        or a gradient is in read-only memory. Then nothing is changed.
    """
    check_number(clip_value, "clip_grad_value_: clip_value")
    bound = float(clip_value)
    gradients = _gradients(_tensors(parameters, "clip_grad_value_"))
    arrays = [elements(g) for g in gradients]
    _check_changeable(arrays, "clip_grad_value_")
    _tell_the_tape(gradients)
    if _on_gpu(arrays):
        clipping_gpu.clamp_all(arrays, bound)
        return
    for g in arrays:
        clipping_gpu.clamp_one(g, bound)


def _tensors(parameters: Tensor | Iterable[Tensor], where: str) -> list[Tensor]:
    """The parameters, each of them once."""
    items = [parameters] if isinstance(parameters, Tensor) else in_order(parameters, where)
    for i, p in enumerate(items):
        if not isinstance(p, Tensor):
            raise TypeError(f"{where}: parameter {i} is no Tensor but {type(p).__name__} {told(p)}")
    return list(dict.fromkeys(items))


def _gradients(tensors: list[Tensor]) -> list[Tensor | RowSparse]:
    return [p.grad for p in tensors if p.grad is not None]


def _check_changeable(arrays: list[Array], where: str) -> None:
    for i, g in enumerate(arrays):
        if type(g) is np.ndarray and not g.flags.writeable:
            raise ValueError(
                f"{where}: gradient {i}, {told(g)}, is in read-only memory; put a copy "
                "into its place: p.grad = mg.tensor(array.copy())"
            )


def _tell_the_tape(gradients: list[Tensor | RowSparse]) -> None:
    for g in gradients:
        if isinstance(g, Tensor):
            mark_changed(g)


def _tensor(array: Array) -> Tensor:
    """A Tensor on the device of `array`; ``Tensor(array)`` would be on the default device."""
    tensor: Tensor = wrap(array)
    return tensor


def _on_gpu(arrays: list[Array]) -> bool:
    return bool(gpus) and any(map(on_gpu, arrays))


@one_call()
def _norm(gradients: list[Array], p: float) -> Any:
    """The p-norm of all elements of vectors, in NumPy; the sums of pieces are added in float64."""
    if p == math.inf:
        parts = of_pieces(_largest, [g for g in gradients if g.size], pieces.LONG)
        return reduce(np.maximum, parts, np.zeros((), FLOAT32))
    block = pieces.LONG if p == 2 else pieces.BLOCK
    with np.errstate(over="ignore"):
        total = sum(of_pieces(partial(_power_sum, p), gradients, block))
        if not 1e-30 < total < math.inf:  # perhaps it is out of the range of float32
            total = sum(of_pieces(partial(_exact_power_sum, p), gradients, pieces.BLOCK))
    return np.float64(total) ** (1 / p)


def _largest(x: Array) -> Any:
    return np.maximum(x.max(), -x.min())


def _power_sum(p: float, x: Array) -> float:
    """The sum of |x|^p over all elements of `x`; for p = 2 without an array in between."""
    if x.itemsize == 2:
        return _exact_power_sum(p, x)
    if p != 2:
        return float((abs(x) ** p).sum())
    if x.size <= ROW:
        return float(x.dot(x))
    whole = x.size // ROW * ROW
    rows, rest = x[:whole].reshape(-1, ROW), x[whole:]
    return sum(np.vecdot(rows, rows).tolist(), float(rest.dot(rest)))


def _exact_power_sum(p: float, x: Array) -> float:
    return _power_sum(p, x.astype(np.float64))


@one_call("gradients")
def _scale_all(gradients: list[Array], norm: Any, max_norm: float) -> None:
    """Multiply all by min(1, max_norm / (norm + 1e-6)), in place, in NumPy."""
    factor = max_norm / (norm + 1e-6)
    if factor >= 1:
        return
    single, double = np.array(factor, FLOAT32), np.array(factor, np.float64)
    with np.errstate(invalid="ignore"):  # infinity times 0 is NaN
        for g in gradients:
            g *= double if g.itemsize == 8 else single


def _first_culprit(gradients: list[Tensor | RowSparse]) -> str:
    for i, gradient in enumerate(gradients):
        g = elements(gradient)
        if not array_module(g).isfinite(g).all():
            return (
                f"gradient {i} of {len(gradients)}, of shape {gradient.shape}, is the first cause"
            )
    return "each gradient is finite, but not their sum"
