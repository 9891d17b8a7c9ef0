"""Where CuPy's kernels compute something else than NumPy.

A quotient of floats is rounded down after it was rounded: 1.0 // 0.1 is 10, and what remains is
taken with that (a GPU, which rounds the product and the difference together, may give a little
less than 0). An integer to a negative power is rounded to 0. Bounds that are NaN do not clip. What
C++ leaves undefined is refused: NaN, infinity, or a number out of range as an integer (CUDA's
manual: "the behavior is undefined"), and a shift by more bits than there are.
"""

import numpy as np

UNDEFINED = "on a GPU it is undefined what comes of it"


def _single(x1, x2):
    """Both in float32 if they make float16: CuPy computes that so."""
    if np.result_type(x1, x2) == np.float16:
        return np.asarray(x1, np.float32), np.asarray(x2, np.float32)
    return x1, x2


def floor_divide(x1, x2):
    dtype = np.result_type(x1, x2)
    if dtype.kind != "f":
        return np.floor_divide(x1, x2)
    return np.floor(np.true_divide(*_single(x1, x2))).astype(dtype)


def remainder(x1, x2):
    dtype = np.result_type(x1, x2)
    if dtype.kind != "f":
        return np.remainder(x1, x2)
    a, b = _single(x1, x2)
    return (a - np.floor(np.true_divide(a, b)) * b).astype(dtype)


def divmod_(x1, x2):
    return floor_divide(x1, x2), remainder(x1, x2)


def power(x1, x2):
    dtype = np.result_type(x1, x2)
    if dtype.kind != "i":
        return np.power(x1, x2)
    base, exponent = np.asarray(x1, dtype), np.asarray(x2, dtype)
    sign = np.where(exponent % 2 == 1, base, base * base)
    negative = np.where(np.abs(base) == 1, sign, 0)
    return np.where(exponent < 0, negative, np.power(base, np.maximum(exponent, 0))).astype(dtype)


def reciprocal(x):
    if np.asarray(x).dtype.kind not in "iu":
        return np.reciprocal(x)
    return np.where(x == 0, 0, np.reciprocal(np.where(x == 0, 1, x))).astype(x.dtype)


def _shift(function):
    def shift(x1, x2):
        bits = 8 * np.result_type(x1, x2).itemsize
        if np.any((np.asarray(x2) < 0) | (np.asarray(x2) >= bits)):
            raise RuntimeError(f"{function.__name__} of {bits} bits by fewer than 0 or as many")
        return function(x1, x2)

    return shift


def clip(a, a_min=None, a_max=None, out=None):
    if a_min is None and a_max is None:
        raise ValueError("array_clip: must set either max or min")
    y = a
    for bound, outside in ((a_min, np.less), (a_max, np.greater)):
        if bound is not None:
            y = np.where(outside(y, bound), bound, y)
    if out is None:
        return y
    np.copyto(out, y, casting="same_kind")
    return out


def as_ufunc(function):
    """`function` of arrays with the options that a ufunc has."""

    def call(*args, out=None, dtype=None, casting="same_kind"):
        if dtype is not None:
            args = [np.asarray(x).astype(dtype) for x in args]
        result = function(*args)
        if out is None:
            return result
        several = isinstance(result, tuple)
        outs = out if isinstance(out, tuple) else (out,)
        for o, r in zip(outs, result if several else (result,), strict=True):
            np.copyto(o, r, casting=casting)
        return outs if several else outs[0]

    return call


OWN = {
    "divmod": as_ufunc(divmod_),
    "floor_divide": as_ufunc(floor_divide),
    "left_shift": as_ufunc(_shift(np.left_shift)),
    "power": as_ufunc(power),
    "reciprocal": as_ufunc(reciprocal),
    "remainder": as_ufunc(remainder),
    "right_shift": as_ufunc(_shift(np.right_shift)),
}
"""Ufuncs that compute otherwise than NumPy's."""


def check_cast(op, values, dtype):
    """Raise RuntimeError if floats among `values` do not fit into the integers of `dtype`."""
    values, dtype = np.asarray(values), np.dtype(dtype)
    if values.dtype.kind != "f" or dtype.kind not in "iu":
        return
    whole, limits = np.trunc(values.astype(float)), np.iinfo(dtype)
    if not ((whole >= float(limits.min)) & (whole < float(limits.max) + 1)).all():
        raise RuntimeError(f"{op}: NaN, infinity or a number out of range as {dtype}; {UNDEFINED}")
