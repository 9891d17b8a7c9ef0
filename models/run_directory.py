"""The directory of a training run: weights, vocabulary, settings, metrics and the loss curve."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minigrad.data import Vocabulary
from minigrad.training import MetricsLog, write_atomically
from models.rnnlm import RNNLM

FORMAT, VERSION = "minigrad-rnnlm", 1


class LoadedRun(NamedTuple):
    """What `RunDirectory.load` finds."""

    model: RNNLM
    vocabulary: Vocabulary
    settings: dict[str, Any]


class RunDirectory:
    """A directory with what a run leaves behind.

    ::

        settings.json       the sizes of the model (under "model"), and how it was trained
        vocabulary.json     its tokens, in the order of their ids
        model.safetensors   its weights, by the names of `RNNLM.state_dict`
        metrics.jsonl       an object a line: step, split ("train" or "valid"), loss in nats per
                            token, and more
        loss.png            the same as a curve

    Each file but `metrics.jsonl`, which grows line by line, appears whole or not at all. Nothing
    else in the directory is touched.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings = self.path / "settings.json"
        self.vocabulary = self.path / "vocabulary.json"
        self.weights = self.path / "model.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.curve = self.path / "loss.png"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of a run; the weights first, without which the others are none."""
        return self.weights, self.settings, self.vocabulary, self.metrics, self.curve

    # ------------------------------------------------------------------ writing

    def check_free(self) -> None:
        """Raise a FileExistsError if there is a run here already, or a file in the way."""
        if any(file.exists() for file in self.files):
            raise FileExistsError(
                f"{str(self.path)!r} already holds a run; give another --out, or --overwrite"
            )
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{str(self.path)!r} is a file, not a directory")

    def begin(self, settings: Mapping[str, Any], model: RNNLM, vocabulary: Vocabulary) -> None:
        """Make the directory for a new run; the files of a run that was here before are deleted.

        Raises
        ------
        OSError
            if it can't be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            file.unlink(missing_ok=True)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "model": model.settings(),
            **settings,
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        write_atomically(self.settings, text.encode("utf-8", "surrogateescape"))
        vocabulary.save(self.vocabulary)

    def save_weights(self, model: RNNLM, vocabulary: Vocabulary, step: int) -> None:
        """Write the weights as they are after `step` steps, in place of those from before."""
        about = json.dumps({"step": step, "vocabulary": _fingerprint(vocabulary)})
        # one entry, since several would stand in another order in each file
        write_atomically(self.weights, save(model.state_dict(), {FORMAT: about}))

    def save_curve(self, picture: bytes) -> None:
        """Write the loss curve, a PNG."""
        write_atomically(self.curve, picture)

    def log(self) -> MetricsLog:
        """The metrics of the run."""
        return MetricsLog(self.metrics)

    # ------------------------------------------------------------------ reading

    def load(self) -> LoadedRun:
        """The model, its vocabulary and the settings, as they were written here.

        Raises
        ------
        FileNotFoundError
            if there is no run here, or a file of it is missing.
        ValueError
            if a file is damaged, or is not of this run. The message names it.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no directory {str(self.path)!r}")
        for file in (self.weights, self.settings, self.vocabulary):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{str(self.path)!r} holds no trained model: it has no {file.name}"
                )
        settings = self._read_settings()
        vocabulary = Vocabulary.load(self.vocabulary)
        try:
            # the initial values are drawn in vain, but not from the library's own generator
            model = RNNLM(**settings["model"], rng=np.random.default_rng(0))
        except (TypeError, ValueError, MemoryError) as error:
            raise ValueError(f"{str(self.settings)!r} is damaged: {error}") from error
        if settings["model"]["vocab_size"] != len(vocabulary):
            raise ValueError(
                f"{str(self.vocabulary)!r} is not of this model: it has {len(vocabulary):,} "
                f"tokens, the model {settings['model']['vocab_size']:,}"
            )
        self._load_weights(model, vocabulary)
        return LoadedRun(model, vocabulary, settings)

    def _read_settings(self) -> dict[str, Any]:
        try:
            settings = json.loads(self.settings.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{str(self.settings)!r} is damaged: {error}") from error
        if not isinstance(settings, dict) or settings.get("format") != FORMAT:
            raise ValueError(f"{str(self.settings)!r} is not that of a minigrad language model")
        if settings.get("version") != VERSION:
            raise ValueError(
                f"{str(self.settings)!r} has version {settings.get('version')!r}; this minigrad "
                f"reads version {VERSION}"
            )
        if not isinstance(settings.get("model"), dict):
            raise ValueError(f'{str(self.settings)!r} is damaged: it has no "model"')
        return settings

    def _load_weights(self, model: RNNLM, vocabulary: Vocabulary) -> None:
        ours = fingerprint = _fingerprint(vocabulary)
        try:
            with safe_open(self.weights, framework="numpy") as file:
                about = (file.metadata() or {}).get(FORMAT)  # None: saved by another program
                if about is not None:
                    fingerprint = json.loads(about)["vocabulary"]
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{str(self.weights)!r} is damaged: {error}") from error
        if fingerprint != ours:
            raise ValueError(
                f"{str(self.weights)!r} and {str(self.vocabulary)!r} are not of the same run"
            )
        try:
            model.load_state_dict(arrays)
        except ValueError as error:
            faults = "; ".join(line.strip() for line in str(error).splitlines()[1:])
            raise ValueError(
                f"{str(self.weights)!r} does not fit the model in {self.settings.name}: {faults}"
            ) from error
        if not all(np.isfinite(p.data).all() for p in model.parameters()):
            raise ValueError(f"{str(self.weights)!r} holds NaN or infinite weights")


def _fingerprint(vocabulary: Vocabulary) -> str:
    return hashlib.sha256(vocabulary.to_json().encode()).hexdigest()
