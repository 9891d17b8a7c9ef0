"""Pictures and pages of what the tape holds, and of how the gradient runs back through it.

What a function here gives is a `Shown`: it shows itself in a notebook, and ``save`` writes it as
.png, .svg, .pdf or .html. Nothing is imported before it is used: charts need matplotlib, and pages
Jinja2, both in the extra ``viz``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from minigrad.errors.words import unknown

if TYPE_CHECKING:
    from minigrad.viz import colours as colours
    from minigrad.viz import figures as figures
    from minigrad.viz.drawing.tape_drawing import Drawing as Drawing
    from minigrad.viz.drawing.tape_drawing import draw as draw
    from minigrad.viz.drawing.tape_drawing import text as text
    from minigrad.viz.explorer.exploration import Exploration as Exploration
    from minigrad.viz.explorer.exploration import explore as explore
    from minigrad.viz.learning.histograms import Histograms as Histograms
    from minigrad.viz.learning.surface import loss_surface as loss_surface
    from minigrad.viz.learning.timeline import timeline as timeline
    from minigrad.viz.neurons.neurons import Neurons as Neurons
    from minigrad.viz.neurons.neurons import watch_neurons as watch_neurons
    from minigrad.viz.neurons.predictions import predictions as predictions
    from minigrad.viz.observing import watch as watch
    from minigrad.viz.page import Page as Page
    from minigrad.viz.page import View as View
    from minigrad.viz.shown import Shown as Shown
    from minigrad.viz.through_time.gradient import gradient_through_time as gradient_through_time
    from minigrad.viz.through_time.radii import SpectralRadii as SpectralRadii
    from minigrad.viz.through_time.radii import spectral_radii as spectral_radii

_MODULES = {
    "Drawing": "drawing.tape_drawing",
    "Exploration": "explorer.exploration",
    "Histograms": "learning.histograms",
    "Neurons": "neurons.neurons",
    "Page": "page",
    "Shown": "shown",
    "SpectralRadii": "through_time.radii",
    "View": "page",
    "colours": "",
    "draw": "drawing.tape_drawing",
    "explore": "explorer.exploration",
    "figures": "",
    "gradient_through_time": "through_time.gradient",
    "loss_surface": "learning.surface",
    "predictions": "neurons.predictions",
    "spectral_radii": "through_time.radii",
    "text": "drawing.tape_drawing",
    "timeline": "learning.timeline",
    "watch": "observing",
    "watch_neurons": "neurons.neurons",
}
"""In which file of `viz` each public name is; empty for a file that is itself one."""

__all__ = sorted(_MODULES)

if not TYPE_CHECKING:  # else type checkers would accept every misspelt name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise unknown("module 'minigrad.viz'", name, {}, __all__)
        place = _MODULES[name]
        module = import_module(f"minigrad.viz.{place or name}")
        found = globals()[name] = getattr(module, name) if place else module
        return found

    def __dir__() -> list[str]:
        return __all__
