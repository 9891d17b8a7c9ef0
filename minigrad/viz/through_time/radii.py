"""Spectral radii of recurrent weights, and how they move in training.

Next: `gradient.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from minigrad.errors.values import told
from minigrad.nn.module import Module
from minigrad.tensor import Tensor
from minigrad.viz.extra import extra
from minigrad.viz.shown import Shown
from minigrad.viz.through_time.stepping import CELLS, GATES, LAYERS, kind_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SpectralRadii", "spectral_radii"]


def spectral_radii(model: Module) -> dict[str, float]:
    """The spectral radius, the largest ``|eigenvalue|``, of each recurrent matrix of a model.

    Parameters
    ----------
    model
        an nn.Module with layers or cells of minigrad: RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell.

    Returns
    -------
    dict of float
        by name: of an RNN W_hh; of an LSTM the square matrix of each gate, W_hi, W_hf, W_hg and
        W_ho; of a GRU W_hr, W_hz and W_hn. In front of it stands the name of the layer, if there
        are several: ``"recurrent.0 W_hh"``.

    Raises
    ------
    TypeError, ValueError
        if it is no Module, has no such layer, or a matrix is not finite.

    Notes
    -----
    For h_t = tanh(W_hh h_{t-1} + ...) a gradient that goes back k steps is a product of k matrices
    diag(1 - h^2) W_hh. Near h = 0 it grows or shrinks like rho^k: with rho < 1 it vanishes, and it
    can explode only if the largest singular value is above 1. Pascanu, Mikolov and Bengio, "On the
    difficulty of training recurrent neural networks" (2013).
    """
    if not isinstance(model, Module):
        raise TypeError(f"spectral_radii: model must be an nn.Module, not {told(model)}")
    found = {name.strip(): radii_of(gates, weight) for name, gates, weight in _recurrent(model)}
    if not found:
        raise ValueError(
            f"spectral_radii: {type(model).__name__} has no RNN, LSTM, GRU, or cell of these"
        )
    return {
        f"{name} {matrix}" if len(found) > 1 else matrix: radius
        for name, radii in found.items()
        for matrix, radius in radii.items()
    }


def radii_of(gates: str, weight: Tensor) -> dict[str, float]:
    """The radii of the matrices of these gates in a weight_hh, by W_h and the gate."""
    matrices = weight.numpy().astype(np.float64)
    if not np.isfinite(matrices).all():
        raise ValueError("spectral_radii: weight_hh has values that are not finite")
    return {
        f"W_h{gate}": float(abs(np.linalg.eigvals(W)).max())
        for gate, W in zip(gates, np.split(matrices, len(gates)), strict=True)
    }


def _recurrent(model: Module) -> Iterator[tuple[str, str, Tensor]]:
    """The name, gates and weight_hh of each layer, direction and cell."""
    for name, module in model.named_modules():
        gates = GATES.get(kind_of(module).removesuffix("Cell"), "")
        if gates and isinstance(module, (*LAYERS, *CELLS)):
            for key, weight in module.named_parameters(recurse=False):
                if key.startswith("weight_hh"):
                    end = key.removeprefix("weight_hh_")
                    several = isinstance(module, LAYERS) and len(module._names) > 1
                    yield f"{name} {end}" if several else name, gates, weight


class SpectralRadii(Shown):
    """The spectral radii of a model's recurrent matrices while it is trained.

    ::

        radii = viz.SpectralRadii()
        for step in range(1000):
            ...
            radii.note(model, step)
        radii.save("radii.png")

    Attributes
    ----------
    steps : list of float
        when they were noted.
    radii : dict of lists of float
        by the names of `spectral_radii`, the radius at each of `steps`.
    """

    title = "Spectral radii of the recurrent weights"
    text = (
        "The largest |eigenvalue| of each recurrent matrix. In a plain RNN a gradient that goes "
        "back vanishes with less than 1, and can explode with more than 1. In an LSTM or GRU the "
        "gates decide, too."
    )

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.radii: dict[str, list[float]] = {}

    def note(self, model: Module, step: float | None = None) -> None:
        """Note the radii of `model` as it is now.

        Parameters
        ----------
        model
            see `spectral_radii`, also for what is raised; the same kind of model each time.
        step
            the number of the training step, or the epoch; None: one more than the last.
        """
        now = spectral_radii(model)
        if self.radii and now.keys() != self.radii.keys():
            raise ValueError(
                f"SpectralRadii.note: the model has {', '.join(now)}; those noted before are "
                f"{', '.join(self.radii)}"
            )
        self.steps.append((self.steps[-1] + 1 if self.steps else 0) if step is None else step)
        for name, radius in now.items():
            self.radii.setdefault(name, []).append(radius)

    def figure(self) -> Figure:
        """A line for each matrix over the steps.

        Raises
        ------
        ValueError
            if nothing has been noted.
        """
        if not self.steps:
            raise ValueError("SpectralRadii: nothing has been noted; call note(model) in training")
        with extra():
            from minigrad.viz import figures
        figure = figures.new_figure(6.4, 3.4, layout="constrained")
        axes = figure.subplots()
        figures.dress(axes)
        axes.axhline(1, color=figures.FAINT, linewidth=1)
        for k, (name, radii) in enumerate(self.radii.items()):
            line = ("-", "--", ":", "-.")[k // len(figures.COLOURS) % 4]
            colour = figures.COLOURS[k % len(figures.COLOURS)]
            one = "o" if len(radii) == 1 else None
            axes.plot(self.steps, radii, line, color=colour, label=figures.plain(name), marker=one)
        figures.head(axes, "spectral radius ρ (1: neither grows nor shrinks)")
        axes.set_xlabel("training step", color=figures.TEXT)
        figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
        return figure
