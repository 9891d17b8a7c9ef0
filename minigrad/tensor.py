"""Tensor: an array, its gradient, its place on the tape, and NumPy's operators and methods."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from minigrad import ops
from minigrad.arrays.devices import beside, device_of, exported, gpus, is_on, own_copy, place, run
from minigrad.arrays.devices import to_device as array_to_device
from minigrad.arrays.library import Array, ArrayLike, Device, DType, bare
from minigrad.autograd import tape
from minigrad.autograd.modes import modes
from minigrad.autograd.tape import Leaf, Memory, TapeError, Variable, mark_changed, wrap
from minigrad.names.numpy_functions import call_function, call_ufunc
from minigrad.names.pytorch_methods import SecondNames, tell_words
from minigrad.ops import discrete
from minigrad.ops.indexing import At, as_index, getitem

Self = TypeVar("Self", bound="Tensor")


def _beside(tensor: Tensor, a: Any) -> Any:
    a = bare(a)
    return beside(a, [tensor]) if isinstance(a, np.ndarray) or (gpus and type(a) is list) else a


def _compared(op: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Tensor]:
    return discrete.constant("self", "other")(op)


def _inverted(op: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    return discrete.constant("self")(op)


def _reflected(op: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    return lambda self, other: op(other, self)


def _in_place(op: Callable[..., Tensor], sign: str) -> Callable[[Tensor, Any], Tensor]:
    """``x += v``: under `no_grad` a change of `x` itself, otherwise a new tensor on the tape."""

    def method(self: Tensor, other: Any) -> Tensor:
        recording = bool(modes.recording)
        if self._node is not None and recording == self.is_leaf:
            raise TapeError(
                f"x {sign}= v on a tensor that requires a gradient: to change it, as a step of "
                f"training does, write it within `with mg.no_grad():`; for a new tensor on the "
                f"tape write y = x {sign} v"
                if recording
                else f"x {sign}= v within no_grad would change the result of a "
                f"{self._node.plan.name}, which is on the tape; write x = x {sign} v, which makes "
                "a new tensor"
            )
        result = op(self, other)
        if recording or result is NotImplemented:
            return result
        if result.shape != self.shape:
            raise ValueError(
                f"x {sign}= v: the result has shape {result.shape}, x itself {self.shape}; write "
                f"x = x {sign} v for a new tensor"
            )
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise TypeError(
                f"x {sign}= v: the result is {result.dtype}, x itself {self.dtype}; write "
                f"x = x {sign} v for a new tensor"
            )
        self._data[...] = result._data
        mark_changed(self)
        return self

    return method


class Tensor(SecondNames):
    """An array that can be differentiated with respect to.

    Parameters
    ----------
    data
        an array, which is used as it is, without a copy (`minigrad.tensor` copies); a Tensor, whose
        array is used; or a Python number or nested list of numbers, which becomes float32.
    dtype
        the dtype to convert to; None: an array's own.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; None: where the array is, and for data from the host
        the default device (`minigrad.set_default_device`), which at first is the CPU.
    requires_grad
        whether to compute gradients for this tensor.

    Raises
    ------
    TypeError
        if `data` is not numeric, or a gradient is asked for numbers that are not floats.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __init__(
        self,
        data: ArrayLike,
        dtype: DType = None,
        device: Device | None = None,
        requires_grad: bool = False,
    ) -> None:
        if isinstance(data, Variable) and device is None:
            device = device_of(data._data)
        self._data = place(bare(data), dtype, device)
        self._node = self._memory = self.grad = None
        if isinstance(data, Variable) and self._data is data._data:
            self._memory = tape.memory_of(data)
        self.requires_grad_(requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._data.dtype  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of memory the elements take."""
        return self._data.nbytes  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the elements are: ``"cpu"``, ``"cuda:0"`` ..."""
        return device_of(self._data)

    @property
    def is_leaf(self) -> bool:
        """Whether this is no result of a recorded op: a constant, or where the tape begins."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def data(self) -> Array:
        """The array itself, off the tape. Assigning to it counts as a change in place."""
        return self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        array = place(bare(value), self.dtype, self.device)
        if array.shape != self.shape:
            raise ValueError(f"data: assigned shape {array.shape} to a tensor of {self.shape}")
        if array is not self._data:
            shared = isinstance(value, Variable) and array is value._data
            self._data, self._memory = array, tape.memory_of(value) if shared else Memory()
        mark_changed(self)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor: whether it has a place on the tape."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for gradients of this tensor (or no longer); returns the tensor."""
        if not self.is_leaf:
            if not requires_grad:
                raise TapeError(
                    f"requires_grad_: this tensor is the result of a {self._node.plan.name}; "  # type: ignore[union-attr]
                    "to cut it off from the tape write y = y.detach()"
                )
        elif not requires_grad:
            self._node = None
        elif self.dtype.kind != "f":
            raise TypeError(
                f"requires_grad_: only floating-point tensors have gradients, not {self.dtype}; "
                'convert it first: .astype("float32")'
            )
        elif self._node is None:
            self._node = Leaf(self)
        return self

    def backward(
        self,
        gradient: ArrayLike = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add the derivatives of this tensor to the ``.grad`` of every leaf it depends on.

        Parameters
        ----------
        gradient
            what to start from, an array or Tensor like this one; None for a single number: 1.
        retain_graph
            keep the tape for another backward; None: as `create_graph`.
        create_graph
            record this walk too, so that the gradients can be differentiated again.

        Raises
        ------
        TapeError
            if this is a constant, or no single number and no gradient is given; if the tape was
            freed, or a value on it changed in place since.
        """
        tape.backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook` with the gradient of this tensor whenever a walk back has all of it.

        A Tensor that the hook returns takes the gradient's place. Returns a function that removes
        the hook.
        """
        node = self._node
        if node is None:
            raise TapeError(
                "register_hook: this tensor is a constant, and no gradient will reach it; before "
                "computing with it write x.requires_grad_()"
            )
        hooks = node.hooks = {} if node.hooks is None else node.hooks
        key, keeping = tape.next_stamp(), hooks.pop(0, None)
        hooks[key] = hook
        if keeping is not None:  # retain_grad's, which sees what the others have made of it
            hooks[0] = keeping
        return lambda: hooks.pop(key, None) and None

    def retain_grad(self) -> None:
        """Keep the gradient of this result of an op in ``.grad``, as a leaf does."""
        if self.is_leaf:
            return
        keep = weakref.ref(self)

        def hook(g: Tensor) -> None:
            if (tensor := keep()) is not None:
                tensor.grad = g.copy() if tensor.grad is None else tensor.grad + g

        assert self._node is not None
        self._node.hooks = (self._node.hooks or {}) | {0: hook}

    def detach(self) -> Tensor:
        """The same array (shared, not copied) as a constant, cut off from the tape."""
        result: Tensor = wrap(self._data)
        result._memory = tape.memory_of(self)
        return result

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array of their own, copied from wherever they are."""
        return np.array(array_to_device(self._data, "cpu"))

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: a tensor of shape {self.shape} is not a single number")
        return self._data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._data.tolist()

    def to(self, device: Device | None = None, dtype: DType = None) -> Tensor:
        """The tensor on another device, or in another dtype; itself if it is so already.

        As in PyTorch, a dtype alone may come first: ``x.to(mg.float64)``.
        """
        if device is not None and not isinstance(device, str):
            device, dtype = None, device
        result = self if dtype is None or self.dtype == dtype else self.astype(dtype)
        if device is None or is_on(result._data, device):
            return result
        return ops.to_device(result, device)

    def __array__(self, dtype: DType = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.requires_grad:
            raise TypeError(
                "a Tensor that requires a gradient is not silently made an array, which the tape "
                "cannot follow; use minigrad's ops, or .numpy() for the values alone"
            )
        if self.device != "cpu":
            raise TypeError(
                f"a Tensor on {self.device} is not silently copied to the host; use .numpy()"
            )
        return np.asarray(self.numpy(), dtype)

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise TypeError(
                "a Tensor that requires a gradient is not handed to another library, which the "
                "tape cannot follow; hand over x.detach()"
            )
        return exported(self._data, **options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self._data.__dlpack_device__()
        return int(kind), int(index)

    __array_ufunc__ = call_ufunc
    __array_function__ = call_function

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()"
            )
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.size == 1 else str(self), spec)

    def __repr__(self) -> str:
        name = type(self).__name__
        values = np.array2string(self.numpy(), separator=", ", prefix=f"{name}(")
        notes = [f"dtype={self.dtype}"]
        if self.device != "cpu":
            notes.append(f"device={self.device!r}")
        if not self.is_leaf:
            notes.append(f"made_by={self._node.plan.name}")  # type: ignore[union-attr]
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"{name}({values}, {', '.join(notes)})"

    def __copy__(self: Self) -> Self:
        return self.__deepcopy__({}) if self.is_leaf else self.copy()  # type: ignore[return-value]

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        cls, *state = self.__reduce__()
        result: Self = cls(*[own_copy(x) if hasattr(x, "copy") else x for x in state[0]])
        result.grad = None if self.grad is None else self.grad.copy()
        memo[id(self)] = result
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise TypeError(
                "a tensor that an op made cannot be pickled or deep-copied with its place on the "
                "tape; use detach() first, or copy() to stay on the tape"
            )
        return type(self), (self._data, None, self.device, self.requires_grad)

    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._node is not None and (modes.recording or not self.is_leaf):
            raise TapeError(
                "x[i] = v would change a value that is on the tape; write x = x.at[i].set(v), or "
                "x.at[i].add(v), which make a new tensor and are differentiable in both"
                + ("; to change a leaf, write it within `with mg.no_grad():`" * self.is_leaf)
            )
        if getattr(value, "_node", None) is not None and modes.recording:
            raise TapeError(
                "x[i] = v with a v that requires a gradient: write x = x.at[i].set(v), which the "
                "tape can follow, or x[i] = v.detach() for its values alone"
            )
        values = self._data, as_index(index, self), _beside(self, value)
        run("setitem", ("self", "index", "value"), operator.setitem, values)
        mark_changed(self)

    @property
    def at(self) -> At:
        """``x.at[i].set(v)``, ``x.at[i].add(v)``: a changed copy, on the tape."""
        return At(self)

    @property
    def T(self) -> Tensor:
        """With the axes in reverse order."""
        return ops.transpose(self)

    @property
    def mT(self) -> Tensor:
        """Each matrix transposed."""
        return ops.swapaxes(self, -1, -2)

    def reshape(self, *shape: Any) -> Tensor:
        """See `minigrad.reshape`; the lengths may be given one by one."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """See `minigrad.transpose`; the axes may be given one by one. All axes, as in NumPy."""
        if len(axes) == 2 != self.ndim:
            raise ValueError(
                f"transpose: got 2 axes for the shape {self.shape}, but as in NumPy it takes all; "
                "to exchange two write x.swapaxes(a, b)"
            )
        return ops.transpose(
            self, (axes if isinstance(axes[0], int | np.integer) else axes[0]) if axes else None
        )

    __add__ = ops.add
    __radd__ = _reflected(ops.add)
    __sub__ = ops.subtract
    __rsub__ = _reflected(ops.subtract)
    __mul__ = ops.multiply
    __rmul__ = _reflected(ops.multiply)
    __truediv__ = ops.divide
    __rtruediv__ = _reflected(ops.divide)
    __floordiv__ = ops.floor_divide
    __rfloordiv__ = _reflected(ops.floor_divide)
    __mod__ = ops.remainder
    __rmod__ = _reflected(ops.remainder)
    __pow__ = ops.power
    __rpow__ = _reflected(ops.power)
    __matmul__ = ops.matmul
    __rmatmul__ = _reflected(ops.matmul)
    __iadd__, __isub__ = _in_place(ops.add, "+"), _in_place(ops.subtract, "-")
    __imul__, __itruediv__ = _in_place(ops.multiply, "*"), _in_place(ops.divide, "/")
    __ifloordiv__, __imod__ = _in_place(ops.floor_divide, "//"), _in_place(ops.remainder, "%")
    __ipow__, __imatmul__ = _in_place(ops.power, "**"), _in_place(ops.matmul, "@")
    __neg__ = ops.negative
    __pos__ = ops.copy
    __abs__ = ops.abs

    __eq__ = _compared(operator.eq)  # type: ignore[assignment]
    __ne__ = _compared(operator.ne)  # type: ignore[assignment]
    __lt__, __le__ = _compared(operator.lt), _compared(operator.le)
    __gt__, __ge__ = _compared(operator.gt), _compared(operator.ge)
    __and__ = __rand__ = _compared(operator.and_)
    __or__ = __ror__ = _compared(operator.or_)
    __xor__ = __rxor__ = _compared(operator.xor)
    __invert__ = _inverted(operator.invert)

    any, all = discrete.any, discrete.all
    argmax, argmin, argsort = discrete.argmax, discrete.argmin, discrete.argsort

    abs, exp, log, sqrt, tanh, sigmoid = ops.abs, ops.exp, ops.log, ops.sqrt, ops.tanh, ops.sigmoid
    sin, cos, square, round = ops.sin, ops.cos, ops.square, ops.round
    relu, softmax, log_softmax, clip = ops.relu, ops.softmax, ops.log_softmax, ops.clip
    sum, mean, prod, max, min = ops.sum, ops.mean, ops.prod, ops.max, ops.min
    var, std, cumsum, logsumexp = ops.var, ops.std, ops.cumsum, ops.logsumexp
    sort, topk, cumprod = ops.sort, ops.topk, ops.cumprod
    astype, copy, squeeze, swapaxes = ops.astype, ops.copy, ops.squeeze, ops.swapaxes
    ravel, repeat, take, dot = ops.ravel, ops.repeat, ops.take, ops.dot
    trace, diagonal = ops.trace, ops.diagonal


tell_words(Tensor)
tape.variable_class = Tensor
