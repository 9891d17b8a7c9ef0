"""`draw`: the tape behind a tensor as a picture; `text`: as a table for terminals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from minigrad.data.checks import positive_int
from minigrad.errors.values import told
from minigrad.files import write_atomically
from minigrad.tensor import Tensor
from minigrad.viz.drawing.drawing_page import scene_data
from minigrad.viz.drawing.facts import layer_names
from minigrad.viz.drawing.folding import LIMIT, Fold, Folded
from minigrad.viz.drawing.notations import dot, mermaid
from minigrad.viz.drawing.notes import Notes
from minigrad.viz.drawing.picture import figure
from minigrad.viz.drawing.recurrence import steps_of
from minigrad.viz.drawing.scene import draw_scene
from minigrad.viz.drawing.svg import svg
from minigrad.viz.drawing.terminal import table
from minigrad.viz.names import given_and_variables
from minigrad.viz.page import View
from minigrad.viz.reading import Tape, read
from minigrad.viz.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "draw", "text"]

MOST = 12_000
"""A page has no way to fold with more nodes than these, unless it was asked for."""

STEPS = 8
"""Of a folded drawing, how many time steps are drawn."""


class Drawing(Shown):
    """The tape as a picture: what `draw` gives.

    Attributes
    ----------
    tape
        the entries that are drawn, with their values and gradients.
    fold
        ``"none"``, ``"step"`` or ``"layer"``.
    steps
        how many time steps are drawn; those in the middle are folded. None: all.
    time_steps
        the number of time steps side by side, 1 without a recurrence.
    layers
        the names of the recurrent layers, from the bottom up.
    """

    def __init__(self, tape: Tape, fold: Fold | Literal["auto"], steps: int | None) -> None:
        self.tape = tape
        self._graph, self._recurrence = steps_of(tape)
        self.time_steps = self._recurrence.columns
        self.layers = layer_names(self._graph, self._recurrence)
        small = len(self._graph.nodes) <= LIMIT
        if fold == "auto":
            fold = "none" if small else "step" if self.layers else "layer"
            steps = STEPS if steps is None and not small else steps
        self.fold: Fold = fold
        self.steps = steps
        self._folded = self._as_folded(fold)
        ops = sum(entry.kind in ("op", "freed") for entry in tape)
        self.title = f"The tape of a {tape.root.op or 'leaf'}: {ops} op{'s' * (ops != 1)}"

    def _as_folded(self, fold: Fold) -> Folded:
        if fold == "step" and not self.layers:
            fold = "layer"
        return Folded(self._graph, self._recurrence, fold, self.steps)

    def svg(self) -> str:
        """The picture as SVG; whoever points at a node is told all that is known of it."""
        return svg(draw_scene(self._folded, self.title))

    def dot(self) -> str:
        """The graph in DOT, the language of Graphviz."""
        return dot(Notes(self._folded), self.title)

    def mermaid(self) -> str:
        """The graph as a flowchart of Mermaid, which GitHub draws within Markdown."""
        return mermaid(Notes(self._folded))

    def figure(self) -> Figure:
        """The picture as a figure of matplotlib, of which .png and .pdf are made."""
        return figure(draw_scene(self._folded, self.title))

    def views(self) -> list[View]:
        """The picture with zoom, search, all facts of a node, and a choice of how it is folded."""
        ways: dict[Fold, str] = {"none": "nothing", "step": "time steps", "layer": "layers"}
        if not self.layers:
            del ways["step"]
        first = "layer" if self._folded.fold == "layer" else self.fold
        scenes = []
        for fold, label in ways.items():
            folded = self._folded if fold == first else self._as_folded(fold)
            if fold == first or len(folded.bodies) <= MOST:
                scenes.append(scene_data(draw_scene(folded, self.title), fold, label))
        return [View("drawing", {"scenes": scenes, "fold": first})]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file: as a whole, or not at all.

        Parameters
        ----------
        path
            where to. Its suffix says what: .svg, .dot and .mmd (Mermaid) need no other package;
            .png, .pdf and .html are as in `Shown.save`.

        Raises
        ------
        ValueError
            if the suffix is another.
        OSError
            if it cannot be written. Then a file that was there is still there.
        ModuleNotFoundError
            without the packages of the extra ``viz``.
        """
        own = {".svg": self.svg, ".dot": self.dot, ".mmd": self.mermaid}
        suffix = Path(path).suffix.lower()
        if suffix in own:
            write_atomically(path, own[suffix]().encode("utf-8"))
        elif suffix in (".png", ".pdf", ".html"):
            super().save(path)
        else:
            raise ValueError(
                "Drawing.save: the path must end in .svg, .png, .pdf, .html, .dot or .mmd, got "
                f"{told(os.fspath(path))}"
            )


def draw(
    tensor: Tensor,
    *,
    fold: Fold | Literal["auto"] = "auto",
    steps: int | None = None,
    names: Mapping[str, Any] | None = None,
    gradient: Any = None,
) -> Drawing:
    """Draw the tape behind a tensor, as the textbooks draw an unrolled network.

    Time runs from left to right, and the layers are above each other: both are found in the tape.
    Each op is a node with its shape, the parameters that it uses, and a bar for the norm of its
    gradient, on a log scale. Its other facts are shown to who points at it: dtype, value, gradient,
    and what it keeps for the way back; within ``with viz.watch():`` also the line of the program
    and the layers around it::

        with viz.watch():
            loss = model.loss(ids, targets)
        viz.draw(loss).save("tape.svg")

    Parameters
    ----------
    tensor
        a result of ops, for example the loss.
    fold
        ``"none"``: each op is a node; ``"step"``: all that a layer does in a time step is one;
        ``"layer"``: all that it does; ``"auto"``: by step (or by layer, without a recurrence) if
        there are more than 300 nodes.
    steps
        how many time steps are drawn: the first and the last ones, and one node for those between.
        None: all, or if it is folded automatically, 8.
    names
        Tensors and Modules by their names, which go before those of the caller's variables.
    gradient
        the gradient to start from, of the shape of `tensor`; None: ones.

    Raises
    ------
    TypeError, ValueError
        for something else than a Tensor, an unknown `fold`, `steps` below 1, or a gradient of
        another shape.
    TapeError
        if nothing on the tape leads to `tensor`, or a backward pass has freed its tape.
    """
    if fold not in (*get_args(Fold), "auto"):
        raise ValueError(f'draw: fold must be "auto", "none", "step" or "layer", got {told(fold)}')
    if steps is not None:
        steps = positive_int(steps, "draw: steps")
    return Drawing(read(tensor, given_and_variables(names, "draw"), gradient, "draw"), fold, steps)


def text(tensor: Tensor, *, names: Mapping[str, Any] | None = None, gradient: Any = None) -> str:
    """The tape behind a tensor as a table for a terminal, from the last op down to the leaves.

    A line for each op: its number, its time step, its arguments (the numbers of other ops, or
    leaves), its shape, the norm of its gradient, the bytes that it keeps for the way back, and
    within ``with viz.watch():`` the line of the program. Then a line for each leaf. The table is as
    wide as the terminal; of more than 300 ops, those in the middle are left out.

    Parameters
    ----------
    tensor, names, gradient
        as in `draw`.

    Raises
    ------
    TypeError, ValueError, TapeError
        as `draw` does.
    """
    return table(*steps_of(read(tensor, given_and_variables(names, "text"), gradient, "text")))
