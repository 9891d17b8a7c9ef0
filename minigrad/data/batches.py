"""One long sequence of ids, cut into windows for truncated backpropagation through time."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, Self, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import positive_int, sequence_of_ids, whole_number

Window = tuple[NDArray[np.int64], NDArray[np.int64]]


class TooShortError(ValueError):
    """A text is too short for so many parts."""


class Sliceable(Protocol):
    """Something that has a length and can be cut: a str, an array, a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any: ...


Part = TypeVar("Part", bound=Sliceable)


def split(ids_or_text: Part, fractions: Sequence[float] = (0.9, 0.05, 0.05)) -> tuple[Part, ...]:
    """Consecutive parts of a text, or of its ids: by default train, valid and test.

    Nothing is shuffled, and the parts together are the whole. Parts of an array are views. A text
    is cut between any two characters, perhaps inside a word: for a model of words, cut the ids.

    Parameters
    ----------
    ids_or_text
        a str, a list, or an array, which is cut along its first axis.
    fractions
        the share of each part; each cut is at the nearest whole position.

    Raises
    ------
    ValueError
        if a fraction is not positive, if they do not sum to 1, or (a `TooShortError`) if a part
        would be empty.
    """
    if not all(fraction > 0 for fraction in fractions):
        raise ValueError(f"split: fractions must be positive, got {tuple(fractions)}")
    total = math.fsum(fractions)
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise ValueError(f"split: fractions must sum to 1, got {tuple(fractions)}, sum {total:g}")
    length = len(ids_or_text)
    cuts = [round(length * math.fsum(fractions[:n])) for n in range(len(fractions))] + [length]
    bounds = list(pairwise(cuts))
    for number, (start, stop) in enumerate(bounds):
        if start >= stop:
            raise TooShortError(
                f"split: a length of {length} is too short for fractions {tuple(fractions)}: "
                f"part {number} would be empty; {math.ceil(1 / min(fractions)) + 1} will do"
            )
    return tuple(ids_or_text[start:stop] for start, stop in bounds)


def batchify(
    ids: ArrayLike, batch_size: SupportsIndex, *, vocab_size: int | None = None
) -> NDArray[np.integer[Any]]:
    """One sequence as parallel streams, which a model reads side by side.

    The sequence is cut into `batch_size` consecutive pieces of equal length, L = len(ids) //
    batch_size. Piece n is stream n, which is column n. The last len(ids) % batch_size tokens are
    left out.

    Parameters
    ----------
    ids
        integers, shape (length,).
    batch_size
        the number N of streams.
    vocab_size
        if given, ids must be in [0, vocab_size). On a GPU nothing else checks that.

    Returns
    -------
    ndarray
        shape (L, N). If the ids are narrower than int64, like those of `tokenized`, which may be
        larger than memory, it is a view with their dtype, and `windows` makes int64 of each window.
        Otherwise it is an int64 copy (for N = 1 a view), in which the N tokens of one time step lie
        next to each other in memory.

    Raises
    ------
    TypeError
        if the ids are not integers.
    ValueError
        if `ids` does not have exactly one axis, or is too short: each stream needs at least two
        tokens, an input and its target.
    IndexError
        if an id is negative, or not below `vocab_size`.
    """
    batch_size = positive_int(batch_size, "batchify: batch_size")
    sequence = sequence_of_ids(ids, vocab_size, "batchify")
    length = len(sequence) // batch_size
    if length < 2:
        raise ValueError(
            f"batchify: {len(sequence)} tokens are too few for batch_size={batch_size}: at least "
            f"{2 * batch_size} are needed, an input and a target for each stream"
            + (f"; a longer text, or batch_size={len(sequence) // 2}" if len(sequence) > 1 else "")
        )
    streams = sequence[: length * batch_size].reshape(batch_size, length).T
    if isinstance(ids, np.ndarray) and ids.itemsize < 8:
        return streams
    return np.ascontiguousarray(streams, np.int64)


class Windows(Sequence[Window]):
    """The windows of truncated BPTT over parallel streams, as a sequence; see `windows`."""

    def __init__(self, streams: NDArray[np.integer[Any]], bptt: int, starts: range) -> None:
        self.streams = streams
        self.bptt = bptt
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Window | Self:
        if isinstance(index, slice):
            return type(self)(self.streams, self.bptt, self.starts[index])
        start = self.starts[index]
        return self._window(start, min(start + self.bptt, self.time_steps))

    @property
    def time_steps(self) -> int:
        """The number of targets in each stream: one less than its tokens."""
        return len(self.streams) - 1

    def at(self, start: SupportsIndex, length: SupportsIndex) -> Window:
        """The window of `length` time steps that begins at time step `start`.

        Parameters
        ----------
        start
            the time step of the first input, in [0, time_steps).
        length
            the number of time steps, at most ``time_steps - start``.

        Raises
        ------
        ValueError
            if one of them is out of range.
        """
        start = whole_number(start, "Windows.at: start")
        length = positive_int(length, "Windows.at: length")
        if not 0 <= start < self.time_steps:
            raise ValueError(f"Windows.at: start must be in [0, {self.time_steps}), got {start}")
        if length > self.time_steps - start:
            raise ValueError(
                f"Windows.at: length must be at most {self.time_steps - start}, as many time steps "
                f"as are left from {start} on, got {length}"
            )
        return self._window(start, start + length)

    def _window(self, start: int, stop: int) -> Window:
        # A method of the array, so that it works for NumPy and for CuPy. One conversion is enough,
        # since the targets are the inputs one step later.
        steps: NDArray[np.int64] = self.streams[start : stop + 1].astype(
            np.int64, order="C", copy=False
        )
        return steps[:-1], steps[1:]

    def __repr__(self) -> str:
        return f"<{len(self)} windows of {self.bptt} steps, streams {self.streams.shape}>"


def windows(
    streams: NDArray[np.integer[Any]], bptt: SupportsIndex, *, start: SupportsIndex = 0
) -> Windows:
    """Consecutive pairs of inputs and targets, for truncated BPTT.

    The targets of a window are its inputs one step later. So each token of a stream except the
    first is a target exactly once. The state after one window is the state before the next.

    Parameters
    ----------
    streams
        integers, shape (L, N), from `batchify`. An array of CuPy stays on its GPU.
    bptt
        the number T of time steps in a window; the last window may have fewer.
    start
        the time step of the first input. To go on where a run was stopped, it is the number of time
        steps that were read before. With L - 1, the end of an epoch, there is no window.

    Returns
    -------
    Windows
        a sequence of pairs (inputs, targets), both int64, C-contiguous and of shape (T, N). If
        `streams` is int64 and C-contiguous, they are views of it; do not write to them. Otherwise
        each window is copied when it is asked for, and `streams` may be larger than memory.

    Raises
    ------
    TypeError
        if the streams are not integers.
    ValueError
        if `streams` does not have exactly two axes, or is too short for an input and a target; if
        `bptt` is less than 1, or `start` is not in [0, L - 1].
    """
    bptt = positive_int(bptt, "windows: bptt")
    if not hasattr(streams, "astype"):
        streams = np.asarray(streams)
    if streams.ndim != 2:
        raise ValueError(f"windows: streams must have two axes (L, N), got shape {streams.shape}")
    if streams.dtype.kind not in "iu":
        raise TypeError(f"windows: streams must be integers, got dtype {streams.dtype}")
    length = len(streams)
    if length < 2:
        raise ValueError(
            f"windows: streams of {length} time steps are too short: at least 2 are needed, "
            "an input and its target"
        )
    start = whole_number(start, "windows: start")
    if not 0 <= start < length:
        raise ValueError(f"windows: start must be in [0, {length - 1}], got {start}")
    return Windows(streams, bptt, range(start, length - 1, bptt))
