"""The figure of a `GradientThroughTime`: triangles, shares of the steps, bias and decay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon
from matplotlib.ticker import LogLocator, MaxNLocator

from minigrad.files import printable
from minigrad.viz.figures import COLOURS, FAINT, TEXT, dress, head, new_figure, plain
from minigrad.viz.through_time.flow import Array, Flow, colour_limits

__all__ = ["figure", "written"]

MOST_LABELS = 24
"""With more tokens than these the axes have numbers."""

BLUE, ORANGE, GREEN = COLOURS[:3]


def figure(
    flows: dict[str, Flow], labels: list[str], window: int | None, max_norm: float | None
) -> Figure:
    """A column for each flow; with one flow the triangle is at the left of the other charts."""
    low, high = colour_limits(list(flows.values()))
    scale = LogNorm(low, high)
    drawn, columns, place = _places(len(flows), below=0.9 if _upright(labels) else 0.55)
    for (name, flow), axes in zip(flows.items(), columns, strict=True):
        image = _triangle(axes[0], name, flow, labels, window, scale)
        _steps(axes[1], flow, window, max_norm)
        _bias(axes[2], flow, window)
        _decay(axes[3], flow)
    ticks = LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,))
    across = "horizontal" if len(flows) == 1 else "vertical"
    bar = drawn.colorbar(
        image, cax=place, orientation=across, extend="min", ticks=ticks, format=_power
    )
    bar.minorticks_off()
    bar.set_label(
        r"$\|\partial L_t/\partial h_\tau\|$, nats per unit of the state", color=TEXT, fontsize=9
    )
    bar.ax.tick_params(colors=FAINT, labelsize=8.5)
    return drawn


def _places(columns: int, below: float) -> tuple[Figure, list[list[Axes]], Axes]:
    """The axes of each flow, a triangle and three charts, and of the colour bar.

    All lengths are in inches; `below` is how much the labels below a triangle need.
    """
    alone = columns == 1
    side, high, head, foot = (4.6, 1.1, 0.5, 0.55) if alone else (3.3, 1.1, 0.5, 0.55)
    left, between, top, right = 0.85, 0.85, 0.85, 1.1
    height = top + side + below + (0.7 if alone else 3 * (head + high + foot))
    width = (
        left + (2 if alone else columns) * (side + between) - between + (0.2 if alone else right)
    )
    drawn = new_figure(width, height)

    def axes(x: float, y: float, w: float, h: float) -> Axes:
        return drawn.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    found = []
    for column in range(columns):
        x = left + column * (side + between)
        charts, y = (x + side + between, top - 0.2) if alone else (x, top + side + below + head)
        triangle = axes(x, top, side, side)
        rows = [axes(charts, y + k * (head + high + foot), side, high) for k in range(3)]
        found.append([triangle, *rows])
    if alone:
        return drawn, found, axes(left, top + side + below + 0.1, side, 0.14)
    return drawn, found, axes(width - right + 0.15, top, 0.14, side)


def _power(value: float, _: Any = None) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = round(value / 10.0**exponent)
    return rf"${factor} \cdot 10^{{{exponent}}}$" if factor > 1 else f"$10^{{{exponent}}}$"


def written(label: str) -> str:
    """A token as it stands at an axis: spaces and ends of lines can be seen."""
    label = label[:20]  # more than there is room for
    for character, sign in {" ": "␣", "\n": "↵", "\t": "⇥"}.items():
        label = label.replace(character, sign)
    label = printable(label)
    wide = np.cumsum([2 if character >= "ᄀ" else 1 for character in label])
    room = 7  # in Latin letters; a Korean one takes two
    return label if label == "" or wide[-1] <= room else f"{label[: int((wide < room).sum())]}…"


def _upright(labels: list[str]) -> bool:
    """Whether the tokens below a triangle stand upright, since they are long."""
    return len(labels) - 1 <= MOST_LABELS and any(len(written(label)) > 2 for label in labels)


def _gradient(flow: Flow) -> str:
    """What dL/dW is taken by: W_hh, or theta for all parameters of a cell of one's own."""
    return r"$\partial L/\partial W_{hh}$" if flow.radii else r"$\partial L/\partial\theta$"


def _triangle(
    axes: Axes, name: str, flow: Flow, labels: list[str], window: int | None, scale: LogNorm
) -> AxesImage:
    T = flow.T
    t, s = np.indices((T, T))
    shown = np.ma.masked_where(t < s, np.maximum(flow.norms, 1e-320))
    image = axes.imshow(shown, cmap="viridis", norm=scale, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=FAINT, length=2, labelsize=8.5)
    axes.set_xlabel("time of the state τ", color=TEXT)
    axes.set_ylabel("time of the loss t", color=TEXT)
    lines = [plain(name if flow.kind in name else f"{name} ({flow.kind})")]
    if window is not None:
        _edges(axes, T, window)
        k = min(window, T) - 1
        lines += [
            f"window {window}: drops {flow.dropped[k]:.1%} of the norms",
            *(_told(what, bias.errors[k], bias.cosines[k]) for what, bias in _biases(flow)),
        ]
    axes.set_title("\n".join(lines), loc="left", color=TEXT, fontsize=9.5)
    if T <= MOST_LABELS:
        places = range(T)
        options: dict[str, Any] = {"parse_math": False, "fontsize": 9, "color": TEXT}
        turned = 90 if _upright(labels) else 0
        axes.set_xticks(places, list(map(written, labels[:-1])), rotation=turned, **options)
        axes.set_yticks(places, list(map(written, labels[1:])), **options)
        axes.set_xlabel("time of the state τ: the token read there", color=TEXT)
        axes.set_ylabel("time of the loss t: the token to predict", color=TEXT)
    return image


def _edges(axes: Axes, T: int, window: int) -> None:
    """The part that is dropped, paler; and the steps along its border."""
    for end in range(window, T, window):
        left, top = -0.5, end - 0.5
        bottom = min(end + window, T) - 0.5
        corners = [(left, top), (end - 0.5, top), (end - 0.5, bottom), (left, bottom)]
        axes.add_patch(Polygon(corners, facecolor="white", alpha=0.55, linewidth=0))
        axes.plot(
            [end - window - 0.5, end - 0.5, end - 0.5],
            [top, top, bottom],
            color=ORANGE,
            linewidth=1.6,
            solid_joinstyle="miter",
        )


def _biases(flow: Flow) -> list[tuple[str, Any]]:
    return [(_gradient(flow), flow.bias), ("all parameters", flow.bias_of_all)]


def _told(what: str, error: float, cosine: float) -> str:
    return f"{what}: error {error:.1%}, cosine {cosine:.3f}"


def _steps(axes: Axes, flow: Flow, window: int | None, max_norm: float | None) -> None:
    dress(axes)
    edges = np.arange(flow.T + 1) - 0.5
    axes.stairs(flow.steps(), edges, fill=True, color="#c8c8c8", label="full")
    if window is not None:
        axes.stairs(flow.steps(window), edges, baseline=None, color=BLUE, label=f"window {window}")
    if max_norm is not None:
        clipped = flow.steps(window) * flow.clipping(max_norm, window)
        label = f"clipped at {max_norm:g}"
        axes.stairs(clipped, edges, baseline=None, color=ORANGE, linestyle="--", label=label)
    axes.set_xlabel("time step τ", color=TEXT, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _head(axes, f"what step τ gives to {_gradient(flow)}")


def _bias(axes: Axes, flow: Flow, window: int | None) -> None:
    dress(axes)
    k = np.arange(1, flow.T + 1)
    for (what, bias), colour, style in zip(_biases(flow), (BLUE, GREEN), ("-", "--"), strict=True):
        marker = "o" if flow.T == 1 else None
        axes.plot(k, bias.errors, style, color=colour, label=what, marker=marker)
    if window is not None:
        axes.axvline(min(window, flow.T), color=ORANGE, linewidth=1)
    axes.set_ylim(0)
    axes.set_xlabel("window of truncated BPTT, in steps", color=TEXT, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _head(axes, "relative error of the truncated gradient")


def _decay(axes: Axes, flow: Flow) -> None:
    dress(axes)
    axes.set_yscale("log")
    k = np.arange(flow.T)
    marker = "o" if flow.T == 1 else None
    axes.plot(k, _positive(flow.decay), color=BLUE, label="mean over t", marker=marker)
    if flow.forecast is not None:
        name, powers = flow.forecast
        label = rf"$\rho^k$, $\rho$ = {flow.radii[name]:.3g} of ${name[0]}_{{{name[2:]}}}$"
        low, high = axes.get_ylim()
        axes.plot(k, _positive(powers), "--", color=ORANGE, label=label)
        axes.set_ylim(max(axes.get_ylim()[0], low / 1e6), min(axes.get_ylim()[1], high * 1e6))
    axes.set_xlabel("steps back k", color=TEXT, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _head(axes, r"$\|\partial L_t/\partial h_{t-k}\| \;/\; \|\partial L_t/\partial h_t\|$")


def _positive(values: Array) -> Array:
    """What a logarithm can show; 0 and what is not finite are left out."""
    return np.where(np.isfinite(values) & (values > 0), values, math.nan)


def _head(axes: Axes, text: str) -> None:
    """The title, and under it what the lines mean."""
    head(axes, text, pad=20)
    axes.legend(
        *axes.get_legend_handles_labels(),
        frameon=False,
        fontsize=7.5,
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.97),
        ncols=3,
        columnspacing=1,
        handlelength=1.4,
        handletextpad=0.5,
    )
