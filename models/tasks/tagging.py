"""A label for each token: the spaces of a text, the part of speech of each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu, cross_entropy
from minigrad.data import pad_sequences
from minigrad.files import printable
from minigrad.training import bits, evaluating, recurrent_products
from models.devices import device_of, moved
from models.measuring.confusion import confusion
from models.measuring.evaluation import quiet
from models.measuring.label_figures import space_figures, word_figures
from models.measuring.units import Unit
from models.reading.labelled_texts import BadLine
from models.reading.tagged_texts import (
    JOINED,
    SPACE,
    Tagged,
    characters_of,
    in_pieces,
    load_tagged,
    read_tagged,
    spaced,
    words_of,
)
from models.runs.saved_model import GATES
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.simpler.simpler_taggers import (
    AROUND,
    CountedContexts,
    Endings,
    Features,
    Sentences,
    Surroundings,
    Words,
)
from models.tagger import Spelling, Tagger
from models.tasks.class_problem import balance
from models.tasks.problem import TOGETHER, Answer, Data, Indices, Problem, Stop, in_batches
from models.tasks.tag_settings import TagSettings

NONE = -100
"""In place of the id of a label that no sentence to train on has: the loss leaves it out, and no
answer is right."""

SAMPLES = 3
"""How many sentences a sample shows."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    """Sentences side by side."""

    ids: Ids
    lengths: Ids
    tags: Ids
    spelling: Spelling | None


@dataclass(frozen=True)
class _Examples:
    """Sentences and their labels as the network reads them."""

    tokens: list[list[str]]
    ids: list[Ids]
    tags: list[Ids]
    words: list[Ids]
    """The numbers of the words in `spellings`; empty if words are not spelled."""
    spellings: list[Ids]

    def __len__(self) -> int:
        return len(self.tokens)


class Tagging(Problem):
    """A label for each token.

    The facts: the tokens that have vectors of their own, and those that are too rare for one; the
    characters, if words are spelled; and the labels.
    """

    kind = TagSettings
    model_kind = Tagger
    facts_form: ClassVar[Mapping[str, Any]] = {
        "tokens": [str],
        "rare": [str],
        "characters": [str],
        "tags": [str],
    }
    unit = Unit("bits per token", "bits", bits)
    figures: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "accuracy": ("accuracy", True),
        "loss": ("loss", False),
    }
    what = "sentences"
    about = "Label each token: put the spaces back into a text, tell the part of speech of words."
    help = """Train a recurrent network to label each token of a sentence.

    With `--spaces` it learns from any text to put the spaces back; else it learns from a CoNLL file
    to label words, for example with their part of speech.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of simpler methods on the same sentences, which
    count labels in contexts.
    """

    def __init__(self, settings: TagSettings, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        self.tags: list[str] = facts["tags"]
        self._tag_ids = {tag: id for id, tag in enumerate(self.tags)}
        self._ids = {token: id for id, token in enumerate(facts["tokens"], 1)}  # 0: no such token
        self._character_ids = {each: id for id, each in enumerate(facts["characters"], 1)}
        self._known = {*facts["tokens"], *facts["rare"]}
        wanted = [JOINED, SPACE] if settings.spaces else self.tags
        if self.tags != wanted or len(self._tag_ids) < 2:
            raise ValueError(f"its labels are {', '.join(self.tags)!r:.60}")

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: TagSettings) -> Data:
        """The sentences and labels that the settings name."""
        about = (s.data, s.valid, s.test, s.split, s.split_seed, s.spaces, s.tag_column)
        parts = load_tagged(*about)
        of = {"train": in_pieces(parts.train, s.max_length), "valid": parts.valid}
        if parts.test is not None:
            of["test"] = parts.test
        return Data(of, parts.fingerprint, parts.bad)

    @classmethod
    def load_part(cls, s: TagSettings, path: Path) -> tuple[Tagged, Sequence[BadLine]]:
        """The sentences and labels of a file."""
        return read_tagged(path, s.spaces, s.tag_column)

    @classmethod
    def learnt(cls, s: TagSettings, train: Tagged) -> dict[str, Any]:
        """The tokens, characters and labels of the sentences to train on."""
        counts = Counter(token for tokens in train.tokens for token in tokens)
        frequent = {token for token, count in counts.items() if count >= s.min_count}
        characters = set("".join(counts)) if s.read_from_characters else ()
        return {
            "tokens": sorted(frequent),
            "rare": sorted(counts.keys() - frequent),
            "characters": sorted(characters),
            "tags": sorted(set().union(*train.tags)),
        }

    def prepared(self, part: Tagged) -> _Examples:
        """Tokens and labels as numbers."""
        numbers: dict[str, int] = {}
        ids, tags, words = [], [], []
        for tokens, labels in zip(*part, strict=True):
            ids.append(np.array([self._ids.get(token, 0) for token in tokens]))
            tags.append(np.array([self._tag_ids.get(label, NONE) for label in labels]))
            if self.settings.read_from_characters:
                found = [numbers.setdefault(token, len(numbers)) for token in tokens]
                words.append(np.array(found))
        if all((of_one == NONE).all() for of_one in tags):
            raise ValueError(f"none of its labels, such as {part.tags[0][0]!r:.60}, is known")
        of = self._character_ids
        spellings = [np.array([of.get(each, 0) for each in word]) for word in numbers]
        return _Examples(part.tokens, ids, tags, words, spellings)

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many tokens each sentence has."""
        return [len(ids) for ids in examples.ids]

    def batch(self, examples: _Examples, which: Indices) -> _Batch:
        """Sentences side by side."""
        ids, lengths = pad_sequences([examples.ids[i] for i in which.tolist()])
        tags, _ = pad_sequences([examples.tags[i] for i in which.tolist()], value=NONE)
        spelling = None
        if examples.words:
            words, _ = pad_sequences([examples.words[i] for i in which.tolist()])
            used, at = np.unique(words, return_inverse=True)
            spelled, long = pad_sequences([examples.spellings[i] for i in used.tolist()])
            spelling = Spelling(spelled, long, at.reshape(words.shape))
        return _Batch(ids, lengths, tags, spelling)

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `Tagger` takes them."""
        s = self.settings
        spelled = s.read_from_characters
        return {
            "vocab_size": 1 + len(self._ids),
            "num_tags": len(self.tags),
            "embedding_size": s.embedding_size,
            "hidden_size": s.hidden_size,
            "num_layers": s.layers,
            "num_characters": 1 + len(self._character_ids) if spelled else 0,
            "character_size": spelled,
            "cell": s.cell,
            "bidirectional": not s.one_way,
            "dropout": s.dropout,
            "embedding_dropout": s.embedding_dropout,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        rows, half = GATES[s.cell] * s.hidden_size, s.read_from_characters // 2
        found = {
            "embedding.weight": (1 + len(self._ids), s.embedding_size),
            f"recurrent.weight_hh_l{s.layers - 1}": (rows, s.hidden_size),
            "output.bias": (len(self.tags),),
        }
        if half:
            found["speller.weight_hh_l0"] = (GATES[s.cell] * half, half)
        return found

    @classmethod
    def products(cls, s: TagSettings) -> Sequence[cpu.Product]:
        """Those of the recurrent layer."""
        size = s.embedding_size + s.read_from_characters
        return recurrent_products([s.batch_size] * 50, size, s.hidden_size, GATES[s.cell])

    def logits(self, model: Any, batch: _Batch) -> Tensor:
        """The logits of the labels, of shape (T, N, C)."""
        device, spelling = device_of(model), batch.spelling
        if spelling is not None:
            spelling = spelling._replace(
                ids=moved(spelling.ids, device), which=moved(spelling.which, device)
            )
        found: Tensor = model(moved(batch.ids, device), batch.lengths, spelling)
        return found

    def loss(
        self, model: Any, batch: _Batch, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The mean cross-entropy of the labels of all tokens."""
        tags = moved(batch.tags, device_of(model))
        loss = cross_entropy(self.logits(model, batch), tags, ignore_index=NONE)
        return loss, int(batch.lengths.sum())

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
        """The loss in nats per token, the figures of the labels, and "confusion"."""
        total, predicted = 0.0, [np.empty(0, np.int64)] * len(examples)
        with evaluating(model), quiet():
            for which, batch in in_batches(self, examples, stop, progress):
                logits = self.logits(model, batch)
                tags = moved(batch.tags, device_of(model))
                total += cross_entropy(logits, tags, ignore_index=NONE, reduction="sum").item()
                best = logits.numpy().argmax(-1)
                for column, i in enumerate(which.tolist()):
                    predicted[i] = best[: batch.lengths[column], column]
        if not all(map(len, predicted)):
            return None
        counted = max(1, sum(int((tags != NONE).sum()) for tags in examples.tags))
        return {"loss": total / counted, **self._figures(examples, np.concatenate(predicted))}

    def _figures(self, examples: _Examples, predicted: Ids) -> dict[str, Any]:
        truth, lengths = np.concatenate(examples.tags), self.lengths(examples)
        if self.settings.spaces:
            found = space_figures(truth, predicted, lengths)
        else:
            known = [token in self._known for tokens in examples.tokens for token in tokens]
            found = word_figures(truth, predicted, lengths, np.array(known))
        there = truth != NONE
        counts = confusion(truth[there], predicted[there], len(self.tags))
        return {**found, "confusion": counts.tolist()}

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """Labels by counting: in the contexts of `models.simpler.simpler_taggers`."""
        labels, C = np.concatenate(train.tags), len(self.tags)
        most = np.bincount(labels, minlength=C).argmax()
        methods: Mapping[str, Callable[[Sentences], Features]]
        if self.settings.spaces:
            methods = {
                f"{len(AROUND) - 1} characters around": Surroundings(AROUND),
                "each character alone": Surroundings((0,)),
            }
            last = "no spaces"
        else:
            methods = {"each word and its ending": Endings(), "each word alone": Words()}
            last = "the most frequent label"
        predicted = {}
        for name, features in methods.items():
            counted = CountedContexts(features(train.tokens), labels, C)
            predicted[name] = counted.predict(features(on.tokens))
        predicted[last] = np.full(sum(self.lengths(on)), most)
        return {name: self._figures(on, each) for name, each in predicted.items()}

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """F1 with precision and recall of spaces, or the accuracy on unknown words; and others."""
        shown = {
            "F1": "f1",
            "precision": "precision",
            "recall": "recall",
            "accuracy": "accuracy",
            "unknown words": "unknown",
            "whole sentences": "sentences",
        }
        return {
            head: f"{figures[name]:.4f}" if name == "f1" else f"{figures[name]:.2%}"
            for head, name in shown.items()
            if name in figures
        }

    def told(self, figures: Mapping[str, Any]) -> str:
        """Accuracy, and the F1 of spaces."""
        f1 = f"  F1 {figures['f1']:.4f}" if "f1" in figures else ""
        return f"accuracy {figures['accuracy']:.2%}{f1}"

    # ------------------------------------------------------------------ what it does

    def predicted(self, model: Any, sentences: Sentences) -> list[list[str]]:
        """The label of each token of sentences, none of which is empty.

        Raises
        ------
        Diverged
            if the logits are not finite.
        """
        unlabelled = [[self.tags[0]] * len(tokens) for tokens in sentences]
        if not unlabelled:
            return []
        examples = self.prepared(Tagged([list(tokens) for tokens in sentences], unlabelled))
        found: list[list[str]] = []
        with evaluating(model):
            for start in range(0, len(examples), TOGETHER):
                which = np.arange(start, min(start + TOGETHER, len(examples)))
                batch = self.batch(examples, which)
                logits = self.logits(model, batch).numpy()
                if not np.isfinite(logits).all():
                    raise Diverged("the model's logits became nan or inf")
                for column, length in enumerate(batch.lengths.tolist()):
                    best = logits[:length, column].argmax(-1)
                    found.append([self.tags[id] for id in best.tolist()])
        return found

    def _told(self, tokens: Sequence[str], tags: Sequence[str]) -> str:
        if self.settings.spaces:
            return spaced(tokens, tags)
        return " ".join(f"{token}/{tag}" for token, tag in zip(tokens, tags, strict=True))

    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """Each text with its spaces, or as words with their labels."""
        read = characters_of if self.settings.spaces else words_of
        sentences, found = [read(text) for text in inputs], []
        labels = self.predicted(model, sentences)
        for text, tokens, tags in zip(inputs, sentences, labels, strict=True):
            told = self._told(tokens, tags)
            about = {"spaced": told} if self.settings.spaces else {"words": tokens, "labels": tags}
            found.append(Answer(printable(told), {"text": text, **about}))
        return found

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What the model makes of some sentences, and how many labels of each are wrong."""
        which = rng.permutation(len(examples))[:SAMPLES].tolist()
        sentences, lines = [examples.tokens[i] for i in which], []
        labels = self.predicted(model, sentences)
        for i, tokens, tags in zip(which, sentences, labels, strict=True):
            truth = examples.tags[i].tolist()
            wrong = sum(self._tag_ids[tag] != id for tag, id in zip(tags, truth, strict=True))
            text = printable(self._told(tokens, tags))
            short = text if len(text) <= 60 else text[:59] + "…"
            lines.append(f"{wrong} of {len(tokens)} wrong: {short}")
        return "\n".join(lines)

    def picture(self, model: Any, examples: Any, title: str, figures: Mapping[str, Any]) -> bytes:
        """Which labels are taken for which."""
        from models.showing.confusion_picture import confusion_picture  # which takes a while

        title = f"{title.replace(', ', chr(10))}\n{self.told(figures)}"
        return confusion_picture(np.array(figures["confusion"]), self.tags, title)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        ways = "" if s.one_way else "bidirectional "
        return f"{ways}{s.cell.upper()} of {s.hidden_size} units, on {Path(s.data[0]).name}"

    def introduction(self, data: Data, model: Any) -> list[str]:
        """Labels, tokens and model."""
        s, train = self.settings, data.parts["train"]
        rare = len(self.facts["rare"])
        layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
        ways = "" if s.one_way else " in each direction"
        spelled = s.read_from_characters
        spelling = f", {spelled} from the characters of a word" if spelled else ""
        return [
            f"{'characters' if s.spaces else 'words':11} {sum(map(len, train.tokens)):,} to train "
            f"on, {len(self._ids):,} different ones and {rare:,} that are rarer than {s.min_count}",
            f"labels      {balance([tag for tags in train.tags for tag in tags])}",
            f"model       {s.cell.upper()}, {layers} of {s.hidden_size} units{ways}{spelling}, "
            f"{model.num_parameters():,} parameters",
        ]

    def warnings(self, data: Data) -> list[str]:
        """Lines that were left out, and sentences of files of one's own that are in two parts."""
        found, known = super().warnings(data), set(map(tuple, data.parts["train"].tokens))
        for name, words in (("valid", "validate"), ("test", "test")):
            tokens = data.parts[name].tokens if name in data.parts else []
            if again := sum(tuple(each) in known for each in tokens):
                found.append(
                    f"{again:,} of the {len(tokens):,} sentences to {words} are also among those "
                    "to train on"
                )
        return found
