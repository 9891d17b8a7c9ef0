"""What a program does with the device, counted: `stats`, and `budget` to hold it to a limit."""

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PRODUCT = tuple(f"{ROOT / name}/" for name in ("minigrad", "models"))
SHOWN = 6

stats = Counter()
"""Since the program began: kernels, h2d (copies from the host to the device), d2h (back), sync
(times that the host waited for the device; each copy back is one), float64 (new float64 arrays)."""


@dataclass(frozen=True)
class Event:
    """Something that was counted, and the functions it happened in, the innermost first."""

    kind: str
    what: str
    where: tuple[str, ...]

    def __str__(self):
        return f"{self.kind}: {self.what} in {', called by '.join(self.where)}"


_watchers = []


def count(kind, what):
    """Count one event of `kind`; `what` is the name of the function that caused it."""
    stats[kind] += 1
    if _watchers:
        event = Event(kind, what, _callers())
        for events in _watchers:
            events.append(event)


def copy_to_host(what):
    """Count a copy from the device, for which the host waits."""
    count("d2h", what)
    count("sync", what)


def _callers():
    """The innermost three functions of the product, or the one outside it that called."""
    product, outside, frame = [], None, sys._getframe(2)
    while frame is not None and len(product) < 3:
        path = frame.f_code.co_filename
        if path.startswith(PRODUCT):
            product.append(_shown(frame))
        elif outside is None and Path(path).parent != HERE:
            outside = _shown(frame)
        frame = frame.f_back
    return tuple(product) or (outside,)


def _shown(frame):
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    return f"{frame.f_code.co_qualname} ({path}:{frame.f_lineno})"


@contextmanager
def budget(sync=0, h2d=0, d2h=0, float64=0, kernels=None):
    """Within it, each kind of event may happen only so often (None: as often as it likes).

    Yields the list of events, which grows as they happen.

    Raises
    ------
    AssertionError
        on leaving, if there were more; it tells where they happened.
    """
    limits = {"sync": sync, "h2d": h2d, "d2h": d2h, "float64": float64, "kernels": kernels}
    events = []
    _watchers.append(events)
    try:
        yield events
    finally:
        _watchers[:] = [watcher for watcher in _watchers if watcher is not events]
    seen = Counter(event.kind for event in events)
    over = [kind for kind, most in limits.items() if most is not None and seen[kind] > most]
    if over:
        told = [f"{kind}: {seen[kind]}, allowed are {limits[kind]}" for kind in over]
        for kind in over:
            places = Counter(str(event) for event in events if event.kind == kind)
            told += [f"  {times} x {place}" for place, times in places.most_common(SHOWN)]
            if len(places) > SHOWN:
                told.append(f"  {kind}: {len(places) - SHOWN} more places")
        raise AssertionError("device budget exceeded\n" + "\n".join(told))
