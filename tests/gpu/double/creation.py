"""CuPy's functions that make arrays, and `copyto`, which fills them."""

import numpy as np

from .arithmetic import check_cast
from .arrays import SCALARS, ndarray, new, run, supported, to_device
from .counts import count
from .devices import current, poisoned


def is_array(value):
    """Whether it is an array on a device, or has one in it."""
    if isinstance(value, tuple | list):
        return any(is_array(item) for item in value)
    return isinstance(value, ndarray)


def _stacked(arrays):
    for x in arrays:
        if not isinstance(x, ndarray):  # NumPy is asked to make an array of them
            raise TypeError("Implicit conversion to a NumPy array is not allowed")
    return run("array", np.stack, (arrays,), {})


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """A new array on the current device: of numbers, of a NumPy array, or of device arrays."""
    order = order or "K"
    if isinstance(obj, tuple | list) and is_array(obj):
        obj = _stacked([array(item) if isinstance(item, list) else item for item in obj])
        copy = False
    if isinstance(obj, ndarray):
        here = obj if obj._memory.device == current() else obj.copy()
        result = here.astype(obj.dtype if dtype is None else dtype, order, copy=bool(copy))
    else:
        if not isinstance(obj, (np.ndarray, list, tuple, *SCALARS)):
            raise TypeError(f"array: Unsupported type {type(obj)}")
        host = np.array(obj, dtype, order=order)
        if not host.ndim and host == 0:
            host = np.zeros((), host.dtype)  # CuPy fills with bytes of 0: -0.0 becomes 0.0
        if isinstance(obj, SCALARS):
            count("kernels", "array of a number")
            result = new(host, "array")
        else:
            result = to_device(host)
    missing_axes = max(ndmin - result.ndim, 0)
    return result.reshape((1,) * missing_axes + result.shape) if missing_axes else result


def asarray(a, dtype=None, order=None, *, blocking=False):
    """`a` itself if it is on the current device and of that dtype, else a copy."""
    return array(a, dtype, copy=False, order=order)


def ascontiguousarray(a, dtype=None):
    """`a` in C's order, with one axis at the least."""
    a = asarray(a, dtype, "C")
    return a if a.ndim else a.reshape(1)


def asfortranarray(a, dtype=None):
    """`a` in Fortran's order."""
    return asarray(a, dtype, "F")


def copy(a, order="K"):
    """A copy."""
    return array(a, order=order)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """A copy as a NumPy array."""
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def _shape(shape):
    if is_array(shape):
        raise TypeError("'ndarray' object cannot be interpreted as an integer")
    return shape


def empty(shape, dtype=float, order="C"):
    """New memory; the double fills it with NaN, or the largest number."""
    return new(poisoned(_shape(shape), supported(dtype), order), "empty")


def zeros(shape, dtype=float, order="C"):
    """Zeros."""
    count("kernels", "zeros")
    return new(np.zeros(_shape(shape), supported(dtype), order), "zeros")


def ones(shape, dtype=float, order="C"):
    """Ones."""
    count("kernels", "ones")
    return new(np.ones(_shape(shape), supported(dtype), order), "ones")


def full(shape, fill_value, dtype=None, order="C"):
    """Copies of `fill_value`."""
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else np.array(fill_value).dtype
    result = new(poisoned(_shape(shape), supported(dtype), order), "full")
    copyto(result, fill_value, casting="unsafe")
    return result


def _like(a, dtype, order, shape):
    """Memory for an array like the device array `a`."""
    if not isinstance(a, ndarray):
        raise TypeError(f"expected an array of CuPy's, got {type(a)}")
    return np.empty_like(a._hidden, None if dtype is None else supported(dtype), order, shape=shape)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None, *, device=None):
    """New memory, in the order of `prototype`."""
    like = _like(prototype, dtype, order, shape)
    like[...] = poisoned((), like.dtype)
    return new(like, "empty_like")


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None, *, device=None):
    """Copies of `fill_value`."""
    result = new(_like(a, dtype, order, shape), "full_like")
    copyto(result, fill_value, casting="unsafe")
    return result


def zeros_like(a, dtype=None, order="K", subok=None, shape=None, *, device=None):
    """Zeros."""
    return full_like(a, 0, dtype, order, shape=shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None, *, device=None):
    """Ones."""
    return full_like(a, 1, dtype, order, shape=shape)


def arange(start, stop=None, step=1, dtype=None):
    """Numbers at equal distances; an end that is on the device is fetched first."""
    if is_array((stop, step)):
        raise TypeError("arange: stop and step must be numbers of the host's")
    start = start.item() if isinstance(start, ndarray) else start
    count("kernels", "arange")
    bounds = (0, start) if stop is None else (start, stop)
    return new(np.arange(*bounds, step, dtype), "arange")


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` numbers at equal distances."""
    if is_array((start, stop)):
        raise NotImplementedError("linspace: the strict double takes numbers only")
    count("kernels", "linspace")
    made = np.linspace(start, stop, num, endpoint, retstep, dtype, axis)
    return (new(made[0], "linspace"), made[1]) if retstep else new(made, "linspace")


def eye(N, M=None, k=0, dtype=float, order="C"):
    """Ones on a diagonal."""
    count("kernels", "eye")
    return new(np.eye(N, M, k, supported(dtype), order), "eye")


def identity(n, dtype=float):
    """Ones on the diagonal."""
    return eye(n, dtype=dtype)


def copyto(dst, src, casting="same_kind", where=None):
    """Write `src`, an array or a number, into `dst`."""
    if not isinstance(dst, ndarray):
        raise AttributeError(f"copyto: dst is a {type(dst)}, no array of CuPy's")
    if isinstance(src, np.ndarray) and src.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    if isinstance(src, np.ndarray):
        src = src[()]
    if not isinstance(src, (ndarray, *SCALARS)):
        raise AttributeError(f"copyto: {type(src)} has no attribute 'dtype'")
    others = {} if where is None else {"where": where}

    def write(dst, src, **others):
        check_cast("copyto", src if isinstance(src, np.ndarray) else 0, dst.dtype)
        np.copyto(dst, src, casting, **others)

    run("copyto", write, (dst, src), others)
