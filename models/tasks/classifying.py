"""Classifying texts: sentiment, spam, the language of a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu, cross_entropy, softmax
from minigrad.data import Vocabulary, pad_sequences
from minigrad.files import printable
from minigrad.training import bits, evaluating, recurrent_products
from models.devices import device_of, moved
from models.labelled_texts import BadLine, Labelled, known_before, load_parts, read_labelled
from models.measuring.confusion import confusion, scores
from models.measuring.evaluation import quiet
from models.measuring.units import Unit
from models.naive_bayes import best_of, character_ngrams, words
from models.runs.saved_model import GATES
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.tasks.classify_settings import ClassifySettings
from models.tasks.problem import TOGETHER, Answer, Data, Indices, Problem, Stop, in_batches
from models.text_classifier import TextClassifier

SAMPLES = 3
"""How many texts a sample shows."""

MOST_CLASSES = 8
"""So many classes are told by name."""


@dataclass(frozen=True)
class _Batch:
    """Texts side by side."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _Examples:
    """Texts and their labels as the network reads them."""

    texts: list[str]
    ids: list[NDArray[np.int64]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


class Classifying(Problem):
    """Which class a text is of. The facts: the tokens, and the names of the classes."""

    kind = ClassifySettings
    model_kind = TextClassifier
    facts_form: ClassVar[Mapping[str, Any]] = {"tokens": str, "classes": [str]}
    unit = Unit("bits per text", "bits", bits)
    figures: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "accuracy": ("accuracy", True),
        "macro-f1": ("macro_f1", True),
        "loss": ("loss", False),
    }
    what = "texts"
    about = "Tell which class a text is of: sentiment, spam, the language of a name."
    help = """Train a recurrent network to tell which class a text is of.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of simpler methods on the same texts: the most
    frequent class, and Naive Bayes on words and on pieces of 1 to 4 characters.
    """

    def __init__(self, settings: ClassifySettings, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        self.tokens = Vocabulary.from_json(facts["tokens"])
        self.classes: list[str] = facts["classes"]
        self._id_of = {label: id for id, label in enumerate(self.classes)}

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: ClassifySettings) -> Data:
        """The texts and labels that the settings name."""
        columns = (s.text_column, s.label_column)
        parts = load_parts(s.data, s.valid, s.test, s.split, s.split_seed, *columns)
        of = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        found = {name: part for name, part in of.items() if part is not None}
        return Data(found, parts.fingerprint, parts.bad)

    @classmethod
    def load_part(cls, s: ClassifySettings, path: Path) -> tuple[Labelled, Sequence[BadLine]]:
        """The texts and labels of a file."""
        return read_labelled(path, s.text_column, s.label_column)

    @classmethod
    def learnt(cls, s: ClassifySettings, train: Labelled) -> dict[str, Any]:
        """The tokens and classes of the texts to train on."""
        read = (f"{_as_read(s, text)}\n" for text in train.texts)
        least = 2 if s.min_count is None else s.min_count
        options: Any = {"level": s.level, "min_count": least, "max_size": s.max_vocab, "eos": None}
        if s.level == "word":
            options["eos"] = "<eos>"  # what a line end is; no text holds one
        tokens = Vocabulary.from_chunks(read, **options)
        return {"tokens": tokens.to_json(), "classes": sorted(set(train.labels))}

    def ids(self, text: str) -> NDArray[np.int64]:
        """The tokens of a text, at least one."""
        found = self.tokens.encode(_as_read(self.settings, text))[: self.settings.max_length]
        unknown = self.tokens.unk_id
        assert unknown is not None  # `learnt` asks for it
        return found if len(found) else np.array([unknown])

    def prepared(self, part: Labelled) -> _Examples:
        """Texts as tokens, labels as numbers."""
        if unseen := sorted(set(part.labels) - set(self.classes)):
            raise ValueError(f"the label {unseen[0]!r:.60} is not among those to train on")
        labels = np.array([self._id_of[label] for label in part.labels], np.int64)
        return _Examples(part.texts, [self.ids(text) for text in part.texts], labels)

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many tokens each text has."""
        return [len(ids) for ids in examples.ids]

    def batch(self, examples: _Examples, which: Indices) -> _Batch:
        """Texts side by side."""
        ids, lengths = pad_sequences([examples.ids[i] for i in which.tolist()])
        return _Batch(ids, lengths, examples.labels[which])

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `TextClassifier` takes them."""
        s = self.settings
        return {
            "vocab_size": len(self.tokens),
            "num_classes": len(self.classes),
            "embedding_size": s.embedding_size,
            "hidden_size": s.hidden_size,
            "num_layers": s.layers,
            "cell": s.cell,
            "bidirectional": not s.one_way,
            "pooling": s.pooling,
            "dropout": s.dropout,
            "embedding_dropout": s.embedding_dropout,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        rows = GATES[s.cell] * s.hidden_size
        return {
            "embedding.weight": (len(self.tokens), s.embedding_size),
            f"recurrent.weight_hh_l{s.layers - 1}": (rows, s.hidden_size),
            "output.bias": (len(self.classes),),
        }

    @classmethod
    def products(cls, s: ClassifySettings) -> Sequence[cpu.Product]:
        """Those of the recurrent layer."""
        sizes = (s.embedding_size, s.hidden_size, GATES[s.cell])
        return recurrent_products([s.batch_size] * 50, *sizes)

    def logits(self, model: Any, batch: _Batch) -> Tensor:
        """The logits of the classes, of shape (N, C)."""
        found: Tensor = model(moved(batch.ids, device_of(model)), batch.lengths)
        return found

    def loss(
        self, model: Any, batch: _Batch, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The cross-entropy of the classes."""
        labels = moved(batch.labels, device_of(model))
        return cross_entropy(self.logits(model, batch), labels), int(batch.lengths.sum())

    # ------------------------------------------------------------------ how good it is

    def measured(
        self,
        model: Any,
        examples: _Examples,
        stop: Stop,
        progress: Progress,
        thorough: bool,
        **options: Any,
    ) -> dict[str, Any] | None:
        """The loss in nats per text, accuracy and macro-F1; the F1 of each class; "confusion"."""
        total, predicted = 0.0, np.full(len(examples), -1)
        with evaluating(model), quiet():
            for which, batch in in_batches(self, examples, stop, progress):
                logits = self.logits(model, batch)
                labels = moved(batch.labels, device_of(model))
                total += cross_entropy(logits, labels).item() * len(which)
                predicted[which] = logits.numpy().argmax(-1)
        if (predicted < 0).any():
            return None
        return {"loss": total / len(examples), **self._figures(examples, predicted)}

    def _figures(self, examples: _Examples, predicted: NDArray[np.int64]) -> dict[str, Any]:
        counts = confusion(examples.labels, predicted, len(self.classes))
        accuracy, macro_f1, f1 = scores(counts)
        of_class = dict(zip(self.classes, f1, strict=True))
        return {
            "accuracy": accuracy,
            "macro_f1": macro_f1,
            "f1": of_class,
            "confusion": counts.tolist(),
        }

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """The most frequent class, and Naive Bayes."""
        C = len(self.classes)
        most = np.bincount(train.labels, minlength=C).argmax()
        predicted = {"the most frequent class": np.full(len(on), most)}
        first, second = ((part.texts, part.labels) for part in (train, valid))
        for name, features in (("words", words), ("characters", character_ngrams)):
            bayes = best_of(first, second, C, features)
            predicted[f"Naive Bayes, {name}"] = bayes.predict(on.texts)
        return {name: self._figures(on, each) for name, each in predicted.items()}

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """Accuracy, macro-F1, and the F1 of each class if they are few."""
        found = {
            "accuracy": f"{figures['accuracy']:.2%}",
            "macro-F1": f"{figures['macro_f1']:.4f}",
        }
        if len(self.classes) <= MOST_CLASSES:
            of_class = figures["f1"].items()
            found |= {f"F1 {printable(name)}"[:24]: f"{f1:.4f}" for name, f1 in of_class}
        return found

    def told(self, figures: Mapping[str, Any]) -> str:
        """Accuracy and macro-F1."""
        return f"accuracy {figures['accuracy']:.2%}  macro-F1 {figures['macro_f1']:.4f}"

    # ------------------------------------------------------------------ what it does

    def probabilities(self, model: Any, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each class for each of the texts, of shape (texts, classes)."""
        unlabelled = Labelled(list(texts), [self.classes[0]] * len(texts))
        examples, found = self.prepared(unlabelled), []
        with evaluating(model):
            for start in range(0, len(texts), TOGETHER):
                which = np.arange(start, min(start + TOGETHER, len(texts)))
                logits = self.logits(model, self.batch(examples, which))
                found.append(softmax(logits, -1).numpy().astype(float))
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)))

    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """The class of each text, and how probable that is."""
        found = []
        for text, row in zip(inputs, self.probabilities(model, inputs).tolist(), strict=True):
            best = int(np.argmax(row))
            told = f"{printable(self.classes[best])}\t{row[best]:.3f}\t{printable(text)}"
            of_class = {c: round(p, 6) for c, p in zip(self.classes, row, strict=True)}
            about = {"label": self.classes[best], "probability": round(row[best], 6)}
            found.append(Answer(told, {"text": text, **about, "probabilities": of_class}))
        return found

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What the model says about some texts."""
        which = rng.permutation(len(examples))[:SAMPLES]
        chances = self.probabilities(model, [examples.texts[i] for i in which])
        if not np.isfinite(chances).all():
            raise Diverged("the model's logits became nan or inf")
        lines = []
        for i, row in zip(which.tolist(), chances, strict=True):
            best, label = int(row.argmax()), int(examples.labels[i])
            verdict = "right" if best == label else f"it is {self.classes[label]}"
            text = printable(examples.texts[i])
            short = text if len(text) <= 60 else text[:59] + "…"
            lines.append(f"{self.classes[best]} {row[best]:.0%} ({verdict}): {short}")
        return "\n".join(lines)

    def picture(self, model: Any, examples: Any, title: str, figures: Mapping[str, Any]) -> bytes:
        """Which classes are taken for which."""
        from models.showing.confusion_picture import confusion_picture  # which takes a while

        title = f"{title.replace(', ', chr(10))}\naccuracy {figures['accuracy']:.1%}"
        return confusion_picture(np.array(figures["confusion"]), self.classes, title)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        ways = "" if s.one_way else "bidirectional "
        return f"{ways}{s.cell.upper()} of {s.hidden_size} units, on {Path(s.data[0]).name}"

    def introduction(self, data: Data, model: Any) -> list[str]:
        """Classes, vocabulary and model."""
        s = self.settings
        tokens = "characters" if s.level == "char" else "words"
        layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
        ways = "" if s.one_way else " in each direction"
        return [
            f"classes     {_balance(data.parts['train'].labels)}",
            f"vocabulary  {len(self.tokens):,} {tokens}",
            f"model       {s.cell.upper()}, {layers} of {s.hidden_size} units{ways}, {s.pooling} "
            f"over time, {model.num_parameters():,} parameters",
        ]

    def warnings(self, data: Data) -> list[str]:
        """Lines that were left out, and texts that are in several parts."""
        found = super().warnings(data)
        for name, words_ in (("valid", "validate"), ("test", "test")):
            part = data.parts.get(name)
            if part and (known := known_before(data.parts["train"], part)):
                found.append(
                    f"{known:,} of the {len(part.texts):,} texts to {words_} are also among those "
                    "to train on"
                )
        return found


def _as_read(s: ClassifySettings, text: str) -> str:
    text = " ".join(text.split())
    if s.level == "word":
        return " ".join(words(text))
    return text.lower() if s.lowercase else text


def _balance(labels: Sequence[str]) -> str:
    """The share of each class."""
    counts = Counter(labels).most_common()
    more = len(counts) - MOST_CLASSES
    told = [f"{printable(name)} {n / len(labels):.1%}" for name, n in counts[:MOST_CLASSES]]
    return ", ".join(told) + (f", and {more} more" if more > 0 else "")
