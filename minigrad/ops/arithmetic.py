"""Elementwise ops: each function beside its derivative.

In a rule `g` is the gradient of the result, and `out` is the result. If an input was broadcast, the
engine sums the gradient down to the input's shape. Where a function has a kink or a jump, its
derivative there is a choice, and the docstring says which.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.arrays.devices import beside
from minigrad.arrays.library import (
    FLOAT32,
    Array,
    ArrayLike,
    DType,
    array_module,
    as_array,
    bare,
    is_array,
    may_look,
    on_gpu,
)
from minigrad.arrays.sums import wide
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.tensor import Tensor

# ----------------------------------------------------------------------- sums, products, quotients


@differentiable(
    x1=lambda g: g,
    x2=lambda g: g,
)
def add(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Sum of each pair of elements, broadcast together."""
    return x1 + x2


@differentiable(
    x1=lambda g: g,
    x2=lambda g: -g,
)
def subtract(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Difference of each pair of elements, broadcast together."""
    return x1 - x2


@differentiable(x=lambda g: -g)
def negative(x: ArrayLike) -> Array:
    """Each element with its sign changed."""
    return -x


@differentiable(
    x1=lambda g, x2: g * x2,
    x2=lambda g, x1: g * x1,
)
def multiply(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Product of each pair of elements, broadcast together."""
    return x1 * x2


@differentiable(
    x1=lambda g, x2: g / x2,
    x2=lambda g, x2, out: -g * out / x2,  # d (x1 / x2) / d x2 = -x1 / x2^2
)
def divide(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Quotient of each pair of elements, broadcast together."""
    return x1 / x2


# ------------------------------------------------------------------------- powers and exponentials


@differentiable(x=lambda g, x: g * (x * 2))
def square(x: ArrayLike) -> Array:
    """Square of each element."""
    return x * x


@differentiable(x=lambda g, out: g * 0.5 / out)  # sqrt' = 1 / (2 sqrt)
def sqrt(x: ArrayLike) -> Array:
    """Square root of each element. The derivative at 0 is infinite."""
    return array_module(x).sqrt(x)


@differentiable(x=lambda g, out: g * out)
def exp(x: ArrayLike) -> Array:
    """e^x for each element x."""
    return array_module(x).exp(x)


@differentiable(x=lambda g, x: g * exp(x))
def expm1(x: ArrayLike) -> Array:
    """exp(x) - 1 of each element, exact near 0."""
    return array_module(x).expm1(x)


@differentiable(x=lambda g, x: g / x)
def log(x: ArrayLike) -> Array:
    """Natural logarithm of each element."""
    return array_module(x).log(x)


@differentiable(x=lambda g, x: g / (x + 1))
def log1p(x: ArrayLike) -> Array:
    """log(1 + x) of each element, exact near 0."""
    return array_module(x).log1p(x)


# ------------------------------------------------------------------------------ circular functions


def _sin_gradient(g: Any, x: Any) -> Any:
    return g * cos(x)


@differentiable(x=_sin_gradient)
def sin(x: ArrayLike) -> Array:
    """Sine of each element (radians)."""
    return array_module(x).sin(x)


@differentiable(x=lambda g, x: -g * sin(x))
def cos(x: ArrayLike) -> Array:
    """Cosine of each element (radians)."""
    return array_module(x).cos(x)


@differentiable(x=lambda g, out: g * (out * out + 1))  # tan' = 1 + tan^2
def tan(x: ArrayLike) -> Array:
    """Tangent of each element (radians)."""
    return array_module(x).tan(x)


@differentiable(x=lambda g, x: g / sqrt((1 - x) * (x + 1)))  # arcsin'(x) = 1 / sqrt(1 - x^2)
def arcsin(x: ArrayLike) -> Array:
    """Inverse sine of each element, in [-pi/2, pi/2]."""
    return array_module(x).arcsin(x)


@differentiable(x=lambda g, x: -g / sqrt((1 - x) * (x + 1)))
def arccos(x: ArrayLike) -> Array:
    """Inverse cosine of each element, in [0, pi]."""
    return array_module(x).arccos(x)


def _arctan_gradient(g: Any, x: Any) -> Any:
    """arctan'(x) = 1 / (1 + x^2)."""
    wider = in_dtype(x, wide(x.dtype))  # the square of 256 is infinite in float16
    with np.errstate(over="ignore"):
        return in_dtype(g / (wider * wider + 1), x.dtype)


@differentiable(x=_arctan_gradient)
def arctan(x: ArrayLike) -> Array:
    """Inverse tangent of each element, in [-pi/2, pi/2]."""
    return array_module(x).arctan(x)


# ---------------------------------------------------------------------------- hyperbolic functions


def _sinh_gradient(g: Any, x: Any) -> Any:
    return g * cosh(x)


@differentiable(x=_sinh_gradient)
def sinh(x: ArrayLike) -> Array:
    """Hyperbolic sine of each element."""
    return array_module(x).sinh(x)


@differentiable(x=lambda g, x: g * sinh(x))
def cosh(x: ArrayLike) -> Array:
    """Hyperbolic cosine of each element."""
    return array_module(x).cosh(x)


@differentiable(x=lambda g, out: g * (1 - out * out))  # tanh' = 1 - tanh^2
def tanh(x: ArrayLike) -> Array:
    """Hyperbolic tangent of each element."""
    return array_module(x).tanh(x)


@differentiable(x=lambda g, x: g / ((1 - x) * (x + 1)))  # arctanh'(x) = 1 / (1 - x^2)
def arctanh(x: ArrayLike) -> Array:
    """Inverse hyperbolic tangent of each element."""
    return array_module(x).arctanh(x)


# ---------------------------------------------------------------------------------------- choosing


def _gradient_if_chosen(g: Any, condition: Any) -> Any:
    return where(condition, g, 0.0)


def _gradient_if_not_chosen(g: Any, condition: Any) -> Any:
    return where(condition, 0.0, g)


@differentiable(x=_gradient_if_chosen, y=_gradient_if_not_chosen)
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array:
    """`x` where `condition` holds, `y` elsewhere; all three broadcast together.

    An element that is not chosen gets the gradient 0. But if it was computed by a function with an
    infinite derivative there, the result is 0 times infinity, which is NaN. To avoid this, keep the
    argument of that function in its domain.
    """
    if not is_array(condition) and not isinstance(condition, Tensor):
        condition = beside(np.array(condition), x if is_array(x) else y)
    if _is_zero(y) and is_array(x) and not on_gpu(x):
        return _kept(x, condition)
    if _is_zero(x) and is_array(y) and not on_gpu(y):
        return _kept(y, condition == 0)
    return array_module(condition, x, y).where(condition, x, y)


def _is_zero(x: Any) -> bool:
    """Whether `x` is the Python number 0.0, not -0.0."""
    return type(x) is float and x == 0 and math.copysign(1, x) > 0


def _kept(x: Array, condition: Array) -> Array:
    """np.where(condition, x, 0.0) on the bits: much faster if the condition has no pattern."""
    if x.dtype.char not in "efd" or condition.dtype != np.bool_:
        return np.where(condition, x, 0.0)
    bits = np.dtype(f"i{x.itemsize}")
    return (x.view(bits) & -condition.astype(bits)).view(x.dtype)


@differentiable(
    x1=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 < x2, 0.0, g)),
    x2=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 > x2, 0.0, g)),
)
def maximum(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The larger of each pair of elements; NaN if one is NaN.

    The gradient goes to the larger element. Equal elements get half of it each; if one is NaN, both
    get all of it.
    """
    return array_module(x1, x2).maximum(x1, x2)


@differentiable(
    x1=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 > x2, 0.0, g)),
    x2=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 < x2, 0.0, g)),
)
def minimum(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The smaller of each pair of elements; NaN if one is NaN.

    The gradient goes to the smaller element. Equal elements get half of it each; if one is NaN,
    both get all of it.
    """
    return array_module(x1, x2).minimum(x1, x2)


def _clip_gradient(g: Any, a: Any, a_min: Any, a_max: Any) -> Any:
    if a_min is not None:
        g = where(a < a_min, 0.0, g)
    if a_max is not None:
        g = where(a > a_max, 0.0, g)
    return g


@differentiable(a=_clip_gradient)
def _clip(a: Any, a_min: Any, a_max: Any) -> Array:
    return array_module(a).clip(a, a_min, a_max)


def clip(a: ArrayLike, a_min: ArrayLike = None, a_max: ArrayLike = None) -> Tensor:
    """`a` limited to [`a_min`, `a_max`] (None: no limit); NaN stays NaN.

    The derivative is 1 between the limits and on them, 0 outside. The limits are constants; if they
    need a gradient too, write ``minimum(maximum(a, a_min), a_max)``.
    """
    a = operand(a)
    limits = []
    for limit in (a_min, a_max):
        is_number = limit is None or isinstance(limit, int | float | Tensor)
        if not is_number:
            limit = operand(limit, [a])
        limits.append(limit if is_number or a.dtype.kind != "f" else as_array(limit, a.dtype))
    return _clip(a, *limits)


# --------------------------------------------------------------------------------- kinks and jumps


@differentiable(x=lambda g: where(False, g, 0.0))
def sign(x: ArrayLike) -> Array:
    """-1, 0 or 1 for each element, NaN for NaN. The derivative is 0 everywhere."""
    return array_module(x).sign(x)


@differentiable(x=lambda g, x: selected(g, sign(x)))
def abs(x: ArrayLike) -> Array:
    """Absolute value of each element. The derivative at 0 is taken as 0."""
    return array_module(x).abs(x)


@differentiable(
    x1=lambda g: where(False, g, 0.0),
    x2=lambda g: where(False, g, 0.0),
)
def floor_divide(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The largest integer not above x1 / x2. The derivatives are 0 everywhere, also at jumps."""
    quotient = x1 // x2
    return _exact(x1, x2, quotient)[0] if _rounded(quotient) else quotient


@differentiable(
    x1=lambda g: g,
    x2=lambda g, x1, x2: -selected(g, floor_divide(x1, x2)),
)
def remainder(x1: ArrayLike, x2: ArrayLike) -> Array:
    """x1 - floor(x1 / x2) x2 for each pair of elements, with the sign of `x2`."""
    rest = x1 % x2
    return _exact(x1, x2, rest)[1] if _rounded(rest) else rest


def _rounded(result: Any) -> bool:
    """Whether `result` is CuPy's, of floats: the floor of a rounded quotient, so 1 // 0.1 is 10."""
    return on_gpu(result) and bool(result.dtype.kind == "f")


def _exact(x1: Any, x2: Any, like: Any) -> tuple[Any, ...]:
    """``x1 // x2`` and ``x1 % x2`` on a GPU, as in NumPy: fmod makes no rounding error."""
    xp = array_module(like)
    x1, x2 = (xp.asarray(x, np.result_type(like.dtype, FLOAT32)) for x in (x1, x2))
    rest = xp.fmod(x1, x2)
    other_sign = (rest != 0) & ((rest < 0) != (x2 < 0))
    quotient = (x1 - rest) / x2 - other_sign  # an integer, except for rounding errors
    quotient = xp.floor(quotient) + (quotient - xp.floor(quotient) > 0.5)
    results = xp.where(x2 == 0, x1 / x2, quotient), xp.where(other_sign, rest + x2, rest)
    return tuple(result.astype(like.dtype, copy=False) for result in results)


# ------------------------------------------------------------------------------ powers of any base


def _log_or_zero(x: Any) -> Any:
    """log(x), but 0 for log(0)."""
    if isinstance(x, int | float):
        return math.log(x) if x > 0 else 0.0 if x == 0 else math.nan
    return log(where(x == 0, 1.0, x))


def _base_gradient(g: Any, x1: Any, x2: Any) -> Any:
    """d x1^x2 / d x1 = x2 x1^(x2 - 1)."""
    flat = x2 == 0  # x1^0 is 1 for all x1
    if flat is not False:
        g = where(flat, 0.0, g)
    return g * (x2 * power(x1, x2 - (x2 != 0)))  # where x2 is 0: not 0 * 0^-1, which is NaN


def _exponent_gradient(g: Any, x1: Any, out: Any) -> Any:
    """d x1^x2 / d x2 = x1^x2 log(x1)."""
    zero = x1 == 0
    return where(zero, 0.0, g) * where(zero, 0.0, out) * _log_or_zero(x1)


@differentiable(x1=_base_gradient, x2=_exponent_gradient)
def power(x1: ArrayLike, x2: ArrayLike) -> Array:
    """`x1` to the power `x2`, elementwise.

    The derivative with respect to `x2` is taken as 0 where `x1` is 0; it is NaN for negative `x1`.
    """
    return x1**x2


# ---------------------------------------------------------------------- for the rules of other ops


def selected(g: Any, factor: Any) -> Any:
    """``g * factor``, but 0 instead of NaN where `g` is infinite and the factor is 0."""
    bare_g, bare_factor = (bare(x) for x in (g, factor))
    infinite = array_module(bare_g).isinf(bare_g)
    if may_look(bare_g) and not infinite.any():
        return g * factor
    return where(infinite & (bare_factor == 0), 0.0, g) * factor


def in_dtype(x: Any, dtype: DType) -> Any:
    """The array or Tensor `x` in `dtype`; `x` itself if it has it already."""
    return x if x.dtype == dtype else x.astype(dtype)
