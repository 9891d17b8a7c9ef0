"""What is known of the functions of an array library: which arguments they change, say."""

from __future__ import annotations

from typing import Any

CHANGED_FIRST = {"fill", "sort", "partition", "put", "copyto", "put_along_axis", "fill_diagonal",
                 "place", "putmask"}  # fmt: skip
"""The functions and methods that change their first argument in place."""

OUT_AT = {"dot": 2, "take": 3, "sum": 3, "prod": 3, "max": 2, "min": 2, "all": 2, "any": 2,
          "mean": 3, "cumsum": 3, "cumprod": 3, "argmax": 2, "argmin": 2, "round": 2, "clip": 3,
          "var": 3, "std": 3, "trace": 5, "choose": 2, "compress": 3}  # fmt: skip
"""Where `out` stands among the arguments of methods and of functions of the same name."""

GIVES_ITS_ARGUMENT = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray",
                      "astype", "atleast_1d", "atleast_2d", "atleast_3d", "conj", "conjugate",
                      "ravel", "real", "real_if_close", "require", "reshape",
                      "squeeze"}  # fmt: skip
"""The functions that may give their argument itself, though they have not changed it."""

UNKNOWN_SHAPE = {"nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "where"}
"""The functions whose result may have a shape that depends on values."""

ABOUT_TYPES = {"shape", "ndim", "size", "result_type", "can_cast", "iterable", "iscomplexobj",
               "may_share_memory", "shares_memory", "isrealobj", "broadcast_shapes",
               "min_scalar_type", "common_type"}  # fmt: skip
"""The functions whose result does not depend on values."""
LIKE = {"zeros_like", "ones_like", "empty_like", "full_like"}
"""The functions to which the values of their first argument do not matter."""


def changed_by(name: str, args: Any, kwargs: Any) -> Any:
    """The arguments that a function changes in place."""
    if name in CHANGED_FIRST:
        return args[:1] or [kwargs[n] for n in ("dst", "arr", "a") if n in kwargs][:1]
    out = kwargs.get("out")
    if out is None and len(args) > OUT_AT.get(name, len(args)):
        out = args[OUT_AT[name]]
    return () if out is None else (out,)
