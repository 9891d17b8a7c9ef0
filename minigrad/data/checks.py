"""What several functions of this package ask of their arguments."""

import operator
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray


def whole_number(value: SupportsIndex, name: str) -> int:
    """Return `value` as an int; `name` is how an error speaks of it."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, got {value!r}")
    return operator.index(value)


def positive_int(value: SupportsIndex, name: str) -> int:
    """Return `value` as an int of at least 1."""
    number = whole_number(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def token_ids(ids: ArrayLike, vocab_size: int | None, caller: str) -> NDArray[np.int64]:
    """Return `ids` as an int64 array of shape (length,), with each id in [0, vocab_size).

    A GPU reads past the end of an embedding without a word, so ids are checked here, on the host.
    An array that is int64 already is handed back as it is, not copied.

    Raises
    ------
    TypeError
        If the ids are not integers.
    ValueError
        If there is not exactly one axis.
    IndexError
        If an id is negative, or not below `vocab_size` where there is one.
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"{caller}: ids must have one axis, got shape {array.shape}")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids must be integers, got dtype {array.dtype}")
    places = array.astype(np.int64, copy=False)
    wrong = places < 0
    if vocab_size is not None:
        wrong |= places >= vocab_size
    if wrong.any():
        position = int(np.argmax(wrong))
        expected = "not negative" if vocab_size is None else f"in [0, {vocab_size})"
        raise IndexError(
            f"{caller}: ids must be {expected}, got {array[position]} at position {position}"
        )
    return places
