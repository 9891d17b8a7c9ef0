"""The switches of the tape: whether it records, whether it looks for NaN, and who is told.

The last part of the file is what `detect_anomaly` does: it finds the op that made the first NaN or
infinity. Read next: `minigrad.autograd.fused`.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from types import FrameType
from typing import Any, Protocol

from minigrad.arrays.library import array_module, is_array
from minigrad.autograd.sparse import elements
from minigrad.errors.values import calling_line

Entry = tuple[bool, FrameType | None]
"""The value of a switch within one `switched`, and the caller's frame if it can be suspended."""


class Modes(threading.local):
    """The switches of the tape; each thread has its own."""

    def __init__(self) -> None:
        self.recording: Any = True  # a bool; or, where a generator has entered, a `_Now`
        self.anomaly: Any = False
        self.observer: Observer | None = None
        self.entered: dict[str, list[Entry]] = {
            "recording": [(True, None)],
            "anomaly": [(False, None)],
        }

    def settle(self, mode: str) -> None:
        """Give the switch `mode` the value of the last `switched` that was entered."""
        entries = self.entered[mode]
        value, frame = entries[-1]
        setattr(self, mode, value if frame is None else _Now(entries))


class Observer(Protocol):
    """Who is told what happens in a thread: see `minigrad.viz.watch`."""

    def called(self, op: Any, args: Sequence[Any], outputs: Any, node: Any) -> None:
        """An op has made `outputs`, a Tensor or a tuple of them; `node` is None if not recorded."""

    def starts(self, nodes: Sequence[Any], wanted: Any) -> None:
        """A walk back starts at `nodes`; `wanted` are those that `grad` asks for, None: all."""

    def walked(self, node: Any, g: Any, gradients: Sequence[Any]) -> None:
        """A walk back passes on the `gradients` that `node` has made of `g`."""

    def cut(self, by: str, tensors: Sequence[Any], result: Any) -> None:
        """A function without a derivative, such as ``"detach"``, made `result` of `tensors`."""

    def clipped(self, tensors: Sequence[Any], norm: Any, max_norm: float) -> None:
        """The gradients of `tensors` were scaled, so that their `norm` is at most `max_norm`."""

    def stepped(self, optimizer: Any) -> None:
        """An optimiser is about to change its parameters."""

    def inside(self, module: Any) -> contextlib.AbstractContextManager[Any]:
        """Within it, `module` is being called."""


class _Now:
    """The value of a switch at this moment; a suspended frame's `switched` does not count."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def __bool__(self) -> bool:
        for value, frame in reversed(self.entries):
            if frame is None or frame.f_back is not None:  # a suspended frame has no caller
                return value
        raise AssertionError("the first entry has no frame")


modes = Modes()

watchers: list[int] = []
"""The threads that are inside `detect_anomaly`, or that an `Observer` looks at.

To look at a list costs less than to look at `modes`.
"""


class switched(contextlib.ContextDecorator):  # noqa: N801 (used like a function)
    """Within it, the switch `mode` has this `value` in this thread; restored on any exit.

    It works with ``with``, and as a decorator of functions, generator functions and coroutines. In
    a generator or coroutine it holds while this runs, not while it is suspended; in a generator of
    `contextlib.contextmanager` it also holds in the ``with`` block.
    """

    def __init__(self, mode: str, value: bool) -> None:
        self._mode, self._value = mode, value
        self._entries: list[Entry] = []  # a stack: one object may be entered again

    def _recreate_cm(self) -> switched:  # for each call of a decorated function
        return switched(self._mode, self._value)

    def __call__(self, function: Any) -> Any:
        for is_kind, held in _SUSPENDABLE:
            if is_kind(function):
                return wraps(function)(held(function, self._recreate_cm))
        return super().__call__(function)

    def __enter__(self) -> None:
        # a new tuple, which `__exit__` finds again by identity
        entry = (self._value, _suspendable(sys._getframe(1)))
        self._entries.append(entry)
        modes.entered[self._mode].append(entry)
        modes.settle(self._mode)
        if self._mode == "anomaly" and self._value:
            watchers.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        entry, entries = self._entries.pop(), modes.entered[self._mode]
        if entries[-1] is entry:
            entries.pop()
        else:  # generators are interleaved
            entries[:] = [other for other in entries if other is not entry]
        modes.settle(self._mode)
        if self._mode == "anomaly" and self._value:
            watchers.remove(threading.get_ident())


def _suspendable(frame: FrameType | None) -> FrameType | None:
    """The caller's `frame` if it is a generator's or coroutine's, which may be suspended."""
    while frame is not None and frame.f_code.co_filename == _CONTEXTLIB:  # ExitStack
        frame = frame.f_back
    if frame is None or not frame.f_code.co_flags & _KINDS:
        return None
    caller = frame.f_back
    return None if caller is not None and caller.f_code.co_filename == _CONTEXTLIB else frame


_CONTEXTLIB = contextlib.__file__
_KINDS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


# ---------------------------------------------------- decorated functions that can be suspended


def _generator(function: Any, switch: Callable[[], switched]) -> Any:
    def held(*args: Any, **kwargs: Any) -> Any:
        with switch():
            return (yield from function(*args, **kwargs))

    return held


def _coroutine(function: Any, switch: Callable[[], switched]) -> Any:
    async def held(*args: Any, **kwargs: Any) -> Any:
        with switch():
            return await function(*args, **kwargs)

    return held


def _async_generator(function: Any, switch: Callable[[], switched]) -> Any:
    async def held(*args: Any, **kwargs: Any) -> Any:
        with switch():
            async for item in function(*args, **kwargs):
                yield item

    return held


_SUSPENDABLE = (
    (inspect.isgeneratorfunction, _generator),
    (inspect.iscoroutinefunction, _coroutine),
    (inspect.isasyncgenfunction, _async_generator),
)


# ------------------------------------------------------------------------------ the public names


def no_grad() -> switched:
    """Within ``with no_grad():`` (or a function decorated with it) nothing is recorded.

    Within it ``p -= 0.1 * p.grad`` and ``p[i] = v`` change a tensor in place.
    """
    return switched("recording", False)


def enable_grad() -> switched:
    """Within ``with enable_grad():`` ops are recorded, also inside `no_grad`."""
    return switched("recording", True)


def detect_anomaly() -> switched:
    """Within ``with detect_anomaly():`` the first NaN or infinity that an op makes is an error.

    The `AnomalyError` names the op, the shapes of its inputs and the line of the forward pass that
    called it, also if the value appeared in the backward pass. An infinity that was put in, such as
    a mask of -inf, is not an error. Every result is checked. This costs time, and on a GPU a
    transfer for each op, so use it only to find a fault.
    """
    return switched("anomaly", True)


# --------------------------------------------------------------------- what `detect_anomaly` does

_origins: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""For each node recorded under detect_anomaly: the op's inputs and the line that called it."""


class AnomalyError(FloatingPointError):
    """An op made a NaN or an infinity out of finite numbers."""


def notice_call(op: Any, args: Sequence[Any], values: Any, outputs: Any, node: Any) -> None:
    """Tell whoever looks at this thread that `op` was called with `args`, of these `values`."""
    if modes.anomaly:
        check_forward(op.name, values, [outputs], node)
    if modes.observer is not None:
        modes.observer.called(op, args, outputs, node)


def notice_start(nodes: Iterable[Any], wanted: Any) -> None:
    """Tell whoever looks at this thread that a walk starts."""
    if modes.observer is not None:
        modes.observer.starts(list(nodes), wanted)


def notice_walk(node: Any, g: Any, gradients: Sequence[Any]) -> None:
    """Tell whoever looks at this thread what `node` passes on."""
    if modes.anomaly:
        check_backward(node.plan.name, node, gradients)
    if modes.observer is not None:
        modes.observer.walked(node, g, gradients)


def check_forward(name: str, inputs: Sequence[Any], outputs: Iterable[Any], node: Any) -> None:
    """Raise if outputs have a NaN or infinity that no input has; else note where `node` is from."""
    arrays = [x for x in inputs if is_array(x)]
    shapes = ", ".join(f"{x.dtype} {x.shape}" for x in arrays) or "no arrays"
    origin = f"{name} of {shapes}, called at {calling_line()}"
    trouble = _trouble(inputs, outputs)
    if trouble:
        raise AnomalyError(f"detect_anomaly: the forward pass made {trouble} in {origin}")
    if node is not None:
        _origins[node] = origin


def check_backward(name: str, node: Any, gradients: Iterable[Any]) -> None:
    """Raise if a gradient that `node` passes on is not finite."""
    trouble = _trouble([], gradients)
    if trouble:
        origin = _origins.get(node, f"{name} (recorded outside detect_anomaly: line unknown)")
        raise AnomalyError(f"detect_anomaly: the backward pass made {trouble} in {origin}")


def _trouble(inputs: Iterable[Any], outputs: Iterable[Any]) -> str:
    """What the outputs have and the inputs lack: "a NaN" or "an infinity"; empty if neither."""
    nan, inf = _has(outputs)
    nan_before, inf_before = _has(inputs)
    if nan and not nan_before:
        return "a NaN"
    return "an infinity" if inf and not (inf_before or nan_before) else ""


def _has(values: Iterable[Any]) -> tuple[bool, bool]:
    """Whether there is a NaN, and an infinity, in numbers, arrays, gradients and lists of them."""
    nan = inf = False
    for value in values:
        x = elements(value)
        if isinstance(x, list | tuple):
            has_nan, has_inf = _has(x)
        elif isinstance(x, float):
            has_nan, has_inf = math.isnan(x), math.isinf(x)
        elif is_array(x) and x.dtype.kind == "f" and x.size:
            xp = array_module(x)
            has_nan, has_inf = bool(xp.isnan(x).any()), bool(xp.isinf(x).any())
        else:
            continue
        nan, inf = nan or has_nan, inf or has_inf
    return nan, inf
