"""The gradient of each loss with respect to each state, and what truncated BPTT drops of it.

In the equations h_s is the state after time step s (of an LSTM the pair (h_s, c_s)), L_t the loss
of the prediction at time t, and L = (L_0 + ... + L_{T-1}) / T the loss that training minimises.

**The triangle.** One step back is a product with the Jacobian of one step::

    dL_t/dh_s = dL_t/dh_{s+1}  dh_{s+1}/dh_s          for each t > s

All t > s are rows of one matrix, and the product is one walk back through one step of a batch of
T - s texts, all of which are in the same state h_s. So T walks give all T (T + 1) / 2 gradients.

**The gradient of a parameter** W is a sum over the steps at which it is used, and each step's part
is a sum over the losses that look back at it::

    dL/dW = sum_s sum_{t >= s} C[t, s]     C[t, s] = 1/T dL_t/dh_s  dh_s/dW   (W in step s alone)

**Truncation.** Truncated BPTT with a window of k steps cuts the tape before the steps k, 2k, 3k ...
So C[t, s] is dropped if a cut lies between s and t. For given states before them, all steps are
independent of each other. So they run once, as a batch of one time step, and for each k one walk
back from it gives all that is dropped: it starts at each h_s from the gradients that were cut off.

**Inner products** of C[t, s] with the whole gradient G = dL/dW need the derivative of h_s along G::

    <C[t, s], G> = 1/T dL_t/dh_s  (dh_s/dW G)

It is a product with the Jacobian from the other side. Two walks back give it: the first, from v, is
linear in v, and its derivative with respect to v is the Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.arrays.random import drawing_from
from minigrad.autograd.modes import enable_grad, no_grad
from minigrad.autograd.tape import grad
from minigrad.data.checks import token_ids
from minigrad.ops import cross_entropy
from minigrad.tensor import Tensor
from minigrad.viz.through_time.flow import Array, Bias, Flow
from minigrad.viz.through_time.radii import radii_of
from minigrad.viz.through_time.stepping import CALLER, Arrays, Step, Stepped


def measured(model: Any, tokens: ArrayLike) -> list[Flow]:
    """The numbers of each recurrent layer of `model`, on T + 1 tokens: T inputs, T targets."""
    with enable_grad(), drawing_from(np.random.default_rng(0)):
        return _measured(Stepped(model), tokens)


def _measured(stepped: Stepped, tokens: ArrayLike) -> list[Flow]:
    ids = token_ids(tokens, stepped.vocab_size, f"{CALLER}: tokens")
    losses, whole = _gradient(stepped, ids)
    stepped.watch_layers()
    states = _states(stepped, ids, losses)
    triangles, step_norms, flowing = _triangles(stepped, ids, states)
    steps = _steps(stepped, ids, states)
    layers = steps[0].layers
    pairs = [_pairs(stepped, steps, k, ids, whole, flowing) for k in range(len(layers))]
    dropped = _dropped(stepped, steps, whole, flowing)
    return [
        Flow(
            layer=layer.name,
            kind=layer.kind,
            weights=list(layer.weights),
            losses=losses,
            parts=triangles[k],
            pairs=pairs[k],
            step_norms=step_norms[k],
            bias=dropped.bias(list(layer.weights)),
            bias_of_all=dropped.bias(stepped.learnt or list(whole)),
            radii=radii_of(layer.gates, *layer.weights.values()) if layer.gates else {},
        )
        for k, layer in enumerate(layers)
    ]


def _gradient(stepped: Stepped, ids: NDArray[np.int64]) -> tuple[Array, dict[str, Array]]:
    """The loss at each time step, and the gradient of their mean, by full BPTT."""
    losses = cross_entropy(stepped.whole(ids[:-1]), _on(stepped, ids[1:]), reduction="none")
    found = _grad([losses.mean()], list(stepped.parameters.values()), None)
    whole = {
        name: _zeros(parameter) if g is None else g
        for (name, parameter), g in zip(stepped.parameters.items(), found, strict=True)
    }
    told = losses.numpy()
    if not np.isfinite(told).all():
        t = int(np.argmin(np.isfinite(told)))
        raise ValueError(f"{CALLER}: {stepped.name}: the loss at time {t} is {told[t]}")
    return told, whole


def _states(stepped: Stepped, ids: NDArray[np.int64], losses: Array) -> list[Arrays]:
    """The parts of the model's state after each time step, of shape (..., 1, size).

    They are checked: step by step the model must compute what it computes in one call.
    """
    states: list[Arrays] = []
    state = None
    with no_grad():
        for t in range(len(ids) - 1):
            step = stepped.step(ids[t : t + 1], state)
            loss = cross_entropy(step.logits, _on(stepped, ids[t + 1 : t + 2])).item()
            if not math.isclose(loss, losses[t], rel_tol=1e-5, abs_tol=1e-8):
                raise ValueError(
                    f"{CALLER}: {stepped.name} does not go on where it stopped: at time {t} its "
                    f"loss is {loss:.6g} if it runs step by step, each time with the state before, "
                    f"but {losses[t]:.6g} in one call"
                )
            state = step.state
            states.append([part.numpy() for part in state])
    return states


def _triangles(
    stepped: Stepped, ids: NDArray[np.int64], states: list[Arrays]
) -> tuple[list[dict[str, Array]], list[Array], dict[int, Arrays]]:
    """For each layer the norms of dL_t/d(each part of its state), [t, s], and its step norms.

    And the gradients of the losses with respect to the model's state after each step s, a list of
    its parts, of shape (..., T - 1 - s, size): a row for each t > s.
    """
    T = len(states)
    triangles: list[dict[str, Array]] = []
    step_norms: list[Array] = []
    flowing: dict[int, Arrays] = {}
    for s in reversed(range(T)):
        rows = T - s  # the losses at t = s ... T - 1
        before = [_leaf(stepped, _repeated(part, rows)) for part in states[s - 1]] if s else []
        step = stepped.step(np.repeat(ids[s], rows), before or None)
        outputs = [cross_entropy(step.logits[:1], _on(stepped, ids[s + 1 : s + 2]))]
        seeds: list[Any] = [None]
        if s < T - 1:  # later losses come through the state, the step's own does not
            outputs += step.state
            seeds += [_padded(part) for part in flowing[s]]
        if not triangles:
            triangles = [{p: np.zeros((T, T)) for p in layer.parts} for layer in step.layers]
            step_norms = [np.zeros(T) for _ in step.layers]
        parts = [part for layer in step.layers for part in layer.state]
        weights = [w for layer in step.layers for w in layer.weights.values()]
        found = _grad(outputs, [*parts, *before, *weights], seeds, retain_graph=True)
        at_parts, at_state = found[: len(parts)], found[len(parts) : len(parts) + len(before)]
        at_weights = iter(found[len(parts) + len(before) :])
        if s:
            flowing[s - 1] = [
                np.zeros(leaf.shape) if g is None else g
                for g, leaf in zip(at_state, before, strict=True)
            ]
        if s == T - 1 and all(g is None for g in at_parts):
            raise ValueError(
                f"{CALLER}: {stepped.name} has no recurrent layer or cell of minigrad, and does "
                "not compute its logits from the state that it returns"
            )
        taken = iter(at_parts)
        for layer, triangle, norms in zip(step.layers, triangles, step_norms, strict=True):
            total = [next(taken) for _ in layer.state]
            for name, g in zip(layer.parts, _apart(layer.state, total), strict=True):
                triangle[name][s:, s] = np.sqrt((_rows(g) ** 2).sum(1))
            of_weights = [next(at_weights) for _ in layer.weights]
            norms[s] = math.sqrt(sum((g**2).sum() for g in of_weights if g is not None)) / T
    return triangles, step_norms, flowing


def _apart(parts: tuple[Tensor, ...], total: list[Array | None]) -> Arrays:
    """The gradients at the parts of a state, each with the others held fixed.

    In a step h may be made of c (LSTM: h = o tanh(c)). Then the gradient at c on the tape counts
    the way through h, too. What came that way is taken off: a walk from h, with its gradient, to c.
    """
    apart: Arrays = [_zeros(p) if g is None else g for p, g in zip(parts, total, strict=True)]
    stamps = [part._node.stamp if part._node else 0 for part in parts]
    newest_first = sorted(range(len(parts)), key=lambda k: -stamps[k])
    for n, k in enumerate(newest_first[1:], 1):
        newer = newest_first[:n]
        (through,) = _grad(
            [parts[j] for j in newer], [parts[k]], [apart[j] for j in newer], retain_graph=True
        )
        if through is not None:
            apart[k] = apart[k] - through
    return apart


def _steps(stepped: Stepped, ids: NDArray[np.int64], states: list[Arrays]) -> list[Step]:
    """All T time steps, each from its state: the first, and the others as a batch of one step."""
    first = stepped.step(ids[:1], None)
    if len(states) == 1:
        return [first]
    before = [np.concatenate(parts, axis=-2) for parts in zip(*states[:-1], strict=True)]
    return [first, stepped.step(ids[1:-1], [Tensor(p, device=stepped.device) for p in before])]


class _Dropped(NamedTuple):
    """What truncation drops of the gradient G, for each parameter and each window of k steps."""

    squares: dict[str, Array]
    """|g_k - G|^2 at [k - 1]."""

    products: dict[str, Array]
    """<G - g_k, G> at [k - 1]."""

    full: dict[str, float]
    """|G|^2"""

    def bias(self, names: list[str]) -> Bias:
        """The bias of the gradient of these parameters, taken together."""
        full = sum(self.full[name] for name in names)
        dropped = np.sum([self.squares[name] for name in names], axis=0)
        product = np.sum([self.products[name] for name in names], axis=0)
        squares = np.maximum(full - 2 * product + dropped, 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # a gradient of 0: NaN
            errors = np.sqrt(dropped / full)
            cosines = (full - product) / np.sqrt(full * squares)
        return Bias(math.sqrt(full), np.sqrt(squares), errors, np.clip(cosines, -1, 1))


def _dropped(
    stepped: Stepped, steps: list[Step], whole: dict[str, Array], flowing: dict[int, Arrays]
) -> _Dropped:
    T = len(flowing) + 1
    names, parameters = list(whole), list(stepped.parameters.values())
    squares = {name: np.zeros(T) for name in names}
    products = {name: np.zeros(T) for name in names}
    later = {s: [_later(part) for part in parts] for s, parts in flowing.items()}
    for k in range(1, T):
        found: dict[str, Array] = {}  # not of the output layer, which no later state leads to
        cut, first = _cut_off(later, k), 0
        for step in steps:
            rows = slice(first, first := first + step.logits.shape[0])
            seeds = [part[..., rows, :] / T for part in cut]
            parts = _grad(step.state, parameters, seeds, retain_graph=True)
            for name, g in zip(names, parts, strict=True):
                if g is not None:
                    found[name] = found[name] + g if name in found else g
        for name, g in found.items():
            squares[name][k - 1] = np.vdot(g, g)
            products[name][k - 1] = np.vdot(g, whole[name])
    full = {name: float((g**2).sum()) for name, g in whole.items()}
    return _Dropped(squares, products, full)


def _later(back: Array) -> Array:
    """At [..., n, :] the sum of the rows from n on."""
    return np.flip(np.cumsum(np.flip(back, -2), -2), -2)


def _cut_off(later: dict[int, Arrays], k: int) -> Arrays:
    """What a window of k steps cuts off of T dL/dh_s, for each part of the state (..., T, size)."""
    T = len(later) + 1
    ends = [(s // k + 1) * k for s in range(T)]  # of the window in which s is

    def row(part: int, s: int) -> Array:
        back = later[min(s, T - 2)][part]  # its first row is of t = s + 1
        n = ends[s] - s - 1
        return back[..., n, :] if ends[s] < T else np.zeros_like(back[..., 0, :])

    return [np.stack([row(p, s) for s in range(T)], axis=-2) for p in range(len(later[0]))]


def _pairs(
    stepped: Stepped,
    steps: list[Step],
    k: int,
    ids: NDArray[np.int64],
    whole: dict[str, Array],
    flowing: dict[int, Arrays],
) -> Array:
    """<C[t, s], G> / |G| at [t, s], where G is the gradient of the weights of layer `k`."""
    T = len(ids) - 1
    pairs = np.zeros((T, T))
    weights = steps[0].layers[k].weights
    G = [whole[name] for name in weights]
    norm = math.sqrt(sum((g**2).sum() for g in G))
    if norm == 0:
        return pairs
    s = 0
    for step in steps:
        n = step.logits.shape[0]
        losses = cross_entropy(step.logits, _on(stepped, ids[s + 1 : s + 1 + n]), reduction="none")
        of_losses, *of_state = _along([losses, *step.state], list(weights.values()), G)
        for row in range(n):
            pairs[s, s] = of_losses[row]
            for back, forward in zip(flowing.get(s, []), of_state, strict=s in flowing):
                pairs[s + 1 :, s] += _rows(back) @ _rows(forward)[row]
            s += 1
    return pairs / (T * norm)


def _along(outputs: list[Tensor], inputs: list[Tensor], direction: Arrays) -> Arrays:
    """The derivatives of the outputs along `direction`, a move of the inputs.

    A walk back from v gives v J, where J is the Jacobian. It is linear in v, and a second walk,
    from `direction`, gives J direction.
    """
    v = [Tensor(np.zeros(o.shape), device=o.device, requires_grad=True) for o in outputs]
    back = grad(outputs, inputs, v, create_graph=True, allow_unused=True)
    used = [(g, d) for g, d in zip(back, direction, strict=True) if g is not None]
    found = _grad([g for g, _ in used], v, [d for _, d in used])
    return [np.zeros(t.shape) if g is None else g for g, t in zip(found, v, strict=True)]


# ---------------------------------------------------------------------- arrays and Tensors


def _grad(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Any, retain_graph: bool = False
) -> list[Array | None]:
    """`minigrad.grad` to NumPy arrays; None for what the outputs do not depend on."""
    seeds = [None] * len(outputs) if seeds is None else seeds
    used = [(o, _like(seed, o)) for o, seed in zip(outputs, seeds, strict=True) if o.requires_grad]
    asked = [x for x in inputs if x.requires_grad]
    if not used or not asked:
        return [None] * len(inputs)
    found = iter(
        grad(
            [output for output, _ in used],
            asked,
            [seed for _, seed in used],
            retain_graph=retain_graph,
            allow_unused=True,
        )
    )
    gradients = [next(found) if x.requires_grad else None for x in inputs]
    return [None if g is None else g.numpy() for g in gradients]


def _like(seed: Any, output: Tensor) -> Any:
    return None if seed is None else Tensor(np.ascontiguousarray(seed), device=output.device)


def _leaf(stepped: Stepped, array: Array) -> Tensor:
    return Tensor(array, device=stepped.device, requires_grad=True)


def _on(stepped: Stepped, ids: NDArray[np.int64]) -> Any:
    return ids if stepped.device == "cpu" else Tensor(ids, device=stepped.device)


def _repeated(part: Array, rows: int) -> Array:
    """A state of one text for `rows` texts side by side."""
    return np.repeat(part, rows, axis=-2)


def _padded(back: Array) -> Array:
    """A row of zeros before the others."""
    return np.concatenate([np.zeros_like(back[..., :1, :]), back], axis=-2)


def _rows(array: Array) -> Array:
    """The array (..., N, size) as a matrix with N rows."""
    return np.moveaxis(array, -2, 0).reshape(array.shape[-2], -1)


def _zeros(tensor: Tensor) -> Array:
    return np.zeros(tensor.shape)
