"""Measures of a language model, and a log of them, with one JSON object on each line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.errors.values import told


def bits(nats: float) -> float:
    """A loss in nats per token as bits per token; for characters these are bits per character."""
    return float(nats) / math.log(2)


def perplexity(nats: float) -> float:
    """e^loss for a loss in nats per token; infinity if that is too large for a float.

    A model that thinks k tokens equally likely has the perplexity k.
    """
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def _number(x: Any) -> Any:
    """A number of NumPy, or an array or Tensor without axes, as a number of Python."""
    if getattr(x, "shape", None) != ():
        raise TypeError(f"MetricsLog: a record holds numbers, text, lists, dicts, not {told(x)}")
    return x.item()


class MetricsLog:
    """A file of records, one JSON object on each line, to which a run adds records.

    Each record is written at once and in one piece. If the machine stops in the middle of a record,
    `read` leaves it out.

    Parameters
    ----------
    path
        the file, which may not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add `record`.

        Raises
        ------
        ValueError
            if a number in it is NaN or infinite; JSON has no word for these.
        TypeError
            if something in it is neither JSON nor a number (of Python, of NumPy or in a Tensor).
        OSError
            if it cannot be written.
        """
        line = json.dumps(record, allow_nan=False, ensure_ascii=False, default=_number) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())

    def read(self) -> list[dict[str, Any]]:
        """All records so far.

        Raises
        ------
        ValueError
            if a line is not a JSON object; the message has its number. An unfinished last line is
            left out.
        OSError
            if the file is missing or cannot be read.
        """
        records = []
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise ValueError(f"MetricsLog: line {number} of {str(self.path)!r} is no record")
            records.append(record)
        return records
