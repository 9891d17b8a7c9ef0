"""The double's array, and how a NumPy function is run on it."""

import warnings

import numpy as np

from .counts import copy_to_host, count
from .devices import Device, Memory, MemoryPointer, current, poisoned
from .names import missing

SCALARS = (int, float, complex, np.generic)  # bool is an int


def is_number(x):
    """Whether CuPy's kernels take it as a number: not if its class is derived from float or int."""
    return type(x) in (bool, int, float, complex) or isinstance(x, np.generic)


DLPACK_CUDA = 2  # kDLCUDA


class ndarray:  # noqa: N801 (CuPy's name)
    """An array on a device: a NumPy array that is hidden from NumPy.

    It has no way to become a NumPy array but `get`, and those that are counted as copies.
    """

    __slots__ = ("__weakref__", "_base", "_hidden", "_memory")
    __array_priority__ = 100
    __array_ufunc__ = None  # np.tanh(x) is a TypeError (CuPy would run its own tanh)
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is None and strides is not None:
            raise ValueError("The strides argument is not supported without the memptr argument")
        self._base = None
        if memptr is None:
            self._hidden = poisoned(shape, supported(dtype), order)
            self._memory = Memory(self._hidden)
        else:
            self._memory = memptr.mem
            self._hidden = self._memory.array(memptr.ptr, shape, supported(dtype), strides)

    # ------------------------------------------------------------------ what it tells for free

    shape = property(lambda self: self._hidden.shape)
    dtype = property(lambda self: self._hidden.dtype)
    ndim = property(lambda self: self._hidden.ndim)
    size = property(lambda self: self._hidden.size)
    nbytes = property(lambda self: self._hidden.nbytes)
    itemsize = property(lambda self: self._hidden.itemsize)
    strides = property(lambda self: self._hidden.strides)
    base = property(lambda self: self._base)
    device = property(lambda self: Device(self._memory.device))
    T = property(lambda self: view(self, self._hidden.T))
    mT = property(lambda self: view(self, self._hidden.mT))  # noqa: N815 (CuPy's name)

    @property
    def flags(self):
        """Whether it is contiguous, and has memory of its own."""
        return Flags(self)

    @property
    def data(self):
        """Where it is in the device's memory: ``x.data.ptr``."""
        return MemoryPointer(self._memory, address(self._hidden))

    def __len__(self):
        return len(self._hidden)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name):
        raise missing("ndarray", name) if name[0] != "_" else AttributeError(name)

    # ------------------------------------------------------------------------ to the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        """A copy as a NumPy array."""
        copy_to_host("get")
        if out is None:
            return self._hidden.copy(order)
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        out[...] = self._hidden
        return out

    def item(self):
        """The only number in it, a Python number."""
        copy_to_host("item")
        return self._hidden.item()

    def tolist(self):
        """Nested lists of Python numbers."""
        copy_to_host("tolist")
        return self._hidden.tolist()

    def tobytes(self, order="C"):
        """Its memory."""
        copy_to_host("tobytes")
        return self._hidden.tobytes(order)

    def _number(self, kind):
        if self.ndim:
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        copy_to_host(kind.__name__)
        return kind(self._hidden)

    def __float__(self):
        return self._number(float)

    def __int__(self):
        return self._number(int)

    def __complex__(self):
        return self._number(complex)

    def __bool__(self):
        if self.size == 1:
            copy_to_host("bool")
        return bool(self._hidden)  # raises if there are several

    def __repr__(self):
        copy_to_host("repr")
        return repr(self._hidden)

    def __str__(self):
        copy_to_host("str")
        return str(self._hidden)

    def __format__(self, spec):
        copy_to_host("format")
        return format(self._hidden, spec)

    # ----------------------------------------------------------------------- from the host

    def set(self, arr, stream=None):
        """Overwrite it with a NumPy array of its shape and dtype."""
        if type(arr) is not np.ndarray or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError(f"set: expected a NumPy array of {self.dtype} {self.shape}, got {arr}")
        count("h2d", "set")
        self._hidden[...] = arr

    # ------------------------------------------------------- no conversion, no help for NumPy

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        if function in (np.shares_memory, np.may_share_memory):  # as CuPy's; tests ask for them
            for a in args:
                if not isinstance(a, ndarray):
                    raise TypeError(f"{function.__name__}: Unsupported type {type(a)}")
            return function(*[a._hidden for a in args], **kwargs)
        raise TypeError(
            f"numpy.{function.__name__} was given a device array: the array's own library should "
            "be asked (CuPy would answer, the strict double does not)"
        )

    # -------------------------------------------------------------- copies, exchange, pickles

    def copy(self, order="C"):
        """A copy on the current device, wherever it is itself."""
        count("kernels", "copy")
        return new(self._hidden.copy(order), "copy")

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        with self.device:
            return self.copy()

    def __reduce__(self):
        return to_device, (self.get(),)

    def __dlpack_device__(self):
        return DLPACK_CUDA, self._memory.device

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise NotImplementedError("the strict double hands itself over by DLPack, no copies")
        return Capsule(self)

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "stream": 1,
            "version": 3,
            "strides": None if self._hidden.flags.c_contiguous else self.strides,
            "data": (self.data.ptr, False),
        }


ndarray.__module__ = "cupy"


class Flags:
    """``x.flags``."""

    def __init__(self, array):
        self.c_contiguous = array._hidden.flags.c_contiguous
        self.f_contiguous = array._hidden.flags.f_contiguous
        self.owndata = array._base is None
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous

    def __getitem__(self, name):
        return getattr(self, name.lower())


class Capsule:
    """What DLPack hands from one library to another."""

    def __init__(self, array):
        self.array = array


def from_dlpack(array, *, device=None, copy=None):
    """The same memory, of another array of the double."""
    kind, _ = array.__dlpack_device__()
    if kind != DLPACK_CUDA:
        raise TypeError("CPU arrays cannot be directly imported to CuPy")
    capsule = array.__dlpack__(stream=1, max_version=(1, 0))
    if not isinstance(capsule, Capsule):
        raise TypeError("the strict double takes by DLPack what is its own, and nothing else")
    return view(capsule.array, capsule.array._hidden[...])


# ------------------------------------------------------------------------- making arrays


def supported(dtype):
    """The dtype that is meant.

    Raises
    ------
    ValueError
        if no array on a device can have it.
    """
    dtype = np.dtype(dtype)
    if dtype.char not in "?bBhHiIlLqQefdFD":
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def new(hidden, op):
    """A new array on the current device, made by `op`; `hidden` becomes its memory."""
    if supported(hidden.dtype) == np.float64:
        count("float64", op)
    array = ndarray.__new__(ndarray)
    array._hidden, array._base, array._memory = hidden, None, Memory(hidden)
    return array


def view(array, hidden):
    """An array that shares the memory of `array`."""
    other = ndarray.__new__(ndarray)
    base = array if array._base is None else array._base
    other._hidden, other._base, other._memory = hidden, base, array._memory
    return other


def to_device(array):
    """A copy of a NumPy array on the current device."""
    supported(array.dtype)
    count("h2d", "a copy of a NumPy array")
    return new(array.copy("K"), "a copy of a NumPy array")


def address(hidden):
    """Of the first element."""
    return hidden.__array_interface__["data"][0] if hidden.nbytes else 0


# --------------------------------------------------------------------- running functions


def run(op, function, args, kwargs, order="C", is_view=False):
    """What the NumPy `function` gives on the hidden arrays, as an array on the device.

    Parameters
    ----------
    order
        of a new array in memory: ``"C"``, or ``"K"`` for NumPy's choice.
    is_view
        it only gives another view of an array where it can; then it is no kernel, and the array
        may be on any device.
    """
    arrays = []
    args = tuple([_hidden(value, op, arrays) for value in args])
    kwargs = {name: _hidden(value, op, arrays) for name, value in kwargs.items()}
    if not is_view:
        on_current_device(op, arrays)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of the mean of nothing
            result = function(*args, **kwargs)
    except TypeError as error:  # NumPy has subclasses of its own
        raise TypeError(f"{op}: {error}") from None
    result = _shown(result, op, arrays, order)
    if not is_view or (isinstance(result, ndarray) and result._base is None):
        count("kernels", op)
    return result


def on_current_device(op, arrays):
    """Raise ValueError unless all `arrays` are on the current device."""
    for x in arrays:
        if x._memory.device != current():
            raise ValueError(
                f"{op}: an array is on device {x._memory.device}, the current device is "
                f"{current()} (CuPy may do this, slowly, or fail; the strict double refuses)"
            )


def _hidden(value, op, arrays):
    """`value`, with hidden arrays in the place of the double's, which are added to `arrays`."""
    if isinstance(value, ndarray):
        arrays.append(value)
        return value._hidden
    if isinstance(value, tuple | list):
        return type(value)([_hidden(item, op, arrays) for item in value])
    if value is None or isinstance(value, (*SCALARS, str, type, np.dtype, slice, range)):
        return value
    if value is Ellipsis or value is np.newaxis:
        return value
    raise TypeError(f"{op}: Unsupported type {type(value)}")


def _shown(result, op, arrays, order):
    """`result` with arrays of the double in the place of NumPy's."""
    if isinstance(result, np.ndarray):
        for x in arrays:
            if result is x._hidden:
                return x
        for x in arrays:
            if np.may_share_memory(result, x._hidden):
                return view(x, result)
        return new(np.asarray(result, order=order), op)
    if isinstance(result, np.generic | int):  # a count of NumPy 2.0 is an int, and so is a bool
        return new(np.asarray(result), op)
    if isinstance(result, tuple | list):
        items = [_shown(item, op, arrays, order) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result
