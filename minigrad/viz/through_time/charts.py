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

from minigrad.viz.figures import COLOURS, FAINT, TEXT, dress, head, new_figure
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
    if len(flows) == 1:
        drawn = new_figure(10.5, 6.4, layout="constrained")
        panels = drawn.subplot_mosaic("AB;AC;AD", width_ratios=[1.4, 1])
        columns = [[panels[key] for key in "ABCD"]]
    else:
        drawn = new_figure(3.9 * len(flows) + 0.8, 10, layout="constrained")
        rows: Any = drawn.subplots(4, len(flows), height_ratios=[3, 1, 1, 1], squeeze=False)
        columns = [list(column) for column in rows.T]
    for (name, flow), axes in zip(flows.items(), columns, strict=True):
        image = _triangle(axes[0], name, flow, labels, window, scale)
        _steps(axes[1], flow, window, max_norm)
        _bias(axes[2], flow, window)
        _decay(axes[3], flow)
    first = [column[0] for column in columns]
    place = {"location": "bottom", "fraction": 0.05} if len(flows) == 1 else {"location": "right"}
    ticks = LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,))
    bar = drawn.colorbar(
        image, ax=first, extend="min", pad=0.02, aspect=30, ticks=ticks, format=_power, **place
    )
    bar.minorticks_off()
    bar.set_label(
        r"$\|\partial L_t/\partial h_\tau\|$, nats per unit of the state", color=TEXT, fontsize=9
    )
    bar.ax.tick_params(colors=FAINT, labelsize=8.5)
    return drawn


def _power(value: float, _: Any = None) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = round(value / 10.0**exponent)
    return rf"${factor} \cdot 10^{{{exponent}}}$" if factor > 1 else f"$10^{{{exponent}}}$"


def written(label: str) -> str:
    """A token as it stands at an axis: spaces and ends of lines can be seen."""
    for character, sign in {" ": "␣", "\n": "↵", "\t": "⇥"}.items():
        label = label.replace(character, sign)
    return label if len(label) <= 8 else f"{label[:7]}…"


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
    lines = [(name if flow.kind in name else f"{name} ({flow.kind})").replace("$", r"\$")]
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
        upright = max(map(len, map(written, labels))) > 2
        axes.set_xticks(
            places, list(map(written, labels[:-1])), rotation=90 if upright else 0, **options
        )
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
    tau = np.arange(flow.T)
    axes.bar(tau, flow.steps(), width=1, color="#c8c8c8", label="full")
    if window is not None:
        axes.step(tau, flow.steps(window), where="mid", color=BLUE, label=f"window {window}")
    if max_norm is not None:
        clipped = flow.steps(window) * flow.clipping(max_norm, window)
        label = f"clipped at {max_norm:g}"
        axes.step(tau, clipped, where="mid", color=ORANGE, linestyle="--", label=label)
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
