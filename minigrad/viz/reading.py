"""`read`: the tape behind a tensor as plain facts, which all pictures and explanations are made of.

An `Entry` is a node of the tape: what it is, where it is from, what it keeps for the way back, and
what gradient arrives there. What only a watch can know (`observing.py`) is None without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.arrays.devices import to_device
from minigrad.arrays.library import array_module, bare, is_array
from minigrad.autograd.node import FREED, Leaf, Node, Output, TapeError
from minigrad.autograd.sparse import RowSparse
from minigrad.autograd.tape import fitted
from minigrad.errors.values import told
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor
from minigrad.viz.names import Names
from minigrad.viz.observing import (
    Call,
    LeafValue,
    Line,
    Scope,
    WalkBack,
    Watch,
    last_change,
    watch_of_leaf,
    watched_call,
)

Numbers = np.ndarray[Any, Any]


@dataclass(eq=False, slots=True)
class Result:
    """One of the results of an op, or the value of a leaf or a constant."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: Numbers | None = None  # None: not known
    gradient: Numbers | None = None  # None: none arrives, or it is not known


@dataclass(eq=False, slots=True)
class Edge:
    """An argument of an op, from its side."""

    source: Entry  # which gave it
    number: int  # which of the results of `source`
    argument: str  # the parameter of the op: "x1", "tensors[2]"
    gradient: Any = None  # what the rule gave for it, not yet summed to its shape; None: nothing
    has_rule: bool = True  # False: a constant, to which no gradient goes
    nbytes: int = 0  # of what the rule gave: a gradient of few rows takes less than `gradient`


@dataclass(eq=False, slots=True)
class Saved:
    """What a node keeps for the way back."""

    name: str  # the parameter of the op, "out", "x_shape" or "kept[0]"
    value: Any  # an array, or a shape or an option
    nbytes: int  # 0 for what is no array
    memory: int  # the same number for arrays that share their memory; 0 for what is no array
    source: Entry | None = None  # whose value it is, if it is known


@dataclass(eq=False, slots=True)
class Layer:
    """A call of a module that an op is inside of."""

    name: str  # "recurrent.0"; the class if there is no other name
    kind: str  # the class: "LSTM"
    number: int  # how many calls of the same module were before


@dataclass(eq=False, slots=True)
class Entry:
    """A node of the tape.

    Attributes
    ----------
    index
        its place in `Tape.entries`.
    stamp
        its time on the clock of the tape; a constant has that of the first op that uses it.
    kind
        ``"op"``; ``"parameter"``; ``"input"``, another tensor that requires a gradient;
        ``"constant"``, which requires none (known to a watch alone); ``"freed"``, an op that an
        earlier backward pass has used and freed.
    op, name
        of an op its name (``"tanh"``); the name of a parameter or variable, empty if not known.
    results
        one, or several if the op has several.
    edges
        its arguments that are on the tape or constants, in the order of the op's parameters.
    options
        the other arguments that are not the default, in words (known to a watch alone).
    saved, line, layers
        what it keeps; where it was called; the layers around it, the outermost first.
    """

    stamp: int
    kind: str
    op: str
    name: str
    results: list[Result]
    edges: list[Edge] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    saved: list[Saved] = field(default_factory=list)
    line: Line | None = None
    layers: list[Layer] = field(default_factory=list)
    index: int = -1
    node: Node | None = None
    call: Call | None = None

    @property
    def result(self) -> Result:
        """The only result, or the first."""
        return self.results[0]

    @property
    def hooked(self) -> bool:
        """Whether a hook of the program may change a gradient here."""
        nodes = [self.node, *(y._node for y in (self.call.outputs if self.call else ()))]
        return any(key for node in nodes if node is not None for key in node.hooks or ())


class Tape:
    """What is behind a tensor.

    Attributes
    ----------
    entries
        oldest first: arguments before the ops that use them.
    root
        the entry of the tensor, and `number`: which of its results the tensor is.
    watched
        whether a watch saw the ops.
    trouble
        why no gradients are known, in a sentence; empty if they are.
    """

    def __init__(self, entries: list[Entry], root: Entry, number: int) -> None:
        self.entries, self.root, self.number, self.trouble = entries, root, number, ""
        for i, entry in enumerate(entries):
            entry.index = i
        self.watched = any(entry.call is not None for entry in entries)

    def consumers(self) -> list[list[Entry]]:
        """For each entry the ops that use one of its results, oldest first, each once."""
        found: list[list[Entry]] = [[] for _ in self.entries]
        for entry in self.entries:
            for source in dict.fromkeys(edge.source.index for edge in entry.edges):
                found[source].append(entry)
        return found

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def read(
    tensor: Tensor,
    known: Mapping[str, Any] | None = None,
    gradient: Any = None,
    caller: str = "viz",
) -> Tape:
    """The tape behind `tensor`, with the gradients that go back along it.

    The tape itself stays as it is: nothing is freed, no ``.grad`` changes, no hook runs.

    Parameters
    ----------
    tensor
        a result of ops, for example the loss.
    known
        Tensors and Modules by their names in the program (`names.variables`).
    gradient
        the gradient to start from, of the shape of `tensor`; None: ones.
    caller
        the function to name in errors.

    Raises
    ------
    TypeError
        if `tensor` is no Tensor.
    TapeError
        if nothing leads to `tensor`; or if a backward pass has freed its tape, and no watch saw it.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{caller}: expected a Tensor, such as the loss, got {told(tensor)}")
    node = tensor._node
    if node is None:
        raise TapeError(
            f"{caller}: this tensor is a constant, nothing on the tape leads to it; compute it "
            "from a tensor that requires a gradient, outside no_grad()"
        )
    reader = _Reader(dict(known or {}))
    root, number = reader.place_of(node)
    if root.saved is FREED and watched_call(root) is None:
        raise TapeError(
            f"{caller}: a backward pass has freed the tape of this tensor. Call {caller} before "
            "backward(), or backward(retain_graph=True), or compute and walk back within "
            "viz.watch(), which keeps all"
        )
    tape = reader.tape(root, number)
    entry = tape.root.results[number]
    if entry.value is None:
        entry.value = on_host(tensor._array)
    if gradient is not None:
        gradient = bare(Tensor(gradient, tensor.dtype, tensor.device))
        if gradient.shape != tensor.shape:
            raise ValueError(
                f"{caller}: the gradient has the shape {gradient.shape}, expected {tensor.shape}, "
                "that of the tensor"
            )
    _walk(tape, tensor, gradient)
    return tape


def on_host(x: Any) -> Numbers:
    """The numbers of a Tensor or an array, as an array on the host."""
    return np.asarray(to_device(bare(x), "cpu"))


def dense(g: Any) -> Any:
    """A gradient with all its rows."""
    return g.to_dense() if isinstance(g, RowSparse) else g


# ------------------------------------------------------------------------------ reading the nodes


class _Reader:
    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known
        self.watches: dict[Watch, None] = {}
        self.entries: dict[Any, Entry] = {}  # by their node, or the constant that they are

    def place_of(self, node: Node) -> tuple[Node, int]:
        """The node of the op (or the leaf), and which of its results."""
        return (node.parents[0], node.index) if isinstance(node, Output) else (node, 0)

    def tape(self, root: Node, number: int) -> Tape:
        nodes, self.until = self._behind(root), root.stamp
        calls = {node: watched_call(node) for node in nodes}
        for node in nodes:
            if (found := calls[node]) is not None:
                self.watches[found[0]] = None
            elif isinstance(node, Leaf) and (watch := watch_of_leaf(node)) is not None:
                self.watches[watch] = None
        self.saw_ops = {found[0] for found in calls.values() if found is not None}
        modules = [m for watch in self.watches for m in (*watch.models, *watch.modules)]
        self.names = Names(self.known, modules)
        for node in nodes:
            if isinstance(node, Leaf):
                self.entries[node] = self._leaf(node)
            else:
                self._op(node, calls[node])
        self._values_kept()
        for entry in self.entries.values():
            if entry.node is not None and entry.kind == "op":
                self._saved(entry)
        return Tape(list(self.entries.values()), self.entries[root], number)

    def _behind(self, root: Node) -> list[Node]:
        """All nodes behind `root` and itself, oldest first, without recursion."""
        seen, stack = {root}, [root]
        while stack:
            for parent in _parents(stack.pop()):
                node, _ = self.place_of(parent)
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
        return sorted(seen, key=lambda node: node.stamp)

    def _leaf(self, leaf: Leaf) -> Entry:
        tensor = leaf.tensor()
        value = self._value(leaf, tensor)
        kind = "parameter" if isinstance(tensor, Parameter) else "input"
        results = [Result(tuple(leaf.shape), leaf.dtype, value)]
        return Entry(leaf.stamp, kind, "", self.names.of(tensor), results, node=leaf)

    def _value(self, key: Any, tensor: Tensor | None) -> Numbers | None:
        """The value of a leaf or a constant when the tape was made, if it is known."""
        known = [noted for watch in self.saw_ops for noted in watch.leaves.get(key, ())]
        if tensor is not None:
            known.append(LeafValue(last_change(tensor), tensor._array))
        known = [noted for noted in known if noted.changed <= self.until]
        last = max(known, key=lambda noted: noted.changed, default=None)
        return None if last is None else on_host(last.value)

    def _op(self, node: Node, found: tuple[Watch, Call] | None) -> None:
        call = None if found is None else found[1]
        several = isinstance(node.shape, list)
        shapes = node.shape if several else [node.shape]
        dtypes = node.dtype if several else [node.dtype]
        results = [Result(tuple(s), d) for s, d in zip(shapes, dtypes, strict=True)]
        kind = "freed" if node.saved is FREED and call is None else "op"
        entry = Entry(node.stamp, kind, node.plan.name, "", results, node=node, call=call)
        if call is None:
            names = _active(node.plan)
            for parent, name in zip(node.parents, names, strict=False):
                source, number = self.place_of(parent)
                entry.edges.append(Edge(self.entries[source], number, name))
        else:
            self._call(entry, call)
        self.entries[node] = entry

    def _call(self, entry: Entry, call: Call) -> None:
        """What only a watch knows."""
        entry.line = call.line
        entry.layers = [self._layer(scope) for scope in call.scopes]
        for result, output in zip(entry.results, call.outputs, strict=True):
            memory = output._memory
            if memory is None or memory.changed <= call.stamp:  # else it is another value now
                result.value = on_host(output._array)
        for y in call.outputs:
            if name := self.names.of(y):
                entry.name = name
        parents = dict(zip(call.grad_args, call.parents, strict=False))
        defaults = getattr(call.op, "whole", call.op).defaults  # `whole`: if an input is a list
        for name, a in zip(call.op.parameters, call.args, strict=True):
            if name in parents:
                source, number = self.place_of(parents[name])
                entry.edges.append(Edge(self.entries[source], number, name))
            elif isinstance(a, Tensor) or is_array(a):
                entry.edges.append(Edge(self._constant(a, name, entry), 0, name, has_rule=False))
            elif name not in defaults or defaults[name] is not a:
                entry.options[name] = told(a)

    def _constant(self, a: Any, name: str, entry: Entry) -> Entry:
        key = a if isinstance(a, Tensor) else id(a)
        if key not in self.entries:
            value = self._value(a, a) if isinstance(a, Tensor) else on_host(a)
            known = self.names.of(a) if isinstance(a, Tensor) else ""
            results = [Result(a.shape, a.dtype, value)]
            self.entries[key] = Entry(entry.stamp, "constant", "", known or name, results)
        return self.entries[key]

    def _layer(self, scope: Scope) -> Layer:
        kind = type(scope.module).__name__
        return Layer(self.names.of(scope.module) or kind, kind, scope.number)

    def _values_kept(self) -> None:
        """The values that nodes keep for the way back, where no watch knows them."""
        for entry in list(self.entries.values()):
            node = entry.node
            if entry.kind != "op" or entry.call is not None or node is None:
                continue
            for name, value in _saved_by(node.plan, node.saved):
                if name == "out" and is_array(value):
                    if node.memory is None or node.memory.changed <= node.stamp:
                        entry.result.value = on_host(value)
                elif not isinstance(value, Tensor) or last_change(value) > node.stamp:
                    continue
                elif value._node is not None:
                    source, number = self.place_of(value._node)
                    if source in self.entries:
                        self.entries[source].results[number].value = on_host(value)

    def _saved(self, entry: Entry) -> None:
        assert entry.node is not None
        saved = entry.node.saved if entry.call is None else entry.call.saved
        for name, value in _saved_by(entry.node.plan, saved):
            array = bare(value)
            if not is_array(array):
                if value is not None:
                    entry.saved.append(Saved(name, value, 0, 0))
                continue
            source = self._source(entry, name, value)
            entry.saved.append(Saved(name, array, int(array.nbytes), id(whole(array)), source))

    def _source(self, entry: Entry, name: str, value: Any) -> Entry | None:
        if name == "out":
            return entry
        if isinstance(value, Tensor) and value._node is not None:
            return self.entries.get(self.place_of(value._node)[0])
        return self.entries.get(value) if isinstance(value, Tensor) else None


def _parents(node: Node) -> Sequence[Node]:
    if node.saved is FREED and (found := watched_call(node)) is not None:
        return found[1].parents
    return node.parents


def _active(plan: Any) -> list[str]:
    """The names of the arguments to which the parents of a node belong."""
    if hasattr(plan, "op"):  # one backward for all inputs
        op = plan.op
        names = [p for p, is_input in zip(op.parameters, op.inputs, strict=True) if is_input]
        return [name for name, active in zip(names, plan.active, strict=True) if active]
    return list(plan.active)


def _saved_by(plan: Any, saved: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of what a node keeps."""
    if saved is None or saved is FREED:
        return
    if hasattr(plan, "op"):
        args, kept = saved
        yield from zip(plan.op.parameters, args, strict=True)
        yield from _flat("kept", kept)
    else:
        yield from zip(plan.names, saved, strict=True)


def _flat(name: str, kept: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(kept, list | tuple):
        for i, item in enumerate(kept):
            yield from _flat(f"{name}[{i}]", item)
    elif isinstance(kept, dict):
        for key, item in kept.items():
            yield from _flat(f"{name}[{key!r}]", item)
    elif kept is not None:
        yield name, kept


def whole(array: Any) -> Any:
    """The array that `array` is a view of; itself, if it is none."""
    while getattr(array, "base", None) is not None and is_array(array.base):
        array = array.base
    return array


# ------------------------------------------------------------------------------------ the way back


def _walk(tape: Tape, tensor: Tensor, gradient: Any) -> None:
    """Fill in the gradients: as a watch saw them, or by the rules."""
    found = watched_call(tape.root.node) if gradient is None else None
    walk = None if found is None else found[0].walk_from(tensor._node)
    try:
        with np.errstate(all="ignore"):  # a walk of the user's own warns
            if walk is not None:
                _recorded(tape, walk)
            else:
                _computed(tape, tensor, gradient)
    except TapeError as error:
        tape.trouble = str(error)
    if freed := next((e.op for e in reversed(tape.entries) if e.kind == "freed"), ""):
        tape.trouble = (
            f"the tape ends at a {freed} that an earlier backward pass has used and freed; if it "
            "is a state carried over from the previous BPTT window, detach() it"
        )


def _computed(tape: Tape, tensor: Tensor, gradient: Any) -> None:
    xp = array_module(tensor._array)
    start = xp.ones_like(tensor._array) if gradient is None else gradient
    pending: dict[tuple[Entry, int], Any] = {(tape.root, tape.number): start}
    for entry in reversed(tape.entries):
        gradients = [pending.pop((entry, i), None) for i in range(len(entry.results))]
        _arrived(entry, gradients)
        if entry.kind != "op" or all(g is None for g in gradients):
            continue
        node: Any = _as_it_was(entry)
        g = gradients if isinstance(node.shape, list) else gradients[0]
        _pass_on(entry, node.plan.backward(g, node, None, False), pending)


def _as_it_was(entry: Entry) -> Any:
    """The node of `entry`; if a walk has freed it, one with what the watch has kept of it."""
    node: Any = entry.node
    if node.saved is not FREED or entry.call is None:
        return node
    whole = Node(node.plan, entry.call.parents, node.shape, node.dtype)
    whole.stamp, whole.memory, whole.saved = node.stamp, node.memory, entry.call.saved
    return whole


def _recorded(tape: Tape, walk: WalkBack) -> None:
    pending: dict[tuple[Entry, int], Any] = {}
    for entry in reversed(tape.entries):
        gradients = [pending.pop((entry, i), None) for i in range(len(entry.results))]
        walked = walk.at.get(entry.node)
        if walked is not None:
            g = walked.gradient
            gradients = g if isinstance(g, list) else [g]
            _pass_on(entry, walked.passed, pending)
        elif entry.kind == "op" and any(g is not None for g in gradients):
            tape.trouble = tape.trouble or f"the walk back stopped at {entry.op}, by an error"
        _arrived(entry, gradients)


def _arrived(entry: Entry, gradients: Iterable[Any]) -> None:
    for result, g in zip(entry.results, gradients, strict=True):
        if g is not None:
            result.gradient = on_host(dense(g))


def _pass_on(entry: Entry, passed: Sequence[Any], pending: dict[tuple[Entry, int], Any]) -> None:
    edges = [edge for edge in entry.edges if edge.has_rule]
    for edge, d in zip(edges, passed, strict=True):
        if d is None:
            continue
        edge.gradient = on_host(dense(d))
        edge.nbytes = int(bare(d).nbytes)
        to = edge.source.results[edge.number]
        like = Node(None, (), to.shape, to.dtype)
        fits = d.shape == to.shape and d.dtype == to.dtype
        d = d if fits else fitted(d, like, entry.node)  # type: ignore[arg-type]
        key = (edge.source, edge.number)
        pending[key] = pending[key] + d if key in pending else d
