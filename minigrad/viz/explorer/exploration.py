"""`explore`: the whole walk along a tape as in a debugger, as a page.

The steps are those of the engine (`step_order.py`). Beside each are its rule as it is written
(`sources.py`), the memory that the tape holds then (`memory_curve.py`), and finite differences of
the program run again in float64 (`again.py`, `slopes.py`). `explorer_page.py` makes the page of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minigrad.tensor import Tensor
from minigrad.viz.explorer.explorer_page import view
from minigrad.viz.explorer.walk import Walk
from minigrad.viz.extra import extra
from minigrad.viz.names import given_and_variables
from minigrad.viz.page import View
from minigrad.viz.reading import Tape, read
from minigrad.viz.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def explore(
    tensor: Tensor,
    path: str | os.PathLike[str] | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    gradient: Any = None,
) -> Exploration:
    """Go through the tape behind a tensor step by step: the forward pass, then the walk back.

    The page shows at each step the op with its values and where in the program it was called; its
    rule as written in the source; the gradient that comes in, as the sum that it is, and those that
    go out; what the tape holds. It plays, stops at the first value that is not finite or at a norm,
    and finds nodes. The tape stays as it is.

    Within `minigrad.viz.watch` all is known, also after a backward pass. Then each gradient has its
    finite difference beside it: the program runs again in float64, a few times (this takes up to
    some seconds). Without a watch, values are known where the tape keeps them, and the lines,
    layers and finite differences are not.

    Parameters
    ----------
    tensor
        a result of ops, for example the loss.
    path
        where to write the page, a file that ends in .html; None: nowhere, see `Exploration`.
    names
        Tensors and Modules by the names to show, beside those in the variables of the caller.
    gradient
        the gradient to start from, of the shape of `tensor`; None: ones.

    Returns
    -------
    Exploration
        It shows itself in a notebook.

    Raises
    ------
    TypeError
        if `tensor` is no Tensor.
    TapeError
        if nothing leads to it, or a backward pass has freed its tape and no watch saw it.
    ValueError
        if `gradient` has another shape, or `path` another ending than .html, .png, .svg or .pdf.

    Examples
    --------
    >>> import minigrad as mg
    >>> from minigrad import viz
    >>> x = mg.tensor([0.5, 2.0], requires_grad=True)
    >>> with viz.watch():
    ...     loss = (x * x).sum()
    >>> walk = viz.explore(loss)
    >>> [step.entry.op or step.entry.name for step in walk.steps]  # two forward, three back
    ['multiply', 'sum', 'sum', 'multiply', 'x']
    >>> walk.slopes.whole[0, 0].verdict  # d loss / d x against finite differences
    'agrees'
    """
    known = given_and_variables(names, "viz.explore")
    tape = read(tensor, known, gradient, "viz.explore")
    found = Exploration(tape, gradient)
    if path is not None:
        found.save(path)
    return found


class Exploration(Walk, Shown):
    """What `explore` gives.

    Attributes
    ----------
    tape : Tape
        the nodes as facts, with their values and gradients.
    steps : list of Step
        the entry of the tape that each step is about, and whether it is one of the forward pass.
    summands : dict
        by the index of an entry and the number of its result, the gradients that meet there.
    memory : MemoryCurve
        the bytes that the tape holds after each step.
    again : Again
        the values and gradients of the same program in float64.
    slopes : Slopes
        the finite differences, of each rule and of each gradient.
    """

    def __init__(self, tape: Tape, gradient: Any = None) -> None:
        super().__init__(tape, gradient)
        root = tape.root
        what = root.name or root.op
        ops = sum(entry.kind == "op" for entry in tape)
        self.title = f"The walk along the tape of {what}"
        self.text = (
            f"{len(tape):,} nodes, {ops:,} of them ops. First they run, then the walk goes back: "
            "always to the youngest node at which a gradient has arrived."
        )

    def views(self) -> list[View]:
        """The page to go through the steps."""
        return [view(self)]

    def figure(self) -> Figure:
        """The memory that the tape holds, over the steps."""
        with extra():
            from minigrad.viz.explorer.memory_figure import picture
        return picture(self.memory, sum(step.forward for step in self.steps))
