"""One long sequence of ids, cut for training by truncated backpropagation through time."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, Self, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import positive_int, sequence_of_ids, whole_number

Window = tuple[NDArray[np.int64], NDArray[np.int64]]


class TooShortError(ValueError):
    """A text is too short to be cut into so many parts."""


class Sliceable(Protocol):
    """A str, an array, a list: what has a length and can be cut."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any: ...


Part = TypeVar("Part", bound=Sliceable)


def split(ids_or_text: Part, fractions: Sequence[float] = (0.9, 0.05, 0.05)) -> tuple[Part, ...]:
    """Cut a text, or the ids of one, into consecutive parts: by default train, valid and test.

    Nothing is shuffled, and the parts joined are the whole. Parts of an array are views. A text is
    cut between two characters, which may be within a word: for a model of words, cut the ids.

    Parameters
    ----------
    ids_or_text
        A str, a list, or an array, which is cut along its first axis.
    fractions
        The share of each part. A cut falls on the nearest whole position.

    Raises
    ------
    ValueError
        If a fraction is not positive, if they do not sum to 1, or (a `TooShortError`) if a part
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
    """Lay one sequence out as parallel streams, to be read side by side.

    Stream n, which is column n, is the n-th of `batch_size` consecutive pieces of equal length
    L = len(ids) // batch_size. The len(ids) % batch_size tokens that are left at the end are
    dropped.

    Parameters
    ----------
    ids
        Integers, shape (length,).
    batch_size
        The number N of streams.
    vocab_size
        With it, ids are checked to be in [0, vocab_size). On a GPU nothing else does.

    Returns
    -------
    ndarray
        Shape (L, N). Of ids that are narrower than int64, such as those of `tokenized`, which may
        be larger than memory, it is a view with their dtype, and `windows` makes int64 of each
        window. Else it is an int64 copy (for N = 1 a view) with the N tokens of one time step next
        to each other in memory.

    Raises
    ------
    TypeError
        If the ids are not integers.
    ValueError
        If `ids` has not exactly one axis, or is too short: each stream needs at least two tokens,
        an input and its target.
    IndexError
        If an id is negative, or not below `vocab_size`.
    """
    batch_size = positive_int(batch_size, "batchify: batch_size")
    sequence = sequence_of_ids(ids, vocab_size, "batchify")
    length = len(sequence) // batch_size
    if length < 2:
        raise ValueError(
            f"batchify: {len(sequence)} tokens are too few for batch_size={batch_size}: at least "
            f"{2 * batch_size} are needed, an input and a target for each stream"
        )
    streams = sequence[: length * batch_size].reshape(batch_size, length).T
    if isinstance(ids, np.ndarray) and ids.itemsize < 8:
        return streams
    return np.ascontiguousarray(streams, np.int64)


class Windows(Sequence[Window]):
    """The windows of truncated BPTT over parallel streams, as a sequence: see `windows`."""

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
        """How many targets each stream has: one less than tokens."""
        return len(self.streams) - 1

    def at(self, start: SupportsIndex, length: SupportsIndex) -> Window:
        """Return the window of `length` time steps whose first input is that of `start`.

        Parameters
        ----------
        start
            A time step, in [0, time_steps).
        length
            At most as many time steps as are left: `time_steps - start`.

        Raises
        ------
        ValueError
            If one of them is out of range.
        """
        start = whole_number(start, "Windows.at: start")
        length = positive_int(length, "Windows.at: length")
        if not 0 <= start < self.time_steps:
            raise ValueError(f"Windows.at: start must be in [0, {self.time_steps}), got {start}")
        if length > self.time_steps - start:
            raise ValueError(
                f"Windows.at: of {self.time_steps} time steps {self.time_steps - start} are left "
                f"from {start} on, got length={length}"
            )
        return self._window(start, start + length)

    def _window(self, start: int, stop: int) -> Window:
        # By the array's own method, so that NumPy and CuPy arrays are served alike. One conversion
        # serves both: the targets are the inputs one step later.
        steps: NDArray[np.int64] = self.streams[start : stop + 1].astype(
            np.int64, order="C", copy=False
        )
        return steps[:-1], steps[1:]

    def __repr__(self) -> str:
        return f"<{len(self)} windows of {self.bptt} steps, streams {self.streams.shape}>"


def windows(
    streams: NDArray[np.integer[Any]], bptt: SupportsIndex, *, start: SupportsIndex = 0
) -> Windows:
    """Cut streams into consecutive pairs of inputs and targets, for truncated BPTT.

    The targets of a window are its inputs one step later, so that each token of a stream but the
    first is a target exactly once. The state after one window is the state before the next.

    Parameters
    ----------
    streams
        Integers, shape (L, N), from `batchify`. An array of CuPy stays on its GPU.
    bptt
        The number T of time steps in a window; the last window has those that are left.
    start
        The time step of the first input: to go on where a run was stopped, the number of time steps
        that were read before. L - 1, the end of an epoch, leaves no window.

    Returns
    -------
    Windows
        A sequence of pairs (inputs, targets), each int64, C-contiguous and of shape (T, N). They
        are views of `streams`, not to be written to, if that is int64 and C-contiguous; else a
        window is copied when it is asked for, and `streams` may be larger than memory.

    Raises
    ------
    TypeError
        If the streams are not integers.
    ValueError
        If `streams` has not exactly two axes, or is too short for an input and a target; if `bptt`
        is less than 1, or `start` is not in [0, L - 1].
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
