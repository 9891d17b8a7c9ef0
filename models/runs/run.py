"""One training run, of any task, from its beginning to the run directory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from minigrad import nn
from minigrad.training import Interrupts, deferred_interrupts, load_checkpoint
from models.devices import using
from models.runs import messages
from models.runs.directory import RunDirectory
from models.runs.history import History
from models.runs.keeping import Keeper
from models.runs.machine import machine_differences
from models.runs.pace import Pace
from models.runs.schedule import (
    expected_steps,
    fraction_done,
    rate,
    samples_due,
    steps_between_records,
    validation_is_due,
)
from models.runs.shared_settings import LENGTH
from models.runs.standing import Standing
from models.runs.stepper import Step
from models.runs.task import Task
from models.runs.trouble import Diverged, Watcher, eps_is_lost, likely_cause
from models.showing.reporter import Now, Reporter
from models.showing.tensorboard import TensorBoardLog, library

TELL_EVERY = 1.0
"""Seconds after which steps on a GPU are fetched and shown, at the latest."""

GIVE_UP_AFTER = 50
"""A run stops when so many steps in a row had to be skipped."""


class Run:
    """A training run.

    A new one has to `begin`; `models.runs.resuming.resume` makes one that goes on. `train` does the
    rest. All of these have to be called within ``directory.locked()``.

    Parameters
    ----------
    task
        what is trained.
    directory, reporter
        where to, and whom to tell.

    Attributes
    ----------
    interrupts : Interrupts
        what stopped `train`, if it was stopped.
    diverged : str
        how the loss became useless, if it did; else empty.
    """

    def __init__(self, task: Task, directory: RunDirectory, reporter: Reporter) -> None:
        self.task, self.directory, self.reporter = task, directory, reporter
        self.settings, self.trainer = task.settings, task.trainer
        if self.settings.tensorboard:
            library()  # raises now, before anything is written
        self.total = expected_steps(self.settings, self.trainer.steps_per_epoch)
        self.history = History(directory.log(), task.figure, task.larger)
        self.watcher = Watcher()
        self.keeper = Keeper(task, self.history, directory)
        self.standing, self.pace = Standing(), Pace(self.settings.device)
        self.interrupts, self.diverged = Interrupts(), ""
        self._events: TensorBoardLog | None = None
        self._began = time.monotonic()

    # ------------------------------------------------------------------ beginning

    def begin(self) -> None:
        """Write the files that will not change; the files of another run are deleted."""
        self.task.begin(self.directory)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `Keeper.save` has written; the weights are there already."""
        self.trainer.load_state_dict(saved["trainer"])
        self.watcher.load_state_dict(saved["watcher"])
        self.standing = Standing(**saved["standing"])
        self.history.load_state_dict(saved["history"])
        before = {name: saved["settings"].get(name) for name in LENGTH}
        self.standing.adapt(self.settings, before, self._fraction(), self.history.last("valid"))
        if (best := self.history.best("valid")) is not None:
            self.reporter.best = best["loss"]
        if differences := machine_differences(saved["machine"], self.settings.device):
            self.reporter.warn(
                f"the run was elsewhere before ({differences}): it goes on, but not bit for bit as "
                "it would have there"
            )

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do: training is over, and the test too."""
        last = self.history.records[-1]["split"] if self.history.records else ""
        return self.standing.finished and ("test" not in self.task.sizes or last == "test")

    # ------------------------------------------------------------------ the run

    def train(self) -> None:
        """Train, and leave everything in the run directory, also if stopped or diverged.

        Raises
        ------
        OSError
            if the run directory can't be written to. The last checkpoint is still there then.
        """
        tell = self.reporter.line
        for warning in self.task.warnings():
            self.reporter.warn(warning)
        about = [*self.task.introduction(), *messages.goes_on(self.trainer)]
        tell("\n".join(about) + "\n")
        self._began, test = time.monotonic(), None
        self.keeper.begins()
        with ExitStack() as stack:
            stack.enter_context(using(self.settings.device))
            self.interrupts = stack.enter_context(deferred_interrupts())
            if self.settings.tensorboard:
                again = self.trainer.step + (not self.standing.due)  # the first step to be told
                self._events = TensorBoardLog(self.directory.events, again, self.reporter.unit)
                stack.callback(self._events.close)
            try:
                with self.reporter.progress(self.total, self.settings.minutes):
                    if self.trainer.step == 0:
                        self._save()
                    self._loop()
                    test = self._test()
                if self.standing.finished and not self.interrupts.requested:
                    self.task.ended(self.directory, self._best())
                self._save()
            except Diverged as error:
                self.diverged = f"{error}. {likely_cause(self.settings, list(self.trainer.norms))}"
            self.keeper.draw(self.reporter)
        tell()
        self._conclude(test)

    def _conclude(self, test: Mapping[str, Any] | None) -> None:
        tell, signal = self.reporter.line, self.interrupts.signal
        if self.diverged:
            again = self.task.resume_command(self.directory)
            tell(f"Stopped: {self.diverged}", "bold red")
            if not eps_is_lost(self.settings):  # or to go on would end in the same way
                step = self.keeper.saved_step
                tell(messages.after_divergence(self.directory, again, step))
        elif signal is not None:
            tell(f"Stopped by {signal.name} after step {self.trainer.step:,}.", "bold")
            tell(
                messages.after_interruption(self.task.resume_command(self.directory), self.settings)
            )
        else:
            worse = self.standing.worse if self._fraction() < 1 else 0
            tell(self.task.results(self.history, self._seconds(), test, worse), "bold")
            tell("\n" + self.task.whats_next(self.directory))

    def _loop(self) -> None:
        s, trainer, standing, pace = self.settings, self.trainer, self.standing, self.pace
        every = steps_between_records(self.total)
        stopped = self.interrupts.requested
        while not stopped:
            if standing.due and not self._evaluate():
                return
            if standing.finished:
                return
            if not trainer.waiting:
                pace.begins(trainer.tokens)
            fraction = self._fraction()
            lr = standing.factor * rate(s, trainer.step, trainer.epoch, fraction, self.total)
            trainer.launch(lr)
            stopped, standing.due = self.interrupts.requested, self._is_due()
            to_record = trainer.step % every == 0
            to_save = self.keeper.checkpoint_is_due
            queued = trainer.waiting * pace.seconds_per_step  # what a fetch has to wait for
            late = trainer.full or max(pace.seconds, queued) > TELL_EVERY
            if late or stopped or standing.due or to_record or to_save:
                self._tell(lr)
            if to_record:
                self._record(lr)
            if to_save:
                self._save()

    def _fraction(self) -> float:
        """How much of the run is done."""
        trainer = self.trainer
        return fraction_done(self.settings, trainer.step, trainer.epochs, self._seconds())

    def _seconds(self) -> float:
        """How long the run has taken, without the time in which it was stopped."""
        return self.standing.seconds + time.monotonic() - self._began

    def _is_due(self) -> bool:
        """Whether it is time for a validation."""
        trainer = self.trainer
        return validation_is_due(
            self.settings,
            trainer.step,
            trainer.at == 0,
            self._fraction(),
            self.standing.validated,
            self.total is not None and self.total >= 5 * trainer.steps_per_epoch,
        )

    def _note(self, step: Step) -> None:
        """Note a step, and warn if something is wrong with it."""
        self.history.took(step)
        if step.skipped:
            self.reporter.warn(f"step {step.number:,} was skipped: something was not finite")
            if self.trainer.skipped_in_a_row == GIVE_UP_AFTER:
                raise Diverged(f"the last {GIVE_UP_AFTER} steps had to be skipped")
        elif warning := self.watcher.saw(step.loss):
            self.reporter.warn(f"{warning}, at step {step.number:,}; a lower --lr may help")

    def _tell(self, lr: float) -> None:
        """Fetch the steps since the last time, and show the last of them, which was at `lr`."""
        trainer, pace, count = self.trainer, self.pace, self.trainer.waiting
        for step in trainer.fetch():
            self._note(step)
        pace.ends(count, trainer.tokens)
        self.reporter.stepped(
            Now(
                step=trainer.step,
                total=self.total,
                epoch=trainer.epochs,
                epochs=None if self.total is None else self.total / trainer.steps_per_epoch,
                fraction=self._fraction(),
                loss=step.loss,
                grad_norm=step.grad_norm,
                grad_norm_clipped=step.grad_norm_clipped,
                lr=lr,
                tokens_per_second=pace.tokens_per_second,
                memory=pace.memory,
                seconds_left=pace.seconds_left(self.task, self.total, self._seconds()),
            )
        )

    # ------------------------------------------------------------------ measuring

    def _record(self, lr: float) -> None:
        """Write a record of the steps since the last one."""
        more = {
            "lr": lr,
            "tokens": self.trainer.tokens,
            "tokens_per_second": round(self.pace.tokens_per_second),
            "memory": self.pace.memory,
        }
        if (means := self.history.means()) is not None:
            self._write("train", {**means, **more})
        self.keeper.draw_if_due(self.reporter)

    def _write(self, split: str, measured: Mapping[str, Any]) -> None:
        about = {"step": self.trainer.step, "epoch": round(self.trainer.epochs, 6), "split": split}
        record = {**about, **measured, "seconds": round(self._seconds(), 3)}
        self.history.write(record)
        if self._events is not None:
            self._events.write(record)

    def _evaluate(self) -> bool:
        """Validate, and do what follows from it; False if it was interrupted."""
        s, trainer, standing = self.settings, self.trainer, self.standing
        began = time.monotonic()
        with trainer.averaged():
            figures = self._measured(trainer.model, "valid")
            if figures is None:
                return False
            loss, is_best, fraction = (
                figures["loss"],
                self.history.is_best(figures),
                self._fraction(),
            )
            seconds, more = time.monotonic() - began, self.task.told(figures)
            self.reporter.evaluated(trainer.step, trainer.epochs, loss, seconds, is_best, more)
            earlier = self.history.losses("valid")
            self._write("valid", figures)
            standing.worse = 0 if is_best else standing.worse + 1
            tired = s.patience is not None and standing.worse >= s.patience
            standing.due, standing.validated = False, fraction
            standing.finished = fraction >= 1 or tired
            self._sample(fraction)
        if s.schedule == "plateau" and not is_best:
            standing.factor *= s.decay
        if s.optimizer == "nt-asgd" and not trainer.averaging:
            before = earlier[: -s.nonmono]
            if before and loss > min(before):
                trainer.start_averaging()
                self.reporter.line(f"step {trainer.step:,}: averages the weights from here on")
        self._save()
        self.keeper.keep_best()
        return True

    def _measured(self, model: nn.Module, part: str) -> dict[str, Any] | None:
        """The figures of a model on a part of the data; None if it was interrupted."""
        self.reporter.doing("evaluating")
        began, size = time.monotonic(), self.task.sizes[part]

        def progress(done: int) -> None:
            self.pace.evaluated(time.monotonic() - began, done)
            left = self.pace.seconds_left(self.task, self.total, self._seconds(), size - done)
            self.reporter.doing("evaluating", done / size, left)

        figures = self.task.measured(model, part, lambda: self.interrupts.requested, progress)
        if figures is not None and not math.isfinite(figures["loss"]):
            raise Diverged(
                f"the loss on text kept aside became {figures['loss']} after step "
                f"{self.trainer.step:,}"
            )
        return figures

    def _test(self) -> Mapping[str, Any] | None:
        """The figures of the best weights on the data to test on; None if it is not time for it."""
        if "test" not in self.task.sizes or not self.standing.finished:
            return None
        if not self.directory.model.is_file():  # somebody has removed them
            return None
        step = load_checkpoint(self.directory.model)["step"]
        known = self.history.last("test")
        if known is not None and known["best_step"] == step:
            return known
        best = self._best()
        figures = None if best is None else self._measured(best, "test")
        if figures is not None:
            self._write("test", {**figures, "best_step": step})
        return figures

    def _best(self) -> nn.Module | None:
        """The model with the best weights so far, where the run computes; None: there is none."""
        path = self.directory.model
        if not path.is_file():
            return None
        best = self.task.restored(load_checkpoint(path), path, self.directory.run_id)
        return best.to(self.settings.device)

    def _sample(self, fraction: float) -> None:
        """Show what the model does, if a sample is due."""
        step, standing = self.trainer.step, self.standing
        due = samples_due(self.settings, fraction)
        if due <= standing.samples or self.interrupts.requested:
            return
        standing.samples = due
        self.reporter.doing("writing")
        when = "after training" if standing.finished else f"at step {step:,}"
        sample = self.task.sample()
        self.reporter.sample(f"a sample {when if step else 'before training'}", sample)

    def _save(self) -> None:
        """Write a checkpoint."""
        self.keeper.save(
            watcher=self.watcher.state_dict(),
            standing=asdict(replace(self.standing, seconds=self._seconds())),
        )
