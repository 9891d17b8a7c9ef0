"""Whether the twin of a fused op is the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.library import array_module, bare
from minigrad.autograd.modes import enable_grad, no_grad
from minigrad.autograd.node import Node
from minigrad.autograd.tape import walk
from minigrad.tensor import Tensor
from minigrad.testing.differences import GradientError
from minigrad.testing.outputs import nodes_behind


def check_twins(outputs: Sequence[Tensor], name: str, rng: np.random.Generator) -> None:
    """Raise a GradientError unless each fused op behind `outputs` is the same as its twin.

    This means its value and its derivatives: those of its own backward pass, and those that the
    tape computes through the twin under ``create_graph=True``.
    """
    for node in nodes_behind(outputs):
        plan = node.plan
        if type(node) is not Node or getattr(plan, "twin", None) is None:
            continue
        args, several = node.saved[0], isinstance(node.shape, list)
        values = [bare(a) for a in args]
        result, _ = plan.op.call(values)
        with no_grad():
            twins = plan.twin(*plan.op.grouped(args))
        pairs = zip(result, twins, strict=True) if several else [(result, twins)]
        if not all(_alike(Tensor(own), twin) for own, twin in pairs):
            raise GradientError(f"{name}: {plan.name} is fused, and its twin gives another value")
        shapes, like = node.shape if several else [node.shape], result[0] if several else result
        g = [array_module(like).asarray(rng.uniform(-1, 1, shape)) for shape in shapes]
        own, through = (
            _walked(node, [wrapped(x) for x in g] if several else wrapped(g[0]), recorded)
            for wrapped, recorded in ((lambda x: x, False), (Tensor, True))
        )
        for i, parent in enumerate(node.parents):
            zeros = np.zeros(parent.shape)
            if not _alike(Tensor(own.get(parent, zeros)), Tensor(through.get(parent, zeros))):
                raise GradientError(
                    f"{name}: {plan.name} is fused, and its twin gives another derivative with "
                    f"respect to input {i}"
                )


def _walked(node: Node, g: Any, recorded: bool) -> dict[Node, Any]:
    with enable_grad():
        return walk({node: g}, True, recorded, frozenset(node.parents))


def _alike(one: Tensor, two: Tensor) -> bool:
    x, y = one.numpy(), two.numpy()
    size = np.abs(y).max(initial=1e-4, where=np.isfinite(y))  # terms that cancel leave 1e-17
    return x.shape == y.shape and np.allclose(x, y, rtol=1e-7, atol=1e-9 * size, equal_nan=True)
