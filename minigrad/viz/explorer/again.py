"""The ops of a tape run again, in float64, so that finite differences can be taken.

A finite difference in float32 has three digits, and tells little. So all calls that a watch noted
run once more, from the same values, in float64; then the rules walk back through them. What comes
out shows also what float32 has rounded away.

Read next: `slopes.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.arrays.devices import beside
from minigrad.arrays.library import as_array
from minigrad.autograd.modes import modes, switched
from minigrad.autograd.record import run
from minigrad.tensor import Tensor, wrap
from minigrad.viz.explorer.step_order import Key, summed_to
from minigrad.viz.reading import Edge, Entry, Numbers, Result, Tape

CLOSE = 0.05
"""By how much of its largest number a result may change when it is computed in float64."""

Values = Mapping[Key, Numbers]


class Again:
    """What a tape holds, in float64.

    Attributes
    ----------
    trouble
        why it could not run again, in a sentence; empty if it could.
    values, gradients
        of each result.
    passed
        what the rules gave for each argument, summed to its shape.
    seconds
        how long each op took.
    draws
        the ops that gave another result when they ran a second time.
    rounds
        the ops whose results are in fewer bits, whatever they are given.
    """

    def __init__(self, tape: Tape, gradient: Any) -> None:
        self.tape, self.trouble = tape, _unknown(tape)
        self.values: dict[Key, Numbers] = {}
        self.gradients: dict[Key, Numbers] = {}
        self.passed: dict[Edge, Numbers] = {}
        self.seconds: dict[Entry, float] = {}
        self.draws: set[Entry] = set()
        self.rounds: set[Entry] = set()
        if self.trouble:
            return
        with alone():
            nodes = self._forward()
            if not self.trouble:
                self.trouble = self._changed()
            if not self.trouble:
                self._back(nodes, gradient)

    def _forward(self) -> dict[Entry, Any]:
        """Fill in `values`; return the node that each op has left."""
        nodes: dict[Entry, Any] = {}
        for entry in self.tape:
            if entry.kind != "op":
                self.values[entry.index, 0] = in_float64(entry.result.value)
                continue
            start = time.perf_counter()
            try:
                outputs = self.outputs(entry, self.values, recording=True)
            except Exception as error:  # an op of the user's, which may do anything
                self.trouble = f"{entry.op} cannot run again in float64: {error}"
                break
            self.seconds[entry] = time.perf_counter() - start
            node: Any = outputs[0]._node
            nodes[entry] = node.parents[0] if len(entry.results) > 1 else node
            for i, y in enumerate(outputs):
                self.values[entry.index, i] = y.numpy()
                if y.dtype != np.float64:
                    self.rounds.add(entry)
            if self._differs(entry):
                self.draws.add(entry)
        return nodes

    def _changed(self) -> str:
        """What to say if the tensor has another value than on the tape."""
        before, now = (
            np.asarray(value, np.float64)
            for value in (
                self.tape.root.results[self.tape.number].value,
                self.values[self.tape.root.index, self.tape.number],
            )
        )
        size = np.abs(before).max(initial=0.0, where=np.isfinite(before))
        if self.draws or np.allclose(before, now, rtol=0, atol=CLOSE * size, equal_nan=True):
            return ""
        return (
            "run again in float64, the program gives another result than on the tape: a tensor was "
            "changed in place since, or fewer bits have overflowed, or rounded the result away"
        )

    def _differs(self, entry: Entry) -> bool:
        """Whether the op of `entry` gives another result when it runs once more."""
        if entry.call.op.forward.__module__.startswith("minigrad."):  # type: ignore[union-attr]
            return False  # what is random is given to them
        before = [self.values[entry.index, i] for i in range(len(entry.results))]
        pairs = zip(before, self.results(entry, self.values), strict=True)
        return not all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)

    def _back(self, nodes: dict[Entry, Any], gradient: Any) -> None:
        root = self.tape.root.index, self.tape.number
        value = self.values[root]
        given = 1.0 if gradient is None else Tensor(gradient).numpy()
        self.start = np.full(value.shape, given, value.dtype)
        self.gradients[root] = self.start
        for entry in reversed(self.tape.entries):
            if entry.kind != "op":
                continue
            got = [self.gradients.get((entry.index, i)) for i in range(len(entry.results))]
            if all(g is None for g in got):
                continue
            node = nodes[entry]
            like = entry.call.args  # type: ignore[union-attr]
            g = [None if x is None else _beside(x, like) for x in got]
            try:
                passed = node.plan.backward(g if len(g) > 1 else g[0], node, None, False)
            except Exception as error:
                self.trouble = f"the rule of {entry.op} fails in float64: {error}"
                return
            for edge, d in zip((e for e in entry.edges if e.has_rule), passed, strict=True):
                if d is not None:
                    self._arrive(edge, d, node)

    def _arrive(self, edge: Edge, d: Any, node: Any) -> None:
        key = edge.source.index, edge.number
        value = self.values[key]
        d = wrap(d.to_dense() if hasattr(d, "to_dense") else as_array(d)).numpy()
        d = summed_to(d.astype(value.dtype), Result(value.shape, value.dtype), node)
        self.passed[edge] = d
        self.gradients[key] = self.gradients[key] + d if key in self.gradients else d

    def outputs(
        self, entry: Entry, values: Values, recording: bool = False, moved: Any = None
    ) -> Sequence[Tensor]:
        """What the op of `entry` gives for these values.

        Parameters
        ----------
        values
            of all that is before it.
        moved
            an argument and another value for it alone.
        """
        call = entry.call
        assert call is not None
        edges = {edge.argument: edge for edge in entry.edges}
        args: list[Any] = []
        for name, a in zip(call.op.parameters, call.args, strict=True):
            edge = edges.get(name)
            if edge is None:
                args.append(np.float64 if _is_float(name, a) else a)
                continue
            is_moved = moved is not None and moved[0] == name
            value = moved[1] if is_moved else values[edge.source.index, edge.number]
            array = _beside(value, call.args)
            args.append(_tensor(array, edge.has_rule) if isinstance(a, Tensor) else array)
        with switched("recording", recording):
            result = run(call.op, args)
        return result if isinstance(result, tuple) else (result,)

    def results(self, entry: Entry, values: Values, moved: Any = None) -> list[Numbers]:
        """The same as arrays on the host."""
        return [y.numpy() for y in self.outputs(entry, values, moved=moved)]


@contextmanager
def alone() -> Iterator[None]:
    """Within it nobody looks at this thread, and NumPy warns of nothing."""
    observer, modes.observer = modes.observer, None
    try:
        with switched("anomaly", False), np.errstate(all="ignore"):
            yield
    finally:
        modes.observer = observer


def in_float64(value: Any) -> Numbers:
    """Floats in float64; all else as it is."""
    exact: Numbers = value.astype(np.float64) if value.dtype.kind == "f" else value
    return exact


def _is_float(name: str, option: Any) -> bool:
    """Whether an option is a floating-point dtype, such as that of `astype`."""
    is_dtype = isinstance(option, np.dtype | type) or (name == "dtype" and option is not None)
    return is_dtype and np.issubdtype(option, np.floating)


def _tensor(array: Any, requires_grad: bool) -> Tensor:
    tensor = wrap(array)
    return tensor.requires_grad_() if requires_grad else tensor


def _beside(value: Numbers, args: Sequence[Any]) -> Any:
    """`value` on the device of the first array of `args`."""
    like = next((a._array for a in args if isinstance(a, Tensor)), value)
    return beside(value, like)


def _unknown(tape: Tape) -> str:
    """Why the tape cannot run again."""
    for entry in tape:
        if entry.kind == "freed":
            return tape.trouble
        if entry.kind == "op" and entry.call is None:
            return "run the program within viz.watch(), which keeps what its ops were given"
        if entry.kind != "op" and entry.result.value is None:
            return f"the value of {entry.name or 'a ' + entry.kind} is not known any more"
    return ""
