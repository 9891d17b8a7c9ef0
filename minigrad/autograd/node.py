"""What the tape is made of: nodes, each stamped with the time at which it was made.

Each op that runs on Tensors leaves a `Node`: whom its inputs came from, how to walk back through
it, and the values that this will need. A tensor that was asked to have a gradient is a `Leaf`,
where the tape begins. `minigrad.tensor` shows how a Tensor holds its node, and
`minigrad.autograd.tape` how a walk goes back along them.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from minigrad.arrays.library import Array

next_stamp: Callable[[], int] = itertools.count(1).__next__
"""The clock of the tape: nodes and in-place changes are stamped with it."""


class TapeError(RuntimeError):
    """The tape was asked for something that it cannot give; the text says what to do instead."""


class Memory:
    """When a piece of memory was last changed in place, on the clock of the tape."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed = 0


class Plan(Protocol):
    """How to walk back through a node."""

    name: str

    def pull(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> Sequence[Any]:
        """From the output's gradient, one gradient (or None) for each of ``node.parents``.

        Only the parents that are `useful` need one (None: all are).
        """


class Node:
    """One entry of the tape."""

    # fmt: off
    __slots__ = ("__weakref__", "dtype", "hooks", "memory", "parents",
                 "plan", "saved", "shape", "stamp")
    # fmt: on

    stamp: int
    plan: Any  # a Plan; None where the tape begins
    parents: Sequence[Any]  # the nodes of the inputs that need a gradient
    saved: Any  # what the plan asked to keep; FREED once a walk has used it
    memory: Memory | None  # the output's, where it is among what is saved
    shape: Any  # of the output (of all outputs, if there are several)
    dtype: Any
    hooks: dict[int, Callable[[Any], Any]] | None

    def __init__(self, plan: Any, parents: Sequence[Any], shape: Any, dtype: Any) -> None:
        self.stamp = next_stamp()
        self.plan, self.parents, self.shape, self.dtype = plan, parents, shape, dtype
        self.saved = self.memory = self.hooks = None


class Leaf(Node):
    """Where the tape begins: at a tensor that was asked to have a gradient."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        super().__init__(None, (), tensor.shape, tensor.dtype)
        self.tensor = weakref.ref(tensor)  # weak, or tensor and leaf would make a cycle


class Output(Node):
    """One output of an op that has several: it hands its gradient to the op's node."""

    __slots__ = ("index",)

    def __init__(self, op: Node, index: int, data: Array) -> None:
        super().__init__(op.plan, (op,), data.shape, data.dtype)
        self.index = index


Useful = set[Any] | None
"""The nodes that a walk is to reach; None: all."""

FREED: Any = object()
"""Stands in `Node.saved` when a walk has used the node up."""


def changed_error(node: Node, what: str) -> TapeError:
    """The error for a saved value that was changed in place before the walk back came to it."""
    return TapeError(
        f"backward: {what}, which {node.plan.name} saved for its derivative, was changed in place "
        "since (by optimizer.step(), an assignment to .data, or x += v within no_grad); call "
        "loss.backward() before the change, or compute loss anew after it"
    )
