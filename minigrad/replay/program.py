"""A recording made ready to be replayed: a flat list of functions, each bound to its arrays.

From the calls that were written down it leaves out those whose result nobody uses, and those that
give the same in each replay. Then it plans memory: an array that is not needed any more leaves its
place to a later one. Views are made once. What is left is ``for function, args in calls:
function(*args)``.
"""

from __future__ import annotations

import operator
import sys
from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minigrad.arrays import threads
from minigrad.autograd.node import next_stamp
from minigrad.replay.binding import (
    copied,
    in_place,
    positional,
    put,
    run,
    run_if,
    set_sparse,
    with_arrays,
    with_cells,
    with_out,
)
from minigrad.replay.memory import Pool, array_in, extent, new_like
from minigrad.replay.places import (
    CONSTANT,
    EARLY,
    Call,
    CaptureError,
    Cell,
    Place,
    as_list,
    places_in,
    same,
)
from minigrad.replay.recorder import Recorder
from minigrad.replay.slots import ARRAY, GRAD
from minigrad.replay.watching import Watch
from minigrad.tensor import memory_of, wrap


class Program:
    """What a recording has become.

    Parameters
    ----------
    recorder
        it has recorded a function from its beginning to its end.
    results
        the places of what the function gives back.
    watch
        what the function read from elsewhere than its arguments.
    pool
        memory that it has together with other recordings of the function.
    """

    def __init__(
        self, recorder: Recorder, results: Sequence[Any], watch: Watch, pool: Pool
    ) -> None:
        self.recorder, self.watch, self.pool = recorder, watch, pool
        self.results = results
        calls = recorder.calls
        self.fixed = _fixed([c for c in calls if type(c) is Call])
        fixed = set(map(id, self.fixed))
        rest = [c for c in calls if id(c) not in fixed]
        live = self._live(rest)
        self.dead = len(rest) - len(live)
        early = self._early(live)
        self.prelude = [c for c in live if id(c) in early]
        self.main = [c for c in live if id(c) not in early]
        self.views: set[Place] = set()
        self.copies_gradients = self.numbers_changed = False
        self.blocks = self._plan()
        self.bound = False  # memory is made for the first replay: perhaps there is none
        self.memory: list[Any] = []

    # -------------------------------------------------------------- what is left out

    def _live(self, calls: list[Any]) -> list[Any]:
        """The calls that are needed, from the last to the first."""
        needed: set[Any] = {p.base for p in self.results} | _gradients(calls)
        for _, _, (args, kwargs), _ in self.recorder.guards:
            needed |= {p.base for p in places_in((args, kwargs))}
        live = []
        for call in reversed(calls):
            if type(call) is tuple:
                if call[0] == "only if":
                    needed.add(call[1].base)
                live.append(call)
                continue
            targets = _targets(call)
            if call.effect or any(t in needed or not _in_memory(t) for t in targets):
                live.append(call)
                needed.update(p.base for p in call.reads)
                needed.update(targets)
        return live[::-1]

    def _early(self, live: list[Any]) -> set[int]:
        """The calls that the guards need: they run first, and change nothing outside."""
        guards = [(index, places_in(form)) for index, _, form, _ in self.recorder.guards]
        position = {id(c): i for i, c in enumerate(self.recorder.calls)}
        early: set[int] = set()
        needed: set[Any] = set()
        for call in reversed(live):
            while guards and guards[-1][0] > position[id(call)]:
                needed.update(p.base for p in guards.pop()[1])
            if not needed:
                continue
            if type(call) is Call and call.depends <= EARLY and _targets(call) & needed:
                early.add(id(call))
                needed.update(p.base for p in call.reads)
        return early

    # -------------------------------------------------------------- memory

    def _plan(self) -> list[Any]:
        """Give each array that is not from outside a block of memory; returns the blocks."""
        first: dict[Place, int] = {}
        last: dict[Place, int] = {}
        end, depth, start = len(self.main), [], 0
        shared: list[Place] = []
        for i, call in enumerate(self.main):
            if type(call) is tuple:
                if call[0] in ("share", "only if"):
                    depth.append((call[0], i))
                elif call[0] == "end":
                    kind, start = depth.pop()
                    if kind == "share":  # what runs side by side must not share memory
                        for base in shared:
                            first[base] = min(first[base], start)
                            last[base] = i
                        shared = []
                continue
            for place in (*call.reads, *call.changed):
                base = place.base
                if type(base) is Place and _in_memory(base):
                    first.setdefault(base, i)
                    last[base] = i
                    if depth and depth[-1][0] == "share":
                        shared.append(base)
        self.lasting = _gradients(self.main)
        kept = self.lasting | {p.base for p in self.results}
        for call in self.prelude:
            kept |= {p.base for p in (*call.reads, *call.changed)}
        for base in kept:
            if type(base) is Place and _in_memory(base):
                first.setdefault(base, 0)
                last[base] = end
                if any(base in {p.base for p in c.changed} for c in self.prelude):
                    first[base] = -1
        for call in self.fixed:
            for place in call.changed:
                first.pop(place.base, None)
        begins: dict[int, list[Place]] = {}
        ends: dict[int, list[Place]] = {}
        for base in sorted(first, key=first.__getitem__):
            begins.setdefault(first[base], []).append(base)
            ends.setdefault(last[base], []).append(base)
        sizes: list[tuple[int, Any]] = []
        free_of: dict[Any, list[tuple[int, int]]] = {}  # (size, number of the block), by library
        self.block_of: dict[Place, int] = {}
        for i in range(-1, end + 1):
            for base in begins.get(i, ()):
                size, free = extent(base), free_of.setdefault(base.library, [])
                k = bisect_left(free, (size, -1))
                if k < len(free) and free[k][0] <= 2 * size + 1024:
                    self.block_of[base] = free.pop(k)[1]
                else:
                    self.block_of[base] = len(sizes)
                    sizes.append((size, base.library))
            for base in ends.get(i, ()):
                number = self.block_of[base]
                insort(free_of[base.library], (sizes[number][0], number))
        return sizes

    @property
    def nbytes(self) -> int:
        """Bytes of planned memory."""
        return sum(size for size, _ in self.blocks)

    def bind(self) -> None:
        """Make the memory, the views, and the list of functions with their arrays."""
        self.bound = True
        own = {self.block_of[base] for base in self.lasting if base in self.block_of}
        self.memory = self.pool.blocks(self.blocks, own)
        for place in self.views:
            place.array = None
        for base, number in self.block_of.items():
            base.array = array_in(self.memory[number], base)
        for place, _ in self.recorder.inputs:
            place.array = new_like(place, place.library)
        for call in self.fixed:
            self._run_once(call)
        self.grads: list[Any] = []
        self.has_own_errors = False
        self.first_calls = self._bound(self.prelude)
        self.calls = self._bound(self.main)
        for place in self.results:
            self._real(place)
        self.guards: list[Any] = []
        self.number_guards: list[Any] = []
        for _, function, (args, kwargs), answer in self.recorder.guards:
            of_number = any(type(x) is Cell for x in args)
            bound = positional(function, self._real(args), self._real(kwargs))
            (self.number_guards if of_number else self.guards).append((*bound, answer))
        self.reads_numbers = any(  # x.item(), of an array
            type(c.out) is Cell and any(type(p) is Place for p in c.reads)
            for c in self.prelude
            if type(c) is Call
        )
        self.inputs = [(place.array, source) for place, source in self.recorder.inputs]
        self.changed_inputs = [(p.array, i) for p, i in self.recorder.inputs if p.writes]
        self.watched = [
            x for _, g in self.grads for x in (g, ARRAY.__get__(g), _owner(ARRAY.__get__(g)))
        ]
        self.counts = self._count()

    @property
    def unplanned(self) -> int:
        """Bytes that there would be if each array had memory of its own."""
        return sum(base.nbytes for base in self.block_of)

    def _real(self, form: Any) -> Any:
        """`form` with arrays in place of places."""
        kind = type(form)
        if kind is Place:
            if form.array is None:
                if form.source is None:
                    raise AssertionError(f"a place has no memory: {form.kind} {form.shape}")
                function, args, kwargs, number = form.source
                made = function(*self._real(args), **self._real(kwargs))
                form.array = made if number is None else made[number]
                self.views.add(form)
            return form.array
        if kind in (tuple, list):
            return kind(self._real(x) for x in form)
        if kind is dict:
            return {name: self._real(x) for name, x in form.items()}
        return form

    def _run_once(self, call: Call) -> None:
        """Run a call that gives the same in each replay; its results keep their memory."""
        for place in call.changed:
            if place.base.array is None:
                place.base.array = new_like(place.base, place.base.library)
        bound = self._bind_call(call)
        if bound is not None:
            function, args = bound
            function(*args)

    # -------------------------------------------------------------- the list

    def _bound(self, calls: list[Any]) -> list[Any]:
        """The calls as functions with their arrays."""
        stack: list[list[Any]] = [[]]
        for call in calls:
            if type(call) is Call:
                bound = self._bind_call(call)
                if bound is not None:
                    stack[-1].append(bound)
            elif call[0] == "errstate":
                self.has_own_errors = True
                stack[-1].append((partial(np.seterr, **call[1]), ()))
            elif call[0] == "only if":
                block: list[Any] = []
                stack[-1].append((run_if, (self._real(call[1]), block)))
                stack.append(block)
            elif call[0] == "share":
                pieces: list[Any] = []
                stack[-1].append((threads.share, (run, pieces)))
                stack += [pieces, []]  # the second is dropped by the first piece
            elif call[0] == "piece":
                stack.pop()
                block = []
                stack[-1].append(block)
                stack.append(block)
            else:
                stack.pop()
                if stack and stack[-1] and type(stack[-1][-1]) is list:
                    stack.pop()
        return stack[0]

    def _bind_call(self, call: Call) -> Any:
        if call.function == "set grad":
            return self._bind_grad(call)
        if call.function == "fresh":
            return self._ask_again, call.args
        args, kwargs = self._real(call.args), self._real(call.kwargs)
        if any(type(x) is Cell for x in as_list(call.out)):
            return put, (call.out, call.function, args, kwargs)
        function = call.function
        if any(type(p) is Cell for p in call.reads):
            if isinstance(function, np.ufunc):
                args = with_arrays(function, args)
            if any(type(x) is Cell for x in places_in((args, kwargs))):
                function, args, kwargs = with_cells, (function, args, kwargs), {}
        if call.effect or isinstance(call.out, list):
            if call.out is None:
                return positional(function, args, kwargs)
            return copied, (function, args, kwargs, self._real(call.out))
        if call.out is None:
            return in_place(function, args, kwargs)
        return with_out(function, args, kwargs, self._real(call.out))

    def _bind_grad(self, call: Call) -> Any:
        if len(call.args) > 1:
            return set_sparse, call.args
        (tensor,) = call.args
        gradient = None if call.out is None else wrap(self._real(call.out))
        if gradient is not None:
            self.grads.append((tensor, gradient))
        return GRAD.__set__, (tensor, gradient)

    # -------------------------------------------------------------- replaying

    def why_not(self, arguments: Sequence[Any]) -> str:
        """Take in the arguments; why the step must be recorded anew, or an empty string."""
        recorder = self.recorder
        if changed := self.watch.changed():
            return f"{changed} is another object"
        for tensor, array, node, hooks in recorder.outsiders:
            if ARRAY.__get__(tensor) is not array:
                return f"the array of a Tensor ({array.dtype} {array.shape}) was replaced"
            if tensor._node is not node:
                return f"requires_grad of a Tensor ({array.dtype} {array.shape}) has changed"
            if node is not None and (tuple(node.hooks) if node.hooks else None) != hooks:
                return f"the hooks of a Tensor ({array.dtype} {array.shape}) have changed"
        for tensor, gradient in recorder.grads.items():
            if (GRAD.__get__(tensor) is None) is not (gradient is None):
                return f"a .grad is {'there' if gradient is None else 'None'} at the beginning"
        if not self.bound:
            self.bind()
        for cell, number in recorder.arguments:
            cell.put(arguments[number])
        self.numbers_changed = bool(recorder.arguments)
        if not all(map(self._ask, range(len(recorder.numbers)))):
            return "the options or the state of an optimiser have changed"
        if (
            not self.copies_gradients and self._count() != self.counts
        ):  # somebody keeps one of the last replay
            self.copies_gradients = True
            self.bind()
        for array, source in self.inputs:
            array[...] = arguments[source] if type(source) is int else source.grad._array
        run(self.first_calls)
        for function, args, answer in self.guards:
            if not same(function(*args), answer):
                return "a value that the function looks at has changed"
        if (self.numbers_changed or self.reads_numbers) and not self._same_answers():
            return "a number that the function looks at has changed"
        return ""

    def _ask(self, i: int) -> bool:
        """Ask for numbers from outside; whether they, and the arrays beside them, still fit."""
        function, args, arrays, numbers, cells = self.recorder.numbers[i]
        new_arrays, new = function(*args)
        if len(new) != len(numbers) or not all(map(operator.is_, new_arrays, arrays)):
            return False
        if new != numbers:
            self.numbers_changed = True
            for cell, value, before in zip(cells, new, numbers, strict=True):
                if type(cell) is Cell:
                    cell.put(value)
                elif value != before:
                    return False
            self.recorder.numbers[i] = (function, args, arrays, new, cells)
        return True

    def _same_answers(self) -> bool:
        """Whether what was asked about numbers still has the same answers."""
        return all(
            same(function(*[x.value if type(x) is Cell else x for x in args]), answer)
            for function, args, answer in self.number_guards
        )

    def _ask_again(self, i: int) -> None:
        """The same in the middle of a step, where it is too late to record anew."""
        if not self._ask(i) or not self._same_answers():
            raise CaptureError(
                "capture: a schedule has changed more than numbers in the middle of a step; call "
                "schedule.step() after optimizer.step(), or outside the captured function"
            )

    def run(self, arguments: Sequence[Any]) -> None:
        """Replay the step."""
        into = [arguments[i] if type(i) is int else i.grad._array for _, i in self.changed_inputs]
        if self.has_own_errors:
            with np.errstate():
                run(self.calls)
        else:
            run(self.calls)
        for tensor, gradient in self.grads if self.copies_gradients else ():
            if GRAD.__get__(tensor) is gradient:
                GRAD.__set__(tensor, gradient.copy())
        for (array, _), target in zip(self.changed_inputs, into, strict=True):
            target[...] = array
        if self.recorder.changed_tensors:
            stamp = next_stamp()
            for tensor in self.recorder.changed_tensors:
                memory_of(tensor).changed = stamp

    def _count(self) -> list[int]:
        """How many refer to the gradients, beside the ``.grad`` that they are put into."""
        counts = [*map(sys.getrefcount, self.watched)]
        for i, (tensor, gradient) in enumerate(self.grads):
            counts[3 * i] -= GRAD.__get__(tensor) is gradient
        return counts


# ------------------------------------------------------------------------------- places and memory


def _gradients(calls: list[Any]) -> set[Any]:
    """What is put into a ``.grad``, and may still be changed there."""
    return {c.out.base for c in calls if type(c) is Call and c.function == "set grad" and c.out}


def _targets(call: Call) -> set[Any]:
    """What a call writes to."""
    targets = {p.base for p in call.changed}
    if type(call.out) is not Place:
        targets.update(c for c in as_list(call.out) if type(c) is Cell)
    return targets


def _in_memory(x: Any) -> bool:
    """Whether it is memory of the program (or a number), not an array from outside."""
    return type(x) is Cell or x.kind == "memory"


def _fixed(calls: list[Call]) -> list[Call]:
    """The calls that give the same in each replay, and so need be done only once."""
    constant = [c for c in calls if c.depends == CONSTANT and not c.effect]
    moving = {p.base for c in calls for p in c.changed if p.base.depends != CONSTANT}
    while True:
        moving.update(p.base for c in set(calls).difference(constant) for p in c.changed)
        still = [c for c in constant if moving.isdisjoint(p.base for p in (*c.reads, *c.changed))]
        if len(still) == len(constant):
            return constant
        constant = still


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
