"""`explain`: why a gradient is None, zero, small, huge or NaN, from the tape.

It says what is known. Within ``with viz.watch():`` more is known: the line that cut the tape off,
what was computed under `no_grad`, what clipping and the optimisers did.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays.library import is_array
from minigrad.autograd.modes import modes
from minigrad.autograd.node import Leaf, Node, Output, TapeError
from minigrad.errors.values import told
from minigrad.files import printable
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor
from minigrad.viz.names import Names, variables
from minigrad.viz.observing import Call, Clip, Cut, Line, WalkBack, Watch, last_watch
from minigrad.viz.reading import Edge, Entry, Tape, dense, on_host, read
from minigrad.viz.reasons import why_less, why_not_finite, why_not_finite_back

SMALL, LARGE = 1e-4, 1e4
"""A gradient is called small or huge if its typical element is less or more than so many times that
of the gradient which it comes from."""

MOST = 4
"""Of a kind of reason, how many are told."""


class Finding(NamedTuple):
    """A reason, and the line of the program where it is, if that is known."""

    text: str
    line: Line | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.text
        source = f": {self.line.text}" if self.line.text else ""
        return f"{self.text}\n      at {self.line}{source}"


class Explanation:
    """What `explain` gives; printed, it is the text.

    Attributes
    ----------
    gradient
        what is explained, in a sentence: ``"The gradient of w is None."``
    findings
        the reasons, the most likely first.
    """

    def __init__(self, gradient: str, findings: list[Finding]) -> None:
        self.gradient, self.findings = gradient, findings

    def __str__(self) -> str:
        lines = [self.gradient, *(f"  - {finding}" for finding in self.findings)]
        return printable("\n".join(lines), keep="\n")  # names and lines may hold anything

    __repr__ = __str__


def explain(tensor: Tensor, loss: Tensor | None = None, optimizer: Any = None) -> Explanation:
    """Say why the gradient of `tensor` is None, zero, small, huge or not finite.

    ::

        with mg.viz.watch():
            loss = model.loss(ids, targets)
            loss.backward()
        print(mg.explain(model.output.weight))

    Parameters
    ----------
    tensor
        a parameter, an input or a result of ops.
    loss
        what the gradient is of; None: what the last watch saw a walk back from.
    optimizer
        one of which to say whether it has `tensor`; None: those that the last watch saw.

    Raises
    ------
    TypeError
        if `tensor` or `loss` is no Tensor.
    """
    for name, value in (("tensor", tensor), ("loss", loss)):
        if not isinstance(value, Tensor) and not (name == "loss" and value is None):
            raise TypeError(f"explain: {name} must be a Tensor, not {told(value)}")
    if optimizer is not None and not hasattr(optimizer, "param_groups"):
        raise TypeError(f"explain: optimizer must be an optimiser, not {told(optimizer)}")
    watch = modes.observer if isinstance(modes.observer, Watch) else last_watch()
    if watch is not None and loss is not None and not watch.made(loss):
        watch = None  # it is about something else
    optimizers = [optimizer] if optimizer is not None else []
    if watch is not None and isinstance(tensor, Parameter):
        optimizers = optimizers or watch.optimizers
    return _Case(tensor, loss, watch, optimizers, variables()).explanation()


class _Case:
    """One tensor whose gradient is to be explained."""

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
        for walk in [*self._walks()[-1:], *(self.watch.walks[-1:] if self.watch else [])]:
            for start in walk.starts:
                if call := self.watch.by_node.get(_op_of(start)):  # type: ignore[union-attr]
                    return call.outputs[getattr(start, "index", 0)]  # type: ignore[no-any-return]
        return None

    def _walks(self) -> list[WalkBack]:
        """The walks back that came to the tensor, the oldest first."""
        node, watch = self.tensor._node, self.watch
        if watch is None or node is None:
            return []
        return [walk for walk in watch.walks if walk.reaches(_op_of(node), watch.parents)]

    def tell(self, text: str, line: Line | None = None) -> None:
        self.findings.append(Finding(text, line))

    # ------------------------------------------------------------------ the whole

    def explanation(self) -> Explanation:
        tensor, name = self.tensor, self.name
        if tensor.dtype.kind != "f":
            self.tell(
                f"its numbers are {tensor.dtype}: only floating-point tensors have a gradient. "
                'Convert what is to be learnt: x.astype("float32")'
            )
            return Explanation(f"The gradient of {name} is None.", self.findings)
        if tensor._node is None:
            self._constant()
            return Explanation(self._none(), self.findings)
        entry, number, tape = self._on_tape()
        if self.findings:  # the tape could not be read
            self._other_grad(known=False)
            return Explanation(f"The gradient of {name} is not known.", self.findings)
        if entry is None or (g := entry.results[number].gradient) is None:
            if entry is None:
                self._not_reached()
            elif tape is not None:
                self._stopped(entry, tape)
            self._other_grad(known=self.loss is not None)
            self._other_object()
            return Explanation(self._none(), self.findings)
        assert tape is not None
        state = self._look_at(entry, number, g, tape)
        self._clipped()
        self._kept(g)
        self._other_object()
        return Explanation(f"The gradient of {name} {state}.", self.findings)

    def _on_tape(self) -> tuple[Entry | None, int, Tape | None]:
        """The entry of the tensor on the tape of the loss, if it is on it."""
        if self.loss is None or self.loss._node is None:
            return None, 0, None
        try:
            tape = read(self.loss, self.known, caller="explain")
        except TapeError as error:
            self.tell(str(error).removeprefix("explain: "))
            return None, 0, None
        if tape.trouble:
            self.tell(tape.trouble)
        assert self.tensor._node is not None
        node, number = _op_of(self.tensor._node), getattr(self.tensor._node, "index", 0)
        found = next((entry for entry in tape if entry.node is node), None)
        return found, number, tape

    # ------------------------------------------------------------------ None

    def _none(self) -> str:
        """The sentence for a tensor to which no gradient comes."""
        if self.tensor.grad is None:
            return f"The gradient of {self.name} is None."
        if self.loss is None:
            return f"The gradient of {self.name} is not known."
        return f"No gradient comes to {self.name}, though its .grad is set."

    def _other_grad(self, known: bool) -> None:
        """What is to say of a ``.grad`` that is not of the loss; `known`: that this is so."""
        if self.tensor.grad is not None:
            norm = _norm(on_host(dense(self.tensor.grad)))
            other = " and is of another backward pass" if known else ""
            self.tell(f"its .grad has the norm {norm:.3g}{other}")

    def _constant(self) -> None:
        """Why a tensor has no place on the tape."""
        self._other_grad(known=True)
        if self.watch is not None:
            for cut in reversed(self.watch.cuts):
                if cut.result is self.tensor:
                    self.tell(f"it is the result of {cut.by}(), which cuts it off", cut.line)
                    return
            for call in reversed(self.watch.calls):
                if any(y is self.tensor for y in call.outputs):
                    self._unrecorded(call)
                    return
        if isinstance(self.tensor, Parameter):
            self.tell("it is frozen: its requires_grad is False; requires_grad_() asks for one")
            return
        self.tell(
            "it is a constant: it was not asked to have a gradient. Write "
            "x = mg.tensor(..., requires_grad=True), x.requires_grad_(), or nn.Parameter(...) "
            "in a module, before computing with it"
        )
        if self.watch is None:
            self.tell(
                "if it is the result of ops, detach(), no_grad() or arguments that are all "
                "constants have cut it off; within viz.watch() the line is known"
            )

    def _unrecorded(self, call: Call) -> None:
        """Why a call left nothing on the tape."""
        op = call.op.name
        if not call.grad_args:
            self.tell(
                f"it is the result of {op}, and no argument of that required a gradient", call.line
            )
        elif any(y.dtype.kind != "f" for y in call.outputs):
            self.tell(f"{op} made integers here, which have no gradient", call.line)
        elif not call.recording:
            self.tell(f"{op} ran within no_grad(), which records nothing", call.line)

    def _not_reached(self) -> None:
        """Why the tape of the loss does not lead to the tensor."""
        watch = self.watch
        if self.loss is None:
            if watch is None:
                self.tell(
                    "no backward pass is known; pass the loss, explain(tensor, loss), before its "
                    "backward(), or run the step within viz.watch()"
                )
                return
            if watch.walks:
                if all(isinstance(start, Leaf) for start in watch.walks[-1].starts):
                    self.tell(
                        "backward() began at a leaf, which no op made: item(), numpy() and "
                        "mg.tensor(...) take numbers off the tape"
                    )
                else:
                    self.tell("the watch saw a backward pass, but not what led to it: watch both")
                return
            self.tell(
                "the watch saw no backward pass: loss.backward() was not called within it, or "
                "ended in an error"
            )
        elif self.loss._node is None:
            self.tell("the loss is a constant: nothing on the tape leads to it")
            _Case(self.loss, None, watch, [], self.known)._say_constant(self)
        if watch is None:
            self.tell(
                "the loss does not depend on it: it was not used, or a detach(), no_grad() or an "
                "op without a derivative is between them; within viz.watch() the line is known"
            )
            return
        self._lost(watch)

    def _say_constant(self, other: _Case) -> None:
        self._constant()
        other.findings += self.findings

    def _lost(self, watch: Watch) -> None:
        """Follow the tensor through the watch, to where its way to the loss ends."""
        events, used, numbers = _in_order(watch), False, []
        reached, leads = {id(self.tensor)}, self._leading_to_the_loss(events)
        for event in events:
            args, results = _ends(event)
            mine = [a for a in args if id(a) in reached]
            if not mine:
                continue
            used = True
            reached |= {id(y) for y in results}
            if isinstance(event, Cut) and event.by in ("item", "numpy"):
                numbers.append(
                    Finding(f"{event.by}() takes its values off the tape here", event.line)
                )
            floats = [y for y in results if y.dtype.kind == "f"]  # the rest may be converted
            if leads is not None and floats and leads.isdisjoint(map(id, floats)):
                continue
            if isinstance(event, Call):
                self._cut_off(event, mine)
            elif event.by not in ("item", "numpy"):
                of = "it" if event.tensors[0] is self.tensor else "what was made of it"
                self.tell(f"{event.by}() cuts {of} off from the tape here", event.line)
        if not used:
            self.tell("it was not used: no op that the last watch saw had it as an argument")
            self._same_values(watch)
        elif not self.findings and self.loss is not None:
            self.tell("what was computed with it on the tape is not used for the loss")
            self.findings += numbers
        self.findings[:] = _shortened(self.findings)

    def _leading_to_the_loss(self, events: list[Any]) -> set[int] | None:
        """The ids of all tensors of which the loss was made; None: there is no loss."""
        if self.loss is None:
            return None
        leads = {id(self.loss)}
        for event in reversed(events):
            args, results = _ends(event)
            if not leads.isdisjoint(id(y) for y in results):
                leads |= {id(a) for a in args}
        return leads

    def _cut_off(self, call: Call, mine: list[Tensor]) -> None:
        """What is to say of a call that may have cut `mine` off from the loss."""
        name = call.op.name
        if call.node is None and any(call.asked(a) for a in mine):
            if any(y.dtype.kind != "f" for y in call.outputs):
                self.tell(f"{name} makes integers of it here, without a gradient", call.line)
            elif not call.recording:
                self.tell(f"{name} ran within no_grad() here", call.line)
        elif any(a is self.tensor and not call.asked(a) for a in mine):
            self.tell(
                f"it did not require a gradient when {name} used it: requires_grad_() came later",
                call.line,
            )

    def _same_values(self, watch: Watch) -> None:
        """Another tensor with the same values was used in its place."""
        if _is_uniform(self.tensor):
            return
        for call in watch.calls:
            for a in call.args:
                is_one = is_array(a) or (isinstance(a, Tensor) and a is not self.tensor)
                if is_one and np.array_equal(on_host(a), on_host(self.tensor)):
                    what = "an array" if is_array(a) else "another tensor"
                    self.tell(f"{what} with the same values was used here", call.line)
                    return

    def _stopped(self, entry: Entry, tape: Tape) -> None:
        """The tape leads from the loss to the tensor, but no gradient arrives."""
        if not self.tensor.is_leaf and self.tensor.grad is None:
            self.tell(
                "it is the result of an op: only leaves keep a .grad. Call y.retain_grad() before "
                "backward(), or mg.grad(loss, y)"
            )
        for op, edge in _to(entry, tape):
            came = any(result.gradient is not None for result in op.results)
            if came and edge.gradient is None:
                self.tell(f"{op.op} passes none on to its {edge.argument}", op.line)

    # ------------------------------------------------------------------ numbers

    def _look_at(self, entry: Entry, number: int, g: Any, tape: Tape) -> str:
        """What there is to say of a gradient that arrives."""
        size = _typical(g)
        self._not_finite(tape)
        if not np.isfinite(g).all():
            kind = "NaN" if np.isnan(g).any() else "infinite"
            return f"is {kind} in {int((~np.isfinite(g)).sum())} of {g.size} elements"
        norm = f"{_norm(g):.3g}"
        if not g.any():
            self._zero(entry, number, tape)
            return "is zero"
        ratio = size / (_typical(tape.root.results[tape.number].gradient) or 1.0)
        if not SMALL <= ratio <= LARGE:
            self._on_the_way(entry, number, tape, ratio < 1)
            return f"is {'small' if ratio < 1 else 'huge'}: its norm is {norm}"
        dead = _share_of_zeros(g)
        rest = f"; {dead:.3g} % of its elements are 0" if dead >= 1 else ""
        if dead >= 1:
            self.findings += self._dead(entry, number, g, tape)
        self._cut_on_the_way()
        self.findings[:] = _shortened(self.findings)
        return f"has the norm {norm}{rest}"

    def _dead(self, entry: Entry, number: int, g: Any, tape: Tape) -> list[Finding]:
        """Why some elements of a gradient are 0: the ops that use the tensor, or those behind."""
        uses = [  # of several lookups, the rows that none of them took
            (op, replace(edge, gradient=g) if op.op == "embedding" else edge)
            for op, edge in _to(entry, tape)
        ]
        behind = [
            (op, edge)
            for op, edge in _behind(entry, number, tape)
            if any(_share_of_zeros(g) < _share_of_zeros(edge.gradient) for g in _came(op))
        ]
        for edges in (uses, behind):
            told = [
                Finding(f"{op.op}: {reason}", op.line)
                for op, edge in edges
                if (reason := why_less(op, edge))
            ]
            if told:
                return told
        return []

    def _cut_on_the_way(self) -> None:
        """Where detach() drops a part of a gradient that arrives on other ways."""
        if self.watch is None:
            return
        events = _in_order(self.watch)
        reached, leads = {id(self.tensor)}, self._leading_to_the_loss(events) or set()
        for event in events:
            args, results = _ends(event)
            if reached.isdisjoint(map(id, args)):
                continue
            reached |= {id(y) for y in results}
            if isinstance(event, Cut) and event.by == "detach" and id(event.result) in leads:
                self.tell(
                    "a part of it is missing: detach() cuts off what would come back through here",
                    event.line,
                )

    def _not_finite(self, tape: Tape) -> None:
        for entry in tape:
            values = [r.value for r in entry.results if r.value is not None]
            if all(np.isfinite(v).all() for v in values):
                continue
            sources = [e.source.results[e.number].value for e in entry.edges]
            if entry.kind != "op":
                self.tell(f"{entry.name or 'an input'} is not finite itself")
                return
            if all(v is None or np.isfinite(v).all() for v in sources):
                reason = why_not_finite(entry)
                self.tell(
                    f"the first value that is not finite is made by {entry.op}"
                    + (f": {reason}" if reason else ""),
                    entry.line,
                )
                return
        start = tape.root.results[tape.number].gradient
        if start is not None and not np.isfinite(start).all():
            self.tell("the gradient at the start of the walk is not finite itself")
            return
        for entry in reversed(tape.entries):
            came = [r.gradient for r in entry.results if r.gradient is not None]
            if not came or not all(np.isfinite(g).all() for g in came):
                continue
            for edge in entry.edges:
                if edge.gradient is not None and not np.isfinite(edge.gradient).all():
                    reason = why_not_finite_back(entry, edge)
                    self.tell(
                        f"all values are finite; on the way back {entry.op} is the first that "
                        f"passes on what is not, to its {edge.argument}"
                        + (f": {reason}" if reason else ""),
                        entry.line,
                    )
                    return

    def _zero(self, entry: Entry, number: int, tape: Tape) -> None:
        """Where on the way from the loss a gradient that is not zero becomes zero."""
        stops = []
        for op, edge in _behind(entry, number, tape):
            if any(g.any() for g in _came(op)) and (
                edge.gradient is None or not edge.gradient.any()
            ):
                reason = why_less(op, edge)
                stops.append(
                    Finding(f"{op.op} passes on zero" + (f": {reason}" if reason else ""), op.line)
                )
        for e in (entry, *(op for op, _ in _behind(entry, number, tape))):
            stops += self._cancelled(e, tape)
        root = tape.root.results[tape.number].gradient
        if root is not None and not root.any():
            self.tell("the gradient at the start of the walk is zero itself")
        self.findings += _shortened(stops)

    def _cancelled(self, entry: Entry, tape: Tape) -> list[Finding]:
        """Whether gradients come to `entry` that are not zero, but their sum is."""
        came = [edge.gradient for _, edge in _to(entry, tape) if edge.gradient is not None]
        gradients = [r.gradient for r in entry.results if r.gradient is not None]
        if not any(g.any() for g in came) or any(g.any() for g in gradients) or not gradients:
            return []
        what = f"of {entry.op}" if entry.kind == "op" else f"of {entry.name or 'the input'}"
        if entry.hooked:
            return [Finding(f"a hook makes the gradient {what} zero", entry.line)]
        return [Finding(f"the gradients {what} are not zero, but their sum is", entry.line)]

    def _on_the_way(self, entry: Entry, number: int, tape: Tape, falls: bool) -> None:
        """Which ops make the gradient small or large, on the way on which most of it comes."""
        factors: dict[tuple[str, Line | None], list[tuple[float, Entry, Edge]]] = defaultdict(list)
        consumers = _uses(tape)
        at, n = entry, number
        while (uses := consumers[at.index, n]) and at is not tape.root:
            op, edge = max(uses, key=lambda use: _typical(use[1].gradient))
            came = max((_typical(r.gradient) for r in op.results), default=0.0)
            if came > 0 and edge.gradient is not None:
                factors[op.op, op.line].append((_typical(edge.gradient) / came, op, edge))
            at = op
            n = max(range(len(op.results)), key=lambda i: _typical(op.results[i].gradient))
        totals = {
            key: math.exp(math.fsum(math.log(max(f, 1e-300)) for f, _, _ in items))
            for key, items in factors.items()
        }
        for key in sorted(totals, key=totals.__getitem__, reverse=not falls)[:MOST]:
            total, items = totals[key], factors[key]
            if (total > 0.5) if falls else (total < 2):
                break
            times = f", {len(items)} times" if len(items) > 1 else ""
            worst = (min if falls else max)(items, key=lambda item: item[0])
            reason = why_less(worst[1], worst[2]) if falls else ""
            self.tell(
                f"{key[0]}{times}: a factor of {total:.2g} in all"
                + (f"; {reason}" if reason else ""),
                key[1],
            )

    # ------------------------------------------------------------------ .grad and the optimiser

    def _kept(self, g: Any) -> None:
        """What is to say of ``.grad``, as against `g`, the gradient of this walk."""
        if self.tensor.grad is not None:
            if self._walks() and np.isfinite(g).all():
                self._compared(on_host(dense(self.tensor.grad)), g)
            return
        if not self.tensor.is_leaf:
            self.tell(
                "its .grad is None, as it is the result of an op: only leaves keep one. Call "
                "y.retain_grad() before backward()"
            )
        elif self.watch is not None and self.watch.walks:
            self.tell(
                "its .grad is None now: zero_grad() was called after backward(), or the walk was "
                "that of mg.grad"
            )
        else:
            self.tell("its .grad is None so far: loss.backward() was not called")

    def _compared(self, kept: Any, g: Any) -> None:
        expected = g * math.prod(clip.factor for clip in self._clips())
        if np.allclose(kept, expected, rtol=1e-3, atol=1e-6 * (_typical(g) or 1.0)):
            return
        n = len(self._walks())
        self.tell(
            f"its .grad is another one, of the norm {_norm(kept):.3g}: "
            + (
                f"{n} backward passes within the watch came to it, and .grad adds them up until "
                "zero_grad(); or it"
                if n > 1
                else "zero_grad() was not called, and earlier backward passes are added up in it; "
                "or it"
            )
            + " was changed, as by a hook or clip_grad_value_"
        )

    def _clips(self) -> list[Clip]:
        """Where its gradient was clipped after the last walk that came to it."""
        if self.watch is None:
            return []
        last = max((walk.stamp for walk in self._walks()), default=0)
        clips = [clip for clip in self.watch.clips if clip.stamp > last]
        return [clip for clip in clips if any(t is self.tensor for t in clip.tensors)]

    def _clipped(self) -> None:
        for clip in self._clips():
            if math.isnan(clip.norm):
                self.tell(
                    f"clip_grad_norm_ made its .grad NaN: the common norm of {len(clip.tensors)} "
                    "gradients was NaN",
                    clip.line,
                )
            elif clip.factor < 1:
                self.tell(
                    f"clip_grad_norm_ multiplied its .grad by {clip.factor:.3g}: the common norm "
                    f"of {len(clip.tensors)} gradients was {clip.norm:.3g}, max_norm is "
                    f"{clip.max_norm:g}",
                    clip.line,
                )

    def _other_object(self) -> None:
        """Whether an optimiser has the tensor."""
        if not self.optimizers or not self.tensor.is_leaf:
            return
        for optimizer in self.optimizers:
            if any(p is self.tensor for p in optimizer.parameters()):
                return
        others = [p for optimizer in self.optimizers for p in optimizer.parameters()]
        alike = [
            np.array_equal(on_host(p), on_host(self.tensor))
            for p in others
            if p.shape == self.tensor.shape
        ]
        kind = type(self.optimizers[-1]).__name__
        if any(alike) and not _is_uniform(self.tensor):
            self.tell(
                f"{kind} has another object with the same values: it steps that one, not this. "
                "Make the optimiser of the parameters that the model uses now"
            )
        else:
            self.tell(f"{kind} does not have it, and will not change it")


# ---------------------------------------------------------------------------------- small things


def _op_of(node: Any) -> Node:
    return node.parents[0] if isinstance(node, Output) else node  # type: ignore[no-any-return]


def _ends(event: Call | Cut) -> tuple[list[Tensor], list[Tensor]]:
    """The Tensors that a call or cut was given, and those that it gave."""
    if isinstance(event, Call):
        given, made = event.args, event.outputs
    else:
        given, made = event.tensors, (event.result,)
    return [a for a in given if isinstance(a, Tensor)], [y for y in made if isinstance(y, Tensor)]


def _is_uniform(tensor: Tensor) -> bool:
    """Whether its numbers are all the same, as those of many tensors are at first."""
    values = on_host(tensor)
    return bool((values == values.flat[:1]).all())


def _norm(g: Any) -> float:
    return float(np.linalg.norm(g.astype(np.float64)))


def _in_order(watch: Watch) -> list[Any]:
    """The calls and cuts of a watch; each cut after the calls that were before it."""
    return sorted([*watch.calls, *watch.cuts], key=lambda event: event.stamp)


def _uses(tape: Tape) -> dict[tuple[int, int], list[tuple[Entry, Edge]]]:
    """By entry and number of the result: the ops that use it."""
    found: dict[tuple[int, int], list[tuple[Entry, Edge]]] = defaultdict(list)
    for op in tape:
        for edge in op.edges:
            found[edge.source.index, edge.number].append((op, edge))
    return found


def _to(entry: Entry, tape: Tape) -> list[tuple[Entry, Edge]]:
    """The ops that use `entry`, and as what."""
    return [(op, edge) for op in tape for edge in op.edges if edge.source is entry]


def _behind(entry: Entry, number: int, tape: Tape) -> list[tuple[Entry, Edge]]:
    """All edges on the ways from the root to `entry`."""
    uses, seen, stack, found = _uses(tape), set(), [(entry.index, number)], []
    while stack:
        for op, edge in uses[stack.pop()]:
            found.append((op, edge))
            if op.index not in seen:
                seen.add(op.index)
                stack += [(op.index, i) for i in range(len(op.results))]
    return sorted(found, key=lambda pair: -pair[0].index)


def _came(op: Entry) -> list[Any]:
    """The gradients that came to the results of an op."""
    return [result.gradient for result in op.results if result.gradient is not None]


def _typical(g: Any) -> float:
    """The root mean square of a gradient; 0 if there is none."""
    if g is None or g.size == 0:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(g.astype(np.float64)))))


def _share_of_zeros(g: Any) -> float:
    return 100 * float(np.mean(g == 0)) if g.size else 0.0


def _shortened(findings: list[Finding]) -> list[Finding]:
    """Each once, and of many the first few."""
    each = list(dict.fromkeys(findings))
    more = len(each) - MOST
    return [*each[:MOST], *([Finding(f"and {more} more like it")] if more > 0 else [])]
