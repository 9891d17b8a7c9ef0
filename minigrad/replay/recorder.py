"""What writes down the calls on arrays, while a function runs once as it always does.

While it records, `array_module` gives the recorder's library, and arrays are `Recorded`: each
stands for a real array, and each call on it runs and is written down. It is written with a `Place`
for each array, which says where the array will be in a replay.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays import recording
from minigrad.arrays.recording import Number
from minigrad.autograd.node import Leaf
from minigrad.autograd.sparse import RowSparse
from minigrad.errors.values import calling_line, told
from minigrad.replay.draws import Draws
from minigrad.replay.functions import (
    ABOUT_TYPES,
    GIVES_ITS_ARGUMENT,
    LIKE,
    UNKNOWN_SHAPE,
    changed_by,
)
from minigrad.replay.memory import is_real, root_of, share_memory
from minigrad.replay.places import CONSTANT, EARLY, LATE, Call, CaptureError, Cell, Place
from minigrad.replay.recorded import Function, Library, Recorded
from minigrad.tensor import Tensor

_PLAIN = frozenset(
    {int, float, bool, str, type(None), type(...), slice, np.dtype, type, complex, np.ufunc}
)


class Recorder:
    """Writes down what one call of a function does to arrays.

    Attributes
    ----------
    calls
        the entries, in their order: each is a `Call`, or a mark of a block: ``("only if", place)``,
        ``("share",)``, ``("piece",)``, ``("end",)``.
    guards
        what was asked about values, and must have the same answer in a replay: the number of calls
        before it, a function, its arguments, the answer.
    paused
        True while a function runs that is one call: there arrays are the real ones.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.guards: list[tuple[int, Any, Any, Any]] = []
        self.numbers: list[tuple[Any, ...]] = []  # of `fresh`
        self.arguments: list[tuple[Cell, int]] = []  # numbers among the arguments
        self.outsiders: list[tuple[Tensor, Any, Any, Any]] = []  # array, node, hooks
        self.draws = Draws()
        self.errors = np.geterr()
        self.grads: dict[Tensor, Any] = {}  # those of outside tensors, as they were found
        self.set_grads: dict[Tensor, Any] = {}  # and as they were set
        self.inputs: list[tuple[Place, Any]] = []  # and where each comes from
        self.stand_ins: list[tuple[Tensor, Recorded]] = []  # for Tensors among the arguments
        self.born: list[Any] = []  # weak references to tensors with a `Recorded`
        self.changed_tensors: dict[Tensor, None] = {}
        self.paused = self.steered = False
        self.refused: CaptureError | None = None  # the first error, which somebody may have caught
        self.spoilt = ""  # why this recording cannot be used
        self._known: dict[int, Recorded] = {}
        self._keep: list[Any] = []  # so that no id of `_known` is used again
        self.outside_memory: dict[int, list[Any]] | None = None  # the arrays, by their memory
        self.changes_memory = True
        self._libraries: dict[str, Library] = {}

    # -------------------------------------------------------------- what stands for what

    def module_of(self, array: Any) -> Any:
        """The array library of a real array."""
        if type(array) is np.ndarray:
            return np
        import cupy

        return cupy

    def library_of(self, module: Any) -> Library:
        """What stands for an array library."""
        if module.__name__ not in self._libraries:
            self._libraries[module.__name__] = Library(module, self)
        return self._libraries[module.__name__]

    def stand(self, array: Any, place: Place) -> Recorded:
        """What stands for the real `array`, which will be at `place`."""
        recorded = Recorded(array, place, self)
        place.stand = weakref.ref(recorded)
        return recorded

    def standing_for(self, place: Place) -> Any:
        """What stands for the array at `place`, if anybody still has it."""
        return place.stand()

    def real(self, place: Place) -> Any:
        """The array of an argument, as the recording has left it."""
        return next(r.array for r in self._known.values() if r.place is place)

    def known(self, array: Any) -> Recorded | None:
        """What stands for a real array that came from outside, if it is known."""
        return self._known.get(id(array))

    def know(self, array: Any, kind: str, depends: int) -> Recorded:
        """Stand for a real array from outside from now on."""
        root = root_of(array)
        base = None
        if root is not array and id(root) in self._known:
            base = self._known[id(root)].place.base
        place = Place(array, kind, depends, base)
        recorded = self.stand(array, place)
        self._known[id(array)] = recorded
        if root is not array:
            self._known.setdefault(id(root), recorded)
        self._keep.append((array, root))
        if kind != "input":
            place.array = array
        return recorded

    def constant(self, array: Any) -> Any:
        """See `minigrad.arrays.recording.constant`."""
        if type(array) is Recorded:
            return array
        known = self.known(array)
        return self.know(array, "constant", CONSTANT) if known is None else known

    def given(self, array: Any) -> Any:
        """What stands for a plain array that somebody hands in."""
        if type(array) is Recorded:
            return array
        known = self.known(array)
        if known is None:
            known = self.know(array, "constant", CONSTANT) if _is_fixed(array) else None
        return self.refuse(array) if known is None else known

    def of_tensor(self, tensor: Tensor, array: Any) -> Recorded:
        """What stands for the array of a tensor from outside."""
        known = self.known(array)
        if known is not None:
            return known
        owner = next((p for p, g in self.grads.items() if g is tensor), None)
        if owner is not None:
            recorded = self.know(array, "input", EARLY)
            self.inputs.append((recorded.place, owner))
            return recorded
        node = tensor._node
        if node is not None and not isinstance(node, Leaf):
            raise self.error(
                f"a Tensor ({told(array)}) from outside the captured function is on a tape, which "
                "a replay could not walk; use x.detach(), or compute it inside"
            )
        recorded = self.know(array, "outside", EARLY)
        recorded.place.tensor = tensor
        hooks = None if node is None or not node.hooks else tuple(node.hooks)
        self.outsiders.append((tensor, array, node, hooks))
        return recorded

    # -------------------------------------------------------------- calls

    def _both(self, x: Any, reads: list[Any]) -> tuple[Any, Any]:
        """An argument as it is now, and with places in place of arrays."""
        kind = type(x)
        if kind is Recorded:
            if x.recorder is not self:
                raise CaptureError("capture: an array of another recording is used in this one")
            reads.append(x.place)
            return x.array, x.place
        if kind in _PLAIN:
            return x, x
        if kind is Number:
            reads.append(x.cell)
            return x.cell.value, x.cell
        if kind in (tuple, list):
            pairs = [self._both(item, reads) for item in x]
            return kind(a for a, _ in pairs), kind(b for _, b in pairs)
        if kind is dict:
            values, forms = self._both(list(x.values()), reads)
            return dict(zip(x, values, strict=True)), dict(zip(x, forms, strict=True))
        if is_real(x):
            known = self.given(x)
            reads.append(known.place)
            return x, known.place
        if isinstance(x, Tensor):
            array = x._array
            if array.place.kind != "outside":
                return self._both(array, reads)
            reads.append(array.place)
            return x, x
        if isinstance(x, Function):
            return x.function, x.function
        return x, x

    def refuse(self, array: Any) -> NoReturn:
        """Raise the error for a plain array that nobody knows."""
        raise self.error(
            f"a NumPy array ({told(array)}) takes part that minigrad has not made, and that may "
            "be another one in the next step; make it a Tensor outside the captured function, or "
            "pass it as an argument; if it never changes, say so: array.flags.writeable = False"
        )

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """If a call fails, and somebody catches its error, a replay would not come to it."""
        try:
            yield
        except Exception:
            self.spoilt = "a call failed, and the error was caught"
            raise

    def call(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        changed: Sequence[Any] = (),
        *,
        found: bool = False,
    ) -> Any:
        """Call a function of arrays, and write it down; what it gives stands for its result.

        With `found`, an argument that it gives back is one that it has changed.
        """
        if self.paused:
            raise self.error(
                f"a recorded array is used inside a call that is one entry: {function}"
            )
        if recording.here.recorder is not self:
            raise CaptureError(
                "capture: an array of a captured function is used after the function has ended; "
                "return it as a result"
            )
        call = Call(function, None, None)
        reads = call.reads
        real, forms = [], []
        for x in args:
            if type(x) is Recorded:
                real.append(x.array)
                forms.append(x.place)
                reads.append(x.place)
            elif type(x) in _PLAIN:
                real.append(x)
                forms.append(x)
            else:
                a, b = self._both(x.to_dense() if type(x) is RowSparse else x, reads)
                real.append(a)
                forms.append(b)
        options, call.kwargs = self._both(kwargs, reads) if kwargs else ({}, kwargs)
        with self._noticed():
            result = function(*real, **options)
        if not changed and found and any(result is x for x in real):
            changed = [x for x, array in zip(args, real, strict=True) if array is result][:1]
        if (errors := np.geterr()) != self.errors:  # an `np.errstate` begins or ends here
            self.errors = errors
            self.calls.append(("errstate", errors))
        call.args = tuple(forms)
        call.depends = self._depends(reads)
        if call.depends != CONSTANT:
            for place in reads:
                place.base.used = True
        if changed:
            for x in changed:
                self._note_change(call, x)
            self.calls.append(call)
            if result is None:
                return None
            return changed[0] if len(changed) == 1 else tuple(changed)
        if function is operator.getitem and call.depends != CONSTANT and _has_mask(args[1]):
            raise self.unknown_shape("x[mask]")
        if function is operator.getitem and call.depends != CONSTANT and _has_scalar(args[1]):
            result.flags.writeable = False  # NumPy gives a view there, this is a copy
        return self._results(call, result, any(map(_is_loose, reads)))

    def _depends(self, reads: list[Any]) -> int:
        return max([p.base.depends for p in reads], default=CONSTANT)

    def _note_change(self, call: Call, x: Any) -> None:
        if type(x) is not Recorded:
            known = self.known(x)
            if known is None:
                raise self.error(
                    f"a result is written into a NumPy array ({told(x)}) that was made past "
                    "minigrad.array_module; make it by array_module(x).empty(...), or leave out= "
                    "away"
                )
            x = known
        base = x.place.base
        call.changed.append(x.place)
        base.simple = base.simple and not base.writes and self._simple(call.reads, base)
        base.writes += 1
        if base.kind != "memory" or base.used:
            base.depends = LATE
        base.depends = max(base.depends, call.depends)
        tensor = base.tensor
        if tensor is not None:
            self.changed_tensors[tensor] = None

    def _simple(self, reads: list[Any], other_than: Any = None) -> bool:
        """Whether these are written at most once."""
        return all(type(p) is Cell or p.base is other_than or p.base.simple for p in reads)

    def _results(self, call: Call, result: Any, loose: bool) -> Any:
        if isinstance(result, tuple | list):
            self.calls.append(call)
            call.out = []
            made = [self._result(call, x, loose, i) for i, x in enumerate(result)]
            if all(type(x) is not Recorded or x.place.kind == "view" for x in made):
                self.calls.remove(call)
            return type(result)(made) if type(result) in (tuple, list) else tuple(made)
        made = self._result(call, result, loose, None)
        if type(made) is Recorded and call.out is not None:
            self.calls.append(call)
        return made

    def _result(self, call: Call, result: Any, loose: bool, number: int | None) -> Any:
        """What stands for one result: of a call, of a view, or of an argument itself."""
        scalar = isinstance(result, np.generic)
        if scalar:
            result = np.asarray(result)
        elif not is_real(result):
            return self._no_array(call, result, number)
        elif not loose and (result.base is not None or call.depends != CONSTANT):
            for p in call.reads:
                if type(p) is Cell:
                    continue
                stand = p.stand()
                array = p.array if stand is None else stand.array
                if array is result:
                    return stand
                if result.base is not None and array is not None and share_memory(result, array):
                    view = Place(result, "view", 0, p.base)
                    view.source = (call.function, call.args, call.kwargs, number)
                    return self.stand(result, view)
        place: Any = Cell(result, LATE) if loose else Place(result, "memory", call.depends)
        place.writes, place.simple = 1, not loose and self._simple(call.reads)
        if number is None:
            call.out = place
        else:
            call.out += [None] * (number - len(call.out)) + [place]
        call.changed.append(place)
        recorded = self.stand(result, place)
        recorded.scalar = scalar
        return recorded

    def _no_array(self, call: Call, result: Any, number: int | None) -> Any:
        """A result that is no array: a dtype, a shape; or a value, and so an answer."""
        name = getattr(call.function, "__name__", "")
        if not isinstance(result, bool | int | float) or name in ABOUT_TYPES:
            return result
        return self._answered(call.function, call.args, call.kwargs, call.reads, result)

    def call_function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function of the array library that is no ufunc."""
        name = getattr(function, "__name__", "")
        if name in UNKNOWN_SHAPE and (name != "where" or len(args) + len(kwargs) == 1):
            raise self.unknown_shape(name)
        if name in LIKE and type(args[0]) is Recorded:  # only its shape, dtype and layout matter
            array = function(args[0].array, *args[1:], **kwargs)
            call = Call(function, (None, *args[1:]), kwargs)
            call.depends = CONSTANT
            return self._results(call, array, False)
        if name in ("sort", "partition"):  # they give a copy; the methods don't
            return self.call(function, args, kwargs)
        return self._call(function, args, kwargs, name)

    def _call(self, function: Any, args: Any, kwargs: Any, name: str) -> Any:
        found = name not in GIVES_ITS_ARGUMENT
        return self.call(function, args, kwargs, changed_by(name, args, kwargs), found=found)

    def call_method(self, name: str, x: Recorded, args: Any, kwargs: Any) -> Any:
        """Call a method of an array."""
        if name in UNKNOWN_SHAPE:
            raise self.unknown_shape(name)
        return self._call(getattr(type(x.array), name), (x, *args), kwargs, name)

    def one_call(
        self, function: Any, args: Any, kwargs: Any, changed: list[int], loose: bool
    ) -> Any:
        """Call a function that is one entry: within it, arrays are the real ones."""
        call = Call(function, None, None)
        real, call.args = self._both(tuple(args), call.reads)
        options, call.kwargs = self._both(kwargs, call.reads)
        self.paused = True
        try:
            with self._noticed(), self.draws.by_minigrad((*args, *kwargs.values())):
                result = function(*real, **options)
        finally:
            self.paused = False
        call.effect = True
        for place in call.reads:
            place.base.used = True
        for i in changed:
            for x in _arrays_in(args[i]):
                self._note_change(call, x)
        made = self._results(call, result, loose)
        if call not in self.calls[-1:]:
            self.calls.append(call)
        return made

    def unknown_shape(self, what: str) -> CaptureError:
        """The error for a result whose shape depends on values."""
        return self.error(
            f"{what} gives an array whose shape depends on values, so the next step would have "
            "another one; use mg.where(mask, x, 0), or do it outside the captured function"
        )

    def error(self, text: str) -> CaptureError:
        """An error that names the user's line."""
        error = CaptureError(f"capture: {text} (at {calling_line()})")
        self.refused = self.refused or error
        return error

    # -------------------------------------------------------------- values that Python asks for

    def ask(self, function: Any, x: Recorded) -> Any:
        """What `function` says about the values of `x`.

        The answer steers Python, so a replay is right only if it is the same. If the values are
        known when a replay begins, it is asked again there.
        """
        return self._answered(function, (x.place,), {}, [x.place], function(x.array))

    def _answered(self, function: Any, args: Any, kwargs: Any, reads: Any, answer: Any) -> Any:
        depends = self._depends(reads)
        if depends == EARLY and self._simple(reads):
            self.guards.append((len(self.calls), function, (args, kwargs), answer))
        elif depends != CONSTANT:
            raise self.error(
                "a Python number, a truth or a list was made of an array that the step has "
                "computed; a replay would not see another value. Return the Tensor, and look at "
                "it outside the captured function; to choose by values, use mg.where(condition, "
                "a, b)"
            )
        return answer

    def item(self, x: Recorded) -> Number:
        """The single element of `x`, as a number."""
        call = Call(type(x.array).item, (x.place,), {})
        call.reads, call.depends = [x.place], x.place.base.depends
        call.out = Cell(x.array.item(), call.depends)
        self.calls.append(call)
        return Number(call.out)

    def number(self, function: Any, *args: Any) -> Number:
        """The result of an operator on numbers."""
        cells = [x.cell if type(x) is Number else x for x in args]
        values = [x.value if type(x) is Cell else x for x in cells]
        call = Call(function, tuple(cells), {})
        call.reads = [x for x in cells if type(x) is Cell]
        call.depends = self._depends(call.reads)
        call.out = Cell(function(*values), call.depends)
        self.calls.append(call)
        return Number(call.out)

    def answer(self, function: Any, number: Number, *others: Any) -> Any:
        """What is asked about a number."""
        others = tuple(x.cell.value if type(x) is Number else x for x in others)
        answer = function(number.cell.value, *others)
        return self._answered(function, (number.cell, *others), {}, [number.cell], answer)

    def fresh(self, function: Any, args: Any) -> Any:
        """See `minigrad.arrays.recording.fresh`."""
        self.paused = True
        try:
            arrays, numbers = function(*args)
        finally:
            self.paused = False
        cells = [
            Cell(x, EARLY) if isinstance(x, int | float) and type(x) is not bool else x
            for x in numbers
        ]
        self.numbers.append((function, args, list(arrays), list(numbers), cells))
        if self.steered:  # ask once more at this place
            call = Call("fresh", (len(self.numbers) - 1,), {})
            call.effect = True
            self.calls.append(call)
        return (
            [x if x is None else self.known(x) or self.know(x, "outside", EARLY) for x in arrays],
            [Number(x) if type(x) is Cell else x for x in cells],
        )

    # -------------------------------------------------------------- blocks

    @contextmanager
    def only_if(self, condition: Any) -> Iterator[bool]:
        """See `minigrad.arrays.recording.only_if`."""
        if type(condition) is not Recorded:
            yield bool(condition)
            return
        holds = bool(condition.array)
        if not holds:
            self.spoilt = "something was not finite, so a part of the step was left out"
            yield False
            return
        self.calls.append(("only if", condition.place))
        yield True
        self.calls.append(("end",))

    def share(self, function: Any, pieces: Sequence[Any]) -> None:
        """See `minigrad.arrays.threads.share`: the pieces run side by side in a replay, too."""
        self.calls.append(("share",))
        for piece in pieces:
            self.calls.append(("piece",))
            function(piece)
        self.calls.append(("end",))

    # -------------------------------------------------------------- at the end

    def forget(self) -> None:
        """Let go of what only the recording itself needs."""
        self._known, self._keep, self.born, self.set_grads = {}, [], [], {}

    # -------------------------------------------------------------- gradients

    def set_grad(self, tensor: Tensor, gradient: Any) -> None:
        """Write down that an outside tensor's ``.grad`` was set."""
        self.set_grads[tensor] = gradient
        call = Call(None, (tensor,), {})
        if isinstance(gradient, RowSparse):
            call.args = (tensor, gradient.rows.place, gradient.values.place, gradient.shape)
            call.reads = list(call.args[1:3])
        elif gradient is not None:
            call.out = gradient._array.place
            call.reads = [call.out]
        call.effect, call.function = True, "set grad"
        self.calls.append(call)


def _is_loose(place: Any) -> bool:
    return type(place) is Cell and is_real(place.value)


def _is_fixed(array: Any) -> bool:
    return type(array) is np.ndarray and not array.flags.writeable


def _has_mask(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    masks = [part for part in parts if getattr(part, "dtype", None) == np.bool_ and part.ndim]
    return any(m.place.base.depends != CONSTANT for m in masks if type(m) is Recorded)


def _has_scalar(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    return any(type(part) is Recorded and part.scalar for part in parts)


def _arrays_in(x: Any) -> Iterator[Any]:
    """The arrays in nested lists and tuples; of Tensors, their arrays."""
    if isinstance(x, tuple | list):
        for item in x:
            yield from _arrays_in(item)
    elif isinstance(x, Tensor):
        yield x._array
    elif x is not None:
        yield x
