"""The picture of a `LossSurface`: from above with log colours, and as a landscape."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from minigrad.viz.figures import FAINT, LINES, TEXT, dress, head, new_figure, plain

PATHS = ("#d55e00", "#56b4e9", "#cc79a7", "#e69f00")
"""The colours of paths, which stand out from viridis."""

NOT_FINITE = "#b0b0b0"

STEEP = 1000.0
"""A landscape whose highest point is so many times as high as its median has a log axis."""


def surface_figure(surface: Any) -> Figure:
    """A `LossSurface` from above on the left, and as a landscape on the right."""
    figure = new_figure(11, 4.9)
    above = figure.add_axes((0.065, 0.13, 0.37, 0.73))
    landscape: Any = figure.add_axes((0.56, 0.03, 0.43, 0.95), projection="3d")
    heights = np.where(np.isfinite(surface.heights), surface.heights, np.nan)
    norm = _norm(heights)
    image = _from_above(above, surface, heights, norm)
    _landscape(landscape, surface, heights, norm)
    bar = figure.colorbar(image, cax=figure.add_axes((0.445, 0.13, 0.012, 0.73)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, length=0, which="both", labelsize=8.5)
    low, high = image.get_clim()
    if isinstance(norm, LogNorm) and high < 30 * low:  # ticks between powers of 10
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        bar.ax.yaxis.set_minor_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    bar.ax.set_title("loss", color=TEXT, fontsize=9, loc="left")
    if surface.paths:
        handles, labels = above.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.75, 1.0), ncols=len(labels),
            frameon=False, fontsize=9, labelcolor=TEXT,
        )  # fmt: skip
    return figure


def _norm(heights: Any) -> Normalize:
    """Log colours, if all heights are above 0 and they differ enough."""
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return Normalize(0, 1)
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 3 * low:
        return LogNorm(max(low, high * 1e-4), high)
    return Normalize(low, high if high > low else low + 1)


def _from_above(axes: Axes, surface: Any, heights: Any, norm: Normalize) -> Any:
    dress(axes)
    axes.grid(visible=False)
    axes.set_facecolor(NOT_FINITE)
    image = axes.pcolormesh(
        surface.a, surface.b, heights, norm=norm, cmap="viridis", rasterized=True
    )
    marks = () if surface.paths else (("black", 11, 3.2), ("white", 10, 1.6))
    for colour, size, width in marks:
        axes.plot(*surface.centre, "+", color=colour, markersize=size, markeredgewidth=width)
    low, high = _limits(surface.a), _limits(surface.b)
    lost = int(np.isnan(heights).sum())
    note = f"; grey: {lost} points are NaN or infinite" if lost else ""
    what = "each path from circle to cross" if surface.paths else "+ is the model"
    head(axes, f"From above: {what}{note}")
    axes.set_xlabel(plain(surface.names[0]), color=TEXT, fontsize=9)
    axes.set_ylabel(plain(surface.names[1]), color=TEXT, fontsize=9)
    for (name, path), colour in zip(surface.paths.items(), _colours(surface), strict=True):
        label = plain(name) + (f" ({path.share:.0%} in the plane)" if path.share < 0.995 else "")
        axes.plot(path.a, path.b, color="black", linewidth=2.6, solid_capstyle="round")
        axes.plot(path.a, path.b, color=colour, linewidth=1.4, label=label)
        axes.plot(path.a[:1], path.b[:1], "o", color=colour, markeredgecolor="black", markersize=6)
        axes.plot(
            path.a[-1:], path.b[-1:], "X", color=colour, markeredgecolor="black", markersize=8
        )
    axes.set_xlim(low)
    axes.set_ylim(high)
    return image


def _landscape(axes: Any, surface: Any, heights: Any, norm: Normalize) -> None:
    finite = heights[np.isfinite(heights)]
    steep = finite.size and finite.min() > 0 and finite.max() > STEEP * np.median(finite)
    scale: Any = np.log10 if steep else np.asarray
    a, b = np.meshgrid(surface.a, surface.b)
    axes.computed_zorder = False
    axes.plot_surface(
        a, b, scale(heights), facecolors=colormaps["viridis"](norm(heights)), rcount=len(surface.b),
        ccount=len(surface.a), linewidth=0, antialiased=True, shade=False, zorder=1,
    )  # fmt: skip
    for path, colour in zip(surface.paths.values(), _colours(surface), strict=True):
        (x_0, x_1), (y_0, y_1) = _limits(surface.a), _limits(surface.b)
        inside = (path.a >= x_0) & (path.a <= x_1) & (path.b >= y_0) & (path.b <= y_1)
        z = np.where(inside, scale(path.losses), np.nan)
        axes.plot(path.a, path.b, z, color=colour, linewidth=0.6, alpha=0.7, zorder=5)
        axes.plot(
            path.a, path.b, z, "o", color=colour, markersize=3.2, markeredgecolor="black",
            markeredgewidth=0.4, zorder=6,
        )  # fmt: skip
    axes.set_xlabel(plain(surface.names[0]), color=TEXT, fontsize=9)
    axes.set_ylabel(plain(surface.names[1]), color=TEXT, fontsize=9)
    axes.set_zlabel("log10 of the loss" if steep else "loss", color=TEXT, fontsize=9)
    axes.tick_params(colors=FAINT, labelsize=8)
    axes.view_init(elev=32, azim=-125)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_facecolor("white")
        axis.pane.set_edgecolor(LINES)


def _limits(points: Any) -> tuple[float, float]:
    """The edges of the cells around equally spaced points."""
    half = (points[-1] - points[0]) / (len(points) - 1) / 2
    return float(points[0] - half), float(points[-1] + half)


def _colours(surface: Any) -> list[str]:
    return [PATHS[i % len(PATHS)] for i in range(len(surface.paths))]
