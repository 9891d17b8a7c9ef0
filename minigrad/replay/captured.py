"""`capture`: a function that is recorded at its first call, and replayed at later ones."""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, update_wrapper
from types import MethodType
from typing import Any

from minigrad.arrays import recording
from minigrad.arrays.library import array_module, bare, is_array, on_gpu
from minigrad.arrays.recording import Number
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.node import FREED, Leaf, Output
from minigrad.autograd.sparse import RowSparse
from minigrad.errors.values import told
from minigrad.replay.kept import check_apart, check_kept
from minigrad.replay.memory import Pool, is_real, new_like
from minigrad.replay.places import EARLY, Call, CaptureError, Cell
from minigrad.replay.program import Program
from minigrad.replay.recorded import Recorded
from minigrad.replay.recorder import Recorder
from minigrad.replay.slots import ARRAY, Slots
from minigrad.replay.watching import Watch
from minigrad.tensor import Tensor, wrap

KEPT = 8
"""How many recordings of one function are kept, for arguments of other shapes."""


def capture(function: Callable[..., Any]) -> Captured:
    """A function that is recorded at its first call, and replayed at later ones.

    The results are the same, down to the last bit; but its Python doesn't run again, so it should
    only compute, and return what is to be printed, compared or kept. `explain()` of what you get
    says what was recorded. docs/capture.md says what a captured function may do.

    Raises
    ------
    TypeError
        if `function` is none, or is a generator or a coroutine.
    CaptureError
        when it is called, if a replay would be wrong; it says what to do instead.
    """
    return Captured(function)


class Captured:
    """What `capture` gives; it is called like the function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"capture: expected a function, got {told(function)}")
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"capture: {function.__name__} is a generator (yield) or a coroutine (async), of "
                "which a call runs nothing; capture a function that takes one step and returns"
            )
        self.function = function
        self._programs: dict[Any, list[tuple[Program, Any, Any]]] = {}
        self._recordings, self._reason = 0, ""
        self._pool = Pool()
        self._lock = threading.RLock()  # the memory of a program is there once
        update_wrapper(self, function)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: `self` is the first argument."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        """A copy, or what is read from a pickle, records anew; a decorated function is its name."""
        f = self.function
        module = sys.modules.get(getattr(f, "__module__", None) or "")
        if getattr(module, getattr(f, "__name__", ""), None) is self:
            return f.__name__
        return Captured, (f,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        observed = watchers and (modes.anomaly or modes.observer is not None)
        if recording.here.recorder is not None or observed:
            return self.function(*args, **kwargs)
        leaves: list[Any] = []
        key = (_key(args, leaves), _key(kwargs, leaves) if kwargs else None, bool(modes.recording))
        with self._lock:
            programs = self._programs.get(key, [])
            for program, results, _ in programs:
                reason = program.why_not(leaves)
                if not reason:
                    check_apart(program.recorder, leaves)
                    program.run(leaves)
                    return _given(results)
                self._reason = reason
            if not programs:
                self._reason = "the arguments have other shapes, dtypes or values"
            return self._record(key, args, kwargs)

    def _record(self, key: Any, args: Any, kwargs: Any) -> Any:
        objects = [
            x for x in (*args, *kwargs.values()) if hasattr(x, "__dict__") or hasattr(x, "__next__")
        ]
        watch, recorder = Watch(self.function, objects), Recorder()
        recorder.draws.watch(watch.generators)
        leaves: list[Any] = []
        slots = Slots(recorder)
        try:
            with slots:
                stand_ins = _stand_ins((args, kwargs), recorder, leaves)
                result = self.function(*stand_ins[0], **stand_ins[1])
                places: dict[Any, Any] = {}
                form = _form(result, places)
                del result, stand_ins
        except BaseException:
            slots.leave()
            raise
        if recorder.refused is not None:  # somebody has caught it
            raise recorder.refused
        changed = watch.changed()
        check_kept(recorder, changed)
        recorder.draws.check()
        if changed:
            raise CaptureError(
                f"capture: the function sets {changed}, which a replay would not do; set it "
                "outside the captured function, or return the new value"
            )
        if nodes := [node for _, _, node, hooks in recorder.outsiders if hooks]:
            hooks = [hook for node in nodes for hook in (node.hooks or {}).values()]
            watch = Watch(self.function, [*objects, *hooks])
        check_apart(recorder, leaves)
        real = _given(form, places)
        for place, number in recorder.inputs:
            if place.writes and type(number) is int:
                bare(leaves[number])[...] = recorder.real(place)
        recorder.forget()
        if not recorder.spoilt and not recorder.draws.by_others:
            self._keep(key, Program(recorder, list(places), watch, self._pool), form, args, kwargs)
        return real

    def _keep(self, key: Any, program: Program, form: Any, *arguments: Any) -> None:
        """Keep a program, and with it the objects among the arguments, whose ids are in `key`."""
        kept = self._programs.setdefault(key, [])
        kept.insert(0, (program, form, arguments if "same" in str(key) else None))
        self._recordings += 1
        if sum(map(len, self._programs.values())) > KEPT:
            oldest = next(iter(self._programs))
            self._programs[oldest].pop()
            if not self._programs[oldest]:
                del self._programs[oldest]
            self._pool.keep([p.memory for kept in self._programs.values() for p, *_ in kept])
        if self._recordings == 2 * KEPT:
            warnings.warn(
                f"capture: {self._name} was recorded {self._recordings} times, the last time "
                f"because {self._reason}; each recording takes longer than the step itself. Pass "
                "what changes as Tensors of few shapes, or as floats, or leave it uncaptured",
                stacklevel=4,
            )

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def explain(self) -> str:
        """What was recorded, in words; `print` it."""
        lines = [f"{self._name}: {self._recordings} recording{'s' * (self._recordings != 1)}"]
        if self._recordings > 1:
            lines[0] += f"; the last one because {self._reason}"
        for kept in self._programs.values():
            for program, *_ in kept:
                lines += ["", *explained(program)]
        return "\n".join(lines)


def explained(program: Program) -> Iterator[str]:
    """What a recording consists of, line by line."""
    recorder = program.recorder
    if not program.bound:
        program.bind()
    calls = [c for c in (*program.prelude, *program.main) if type(c) is Call]
    kinds = Counter(c.name for c in calls if not c.name.startswith("empty"))  # memory is there
    yield f"calls in a replay       {sum(kinds.values()):>9,}"
    for name, count in sorted(kinds.items(), key=lambda item: -item[1]):
        yield f"    {name:<20}{count:>9,}"
    yield f"left out                {program.dead + len(program.fixed):>9,}"
    yield f"    nobody uses them    {program.dead:>9,}"
    yield f"    always the same     {len(program.fixed):>9,}"
    yield f"views, made once        {len(program.views):>9,}"
    yield f"bytes of memory         {program.nbytes:>9,}"
    yield f"    each by itself      {program.unplanned:>9,}"
    yield f"arrays from outside     {len(recorder.outsiders):>9,}"
    yield f"values that must be as they were  {len(recorder.guards)}"


def _key(x: Any, leaves: list[Any]) -> Any:
    """What a recording is made for: the structure, shapes and dtypes of arguments."""
    kind = type(x)
    if is_real(x) and (x.ndim or on_gpu(x)):
        leaves.append(x)
        return kind, x.shape, x.dtype, x.strides if x.dtype.kind == "f" else None
    if isinstance(x, Tensor):
        if isinstance(x._node, Leaf):
            return "same", id(x)
        if x._node is not None:
            raise CaptureError(
                f"capture: an argument ({told(x)}) is on a tape, which a replay could not walk; "
                "pass x.detach()"
            )
        leaves.append(x._array)
        return Tensor, x._array.shape, x._array.dtype, x._array.strides
    if kind is float:
        leaves.append(x)
        return float
    if kind in (tuple, list) or isinstance(x, tuple):
        return kind, tuple([_key(item, leaves) for item in x])
    if kind is dict:
        return dict, tuple([(name, _key(item, leaves)) for name, item in x.items()])
    if is_array(x) and not x.ndim and not on_gpu(x):
        raise CaptureError(
            f"capture: an argument is a NumPy number ({x.dtype}); pass a Python number, x.item(), "
            "or mg.tensor(x)"
        )
    if is_array(x):
        leaves.append(x)
        return kind, x.shape, x.dtype
    if kind in (int, bool, str, type(None)):
        return kind, x
    return "same", id(x)


def _stand_ins(x: Any, recorder: Recorder, leaves: list[Any]) -> Any:
    """The arguments of the function while it is recorded."""
    kind = type(x)
    if isinstance(x, Tensor):
        if isinstance(x._node, Leaf):
            return x
        recorded = _input(ARRAY.__get__(x), recorder, len(leaves))
        leaves.append(x)
        tensor = wrap(recorded)
        recorder.stand_ins.append((tensor, recorded))
        return tensor
    if kind is float:
        cell = Cell(x, EARLY)
        recorder.arguments.append((cell, len(leaves)))
        leaves.append(x)
        return Number(cell)
    if kind in (tuple, list):
        return kind(_stand_ins(item, recorder, leaves) for item in x)
    if isinstance(x, tuple):
        return kind(*[_stand_ins(item, recorder, leaves) for item in x])
    if kind is dict:
        return {name: _stand_ins(item, recorder, leaves) for name, item in x.items()}
    if is_array(x):
        recorded = _input(x, recorder, len(leaves))
        leaves.append(x)
        return recorded
    return x


def _input(array: Any, recorder: Recorder, number: int) -> Recorded:
    """What stands for an argument: for a copy, so that it is none of the arrays known otherwise."""
    recorded = recorder.know(_copied(array), "input", EARLY)
    recorder.inputs.append((recorded.place, number))
    return recorded


def _form(x: Any, places: dict[Any, Any]) -> Any:
    """The results, with places in place of arrays; `places` gets these and the arrays as of now."""
    kind = type(x)
    if isinstance(x, Tensor):
        array = x._array
        if array.place.kind == "outside":
            return "same", x
        node = x._node.parents[0] if isinstance(x._node, Output) else x._node
        if node is not None and node.saved is not FREED:
            raise CaptureError(
                f"capture: a result ({told(array)}) is on the tape, which a replay does not build; "
                "return x.detach(), and call backward() within the captured function"
            )
        places[array.place] = array.array
        return "tensor", array.place
    if kind is Recorded:
        places[x.place] = x.array
        return "array", x.place
    if kind is RowSparse:
        return partial(_sparse, x.shape), [_form(x.rows, places), _form(x.values, places)]
    if kind is Number:
        places[x.cell] = x.cell.value
        return "number", x.cell
    if kind in (tuple, list):
        return kind, [_form(item, places) for item in x]
    if isinstance(x, tuple):
        return (lambda items: kind(*items)), [_form(item, places) for item in x]
    if kind is dict:
        names = list(x)
        return (lambda items: dict(zip(names, items, strict=True))), [
            _form(item, places) for item in x.values()
        ]
    return "same", x


def _given(form: Any, places: dict[Any, Any] | None = None) -> Any:
    """The results for the caller, in memory of their own."""
    kind, x = form
    if kind == "tensor":
        return wrap(_copied(_array_at(x) if places is None else places[x]))
    if kind == "array":
        return _copied(_array_at(x) if places is None else places[x])
    if kind == "number":
        return x.value if places is None else places[x]
    if kind == "same":
        return x
    return kind([_given(item, places) for item in x])


def _copied(array: Any) -> Any:
    """A copy that lies in memory in the same way, so that sums of it have the same bits."""
    if array.flags.c_contiguous or array.dtype.kind != "f":
        return array.copy(order="K")
    copy = new_like(array, array_module(array))
    copy[...] = array
    return copy


def _array_at(place: Any) -> Any:
    return place.value if type(place) is Cell else place.array


def _sparse(shape: tuple[int, int], parts: Any) -> RowSparse:
    rows, values = parts
    return RowSparse(rows, values, shape)
