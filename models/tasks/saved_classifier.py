"""A text classifier in a file, and how it reads a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import softmax
from minigrad.data import Tokenizer, Vocabulary, pad_sequences
from minigrad.training import evaluating
from models.devices import device_of, moved
from models.naive_bayes import words
from models.runs.directory import RunDirectory
from models.runs.forms import check_described, count, made_of, number
from models.runs.saved_model import GATES
from models.tasks.classify_settings import ClassifySettings
from models.text_classifier import TextClassifier

FORMAT, VERSION = "minigrad-text-classifier", 1

FORM = {
    "settings": {
        **dict.fromkeys(
            ("vocab_size", "num_classes", "embedding_size", "hidden_size", "num_layers"), count
        ),
        "bidirectional": bool,
        "cell": str,
        "pooling": str,
        "dropout": number,
        "embedding_dropout": number,
    },
    "weights": {...: np.ndarray},
    "tokenizer": str,
    "classes": [str],
    "step": count,
    "loss": (number, None),
    "corpus": str,
    "run_id": str,
}
"""The form of what a file holds."""

TOGETHER = 64
"""How many texts are read side by side when nothing is learnt."""


class Reader:
    """Makes tokens of texts, as the settings of a run ask for."""

    def __init__(self, s: ClassifySettings, tokenizer: Tokenizer) -> None:
        self.settings, self.tokenizer = s, tokenizer

    @classmethod
    def learnt(cls, s: ClassifySettings, texts: Sequence[str]) -> Reader:
        """A reader with the tokens of the texts to train on."""
        read = (f"{_prepared(s, text)}\n" for text in texts)
        least = 2 if s.min_count is None else s.min_count
        options: Any = {"level": s.level, "min_count": least, "max_size": s.max_vocab, "eos": None}
        if s.level == "word":
            options["eos"] = "<eos>"  # what a line end is; no text holds one
        return cls(s, Vocabulary.from_chunks(read, **options))

    def ids(self, text: str) -> NDArray[np.int64]:
        """The tokens of a text, at least one."""
        found = self.tokenizer.encode(_prepared(self.settings, text))[: self.settings.max_length]
        unknown = self.tokenizer.unk_id
        assert unknown is not None  # `learnt` asks for it
        return found if len(found) else np.array([unknown])


def _prepared(s: ClassifySettings, text: str) -> str:
    text = " ".join(text.split())
    if s.level == "word":
        return " ".join(words(text))
    return text.lower() if s.lowercase else text


def describe(
    model: TextClassifier,
    tokenizer: Tokenizer,
    classes: Sequence[str],
    step: int,
    loss: float | None,
    corpus: str,
    run_id: str,
) -> dict[str, Any]:
    """A classifier as `save_checkpoint` takes it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": model.settings(),
        "weights": model.state_dict(),
        "tokenizer": tokenizer.fingerprint,
        "classes": list(classes),
        "step": step,
        "loss": loss,
        "corpus": corpus,
        "run_id": run_id,
    }


def restore(
    described: Any,
    tokenizer: Tokenizer,
    path: Path,
    run_id: str,
    rng: np.random.Generator | None = None,
) -> TextClassifier:
    """The classifier that a file describes; `rng` draws its dropout.

    Its sizes are compared with its weights first, so that a wrong file costs no memory.

    Raises
    ------
    ValueError
        if it describes none, or one of another run, or it can't be used. The message names `path`.
    """
    name = repr(str(path))
    check_described(
        described, "text classifier", [FORMAT], VERSION, FORM, name, tokenizer.fingerprint, run_id
    )
    settings, weights = described["settings"], described["weights"]
    with made_of(weights, name):
        shapes = {name: weight.shape for name, weight in weights.items()}
        rows = GATES[settings["cell"]] * settings["hidden_size"]
        for part, shape in {
            "embedding.weight": (len(tokenizer), settings["embedding_size"]),
            "recurrent.weight_hh_l0": (rows, settings["hidden_size"]),
            "output.bias": (len(described["classes"]),),
        }.items():
            if shapes.get(part) != shape:
                raise ValueError(f"it has {shapes.get(part)} as {part}, expected {shape}")
        if not settings["num_layers"] <= len(shapes):
            raise ValueError(f"its settings ask for {settings['num_layers']} layers")
        if (settings["vocab_size"], settings["num_classes"]) != (
            len(tokenizer),
            len(described["classes"]),
        ):
            raise ValueError("its tokens or classes are not as many as its settings ask for")
        model = TextClassifier(**settings, rng=rng)
        model.load_state_dict(weights)
    return model


class LoadedClassifier(NamedTuple):
    """A classifier that a run has left, ready to be used."""

    model: TextClassifier
    reader: Reader
    classes: list[str]
    settings: ClassifySettings
    step: int
    corpus: str

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each class for each of the texts, of shape (texts, classes)."""
        device, found = device_of(self.model), []
        with evaluating(self.model):
            for start in range(0, len(texts), TOGETHER):
                some = [self.reader.ids(text) for text in texts[start : start + TOGETHER]]
                ids, lengths = pad_sequences(some)
                logits = self.model(moved(ids, device), lengths)
                found.append(softmax(logits, -1).numpy().astype(float))
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)))


def load_classifier(
    directory: RunDirectory, which: str = "best", device: str | None = None
) -> LoadedClassifier:
    """The classifier that a run has left in a directory.

    Parameters
    ----------
    directory
        where.
    which
        ``"best"``: the weights that were best in validation; ``"last"``: those at the end.
    device
        where to put the model; None: on the default device.

    Raises
    ------
    OSError, ValueError
        if there is no such run, or a file of it is missing, damaged or of another run.
    """
    settings = directory.read_settings(ClassifySettings)
    described, path, tokenizer = directory.load_model(which)
    model = restore(described, tokenizer, path, directory.run_id).to(device)
    about = (described[name] for name in ("classes", "step", "corpus"))
    classes, step, corpus = about
    return LoadedClassifier(model, Reader(settings, tokenizer), classes, settings, step, corpus)
