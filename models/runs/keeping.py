"""What a run leaves behind while it goes on: checkpoints, the best weights, the curves."""

from __future__ import annotations

import time
from typing import Any

import minigrad
from minigrad.training import load_checkpoint
from models.runs.directory import RUN_VERSION, RunDirectory
from models.runs.history import History
from models.runs.machine import machine
from models.runs.task import Task
from models.showing.reporter import Reporter

DRAW_EVERY = 60.0
"""Seconds between two drawings of the curves while a run goes on."""


class Keeper:
    """Writes the files of a run that change while it goes on, but for its records.

    Parameters
    ----------
    task, history
        what is trained, as it stands, and the records.
    directory
        where to.

    Attributes
    ----------
    saved_step : int
        the step of the last checkpoint.
    """

    def __init__(self, task: Task, history: History, directory: RunDirectory) -> None:
        self.task, self.history, self.directory = task, history, directory
        self.trainer, self.settings = task.trainer, task.settings
        self.begins()

    def begins(self) -> None:
        """Note that the run begins now, or goes on."""
        self._saved = self._drawn = time.monotonic()
        self.saved_step = self.trainer.step

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved > 60 * self.settings.save_every

    def save(self, **others: Any) -> None:
        """Write a checkpoint: all that the rest of the run depends on.

        Parameters
        ----------
        others
            what the run remembers besides trainer and history, by its names.

        Raises
        ------
        Diverged
            if something in it is not finite, though loss and gradient were.
        """
        self.directory.save_checkpoint(
            {
                "run_version": RUN_VERSION,
                "minigrad": minigrad.__version__,
                "settings": self.settings.to_dict(),
                "model": self.task.described(None, self.directory.run_id),
                "trainer": self.trainer.state_dict(),
                "history": self.history.state_dict(),
                **others,
                "corpus": self.task.fingerprint,
                "machine": machine(self.settings.device),
            },
            keep=self.trainer.step > self.saved_step,
        )
        self._saved, self.saved_step = time.monotonic(), self.trainer.step

    def keep_best(self) -> None:
        """Keep the weights if they are the best so far, and are not kept yet.

        This comes after the checkpoint with the validation, and again when a run goes on from it:
        so the best weights are never of a validation that the records do not have.
        """
        best, kept = self.history.best("valid"), self.directory.model
        if best is None or best["step"] != self.trainer.step:
            return
        if kept.is_file():
            described = load_checkpoint(kept)
            if (described["step"], described["loss"]) == (best["step"], best["loss"]):
                return
        with self.trainer.averaged():
            self.directory.save_model(self.task.described(best["loss"], self.directory.run_id))

    def draw_if_due(self, reporter: Reporter) -> None:
        """Draw the curves, unless that was done a short time ago."""
        if time.monotonic() - self._drawn > DRAW_EVERY:
            self.draw(reporter)

    def draw(self, reporter: Reporter) -> None:
        """Draw the curves. If that fails, the reporter warns, and the run goes on."""
        try:
            from models.showing.curves import curves  # which takes a while

            task, records = self.task, self.history.records
            drawn = curves(records, reporter.unit, task.title(), task.references)
            self.directory.save_curves(drawn)
        except Exception as error:
            reporter.warn(f"the curves could not be drawn: {type(error).__name__}: {error}")
        self._drawn = time.monotonic()
