"""Many examples, a few at a time: minibatches, and sequences padded to one length.

For one long text, cut into windows, there is `minigrad.data.batches` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.arrays.library import refuse_mask
from minigrad.arrays.random import generator
from minigrad.data.checks import positive_int
from minigrad.tensor import Tensor


class DataLoader:
    """The examples of a data set in minibatches; each time that it is gone through is an epoch.

    >>> from minigrad.data import DataLoader
    >>> examples = [([0.0, 1.0], 1), ([2.0, 3.0], 0), ([4.0, 5.0], 1)]
    >>> [y.tolist() for x, y in DataLoader(examples, batch_size=2)]
    [[1, 0], [1]]

    Parameters
    ----------
    dataset
        Whatever has a length and gives the example of number i as ``dataset[i]``: a list, an array,
        a class of one's own. An example is often a pair (x, y): ``list(zip(xs, ys))``.
    batch_size
        How many examples a batch has; the last one of an epoch has those that are left.
    shuffle
        True: in an order of its own in each epoch.
    collate_fn
        Makes a batch of a list of examples; None: `collate`.
    drop_last
        True: without a last batch that is smaller.
    rng
        Where the orders are drawn from, one draw for each epoch, when it begins; None: minigrad's
        own generator. To go on in the middle of an epoch, keep the state that `rng` had when it
        began, set it again, and pass over what was done: ``itertools.islice(loader, done, None)``.

    Raises
    ------
    TypeError, ValueError
        If the data set has no length or no examples by number, for a wrong batch size.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: SupportsIndex = 1,
        shuffle: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: dataset must have a length and examples by number, which a "
                f"{type(dataset).__name__} has not; list(dataset) has"
            )
        self.dataset, self.collate_fn = dataset, collate if collate_fn is None else collate_fn
        self.batch_size = positive_int(batch_size, "DataLoader: batch_size")
        self.shuffle, self.drop_last, self.rng = shuffle, drop_last, rng

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return (len(self.dataset) + (not self.drop_last) * (self.batch_size - 1)) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        count = len(self.dataset)
        order = generator(self.rng).permutation(count).tolist() if self.shuffle else range(count)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.collate_fn([self.dataset[i] for i in order[start : start + self.batch_size]])


def collate(examples: list[Any]) -> Any:
    """Make one batch of a list of examples: arrays and numbers are stacked along a new first axis.

    Of tuples, lists and dicts each part is stacked by itself, and text is left as a list. Python's
    floats become float32, integers stay integers.

    Raises
    ------
    ValueError
        If arrays differ in shape, as sequences of different lengths do.
    """
    first = examples[0]
    if isinstance(first, str | bytes):
        return examples
    if isinstance(first, dict):
        return {key: collate([example[key] for example in examples]) for key in first}
    if isinstance(first, tuple) or (isinstance(first, list) and not _is_numeric(first)):
        return tuple(collate(list(part)) for part in zip(*examples, strict=True))
    arrays = [_array(example) for example in examples]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"DataLoader: examples of shapes {', '.join(map(str, sorted(shapes)))} make no array; "
            "for sequences of different lengths give a collate_fn that calls pad_sequences"
        )
    return Tensor(np.stack(arrays))


def pad_sequences(
    sequences: Sequence[ArrayLike], value: float = 0, batch_first: bool = False
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Put sequences of different lengths side by side, and say how long each is.

    >>> from minigrad.data import pad_sequences
    >>> ids, lengths = pad_sequences([[1, 2, 3], [4]])
    >>> ids.tolist(), lengths.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1])

    Recurrent layers take both: ``lstm(embedding(ids), lengths=lengths)``. Targets are padded with
    what the loss ignores: ``value=-100``.

    Parameters
    ----------
    sequences
        N arrays, Tensors or lists, each of shape (length, ...), alike but for the length.
    value
        What comes after the end of the shorter ones.
    batch_first
        True: of shape (N, T, ...).

    Returns
    -------
    padded, lengths
        Of shape (T, N, ...), where T is the greatest length; and N integers.

    Raises
    ------
    ValueError
        If there are no sequences, they differ in more than their lengths, or their dtype has no
        such `value`.
    """
    arrays = [_array(sequence) for sequence in sequences]
    shapes = {array.shape for array in arrays}
    if () in shapes or len({shape[1:] for shape in shapes}) != 1:
        raise ValueError(
            "pad_sequences: sequences must be one or more, of shapes (length, ...) that differ in "
            f"the length alone, got {', '.join(str(array.shape) for array in arrays[:4]) or 'none'}"
        )
    lengths = np.array([len(array) for array in arrays])
    filled = [array for array in arrays if len(array)]  # [] does not know its dtype
    dtype = np.result_type(*(filled or arrays))
    if dtype.kind in "iu" and not (float(value).is_integer() and _fits(value, dtype)):
        raise ValueError(f"pad_sequences: value must be one of the sequences' {dtype}, got {value}")
    padded = np.full((len(arrays), lengths.max(), *arrays[0].shape[1:]), value, dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded if batch_first else np.ascontiguousarray(padded.swapaxes(0, 1)), lengths


def _fits(value: float, dtype: Any) -> bool:
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def _is_numeric(value: Any) -> bool:
    """Whether a list is one of Python's numbers, or of such lists, rather than of parts."""
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return isinstance(value, int | float)


def _array(value: Any) -> NDArray[Any]:
    """As a NumPy array; Python's floats become float32, as everywhere in minigrad."""
    if isinstance(value, Tensor):
        return value.numpy()
    refuse_mask(value)
    array = np.asarray(value)
    python = isinstance(value, float | list) and not isinstance(value, np.generic)
    return array.astype(np.float32) if python and array.dtype == np.float64 else array
