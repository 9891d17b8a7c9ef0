"""What is known of an entry or a body, in short words: for nodes, tooltips and tables."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.files import printable
from minigrad.viz.drawing.graph import Graph
from minigrad.viz.drawing.recurrence import Recurrence, RecurrentLayer
from minigrad.viz.reading import Entry, Numbers, Saved, whole

LETTERS = {
    "weight_ih": "W_xh",
    "weight_hh": "W_hh",
    "bias_ih": "b_xh",
    "bias_hh": "b_hh",
    "weight": "W",
    "bias": "b",
}
"""Names of parameters in the letters of the textbooks."""

NAMELESS = frozenset({"a", "b", "x", "x1", "x2", "arrays"})
"""Names of parameters of ops, which say nothing of a constant that has no name itself."""

KINDS = {
    "parameter": "parameter",
    "input": "input that requires a gradient",
    "constant": "constant",
    "freed": "freed by an earlier backward pass",
}


# ---------------------------------------------------------------------- numbers


def norm(array: Numbers | None) -> float | None:
    """The Euclidean norm of all elements; None if they are not known."""
    if array is None:
        return None
    flat = np.asarray(array, np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(flat @ flat)
        if np.isfinite(square) or not np.isfinite(flat).all():
            return float(np.sqrt(square))
        largest = float(np.abs(flat).max())
        return largest * float(np.linalg.norm(flat / largest))


def not_finite(array: Numbers | None) -> bool:
    """Whether NaN or an infinity is in it."""
    return array is not None and array.dtype.kind == "f" and not np.isfinite(array).all()


def number(x: float) -> str:
    """A number with three significant digits."""
    return f"{x:.3g}"


def summary(array: Numbers | None) -> str:
    """An array in a line: its only element, or the range, mean and norm; and what is not finite."""
    if array is None:
        return "not known"
    if array.size == 0:
        return "no elements"
    if array.size == 1:
        return _element(array.ravel()[0])
    if array.dtype.kind not in "iuf":
        return f"{array.dtype}"
    if array.dtype.kind in "iu":
        return f"from {array.min()} to {array.max()}"
    finite = np.isfinite(array)
    wrong = ""
    if not finite.all():
        nan = int(np.isnan(array).sum())
        infinite = int(array.size - finite.sum()) - nan
        told = [
            f"{count} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count
        ]
        wrong = f"{' and '.join(told)} of {array.size}"
        array = array[finite]
        if not array.size:
            return wrong
        wrong = f"{wrong}; the others "
    wide = np.asarray(array, np.float64)
    low, mean, high = wide.min(), wide.mean(), wide.max()
    return f"{wrong}from {low:.3g} to {high:.3g}, mean {mean:.3g}, norm {norm(wide):.3g}"


def _element(x: Any) -> str:
    return number(float(x)) if np.asarray(x).dtype.kind == "f" else str(x)


def size(nbytes: int) -> str:
    """A number of bytes in words: 12 B, 3.4 kB."""
    amount, unit = float(nbytes), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{nbytes} B" if unit == "B" else f"{amount:.3g} {unit}"


def gradient_norm(entry: Entry) -> float | None:
    """The norm of the gradient of all its results together; None if none arrives."""
    norms = [norm(result.gradient) for result in entry.results]
    known = [n for n in norms if n is not None]
    return float(np.hypot.reduce(known)) if known else None


# ---------------------------------------------------------------------- names


def title(entry: Entry) -> str:
    """The op, or the name of a leaf."""
    if entry.kind == "constant" and entry.name in NAMELESS:
        return "constant"
    return printable(entry.op or entry.name or entry.kind)


def shape(entry: Entry) -> str:
    """The shape; of an op with several results how many there are of it, or all shapes."""
    shapes = [str(result.shape) for result in entry.results]
    if len(shapes) > 1 and len(set(shapes)) == 1:
        return f"{len(shapes)} × {shapes[0]}"
    return ", ".join(shapes) if len(shapes) < 4 else f"{len(shapes)} shapes"


def short_names(entries: Iterable[Entry]) -> dict[int, str]:
    """A short name for each: a letter of the textbooks, with what tells it from the others."""
    found: dict[int, tuple[str, str, str]] = {}
    for entry in entries:
        path, _, last = entry.name.rpartition(".")
        match = re.fullmatch(r"(weight|bias)(_[ih]h)?(_l\d+)?(_reverse)?", last)
        if match is None:
            found[entry.index] = last or f"#{entry.index}", "", path
            continue
        letter = LETTERS[match[1] + (match[2] or "")]
        where = (match[3] or "")[1:] + (" rev" if match[4] else "")
        found[entry.index] = letter, where, path
    names: dict[int, str] = {}
    for index, (letter, where, path) in found.items():
        alike = [other for i, other in found.items() if other[0] == letter and i != index]
        name = letter
        if any(other[1] != where for other in alike):
            name = f"{name} {where}".rstrip()
        if any(other[2] != path and other[1] == where for other in alike):
            of = path.rpartition(".")[2]
            name = f"{name} {of}" if of.isdigit() else f"{of} {name}".lstrip()
        names[index] = printable(name)
    return names


def layer_name(graph: Graph, layer: RecurrentLayer) -> str:
    """What a recurrent layer is called, by the layers around it or by what its steps share."""
    shared = sorted((graph.entries[i] for i in layer.shared), key=lambda e: e.kind != "parameter")
    names = [entry.name for entry in shared if entry.name]
    for name in names:
        match = re.fullmatch(r"(.*?)\.?(?:weight|bias)_[ih]h(?:_l(\d+))?(_reverse)?", name)
        if match is not None:
            words = [match[1]] if match[1] else []
            words += [f"layer {match[2]}"] if match[2] else []
            words += ["reverse"] if match[3] else []
            return printable(", ".join(words) or "recurrence")
    paths = {name.rpartition(".")[0] for name in names}
    if len(paths) == 1 and (path := paths.pop()):
        return printable(path)
    return printable(f"recurrence of {', '.join(names[:3])}" if names else "recurrence")


def layer_names(graph: Graph, recurrence: Recurrence) -> list[str]:
    """The names of all recurrent layers."""
    names = [layer_name(graph, layer) for layer in recurrence.layers]
    parts = [name.partition(", layer ") for name in names]
    several = {path for path, _, number in parts if number and number[0] != "0"}
    return [
        name if path in several or not number else path + number[1:]
        for name, (path, _, number) in zip(names, parts, strict=True)
    ]


# ---------------------------------------------------------------------- all of it


def facts(entry: Entry) -> list[tuple[str, str]]:
    """All that is known of an entry: pairs of what it is, and what it is like."""
    found = [("op", entry.op)] if entry.op else []
    if entry.name:
        found.append(("name", entry.name))
    if entry.kind in KINDS:
        found.append(("kind", KINDS[entry.kind]))
    found.append(("shape", shape(entry)))
    found.append(("dtype", str(entry.result.dtype)))
    for label, values in (
        ("value", [result.value for result in entry.results]),
        ("gradient", [result.gradient for result in entry.results]),
    ):
        if len(values) == 1:
            if values[0] is not None or label == "value":
                found.append((label, summary(values[0])))
            elif entry.kind != "constant":
                found.append((label, "none arrives, or it is not known"))
        else:
            known = [(i, v) for i, v in enumerate(values) if v is not None]
            found.extend((f"{label} {i}", summary(v)) for i, v in known[:4])
            if len(known) > 4:
                found.append((f"{label} …", f"and {len(known) - 4} more"))
    found.extend((f"option {name}", told) for name, told in entry.options.items())
    if entry.kind == "op":
        found.append(("keeps", kept(entry)))
    if entry.line is not None:
        found.append(("line", f"{entry.line}  {entry.line.text}".rstrip()))
    if entry.layers:
        found.append(("layers", " › ".join(layer.name for layer in entry.layers)))
    return [(label, printable(text)) for label, text in found]


def kept(entry: Entry) -> str:
    """What an op keeps for the way back, in words, with its bytes."""
    arrays = [saved for saved in entry.saved if saved.memory]
    others = [saved.name for saved in entry.saved if not saved.memory and "[" not in saved.name]
    words = [f"{saved.name} ({size(saved.nbytes)}{_of(saved, entry)})" for saved in arrays]
    words += [", ".join(others)] if others else []
    return "; ".join(words) or "nothing"


def _of(saved: Saved, entry: Entry) -> str:
    if saved.source is entry:
        return ", its own result"
    if saved.source is not None and saved.source.kind == "parameter":
        return ", the parameter itself"
    return ""


def kept_bytes(entries: Iterable[Entry]) -> int:
    """What they keep together, without the parameters: of one memory the parts that they keep."""
    parts: dict[int, dict[int, int]] = defaultdict(dict)
    sizes: dict[int, int] = {}
    for saved in _arrays_kept(entries):
        parts[saved.memory][id(saved.value)] = saved.nbytes
        sizes[saved.memory] = int(whole(saved.value).nbytes)
    return sum(min(sizes[memory], sum(each.values())) for memory, each in parts.items())


def held_bytes(entries: Iterable[Entry]) -> int:
    """What cannot be freed as they keep it: each memory as a whole, but for the parameters."""
    return sum({s.memory: int(whole(s.value).nbytes) for s in _arrays_kept(entries)}.values())


def _arrays_kept(entries: Iterable[Entry]) -> Iterator[Saved]:
    for entry in entries:
        for saved in entry.saved:
            if saved.memory and (saved.source is None or saved.source.kind != "parameter"):
                yield saved


def norms(entries: Sequence[Entry]) -> list[float]:
    """The norms of the gradients that are known."""
    return [n for entry in entries if (n := gradient_norm(entry)) is not None]


def lines_of(entries: Sequence[Entry]) -> str:
    """The lines of the program that made them, in words."""
    found = list(dict.fromkeys(e.line for e in entries if e.line is not None))
    if not found:
        return ""
    files = dict.fromkeys(os.path.basename(line.file) for line in found)
    told = [
        f"{file}:{', '.join(str(x.number) for x in found if os.path.basename(x.file) == file)}"
        for file in files
    ]
    return "; ".join(told)
