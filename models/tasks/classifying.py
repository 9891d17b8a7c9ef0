"""Classifying texts: what is about it in a training run; the rest is in `models.runs.run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import cross_entropy, cuda, nn, softmax
from minigrad.data import Tokenizer, load_tokenizer, pad_sequences
from minigrad.files import printable
from minigrad.training import bits, evaluating, recurrent_products
from models.devices import check_available, device_of, moved
from models.labelled_texts import Labelled, Parts, known_before, load_parts, told_bad
from models.measuring.confusion import Counts, Scores, confusion, scores
from models.measuring.evaluation import quiet
from models.measuring.units import Unit
from models.naive_bayes import best_of, character_ngrams, words
from models.runs import messages
from models.runs.blas_kernels import restart_for
from models.runs.directory import RunDirectory
from models.runs.going_on import check_kept, go_on
from models.runs.history import History
from models.runs.run import Run
from models.runs.saved_model import GATES
from models.runs.task import Progress, Task
from models.runs.trouble import Diverged
from models.showing.reporter import Reporter
from models.tasks.classify_settings import ClassifySettings
from models.tasks.example_trainer import ExampleTrainer, Indices
from models.tasks.saved_classifier import TOGETHER, Reader, describe, restore
from models.text_classifier import TextClassifier

UNIT = Unit("bits per text", "bits", bits)

SAMPLES = 3
"""How many texts a sample shows."""

MOST_CLASSES = 8
"""So many classes are told by name."""

FIGURES = {"accuracy": "accuracy", "macro-f1": "macro_f1", "loss": "loss"}
"""The figure of a validation for each choice of --best-by."""


class _Batch(NamedTuple):
    """Texts side by side."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]


class _Part(NamedTuple):
    """A part of the data as a model reads it."""

    texts: list[str]
    ids: list[NDArray[np.int64]]
    labels: NDArray[np.int64]

    def batch(self, which: Indices) -> _Batch:
        """The examples with these numbers."""
        ids, lengths = pad_sequences([self.ids[i] for i in which.tolist()])
        return _Batch(ids, lengths, self.labels[which])


class Classifying:
    """A classifier that learns from texts with labels: see `models.runs.task.Task`."""

    def __init__(
        self,
        settings: ClassifySettings,
        parts: Parts,
        reader: Reader,
        model: TextClassifier,
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.parts, self.reader = settings, parts, reader
        self.classes, self.fingerprint, self.unit = parts.classes, parts.fingerprint, UNIT
        self.figure, self.larger = FIGURES[settings.best_by], settings.best_by != "loss"
        of = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        self._parts = {n: self._read(part) for n, part in of.items() if part is not None}
        self.sizes: Mapping[str, int] = {
            name: len(part.texts) for name, part in self._parts.items() if name != "train"
        }
        self.confusions: dict[str, Counts] = {}
        train, device = self._parts["train"], device_of(model)

        def objective(batch: _Batch) -> tuple[Any, int]:
            logits = model(moved(batch.ids, device), batch.lengths)
            labels = moved(batch.labels, device)
            return cross_entropy(logits, labels), int(batch.lengths.sum())

        lengths = [len(ids) for ids in train.ids]
        self.model = model
        self.trainer = ExampleTrainer(model, settings, rng, lengths, train.batch, objective)

    def _read(self, part: Labelled) -> _Part:
        ids_of = {label: id for id, label in enumerate(self.classes)}
        labels = np.array([ids_of[label] for label in part.labels], np.int64)
        return _Part(part.texts, [self.reader.ids(text) for text in part.texts], labels)

    @property
    def run_id(self) -> str:
        """The id of a run that begins like this."""
        return self.settings.run_id(self.fingerprint)

    def begin(self, directory: RunDirectory) -> None:
        """Write the settings and the tokens."""
        directory.begin(self.settings, self.reader.tokenizer, self.run_id)

    def described(self, loss: float | None, run_id: str) -> dict[str, Any]:
        """As `describe` gives it."""
        about = (self.reader.tokenizer, self.classes, self.trainer.step, loss, self.fingerprint)
        return describe(self.model, *about, run_id)

    def restored(self, described: Any, path: Path, run_id: str) -> TextClassifier:
        """As `restore` does."""
        return restore(described, self.reader.tokenizer, path, run_id)

    def measured(
        self, model: nn.Module, part: str, stop: Callable[[], bool], progress: Progress
    ) -> dict[str, Any] | None:
        """The loss in nats per text, the accuracy, and the macro-F1."""
        found = measure(model, self._parts[part], len(self.classes), stop, progress)
        if found is None:
            return None
        loss, self.confusions[part] = found
        accuracy, macro_f1, _ = scores(self.confusions[part])
        return {"loss": loss, "accuracy": accuracy, "macro_f1": macro_f1}

    def told(self, figures: Mapping[str, Any]) -> str:
        """Accuracy and macro-F1."""
        return f"accuracy {figures['accuracy']:.2%}  macro-F1 {figures['macro_f1']:.4f}"

    def sample(self) -> str:
        """What the model says about some texts that it does not learn from."""
        rng, valid = np.random.default_rng(self.settings.seed), self._parts["valid"]
        which = rng.permutation(len(valid.texts))[:SAMPLES]
        batch = valid.batch(which)
        with evaluating(self.model), quiet():
            ids = moved(batch.ids, device_of(self.model))
            chances = softmax(self.model(ids, batch.lengths), -1).numpy()
        if not np.isfinite(chances).all():
            raise Diverged(f"the model's logits became nan or inf in step {self.trainer.step:,}")
        lines = []
        for i, row, label in zip(which.tolist(), chances, batch.labels.tolist(), strict=True):
            best = int(row.argmax())
            verdict = "right" if best == label else f"it is {self.classes[label]}"
            text = printable(valid.texts[i])
            short = text if len(text) <= 60 else text[:59] + "…"
            lines.append(f"{self.classes[best]} {row[best]:.0%} ({verdict}): {short}")
        return "\n".join(lines)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        ways = "" if s.one_way else "bidirectional "
        return f"{ways}{s.cell.upper()} of {s.hidden_size} units, on {Path(s.data[0]).name}"

    def introduction(self) -> list[str]:
        """Data, classes, model, training and optimiser."""
        s, sizes = self.settings, {name: len(part.texts) for name, part in self._parts.items()}
        words_ = {"train": "to train on", "valid": "to validate", "test": "to test"}
        tokens = "characters" if s.level == "char" else "words"
        layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
        ways = "" if s.one_way else " in each direction"
        lines = [
            f"data        {', '.join(map(printable, s.data))}",
            "texts       " + ", ".join(f"{sizes[n]:,} {words_[n]}" for n in sizes),
            f"classes     {self._balance()}",
            f"vocabulary  {len(self.reader.tokenizer):,} {tokens}",
            f"model       {s.cell.upper()}, {layers} of {s.hidden_size} units{ways}, {s.pooling} "
            f"over time, {self.model.num_parameters():,} parameters",
            f"training    {messages.length(s, self.trainer)} of {s.batch_size} texts",
            f"optimiser   {s.optimizer}, learning rate {s.learning_rate:g}",
        ]
        if s.device != "cpu":
            lines.append(f"device      {s.device}: {cuda.device_name(s.device)}")
        return lines

    def _balance(self) -> str:
        """The share of each class in the part to train on."""
        counts = Counter(self.parts.train.labels).most_common()
        total, more = len(self.parts.train.labels), len(counts) - MOST_CLASSES
        told = [f"{printable(name)} {count / total:.1%}" for name, count in counts[:MOST_CLASSES]]
        return ", ".join(told) + (f", and {more} more" if more > 0 else "")

    def warnings(self) -> list[str]:
        """Lines that were left out, and texts that are in several parts."""
        bad, found = self.parts.bad, []
        if bad:
            lines = "1 line is" if len(bad) == 1 else f"{len(bad):,} lines are"
            found.append(f"{lines} left out: {told_bad(bad)}")
        for name in self.sizes:
            if known := known_before(self.parts, name):
                what = {"valid": "validate", "test": "test"}[name]
                found.append(
                    f"{known:,} of the {self.sizes[name]:,} texts to {what} are also among those "
                    "to train on"
                )
        return found

    def results(
        self, history: History, seconds: float, test: Mapping[str, Any] | None, worse: int
    ) -> str:
        """The figures of the best weights, and of simpler methods on the same texts."""
        best = history.best("valid")
        assert best is not None  # a run ends with a validation
        minutes, rest = divmod(round(seconds), 60)
        part = "valid" if test is None else "test"
        lines = [
            f"Trained in {minutes} min {rest} s.",
            f"best validation {self.told(best)}, after step {best['step']:,}; its weights are kept",
        ]
        if worse:
            lines.insert(0, f"Stopped early: {worse} validations without a better one.")
        where = {"valid": "validate on", "test": "test on, never looked at before"}[part]
        lines.append(f"\non the {self.sizes[part]:,} texts to {where}:")
        mine = scores(self.confusions[part])
        table = [("the network", mine), *self.simpler(part).items()]
        return "\n".join([*lines, *told_scores(table, self.classes)])

    def simpler(self, part: str) -> dict[str, Scores]:
        """The figures of simpler methods on a part of the data, learnt from the same texts."""
        train, valid, on = (self._parts[name] for name in ("train", "valid", part))
        return simpler_methods(train[::2], valid[::2], on[::2], len(self.classes))

    def ended(self, directory: RunDirectory, best: nn.Module | None) -> None:
        """Draw which classes the best model takes for which."""
        part = "test" if "test" in self.sizes else "valid"
        model = self.model if best is None else best
        if part == "valid" or part not in self.confusions:
            self.measured(model, part, lambda: False, lambda _: None)
        from models.showing.confusion_picture import confusion_picture  # which takes a while

        figures = scores(self.confusions[part])
        title = f"{self.title().replace(', ', chr(10))}\naccuracy {figures.accuracy:.1%}"
        directory.save_confusion(confusion_picture(self.confusions[part], self.classes, title))

    def whats_next(self, directory: RunDirectory) -> str:
        """Where the results lie, and the commands that use the model."""
        of_task = ClassifySettings.task
        return "\n".join(
            [
                f"weights     {directory.model}",
                f"curves      {directory.curves}",
                f"confusion   {directory.confusion}",
                "",
                "Try next:",
                f"  {messages.command(of_task, 'predict', directory.path, 'A text of your own')}",
                f"  {messages.command(of_task, 'evaluate', directory.path)}",
            ]
        )

    def resume_command(self, directory: RunDirectory) -> str:
        """How to go on."""
        return messages.command(ClassifySettings.task, "train", "--resume", directory.path)


# ---------------------------------------------------------------------- measuring


def measure(
    model: nn.Module, part: _Part, num_classes: int, stop: Callable[[], bool], progress: Progress
) -> tuple[float, Counts] | None:
    """The mean loss in nats, and the confusion matrix; None: it was stopped."""
    order = np.argsort([len(ids) for ids in part.ids], kind="stable")
    device, total, predicted = device_of(model), 0.0, np.zeros(len(order), np.int64)
    with evaluating(model), quiet():
        for start in range(0, len(order), TOGETHER):
            if stop():
                return None
            which = order[start : start + TOGETHER]
            batch = part.batch(which)
            logits = model(moved(batch.ids, device), batch.lengths)
            loss = cross_entropy(logits, moved(batch.labels, device))
            total += loss.item() * len(which)
            predicted[which] = logits.numpy().argmax(-1)
            progress(start + len(which))
    return total / len(order), confusion(part.labels, predicted, num_classes)


def simpler_methods(
    train: tuple[Any, Any], valid: tuple[Any, Any], on: tuple[Any, Any], num_classes: int
) -> dict[str, Scores]:
    """The figures on `on` of the most frequent class, and of Naive Bayes; texts and labels."""
    most = np.bincount(train[1], minlength=num_classes).argmax()
    predicted = {"the most frequent class": np.full(len(on[0]), most)}
    for name, features in (("words", words), ("characters", character_ngrams)):
        bayes = best_of(train, valid, num_classes, features)
        predicted[f"Naive Bayes, {name}"] = bayes.predict(on[0])
    return {n: scores(confusion(on[1], each, num_classes)) for n, each in predicted.items()}


def told_scores(table: Sequence[tuple[str, Scores]], classes: Sequence[str]) -> list[str]:
    """The figures of several methods, a line for each; the F1 of each class if they are few."""
    shown = list(range(len(classes))) if len(classes) <= MOST_CLASSES else []
    heads = ["accuracy", "macro-F1", *(f"F1 {printable(classes[i])}"[:24] for i in shown)]
    lines = ["  ".join([" " * 24, *(f"{head:>9}" for head in heads)])]
    for name, (accuracy, macro_f1, f1) in table:
        numbers = [f"{accuracy:.2%}", f"{macro_f1:.4f}", *(f"{f1[i]:.4f}" for i in shown)]
        cells = (f"{n:>{max(9, len(head))}}" for n, head in zip(numbers, heads, strict=True))
        lines.append("  ".join([f"{name:24}", *cells]))
    return lines


# ---------------------------------------------------------------------- beginning, going on


def parts_of(s: ClassifySettings) -> Parts:
    """The data that the settings name."""
    columns = (s.text_column, s.label_column)
    return load_parts(s.data, s.valid, s.test, s.split, s.split_seed, *columns)


def new_run(settings: ClassifySettings, directory: RunDirectory, reporter: Reporter) -> Run:
    """A run that is ready to begin; nothing is written yet.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if the data, or a setting, is not usable.
    """
    check_available(settings.device)
    sizes = (settings.embedding_size, settings.hidden_size, GATES[settings.cell])
    restart_for(settings, recurrent_products([settings.batch_size] * 50, *sizes))
    parts, rng = parts_of(settings), np.random.default_rng(settings.seed)
    reader = Reader.learnt(settings, parts.train.texts)
    arguments = settings.model_arguments(len(reader.tokenizer), len(parts.classes))
    model = TextClassifier(**arguments, rng=rng).to(settings.device)
    return Run(Classifying(settings, parts, reader, model, rng), directory, reporter)


def resume(settings: ClassifySettings, directory: RunDirectory, reporter: Reporter) -> Run:
    """The run in `directory`, as it was when its last checkpoint was written: see `go_on`."""

    def anew() -> Run:
        run = new_run(settings, directory, reporter)
        before = directory.read_settings(ClassifySettings)
        if before.run_id(run.task.fingerprint) != directory.run_id:
            raise _other_data(settings, directory)
        run.begin()
        return run

    def again(path: Path, state: Mapping[str, Any]) -> Task:
        tokenizer: Tokenizer = load_tokenizer(directory.tokenizer)
        rng = np.random.default_rng(settings.seed)
        model = restore(state["model"], tokenizer, path, directory.run_id, rng)
        check_kept(settings, directory, state)
        parts = parts_of(settings)
        if parts.fingerprint != state["corpus"]:
            raise _other_data(settings, directory)
        fits = settings.model_arguments(len(tokenizer), len(parts.classes)) == model.settings()
        if not fits or state["model"]["classes"] != parts.classes:
            raise ValueError(f"{str(path)!r} holds another model than config.toml asks for")
        model = model.to(settings.device)
        return Classifying(settings, parts, Reader(settings, tokenizer), model, rng)

    return go_on(settings, directory, reporter, anew, again)


def _other_data(settings: ClassifySettings, directory: RunDirectory) -> ValueError:
    return ValueError(
        f"{', '.join(settings.data)} is not the data that the run in {str(directory.path)!r} began "
        "with, so it can't go on; --data (--valid, --test) says where that is"
    )
