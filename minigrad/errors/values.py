"""How an error shows a value, and where the caller was."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

from minigrad.files import printable

LENGTH = 60
"""In characters, of what is shown of a value."""

ITEMS = 4
"""Of a list of arrays, how many are shown."""


def told(value: Any) -> str:
    r"""A value in a few words, for an error message.

    An array or a Tensor is its dtype and shape; a list or tuple of them is those of its items; all
    else is its `repr`, cut where it is long, and without characters that steer a terminal; or its
    type, if the `repr` has several lines.

    Examples
    --------
    >>> import numpy as np
    >>> told(np.zeros((2, 3)))
    'float64 (2, 3)'
    >>> told([np.zeros(2), None])
    '[float64 (2,), None]'
    >>> told("horse")
    "'horse'"
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list | tuple) and any(hasattr(item, "shape") for item in value):
        items = [*map(told, value[:ITEMS]), *["..."] * (len(value) > ITEMS)]
        left, right = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return f"{left}{', '.join(items)}{right}"
    shown = repr(value)
    if "\n" in shown:  # as that of a Module is: its beginning would tell little
        return f"a {type(value).__name__}"
    return f"{printable(shown):.{LENGTH}}"


_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def calling_frame() -> FrameType:
    """The frame of the innermost caller outside minigrad."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def calling_line() -> str:
    """``file:line`` of the innermost caller outside minigrad."""
    frame = calling_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
