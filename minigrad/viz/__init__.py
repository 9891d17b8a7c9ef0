"""Pictures and pages of what the tape holds, and of how the gradient runs back through it.

Nothing is imported before it is used: charts need matplotlib, the extra ``viz``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from minigrad.viz import colours

if TYPE_CHECKING:
    from minigrad.viz import figures

__all__ = ["colours", "figures"]

if not TYPE_CHECKING:  # else type checkers would accept every misspelt name

    def __getattr__(name: str) -> object:
        if name == "figures":
            return import_module("minigrad.viz.figures")
        raise AttributeError(f"module 'minigrad.viz' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
