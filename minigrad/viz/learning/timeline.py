"""Where the time of a step goes: every op, its rule on the way back, the layers, the optimiser.

::

    with viz.timeline("step.json") as step:
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()

The file is in the Trace Event Format, which https://ui.perfetto.dev and chrome://tracing open.

While a timeline runs, timed functions stand in for the few through which all ops, rules and steps
go; afterwards these are what they were. So a program without a timeline is as fast as ever.

Next: `trace.py`.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from minigrad.arrays import cuda
from minigrad.arrays.devices import gpus
from minigrad.arrays.library import on_gpu
from minigrad.autograd import record, tape
from minigrad.autograd.fused import JointPlan
from minigrad.autograd.node import Output
from minigrad.autograd.record import RulePlan
from minigrad.errors.values import told
from minigrad.files import write_atomically
from minigrad.nn import Module
from minigrad.optim import clipping, clipping_gpu
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import Tensor
from minigrad.viz.extra import extra
from minigrad.viz.learning.held import Held
from minigrad.viz.learning.trace import trace
from minigrad.viz.observing import Looking
from minigrad.viz.shown import UNNOTED, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPPING = {
    clipping: {"_norm": "norm of the gradients", "_scale_all": "scale the gradients"},
    clipping_gpu: {
        "common_norm": "norm of the gradients",
        "scale_all": "scale the gradients",
        "clamp_all": "clamp the gradients",
        "clamp_one": "clamp a gradient",
    },
}
"""The functions in which clipping spends its time, by their module."""


class Slice(NamedTuple):
    """Something that took time."""

    name: str
    category: str
    """"layer", "op", "rule", "backward", "clipping" or "optimiser"."""

    start: int
    """In nanoseconds since the timeline began."""

    duration: int
    """In nanoseconds."""

    depth: int
    """How many other slices it is inside of."""

    facts: dict[str, Any]
    """Shapes and bytes; and the node's stamp, which an op and its rule share."""

    @property
    def end(self) -> int:
        """In nanoseconds since the timeline began."""
        return self.start + self.duration


class Timeline(Shown):
    """What `timeline` gives.

    Attributes
    ----------
    slices : list of Slice
        in the order of their ends.
    memory : list of (int, int)
        a time in nanoseconds since the timeline began, and the bytes held then: by results of ops,
        by what ops keep for their way back, and by gradients that rules have made. What an op or a
        rule frees before it ends is not in it, nor what was there before, such as parameters.
    """

    title = "Where the time of a step goes"

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else path
        if suffix not in (None, ".json", ".html", *UNNOTED):  # said now, not after the work
            raise ValueError(
                "viz.timeline: the path must end in .json, .html, .png, .svg or .pdf, got "
                f"{told(path)}"
            )
        self.path = path
        self.slices: list[Slice] = []
        self.memory: list[tuple[int, int]] = []
        self._held = Held()
        self._names: dict[int, str] = {}
        self._depth = 0
        self._undo = ExitStack()
        self._thread = 0

    # ------------------------------------------------------------------ begin and end

    def __enter__(self) -> Timeline:
        global _running
        if self._thread:
            raise RuntimeError("viz.timeline: this timeline has run already; make a new one")
        if _running is not None:
            raise RuntimeError("viz.timeline: another timeline is running")
        _running, self._thread = self, threading.get_ident()
        with ExitStack() as undo:
            undo.callback(_end)
            for owner, name, timed in self._timed():
                undo.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, timed(getattr(owner, name)))
            undo.enter_context(_Layers(self))
            self._undo = undo.pop_all()
        self._began = perf_counter_ns()
        return self

    def __exit__(self, kind: Any, *error: object) -> None:
        self._undo.close()
        self._note_memory()
        self._held = Held()
        if kind is None and self.path is not None:
            self.save(self.path)

    def _timed(self) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
        """Where a timed function stands in for which, and what makes it of that."""
        yield record, "run", self._run
        yield RulePlan, "backward", self._rule
        yield JointPlan, "backward", self._rule
        yield tape, "walk", lambda walk: self._whole(walk, "backward", lambda _: "backward")
        yield (
            Optimizer,
            "step",
            lambda step: self._whole(
                step, "optimiser", lambda args: f"{type(args[0]).__name__}.step"
            ),
        )
        for module, functions in CLIPPING.items():
            for name, called in functions.items():
                yield (
                    module,
                    name,
                    lambda f, called=called: self._whole(f, "clipping", lambda _: called),
                )

    # ------------------------------------------------------------------ what is timed

    def _run(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def timed(op: Any, args: Any) -> Any:
            if threading.get_ident() != self._thread:
                return run(op, args)
            with self._slice(op.name, "op") as facts:
                outputs = run(op, args)
                self._wait(outputs, facts)
            several = outputs if type(outputs) is tuple else (outputs,)
            arrays = [x._array if isinstance(x, Tensor) else x for x in several]
            facts["inputs"] = [tuple(a.shape) for a in args if hasattr(a, "shape")]
            facts["outputs"] = [tuple(x.shape) for x in arrays if hasattr(x, "shape")]
            kept: Any = None
            if isinstance(several[0], Tensor) and (node := several[0]._node) is not None:
                node = node.parents[0] if isinstance(node, Output) else node
                facts["node"], kept = node.stamp, node.saved
            self._count([arrays, kept], args)
            return outputs

        return timed

    def _rule(self, backward: Callable[..., Any]) -> Callable[..., Any]:
        def timed(plan: Any, g: Any, node: Any, *rest: Any) -> Any:
            if threading.get_ident() != self._thread:
                return backward(plan, g, node, *rest)
            with self._slice(f"{plan.name} backward", "rule") as facts:
                gradients = backward(plan, g, node, *rest)
                self._wait(gradients, facts)
            facts["node"] = node.stamp
            facts["outputs"] = [tuple(d.shape) for d in gradients if hasattr(d, "shape")]
            self._count(gradients, g)
            return gradients

        return timed

    def _whole(
        self, function: Callable[..., Any], category: str, name: Callable[[Any], str]
    ) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*args, **options)
            with self._slice(name(args), category) as facts:
                result = function(*args, **options)
                if category in ("optimiser", "clipping") and gpus:
                    self._synchronise(facts)
            return result

        return timed

    @contextmanager
    def inside(self, module: Module) -> Iterator[None]:
        """A slice for a layer's call."""
        if id(module) not in self._names:
            for name, below in module.named_modules():
                kind = type(below).__name__
                self._names.setdefault(id(below), f"{name} ({kind})" if name else kind)
        with self._slice(self._names[id(module)], "layer"):
            yield

    @contextmanager
    def _slice(self, name: str, category: str) -> Iterator[dict[str, Any]]:
        facts: dict[str, Any] = {}
        depth, self._depth = self._depth, self._depth + 1
        start = perf_counter_ns()
        try:
            yield facts
        except BaseException as error:
            facts["error"] = type(error).__name__
            raise
        finally:
            duration = perf_counter_ns() - start
            self._depth = depth
            self.slices.append(Slice(name, category, start - self._began, duration, depth, facts))
            if category not in ("op", "rule"):  # of these the results are still to be counted
                self._note_memory()

    def _wait(self, results: Any, facts: dict[str, Any]) -> None:
        """On a GPU, wait until it has done its work, which an op only orders."""
        if gpus and any(
            on_gpu(x) for x in (results if type(results) in (tuple, list) else [results])
        ):
            self._synchronise(facts)

    def _synchronise(self, facts: dict[str, Any]) -> None:
        start = perf_counter_ns()
        cuda.synchronize()
        facts["wait"] = perf_counter_ns() - start

    def _count(self, made: Any, given: Any) -> None:
        """Note the bytes held, now that the arrays in `made` are there."""
        self._held.add(made, given)
        self._note_memory()

    def _note_memory(self) -> None:
        if not self.memory or self.memory[-1][1] != self._held.total:
            self.memory.append((perf_counter_ns() - self._began, self._held.total))

    # ------------------------------------------------------------------ what came out

    def totals(self) -> dict[str, tuple[int, int, int]]:
        """By name: how many slices, their nanoseconds, and those without the slices inside them.

        The longest come first.
        """
        found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        inner: defaultdict[int, int] = defaultdict(int)  # of the slices that ended, by their depth
        for s in self.slices:
            own = s.duration - inner.pop(s.depth + 1, 0)
            inner[s.depth] += s.duration
            for i, n in enumerate((1, s.duration, own)):
                found[s.name][i] += n
        return {
            name: (numbers[0], numbers[1], numbers[2])
            for name, numbers in sorted(found.items(), key=lambda item: -item[1][2])
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """As `Shown.save`; .json is a trace, which Perfetto and Chrome open."""
        if Path(path).suffix.lower() == ".json":
            write_atomically(path, trace(self.slices, self.memory, self.title))
        else:
            super().save(path)

    def figure(self) -> Figure:
        """The slices over time, what is inside of another below it; and the memory."""
        with extra():
            from minigrad.viz.learning.timeline_figure import timeline_figure
        return timeline_figure(self.slices, self.memory)

    def __repr__(self) -> str:
        whole = max((s.end for s in self.slices), default=0)
        lines = [f"Timeline: {len(self.slices)} slices in {whole / 1e6:.3g} ms"]
        for name, (count, total, own) in list(self.totals().items())[:10]:
            lines.append(
                f"{own / 1e6:10.3f} ms of its own  {total / 1e6:10.3f} ms  {count:5d} {name}"
            )
        return "\n".join(lines)


_running: Timeline | None = None


def _end() -> None:
    global _running
    _running = None


class _Layers(Looking):
    """Is told of the calls of layers."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """Within it, `module` is being called."""
        with super().inside(module), self.timeline.inside(module):
            yield


def timeline(path: str | os.PathLike[str] | None = None) -> Timeline:
    """Within ``with viz.timeline("step.json"):`` time every op, rule, layer and optimiser step.

    The slices are nested as the calls are: an op is inside its layers, a rule inside the backward
    pass. An arrow leads from an op to its rule. What happens between the slices of a layer or a
    backward pass, such as adding gradients up, is its own time. Timing costs about ten
    microseconds for each slice, so a step of many small ops takes longer than without. Other
    threads are not timed, and a captured step (`mg.capture`) runs as if it were not captured.

    On a GPU an op only orders work. So the timeline waits for the GPU after each op, rule, clipping
    and step: a slice is as long as the work, its ``wait`` says how long the host waited, and the
    work of two ops never overlaps, as it may without a timeline.

    Parameters
    ----------
    path
        where to write it, as ``save`` does, when the block ends without an error: .json is a trace
        that https://ui.perfetto.dev and chrome://tracing open; .png, .svg and .pdf are pictures.
        None: it is not written.

    Returns
    -------
    Timeline
        with the attributes `slices` and `memory`, and `totals()`.

    Raises
    ------
    RuntimeError
        in ``with``, if a timeline is running already.
    """
    return Timeline(path)
