"""Clipping: gradients kept from becoming too large, which through time they easily do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from minigrad.arrays.devices import gpus, on_device_of, zeros
from minigrad.arrays.library import FLOAT32, Array, array_module
from minigrad.arrays.sums import wide
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.autograd.tape import mark_changed, wrap
from minigrad.errors.values import told
from minigrad.optim import norms
from minigrad.optim.arguments import check_number, in_order
from minigrad.optim.blocks import is_one_piece, pieces
from minigrad.tensor import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, by the factor that makes their common norm at most `max_norm`.

    The factor is min(1, max_norm / (norm + 1e-6)). Pascanu, Mikolov and Bengio, "On the difficulty
    of training recurrent neural networks" (2013).

    Parameters
    ----------
    parameters
        a Tensor, or several, whose ``.grad`` to scale; those without one are passed over, and one
        that is there twice counts once.
    max_norm
        the largest norm allowed; ``math.inf`` measures without scaling.
    norm_type
        p of the p-norm; ``math.inf`` (or ``"inf"``) for the largest absolute value.
    error_if_nonfinite
        raise, and leave the gradients as they are, if the norm is infinite or NaN. Without it an
        infinite norm makes the gradients 0 (the infinite elements NaN), a norm of NaN makes all of
        them NaN. On a GPU the host waits for the answer; for all else it does not, and
        ``optimizer.step(if_finite=norm)`` has the question answered there.

    Returns
    -------
    Tensor
        the norm before scaling, a single number, on the device of the gradients and of their dtype
        (of float16 gradients it is float32, since their norm may be larger than all of float16).
        It is exact to about the precision of that dtype, since the sums are in float64, on a GPU
        too (so a float32 norm is right from 1e-38 to 1e38, where the squares would not fit into
        float32).

    Raises
    ------
    ValueError
        if there are no parameters (an iterator that was used up?), a number is out of range, or the
        gradients are not all on one device, or one is in read-only memory. Nothing is changed then.
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
    on_gpu = _on_gpu(arrays)
    with np.errstate(over="ignore"):  # it is then summed again in float64
        norm = norms.common_norm(arrays, norm_type) if on_gpu else _norm(arrays, norm_type)
    if error_if_nonfinite and not bool(array_module(norm).isfinite(norm)):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of the gradients is {float(norm)}; nothing was scaled "
            f"({_first_culprit(gradients)})"
        )
    if max_norm != math.inf and on_gpu:
        norms.scale_all([_to_change(g) for g in gradients], norm, max_norm)
    elif max_norm != math.inf:
        with np.errstate(invalid="ignore"):  # infinity times 0, as documented
            factor = max_norm / (norm + 1e-6)
            if not factor >= 1:
                for gradient in gradients:
                    g = _to_change(gradient)
                    np.multiply(g, factor.astype(wide(g.dtype)), out=g, casting="same_kind")
    with on_device_of(norm):
        return _tensor(array_module(norm).asarray(norm, dtype=wide(gradients[0].dtype)))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Move each element of each gradient, in place, into [-clip_value, clip_value].

    Parameters
    ----------
    parameters
        a Tensor, or several, whose ``.grad`` to clip; those without one are passed over.
    clip_value
        the largest absolute value allowed. NaN stays NaN.

    Raises
    ------
    ValueError
        if there are no parameters (an iterator that was used up?), `clip_value` is negative, or a
        gradient is in read-only memory. Nothing is changed then.
    """
    check_number(clip_value, "clip_grad_value_: clip_value")
    bound = float(clip_value)
    gradients = _gradients(_tensors(parameters, "clip_grad_value_"))
    _check_changeable([elements(g) for g in gradients], "clip_grad_value_")
    arrays = [_to_change(g) for g in gradients]
    if _on_gpu(arrays):
        norms.clamp_all(arrays, bound)
        return
    for g in arrays:
        norms.clamp_one(g, bound)


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
                f"{where}: gradient {i}, {g.dtype} {g.shape}, is in read-only memory; put a copy "
                "into its place: p.grad = mg.tensor(array.copy())"
            )


def _to_change(gradient: Tensor | RowSparse) -> Array:
    """The numbers of a gradient, which the tape is told are about to change."""
    if isinstance(gradient, Tensor):
        mark_changed(gradient)
    return elements(gradient)


def _tensor(array: Array) -> Tensor:
    """A Tensor of `array`, where that is; ``Tensor(array)`` would go to the default device."""
    tensor: Tensor = wrap(array)
    return tensor


def _on_gpu(arrays: list[Array]) -> bool:
    return bool(gpus) and any(type(x) is not np.ndarray for x in arrays)


def _norm(gradients: list[Array], p: float) -> Any:
    """The p-norm of all elements, in NumPy."""
    if p == math.inf:
        parts = [np.maximum(g.max(), -g.min()) for g in gradients if g.size]
        return reduce(np.maximum, parts, np.zeros((), FLOAT32))
    return np.float64(sum(_power_sum(g, p) for g in gradients)) ** (1 / p)


def _power(g: Array, p: float) -> Any:
    """The sum of |x|ᵖ over all elements x of `g`, in one read of it if p is 2."""
    return np.vdot(g, g) if p == 2 else (abs(g) ** p).sum()


def _power_sum(g: Array, p: float) -> float:
    """The same, summed in float64 piece by piece; wholly in float64 if that is out of range."""
    if is_one_piece(g):
        total = float(_power(g, p))
    else:
        total = sum(float(_power(g[piece], p)) for piece in pieces(g))
    if 1e-30 < total < math.inf and g.itemsize > 2:
        return total
    return sum(float(_power(g[piece].astype(np.float64), p)) for piece in pieces(g))


def _first_culprit(gradients: list[Tensor | RowSparse]) -> str:
    for i, gradient in enumerate(gradients):
        g = elements(gradient)
        if not array_module(g).isfinite(g).all():
            return (
                f"gradient {i} of {len(gradients)}, of shape {gradient.shape}, is the first cause"
            )
    return "each gradient is finite, but not their sum"
