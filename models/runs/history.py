"""What a run has measured: its records, and the steps since the last one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minigrad.training import MetricsLog, write_atomically
from models.runs.stepper import Step


class History:
    """The records of a run, in `metrics.jsonl` and here.

    Parameters
    ----------
    log
        the file.
    figure, larger
        which figure of a validation says how good it is, and whether a larger one is better.

    Attributes
    ----------
    records : list of dict
        all that are in the file.
    """

    def __init__(self, log: MetricsLog, figure: str = "loss", larger: bool = False) -> None:
        self.log, self.figure, self.larger = log, figure, larger
        self.records: list[dict[str, Any]] = []
        self._sums, self._count = [0.0, 0.0, 0.0], 0

    def took(self, step: Step) -> None:
        """Note a step, for the next record."""
        if not step.skipped:
            measured = (step.loss, step.grad_norm, step.grad_norm_clipped)
            self._sums = [a + b for a, b in zip(self._sums, measured, strict=True)]
            self._count += 1

    def means(self) -> dict[str, float] | None:
        """The means over the steps since the last call; None if there were none."""
        if not self._count:
            return None
        loss, norm, clipped = (value / self._count for value in self._sums)
        self._sums, self._count = [0.0, 0.0, 0.0], 0
        return {"loss": loss, "grad_norm": norm, "grad_norm_clipped": clipped}

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a record, here and in the file."""
        self.log.write(record)
        self.records.append(dict(record))

    def losses(self, split: str) -> list[float]:
        """The losses on a part of the data, in nats, from the first to the last."""
        return [record["loss"] for record in self.records if record["split"] == split]

    def last(self, split: str) -> dict[str, Any] | None:
        """The last record of a part of the data; None if there is none."""
        return next((r for r in reversed(self.records) if r["split"] == split), None)

    def best(self, split: str) -> dict[str, Any] | None:
        """The first of the best records of a part of the data; None if there is none."""
        records = (record for record in self.records if record["split"] == split)
        return min(records, key=self._cost, default=None)

    def is_best(self, figures: Mapping[str, Any]) -> bool:
        """Whether these figures are better than those of all validations so far."""
        best = self.best("valid")
        return best is None or self._cost(figures) < self._cost(best)

    def _cost(self, figures: Mapping[str, Any]) -> float:
        return -float(figures[self.figure]) if self.larger else float(figures[self.figure])

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here."""
        return {"records": self.records, "sums": self._sums, "count": self._count}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`; afterwards the file holds its records, and no others."""
        records, (loss, norm, clipped) = saved["records"], saved["sums"]
        lines = [json.dumps(r, allow_nan=False, ensure_ascii=False) + "\n" for r in records]
        write_atomically(self.log.path, "".join(lines).encode())
        self.records = list(records)
        self._sums, self._count = [loss, norm, clipped], saved["count"]
