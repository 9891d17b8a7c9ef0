"""How an error shows a value."""

from __future__ import annotations

from typing import Any

from minigrad.files import printable


def told(value: Any) -> str:
    """An array or a Tensor as "float32 (2, 3)", a list of them one by one, others as Python would.

    At most 60 characters of anything else, with its control characters spelled out.
    """
    if isinstance(value, list | tuple) and any(hasattr(item, "shape") for item in value):
        return f"[{', '.join(map(told, value[:4]))}{', ...' if len(value) > 4 else ''}]"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"
    return printable(f"{value!r:.60}")
