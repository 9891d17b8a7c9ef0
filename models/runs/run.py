"""One training run, from the text to the run directory; begun, or gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from minigrad.data import batchify
from minigrad.training import Interrupts, deferred_interrupts, load_checkpoint
from models.corpus import Corpus, Ids
from models.devices import check_available, using
from models.measuring.evaluation import Evaluation, evaluate
from models.runs import messages
from models.runs.cell_files import OwnCell, try_cell
from models.runs.directory import RunDirectory
from models.runs.history import History
from models.runs.keeping import Keeper
from models.runs.machine import machine_differences
from models.runs.new_model import Model, make_model
from models.runs.own_text import corpus_of
from models.runs.pace import Pace
from models.runs.replaying import replays
from models.runs.saved_model import restore
from models.runs.schedule import (
    expected_steps,
    fraction_done,
    rate,
    samples_due,
    steps_between_records,
    validation_is_due,
)
from models.runs.settings import LENGTH, Settings
from models.runs.standing import Standing
from models.runs.trainer import Step, Trainer
from models.runs.trouble import Diverged, Watcher, eps_is_lost, likely_cause
from models.showing.reporter import Now, Reporter
from models.showing.tensorboard import TensorBoardLog, library
from models.writing.sampling import UnusableWeightsError, generate

SAMPLE = {"char": 300, "byte": 300, "word": 60, "bpe": 90}
"""How many tokens a sample has."""

TELL_EVERY = 1.0
"""Seconds after which steps on a GPU are fetched and shown, at the latest."""

GIVE_UP_AFTER = 50
"""A run stops when so many steps in a row had to be skipped."""


class Run:
    """A training run.

    `new` makes one, and finds what is wrong with its settings; then `begin` it.
    `models.runs.resuming.resume` makes one that goes on. `train` does the rest. All but `new` have
    to be called within ``directory.locked()``.

    Attributes
    ----------
    interrupts : Interrupts
        what stopped `train`, if it was stopped.
    diverged : str
        how the loss became useless, if it did; else empty.
    """

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus,
        directory: RunDirectory,
        reporter: Reporter,
        model: Model,
        rng: np.random.Generator,
        cell_sha256: str = "",
    ) -> None:
        s = settings
        self.settings, self.corpus, self.directory, self.reporter = s, corpus, directory, reporter
        corpus.check_length(s.batch_size)
        if s.tensorboard:
            library()  # raises now, before anything is written
        streams = batchify(corpus.train, s.batch_size, vocab_size=len(corpus.tokenizer))
        self.cell_sha256 = cell_sha256
        self.model, self.trainer = model, Trainer(model, s, streams, rng)
        if replays(s):
            self.trainer.replay(lambda error: reporter.warn(messages.not_captured(error)))
        self.total = expected_steps(s, self.trainer.steps_per_epoch)
        self.history, self.watcher = History(directory.log()), Watcher()
        self.keeper = Keeper(self.trainer, self.history, corpus, directory)
        self.standing, self.pace = Standing(), Pace(s.device)
        self.interrupts, self.diverged = Interrupts(), ""
        self._events: TensorBoardLog | None = None
        self._began = time.monotonic()

    # ------------------------------------------------------------------ beginning

    @classmethod
    def new(
        cls,
        settings: Settings,
        directory: RunDirectory,
        reporter: Reporter,
        cell: OwnCell | None = None,
    ) -> Run:
        """A run that is ready to begin; nothing is written yet.

        `cell` is the one that the settings name, if it is one of one's own.

        Raises
        ------
        OSError, ValueError, ModuleNotFoundError
            if the text, or a setting, is not usable.
        """
        check_available(settings.device)
        corpus, rng = corpus_of(settings), np.random.default_rng(settings.seed)
        make, sha256 = (None, "") if cell is None else cell
        if cell is not None:
            try_cell(cell, settings)
        model = make_model(settings, len(corpus.tokenizer), rng, make)
        return cls(settings, corpus, directory, reporter, model, rng, sha256)

    @property
    def id(self) -> str:
        """The id of a run that begins like this."""
        return self.settings.run_id(self.corpus.fingerprint, self.cell_sha256)

    def begin(self) -> None:
        """Write the files that will not change; the files of another run are deleted."""
        self.directory.begin(self.settings, self.corpus.tokenizer, self.id, self.cell_sha256)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `Keeper.save` has written; the weights are there already."""
        self.trainer.load_state_dict(saved["trainer"])
        self.watcher.load_state_dict(saved["watcher"])
        self.standing = Standing(**saved["standing"])
        self.history.load_state_dict(saved["history"])
        before = {name: saved["settings"].get(name) for name in LENGTH}
        self.standing.adapt(self.settings, before, self._fraction(), self.history.last("valid"))
        self.reporter.best = self.history.best_loss
        if differences := machine_differences(saved["machine"], self.settings.device):
            self.reporter.warn(
                f"the run was elsewhere before ({differences}): it goes on, but not bit for bit as "
                "it would have there"
            )

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do: training is over, and the test too."""
        last = self.history.records[-1]["split"] if self.history.records else ""
        return self.standing.finished and (self.corpus.test is None or last == "test")

    # ------------------------------------------------------------------ the run

    def train(self) -> None:
        """Train, and leave everything in the run directory, also if stopped or diverged.

        Raises
        ------
        OSError
            if the run directory can't be written to. The last checkpoint is still there then.
        """
        tell = self.reporter.line
        if self.corpus.in_parts:
            self.reporter.warn(messages.letters_in_parts(self.corpus.in_parts))
        tell(messages.introduction(self.settings, self.corpus, self.model, self.trainer) + "\n")
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
                self._save()
            except Diverged as error:
                self.diverged = f"{error}. {likely_cause(self.settings, list(self.trainer.norms))}"
            self.keeper.draw(self.reporter)
        tell()
        self._conclude(test)

    def _conclude(self, test: float | None) -> None:
        tell, signal, unit = self.reporter.line, self.interrupts.signal, self.reporter.unit
        if self.diverged:
            tell(f"Stopped: {self.diverged}", "bold red")
            if not eps_is_lost(self.settings):  # or to go on would end in the same way
                step = self.keeper.saved_step
                tell(messages.after_divergence(self.directory, self.settings, step))
        elif signal is not None:
            tell(f"Stopped by {signal.name} after step {self.trainer.step:,}.", "bold")
            tell(messages.after_interruption(self.directory, self.settings))
        else:
            worse = self.standing.worse if self._fraction() < 1 else 0
            records, seconds = self.history.records, self._seconds()
            tell(messages.results(records, unit, seconds, test, worse), "bold")
            tell("\n" + messages.whats_next(self.directory, self.settings, self.corpus))

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
                seconds_left=pace.seconds_left(trainer, self.total, self._seconds(), self.corpus),
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
            loss = self._measured(self.model, self.corpus.valid)
            if loss is None:
                return False
            is_best = self.history.best_loss is None or loss < self.history.best_loss
            fraction = self._fraction()
            self.reporter.evaluated(
                trainer.step, trainer.epochs, loss, time.monotonic() - began, is_best
            )
            earlier = self.history.losses("valid")
            self._write("valid", {"loss": loss, "unk": self.corpus.unknown(self.corpus.valid)})
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

    def _measured(self, model: Model, part: Ids) -> float | None:
        """The loss on a part of the text, in nats per token; None if it was interrupted."""
        self.reporter.doing("evaluating")
        began, predicted = time.monotonic(), len(part) - 1

        def progress(so_far: Evaluation) -> None:
            self.pace.evaluated(time.monotonic() - began, so_far.tokens)
            rest = predicted - so_far.tokens
            about = (self.trainer, self.total, self._seconds(), self.corpus, rest)
            self.reporter.doing("evaluating", 1 - rest / predicted, self.pace.seconds_left(*about))

        result = evaluate(
            model,
            part,
            streams=self.settings.eval_streams,
            stop=lambda: self.interrupts.requested,
            progress=progress,
        )
        if result is not None and not math.isfinite(result.nats):
            raise Diverged(
                f"the loss on text kept aside became {result.nats} after step {self.trainer.step:,}"
            )
        return None if result is None else result.nats

    def _test(self) -> float | None:
        """The loss of the best weights on the text to test on; None if it is not time for it."""
        if self.corpus.test is None or not self.standing.finished:
            return None
        if not self.directory.model.is_file():  # somebody has removed them
            return None
        described = load_checkpoint(self.directory.model)
        known = [r for r in self.history.records if r["split"] == "test"]
        if known and known[-1]["best_step"] == described["step"]:
            return float(known[-1]["loss"])
        of_run = (self.corpus.tokenizer, self.directory.model, self.directory.run_id)
        best = restore(described, *of_run, cell=self.model.own_cell)
        loss = self._measured(best.to(self.settings.device), self.corpus.test)
        if loss is not None:
            unknown = self.corpus.unknown(self.corpus.test)
            self._write("test", {"loss": loss, "unk": unknown, "best_step": described["step"]})
        return loss

    def _sample(self, fraction: float) -> None:
        """Show what the model writes, if a sample is due."""
        s, step, standing = self.settings, self.trainer.step, self.standing
        due = samples_due(s, fraction)
        if due <= standing.samples or self.interrupts.requested:
            return
        standing.samples = due
        self.reporter.doing("writing")
        when = "after training" if standing.finished else f"at step {step:,}"
        tokenizer, rng = self.corpus.tokenizer, np.random.default_rng(s.seed)
        try:
            pieces = generate(self.model, tokenizer, "", SAMPLE[s.level], temperature=0.7, rng=rng)
            sample = "".join(pieces)
        except UnusableWeightsError:
            raise Diverged(f"the model's logits became nan or inf in step {step:,}") from None
        self.reporter.sample(f"a sample {when if step else 'before training'}", sample.strip("\n"))

    def _save(self) -> None:
        """Write a checkpoint."""
        self.keeper.save(
            watcher=self.watcher.state_dict(),
            standing=asdict(replace(self.standing, seconds=self._seconds())),
        )
