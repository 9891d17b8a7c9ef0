"""What is about language models in their training runs; the rest is in `models.runs.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.distributed import Communicator
from models.corpus import Corpus
from models.devices import check_available
from models.measuring.evaluation import Evaluation, evaluate
from models.measuring.units import UNITS
from models.runs import messages
from models.runs.cell_files import OwnCell, try_cell
from models.runs.directory import RunDirectory
from models.runs.history import History
from models.runs.leading import Leader
from models.runs.new_model import Model, make_model
from models.runs.own_text import corpus_of
from models.runs.replaying import replays
from models.runs.run import Run
from models.runs.saved_model import describe, restore
from models.runs.settings import Settings
from models.runs.shards import own_shards, own_streams
from models.runs.task import Progress
from models.runs.trainer import Trainer
from models.runs.trouble import Diverged
from models.showing.reporter import Reporter
from models.writing.sampling import UnusableWeightsError, generate

SAMPLE = {"char": 300, "byte": 300, "word": 60, "bpe": 90}
"""How many tokens a sample has."""


class LanguageModelling:
    """A language model that learns a text: see `models.runs.task.Task`.

    Parameters
    ----------
    settings, corpus, model, rng
        those of the run.
    warn
        is told that steps can't be replayed, if so.
    cell_sha256
        of the file of its cell, if that is one of one's own.
    communicator
        of the processes that divide the shards of the batch; None: there is one process.
    """

    figure, larger = "loss", False

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus,
        model: Model,
        rng: np.random.Generator,
        warn: Callable[[str], None],
        cell_sha256: str = "",
        communicator: Communicator | None = None,
    ) -> None:
        corpus.check_length(settings.batch_size)
        own = own_shards(settings, communicator or Communicator())
        streams = own_streams(corpus.train, settings, own, len(corpus.tokenizer))
        self.settings, self.corpus, self.cell_sha256 = settings, corpus, cell_sha256
        self.trainer = Trainer(model, settings, streams, rng, communicator)
        if replays(settings):
            self.trainer.replay(lambda error: warn(messages.not_captured(error)))
        self.references: Mapping[str, float] = {}
        self.unit, self.fingerprint = UNITS[settings.level], corpus.fingerprint
        parts = {"valid": corpus.valid, "test": corpus.test}
        self._parts = {name: ids for name, ids in parts.items() if ids is not None}
        self.sizes: Mapping[str, int] = {name: len(ids) - 1 for name, ids in self._parts.items()}

    @cached_property
    def _saw_unknown(self) -> bool:
        """Whether there are unknown tokens in the text; to know that, all of it has to be read."""
        return self.corpus.unknown(self.corpus.train) > 0

    @property
    def run_id(self) -> str:
        """The id of a run that begins like this."""
        return self.settings.run_id(self.fingerprint, self.cell_sha256)

    def begin(self, directory: RunDirectory) -> None:
        """Write the settings and the tokens."""
        directory.begin(self.settings, self.corpus.tokenizer, self.run_id, self.cell_sha256)

    def described(self, loss: float | None, run_id: str) -> dict[str, Any]:
        """As `describe` gives it."""
        model, tokenizer, step = self.trainer.model, self.corpus.tokenizer, self.trainer.step
        return describe(model, tokenizer, step, loss, self._saw_unknown, self.fingerprint, run_id)

    def restored(self, described: Any, path: Path, run_id: str) -> Model:
        """As `restore` does."""
        cell = self.trainer.model.own_cell
        return restore(described, self.corpus.tokenizer, path, run_id, cell=cell)

    def measured(
        self, model: nn.Module, part: str, stop: Callable[[], bool], progress: Progress
    ) -> dict[str, Any] | None:
        """The loss in nats per token, and the share of unknown tokens."""
        assert isinstance(model, Model)

        def on(so_far: Evaluation) -> None:
            progress(so_far.tokens)

        ids, streams = self._parts[part], self.settings.eval_streams
        if (shards := self.trainer.shards) is None:
            result = evaluate(model, ids, streams=streams, stop=stop, progress=on)
        else:
            result = shards.evaluated(model, ids, streams, stop, progress)
        return result and {"loss": result.nats, "unk": self.corpus.unknown(ids)}

    def told(self, figures: Mapping[str, Any]) -> str:
        """Nothing: the loss is all."""
        return ""

    def sample(self) -> str:
        """What the model writes."""
        s, tokenizer = self.settings, self.corpus.tokenizer
        rng = np.random.default_rng(s.seed)
        model, length = self.trainer.model, SAMPLE[s.level]
        try:
            pieces = generate(model, tokenizer, "", length, temperature=0.7, rng=rng)
            return "".join(pieces).strip("\n")
        except UnusableWeightsError:
            step = self.trainer.step
            raise Diverged(f"the model's logits became nan or inf in step {step:,}") from None

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The cell and the text."""
        return messages.title(self.settings)

    def introduction(self) -> list[str]:
        """Text, model, training and optimiser."""
        trainer = self.trainer
        return messages.introduction(self.settings, self.corpus, trainer.model, trainer)

    def warnings(self) -> list[str]:
        """That letters are in parts, if so."""
        word = self.corpus.in_parts
        return [messages.letters_in_parts(word)] if word else []

    def results(
        self, history: History, seconds: float, test: Mapping[str, Any] | None, worse: int
    ) -> str:
        """The best validation, and the test."""
        loss = None if test is None else float(test["loss"])
        return messages.results(history.records, self.unit, seconds, loss, worse)

    def ended(self, directory: RunDirectory, best: nn.Module | None) -> None:
        """Nothing is left but what each run leaves."""

    def whats_next(self, directory: RunDirectory) -> str:
        """The commands that use the model."""
        return messages.whats_next(directory, self.settings, self.corpus)

    def resume_command(self, directory: RunDirectory) -> str:
        """With the cell, if it is one of one's own."""
        return messages.resume_command(directory, self.settings)


def new_run(
    settings: Settings,
    directory: RunDirectory,
    reporter: Reporter,
    cell: OwnCell | None = None,
    leader: Leader | None = None,
) -> Run:
    """A run of a language model that is ready to begin; nothing is written yet.

    `cell` is the one that the settings name, if it is one of one's own; `leader` is that of all
    processes, if there are several.

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
    leader = leader or Leader()
    task = LanguageModelling(
        *(settings, corpus, model, rng, reporter.warn, sha256, leader.communicator)
    )
    return Run(leader.lead(task, directory), directory, reporter)
