"""Measures of a language model, and a log of them: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.errors.values import told


def bits(nats: float) -> float:
    """A loss in nats per token as bits per token: of a model of characters, bits per character."""
    return float(nats) / math.log(2)


def perplexity(nats: float) -> float:
    """Exponential of a loss in nats per token; infinity where that is too large for a float.

    A model that hesitates evenly between k tokens has the perplexity k.
    """
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def _number(x: Any) -> Any:
    """A number of NumPy's, or in an array or Tensor without axes, as Python's."""
    if getattr(x, "shape", None) != ():
        raise TypeError(f"MetricsLog: a record holds numbers, text, lists, dicts, not {told(x)}")
    return x.item()


class MetricsLog:
    """A file of records, one JSON object a line, to which a run adds as it goes.

    Each record goes to the file at once and in one piece; if the machine stops in the middle of
    one, `read` passes over what there is of it.

    Parameters
    ----------
    path
        the file. It need not be there yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add `record`.

        Raises
        ------
        ValueError
            if a number in it is NaN or infinite, which JSON has no word for.
        TypeError
            if something in it is neither JSON nor a number (NumPy's and a Tensor's are numbers).
        OSError
            if it can't be written.
        """
        line = json.dumps(record, allow_nan=False, ensure_ascii=False, default=_number) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())

    def read(self) -> list[dict[str, Any]]:
        """All records so far.

        Raises
        ------
        ValueError
            naming the first line that is no JSON object, unless it is an unfinished last one.
        OSError
            if the file is missing or can't be read.
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
