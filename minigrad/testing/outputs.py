"""What a function returned: its floating tensors, and the tape behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from minigrad.autograd.node import Node
from minigrad.tensor import Tensor


def flatten(outputs: Any) -> list[Tensor]:
    """The floating tensors in nested tuples, lists and dicts, in order."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [leaf for item in outputs for leaf in flatten(item)]
    return [outputs] if isinstance(outputs, Tensor) and outputs.dtype.kind == "f" else []


def nodes_behind(outputs: Sequence[Tensor]) -> Iterator[Node]:
    """Every node of the tape behind `outputs`, each of them once."""
    stack = [y._node for y in outputs if y._node is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        yield node
        fresh = [p for p in node.parents if p not in seen]
        seen.update(fresh)
        stack += fresh
