"""Tensor: an array, its gradient, and its place on the tape."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np

from minigrad.arrays.devices import device_of, place, to_device
from minigrad.arrays.library import Array, ArrayLike, Axis, Device, DType, bare
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.node import Leaf, Memory, Node, TapeError, next_stamp

Self = TypeVar("Self", bound="Tensor")


class At(Protocol):
    """The type of ``x.at``: ``x.at[i].set(v)`` is a changed copy, on the tape."""

    def __getitem__(self, index: Any) -> At: ...
    def set(self, values: ArrayLike) -> Tensor: ...
    def add(self, values: ArrayLike) -> Tensor: ...


bool_: TypeAlias = bool  # for `Given`, which has methods with the names of types
int_: TypeAlias = int
float_: TypeAlias = float


class Given:
    """The operators and methods that `minigrad.names` gives to Tensor, for type checkers alone."""

    __slots__ = ()

    if TYPE_CHECKING:

        def backward(
            self,
            gradient: ArrayLike = None,
            retain_graph: bool_ | None = None,
            create_graph: bool_ = False,
        ) -> None: ...

        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

        def __add__(self, other: Any) -> Tensor: ...

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __add__
        __matmul__ = __rmatmul__ = __and__ = __rand__ = __or__ = __ror__ = __add__
        __xor__ = __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __eq__ = __ne__ = __add__  # type: ignore[assignment]
        __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __add__
        __ipow__ = __imatmul__ = __add__

        def __neg__(self) -> Tensor: ...

        __pos__ = __abs__ = __invert__ = __neg__
        abs = exp = log = sqrt = tanh = sigmoid = sin = cos = square = relu = copy = ravel = __neg__

        at: At
        T: Tensor
        mT: Tensor  # noqa: N815 (as in NumPy)

        def to(self, device: Any = None, dtype: DType = None) -> Tensor: ...
        def astype(self, dtype: DType) -> Tensor: ...
        def round(self, decimals: int_ = 0) -> Tensor: ...
        def clip(self, a_min: ArrayLike = None, a_max: ArrayLike = None) -> Tensor: ...
        def pow(self, x2: ArrayLike) -> Tensor: ...
        def matmul(self, x2: ArrayLike) -> Tensor: ...
        def dot(self, b: ArrayLike) -> Tensor: ...

        def sum(
            self, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool_ = False
        ) -> Tensor: ...

        mean = prod = sum

        def var(
            self,
            axis: Axis = None,
            dtype: DType = None,
            out: None = None,
            ddof: float_ = 0,
            keepdims: bool_ = False,
        ) -> Tensor: ...

        std = var

        def max(self, axis: Axis = None, out: None = None, keepdims: bool_ = False) -> Tensor: ...

        min = max

        def any(self, axis: Axis = None, keepdims: bool_ = False) -> Tensor: ...

        all = logsumexp = any

        def argmax(self, axis: int_ | None = None, keepdims: bool_ = False) -> Tensor: ...

        argmin = argmax

        def cumsum(
            self, axis: int_ | None = None, dtype: DType = None, out: None = None
        ) -> Tensor: ...

        cumprod = cumsum

        def softmax(self, axis: int_ | tuple[int_, ...] = -1) -> Tensor: ...

        log_softmax = softmax

        def sort(self, axis: int_ | None = -1, descending: bool_ = False) -> Tensor: ...

        argsort = sort

        def topk(
            self, k: int_, axis: int_ = -1, largest: bool_ = True
        ) -> tuple[Tensor, Tensor]: ...

        def reshape(self, *shape: Any) -> Tensor: ...

        view = reshape

        def transpose(self, *axes: Any) -> Tensor: ...

        permute = transpose

        def squeeze(self, axis: Axis = None) -> Tensor: ...
        def swapaxes(self, axis1: int_, axis2: int_) -> Tensor: ...
        def diagonal(self, offset: int_ = 0, axis1: int_ = 0, axis2: int_ = 1) -> Tensor: ...

        trace = diagonal

        def repeat(self, repeats: Any, axis: int_ | None = None) -> Tensor: ...
        def take(
            self,
            indices: ArrayLike,
            axis: int_ | None = None,
            out: None = None,
            mode: str = "raise",
        ) -> Tensor: ...

        def t(self) -> Tensor: ...

        clone = contiguous = cpu = cuda = half = float = double = int = long = bool = zero_ = t

        def unsqueeze(self, dim: int_) -> Tensor: ...
        def masked_fill(self, mask: ArrayLike, value: ArrayLike) -> Tensor: ...
        def flatten(self, start_dim: int_ = 0, end_dim: int_ = -1) -> Tensor: ...
        def numel(self) -> int_: ...

        dim = numel


class Tensor(Given):
    """An array, its gradient, and its place on the tape.

    The operators and methods that are ops, such as ``x + y`` and ``x.sum()``, are in
    `minigrad.names`.

    Parameters
    ----------
    data
        an array or a Tensor, whose array is used without a copy (`minigrad.tensor` copies); or a
        Python number or nested list of numbers, which becomes float32.
    dtype
        the dtype to convert to; None: the dtype of the array.
    device
        ``"cpu"`` or ``"cuda"``; None: where the array is, and for data from the host the default
        device (`minigrad.set_default_device`), which at first is the CPU.
    requires_grad
        whether to compute gradients for this tensor.

    Raises
    ------
    TypeError
        if `data` is not numeric, or `requires_grad` is True and the numbers are not floats.
    """

    __slots__ = ("__weakref__", "_array", "_memory", "_node", "grad")
    __hash__ = object.__hash__

    _array: Array
    _node: Node | None  # the place on the tape; None for a constant
    _memory: Memory | None  # shared with all views of the same memory; None: not needed so far
    grad: Any  # a Tensor or a RowSparse; None: no backward pass has reached this tensor

    def __init__(
        self,
        data: ArrayLike,
        dtype: DType = None,
        device: Device | None = None,
        requires_grad: bool = False,
    ) -> None:
        if isinstance(data, Tensor) and device is None:
            device = device_of(data._array)
        self._array = place(bare(data), dtype, device)
        self._node = self._memory = self.grad = None
        if isinstance(data, Tensor) and self._array is data._array:
            self._memory = memory_of(data)
        self.requires_grad_(requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._array.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._array.dtype  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of memory the elements take."""
        return self._array.nbytes  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the elements are: ``"cpu"`` or ``"cuda:0"``, with the number of the GPU."""
        return device_of(self._array)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor: it is a constant, or the tape begins at it."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def data(self) -> Array:
        """The array itself, off the tape. Assigning to it counts as a change in place."""
        return self._array

    @data.setter
    def data(self, value: ArrayLike) -> None:
        array = place(bare(value), self.dtype, self.device)
        if array.shape != self.shape:
            raise ValueError(f"data: assigned shape {array.shape} to a tensor of {self.shape}")
        if array is not self._array:
            shared = isinstance(value, Tensor) and array is value._array
            self._array, self._memory = array, memory_of(value) if shared else Memory()
        mark_changed(self)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor: whether it has a place on the tape."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Say whether to compute gradients for this tensor; returns the tensor."""
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

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook` with the gradient of this tensor, whenever a backward pass has computed it.

        If the hook returns a Tensor, this replaces the gradient. Returns a function that removes
        the hook.
        """
        node = self._node
        if node is None:
            raise TapeError(
                "register_hook: this tensor is a constant, and no gradient will reach it; before "
                "computing with it write x.requires_grad_()"
            )
        hooks = node.hooks = {} if node.hooks is None else node.hooks
        key, keeping = next_stamp(), hooks.pop(0, None)
        hooks[key] = hook
        if keeping is not None:  # that of retain_grad comes last
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
        """A constant with the same array (shared, not copied), cut off from the tape."""
        result: Tensor = wrap(self._array)
        result._memory = memory_of(self)
        if watchers and modes.observer is not None:
            modes.observer.cut("detach", [self], result)
        return result

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the values as a NumPy array, from any device."""
        if watchers and modes.observer is not None:
            modes.observer.cut("numpy", [self], None)
        return np.array(to_device(self._array, "cpu"))

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: a tensor of shape {self.shape} is not a single number")
        if watchers and modes.observer is not None:
            modes.observer.cut("item", [self], None)
        return self._array.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._array.tolist()

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
        if any(step < 0 for step in self._array.strides):  # PyTorch aborts the process
            raise BufferError("a Tensor that runs backwards is not handed over; use x.copy()")
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self._array.__dlpack_device__()
        return int(kind), int(index)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()"
            )
        return bool(self._array)

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

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        """How treescope shows it in a notebook; nothing is imported before that."""
        from treescope import repr_lib

        shown = {"data": self.numpy(), "grad": self.grad, "requires_grad": self.requires_grad}
        if self.device != "cpu":
            shown["device"] = self.device
        if not self.is_leaf:
            shown["made_by"] = self._node.plan.name  # type: ignore[union-attr]
        return repr_lib.render_object_constructor(type(self), shown, path, subtree_renderer)

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if hasattr(type(self), name)]

    def __copy__(self: Self) -> Self:
        return self.__deepcopy__({}) if self.is_leaf else self.copy()  # type: ignore[return-value]

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        cls, *state = self.__reduce__()
        result: Self = cls(*[x.copy() if hasattr(x, "copy") else x for x in state[0]])
        result.grad = None if self.grad is None else self.grad.copy()
        memo[id(self)] = result
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise TypeError(
                "a tensor that an op made cannot be pickled or deep-copied with its place on the "
                "tape; use detach() first, or copy() to stay on the tape"
            )
        return type(self), (self._array, None, self.device, self.requires_grad)


def wrap(data: Array, node: Node | None = None) -> Tensor:
    """A Tensor around the array `data`, with its place `node` on the tape (None: a constant)."""
    tensor = object.__new__(Tensor)
    tensor._array = data
    tensor._node = node
    tensor._memory = tensor.grad = None
    return tensor


def memory_of(tensor: Tensor) -> Memory:
    """The `Memory` of `tensor`; it is made now if there is none yet."""
    if tensor._memory is None:
        tensor._memory = Memory()
    return tensor._memory


def mark_changed(tensor: Tensor) -> None:
    """Note an in-place change of `tensor`, for the nodes that have saved it or a view of it."""
    memory_of(tensor).changed = next_stamp()
