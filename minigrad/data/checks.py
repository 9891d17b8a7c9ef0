"""Checks of arguments that several functions of this package share."""

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.errors.values import told


def whole_number(value: SupportsIndex, name: str) -> int:
    """`value` as an int; an error calls it `name`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, got {told(value)}")
    return operator.index(value)


def positive_int(value: SupportsIndex, name: str) -> int:
    """`value` as an int of at least 1; an error calls it `name`."""
    number = whole_number(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def check_is_str(text: object, caller: str) -> None:
    """Raise a TypeError if `text` is not a str."""
    if not isinstance(text, str):
        raise TypeError(f"{caller}: text must be a str, got {type(text).__name__}")


def utf_8(text: str, caller: str) -> bytes:
    """`text` in UTF-8.

    Raises
    ------
    TypeError
        if it is not a str.
    ValueError
        if it has half of a surrogate pair in it, which is no character and has no bytes.
    """
    check_is_str(text, caller)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{caller}: text must be valid Unicode, got {readable(text[error.start])} at position "
            f"{error.start}, which is half of a surrogate pair"
        ) from None


def readable(symbol: str) -> str:
    """A symbol with its code points, since some symbols look alike, or cannot be seen."""
    if len(symbol) > 40:
        return f"{symbol[:40]!r}... ({len(symbol)} characters)"
    if symbol.isascii() and len(symbol) > 1:
        return repr(symbol)
    return f"{symbol!r} ({' '.join(f'U+{ord(character):04X}' for character in symbol)})"


SPAN = 1 << 20
"""How many ids are checked at once, so that ids in a file never fill the memory."""


def sequence_of_ids(
    ids: ArrayLike, vocab_size: int | None, caller: str
) -> NDArray[np.integer[Any]]:
    """`ids` as an array of integers of shape (length,), each in [0, vocab_size).

    The ids are checked here, on the host, since a GPU reads past the end of an embedding without
    an error. An array is returned as it is, not copied.

    Raises
    ------
    TypeError
        if the ids are not integers.
    ValueError
        if there is not exactly one axis.
    IndexError
        if an id is negative, or not below `vocab_size` (if that is given).
    """
    fetch = getattr(ids, "numpy", None)  # a Tensor's method; the Tensor may be on a GPU
    array = np.asarray(ids if fetch is None else fetch())
    if array.ndim != 1:
        raise ValueError(f"{caller}: ids must have one axis, got shape {array.shape}")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids must be integers, got dtype {array.dtype}")
    if vocab_size is None and array.dtype.kind == "u" and array.itemsize < 8:
        return array
    for start in range(0, len(array), SPAN):
        span = array[start : start + SPAN]
        places = span.astype(np.int64, copy=False)  # 2^63 and more become negative
        wrong = places < 0
        if vocab_size is not None:
            wrong |= places >= vocab_size
        if wrong.any():
            position = int(np.argmax(wrong))
            expected = "not negative" if vocab_size is None else f"in [0, {vocab_size})"
            raise IndexError(
                f"{caller}: ids must be {expected}, got {span[position]} at position "
                f"{start + position}"
            )
    return array


def token_ids(ids: ArrayLike, vocab_size: int | None, caller: str) -> NDArray[np.int64]:
    """What `sequence_of_ids` gives, as int64; a copy, unless it is int64 already."""
    return sequence_of_ids(ids, vocab_size, caller).astype(np.int64, copy=False)
