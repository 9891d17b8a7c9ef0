"""Pictures and pages of what the tape holds, and of how the gradient runs back through it.

Nothing is imported before it is used: charts need matplotlib, the extra ``viz``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minigrad.viz import colours, figures
    from minigrad.viz.observing import watch

_MODULES = {
    "colours": "",
    "figures": "",
    "watch": "observing",
}
"""In which file of `viz` each public name is; empty for a file that is itself one."""

__all__ = ["colours", "figures", "watch"]

if not TYPE_CHECKING:  # else type checkers would accept every misspelt name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module 'minigrad.viz' has no attribute {name!r}")
        place = _MODULES[name]
        module = import_module(f"minigrad.viz.{place or name}")
        found = globals()[name] = getattr(module, name) if place else module
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
