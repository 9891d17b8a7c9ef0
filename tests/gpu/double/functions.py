"""CuPy's functions of arrays, as far as the double models them."""

import numpy as np

from . import arithmetic, catalogue, creation
from .arrays import (
    SCALARS,
    from_dlpack,
    is_number,
    ndarray,
    on_current_device,
    run,
    to_device,
    view,
)
from .counts import copy_to_host, count
from .creation import is_array
from .indexing import wrapped
from .names import checked, parameters
from .ufuncs import UFUNCS, matmul


def _plain(name, function, owner="cupy", waits=0, is_view=False):
    """The function `function` of NumPy's under CuPy's `name`, and with CuPy's parameters."""
    parameters_of = parameters(owner, name)

    def call(*args, **kwargs):
        given = parameters_of(args, kwargs)
        if not any(is_array(value) for value in given.values()):
            raise TypeError(f"{name}: expected an array of CuPy's, got {_types(args)}")
        for parameter in catalogue.NUMBERS:
            if is_array(given.get(parameter)):
                raise TypeError(f"{name}: {parameter} is an array on the device, not a number")
        for _ in range(waits):
            copy_to_host(name)
        return run(name, function, args, kwargs, is_view=is_view)

    call.__name__ = call.__qualname__ = name
    return call


def _types(args):
    return ", ".join(str(type(x)) for x in args)


def _about(name):
    """A function that reads no values, which arrays of both kinds may be given to."""
    function = getattr(np, name)
    if isinstance(function, type):
        return function
    return lambda *args, **kwargs: function(
        *[x._hidden if isinstance(x, ndarray) else x for x in args], **kwargs
    )


# ------------------------------------------------------- those that differ from NumPy's


def take(a, indices, axis=None, out=None):
    """Elements by their numbers, which wrap around; a list of them is copied to the device."""
    if isinstance(indices, list | np.ndarray):
        indices = to_device(np.asarray(indices))
    given = indices._hidden if isinstance(indices, ndarray) else np.asarray(indices)
    on_current_device("take", [indices] if isinstance(indices, ndarray) else [])
    numbers = wrapped(given, a.size if axis is None else a.shape[axis])
    return run("take", lambda a, out: np.take(a, numbers, axis, out), (a,), {"out": out})


def take_along_axis(a, indices, axis=-1):
    """Elements by their numbers along an axis, which wrap around."""

    def function(a, indices):
        return np.take_along_axis(a, wrapped(indices, a.shape[axis]), axis)

    return run("take_along_axis", function, (a, indices), {})


def put_along_axis(arr, indices, values, axis):
    """Write `values` at numbers along an axis, which wrap around."""

    def function(arr, indices, values):
        numbers = np.sort(wrapped(indices, arr.shape[axis]), axis)
        if np.ndim(values) and (np.diff(numbers, axis=axis) == 0).any():
            raise RuntimeError("put_along_axis: a target is named twice; on a GPU it is undefined")
        np.put_along_axis(arr, wrapped(indices, arr.shape[axis]), values, axis)

    run("put_along_axis", function, (arr, indices, values), {})


def repeat(a, repeats, axis=None):
    """Each element several times; how often must be numbers of the host's."""
    if isinstance(repeats, np.ndarray):
        raise TypeError("'repeats' does not accept numpy.ndarray; convert with cupy.array() first")
    if isinstance(repeats, ndarray | list | tuple):
        copy_to_host("repeat with different numbers")
        copy_to_host("repeat with different numbers")
        if not isinstance(repeats, ndarray):
            count("h2d", "repeat with a list")
    return run("repeat", np.repeat, (a, repeats, axis), {})


def where(condition, x=None, y=None):
    """Elements of `x` where `condition` holds, else of `y`; without them what `nonzero` gives."""
    if not isinstance(condition, ndarray):
        raise AttributeError(f"where: the condition is a {type(condition)}, no array of CuPy's")
    if x is None and y is None:
        return FUNCTIONS["nonzero"](condition)
    for value in (x, y):
        if not (isinstance(value, ndarray) or is_number(value)):
            raise TypeError(f"where: Unsupported type {type(value)}")
    return run("where", np.where, (condition, x, y), {})


def array_equal(a1, a2, equal_nan=False):
    """Whether two arrays on the device are equal; CuPy asks numbers for their shape."""
    for x in (a1, a2):
        if not isinstance(x, ndarray):
            raise AttributeError(f"{type(x).__name__!r} object has no attribute 'shape'")
    return run("array_equal", np.array_equal, (a1, a2, equal_nan), {})


def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether elements are almost equal; a Python float is float64, also beside a float32 array."""

    def function(a, b):
        return np.isclose(np.asarray(a), np.asarray(b), rtol, atol, equal_nan)

    return run("isclose", function, (a, b), {})


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are almost equal."""
    return FUNCTIONS["all"](isclose(a, b, rtol, atol, equal_nan))


def _minimum(name):
    """The smallest element; CuPy 14.2 hands `out` to CUB as a dtype."""

    def call(a, axis=None, out=None, keepdims=False):
        return a.min(axis, out, keepdims)

    return checked("cupy", name, call)


def einsum(*operands, **options):
    """As NumPy's; in memory the result is not in C's order, on which CuPy's cannot be relied."""
    subscripts, *arrays = operands
    if not isinstance(subscripts, str):
        raise NotImplementedError("einsum: the strict double takes subscripts as a string")
    for x in arrays:
        if not isinstance(x, ndarray):
            raise TypeError(f"einsum: Unsupported type {type(x)}")
    return run("einsum", np.einsum, operands, options, order="F")


def _joining(name):
    """A function of a list of arrays; of more than eight, a table of them is copied over."""
    function = getattr(np, name)

    def call(tup, *args, **kwargs):
        arrays = list(tup)  # an array: its rows
        for x in arrays:
            if not isinstance(x, ndarray):
                raise TypeError(f"{name}: Unsupported type {type(x)}")
        if len(arrays) > 8:
            count("h2d", f"{name} of {len(arrays)} arrays")
        return run(name, function, (arrays, *args), kwargs)

    return checked("cupy", name, call)


def sort(a, axis=-1, kind=None):
    """Sorted along an axis."""
    check_kind(kind)
    return run("sort", np.sort, (a, axis), {})


def argsort(a, axis=-1, kind=None):
    """The order along an axis; it is stable."""
    check_kind(kind)
    return run("argsort", np.argsort, (a, axis, "stable"), {})


def check_kind(kind):
    """CuPy has one way to sort."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


def searchsorted(a, v, side="left", sorter=None):
    """Where `v` would go into the sorted `a`."""
    if not isinstance(v, (ndarray, *SCALARS)):
        raise NotImplementedError("Only python scalars or ndarrays are supported for v")
    return run("searchsorted", np.searchsorted, (a, v, side), {"sorter": sorter})


def diag(v, k=0):
    """A matrix with `v` on its diagonal; of a matrix, a copy of its diagonal."""
    return run("diag", lambda v: np.array(np.diag(v, k)), (v,), {})


def fill_diagonal(a, val, wrap=False):
    """Write a number to the diagonal."""
    run("fill_diagonal", np.fill_diagonal, (a, val), {"wrap": wrap})


def scatter_add(a, slices, value):
    """Add `value`, each time that an index occurs."""
    UFUNCS["add"].at(a, slices, value)


def scatter_max(a, slices, value):
    """The larger one, each time that an index occurs."""
    UFUNCS["maximum"].at(a, slices, value)


def scatter_min(a, slices, value):
    """The smaller one, each time that an index occurs."""
    UFUNCS["minimum"].at(a, slices, value)


def as_strided(x, shape=None, strides=None):
    """A view with any strides."""
    strided = np.lib.stride_tricks.as_strided(x._hidden, shape, strides)
    return view(x, strided)


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    """A view of all windows; CuPy looks at the shape of the windows on the device."""
    count("h2d", "sliding_window_view")
    copy_to_host("sliding_window_view")
    windows = np.lib.stride_tricks.sliding_window_view(x._hidden, window_shape, axis)
    return view(x, windows)


def _all_functions():
    own = [
        *(creation.array, creation.asarray, creation.ascontiguousarray, creation.asfortranarray),
        *(creation.asnumpy, creation.copy, creation.copyto, creation.empty, creation.empty_like),
        *(creation.zeros, creation.zeros_like, creation.ones, creation.ones_like, creation.full),
        *(creation.full_like, creation.arange, creation.linspace, creation.eye, creation.identity),
        *(
            array_equal,
            isclose,
            allclose,
            take,
            take_along_axis,
            put_along_axis,
            repeat,
            where,
            einsum,
            sort,
            argsort,
        ),
        *(searchsorted, diag, fill_diagonal, matmul, from_dlpack),
    ]
    made = {name: _about(name) for name in catalogue.ABOUT}
    made |= {name: _plain(name, getattr(np, name)) for name in catalogue.PLAIN}
    made |= {"clip": _plain("clip", arithmetic.clip)}
    made |= {name: _plain(name, getattr(np, name), is_view=True) for name in catalogue.VIEWS}
    made |= {name: _plain(name, getattr(np, name), waits=n) for name, n in catalogue.WAITS.items()}
    made |= {name: _joining(name) for name in catalogue.JOINING}
    made |= {name: _minimum(name) for name in ("amin", "min")}
    made |= {f.__name__: checked("cupy", f.__name__, f) for f in own}
    return made | {"asanyarray": made["asarray"]}


FUNCTIONS = _all_functions()
LINALG = {
    name: _plain(name, getattr(np.linalg, name), "linalg", waits=name != "norm")
    for name in catalogue.LINALG
}
"""All but `norm` are taken to fetch whether they succeeded, whether or not CuPy's do."""
