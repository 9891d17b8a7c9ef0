"""Where a model computes, and how ids get there and losses come back.

To fetch a number from a GPU, the program waits until the GPU has finished all its work; then the
GPU has to wait for the program. So losses stay on the GPU, and many are fetched at a time: see
`Readings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, get_default_device, nn, ones, set_default_device, zeros


def check_name(device: str) -> None:
    """Raise a ValueError if `device` is not the name of a device."""
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", device):
        raise ValueError(f"--device must be cpu or cuda, got {device!r}")


def check_available(device: str) -> None:
    """Raise a ValueError that says what is missing if `device` can't be used here."""
    try:
        ones(1, device=device)
    except (RuntimeError, ValueError) as error:
        reason = str(error).removeprefix("device: ").replace('device="cuda"', "--device cuda")
        raise ValueError(f"--device {device}: {reason}. On the CPU: --device cpu") from error


@contextmanager
def using(device: str) -> Iterator[None]:
    """Within it, data from the host goes to `device`.

    Raises
    ------
    ValueError
        as `check_available` does.
    """
    check_available(device)
    before = get_default_device()
    set_default_device(device)
    try:
        yield
    finally:
        set_default_device(before)


def device_of(model: nn.Module) -> str | None:
    """Where the parameters of `model` are; None if it has none."""
    parameters = model.parameters()
    return str(parameters[0].device) if parameters else None


def moved(ids: NDArray[Any], device: str | None) -> Any:
    """`ids` as a model on `device` takes them; None: as they are."""
    return ids if device is None else Tensor(ids, device=device)


class Readings:
    """Numbers that are measured on a device, some at each step, and fetched together.

    Parameters
    ----------
    capacity
        how many steps there is room for.

    Attributes
    ----------
    count : int
        how many steps were noted since the last `fetch`.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count = capacity, 0
        self._values: Tensor | None = None

    def note(self, *values: Tensor) -> None:
        """Note the numbers of a step, as many as at the other steps, without waiting.

        Raises
        ------
        RuntimeError
            if there is no room: fetch first.
        """
        if self.count == self.capacity:
            raise RuntimeError(f"Readings.note: all {self.capacity} are to be fetched first")
        if self._values is None:
            like, shape = values[0], (self.capacity, len(values))
            self._values = zeros(shape, dtype=like.dtype, device=like.device)
        for column, value in enumerate(values):
            self._values[self.count, column] = value.detach()
        self.count += 1

    def check(self) -> Tensor:
        """A number on the device: 0 if all numbers since the last `fetch` are finite, else NaN."""
        assert self._values is not None  # something was noted
        return (self._values * 0).sum()

    def fetch(self) -> NDArray[Any]:
        """The numbers since the last time, a row for each step; then there is room again."""
        if self._values is None:
            return np.zeros((0, 0))
        values, count = self._values.numpy(), self.count
        self.count = 0
        if not np.isfinite(values).all():
            self._values = None  # or `check` would go on seeing it
        return values[:count]
