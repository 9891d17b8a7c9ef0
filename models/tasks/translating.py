"""Translating: from a sentence to a sentence, with an encoder and a decoder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu
from minigrad.data import Vocabulary, pad_sequences
from minigrad.files import printable
from minigrad.training import bits, evaluating, recurrent_products, write_atomically
from models.devices import device_of, moved
from models.encoder_decoder import IGNORED, EncoderDecoder
from models.measuring.evaluation import quiet
from models.measuring.translation_scores import (
    EXTRA,
    bleu,
    character_error_rate,
    chrf,
    exact_matches,
    has_sacrebleu,
)
from models.measuring.units import Unit
from models.reading.labelled_texts import BadLine
from models.reading.sentence_pairs import Pairs, cleaned, load_pairs, read_pairs
from models.reading.sentence_tokens import SentenceTokens
from models.runs.forms import count
from models.runs.saved_model import GATES
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.simpler.nearest_source import NearestSource
from models.tasks.problem import Answer, Data, Indices, Problem, Stop, UseOption, in_batches
from models.tasks.translate_settings import TranslateSettings
from models.writing.search import Candidate
from models.writing.translation import (
    AttentionMap,
    alignment,
    beam_translate,
    greedy_translate,
    kept_share,
    scheduled_inputs,
)

SAMPLES = 3
"""How many sentences a sample shows, and a picture."""

BEAM, LENGTH_PENALTY = 4, 0.6
"""How translations are searched for when the training is over."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    """Pairs side by side, each padded to the longest."""

    source: Ids
    lengths: Ids
    inputs: Ids
    """What the decoder reads: an end, and the target."""
    targets: Ids
    """What it is to write: the target, and an end; `IGNORED` after that."""


@dataclass(frozen=True)
class _Examples:
    """Pairs of sentences, and their tokens without ends."""

    sources: list[str]
    targets: list[str]
    source_ids: list[Ids]
    target_ids: list[Ids]

    def __len__(self) -> int:
        return len(self.sources)


def _length(value: Any) -> bool:
    """a whole number from 1 to 100,000"""  # noqa: D400 (it goes into messages)
    return count(value) and 1 <= value <= 100_000


class Translating(Problem):
    """A sentence from a sentence.

    The facts: the tokens of both sides, and how many a target of the part to train on has at most,
    its end included. No translation is longer.
    """

    kind = TranslateSettings
    model_kind = EncoderDecoder
    facts_form: ClassVar[Mapping[str, Any]] = {"source": str, "target": str, "longest": _length}
    unit = Unit("bits per token", "bits", bits)
    figures: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "loss": ("loss", False),
        "cer": ("cer", False),
        "exact": ("exact", True),
        "bleu": ("bleu", True),
        "chrf": ("chrf", True),
    }
    what = "pairs"
    about = "Translate a sentence, or answer it, with an encoder and a decoder."
    help = """Train an encoder and a decoder to make a sentence of a sentence.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of simpler methods on the same sentences: the
    translation of the nearest source that is known, the most frequent target, and the source.
    """
    use_options: ClassVar[Mapping[str, UseOption]] = {
        "beam": UseOption(
            int, BEAM, "Translations that are followed at a time.", "N", low=1, evaluate=True
        ),
        "length_penalty": UseOption(
            float, LENGTH_PENALTY, "How far longer ones are favoured.", "X", low=0, evaluate=True
        ),
        "picture": UseOption(
            Path, None, "Draw where the decoder looked, for the last sentence.", "FILE.png"
        ),
    }
    input_help = "A sentence; else --file, or each line of the standard input."
    example_input = "A sentence of your own"

    def __init__(self, settings: TranslateSettings, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        levels = {"source": settings.source_level, "target": settings.target_level}
        self.source, self.target = (
            SentenceTokens(level, Vocabulary.from_json(facts[side]))
            for side, level in levels.items()
        )

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: TranslateSettings) -> Data:
        """The pairs that the settings name."""
        columns = (s.source_column, s.target_column)
        parts = load_pairs(s.data, s.valid, s.test, s.split, s.split_seed, *columns)
        of = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        found = {name: part for name, part in of.items() if part is not None}
        return Data(found, parts.fingerprint, parts.bad)

    @classmethod
    def load_part(cls, s: TranslateSettings, path: Path) -> tuple[Pairs, Sequence[BadLine]]:
        """The pairs of a file."""
        return read_pairs(path, s.source_column, s.target_column)

    @classmethod
    def learnt(cls, s: TranslateSettings, train: Pairs) -> dict[str, Any]:
        """The tokens of both sides."""
        source = SentenceTokens.learnt(s.source_level, train.sources, s.min_count)
        target = SentenceTokens.learnt(s.target_level, train.targets, s.min_count)
        return {
            "source": source.vocabulary.to_json(),
            "target": target.vocabulary.to_json(),
            "longest": 1 + max(len(target.encode(each)) for each in train.targets),
        }

    def prepared(self, part: Pairs) -> _Examples:
        """The pairs as tokens."""
        return _Examples(
            part.sources,
            part.targets,
            [self.source.encode(each) for each in part.sources],
            [self.target.encode(each) for each in part.targets],
        )

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many tokens both sides have together."""
        both = zip(examples.source_ids, examples.target_ids, strict=True)
        return [len(source) + len(target) for source, target in both]

    def batch(self, examples: _Examples, which: Indices) -> _Batch:
        """The pairs with these numbers, side by side."""
        numbers, end = which.tolist(), self.target.end
        source, lengths = pad_sequences([examples.source_ids[i] for i in numbers])
        targets = [examples.target_ids[i] for i in numbers]
        inputs, _ = pad_sequences([np.append(end, each) for each in targets])
        wanted, _ = pad_sequences([np.append(each, end) for each in targets], value=IGNORED)
        return _Batch(source, lengths, inputs, wanted)

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `EncoderDecoder` takes them."""
        s = self.settings
        return {
            "source_size": len(self.source),
            "target_size": len(self.target),
            "embedding_size": s.embedding_size,
            "hidden_size": s.hidden_size,
            "num_layers": s.layers,
            "cell": s.cell,
            "attention": s.attention,
            "dropout": s.dropout,
            "embedding_dropout": s.embedding_dropout,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        rows = GATES[s.cell] * s.hidden_size
        return {
            "source_embedding.weight": (len(self.source), s.embedding_size),
            "target_embedding.weight": (len(self.target), s.embedding_size),
            f"decoder.weight_hh_l{s.layers - 1}": (rows, s.hidden_size),
        }

    @classmethod
    def products(cls, s: TranslateSettings) -> Sequence[cpu.Product]:
        """Those of the decoder."""
        sizes = (s.embedding_size, s.hidden_size, GATES[s.cell])
        return recurrent_products([s.batch_size] * 30, *sizes)

    def loss(
        self, model: Any, batch: _Batch, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The cross-entropy of the targets' tokens, after their own or, some, after drawn ones."""
        inputs, k = batch.inputs, self.settings.scheduled_sampling
        if k is not None:
            kept = kept_share(step, k)
            inputs = scheduled_inputs(model, batch.source, batch.lengths, inputs, kept, rng)
        return self._loss(model, batch, inputs), int((batch.targets != IGNORED).sum())

    def _loss(self, model: Any, batch: _Batch, inputs: Ids) -> Tensor:
        device = device_of(model)
        source, given, targets = (
            moved(ids, device) for ids in (batch.source, inputs, batch.targets)
        )
        found: Tensor = model.loss(source, batch.lengths, given, targets)
        return found

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
        """The loss in nats per token; character error rate and exact matches, BLEU and chrF.

        While the network learns, translations are greedy, and BLEU and chrF are measured if
        ``--best-by`` asks for one of them. Later there is beam search, and all is measured that
        can be.
        """
        total, tokens, written = 0.0, 0, dict[int, str]()
        how = options if thorough else {"beam": 1}
        for which, batch in in_batches(self, examples, stop, progress):
            here = int((batch.targets != IGNORED).sum())
            with evaluating(model), quiet():
                total += self._loss(model, batch, batch.inputs).item() * here
            tokens += here
            sources = [examples.source_ids[i] for i in which.tolist()]
            paths = self.paths(model, sources, **how)
            written |= zip(which.tolist(), map(self.written, paths), strict=True)
        if len(written) < len(examples):
            return None
        found = [written[i] for i in range(len(examples))]
        by_sacrebleu = has_sacrebleu() if thorough else self.settings.best_by in ("bleu", "chrf")
        return {"loss": total / tokens, **_scores(found, examples.targets, by_sacrebleu)}

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """The nearest source that is known, the most frequent target, and the source itself."""
        nearest = NearestSource(train.sources, train.targets)
        most = Counter(train.targets).most_common(1)[0][0]
        found = {
            "the nearest source": [nearest.translate(source) for source in on.sources],
            "the most frequent target": [most] * len(on),
            "the source itself": on.sources,
        }
        return {n: _scores(each, on.targets, has_sacrebleu()) for n, each in found.items()}

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """BLEU and chrF, if sacrebleu is there; errors and exact matches."""
        found = {n: f"{figures[n.lower()]:.1f}" for n in ("BLEU", "chrF") if n.lower() in figures}
        return {**found, "CER": f"{figures['cer']:.1%}", "exact": f"{figures['exact']:.1%}"}

    def told(self, figures: Mapping[str, Any]) -> str:
        """As in the table, in one line."""
        return "  ".join(f"{head} {value}" for head, value in self.columns(figures).items())

    # ------------------------------------------------------------------ what it does

    def paths(
        self,
        model: Any,
        sources: Sequence[Ids],
        beam: int = BEAM,
        length_penalty: float = LENGTH_PENALTY,
    ) -> list[Candidate]:
        """The translation of each sentence, in tokens."""
        end, longest = self.target.end, self.facts["longest"]
        banned = [self.target.unknown]
        if beam == 1:
            return greedy_translate(model, sources, end, longest, banned=banned)
        how: Any = {"width": beam, "alpha": length_penalty, "banned": banned}
        return [beam_translate(model, source, end, longest, **how) for source in sources]

    def written(self, path: Candidate) -> str:
        """A translation as text."""
        return self.target.decode(np.array(path.ids[: len(path.ids) - path.ended], np.int64))

    def answers(
        self,
        model: Any,
        inputs: Sequence[str],
        beam: int = BEAM,
        length_penalty: float = LENGTH_PENALTY,
        picture: Path | None = None,
        **options: Any,
    ) -> list[Answer]:
        """The translation of each sentence; how probable it is, and where the decoder looked."""
        if picture is not None and self.settings.attention == "none":
            raise ValueError("--picture shows attention, and this model has none")
        texts = [cleaned(each) for each in inputs]
        sources = [self.source.encode(each) for each in texts]
        paths = self.paths(model, sources, beam, length_penalty)
        found, shown = [], None
        for text, source, path in zip(texts, sources, paths, strict=True):
            facts: dict[str, Any] = {
                "source": text,
                "target": self.written(path),
                "log_probability": round(path.log_probability, 6),
                "score": round(path.score, 6),
            }
            if (shown := self._looked(model, source, path)) is not None:
                facts |= {
                    "source_tokens": shown.source,
                    "target_tokens": shown.target,
                    "attention": np.round(shown.weights, 4).tolist(),
                }
            found.append(Answer(printable(facts["target"]), facts))
        if picture is not None and shown is not None:
            from models.showing.attention_picture import attention_picture  # which takes a while

            write_atomically(picture, attention_picture([shown]))
        return found

    def _looked(self, model: Any, source: Ids, path: Candidate) -> AttentionMap | None:
        """Where the decoder looked as it wrote a translation; None: it has no attention."""
        weights = alignment(model, source, path.ids, self.target.end)
        if weights is None:
            return None
        of_source, of_target = self.source.tokens(source), self.target.tokens(path.ids)
        return AttentionMap(of_source, of_target, weights)

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What the model makes of some sentences, and what they are."""
        which = rng.permutation(len(examples))[:SAMPLES].tolist()
        paths = self.paths(model, [examples.source_ids[i] for i in which], beam=1)
        if not all(math.isfinite(path.log_probability) for path in paths):
            raise Diverged("the model's logits became nan or inf")
        lines = []
        for i, path in zip(which, paths, strict=True):
            found, wanted = self.written(path), examples.targets[i]
            verdict = "right" if found == wanted else f"it is: {wanted}"
            lines.append(_short(f"{examples.sources[i]} → {found} ({verdict})"))
        return "\n".join(lines)

    def picture(
        self, model: Any, examples: _Examples, title: str, figures: Mapping[str, Any]
    ) -> bytes | None:
        """Where the decoder looked in some sentences of middle length; None without attention."""
        if self.settings.attention == "none":
            return None
        from models.showing.attention_picture import attention_picture  # which takes a while

        order = np.argsort(self.lengths(examples), kind="stable")
        middle = order[len(order) // 2 :][:SAMPLES].tolist()
        sources = [examples.source_ids[i] for i in middle]
        maps = [
            self._looked(model, source, path)
            for source, path in zip(sources, self.paths(model, sources), strict=True)
        ]
        return attention_picture([each for each in maps if each is not None], title)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        attention = "no" if s.attention == "none" else s.attention
        return (
            f"{s.cell.upper()} of {s.hidden_size} units with {attention} attention, on "
            f"{Path(s.data[0]).name}"
        )

    def introduction(self, data: Data, model: Any) -> list[str]:
        """Tokens and model."""
        s = self.settings
        words = {"char": "characters", "jamo": "letters and jamo", "word": "words and marks"}
        attention = "no" if s.attention == "none" else s.attention
        layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
        lines = [
            f"tokens      {len(self.source):,} {words[s.source_level]} to read, "
            f"{len(self.target):,} {words[s.target_level]} to write",
            f"model       bidirectional {s.cell.upper()} encoder and decoder, {layers} of "
            f"{s.hidden_size} units, {attention} attention, {model.num_parameters():,} parameters",
        ]
        return lines if has_sacrebleu() else [*lines, f"figures     {EXTRA}"]


def _scores(found: list[str], wanted: list[str], by_sacrebleu: bool) -> dict[str, float]:
    """The figures of translations."""
    scores = {
        "cer": character_error_rate(found, wanted),
        "exact": exact_matches(found, wanted),
    }
    if by_sacrebleu:
        scores |= {"bleu": bleu(found, wanted), "chrf": chrf(found, wanted)}
    return scores


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= 100 else text[:99] + "…"
