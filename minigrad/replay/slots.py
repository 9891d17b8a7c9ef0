"""How a recorder gets hold of Tensors: while it records, it stands in for two of their slots."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import Any

from minigrad.arrays import recording
from minigrad.autograd.sparse import RowSparse
from minigrad.replay.memory import is_real
from minigrad.replay.recorded import Recorded
from minigrad.replay.recorder import Recorder
from minigrad.tensor import Tensor

ARRAY, GRAD = Tensor.__dict__["_array"], Tensor.__dict__["grad"]


class Slots:
    """Within it, this thread reads and writes Tensors through `recorder`."""

    _lock = threading.RLock()  # one that knows its thread

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
            recording.here.recorder = self.recorder
            _put_in(_ArraySlot(), _GradSlot())
        except BaseException:  # Ctrl-C
            self.leave()
            raise

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """All as before; a second time does no harm: Ctrl-C may come in the middle of the first."""
        if recording.here.recorder is self.recorder:
            _put_in(ARRAY, GRAD)
            recording.here.recorder = None
        with suppress(RuntimeError):  # this thread does not have it
            self._lock.release()
        for reference in self.recorder.born:
            tensor = reference()
            if tensor is not None and hasattr(tensor, "_array"):  # Ctrl-C may have come before
                tensor._array = _bare(tensor._array)
        for gradient in self.recorder.set_grads.values():
            if isinstance(gradient, RowSparse):
                gradient.rows, gradient.values = map(_bare, (gradient.rows, gradient.values))


def _bare(array: Any) -> Any:
    return array.array if type(array) is Recorded else array


def _put_in(array_slot: Any, grad_slot: Any) -> None:
    setattr(Tensor, "_array", array_slot)  # noqa: B010 (type checkers know them as slots)
    setattr(Tensor, "grad", grad_slot)  # noqa: B010


def _in_a_child() -> None:
    """After a fork: the thread that recorded is not there, unless it is this one."""
    if recording.here.recorder is None:
        Slots._lock = threading.RLock()
        _put_in(ARRAY, GRAD)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


class _ArraySlot:
    """Stands in for the slot `Tensor._array`."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        array = ARRAY.__get__(tensor)
        recorder = recording.here.recorder
        if recorder is None:
            return array
        if type(array) is Recorded:
            return array.array if recorder.paused else array
        return array if recorder.paused else recorder.of_tensor(tensor, array)

    def __set__(self, tensor: Any, array: Any) -> None:
        recorder = recording.here.recorder
        if recorder is not None and not recorder.paused:
            if type(array) is Recorded:
                recorder.born.append(weakref.ref(tensor))
            elif is_real(array) and recorder.known(array) is None:
                recorder.refuse(array)
        ARRAY.__set__(tensor, array)


class _GradSlot:
    """Stands in for the slot `Tensor.grad`."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        gradient = GRAD.__get__(tensor)
        recorder = recording.here.recorder
        asked = recorder is not None and not recorder.paused and not _is_born(tensor)
        if asked and tensor not in recorder.set_grads:
            recorder.grads.setdefault(tensor, gradient)
        return gradient

    def __set__(self, tensor: Any, gradient: Any) -> None:
        recorder = recording.here.recorder
        if recorder is not None and not recorder.paused and not _is_born(tensor):
            recorder.set_grad(tensor, gradient)
        GRAD.__set__(tensor, gradient)


def _is_born(tensor: Any) -> bool:
    """Whether the tensor was made in the recording."""
    try:
        return type(ARRAY.__get__(tensor)) is Recorded
    except AttributeError:  # it is being made
        return True
