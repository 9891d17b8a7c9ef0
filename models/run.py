"""One training run, from the text to the run directory."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import minigrad
from minigrad.data import batchify
from minigrad.data.vocabulary import Level
from minigrad.optim import (
    SGD,
    Adam,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    Optimizer,
    SequentialLR,
)
from minigrad.training import Interrupts, deferred_interrupts
from models.corpus import evaluation_streams, load_corpus
from models.plotting import loss_curve
from models.reporting import Reporter
from models.rnnlm import RNNLM
from models.run_directory import RunDirectory
from models.sampling import generate
from models.training import Diverged, Trainer, evaluate

RECORDS = 200
"""About how many records of the training loss a run makes."""

SAMPLE = {"char": 300, "word": 60}
"""How many tokens a sample along the way has."""


@dataclass(frozen=True)
class Settings:
    """All that a run is a function of; ``python -m models train --help`` explains each."""

    text: str
    level: Level
    min_count: int | None
    max_vocab: int | None
    cell: str
    embedding_size: int
    hidden_size: int
    layers: int
    dropout: float
    tied: bool
    bptt: int
    batch_size: int
    epochs: int | None
    steps: int | None
    optimizer: str
    lr: float
    schedule: str
    clip: float
    seed: int
    eval_every: int | None
    samples: int


class Run:
    """A training run: made ready, which finds whatever is wrong with the settings, and then run.

    Parameters
    ----------
    settings, directory, reporter
        how to train, where to leave the result, and whom to tell.

    Attributes
    ----------
    interrupted : signal.Signals or None
        what stopped `train`, if it was stopped.
    diverged : str or None
        how the loss became useless, if it did.

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
            *(len(self.vocabulary), s.embedding_size, s.hidden_size),
            *(s.cell, s.layers, s.dropout, s.tied),
            rng=np.random.default_rng(s.seed),
        )
        streams = batchify(self.corpus.train, s.batch_size)
        steps_per_epoch = math.ceil((len(streams) - 1) / s.bptt)
        self.total = s.steps or (s.epochs or 1) * steps_per_epoch
        self.optimizer: Optimizer = (
            SGD(self.model.parameters(), lr=s.lr)
            if s.optimizer == "sgd"
            else Adam(self.model.parameters(), lr=s.lr)
        )
        schedule = _warm_up_and_cosine(self.optimizer, s.lr, self.total)
        self.trainer = Trainer(
            *(self.model, self.optimizer, schedule if s.schedule == "cosine" else None),
            *(streams, s.bptt, s.clip or math.inf),
        )
        self.log = directory.log()
        self.interrupts = Interrupts()
        self.diverged: str | None = None
        self._losses: list[float] = []  # since the last record
        self._best = (math.inf, 0)  # of the validation, and its step
        self._saved = 0
        self._training_seconds = 0.0
        self._began = self._last_curve = time.monotonic()

    # ------------------------------------------------------------------ the run

    def train(self) -> None:
        """Train, and leave everything in the run directory, also if stopped or diverged.

        Raises
        ------
        OSError
            if the run directory can't be written to.
        """
        self.directory.begin(self._facts(), self.model, self.vocabulary)
        self._introduce()
        self._began = self._last_curve = time.monotonic()
        with deferred_interrupts() as self.interrupts, self.reporter.progress(self.total):
            try:
                self._steps()
            except Diverged as error:
                self.diverged = str(error)
            else:
                self._record()
                self._save()
            self._draw()
            self._conclude()

    def _steps(self) -> None:
        samples = _spread(self.settings.samples, self.total)
        every = self.settings.eval_every or max(1, self.total // 10)
        record_every = max(1, self.total // RECORDS)
        self._save()
        self._evaluate()
        self._sample(samples)
        while self.trainer.step < self.total and not self.interrupts.requested:
            began = time.monotonic()
            loss = self.trainer.advance()
            self._training_seconds += time.monotonic() - began
            self._losses.append(loss)
            step = self.trainer.step
            speed = self.trainer.tokens / self._training_seconds
            self.reporter.stepped(step, loss, speed)
            if step % record_every == 0:
                self._record()
            if step % every == 0 or step == self.total:
                self._evaluate()
                self._save()
            self._sample(samples)

    def _record(self) -> None:
        """Write down the mean training loss since the last time."""
        if self._losses:
            self.log.write(
                {
                    "step": self.trainer.step,
                    "split": "train",
                    "loss": sum(self._losses) / len(self._losses),
                    "lr": self.optimizer.param_groups[0]["lr"],
                    "tokens": self.trainer.tokens,
                    "tokens_per_second": self.trainer.tokens / self._training_seconds,
                    "seconds": time.monotonic() - self._began,
                }
            )
            self._losses.clear()

    def _evaluate(self) -> None:
        """Measure on the validation part, and write it down."""
        step, began = self.trainer.step, time.monotonic()
        loss = self._measured(self.corpus.valid)
        if loss is None:
            return
        if not math.isfinite(loss):
            raise Diverged(f"the validation loss became {loss} after step {step:,}")
        self._best = min(self._best, (loss, step))
        seconds = time.monotonic() - self._began
        self.log.write({"step": step, "split": "valid", "loss": loss, "seconds": seconds})
        self.reporter.evaluated(step, loss, time.monotonic() - began)

    def _measured(self, part: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float | None:
        """The loss on a part of the text, in nats per token; None if it was interrupted."""
        self.reporter.doing("evaluating")
        streams = evaluation_streams(part, self.settings.batch_size, self.settings.bptt)
        return evaluate(
            self.model, streams, self.settings.bptt, stop=lambda: self.interrupts.requested
        )

    def _sample(self, steps: Sequence[int]) -> None:
        step = self.trainer.step
        if step in steps and not self.interrupts.requested:
            when = {0: "before training", self.total: "after training"}.get(
                step, f"after step {step:,}"
            )
            rng = np.random.default_rng(self.settings.seed)
            length = SAMPLE[self.settings.level]
            pieces = generate(self.model, self.vocabulary, "", length, temperature=0.7, rng=rng)
            self.reporter.sample(f"a sample {when}", "".join(pieces).strip("\n"))

    def _save(self) -> None:
        self._saved = self.trainer.step
        self.directory.save_weights(self.model, self.vocabulary, self._saved)
        if time.monotonic() - self._last_curve > 60:
            self._draw()

    def _draw(self) -> None:
        self._last_curve = time.monotonic()
        s = self.settings
        layers = "" if s.layers == 1 else f", {s.layers} layers"
        title = f"{s.cell.upper()} of {s.hidden_size} units{layers}, on {Path(s.text).name}"
        self.directory.draw(loss_curve(self.log.read(), self.reporter.unit, title))

    # ------------------------------------------------------------------ what is told

    def _facts(self) -> dict[str, object]:
        """What `settings.json` has besides the sizes of the model."""
        return {"training": asdict(self.settings), "minigrad": minigrad.__version__}

    def _introduce(self) -> None:
        s, corpus, tell = self.settings, self.corpus, self.reporter.line
        unit = "characters" if s.level == "char" else "words"
        parts = (f"{len(part):,}" for part in (corpus.train, corpus.valid, corpus.test))
        tell("{}: {} {unit} to train on, {} to validate, {} to test".format(s.text, *parts, unit=unit))
        unknown = corpus.unknown(corpus.valid)
        also = f"; {unknown:.1%} of the validation part is unknown" if unknown >= 0.001 else ""
        tell(f"vocabulary: {len(self.vocabulary):,} {unit}{also}")
        tell(
            f"model: {s.cell.upper()}, {s.layers} × {s.hidden_size} units, "
            f"{self.model.num_parameters():,} parameters"
        )
        tell(
            f"training: {self.total:,} steps of {s.batch_size} × {s.bptt} {unit} "
            f"({self.total / self.trainer.steps_per_epoch:.1f} epochs), {s.optimizer}, "
            f"learning rate {s.lr:g}"
        )

    def _conclude(self) -> None:
        tell, where, step = self.reporter.line, shlex.quote(str(self.directory.path)), self._saved
        if self.diverged:
            tell(f"Stopped: {self.diverged}. A lower --lr or --clip may help.", "bold red")
            tell(f"The last good weights, of step {step:,}, are in {where}.")
            return
        if self.interrupts.signal is not None:
            name = self.interrupts.signal.name
            tell(f"Stopped by {name} after step {step:,}; the model is saved in {where}.", "bold")
        else:
            self._tell_result()
        python = _python()
        first = shlex.quote(_first_words(self.vocabulary, self.settings.level))
        tell(f"  weights      {shlex.quote(str(self.directory.weights))}")
        tell(f"  loss curve   {shlex.quote(str(self.directory.curve))}")
        tell("Try next:")
        tell(f"  {python} -m models sample {where} --prompt {first} --temperature 0.8")
        tell(f"  {python} -m models train --text FILE --out runs/mine")

    def _tell_result(self) -> None:
        test = self._measured(self.corpus.test)
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        self.reporter.line(f"Done in {minutes} min {seconds} s.", "bold")
        if test is not None:
            told = self.reporter.unit.told(test)
            self.reporter.line(f"test loss {test:.3f} · {told}, on text kept aside until now", "bold")
        loss, step = self._best
        if step < self._saved:
            self.reporter.line(
                f"The validation was best at step {step:,} ({self.reporter.unit.told(loss)}): the "
                "model has begun to learn the text by heart. Fewer --steps, or more --dropout, help."
            )


def _warm_up_and_cosine(optimizer: Optimizer, lr: float, total: int) -> LRScheduler:
    """A tenth of the steps, or 50, up to the learning rate, then along a cosine to 2 % of it."""
    warm_up = min(50, total // 10)
    decay = CosineAnnealingLR(optimizer, max(1, total - warm_up), 0.02 * lr)
    if warm_up == 0:
        return decay
    rise = LinearLR(optimizer, start_factor=1 / warm_up, total_iters=warm_up)
    return SequentialLR(optimizer, [rise, decay], [warm_up])
