"""One training run, from the text to the run directory; begun, or gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import minigrad
from minigrad.data import batchify
from minigrad.training import Interrupts, deferred_interrupts, load_checkpoint
from models.runs import messages
from models.corpus import Corpus, Ids
from models.runs.cell_files import OwnCell, try_cell
from models.devices import check_available, using
from models.measuring.evaluation import Evaluation, evaluate
from models.runs.history import History
from models.runs.making import corpus_of, id_of, make_model
from models.runs.progress import Pace, Standing, averages, machine, machine_differences, now
from models.showing.reporter import Reporter
from models.rnnlm import RNNLM
from models.runs.directory import RUN_VERSION, RunDirectory
from models.writing.sampling import UnusableWeightsError, generate
from models.runs.saved_model import describe, restore
from models.runs.schedule import (
    expected_steps,
    fraction_done,
    rate,
    samples_due,
    steps_between_records,
    validation_is_due,
)
from models.runs.settings import LENGTH, Settings
from models.showing.tensorboard import TensorBoardLog, library
from models.runs.trainer import Diverged, Step, Trainer
from models.runs.trouble import Watcher, eps_is_lost, likely_cause

SAMPLE = {"char": 300, "byte": 300, "word": 60, "bpe": 90}
"""How many tokens a sample along the way has."""

DRAW_EVERY = 60.0
"""Seconds between two drawings of the curves while a run goes on."""

TELL_EVERY = 1.0
"""Seconds after which steps on a GPU are fetched and told, at the latest."""

GIVE_UP_AFTER = 50
"""Steps in a row that are skipped before a run stops."""


class Run:
    """A training run: first made ready, which finds whatever is wrong with its settings.

    Make it by `new`, and `begin` it, or by `models.runs.resuming.resume`; and then `train`. All but
    `new` go within ``directory.locked()``.

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
        model: RNNLM,
        rng: np.random.Generator,
        cell_sha256: str = "",
    ) -> None:
        s = settings
        self.settings, self.corpus, self.directory, self.reporter = s, corpus, directory, reporter
        corpus.check_length(s.batch_size)
        if s.tensorboard:
            library()  # now, before anything is written
        streams = batchify(corpus.train, s.batch_size, vocab_size=len(corpus.tokenizer))
        self.cell_sha256 = cell_sha256
        self.model, self.trainer = model, Trainer(model, s, streams, rng)
        self.total = expected_steps(s, self.trainer.steps_per_epoch)
        self.history, self.watcher = History(directory.log()), Watcher()
        self.standing, self.pace = Standing(), Pace(s.device)
        self.interrupts, self.diverged = Interrupts(), ""
        self._events: TensorBoardLog | None = None
        self._saw_unknown = corpus.unknown(corpus.train) > 0
        self._saved_step = 0
        self._began = self._saved = self._drawn = time.monotonic()

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
        return id_of(self.settings, self.corpus.fingerprint, self.cell_sha256)

    def begin(self) -> None:
        """Write what does not change while it goes on; the files of another run are deleted."""
        self.directory.begin(self.settings, self.corpus.tokenizer, self.id, self.cell_sha256)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `_save` has written, but for the weights, which are there already."""
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
        """Whether there is nothing left to do: it is over, and has been tested if it can be."""
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
        self._began = self._saved = self._drawn = time.monotonic()
        self._saved_step, test = self.trainer.step, None
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
            self._draw()
        tell()
        self._conclude(test)

    def _conclude(self, test: float | None) -> None:
        tell, signal, unit = self.reporter.line, self.interrupts.signal, self.reporter.unit
        if self.diverged:
            tell(f"Stopped: {self.diverged}", "bold red")
            if not eps_is_lost(self.settings):  # or going on would end in the same way
                tell(messages.after_divergence(self.directory, self.settings, self._saved_step))
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
            to_save = time.monotonic() - self._saved > 60 * s.save_every
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
        """Take note of a step, and tell what is wrong with it."""
        self.history.took(step)
        if step.skipped:
            self.reporter.warn(f"step {step.number:,} was skipped: something was not finite")
            if self.trainer.skipped_in_a_row == GIVE_UP_AFTER:
                raise Diverged(f"the last {GIVE_UP_AFTER} steps had to be skipped")
        elif warning := self.watcher.saw(step.loss):
            self.reporter.warn(f"{warning}, at step {step.number:,}; a lower --lr may help")

    def _tell(self, lr: float) -> None:
        """Fetch the steps since the last time, the last of which was at `lr`, and tell of them."""
        trainer, pace, count = self.trainer, self.pace, self.trainer.waiting
        for step in trainer.fetch():
            self._note(step)
        pace.ends(count, trainer.tokens)
        left = pace.seconds_left(trainer, self.total, self._seconds(), self.corpus)
        self.reporter.stepped(now(trainer, step, lr, self.total, self._fraction(), pace, left))

    # ------------------------------------------------------------------ measuring

    def _record(self, lr: float) -> None:
        """Write down what the steps since the last time were like."""
        more = {
            "lr": lr,
            "tokens": self.trainer.tokens,
            "tokens_per_second": round(self.pace.tokens_per_second),
            "memory": self.pace.memory,
        }
        if (means := self.history.means()) is not None:
            self._write("train", {**means, **more})
        if time.monotonic() - self._drawn > DRAW_EVERY:
            self._draw()

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
        with averages(trainer.optimizer):
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
        self.keep_best()
        return True

    def keep_best(self) -> None:
        """Keep the weights if they are the best so far, and are not kept yet.

        That is done after the checkpoint that tells of it, and again when a run goes on from there:
        so the best weights are never of a validation that the records do not have.
        """
        best, kept = self.history.best("valid"), self.directory.model
        if best is None or best["step"] != self.trainer.step:
            return
        if kept.is_file():
            described = load_checkpoint(kept)
            if (described["step"], described["loss"]) == (best["step"], best["loss"]):
                return
        with averages(self.trainer.optimizer):
            self.directory.save_model(self._described(best["loss"]))

    def _measured(self, model: RNNLM, part: Ids) -> float | None:
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
        """The loss of the best weights on the text kept to the end, if it can be had now."""
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

    # ------------------------------------------------------------------ keeping

    def _described(self, loss: float | None) -> dict[str, Any]:
        corpus, step = self.corpus, self.trainer.step
        about = (self._saw_unknown, corpus.fingerprint, self.directory.run_id)
        return describe(self.model, corpus.tokenizer, step, loss, *about)

    def _save(self) -> None:
        """Write a checkpoint: all that the rest of the run depends on.

        Raises
        ------
        Diverged
            if something in it is not finite, which loss and gradient had not told.
        """
        self.directory.save_checkpoint(
            {
                "run_version": RUN_VERSION,
                "minigrad": minigrad.__version__,
                "settings": self.settings.to_dict(),
                "model": self._described(None),
                "trainer": self.trainer.state_dict(),
                "history": self.history.state_dict(),
                "watcher": self.watcher.state_dict(),
                "standing": asdict(replace(self.standing, seconds=self._seconds())),
                "corpus": self.corpus.fingerprint,
                "machine": machine(self.settings.device),
            },
            keep=self.trainer.step > self._saved_step,
        )
        self._saved, self._saved_step = time.monotonic(), self.trainer.step

    def _draw(self) -> None:
        """Draw the curves. That it can't be done stops no run."""
        try:
            from models.showing.curves import curves  # which takes a while

            title = messages.title(self.settings)
            self.directory.save_curves(curves(self.history.records, self.reporter.unit, title))
        except Exception as error:
            self.reporter.warn(f"the curves could not be drawn: {type(error).__name__}: {error}")
        self._drawn = time.monotonic()
