"""Minibatches of many examples, and sequences padded to one length.

`minigrad.data.batches` is for one long text, which is cut into windows.
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
    """The examples of a data set in minibatches; one loop over it is an epoch.

    >>> from minigrad.data import DataLoader
    >>> examples = [([0.0, 1.0], 1), ([2.0, 3.0], 0), ([4.0, 5.0], 1)]
    >>> [y.tolist() for x, y in DataLoader(examples, batch_size=2)]
    [[1, 0], [1]]

    Parameters
    ----------
    dataset
        anything that has a length and gives example number i as ``dataset[i]``: a list, an array, a
        class of your own. An example is often a pair (x, y): ``list(zip(xs, ys))``.
    batch_size
        the number of examples in a batch; the last batch of an epoch may have fewer.
    shuffle
        True: each epoch has a new random order.
    collate_fn
        a function that makes a batch from a list of examples; None: `collate`.
    drop_last
        True: a last batch that is smaller is left out.
    rng
        the generator that draws the orders, once at the beginning of each epoch; None: minigrad's
        own. To go on in the middle of an epoch, save the state of `rng` from its beginning, set it
        again, and skip the batches that are done: ``itertools.islice(loader, done, None)``.

    Raises
    ------
    TypeError, ValueError
        if the data set has no length or no examples by number, or the batch size is wrong.
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
                f"{type(dataset).__name__} does not have; list(dataset) has them"
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
    """One batch from a list of examples: arrays and numbers are stacked along a new first axis.

    If the examples are tuples, lists or dicts, each part is stacked by itself. Text stays a list.
    Python's floats become float32; integers stay integers.

    Raises
    ------
    ValueError
        if arrays have different shapes, as sequences of different lengths do.
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
    """Sequences of different lengths side by side in one array, and the length of each.

    >>> from minigrad.data import pad_sequences
    >>> ids, lengths = pad_sequences([[1, 2, 3], [4]])
    >>> ids.tolist(), lengths.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1])

    Recurrent layers take both: ``lstm(embedding(ids), lengths=lengths)``. Pad targets with the
    value that the loss ignores: ``value=-100``.

    Parameters
    ----------
    sequences
        N arrays, Tensors or lists of shape (length, ...), which differ only in the length.
    value
        what comes after the end of the shorter sequences.
    batch_first
        True: the shape is (N, T, ...).

    Returns
    -------
    padded, lengths
        an array of shape (T, N, ...), where T is the largest length; and N integers.

    Raises
    ------
    ValueError
        if there are no sequences, they differ in more than their lengths, or their dtype has no
        such `value`.
    """
    arrays = [_array(sequence) for sequence in sequences]
    shapes = {array.shape for array in arrays}
    if () in shapes or len({shape[1:] for shape in shapes}) != 1:
        raise ValueError(
            "pad_sequences: sequences must be one or more, of shapes (length, ...) that differ in "
            f"the length only, got {', '.join(str(array.shape) for array in arrays[:4]) or 'none'}"
        )
    lengths = np.array([len(array) for array in arrays])
    filled = [array for array in arrays if len(array)]  # [] has no dtype of its own
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
    """Whether a value is a number of Python's, or a list of numbers or of such lists."""
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return isinstance(value, int | float)


def _array(value: Any) -> NDArray[Any]:
    """`value` as a NumPy array; Python's floats become float32, as everywhere in minigrad."""
    if isinstance(value, Tensor):
        return value.numpy()
    refuse_mask(value)
    array = np.asarray(value)
    python = isinstance(value, float | list) and not isinstance(value, np.generic)
    return array.astype(np.float32) if python and array.dtype == np.float64 else array
