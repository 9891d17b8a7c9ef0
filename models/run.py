"""One training run, from the text to the run directory."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import minigrad
from minigrad.data import batchify
from minigrad.training import Interrupts, deferred_interrupts
from models.corpus import Ids, evaluation_streams, load_corpus
from models.messages import introduction, whats_next
from models.plotting import loss_curve
from models.reporting import Reporter
from models.rnnlm import RNNLM
from models.run_directory import RunDirectory
from models.sampling import UnusableWeightsError, generate
from models.settings import Settings
from models.training import Diverged, Trainer, evaluate

RECORDS = 200
"""About how many records of the training loss a run makes."""

SAMPLE = {"char": 300, "word": 60}
"""How many tokens a sample along the way has."""

CURVE_EVERY = 60.0
"""Seconds between two drawings of the loss curve while a run goes on."""


class Run:
    """A training run: first made ready, which finds whatever is wrong with its settings.

    Parameters
    ----------
    settings, directory, reporter
        how to train, where to leave the result, and whom to tell.

    Attributes
    ----------
    interrupts : Interrupts
        what stopped `train`, if it was stopped.
    diverged : str
        how the loss became useless, if it did; else empty.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if the text, or a setting, is not usable.
    """

    def __init__(self, settings: Settings, directory: RunDirectory, reporter: Reporter) -> None:
        s = settings
        self.settings, self.directory, self.reporter = settings, directory, reporter
        self.corpus = load_corpus(s.text, s.level, s.min_count, s.max_vocab)
        self.corpus.check_length(s.batch_size)
        self.vocabulary = self.corpus.vocabulary
        self.model = RNNLM(
            len(self.vocabulary),
            s.embedding_size,
            s.hidden_size,
            s.cell,
            s.layers,
            s.dropout,
            s.tied,
            rng=np.random.default_rng(s.seed),
        )
        streams = batchify(self.corpus.train, s.batch_size)
        self.total = s.total_steps(len(streams))
        optimizer = s.make_optimizer(self.model)
        schedule = s.make_schedule(optimizer, self.total)
        clip = s.clip or math.inf
        self.trainer = Trainer(self.model, optimizer, schedule, streams, s.bptt, clip)
        self.log = directory.log()
        self.interrupts, self.diverged = Interrupts(), ""
        self._losses: list[float] = []  # of the steps since the last record
        self._validations: list[tuple[float, int]] = []  # each loss, and after which step
        self._saved = 0  # the step of the weights in the directory
        self._began = self._drawn = time.monotonic()

    def train(self) -> None:
        """Train, and leave everything in the run directory, also if stopped or diverged.

        Raises
        ------
        OSError
            if the run directory can't be written to.
        """
        about = {"training": asdict(self.settings), "minigrad": minigrad.__version__}
        self.directory.begin(about, self.model, self.vocabulary)
        epochs = self.total / self.trainer.steps_per_epoch
        self.reporter.line(
            introduction(self.settings, self.corpus, self.model, self.total, epochs) + "\n"
        )
        self._began = self._drawn = time.monotonic()
        test = None
        with deferred_interrupts() as self.interrupts:
            try:
                with self.reporter.progress(self.total):
                    self._steps()
                    test = None if self.interrupts.requested else self._measured(self.corpus.test)
            except Diverged as error:
                self.diverged = str(error)
            else:
                self._save()
            self._record()
            self._draw()
            self._conclude(test)

    # ------------------------------------------------------------------ while it goes on

    def _steps(self) -> None:
        s, trainer = self.settings, self.trainer
        evaluate_every = s.eval_every or max(1, self.total // 10)
        record_every = max(1, self.total // RECORDS)
        gaps = max(1, s.samples - 1)
        samples = {self.total - round(i * self.total / gaps) for i in range(s.samples)}
        self._save()
        self._evaluate()
        self._sample(samples)
        while trainer.step < self.total and not self.interrupts.requested:
            loss = trainer.advance()
            self._losses.append(loss)
            left = (self.total - trainer.step) * trainer.seconds_per_step
            self.reporter.stepped(trainer.step, loss, trainer.tokens_per_second, left)
            if trainer.step % record_every == 0:
                self._record()
            if trainer.step % evaluate_every == 0 or trainer.step == self.total:
                self._evaluate()
                self._save()
            self._sample(samples)

    def _record(self) -> None:
        """Write down the mean training loss since the last time."""
        if not self._losses:
            return
        self._write(
            "train",
            sum(self._losses) / len(self._losses),
            lr=self.trainer.optimizer.param_groups[0]["lr"],
            tokens=self.trainer.tokens,
            tokens_per_second=round(self.trainer.tokens_per_second),
        )
        self._losses.clear()

    def _write(self, split: str, loss: float, **more: float) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        step = self.trainer.step
        self.log.write({"step": step, "split": split, "loss": loss, **more, "seconds": seconds})

    def _evaluate(self) -> None:
        """Measure on the validation part, and write it down."""
        step, began = self.trainer.step, time.monotonic()
        loss = self._measured(self.corpus.valid)
        if loss is not None:
            self._validations.append((loss, step))
            self._write("valid", loss)
            self.reporter.evaluated(step, loss, time.monotonic() - began)

    def _measured(self, part: Ids) -> float | None:
        """The loss on a part of the text, in nats per token; None if it was interrupted."""
        self.reporter.doing("evaluating")
        s, step = self.settings, self.trainer.step
        streams = evaluation_streams(part, s.batch_size, s.bptt)
        loss = evaluate(self.model, streams, s.bptt, stop=lambda: self.interrupts.requested)
        if loss is not None and not math.isfinite(loss):
            raise Diverged(f"the loss on text kept aside became {loss} after step {step:,}")
        return loss

    def _sample(self, steps: set[int]) -> None:
        step = self.trainer.step
        if step not in steps or self.interrupts.requested:
            return
        self.reporter.doing("writing")
        when = {0: "before training", self.total: "after training"}.get(step, f"at step {step:,}")
        rng, length = np.random.default_rng(self.settings.seed), SAMPLE[self.settings.level]
        pieces = generate(self.model, self.vocabulary, "", length, temperature=0.7, rng=rng)
        try:
            sample = "".join(pieces)
        except UnusableWeightsError:
            raise Diverged(f"the model's logits became nan or inf in step {step:,}") from None
        self.reporter.sample(f"a sample {when}", sample.strip("\n"))

    def _save(self) -> None:
        self._saved = self.trainer.step
        self.directory.save_weights(self.model, self.vocabulary, self._saved)
        if time.monotonic() - self._drawn > CURVE_EVERY:
            self._draw()

    def _draw(self) -> None:
        self._drawn, s = time.monotonic(), self.settings
        layers = "" if s.layers == 1 else f", {s.layers} layers"
        title = f"{s.cell.upper()} of {s.hidden_size} units{layers}, on {Path(s.text).name}"
        records = self.log.read() if self.log.path.exists() else []
        self.directory.save_curve(loss_curve(records, self.reporter.unit, title))

    # ------------------------------------------------------------------ when it has ended

    def _conclude(self, test: float | None) -> None:
        self.reporter.line()
        tell, where, signal = self.reporter.line, self.directory.path, self.interrupts.signal
        if self.diverged:
            tell(f"Stopped: {self.diverged}. A lower --lr or --clip may help.", "bold red")
            tell(f"The last good weights, those of step {self._saved:,}, are in {where}.")
        elif signal is not None:
            tell(f"Stopped by {signal.name} after step {self._saved:,}: saved in {where}.", "bold")
        else:
            self._tell_results(test)
        if not self.diverged:
            tell()
            tell(whats_next(self.directory, self.vocabulary))

    def _tell_results(self, test: float | None) -> None:
        seconds, unit = round(time.monotonic() - self._began), self.reporter.unit
        self.reporter.line(f"Trained in {seconds // 60} min {seconds % 60} s.", "bold")
        if test is not None:
            self.reporter.line(
                f"test loss {test:.3f} · {unit.told(test)}, on text never looked at before", "bold"
            )
        loss, step = min(self._validations)
        last, _ = self._validations[-1]
        if step == 0 and last >= loss:
            self.reporter.line(
                "The validation is no better than before training; a lower --lr may help."
            )
        elif last > 1.01 * loss:
            self.reporter.line(
                f"The validation was best at step {step:,}: {unit.told(loss)}. From there on the "
                "model learns the text by heart; fewer --steps or more --dropout may help. The "
                "weights kept are those of the last step."
            )
