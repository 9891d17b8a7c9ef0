"""Classifying texts: sentiment, spam, the language of a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu
from minigrad.data import Vocabulary, pad_sequences
from minigrad.files import printable
from minigrad.training import bits, recurrent_products
from models.devices import device_of, moved
from models.measuring.units import Unit
from models.reading.labelled_texts import BadLine, Labelled, known_before, load_parts, read_labelled
from models.reading.subwords import BUCKETS, pad_pieces, pieces
from models.runs.saved_model import GATES
from models.simpler.naive_bayes import best_of, character_ngrams, words
from models.tasks.class_problem import ClassProblem, balance
from models.tasks.classify_settings import ClassifySettings
from models.tasks.problem import Answer, Data, Indices
from models.text_classifier import TextClassifier


@dataclass(frozen=True)
class _Batch:
    """Texts side by side."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    pieces: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Examples:
    """Texts and their labels as the network reads them."""

    texts: list[str]
    ids: list[NDArray[np.int64]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


class Classifying(ClassProblem):
    """Which class a text is of. The facts: the tokens, and the names of the classes."""

    kind = ClassifySettings
    model_kind = TextClassifier
    facts_form: ClassVar[Mapping[str, Any]] = {"tokens": str, "classes": [str]}
    unit = Unit("bits per text", "bits", bits)
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
        labels = self.numbers(part.labels)
        return _Examples(part.texts, [self.ids(text) for text in part.texts], labels)

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many tokens each text has."""
        return [len(ids) for ids in examples.ids]

    def batch(self, examples: _Examples, which: Indices) -> _Batch:
        """Texts side by side."""
        ids, lengths = pad_sequences([examples.ids[i] for i in which.tolist()])
        found = None
        if (longest := self.settings.subwords) is not None:
            texts = [examples.texts[i] for i in which.tolist()]
            found = pad_pieces([self._pieces(text, longest) for text in texts], len(ids))
        return _Batch(ids, lengths, examples.labels[which], found)

    def _pieces(self, text: str, longest: int) -> NDArray[np.int64]:
        s = self.settings
        return pieces(_as_read(s, text), s.level, longest, BUCKETS)[: s.max_length]

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
            "buckets": 0 if s.subwords is None else BUCKETS,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        rows = GATES[s.cell] * s.hidden_size
        of_pieces = {"pieces.weight": (1 + BUCKETS, s.embedding_size)} if s.subwords else {}
        return {
            **of_pieces,
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
        found: Tensor = model(moved(batch.ids, device_of(model)), batch.lengths, batch.pieces)
        return found

    def loss(
        self, model: Any, batch: _Batch, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The cross-entropy of the classes."""
        return self.class_loss(model, batch), int(batch.lengths.sum())

    # ------------------------------------------------------------------ how good it is

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """The most frequent class, and Naive Bayes."""
        found = self.most_frequent(train, on)
        learnt, chosen = ((part.texts, part.labels) for part in (train, valid))
        for name, features in (("words", words), ("characters", character_ngrams)):
            bayes = best_of(learnt, chosen, len(self.classes), features)
            found[f"Naive Bayes, {name}"] = self.scored(on, bayes.predict(on.texts))
        return found

    # ------------------------------------------------------------------ what it does

    def probabilities(self, model: Any, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each class for each of the texts, of shape (texts, classes)."""
        unlabelled = Labelled(list(texts), [self.classes[0]] * len(texts))
        return self.chances(model, self.prepared(unlabelled))

    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """The class of each text, and how probable that is."""
        chances = self.probabilities(model, inputs)
        return [
            self.answer(row, text, {"text": text})
            for text, row in zip(inputs, chances, strict=True)
        ]

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What the model says about some texts."""
        lines = []
        for i, verdict in self.verdicts(model, examples, rng):
            text = printable(examples.texts[i])
            lines.append(f"{verdict}: {text if len(text) <= 60 else text[:59] + '…'}")
        return "\n".join(lines)

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
        with_pieces = "" if s.subwords is None else f", and pieces of up to {s.subwords} characters"
        return [
            f"classes     {balance(data.parts['train'].labels)}",
            f"vocabulary  {len(self.tokens):,} {tokens}{with_pieces}",
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
