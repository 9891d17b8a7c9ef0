"""What is to be explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.autograd.node import Node, Output
from minigrad.tensor import Tensor
from minigrad.viz.explaining.findings import Finding
from minigrad.viz.names import Names
from minigrad.viz.observing import Line, WalkBack, Watch


class Case:
    """One tensor whose gradient is to be explained, and what is known of it.

    Attributes
    ----------
    tensor, loss
        whose gradient, and of what; the loss is None if none is known.
    watch
        that saw them; None: there was none.
    optimizers
        of which to say whether they have the tensor.
    name
        of the tensor in the program.
    findings
        what there is to say so far.
    """

    def __init__(
        self,
        tensor: Tensor,
        loss: Tensor | None,
        watch: Watch | None,
        optimizers: list[Any],
        known: Mapping[str, Any],
    ) -> None:
        self.tensor, self.watch, self.optimizers, self.known = tensor, watch, optimizers, known
        modules = (*watch.models, *watch.modules) if watch else ()
        self.name = Names(known, modules).of(tensor) or "this tensor"
        self.loss = loss if loss is not None else self._walked_from()
        self.findings: list[Finding] = []

    def _walked_from(self) -> Tensor | None:
        """Where the last walk back began that came to the tensor, or else the last of all."""
        for walk in [*self.walks()[-1:], *(self.watch.walks[-1:] if self.watch else [])]:
            for start in walk.starts:
                if call := self.watch.by_node.get(op_of(start)):  # type: ignore[union-attr]
                    return call.outputs[getattr(start, "index", 0)]  # type: ignore[no-any-return]
        return None

    def walks(self) -> list[WalkBack]:
        """The walks back that came to the tensor, the oldest first."""
        node, watch = self.tensor._node, self.watch
        if watch is None or node is None:
            return []
        return [walk for walk in watch.walks if walk.reaches(op_of(node), watch.parents)]

    def tell(self, text: str, line: Line | None = None) -> None:
        """Add a finding."""
        self.findings.append(Finding(text, line))


def op_of(node: Any) -> Node:
    """The node of the op, for one of its results."""
    return node.parents[0] if isinstance(node, Output) else node  # type: ignore[no-any-return]
