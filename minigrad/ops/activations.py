"""Activation functions, exact for arguments of any size; tanh is in `minigrad.ops.arithmetic`.

At an infinity each function gives its limit. float16 is computed in float32 where it would overflow
or lose too many digits. At NaN the gradient is passed on, or is NaN itself, so NaN can be traced.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.arrays.library import Array, ArrayLike, array_module, on_gpu
from minigrad.arrays.recording import one_call
from minigrad.arrays.sums import wide
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import clip, exp, in_dtype, minimum, where
from minigrad.tensor import Tensor

# -------------------------------------------------------------------------------------- rectifiers


@differentiable(x=lambda g, out: where(out <= 0, 0.0, g))
def relu(x: ArrayLike) -> Array:
    """max(x, 0) of each element; NaN stays NaN. The derivative at 0 is taken as 0."""
    return array_module(x).maximum(x, 0)


def _leaky_relu_gradient(g: Any, x: Any, negative_slope: float) -> Any:
    return where(x <= 0, g * negative_slope if negative_slope else 0.0, g)


@differentiable(x=_leaky_relu_gradient)
def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """x where it is positive, else `negative_slope` x; the derivative at 0 is `negative_slope`."""
    return array_module(x).where(x <= 0, x * negative_slope if negative_slope else 0, x)


@differentiable(x=lambda g, x, alpha: where(x > 0, g, g * alpha * exp(minimum(x, 0.0))))
def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha (exp(x) - 1); the derivative at 0 is `alpha`.

    Clevert, Unterthiner and Hochreiter (2016), Fast and accurate deep network learning by
    exponential linear units.
    """
    xp = array_module(x)
    return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)) * alpha)


# --------------------------------------------------------------------------- the logistic function


_LOWEST_FOR_EXP = {
    np.dtype(t).char: -0.99 * math.log(np.finfo(t).max) for t in (np.float32, np.float64)
}


@differentiable(x=lambda g, out: g * (out * (1 - out)))  # s' = s (1 - s)
def sigmoid(x: ArrayLike) -> Array:
    """Logistic function 1 / (1 + exp(-x)) of each element, exact in both tails."""
    xp, x = array_module(x), _floats(x)
    if x.dtype == np.float16:  # its exp overflows long before the result is 0
        return sigmoid(x.astype(np.float32)).astype(np.float16)
    out = xp.empty_like(x)
    _sigmoid_into(out, x)
    return out


@one_call("out")
def _sigmoid_into(out: Array, x: Array) -> None:
    if not on_gpu(x) and np.minimum.reduce(x, None, initial=0.0) > _LOWEST_FOR_EXP[x.dtype.char]:
        np.negative(x, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        np.divide(1, out, out=out)
        return
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))  # exp(-x) itself might overflow
    xp.divide(xp.where(x < 0, e, 1), e + 1, out=out)


@differentiable(x=lambda g, x: g * sigmoid(x))
def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x)) of each element, for arguments of any size."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _silu_gradient(g: Any, x: Any) -> Any:
    """(x s)' = s + x s (1 - s), with s = sigmoid(x)."""
    wider = in_dtype(x, wide(x.dtype))
    s = sigmoid(wider)
    return g * in_dtype(s + clip(wider, -_FAR, _FAR) * (s * (1 - s)), x.dtype)


@differentiable(x=_silu_gradient)
def silu(x: ArrayLike) -> Array:
    """x sigmoid(x), also known as swish (Elfwing, Uchibe and Doya 2018); 0 at -infinity."""
    x = _floats(x)
    wider = x.astype(wide(x.dtype), copy=False)
    return _times(wider, sigmoid(wider)).astype(x.dtype, copy=False)


# ------------------------------------------------------------------------- the normal distribution


@differentiable(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * _bell(x))  # 2 / sqrt(pi) exp(-x^2)
def erf(x: ArrayLike) -> Array:
    """Error function of each element; NumPy has none, so on the CPU it is Python's `math.erf`."""
    return _each(math.erf, "erf", x)


@one_call()
def _each(function: Any, name: str, x: Array) -> Array:
    """A function of Python's `math` for each element; on a GPU CuPy's function of this `name`."""
    x = _floats(x)
    if not on_gpu(x):
        return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(x.dtype)
    from cupyx.scipy import special

    return getattr(special, name)(x).astype(x.dtype, copy=False)


def _bell(x: Any) -> Any:
    """exp(-x^2), without an overflow of x^2."""
    x = clip(x, -30.0, 30.0)  # from 28 on it is 0 in float64
    return exp(-x * x)


@differentiable(x=lambda g, x: g * (_bell(x * math.sqrt(0.5)) * (1 / math.sqrt(2 * math.pi))))
def _normal_cdf(x: Array) -> Array:
    """Phi(x), the standard normal distribution function, exact in its left tail."""
    return _each(math.erfc, "erfc", x * -math.sqrt(0.5)) * 0.5


def _gelu_gradient(g: Any, x: Any, approximate: str) -> Any:
    """(x Phi(x))' = Phi(x) + x Phi'(x), with Phi'(x) = exp(-x^2 / 2) / sqrt(2 pi)."""
    dtype = x.dtype
    x = in_dtype(x, wide(dtype))
    near = clip(x, -_FAR, _FAR)
    if approximate == "none":
        slope = _normal_cdf(x) + near * (_bell(x * math.sqrt(0.5)) * (1 / math.sqrt(2 * math.pi)))
    else:
        share = sigmoid(_doubled_angle(x))
        slope = share + near * (share * (1 - share)) * (near * near * (6 * _CUBIC) + 2) * _SCALE
    return g * in_dtype(slope, dtype)


@differentiable(x=_gelu_gradient)
def _gelu(x: Array, approximate: str) -> Array:
    x = _floats(x)
    wider = x.astype(wide(x.dtype), copy=False)
    share = _normal_cdf(wider) if approximate == "none" else sigmoid(_doubled_angle(wider))
    return _times(wider, share).astype(x.dtype, copy=False)


def gelu(x: ArrayLike, approximate: str = "none") -> Tensor:
    """x Phi(x), with the standard normal distribution function Phi; 0 at -infinity.

    Parameters
    ----------
    x
        any shape.
    approximate
        ``"none"``: the error function; ``"tanh"``: the approximation of Hendrycks and Gimpel
        (2016), Gaussian error linear units, which is faster.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return _gelu(operand(x), approximate)


_SCALE, _CUBIC = math.sqrt(2 / math.pi), 0.044715  # of Hendrycks and Gimpel


def _doubled_angle(x: Any) -> Any:
    """2 u in gelu's approximation x (1 + tanh(u)) / 2, which is x sigmoid(2 u)."""
    x = clip(x, -_FAR, _FAR)
    return (x + x * x * x * _CUBIC) * (2 * _SCALE)


# ---------------------------------------------------------------------------- float16 and infinity


_FAR = 1e3  # from here on the slopes of silu and gelu are constant in any dtype


def _floats(x: Array) -> Array:
    """`x`, or integers as float64."""
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _times(x: Array, share: Array) -> Array:
    """x times its share, but 0 where x is -infinity and the share is 0."""
    return array_module(x).maximum(x, float(np.finfo(x.dtype).min)) * share
