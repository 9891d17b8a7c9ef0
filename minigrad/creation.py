"""Functions that make tensors: from data, filled with a number, or drawn by chance."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.devices import device_of, get_default_device, library_of, place, require_cupy
from minigrad.arrays.library import FLOAT32, ArrayLike, Device, DType, array_module, bare, on_gpu
from minigrad.arrays.random import generator
from minigrad.arrays.recording import constant, maker, one_call
from minigrad.errors.words import worded
from minigrad.tensor import Tensor


def tensor(
    data: ArrayLike,
    dtype: DType = None,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new Tensor with a copy of `data`; see `Tensor` for the parameters and what is raised.

    Python numbers become float32, integers too: pass ``dtype=int`` for ids and indices.
    """
    array = Tensor(data, dtype, device)._array
    if array is bare(data) or not on_gpu(array):
        array = array.copy()
    return Tensor(array, None, device_of(array), requires_grad)


@worded
def full(
    shape: int | Sequence[int],
    fill_value: ArrayLike,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of `shape` with every element equal to `fill_value`; by default float32."""
    device = get_default_device() if device is None else device
    value = fill_value
    if not isinstance(value, int | float):
        value = place(bare(value), dtype, device)
    array = maker(library_of(device)).empty(shape, dtype)
    array[...] = value
    return Tensor(array, None, device, requires_grad)


@worded
def zeros(
    *shape: int | Sequence[int] | DType,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of zeros, by default float32: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    lengths, dtype = _lengths("zeros", shape, dtype)
    return full(lengths, 0, dtype, device, requires_grad)


@worded
def ones(
    *shape: int | Sequence[int] | DType,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of ones, by default float32: ``ones(2, 3)`` or ``ones((2, 3))``."""
    lengths, dtype = _lengths("ones", shape, dtype)
    return full(lengths, 1, dtype, device, requires_grad)


def _lengths(maker: str, shape: tuple[Any, ...], dtype: DType) -> tuple[tuple[int, ...], DType]:
    """The shape, which was given whole or length by length, and the dtype.

    As in NumPy, a dtype may come after the shape: ``zeros((2, 3), "float64")``.
    """
    if len(shape) > 1 and isinstance(shape[-1], type | str | np.dtype):
        *shape, dtype = shape  # type: ignore[assignment]
    lengths = shape[0] if len(shape) == 1 and np.ndim(shape[0]) == 1 else shape
    try:
        return tuple([operator.index(n) for n in lengths]), dtype
    except TypeError:
        raise TypeError(
            f"{maker}: expected lengths, {maker}(2, 3), or one shape, {maker}((2, 3)), and dtype=, "
            f"device= and requires_grad= by name; got {', '.join(map(repr, shape))}"
        ) from None


@worded
def eye(
    N: int,
    M: int | None = None,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A matrix of shape (N, M), by default square, with 1 on its diagonal and 0 elsewhere."""
    return _made(np.eye(N, M, dtype=dtype), device, requires_grad)


@worded
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: DType = None,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` up to but not including `stop`; with one number, from 0 up to it.

    By default, integers give int64, which suits ids and indices, and floats give float32.
    """
    array = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    if dtype is None and array.dtype.kind == "f":
        dtype = FLOAT32
    return _made(array if dtype is None else array.astype(dtype), device, requires_grad)


@worded
def linspace(
    start: float,
    stop: float,
    num: int = 50,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`num` numbers at equal distances, from `start` up to and including `stop`."""
    return _made(np.linspace(start, stop, num, dtype=dtype), device, requires_grad)


@worded
def rand(
    *shape: int | Sequence[int],
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn evenly from [0, 1); see `manual_seed`.

    ``rand(2, 3)`` or ``rand((2, 3))``; by default float32. They are drawn on the CPU by the
    generator `rng` (None: minigrad's own), so they are the same on every device.
    """
    lengths, dtype = _lengths("rand", shape, dtype)
    return _made(_drawn(generator(rng), "random", dtype, lengths), device, requires_grad)


@worded
def randn(
    *shape: int | Sequence[int],
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn from the standard normal distribution; the arguments are as in `rand`."""
    lengths, dtype = _lengths("randn", shape, dtype)
    drawn = _drawn(generator(rng), "standard_normal", dtype, lengths)
    return _made(drawn, device, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    dtype: DType = np.int64,
    device: Device | None = None,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Integers drawn evenly from `low` to `high` - 1: ``randint(0, 10, (2, 3))``.

    If only one limit is given, it is `high`, and `low` is 0: ``randint(10, (2, 3))``.
    """
    if size is None and isinstance(high, tuple | list):
        high, size = None, high
    drawn = _drawn(generator(rng), "integers", dtype, low, high, size)
    return _made(drawn, device, False)


def randperm(
    n: int, device: Device | None = None, rng: np.random.Generator | None = None
) -> Tensor:
    """The integers from 0 to `n` - 1 in random order: ``x[randperm(n)]`` shuffles."""
    return _made(_drawn(generator(rng), "permutation", np.int64, n), device, False)


@one_call()
def _drawn(rng: np.random.Generator, kind: str, dtype: DType, *args: Any) -> Any:
    return np.asarray(getattr(rng, kind)(*args), dtype)


def _made(array: Any, device: Device | None, requires_grad: bool) -> Tensor:
    """A Tensor of an array that was made on the CPU, of Python numbers."""
    return Tensor(
        constant(array), None, get_default_device() if device is None else device, requires_grad
    )


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor that shares its memory with `array`: what is changed in one changes in the other.

    The tape does not notice such a change. On a GPU it is a copy; `tensor` always copies.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return Tensor(array)


def zeros_like(a: Tensor) -> Tensor:
    """A constant of the shape, dtype and device of `a`, every element 0."""
    return _like("zeros_like", a)


def ones_like(a: Tensor) -> Tensor:
    """A constant of the shape, dtype and device of `a`, every element 1."""
    return _like("ones_like", a)


def _like(maker: str, a: Any) -> Tensor:
    array = Tensor(a)._array
    return Tensor(getattr(array_module(array), maker)(array), None, device_of(array))


def from_dlpack(x: Any) -> Tensor:
    """The array of another library as a Tensor, on the same device, without a copy.

    ``minigrad.from_dlpack(torch_tensor)``, and back ``torch.from_dlpack(tensor)``, by the DLPack
    protocol of the Python array API standard.

    Parameters
    ----------
    x
        an array with ``__dlpack__``, of PyTorch, JAX, CuPy, NumPy ..., on the CPU or an NVIDIA GPU.

    Returns
    -------
    Tensor, a constant. The two share their memory: what is changed in one changes in the other, and
    the tape does not notice it.

    Raises
    ------
    TypeError
        if `x` cannot be passed on like this, or has a dtype that minigrad does not have.
    RuntimeError
        if it is on a GPU that CuPy cannot use.
    ValueError
        if it is on another kind of device.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}")
    kind = int(x.__dlpack_device__()[0])
    if kind not in (_CPU, _CUDA):
        raise ValueError(
            f"from_dlpack: expected an array on the CPU or a CUDA GPU, got kind {kind}"
        )
    library = np if kind == _CPU else require_cupy()
    try:
        array = library.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"from_dlpack: {type(x).__name__} cannot be handed over: {error}"
        ) from error
    return Tensor(array, None, device_of(array))


_CPU, _CUDA = 1, 2  # DLPack's numbers for the kinds of devices
