"""The methods of the double's array that compute something."""

import numpy as np

from . import arithmetic, catalogue, functions
from .arrays import ndarray, run, supported, view
from .counts import copy_to_host
from .creation import is_array
from .functions import FUNCTIONS
from .names import checked


def _numpys(name, **options):
    """The method of the same name of NumPy's array."""

    def method(self, *args, **kwargs):
        if is_array(args):
            raise TypeError(f"{name}: expected numbers, got arrays on the device")
        return run(
            name, lambda x, *a, **k: getattr(x, name)(*a, **k), (self, *args), kwargs, **options
        )

    return method


def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
    """Another dtype; without `copy` the array itself, if nothing has to be changed."""
    if casting is not None:
        raise TypeError("casting is not supported yet")
    dtype = supported(dtype)
    if not copy and self.dtype == dtype and _is_in(self, order):
        return self
    arithmetic.check_cast("astype", self._hidden, dtype)
    return run("astype", lambda x: x.astype(dtype, order, copy=True), (self,), {}, order="K")


def clip(self, min=None, max=None, out=None):
    """Between two bounds."""
    return run("clip", arithmetic.clip, (self, min, max), {"out": out})


def _is_in(x, order):
    return order in ("K", "A") or (x.flags.c_contiguous if order == "C" else x.flags.f_contiguous)


def dot(self, b, out=None):
    """The matrix product; `b` is an array."""
    if not isinstance(b, ndarray):
        raise TypeError(f"Argument 'b' has incorrect type (expected an array, got {type(b)})")
    return run("dot", np.dot, (self, b), {} if out is None else {"out": out})


def fill(self, value):
    """Write one number everywhere; one that is on the device is fetched first."""
    if isinstance(value, np.ndarray) and value.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
    if isinstance(value, ndarray):
        copy_to_host("fill")
    value = value[()] if isinstance(value, np.ndarray) else value
    run("fill", lambda x, v: x.fill(v), (self, value), {})


def flatten(self, order="C"):
    """A copy with one axis."""
    return run("flatten", lambda x: x.flatten(order), (self,), {})


def smallest(self, axis=None, out=None, keepdims=False):
    """The minimum; CuPy 14.2 hands `out` to CUB as a dtype."""
    if out is not None:
        raise TypeError("min: out is taken for a dtype")
    return run("min", np.min, (self, axis), {"keepdims": keepdims})


def ptp(self, axis=None, out=None, keepdims=False):
    """Maximum minus minimum."""
    return run("ptp", np.ptp, (self, axis), {"out": out, "keepdims": keepdims})


def sort(self, axis=-1, kind=None):
    """Sort it in place."""
    functions.check_kind(kind)
    run("sort", lambda x: x.sort(axis), (self,), {})


def view_as(self, dtype=None, type=None):
    """The same memory, read as another dtype."""
    return view(self, self._hidden.view(self.dtype if dtype is None else dtype))


def _install():
    made = {name: _numpys(name) for name in catalogue.METHODS}
    made |= {name: _numpys(name, is_view=True) for name in catalogue.VIEW_METHODS}
    for name in ["argsort", "nonzero", "repeat", "searchsorted", "take"]:
        made[name] = lambda self, *args, f=FUNCTIONS[name], **kwargs: f(self, *args, **kwargs)
    for name in ["scatter_add", "scatter_max", "scatter_min"]:
        made[name] = getattr(functions, name)
    made |= {
        "astype": astype,
        "clip": clip,
        "dot": dot,
        "fill": fill,
        "flatten": flatten,
        "min": smallest,
        "ptp": ptp,
    }
    made |= {"sort": sort, "view": view_as}
    for name in ["get", "item", "tolist", "tobytes", "set", "copy"]:
        made[name] = getattr(ndarray, name)
    for name, method in made.items():
        setattr(ndarray, name, checked("ndarray", name, method))


_install()
