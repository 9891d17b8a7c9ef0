"""`watch`: what is noted while a program runs, so that pictures can tell more than the tape does.

The tape holds what the way back needs, and no more: not the value of each result, nor the line of
the program or the layer that made it. Within ``with viz.watch():`` all this is noted::

    with viz.watch():
        loss = model.loss(ids, targets)
        loss.backward()
    viz.draw(loss)

Read next: `reading.py`, which puts it together with the tape.
"""

from __future__ import annotations

import linecache
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Self

import numpy as np

from minigrad.arrays.devices import to_device
from minigrad.arrays.library import is_array
from minigrad.autograd.modes import Observer, modes, watchers
from minigrad.autograd.node import Leaf, next_stamp
from minigrad.errors.values import calling_frame
from minigrad.nn.module import Module
from minigrad.tensor import Tensor


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str

    @property
    def text(self) -> str:
        """The line as it is written, without the space around it; empty if it is not known."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.number}"


class Scope(NamedTuple):
    """A call of a module."""

    module: Module
    number: int  # how many calls of this module were before, in this watch
    depth: int  # how many calls of modules it is inside of


class Call:
    """An op that was called: what it was given, what it gave, where, and inside which modules."""

    __slots__ = (
        "args",
        "grad_args",
        "line",
        "node",
        "op",
        "outputs",
        "parents",
        "recording",
        "saved",
        "scopes",
        "stamp",
    )

    def __init__(
        self, op: Any, args: Sequence[Any], outputs: Any, node: Any, line: Line, scopes: Any
    ) -> None:
        self.op = op
        self.args = args  # Tensors, arrays, numbers; as the op was given them
        self.outputs = outputs if type(outputs) is tuple else (outputs,)
        self.node = node  # None: not recorded
        self.stamp = next_stamp() if node is None else node.stamp
        self.parents = [] if node is None else list(node.parents)
        self.saved = None if node is None else node.saved  # a walk back drops the node's own
        self.grad_args = [  # the parameters of the op to which the parents belong
            name
            for name, a in zip(op.parameters, args, strict=True)
            if isinstance(a, Tensor) and a._node is not None
        ]
        self.line, self.scopes = line, scopes
        self.recording = bool(modes.recording)

    def asked(self, tensor: Tensor) -> bool:
        """Whether `tensor` was an argument and required a gradient then."""
        args = zip(self.op.parameters, self.args, strict=True)
        return any(a is tensor and name in self.grad_args for name, a in args)


class Cut(NamedTuple):
    """A call of a function without a derivative: `detach`, `numpy`, `item`, `argmax` ..."""

    by: str
    tensors: Sequence[Tensor]
    result: Any  # a constant
    line: Line
    stamp: int  # its time on the clock of the tape


class Clip(NamedTuple):
    """A call of `clip_grad_norm_`."""

    tensors: Sequence[Tensor]
    norm: float
    max_norm: float
    line: Line
    stamp: int  # its time on the clock of the tape

    @property
    def factor(self) -> float:
        """What the gradients were multiplied by."""
        return min(1.0, self.max_norm / (self.norm + 1e-6))


class Walked(NamedTuple):
    """What a walk back did at a node: the gradient that came, and those that went out."""

    gradient: Any
    passed: Sequence[Any]


class Looking(Observer):
    """An observer of its thread within a ``with`` block; the one around it is told the same."""

    outer: Any = None  # the observer around it

    def __enter__(self: Self) -> Self:
        self.outer, modes.observer = modes.observer, self
        watchers.append(threading.get_ident())
        return self

    def __exit__(self, *error: object) -> None:
        watchers.remove(threading.get_ident())
        if modes.observer is self:
            modes.observer = self.outer
        for inner in _around(modes.observer):  # where generators are interleaved
            if inner.outer is self:
                inner.outer = self.outer
        self.outer = None

    def called(self, op: Any, args: Sequence[Any], outputs: Any, node: Any) -> None:
        """See `Observer`, as for all that follow."""
        if self.outer is not None:
            self.outer.called(op, args, outputs, node)

    def starts(self, nodes: Sequence[Any], wanted: Any) -> None:
        if self.outer is not None:
            self.outer.starts(nodes, wanted)

    def walked(self, node: Any, g: Any, gradients: Sequence[Any]) -> None:
        if self.outer is not None:
            self.outer.walked(node, g, gradients)

    def cut(self, by: str, tensors: Sequence[Any], result: Any) -> None:
        if self.outer is not None:
            self.outer.cut(by, tensors, result)

    def clipped(self, tensors: Sequence[Any], norm: Any, max_norm: float) -> None:
        if self.outer is not None:
            self.outer.clipped(tensors, norm, max_norm)

    def stepped(self, optimizer: Any) -> None:
        if self.outer is not None:
            self.outer.stepped(optimizer)

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        return nullcontext() if self.outer is None else self.outer.inside(module)


def _around(observer: Any) -> Iterator[Any]:
    """An observer, and those around it."""
    while observer is not None:
        yield observer
        observer = getattr(observer, "outer", None)


class LeafValue(NamedTuple):
    """The value that a leaf had when it was used."""

    changed: int  # when it was changed in place before, on the clock of the tape
    value: Any


class WalkBack(NamedTuple):
    """A walk back: a call of `backward` or `grad`."""

    starts: Sequence[Any]  # the nodes from which it went
    wanted: Any  # the nodes that `grad` asked for; None: all
    at: dict[Any, Walked]  # by node of an op
    stamp: int  # its time on the clock of the tape

    def reaches(self, node: Any, parents: Callable[[Any], Iterable[Any]]) -> bool:
        """Whether it came to `node`, where `parents` gives those of a node."""
        return node in self.at or any(p is node for other in self.at for p in parents(other))


class Watch(Looking):
    """Notes what happens in its thread between `__enter__` and `__exit__`; see `watch`."""

    def __init__(self, *models: Module) -> None:
        self.models = models
        self.calls: list[Call] = []
        self.by_node: dict[Any, Call] = {}
        self.walks: list[WalkBack] = []
        self.cuts: list[Cut] = []
        self.clips: list[Clip] = []
        self.optimizers: list[Any] = []  # those that made a step
        self.scopes: tuple[Scope, ...] = ()
        self.numbers: dict[int, int] = {}  # by the id of a module that `modules` keeps
        self.modules: list[Module] = []
        self.leaves: dict[Any, list[LeafValue]] = {}  # by leaf, or the constant itself

    # ------------------------------------------------------------------ being a context

    def __enter__(self) -> Watch:
        if any(observer is self for observer in _around(modes.observer)):
            raise RuntimeError("viz.watch: this watch is running already")
        _living.add(self)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        global _last
        super().__exit__(*error)
        _last = self

    def made(self, tensor: Tensor) -> bool:
        """Whether an op that it saw made `tensor`."""
        return any(y is tensor for call in reversed(self.calls) for y in call.outputs)

    # ------------------------------------------------------------------ being told

    def called(self, op: Any, args: Sequence[Any], outputs: Any, node: Any) -> None:
        """See `Observer`."""
        super().called(op, args, outputs, node)
        kept = [a.copy() if is_array(a) else a for a in args]  # a caller may fill an array anew
        for a in args:
            if isinstance(a, Tensor) and a.is_leaf:
                self._note_leaf(a)
        call = Call(op, kept, outputs, node, calling_line(), self.scopes)
        self.calls.append(call)
        if node is not None:
            self.by_node[node] = call

    def _note_leaf(self, leaf: Tensor) -> None:
        found = self.leaves.setdefault(leaf if leaf._node is None else leaf._node, [])
        if not found or found[-1].changed != last_change(leaf):
            found.append(LeafValue(last_change(leaf), np.array(to_device(leaf._array, "cpu"))))

    def starts(self, nodes: Sequence[Any], wanted: Any) -> None:
        """See `Observer`."""
        super().starts(nodes, wanted)
        self.walks.append(WalkBack(nodes, wanted, {}, next_stamp()))

    def walked(self, node: Any, g: Any, gradients: Sequence[Any]) -> None:
        """See `Observer`."""
        super().walked(node, g, gradients)
        if self.walks:  # else the watch began in a hook
            self.walks[-1].at[node] = Walked(g, list(gradients))

    def parents(self, node: Any) -> Sequence[Any]:
        """The nodes of the arguments of an op, also after a walk has freed it."""
        call = self.by_node.get(node)
        return node.parents if call is None else call.parents

    def walk_from(self, node: Any) -> WalkBack | None:
        """The last walk for all gradients that went from `node` alone."""
        walks = reversed(self.walks)
        return next((w for w in walks if w.wanted is None and list(w.starts) == [node]), None)

    def cut(self, by: str, tensors: Sequence[Any], result: Any) -> None:
        """See `Observer`."""
        super().cut(by, tensors, result)
        self.cuts.append(Cut(by, tensors, result, calling_line(), next_stamp()))

    def clipped(self, tensors: Sequence[Any], norm: Any, max_norm: float) -> None:
        """See `Observer`."""
        super().clipped(tensors, norm, max_norm)
        self.clips.append(Clip(tensors, float(norm), max_norm, calling_line(), next_stamp()))

    def stepped(self, optimizer: Any) -> None:
        """See `Observer`."""
        super().stepped(optimizer)
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """See `Observer`."""
        outer, number = self.scopes, self.numbers.get(id(module), 0)
        if not number:
            self.modules.append(module)
        self.numbers[id(module)] = number + 1
        self.scopes = (*outer, Scope(module, number, len(outer)))
        try:
            with super().inside(module):
                yield
        finally:
            self.scopes = outer


_living: weakref.WeakSet[Watch] = weakref.WeakSet()
_last: Watch | None = None


def watch(*models: Module) -> Watch:
    """Within ``with viz.watch():`` note what the tape does not hold, for pictures and explanations.

    For each op that runs in this thread: its arguments and results, the line of the program that
    called it, and the layers that it is inside of; for each walk back the gradients; and each
    `detach`. All arrays are kept, also after a backward pass, so look at one step, not at a whole
    training. The last watch is kept until the next one has ended. A captured step (`mg.capture`)
    runs as if it were not captured. Watches may be nested: each notes what is inside of it.

    Parameters
    ----------
    *models
        modules that give names to their layers and parameters. Those that are called, and those in
        variables of the caller of `draw` and its like, are known without it.

    Raises
    ------
    TypeError
        if one of `models` is no Module.
    """
    for model in models:
        if not isinstance(model, Module):
            raise TypeError(f"viz.watch: expected modules, got {type(model).__name__}")
    return Watch(*models)


def last_change(tensor: Tensor) -> int:
    """When `tensor` was changed in place, on the clock of the tape; 0: never."""
    return 0 if tensor._memory is None else tensor._memory.changed


def last_watch() -> Watch | None:
    """The watch that ended last, if there was one."""
    return _last


def watched_call(node: Any) -> tuple[Watch, Call] | None:
    """The watch that saw `node` being made, and what it noted."""
    for seen in _living:
        call = seen.by_node.get(node)
        if call is not None:
            return seen, call
    return None


def watch_of_leaf(leaf: Leaf) -> Watch | None:
    """A watch in which `leaf` was used."""
    return next((seen for seen in _living if leaf in seen.leaves), None)


def calling_line() -> Line:
    """The line of the innermost caller outside minigrad."""
    frame = calling_frame()
    code = frame.f_code
    return Line(code.co_filename, frame.f_lineno, code.co_qualname)
