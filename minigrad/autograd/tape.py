"""Walking back along the tape: reverse-mode differentiation.

Nodes are stamped with a rising number, so a node is always younger than its parents. Walking back
is then simple: of all nodes that have a gradient waiting, take the youngest. Its gradient is
complete, since only younger nodes could add to it. So there is no recursion and no topological
sort, each node is visited once, and a gradient is dropped as soon as it has been passed on.

Under ``create_graph=True`` the walk runs on Tensors, not arrays, so the rules are recorded too.

Read next: `minigrad.autograd.record`, how the nodes come onto the tape.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from minigrad.arrays.devices import beside, device_of, gpus, strays, unit
from minigrad.arrays.library import Array, array_module, as_array, is_array
from minigrad.arrays.sums import total
from minigrad.autograd.modes import notice_start, notice_walk, switched, watchers
from minigrad.autograd.node import FREED, Leaf, Node, Output, TapeError
from minigrad.autograd.operands import operand
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.errors.values import told
from minigrad.tensor import Tensor, wrap


def walk(
    gradients: dict[Node, Any],
    retain_graph: bool,
    create_graph: bool,
    wanted: frozenset[Node] | None = None,
) -> dict[Node, Any]:
    """Walk back from the nodes in `gradients`; return the gradients of the `wanted` nodes.

    If `wanted` is None, these are the leaves. With `retain_graph` the nodes keep what they saved,
    for another walk. With `create_graph` the gradients are Tensors instead of arrays, and the walk
    itself is recorded.

    At heart it is this, where `pending` is at first `gradients`, and a heap finds the youngest::

        while pending:
            node = youngest(pending)
            g = pending.pop(node)
            if isinstance(node, Leaf):
                found[node] = g
            else:
                for parent, d in zip(node.parents, node.plan.backward(g)):
                    pending[parent] = pending[parent] + d if parent in pending else d
    """
    if watchers:
        notice_start(gradients, wanted)
    useful = None if wanted is None else _leading_to(wanted, gradients)
    start = {node.parents[0] if isinstance(node, Output) else node for node in gradients}
    pending, found, heap = gradients, {}, sorted((-node.stamp, node) for node in gradients)
    # `heap` is sorted, and so a heap already; the youngest node has the least of -stamp
    mine: set[Node] = set()  # the nodes whose pending gradient is an array that the walk has made
    while heap:
        node = heappop(heap)[1]
        g = pending.pop(node)
        if node.hooks:
            g = _run_hooks(node, g)
        if (node.plan is None) if wanted is None else (node in wanted):
            found[node] = g
        if node.plan is None or (useful is not None and useful.isdisjoint(node.parents)):
            continue
        if isinstance(node, Output):
            _fill_slot(node, g, pending, heap)
            continue
        if node.saved is FREED:
            raise _freed_error(node.plan.name, node in start)
        parents, passed = node.parents, node.plan.backward(g, node, useful, create_graph)
        if gpus or watchers or create_graph:
            passed = _checked(passed, g, node, create_graph)
        for parent, d in zip(parents, passed):  # noqa: B905 (costs time, and a plan gives as many)
            if d is None:
                continue
            try:
                if d.shape != parent.shape or d.dtype is not parent.dtype:
                    d = fitted(d, parent, node)
            except AttributeError:
                raise _no_array(d, node) from None
            if parent not in pending:
                pending[parent] = d
                heappush(heap, (-parent.stamp, parent))
            elif parent in mine and type(d) is not RowSparse:
                pending[parent] += d
            else:
                pending[parent] = pending[parent] + d
                if not create_graph:
                    mine.add(parent)
        if not retain_graph:
            node.saved = FREED  # its parents stay: a later walk must know that it leads to them
    return found


def _checked(gradients: Sequence[Any], g: Any, node: Node, create_graph: bool) -> Sequence[Any]:
    """The gradients that `node` passes on: finite if that is asked for, on its device, Tensors."""
    if watchers:
        notice_walk(node, g, gradients)
    if gpus and node.plan.name != "to_device":
        like = elements(next(x for x in g if x is not None) if isinstance(g, list) else g)
        if strayed := strays(gradients, like):
            for d in gradients:
                if isinstance(d, int | float):
                    raise _no_array(d, node)
            raise TapeError(
                f"{node.plan.name}: a rule gave a gradient on {strayed}, but its op is on "
                f"{device_of(like)}; it asks minigrad.array_module(g) for the library to use"
            )
    if create_graph:
        return [d if isinstance(d, Tensor | None) else wrap(as_array(d)) for d in gradients]
    return gradients


def _fill_slot(output: Output, g: Any, pending: dict[Node, Any], heap: list[Any]) -> None:
    """Put the gradient of one of several outputs into the list that waits at the op's node."""
    op = output.parents[0]
    if op not in pending:
        pending[op] = [None] * len(op.shape)
        heappush(heap, (-op.stamp, op))
    pending[op][output.index] = g


def _leading_to(wanted: frozenset[Node], start: Iterable[Node]) -> set[Node]:
    """The `wanted` nodes behind those of `start`, and the nodes on the way to them."""
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
    """The gradient of `node` as its hooks leave it."""
    assert node.hooks is not None
    is_array = not isinstance(g, Tensor)
    tensor = wrap(as_array(g).copy()) if is_array else g  # a hook may change it in place
    for hook in tuple(node.hooks.values()):
        result = hook(tensor)
        if result is not None:
            fits = isinstance(result, Tensor) and result.shape == node.shape
            if not fits or result.dtype != node.dtype:
                raise TypeError(
                    f"register_hook: a hook returned {told(result)}; expected None or a "
                    f"{node.dtype} Tensor of shape {node.shape}"
                )
            tensor = result
    return tensor._array if is_array else tensor


def fitted(d: Any, parent: Node, node: Node) -> Any:
    """The gradient `d` with the shape and dtype of its tensor: summed where the op broadcast it."""
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
        d = (d.sum(axes) if isinstance(d, Tensor) else total(d, axes)).reshape(shape)
    if d.dtype is not parent.dtype and d.dtype != parent.dtype:
        if node.dtype == parent.dtype:
            raise TapeError(
                f"{node.plan.name}: a rule gave a {d.dtype} gradient for a {parent.dtype} input; "
                "a NumPy scalar or array of another dtype in the rule is the usual cause, or an op "
                "of Python numbers alone, which gives float32"
            )
        d = d.astype(parent.dtype)  # the op mixed dtypes; each input's gradient has its own
    return d


def _no_array(d: Any, node: Node) -> TapeError:
    return TapeError(
        f"{node.plan.name}: a rule gave {told(d)} as a gradient; expected an array, which it is if "
        "the rule uses g, as in g * 2"
    )


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


_adding = threading.Lock()  # held while adding to a ``.grad``, as several threads may


def backward(
    tensor: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add d `tensor` / d leaf to the ``.grad`` of every leaf; see `Tensor.backward`."""
    if tensor._node is None:
        raise TapeError(
            "backward: this tensor is a constant, nothing on the tape leads to it; make an input "
            "with x = mg.tensor(..., requires_grad=True), or call x.requires_grad_(), before "
            "computing, and compute outside no_grad()"
        )
    start = {tensor._node: _seed("backward", tensor, gradient, create_graph)}
    retain_graph = create_graph if retain_graph is None else retain_graph
    with switched("recording", create_graph):
        found = walk(start, retain_graph, create_graph)
        start.clear()
        while found:
            leaf, g = found.popitem()
            owner = leaf.tensor() if isinstance(leaf, Leaf) else None
            if owner is not None and owner._node is leaf:  # it still asks for gradients
                g = g.copy() if create_graph else _unshared(g, owner)
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
        a Tensor or a sequence of Tensors; the inputs require a gradient, but need not be leaves.
    grad_outputs
        the gradient to start from at each output, of its shape and dtype; None for an output that
        is a single number: 1.
    create_graph
        record the walk, so that the gradients can be differentiated again.
    retain_graph
        keep the tape for another walk; None: as `create_graph`.
    allow_unused
        give None for an input that the outputs do not depend on; else that is an error.

    Returns
    -------
    tuple of a Tensor (or `minigrad.RowSparse`) for each input, of its shape, dtype and device.

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
            if not isinstance(tensor, Tensor):
                raise TypeError(f"grad: {what} {i} is no Tensor but {told(tensor)}")
            if tensor._node is None:
                raise TapeError(
                    f"grad: {what} {i} is a constant, which has no place on the tape; write "
                    "x.requires_grad_() before computing with an input, and compute outside "
                    "no_grad()"
                )
    start: dict[Node, Any] = {}
    with switched("recording", create_graph):
        for tensor, weight in zip(outputs, weights, strict=True):
            g = _seed("grad", tensor, weight, create_graph)
            start[tensor._node] = start[tensor._node] + g if tensor._node in start else g
        retain_graph = create_graph if retain_graph is None else retain_graph
        nodes = [tensor._node for tensor in inputs]
        found = walk(start, retain_graph, create_graph, frozenset(nodes))
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
                results.append(g.copy() if create_graph else _unshared(g, tensor))
    return tuple(results)


def _as_sequence(x: Any) -> Sequence[Any]:
    return x if isinstance(x, tuple | list) else (x,)


def _seed(caller: str, tensor: Tensor, gradient: Any, create_graph: bool) -> Any:
    """The gradient to start from at `tensor`: what was given, or 1 for a single number."""
    data = tensor._array
    if gradient is None:
        if data.size != 1:
            raise TapeError(
                f"{caller}: the tensor has shape {data.shape}, and only a single number has a "
                "gradient of its own; reduce it, as in y.sum().backward(), or pass a gradient of "
                "its shape, as in y.backward(mg.ones_like(y))"
            )
        return wrap(unit(data).copy()) if create_graph else unit(data)  # a hook may change it
    given = isinstance(gradient, Tensor)
    if given:
        g = gradient._array
    elif is_array(gradient):
        g = as_array(operand(gradient, [tensor]), data.dtype)
    else:  # a list keeps all its digits
        g = beside(as_array(gradient, data.dtype), data)
    if g.shape != data.shape or g.dtype != data.dtype:
        raise TapeError(
            f"{caller}: the gradient is {told(gradient)}; expected an array or Tensor of "
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
    return gradient if given else wrap(g.copy())  # the tape will keep it


# How many references `_unshared` counts if only its caller has `g`.
_ALONE: int = (lambda g: (lambda g: sys.getrefcount(g))(g))(object())


def _unshared(g: Array, tensor: Tensor) -> Any:
    """`g` as the gradient of `tensor`, in memory that nobody else can see."""
    base = getattr(g, "base", None)  # a RowSparse has none
    alone = base is None and sys.getrefcount(g) <= _ALONE
    if (on := device_of(elements(g))) != (expected := device_of(tensor._array)):
        raise TapeError(f"backward: a rule gave a gradient on {on} for a tensor on {expected}")
    g = g if alone else g.copy()
    return g if type(g) is RowSparse else wrap(array_module(g).asarray(g))
