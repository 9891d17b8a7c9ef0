"""The directory of a training run: settings, tokens, weights, checkpoint, metrics and curves."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w
from filelock import FileLock, Timeout

from minigrad.data import Tokenizer, load_tokenizer
from minigrad.training import (
    MetricsLog,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from models.rnnlm import RNNLM
from models.settings import Settings

FORMAT, VERSION = "minigrad-rnnlm", 2

PARTS = {"settings", "weights", "tokenizer", "step", "loss", "saw_unknown", "corpus"}
"""What is said of a model besides; see `describe`."""

RUN_VERSION = 1
"""Of what a run remembers in its checkpoint."""


class LoadedRun(NamedTuple):
    """What `RunDirectory.load` finds."""

    model: RNNLM
    tokenizer: Tokenizer
    settings: Settings
    step: int
    """After how many steps the weights were as they are."""
    saw_unknown: bool
    """Whether the model was trained on a text with unknown tokens in it."""
    corpus: str
    """The fingerprint of that text; empty if it is not known."""


class RunDirectory:
    """A directory with what a run leaves behind.

    ::

        config.toml              the settings: `train --config` takes it as it is
        tokenizer.json           the tokens, in the order of their ids
        model.safetensors        the weights that were best in validation
        checkpoint.safetensors   the last state of the run, from which it can go on
        metrics.jsonl            an object a line: step, epoch, split ("train", "valid" or "test"),
                                 loss in nats per token, and more
        curves.png               the same as curves
        tensorboard/             the same as event files, with --tensorboard
        .lock                    held by the run while it goes on

    Each file but `metrics.jsonl`, which grows line by line, appears whole or not at all. Nothing
    else in the directory is touched.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.tokenizer = self.path / "tokenizer.json"
        self.model = self.path / "model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.curves = self.path / "curves.png"
        self.events = self.path / "tensorboard"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of a run; the settings last, without which the others are none."""
        return (
            *(self.checkpoint, self.model, self.metrics, self.curves, self.tokenizer),
            self.config,
        )

    # ------------------------------------------------------------------ writing

    def check_free(self) -> None:
        """Raise a FileExistsError if there is a run here already, or a file in the way."""
        if any(file.exists() for file in self.files if file not in (self.tokenizer, self.curves)):
            raise FileExistsError(
                f"{str(self.path)!r} already holds a run; go on with it by --resume, give another "
                "--out, or --overwrite"
            )
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{str(self.path)!r} is a file, not a directory")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it, no other run can use the directory, which is made if need be.

        Raises
        ------
        OSError
            if another run is using it, or it can't be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(f"{str(self.path)!r} is in use by another run") from None
        try:
            for file in self.files:  # what a run that was killed had not finished writing
                for unfinished in self.path.glob(f".{file.name}.*.tmp"):
                    unfinished.unlink()
            yield
        finally:
            lock.release()

    def begin(self, settings: Settings, tokenizer: Tokenizer) -> None:
        """Write what does not change while a run goes on, in place of a run from before.

        Raises
        ------
        OSError
            if the directory can't be written to.
        """
        for file in self.files:
            file.unlink(missing_ok=True)
        for file in self.events.glob("events.out.tfevents.*"):
            file.unlink()
        tokenizer.save(self.tokenizer)
        self.save_settings(settings)

    def save_settings(self, settings: Settings) -> None:
        """Write the settings of the run."""
        text = tomli_w.dumps(settings.to_dict())
        write_atomically(self.config, text.encode("utf-8", "surrogateescape"))

    def save_model(self, described: Mapping[str, Any]) -> None:
        """Write the weights, as `describe` tells them, in place of those from before."""
        save_checkpoint(self.model, described)

    def save_checkpoint(self, tree: Mapping[str, Any]) -> None:
        """Write the state of the run, in place of the one from before."""
        save_checkpoint(self.checkpoint, tree)

    def save_curves(self, picture: bytes) -> None:
        """Write the curves, a PNG."""
        write_atomically(self.curves, picture)

    def log(self) -> MetricsLog:
        """The metrics of the run."""
        return MetricsLog(self.metrics)

    # ------------------------------------------------------------------ reading

    def read_settings(self) -> Settings:
        """The settings of the run that is here.

        Raises
        ------
        FileNotFoundError
            if there is none.
        ValueError
            if they are damaged.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no directory {str(self.path)!r}")
        if not self.config.is_file():
            raise FileNotFoundError(f"{str(self.path)!r} holds no run: it has no config.toml")
        return Settings.saved(read_toml(self.config))

    def load_checkpoint(self) -> dict[str, Any]:
        """The state of the run, from which it can go on.

        Raises
        ------
        OSError, ValueError
            if there is none, or it is damaged. The message names the file.
        """
        saved, name = load_checkpoint(self.checkpoint), repr(str(self.checkpoint))
        if "run_version" not in saved:
            raise ValueError(f"{name} is no checkpoint of a training run")
        if saved["run_version"] != RUN_VERSION:
            raise ValueError(
                f"{name} has version {saved['run_version']!r}; this minigrad goes on with runs of "
                f"version {RUN_VERSION}"
            )
        return saved

    def load(self, which: str = "best", device: str | None = None) -> LoadedRun:
        """The model, its tokens and the settings, as they were written here.

        Parameters
        ----------
        which
            ``"best"``: the weights that were best in validation; ``"last"``: those at the end.
        device
            where to put the model, wherever it was trained; None: on the default device.

        Raises
        ------
        FileNotFoundError
            if there is no run here, or a file of it is missing.
        ValueError
            if a file is damaged, or is not of this run. The message names it.
        """
        settings = self.read_settings()
        path = {"best": self.model, "last": self.checkpoint}[which]
        for file in (path, self.tokenizer):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{str(self.path)!r} holds no trained model: it has no {file.name}"
                )
        tokenizer = load_tokenizer(self.tokenizer)
        last = which == "last"
        described = self.load_checkpoint()["model"] if last else load_checkpoint(path)
        model = restore(described, tokenizer, path).to(device)
        about = (described[name] for name in ("step", "saw_unknown", "corpus"))
        return LoadedRun(model, tokenizer, settings, *about)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options in a TOML file, by their names with underscores.

    Raises
    ------
    ValueError
        if it is no TOML, or not in UTF-8. The message names the file.
    OSError
        if it can't be read.
    """
    try:
        content = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not TOML: {error}") from error
    options = {name.replace("-", "_"): value for name, value in content.items()}
    if len(options) < len(content):
        raise ValueError(f"{os.fspath(path)!r} has an option twice, with - and with _")
    return options


def describe(
    model: RNNLM,
    tokenizer: Tokenizer,
    step: int,
    loss: float | None,
    saw_unknown: bool,
    corpus: str = "",
) -> dict[str, Any]:
    """A model as `save_checkpoint` takes it: its weights, and what is needed to use them.

    `corpus` is the fingerprint of the text that it was trained on; empty: that is not known.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": model.settings(),
        "weights": model.state_dict(),
        "tokenizer": tokenizer.fingerprint,
        "step": step,
        "loss": loss,
        "saw_unknown": saw_unknown,
        "corpus": corpus,
    }


def restore(described: Mapping[str, Any], tokenizer: Tokenizer, path: Path) -> RNNLM:
    """The model that was described.

    Raises
    ------
    ValueError
        if it is not one, not for these tokens, or not usable. The message names `path`.
    """
    name = repr(str(path))
    if described.get("format") != FORMAT:
        raise ValueError(f"{name} holds no language model of minigrad")
    if described.get("version") != VERSION:
        raise ValueError(
            f"{name} has version {described.get('version')!r}; this minigrad reads version "
            f"{VERSION}"
        )
    missing = PARTS - described.keys()
    if missing:
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    if described["tokenizer"] != tokenizer.fingerprint:
        raise ValueError(f"{name} and tokenizer.json are not of the same run")
    try:
        # the initial values are drawn in vain, but not from the library's own generator
        model = RNNLM(**described["settings"], rng=np.random.default_rng(0))
        model.load_state_dict(described["weights"])
    except (TypeError, ValueError, MemoryError) as error:
        faults = "; ".join(line.strip() for line in str(error).splitlines())
        raise ValueError(f"the parts of {name} do not fit together: {faults}") from error
    if not all(np.isfinite(weight).all() for weight in described["weights"].values()):
        raise ValueError(f"{name} holds NaN or infinite weights")
    return model
