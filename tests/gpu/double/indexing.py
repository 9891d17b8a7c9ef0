"""``x[key]`` and ``x[key] = value`` as CuPy has them."""

import numpy as np

from .arithmetic import check_cast
from .arrays import ndarray, new, on_current_device, run, to_device, view
from .counts import copy_to_host


def wrapped(index, length):
    """Indices of any size, brought into range as CuPy does: silently, by the remainder."""
    if index.dtype.kind not in "iu":
        raise IndexError(
            f"arrays used as indices must be of integer or boolean type. (actual: {index.dtype})"
        )
    return index % length if length else index


def resolve(key, shape):
    """`key` as NumPy understands it, and the device arrays in it.

    Lists and NumPy arrays are copied to the device; of a mask the device counts the elements, for
    which the host waits.
    """
    keys = [_on_device(k) for k in (key if isinstance(key, tuple) else (key,))]
    used = sum(_axes(k) for k in keys)
    result, arrays, axis = [], [], 0
    for k in keys:
        if k is Ellipsis:
            axis += len(shape) - used
            result.append(k)
            continue
        if isinstance(k, ndarray):
            arrays.append(k)
            if k.dtype == bool:
                copy_to_host("a mask as an index")
                result.append(k._hidden)
            elif axis < len(shape):
                result.append(wrapped(k._hidden, shape[axis]))
            else:
                raise IndexError(f"too many indices for an array of shape {shape}")
        elif isinstance(k, slice):
            result.append(slice(*[_bound(b) for b in (k.start, k.stop, k.step)]))
        else:
            result.append(k)
        axis += _axes(k)
    if not any(k is Ellipsis for k in result):
        result.append(Ellipsis)  # with it x[0, 0] is a view
    return tuple(result), arrays


def _on_device(key):
    if isinstance(key, str):
        raise ValueError(f"invalid literal for int() with base 10: {key!r}")
    if isinstance(key, list):
        key = np.asarray(key, dtype=None if key else np.intp)
    if isinstance(key, bool | np.bool_):
        return new(np.asarray(key), "getitem")
    if isinstance(key, np.ndarray):
        return to_device(key) if key.ndim else key[()]
    return key


def _axes(key):
    """How many axes of the array a part of a key stands for."""
    if key is None or key is Ellipsis:
        return 0
    return key.ndim if isinstance(key, ndarray) and key.dtype == bool else 1


def _bound(value):
    """Where a slice begins or ends; what is on the device has to be fetched."""
    return int(value) if isinstance(value, ndarray) else value


def getitem(self, key):
    """``x[key]``: a view, or with arrays in `key` a new array."""
    resolved, arrays = resolve(key, self.shape)
    if not arrays:
        try:
            return view(self, self._hidden[resolved])
        except IndexError as error:
            raise IndexError(str(error).capitalize()) from None  # as CuPy writes it
    on_current_device("getitem", [self, *arrays])
    return run("getitem", lambda hidden: hidden[resolved], (self,), {})


def setitem(self, key, value):
    """``x[key] = value``.

    Raises
    ------
    RuntimeError
        if arrays in `key` name a target twice and there is more than one value: which one stays is
        undefined on a GPU.
    """
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
    if isinstance(value, np.ndarray):
        value = value[()]
    resolved, arrays = resolve(key, self.shape)
    if isinstance(value, ndarray) and value.ndim:
        refuse_duplicates("x[key] = value", resolved, self.shape)
    on_current_device("setitem", [self, *arrays])

    def assign(hidden, value):
        if not hidden.flags.writeable:  # a view that NumPy made read-only: CuPy writes
            raise ValueError("setitem: the strict double does not write to broadcast arrays")
        check_cast("setitem", value if isinstance(value, np.ndarray) else 0, hidden.dtype)
        hidden[resolved] = value

    run("setitem", assign, (self, value), {})


def refuse_duplicates(op, key, shape):
    """Raise RuntimeError if the integer arrays in `key` name an element twice."""
    numbers = [k for k in key if isinstance(k, np.ndarray) and k.dtype != bool]
    if not numbers:
        return
    together = [k.ravel() for k in np.broadcast_arrays(*numbers)]
    if len(np.unique(np.stack(together), axis=1).T) < together[0].size:
        raise RuntimeError(f"{op}: a target is named twice; on a GPU it is undefined which stays")


ndarray.__getitem__ = getitem
ndarray.__setitem__ = setitem
