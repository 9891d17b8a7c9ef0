"""Elementwise ops: each function of a number, with its derivative under its name.

In a rule `g` is the gradient of the result; a rule may give a gradient that its input broadcasts
to, and the engine sums it down. Where a function has a kink or a jump, the derivative there is a
choice, and the docstring says which.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.backend import FLOAT32, ArrayLike, array_module, as_array, is_array
from minigrad.devices import beside, near
from minigrad.recording import differentiable, operand
from minigrad.tape import Variable

if TYPE_CHECKING:
    from minigrad.tensor import Tensor

# --------------------------------------------------------------------- two operands


@differentiable(
    x1=lambda g: g,
    x2=lambda g: g,
)
def add(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Sum of each pair of elements, broadcast together."""
    return x1 + x2


@differentiable(
    x1=lambda g: g,
    x2=lambda g: -g,
)
def subtract(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Difference of each pair of elements, broadcast together."""
    return x1 - x2


@differentiable(
    x1=lambda g, x2: g * x2,
    x2=lambda g, x1: g * x1,
)
def multiply(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Product of each pair of elements, broadcast together."""
    return x1 * x2


@differentiable(
    x1=lambda g, x2: g / x2,
    x2=lambda g, x2, out: -g * out / x2,
)
def divide(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Quotient of each pair of elements, broadcast together."""
    return x1 / x2


def _log_or_zero(x: Any) -> Any:
    """log(x), and 0 in the place of log(0)."""
    if isinstance(x, int | float):
        return math.log(x) if x > 0 else 0.0 if x == 0 else math.nan
    return log(where(x == 0, 1.0, x))


@differentiable(
    # x2 - (x2 != 0) is x2 - 1, but 0 where x2 is 0: so 0 * x1**0 = 0, also for x1 = 0.
    x1=lambda g, x1, x2: g * (x2 * power(x1, x2 - (x2 != 0))),
    x2=lambda g, x1, out: g * out * _log_or_zero(x1),
)
def power(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """`x1` to the power `x2`, elementwise.

    The derivative with respect to `x2` is taken as 0 where `x1` is 0; for negative `x1` it is NaN.
    """
    return x1**x2


@differentiable(
    x1=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 > x2, g, 0.0)),
    x2=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x2 > x1, g, 0.0)),
)
def maximum(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """The larger of each pair of elements; NaN if either is. Ties share the gradient equally."""
    return array_module(x1, x2).maximum(x1, x2)


@differentiable(
    x1=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x1 < x2, g, 0.0)),
    x2=lambda g, x1, x2: where(x1 == x2, g * 0.5, where(x2 < x1, g, 0.0)),
)
def minimum(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """The smaller of each pair of elements; NaN if either is. Ties share the gradient equally."""
    return array_module(x1, x2).minimum(x1, x2)


@differentiable(
    x=lambda g, condition: where(condition, g, 0.0),
    y=lambda g, condition: where(condition, 0.0, g),
)
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Tensor:
    """`x` where `condition` holds, `y` elsewhere; all three broadcast together.

    An element that is not chosen gets the gradient 0. If the other branch's own derivative is
    infinite there, 0 times infinity is NaN all the same: keep its argument in its domain.
    """
    if isinstance(condition, list | bool):
        condition = near(np.asarray(condition), x if is_array(x) else y)
    return array_module(condition, x, y).where(condition, x, y)


@differentiable(
    x1=lambda g: g * 0.0,
    x2=lambda g: g * 0.0,
)
def floor_divide(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Largest integer not above x1 / x2. The derivatives are 0 everywhere, also at the jumps."""
    quotient = x1 // x2
    return _exact(x1, x2, quotient)[0] if _rounded(quotient) else quotient


@differentiable(
    x1=lambda g: g,
    x2=lambda g, x1, x2: -g * floor_divide(x1, x2),
)
def remainder(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """x1 - floor(x1 / x2) x2 for each pair of elements, with the sign of `x2`."""
    rest = x1 % x2
    return _exact(x1, x2, rest)[1] if _rounded(rest) else rest


def _rounded(result: Any) -> bool:
    """Whether it is CuPy's of floats: floor of a rounded quotient, so that 1 // 0.1 is 10."""
    return array_module(result) is not np and bool(result.dtype.kind == "f")


def _exact(x1: Any, x2: Any, like: Any) -> tuple[Any, ...]:
    """``x1 // x2`` and ``x1 % x2`` on a GPU as NumPy has them: fmod makes no error of rounding."""
    xp = array_module(like)
    x1, x2 = (xp.asarray(x, np.result_type(like.dtype, FLOAT32)) for x in (x1, x2))
    rest = xp.fmod(x1, x2)
    other_sign = (rest != 0) & ((rest < 0) != (x2 < 0))
    quotient = (x1 - rest) / x2 - other_sign  # an integer, but for rounding
    quotient = xp.floor(quotient) + (quotient - xp.floor(quotient) > 0.5)
    results = xp.where(x2 == 0, x1 / x2, quotient), xp.where(other_sign, rest + x2, rest)
    return tuple(result.astype(like.dtype, copy=False) for result in results)


# ------------------------------------------------------------- sign, powers, exponentials


@differentiable(x=lambda g: -g)
def negative(x: ArrayLike) -> Tensor:
    """Each element with its sign changed."""
    return -x


@differentiable(x=lambda g, x: g * sign(x))
def abs(x: ArrayLike) -> Tensor:
    """Absolute value of each element. The derivative at 0 is taken as 0."""
    return array_module(x).abs(x)


@differentiable(x=lambda g: g * 0.0)
def sign(x: ArrayLike) -> Tensor:
    """-1, 0 or 1 for each element, NaN for NaN. The derivative is 0 everywhere."""
    return array_module(x).sign(x)


@differentiable(x=lambda g, x: g * (x * 2))
def square(x: ArrayLike) -> Tensor:
    """Square of each element."""
    return x * x


@differentiable(x=lambda g, out: g * 0.5 / out)
def sqrt(x: ArrayLike) -> Tensor:
    """Square root of each element. The derivative at 0 is infinite."""
    return array_module(x).sqrt(x)


@differentiable(x=lambda g, out: g * out)
def exp(x: ArrayLike) -> Tensor:
    """E to the power of each element."""
    return array_module(x).exp(x)


@differentiable(x=lambda g, out: g * (out + 1))
def expm1(x: ArrayLike) -> Tensor:
    """exp(x) - 1 of each element, exact near 0."""
    return array_module(x).expm1(x)


@differentiable(x=lambda g, x: g / x)
def log(x: ArrayLike) -> Tensor:
    """Natural logarithm of each element."""
    return array_module(x).log(x)


@differentiable(x=lambda g, x: g / (x + 1))
def log1p(x: ArrayLike) -> Tensor:
    """log(1 + x) of each element, exact near 0."""
    return array_module(x).log1p(x)


# --------------------------------------------------------------------- circular functions


@differentiable(x=lambda g, x: g * cos(x))
def sin(x: ArrayLike) -> Tensor:
    """Sine of each element (radians)."""
    return array_module(x).sin(x)


@differentiable(x=lambda g, x: -g * sin(x))
def cos(x: ArrayLike) -> Tensor:
    """Cosine of each element (radians)."""
    return array_module(x).cos(x)


@differentiable(x=lambda g, out: g * (out * out + 1))
def tan(x: ArrayLike) -> Tensor:
    """Tangent of each element (radians)."""
    return array_module(x).tan(x)


@differentiable(x=lambda g, x: g / sqrt(1 - x * x))
def arcsin(x: ArrayLike) -> Tensor:
    """Inverse sine of each element, in [-pi/2, pi/2]."""
    return array_module(x).arcsin(x)


@differentiable(x=lambda g, x: -g / sqrt(1 - x * x))
def arccos(x: ArrayLike) -> Tensor:
    """Inverse cosine of each element, in [0, pi]."""
    return array_module(x).arccos(x)


@differentiable(x=lambda g, x: g / (x * x + 1))
def arctan(x: ArrayLike) -> Tensor:
    """Inverse tangent of each element, in [-pi/2, pi/2]."""
    return array_module(x).arctan(x)


# -------------------------------------------------------------------- hyperbolic functions


@differentiable(x=lambda g, x: g * cosh(x))
def sinh(x: ArrayLike) -> Tensor:
    """Hyperbolic sine of each element."""
    return array_module(x).sinh(x)


@differentiable(x=lambda g, x: g * sinh(x))
def cosh(x: ArrayLike) -> Tensor:
    """Hyperbolic cosine of each element."""
    return array_module(x).cosh(x)


@differentiable(x=lambda g, out: g * (1 - out * out))
def tanh(x: ArrayLike) -> Tensor:
    """Hyperbolic tangent of each element."""
    return array_module(x).tanh(x)


@differentiable(x=lambda g, x: g / (1 - x * x))
def arctanh(x: ArrayLike) -> Tensor:
    """Inverse hyperbolic tangent of each element."""
    return array_module(x).arctanh(x)


# ------------------------------------------------------------------------------ activations

_LOWEST_FOR_EXP = {
    np.dtype(t).char: -0.99 * math.log(np.finfo(t).max)
    for t in (np.float16, np.float32, np.float64)
}


@differentiable(x=lambda g, out: g * (out * (1 - out)))
def sigmoid(x: ArrayLike) -> Tensor:
    """Logistic function 1 / (1 + exp(-x)) of each element, exact in both tails."""
    xp = array_module(x)
    if x.dtype == np.float16:  # whose exp overflows long before the result is 0
        return sigmoid(x.astype(np.float32)).astype(np.float16)
    # Well below the lowest number exp(-x) would overflow; the result there is as good as 0.
    e = xp.maximum(x, _LOWEST_FOR_EXP.get(x.dtype.char, -700.0))
    if e.ndim == 0:
        return 1 / (1 + xp.exp(-e))
    xp.exp(xp.negative(e, out=e), out=e)
    e += 1
    return xp.divide(1, e, out=e)


@differentiable(x=lambda g, x: g * sigmoid(x))
def softplus(x: ArrayLike) -> Tensor:
    """log(1 + exp(x)) of each element, for arguments of any size."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@differentiable(x=lambda g, out: g * (out > 0))
def relu(x: ArrayLike) -> Tensor:
    """max(x, 0) of each element; NaN stays NaN. The derivative at 0 is taken as 0."""
    return array_module(x).maximum(x, 0)


@differentiable(x=lambda g, x, negative_slope: where(x > 0, g, g * negative_slope))
def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """X where it is positive, `negative_slope` * x elsewhere, which is the derivative at 0 too."""
    return array_module(x).where(x > 0, x, x * negative_slope)


@differentiable(x=lambda g, x, alpha: where(x > 0, g, g * alpha * exp(minimum(x, 0.0))))
def elu(x: ArrayLike, alpha: float = 1.0) -> Tensor:
    """X where it is positive, alpha (exp(x) - 1) elsewhere; the derivative at 0 is `alpha`.

    Clevert, Unterthiner and Hochreiter (2016), Fast and accurate deep network learning by
    exponential linear units.
    """
    xp = array_module(x)
    return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)) * alpha)


@differentiable(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))
def erf(x: ArrayLike) -> Tensor:
    """Error function of each element (NumPy has none: on the CPU Python's, element by element)."""
    xp = array_module(x)
    if xp is np:
        dtype = x.dtype if x.dtype.kind == "f" else np.float64
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(dtype)
    from cupyx.scipy import special

    return special.erf(x).astype(x.dtype if x.dtype.kind == "f" else np.float64, copy=False)


def gelu(x: ArrayLike, approximate: str = "none") -> Tensor:
    """X times the standard normal distribution function of x.

    Parameters
    ----------
    x
        any shape.
    approximate
        ``"none"``: with the error function; ``"tanh"``: with the approximation of Hendrycks and
        Gimpel (2016), Gaussian error linear units, which is faster.
    """
    x = operand(x)
    if approximate == "none":
        return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1)
    if approximate != "tanh":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return x * 0.5 * (tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1)


def silu(x: ArrayLike) -> Tensor:
    """X times sigmoid(x), also known as swish (Elfwing, Uchibe and Doya 2018)."""
    return multiply(x, sigmoid(x))


def _clip_gradient(g: Any, a: Any, a_min: Any, a_max: Any) -> Any:
    if a_min is not None:
        g = where(a < a_min, 0.0, g)
    if a_max is not None:
        g = where(a > a_max, 0.0, g)
    return g


@differentiable(a=_clip_gradient)
def _clip(a: Any, a_min: Any, a_max: Any) -> Any:
    return array_module(a).clip(a, a_min, a_max)


def clip(a: ArrayLike, a_min: ArrayLike = None, a_max: ArrayLike = None) -> Tensor:
    """`a` limited to [`a_min`, `a_max`] (None: no limit); NaN stays NaN.

    The derivative is 1 inside and on the limits, 0 outside. The limits are constants: where they
    need a gradient themselves, write ``minimum(maximum(a, a_min), a_max)``.
    """
    a = operand(a)
    limits = []
    for limit in (a_min, a_max):
        is_number = limit is None or isinstance(limit, int | float | Variable)
        if not is_number:
            limit = beside(limit, [a])
        limits.append(limit if is_number or a.dtype.kind != "f" else as_array(limit, a.dtype))
    return _clip(a, *limits)
