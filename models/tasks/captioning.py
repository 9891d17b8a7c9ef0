"""Captions of images, and texts of a label such as the names of a language: letter by letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu, cross_entropy
from minigrad.data import Vocabulary, pad_sequences
from minigrad.files import printable
from minigrad.training import bits, evaluating, recurrent_products
from models.captioner import Captioner
from models.devices import device_of, moved
from models.measuring.evaluation import quiet
from models.measuring.text_ngrams import ngram_loss
from models.measuring.text_similarity import middle, word_f1
from models.measuring.translation_scores import character_error_rate
from models.measuring.units import Unit
from models.reading.captioned_images import (
    Captioned,
    inverted,
    load_captioned_parts,
    read_captioned,
    read_picture,
    shifted,
)
from models.reading.labelled_texts import BadLine, Labelled, known_before, load_parts, read_labelled
from models.reading.sentence_tokens import SentenceTokens
from models.runs.forms import count
from models.runs.saved_model import GATES
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.simpler.nearest import nearest
from models.tasks.caption_settings import CaptionSettings
from models.tasks.caption_writing import CaptionWriter, share_of_new
from models.tasks.problem import Answer, Data, Indices, Problem, Stop, UseOption, in_batches
from models.writing.sampling import UnusableWeightsError

SAMPLES = 3
"""How many texts a sample shows."""

MOST_DRAWN = 1000
"""From at most so many texts is told which share of them is new."""

MOST_LABELS = 6
"""So many labels are told by name."""


@dataclass(frozen=True)
class _Batch:
    """Things side by side, and their texts: what goes in and what comes out, padded."""

    things: NDArray[Any]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class _Examples:
    """Things and their texts as the network reads them."""

    things: NDArray[Any]
    """Images, float32 from 0 (white) to 1; or the numbers of labels."""
    texts: list[str]
    ids: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.texts)


class Captioning(Problem):
    """A text about one thing. The facts: the letters, and the labels or the shape of the images."""

    kind = CaptionSettings
    model_kind = Captioner
    facts_form: ClassVar[Mapping[str, Any]] = {
        "letters": str,
        "labels": [str],
        "image_shape": [count],
    }
    unit = Unit("bits per letter", "bits", bits)
    what = "texts"
    about = "Write a text about one thing: the caption of an image, or a name of a label."
    help = """Train a recurrent network to write a text about an image or a label, letter by letter.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of simpler methods on the same data: one caption
    for all images, the caption of the nearest image, and n-grams, of each label and of all.
    """
    use_options: ClassVar[Mapping[str, UseOption]] = {
        "beam": UseOption(
            int,
            5,
            "The width of the beam search; 1: always the likeliest letter.",
            low=1,
            evaluate=True,
        ),
        "alpha": UseOption(
            float, 0.0, "How far the search favours longer texts.", low=0, evaluate=True
        ),
        "samples": UseOption(int, None, "Draw so many different texts instead.", "N", low=1),
        "seed": UseOption(int, 0, "The same seed, the same samples.", low=0),
    }
    input_help = (
        "The file of an image, or a label; else --file, or each line of the standard input."
    )

    def __init__(self, settings: CaptionSettings, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        self.letters = SentenceTokens(settings.level, Vocabulary.from_json(facts["letters"]))
        self.labels: list[str] = facts["labels"]
        self.image_shape: list[int] = facts["image_shape"]
        self.example_input = "FILE.png" if settings.images else self.labels[0]
        self._known: frozenset[str] | None = None
        self.writer = CaptionWriter(self.letters, settings.max_length)
        self._number_of = {label: number for number, label in enumerate(self.labels)}

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: CaptionSettings) -> Data:
        """The images and captions, or the labels and texts, that the settings name."""
        if s.images:
            found = load_captioned_parts(s.data, s.language, s.valid, s.test, s.split, s.split_seed)
            return Data(found.parts, found.fingerprint, found.bad)
        columns = (s.text_column, s.label_column)
        parts = load_parts(s.data, s.valid, s.test, s.split, s.split_seed, *columns)
        of = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        named = {name: part for name, part in of.items() if part is not None}
        return Data(named, parts.fingerprint, parts.bad)

    @classmethod
    def load_part(cls, s: CaptionSettings, path: Path) -> tuple[Any, Sequence[BadLine]]:
        """The examples of a file."""
        if s.images:
            return read_captioned(path, s.language)
        return read_labelled(path, s.text_column, s.label_column)

    @classmethod
    def learnt(cls, s: CaptionSettings, train: Any) -> dict[str, Any]:
        """The letters of the texts to train on, and the labels or the shape of the images."""
        texts = train.captions if s.images else train.texts
        return {
            "letters": SentenceTokens.learnt(s.level, texts).vocabulary.to_json(),
            "labels": [] if s.images else sorted(set(train.labels)),
            "image_shape": list(train.pixels.shape[1:]) if s.images else [],
        }

    def prepared(self, part: Captioned | Labelled) -> _Examples:
        """Images as numbers from 0 to 1, labels as whole numbers, texts as letters."""
        if isinstance(part, Captioned):
            if list(part.pixels.shape[1:]) != self.image_shape:
                raise ValueError(
                    f"the images have the shape {part.pixels.shape[1:]}, those to train on "
                    f"{tuple(self.image_shape)}"
                )
            things: NDArray[Any] = inverted(part.pixels)
            texts = part.captions
        else:
            things, texts = self.numbers(part.labels), part.texts
        return _Examples(things, texts, [self.letters.encode(text) for text in texts])

    def numbers(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of labels; a ValueError if one is not known."""
        if unseen := sorted(set(labels) - set(self.labels)):
            known = ", ".join(map(printable, self.labels))
            raise ValueError(f"there is no label {unseen[0]!r:.60}, but {known:.300}")
        return np.array([self._number_of[label] for label in labels], np.int64)

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many letters each text has."""
        return [len(ids) for ids in examples.ids]

    def batch(self, examples: _Examples, which: Indices) -> _Batch:
        """Things and texts side by side."""
        texts, end = [examples.ids[i] for i in which.tolist()], [self.letters.end]
        inputs, lengths = pad_sequences([np.concatenate([end, ids]) for ids in texts])
        targets, _ = pad_sequences([np.concatenate([ids, end]) for ids in texts], value=-100)
        return _Batch(examples.things[which], inputs, targets, lengths)

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `Captioner` takes them."""
        s = self.settings
        return {
            "vocab_size": len(self.letters),
            "image_shape": self.image_shape,
            "num_labels": len(self.labels),
            "embedding_size": s.embedding_size,
            "thing_size": s.thing_size,
            "hidden_size": s.hidden_size,
            "num_layers": s.layers,
            "cell": s.cell,
            "dropout": s.dropout,
            "pixel_dropout": s.pixel_dropout,
            "image_dropout": s.image_dropout,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        rows = GATES[s.cell] * s.hidden_size
        encoder = "encoder.2.weight" if s.images else "encoder.weight"
        size = (2 * s.thing_size, int(np.prod(self.image_shape)))
        return {
            "embedding.weight": (len(self.letters), s.embedding_size),
            f"recurrent.weight_hh_l{s.layers - 1}": (rows, s.hidden_size),
            encoder: size if s.images else (len(self.labels), s.thing_size),
            "output.bias": (len(self.letters),),
        }

    @classmethod
    def products(cls, s: CaptionSettings) -> Sequence[cpu.Product]:
        """Those of the recurrent layer."""
        sizes = (s.embedding_size + s.thing_size, s.hidden_size, GATES[s.cell])
        return recurrent_products([s.batch_size] * 15, *sizes)

    def loss(
        self, model: Any, batch: _Batch, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The cross-entropy of the letters; images are moved a little first."""
        things = batch.things
        if self.settings.images and self.settings.shift:
            things = shifted(things, self.settings.shift, rng)
        return self._loss(model, batch, things), int(batch.lengths.sum())

    def _loss(self, model: Any, batch: _Batch, things: NDArray[Any]) -> Tensor:
        device = device_of(model)
        logits = model(moved(things, device), moved(batch.inputs, device), batch.lengths)
        return cross_entropy(logits, moved(batch.targets, device), ignore_index=-100)

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
        """The loss in nats per letter. Of images also the figures of the captions, "captions".

        Before the training is over, these are written without a search. Of labels, then, also the
        share of texts that are new, of some that are drawn.
        """
        nats, letters, texts = 0.0, 0, [""] * len(examples)
        with evaluating(model), quiet():
            for which, batch in in_batches(self, examples, stop, progress):
                tokens = int(batch.lengths.sum())
                nats += self._loss(model, batch, batch.things).item() * tokens
                letters += tokens
                if self.settings.images and np.isfinite(nats):
                    some = self._likeliest(model, batch.things, thorough, **options)
                    for i, text in zip(which.tolist(), some, strict=True):
                        texts[i] = text
        if letters < sum(self.lengths(examples)) + len(examples):
            return None
        found: dict[str, Any] = {"loss": nats / letters}
        if self.settings.images:
            return found | self._scored(examples, texts)
        if thorough and (known := self.known()) is not None:
            rng = np.random.default_rng(self.settings.seed)
            texts = self.writer.drawn(model, examples.things[:MOST_DRAWN], rng)
            found["new"] = share_of_new(texts, known)
        return found

    def _likeliest(
        self,
        model: Any,
        things: NDArray[Any],
        thorough: bool,
        *,
        beam: int = 5,
        alpha: float = 0.0,
    ) -> list[str]:
        return self.writer.likeliest(model, things, beam if thorough else 1, alpha)

    def _scored(self, examples: _Examples, texts: Sequence[str]) -> dict[str, Any]:
        pairs = (texts, examples.texts)
        return {
            "errors": character_error_rate(*pairs),
            "word_f1": word_f1(*pairs),
            "right": sum(text == right for text, right in zip(*pairs, strict=True)),
            "captions": list(texts),
        }

    def known(self) -> frozenset[str] | None:
        """The texts to train on; None: they are not at hand."""
        if self._known is None:
            try:
                train = self.load(self.settings).parts["train"]
            except (OSError, ValueError):
                return None
            texts = train.captions if self.settings.images else train.texts
            self._known = frozenset(texts)
        return self._known

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """n-grams; and of images the same caption for all, and that of the nearest image."""
        found: dict[str, dict[str, Any]] = {}
        if self.settings.images:
            same = middle(train.texts)
            near = nearest(train.things, on.things)
            found = {
                "the same for all": self._scored(on, [same] * len(on)),
                "the nearest image": self._scored(on, [train.texts[i] for i in near.tolist()]),
            }
            keys = {"without the image": [[0] * len(part) for part in (train, valid, on)]}
        else:
            keys = {
                "of each label": [part.things.tolist() for part in (train, valid, on)],
                "without the label": [[0] * len(part) for part in (train, valid, on)],
            }
        for name, each in keys.items():
            first, second, third = zip((p.ids for p in (train, valid, on)), each, strict=True)
            loss, order = ngram_loss(first, second, third, self.letters.end, len(self.letters))
            found[f"{order}-grams {name}"] = {"loss": loss}
        if not self.settings.images:
            found["these texts themselves"] = {"new": share_of_new(on.texts, set(train.texts))}
        return found

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """Bits per letter; of captions also errors, the F1 of words, and how many are right."""
        found = {}
        if "loss" in figures:
            found["bits"] = f"{bits(figures['loss']):.3f}"
        if "errors" in figures:
            found["errors"] = f"{figures['errors']:.1%}"
            found["word F1"] = f"{figures['word_f1']:.4f}"
            found["right"] = f"{figures['right']:,}"
        if "new" in figures:
            found["new"] = f"{figures['new']:.1%}"
        return found

    def told(self, figures: Mapping[str, Any]) -> str:
        """The errors and the F1 of the words of captions."""
        if "errors" not in figures:
            return ""
        return f"errors {figures['errors']:.1%}  word F1 {figures['word_f1']:.4f}"

    # ------------------------------------------------------------------ what it does

    def answers(
        self,
        model: Any,
        inputs: Sequence[str],
        *,
        samples: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> list[Answer]:
        """The likeliest text about each image or label; or different ones that are drawn."""
        name = "image" if self.settings.images else "label"
        if self.settings.images:
            pictures = [read_picture(path, self.image_shape) for path in inputs]
            things: NDArray[Any] = inverted(np.stack(pictures))
        else:
            things = self.numbers(inputs)
        if samples is None:
            texts = self._likeliest(model, things, True, **options)
            return [
                Answer(f"{printable(text)}\t{printable(given)}", {name: given, "text": text})
                for given, text in zip(inputs, texts, strict=True)
            ]
        found, known = [], self.known()
        for i, given in enumerate(inputs):
            texts = self.writer.different(model, things[i : i + 1], samples, seed)
            facts: dict[str, Any] = {name: given, "texts": texts}
            told = [f"{printable(text)}\t{printable(given)}" for text in texts]
            if known is not None:
                told = [
                    f"{line}\t{'known' if text in known else 'new'}"
                    for line, text in zip(told, texts, strict=True)
                ]
                facts["new"] = round(share_of_new(texts, known), 4)
            found.append(Answer("\n".join(told), facts))
        return found

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What is written about some images; or texts that are drawn, of some labels."""
        which = rng.permutation(len(examples))[:SAMPLES]
        things, truth = examples.things[which], [examples.texts[i] for i in which]
        try:
            if self.settings.images:
                texts = self.writer.likeliest(model, things, 1, 0.0)
                heads = [f"{printable(right)} (is right)" for right in truth]
            else:
                texts = self.writer.drawn(model, things, rng)
                heads = [printable(self.labels[number]) for number in things.tolist()]
        except UnusableWeightsError as error:
            raise Diverged("the model's logits became nan or inf") from error
        return "\n".join(f"{h}: {printable(text)}" for h, text in zip(heads, texts, strict=True))

    def picture(
        self, model: Any, examples: _Examples, title: str, figures: Mapping[str, Any]
    ) -> bytes | None:
        """Images with the captions written and the right ones; of labels there is none."""
        if not self.settings.images:
            return None
        from models.showing.caption_sheet import caption_sheet  # which takes a while

        about = (1 - examples.things, figures["captions"], examples.texts)
        return caption_sheet(*about, f"{title}\n{self.told(figures)}")

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        language = f" in {s.language}" if s.images else ""
        return f"{s.cell.upper()} of {s.hidden_size} units, on {Path(s.data[0]).name}{language}"

    def introduction(self, data: Data, model: Any) -> list[str]:
        """What the texts are about, their letters, and the model."""
        s, train = self.settings, data.parts["train"]
        if s.images:
            height, width, _ = self.image_shape
            groups = len(set(train.groups))
            about = f"images      {height} × {width}, those to train on in {groups:,} groups"
        else:
            more = len(self.labels) - MOST_LABELS
            names = ", ".join(map(printable, self.labels[:MOST_LABELS]))
            about = f"labels      {names}" + (f", and {more} more" if more > 0 else "")
        layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
        return [
            about,
            f"letters     {len(self.letters):,}",
            f"model       {s.cell.upper()}, {layers} of {s.hidden_size} units, "
            f"{model.num_parameters():,} parameters",
        ]

    def warnings(self, data: Data) -> list[str]:
        """Examples that were left out, and texts that are in several parts."""
        found = super().warnings(data)
        if self.settings.images:
            return found
        for name, words in (("valid", "validate"), ("test", "test")):
            part = data.parts.get(name)
            if part and (known := known_before(data.parts["train"], part)):
                found.append(
                    f"{known:,} of the {len(part.texts):,} texts to {words} are also among those "
                    "to train on"
                )
        return found
