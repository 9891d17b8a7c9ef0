"""A timeline in the Trace Event Format, which Perfetto and Chrome open.

It is a JSON object whose ``traceEvents`` are objects, each with its phase ``ph``: ``M`` names the
process and its threads, ``X`` is a slice with a start ``ts`` and a duration ``dur``, ``C`` a
counter, and an arrow goes from ``s`` to ``f``. Times are in microseconds. ("Trace Event Format", a
document of the Chromium project.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def trace(slices: Sequence[Any], memory: Sequence[tuple[int, int]], title: str) -> bytes:
    """The JSON of a `Timeline`."""
    place = {"pid": 1, "tid": 1}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", **place, "args": {"name": title}},
        {"ph": "M", "name": "thread_name", **place, "args": {"name": _thread(slices)}},
    ]
    ops = {s.facts["node"]: s for s in slices if s.category == "op" and "node" in s.facts}
    for s in sorted(slices, key=lambda s: (s.start, -s.duration)):
        facts = {name: _plain(name, value) for name, value in s.facts.items()}
        events.append(
            {
                "ph": "X",
                "name": s.name,
                "cat": s.category,
                **place,
                "ts": s.start / 1000,
                "dur": s.duration / 1000,
                "args": facts,
            }
        )
        op = ops.get(s.facts.get("node")) if s.category == "rule" else None
        if op is not None:
            arrow = {"name": "gradient", "cat": "gradient", "id": s.facts["node"], **place}
            events.append({"ph": "s", **arrow, "ts": op.start / 1000})
            events.append({"ph": "f", "bp": "e", **arrow, "ts": s.start / 1000})
    for time, held in memory:
        counter = {"ph": "C", "name": "bytes held", **place, "ts": time / 1000}
        events.append({**counter, "args": {"bytes": held}})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}).encode()


def _thread(slices: Sequence[Any]) -> str:
    if any("wait" in s.facts for s in slices):
        return "Python, which waits for the GPU after each op"
    return "Python"


def _plain(name: str, value: Any) -> Any:
    """Shapes as people write them, and waits in microseconds."""
    if name == "wait":
        return value / 1000
    return ", ".join(map(str, value)) if isinstance(value, list) else value
