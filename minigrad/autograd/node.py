"""What the tape is made of: nodes, each stamped with the time at which it was made.

Each op that runs on Tensors leaves a `Node`: the nodes of its inputs, how to walk back through it,
and the values that this needs. A tensor for which a gradient was asked has a `Leaf`: there the tape
begins. Read next: `minigrad.tensor` shows how a Tensor holds its node, then
`minigrad.autograd.tape` how a walk goes back along the nodes.
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
    """The time, on the clock of the tape, of the last in-place change of a piece of memory."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed = 0


class Plan(Protocol):
    """How to walk back through a node."""

    name: str

    def backward(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> Sequence[Any]:
        """One gradient (or None) for each of ``node.parents``, from `g`, the output's gradient.

        Only the parents in `useful` need one (None: all parents).
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
    memory: Memory | None  # the output's, if the output is saved
    shape: Any  # of the output; a list if there are several outputs
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
        self.tensor = weakref.ref(tensor)  # weak: else tensor and leaf would be a cycle


class Output(Node):
    """One output of an op that has several: it hands its gradient to the op's node."""

    __slots__ = ("index",)

    def __init__(self, op: Node, index: int, data: Array) -> None:
        super().__init__(op.plan, (op,), data.shape, data.dtype)
        self.index = index


Useful = set[Any] | None
"""The nodes that a walk has to visit; None: all."""

FREED: Any = object()
"""What `Node.saved` is after a walk has used the node."""


def changed_error(node: Node, what: str) -> TapeError:
    """The error for a saved value that was changed in place before the backward pass used it."""
    return TapeError(
        f"backward: {what}, which {node.plan.name} saved for its derivative, was changed in place "
        "since (by optimizer.step(), an assignment to .data, or x += v within no_grad); call "
        "loss.backward() before the change, or compute loss anew after it"
    )
