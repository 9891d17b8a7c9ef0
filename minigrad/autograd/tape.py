"""The tape, and walking back along it: reverse-mode differentiation.

Each op that runs on tensors leaves a `Node` on the tape: whom its inputs came from, how to walk
back through it, and the values that this will need (`minigrad.autograd.record` makes the nodes).
Nodes are stamped with a rising number, so a node is always younger than those it came from. Walking
back is then simple: of all nodes that have a gradient waiting, take the youngest; nothing that is
still to come can add to it. No recursion, no topological sort, each node once, and a gradient is
dropped as soon as it has been passed on.

Under ``create_graph=True`` it runs on Tensors, not arrays, so that the rules are recorded too.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from minigrad.arrays.devices import beside, device_of, follow, gpus, own_copy, staying, strays, unit
from minigrad.arrays.library import Array, array_module, as_array
from minigrad.arrays.sums import total
from minigrad.autograd import anomaly
from minigrad.autograd.modes import modes, switched
from minigrad.autograd.sparse import RowSparse, elements

# The clock of the tape: nodes and in-place changes are stamped with it.
next_stamp: Callable[[], int] = itertools.count(1).__next__


class TapeError(RuntimeError):
    """The tape was asked for something that it cannot give; the text says what to do instead."""


class Variable:
    """A value with a place on the tape. `minigrad.Tensor` is this and the operators."""

    __slots__ = ("__weakref__", "_data", "_memory", "_node", "grad")

    _data: Array
    _memory: Memory | None  # shared with every view of the same memory; None: not needed so far
    _node: Node | None  # the place on the tape; None for a constant
    grad: Any


variable_class: type[Variable] = Variable  # of results; `minigrad.tensor` puts its Tensor here


def wrap(data: Array, node: Node | None = None) -> Any:
    """A Tensor around the array `data`, at the place `node` of the tape (None: a constant)."""
    variable = object.__new__(variable_class)
    variable._data = data
    variable._node = node
    variable._memory = variable.grad = None
    return variable


class Memory:
    """When a piece of memory was last changed in place, on the clock of the tape."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed = 0


def memory_of(variable: Variable) -> Memory:
    """The Memory of `variable`, made now if it has none yet."""
    if variable._memory is None:
        variable._memory = Memory()
    return variable._memory


def mark_changed(variable: Variable) -> None:
    """Note an in-place change of `variable`, for all nodes that saved it or a view of it."""
    memory_of(variable).changed = next_stamp()


Useful = set[Any] | None  # the nodes that a walk is to reach; None: all


class Plan(Protocol):
    """How to walk back through a node."""

    name: str

    def pull(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> Sequence[Any]:
        """From the output's gradient, one gradient (or None) for each of ``node.parents``.

        Parents that are not `useful` need none (None: all are).
        """


class Node:
    """One entry of the tape."""

    # fmt: off
    __slots__ = ("__weakref__", "dtype", "hooks", "memory", "parents",
                 "plan", "saved", "shape", "stamp")
    # fmt: on

    plan: Any  # a Plan; None where the tape begins
    parents: Sequence[Any]  # the nodes of the inputs that need a gradient
    saved: Any  # what the plan asked to keep; FREED once a walk has used it
    shape: Any  # of the output (of all outputs, if there are several)
    dtype: Any
    memory: Memory | None  # the output's, where it is among what is saved
    hooks: dict[int, Callable[[Any], Any]] | None
    stamp: int


class Leaf(Node):
    """Where the tape begins: a tensor that was asked to have a gradient."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Variable) -> None:
        self.stamp = next_stamp()
        self.plan = self.saved = self.memory = self.hooks = None
        self.parents = ()
        self.shape, self.dtype = tensor._data.shape, tensor._data.dtype
        self.tensor = weakref.ref(tensor)  # weak, or tensor and leaf would make a cycle


class Output(Node):
    """One output of an op that has several: hands its gradient to the op's node."""

    __slots__ = ("index",)

    def __init__(self, op: Node, index: int, data: Array) -> None:
        self.stamp = next_stamp()
        self.plan = op.plan
        self.saved = self.memory = self.hooks = None
        self.parents = (op,)
        self.shape, self.dtype = data.shape, data.dtype
        self.index = index


FREED: Any = object()  # stands in `Node.saved` when a walk has used the node up


def changed_error(node: Node, what: str) -> TapeError:
    """The error for a saved value that was changed in place before the walk back came to it."""
    return TapeError(
        f"backward: {what}, which {node.plan.name} saved for its derivative, was changed in place "
        "since (by optimizer.step(), an assignment to .data, or x += v within no_grad); call "
        "loss.backward() before the change, or compute loss anew after it"
    )


def walk(
    gradients: dict[Node, Any],
    keep: bool,
    create_graph: bool,
    wanted: frozenset[Node] | None = None,
) -> dict[Node, Any]:
    """Walk back from the nodes in `gradients`; return those of the `wanted` nodes (None: leaves).

    With `keep` what the nodes saved is kept for another walk; with `create_graph` the gradients are
    Tensors instead of arrays, and the walk itself is recorded.
    """
    useful = None if wanted is None else _leading_to(wanted, gradients)
    start, pending = set(gradients), gradients
    found: dict[Node, Any] = {}
    watching, on_gpu, several = modes.anomaly, bool(gpus), len(gpus) > 1
    mine: set[Node] = set()  # nodes whose pending gradient is an array made here, by adding
    heap = [(-node.stamp, node) for node in pending]
    heapify(heap)
    while heap:
        node = heappop(heap)[1]
        g = pending.pop(node)
        if node.hooks:
            g = _run_hooks(node, g)
        if several:
            follow(g)
        plan = node.plan
        if plan is None or wanted is not None:
            if wanted is None or node in wanted:
                found[node] = g
            if plan is None or (useful is not None and useful.isdisjoint(node.parents)):
                continue
        if type(node) is Output:
            _fill_slot(node, g, pending, heap)
            if node in start:
                start.add(node.parents[0])
            continue
        if node.saved is FREED:
            raise _freed_error(plan.name, node in start)
        parents = node.parents
        inputs = plan.pull(g, node, useful, create_graph)
        if not keep:
            node.saved, node.parents = FREED, ()
        if watching:
            anomaly.check_backward(plan.name, node, inputs)
        if on_gpu and plan.name != "to_device" and (strayed := strays(g, inputs)):
            raise TapeError(f"{plan.name}: a rule gave a gradient {strayed}")
        for parent, d in zip(parents, inputs):  # noqa: B905 (strict costs, and each is a plan's)
            if d is None:
                continue
            if create_graph and not isinstance(d, Variable):
                d = wrap(as_array(d))
            if d.shape != parent.shape or d.dtype is not parent.dtype:
                d = _fitted(d, parent, node)
            total = pending.get(parent)
            if total is None:
                pending[parent] = d
                heappush(heap, (-parent.stamp, parent))
            elif parent in mine and type(d) is not RowSparse:
                total += d
                pending[parent] = total
            else:
                pending[parent] = total + d
                if not create_graph:
                    mine.add(parent)
    return found


def _leading_to(wanted: frozenset[Node], start: Iterable[Node]) -> set[Node]:
    """The nodes from `start` on back that are wanted, or come from one that is."""
    oldest = min((node.stamp for node in wanted), default=0)
    seen, stack = set(start), list(start)
    while stack:
        fresh = [p for p in stack.pop().parents if p not in seen and p.stamp >= oldest]
        seen.update(fresh)
        stack += fresh
    useful: set[Node] = set()
    for node in sorted(seen, key=lambda node: node.stamp):
        if node in wanted or not useful.isdisjoint(node.parents):
            useful.add(node)
    return useful


def _run_hooks(node: Node, g: Any) -> Any:
    assert node.hooks is not None
    bare = not isinstance(g, Variable)
    tensor = wrap(as_array(g).copy()) if bare else g  # a hook may change it in place
    for hook in tuple(node.hooks.values()):
        result = hook(tensor)
        if result is not None:
            data = getattr(result, "_data", None)
            if data is None or data.shape != node.shape or data.dtype != node.dtype:
                raise TypeError(
                    f"register_hook: a hook returned {_describe(result)}; expected None or a "
                    f"{node.dtype} Tensor of shape {node.shape}"
                )
            tensor = result
    return tensor._data if bare else tensor


def _fill_slot(node: Output, g: Any, pending: dict[Node, Any], heap: list[Any]) -> None:
    """Leave the gradient of one of several outputs with the node of the op."""
    op = node.parents[0]
    if op not in pending:
        pending[op] = [None] * len(op.shape)
        heappush(heap, (-op.stamp, op))
    pending[op][node.index] = g


def _fitted(d: Any, parent: Node, node: Node) -> Any:
    """Gradient `d`, summed down to its tensor's shape where the op broadcast it; same dtype."""
    shape, lead = parent.shape, d.ndim - len(parent.shape)
    if lead < 0 and set(shape[:-lead]) == {1}:
        d, lead = d.reshape((1,) * -lead + d.shape), 0
    if d.shape != shape:
        if lead < 0 or any(n != m != 1 for n, m in zip(d.shape[lead:], shape, strict=True)):
            raise TapeError(
                f"{node.plan.name}: a rule gave a gradient of shape {d.shape} for an input of "
                f"shape {shape}; a gradient has the shape of its input, or one that the input "
                "broadcasts to"
            )
        stretched = (lead + i for i, m in enumerate(shape) if m == 1 != d.shape[lead + i])
        axes = (*range(lead), *stretched)
        d = (d.sum(axes) if hasattr(d, "_data") else total(d, axes)).reshape(shape)
    if d.dtype is not parent.dtype and d.dtype != parent.dtype:
        if node.dtype == parent.dtype:
            raise TapeError(
                f"{node.plan.name}: a rule gave a {d.dtype} gradient for a {parent.dtype} input; "
                "a NumPy scalar or array of another dtype in the rule is the usual cause"
            )
        d = d.astype(parent.dtype)  # the op itself mixed dtypes; each input gets its own back
    return d


def _freed_error(name: str, at_start: bool) -> TapeError:
    if at_start:
        return TapeError(
            "backward: a second walk through a tape that the first one has freed; pass "
            "retain_graph=True to the first backward, or compute the forward pass again"
        )
    return TapeError(
        f"backward: reached a {name} that an earlier backward has already used and freed. If this "
        "is a state carried over from the previous BPTT window, cut it off at the window's edge: "
        "state = state.detach(). To walk through the same part again, pass retain_graph=True to "
        "the earlier backward"
    )


_adding = threading.Lock()  # held while adding to a ``.grad``: threads may walk back at once


def backward(
    tensor: Variable,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add d tensor / d leaf to the ``.grad`` of every leaf; see `Tensor.backward`."""
    if tensor._node is None:
        raise TapeError(
            "backward: this tensor is a constant, nothing on the tape leads to it; make an input "
            "with x = mg.tensor(..., requires_grad=True), or ask with x.requires_grad_(), before "
            "computing, and compute outside no_grad()"
        )
    start = {tensor._node: _seed("backward", tensor, gradient, create_graph)}
    keep = create_graph if retain_graph is None else retain_graph
    with switched("recording", create_graph), staying():
        found = walk(start, keep, create_graph)
        start.clear()
        while found:
            leaf, g = found.popitem()
            owner = leaf.tensor() if isinstance(leaf, Leaf) else None
            if owner is not None and owner._node is leaf:  # not frozen since
                g = g.copy() if create_graph else _own(g, owner)
                with _adding:
                    owner.grad = g if owner.grad is None else owner.grad + g


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`; no tensor's ``.grad`` is touched.

    Parameters
    ----------
    outputs, inputs
        a Tensor or a sequence of them; the inputs may be leaves or not, but require a gradient.
    grad_outputs
        what to weight each output with, like it; None for a single number: 1.
    create_graph
        record the walk, so that the gradients can be differentiated again.
    retain_graph
        keep the tape for another walk; as `create_graph` if None.
    allow_unused
        give None for an input that the outputs do not depend on, where otherwise it is an error.

    Returns
    -------
    tuple with a Tensor (or `minigrad.RowSparse`) for each input, of its shape, dtype and device.

    Raises
    ------
    TapeError
        if an output or input is a constant, an input is unused, or the tape has been freed.
    """
    outputs, inputs = _as_sequence(outputs), _as_sequence(inputs)
    weights = [None] * len(outputs) if grad_outputs is None else _as_sequence(grad_outputs)
    if len(weights) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs, but {len(weights)} grad_outputs")
    for what, tensors in (("output", outputs), ("input", inputs)):
        for i, tensor in enumerate(tensors):
            if not isinstance(tensor, Variable):
                raise TypeError(f"grad: {what} {i} is no Tensor but {_describe(tensor)}")
            if tensor._node is None:
                raise TapeError(
                    f"grad: {what} {i} is a constant, which has no place on the tape; write "
                    "x.requires_grad_() before computing with an input, and compute outside "
                    "no_grad()"
                )
    start: dict[Node, Any] = {}
    with switched("recording", create_graph), staying():
        for tensor, weight in zip(outputs, weights, strict=True):
            g = _seed("grad", tensor, weight, create_graph)
            start[tensor._node] = start[tensor._node] + g if tensor._node in start else g
        keep = create_graph if retain_graph is None else retain_graph
        nodes = [tensor._node for tensor in inputs]
        found = walk(start, keep, create_graph, frozenset(nodes))
        start.clear()
        results: list[Any] = []
        for i, tensor in enumerate(inputs):
            node = nodes[i]
            if node not in found:
                if not allow_unused:
                    raise TapeError(
                        f"grad: the outputs do not depend on input {i}; pass allow_unused=True to "
                        "get None for it"
                    )
                results.append(None)
            else:
                g = found[node] if node in nodes[i + 1 :] else found.pop(node)
                results.append(g.copy() if create_graph else _own(g, tensor))
    return tuple(results)


def _as_sequence(x: Any) -> Sequence[Any]:
    return x if isinstance(x, tuple | list) else (x,)


def _seed(caller: str, tensor: Variable, gradient: Any, create_graph: bool) -> Any:
    """The gradient to start from at `tensor`: 1 for a single number, else what was given."""
    data = tensor._data
    if gradient is None:
        if data.size != 1:
            raise TapeError(
                f"{caller}: the tensor has shape {data.shape}, and only a single number has a "
                "gradient of its own; reduce it, as in y.sum().backward(), or pass a gradient of "
                "its shape, as in y.backward(mg.ones_like(y))"
            )
        return wrap(own_copy(unit(data))) if create_graph else unit(data)  # a hook may change it
    given = isinstance(gradient, Variable)
    g = gradient._data if given else as_array(beside(gradient, [tensor]), data.dtype)
    if g.shape != data.shape or g.dtype != data.dtype:
        raise TapeError(
            f"{caller}: the gradient is {_describe(gradient)}; expected an array or Tensor of "
            f"shape {data.shape} and dtype {data.dtype}, like the tensor itself: such as "
            "mg.ones_like(y)"
        )
    if (on := device_of(g)) != device_of(data):
        raise TapeError(
            f"{caller}: the gradient is on {on}, the tensor on {device_of(data)}; move it there "
            f"with gradient.to({device_of(data)!r})"
        )
    if not create_graph:
        return g
    return gradient if given else wrap(own_copy(g))  # it comes to be on the tape


# How many references `_own` counts if nobody but its caller has `g`.
_ALONE: int = (lambda g: (lambda g: sys.getrefcount(g))(g))(object())


def _own(g: Array, tensor: Variable) -> Any:
    """`g` as the gradient of `tensor`, in memory that nobody else can see."""
    base = getattr(g, "base", None)  # a RowSparse has memory of its own
    alone = base is None and sys.getrefcount(g) <= _ALONE
    if len(gpus) > 1:
        follow(g)
    if (on := device_of(elements(g))) != (expected := device_of(tensor._data)):
        raise TapeError(f"backward: a rule gave a gradient on {on} for a tensor on {expected}")
    g = g if alone else g.copy()
    return g if type(g) is RowSparse else wrap(array_module(g).asarray(g))


def _describe(x: Any) -> str:
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype} {x.shape}"
    return f"{type(x).__name__} {x!r}"
