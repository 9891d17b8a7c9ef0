"""The directory of a training run: settings, tokens, weights, checkpoint, metrics and curves."""

from __future__ import annotations

import os
import shutil
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from filelock import FileLock, Timeout

from minigrad.data import Tokenizer, load_tokenizer
from minigrad.training import (
    MetricsLog,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from models.runs.forms import check_form, count, not_finite
from models.runs.shared_settings import RunSettings
from models.runs.trouble import Diverged

RUN_ID, CELL_SHA256, TASK = "run_id", "cell_sha256", "task"
"""What the id of a run, the hash of its cell's file, and its task are called in its settings'
file."""

S = TypeVar("S", bound=RunSettings)

RUN_VERSION = 1
"""The version of what a checkpoint holds."""


class RunDirectory:
    """A directory with what a run leaves behind.

    ::

        config.toml              the settings: `train --config` takes it as it is
        tokenizer.json           the tokens, in the order of their ids
        model.safetensors        the weights that were best in validation
        checkpoint.safetensors   the last state of the run, from which it can go on
        checkpoint.previous.safetensors
                                 the checkpoint of an earlier step, to go back to
        checkpoint.unusable.safetensors
                                 a checkpoint that could not be used: the run went back
        metrics.jsonl            one object per line: step, epoch, split ("train", "valid" or
                                 "test"), loss in nats per token, and more
        curves.png               the metrics as curves
        look.html                the page of `look`
        result.png               of another task: what its best weights do, as a picture
        tensorboard/             the metrics as event files, with --tensorboard
        ranks/                   what the processes printed that follow the first, if there were any
        .lock                    held by the run while it goes on

    `metrics.jsonl` grows line by line; every other file appears whole or not at all. Nothing else
    in the directory is touched. Where one of these files should be, a link, or anything that is not
    a file, is refused: a stranger could have made it, to read or write elsewhere.

    Attributes
    ----------
    run_id : str
        by which a run knows its files. It is set when the run begins, or its settings are read;
        empty for runs from before there were ids.
    cell_sha256 : str
        of the file of its cell when the run began, if that is a cell of one's own; else empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.tokenizer = self.path / "tokenizer.json"
        self.model = self.path / "model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.previous = self.path / "checkpoint.previous.safetensors"
        self.unusable = self.path / "checkpoint.unusable.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.curves = self.path / "curves.png"
        self.look = self.path / "look.html"
        self.result = self.path / "result.png"
        self.events = self.path / "tensorboard"
        self.ranks = self.path / "ranks"
        self.lock = self.path / ".lock"
        self.run_id = self.cell_sha256 = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of a run. The settings come last: without them, there is no run."""
        return (
            *(self.checkpoint, self.previous, self.unusable, self.model, self.metrics),
            *(self.curves, self.look, self.result, self.tokenizer, self.config),
        )

    def check_files(self) -> None:
        """Raise a ValueError if something else than a file is in the place of a run's file.

        The lock must not have a second name either: it is emptied in place, not replaced.
        """
        for path in (*self.files, self.lock, self.events, self.ranks):
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            folder = path in (self.events, self.ranks)
            right = stat.S_ISDIR if folder else stat.S_ISREG
            if not right(status.st_mode) or (path == self.lock and status.st_nlink > 1):
                wanted = "a directory" if folder else "a file of its own"
                raise ValueError(
                    f"{str(path)!r} is {_kind(status)}, and must be {wanted}: remove it, or put "
                    "what it stands for in its place"
                )

    # ------------------------------------------------------------------ writing

    def check_free(self) -> None:
        """Raise a FileExistsError if there is a run here already, or a file in the way."""
        others = (self.tokenizer, self.curves, self.look, self.result)
        if any(file.exists() for file in self.files if file not in others):
            raise FileExistsError(
                f"{str(self.path)!r} already holds a run; go on with it by --resume, give another "
                "--out, or --overwrite"
            )
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{str(self.path)!r} is a file, not a directory")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it, no other run can use the directory; it is made if it is missing.

        Raises
        ------
        OSError
            if another run is using it, or it can't be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check_files()
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(f"{str(self.path)!r} is in use by another run") from None
        try:
            for file in self.files:  # left by a run that was killed while it wrote
                for unfinished in self.path.glob(f".{file.name}.*.tmp"):
                    unfinished.unlink()
            yield
        finally:
            lock.release()

    def begin(
        self,
        settings: RunSettings,
        tokenizer: Tokenizer | None,
        run_id: str = "",
        cell_sha256: str = "",
    ) -> None:
        """Write what does not change while a run goes on; an earlier run here is deleted.

        `tokenizer`: None for a task that keeps its tokens with the weights.

        Raises
        ------
        OSError
            if the directory can't be written to.
        """
        for file in self.files:
            file.unlink(missing_ok=True)
        for file in self.events.glob("events.out.tfevents.*"):
            file.unlink()
        for file in self.ranks.glob("rank-*.txt"):
            file.unlink()
        self.run_id, self.cell_sha256 = run_id, cell_sha256
        if tokenizer is not None:
            tokenizer.save(self.tokenizer)
        self.save_settings(settings)

    def save_settings(self, settings: RunSettings) -> None:
        """Write the settings of the run."""
        own = {RUN_ID: self.run_id, CELL_SHA256: self.cell_sha256, TASK: settings.task}
        given = {name: value for name, value in own.items() if value}
        text = tomli_w.dumps({**given, **settings.to_dict()})
        write_atomically(self.config, text.encode("utf-8", "surrogateescape"))

    def save_model(self, described: Mapping[str, Any]) -> None:
        """Write the weights, as `describe` gives them, in place of the earlier ones.

        Raises
        ------
        Diverged
            as `save_checkpoint` does.
        """
        _check_finite(described, described["step"])
        save_checkpoint(self.model, described)

    def save_checkpoint(self, tree: Mapping[str, Any], keep: bool = False) -> None:
        """Write the state of the run, in place of the last one.

        Parameters
        ----------
        tree
            the state.
        keep
            whether the last one is kept, as `previous`.

        Raises
        ------
        Diverged
            if an array in it is not finite: no run could go on from it. The last one stays.
        """
        _check_finite(tree, tree["model"]["step"])
        kept = self.previous.with_name(f".{self.previous.name}.kept.tmp")
        try:
            if keep and self.checkpoint.exists():
                _name_too(self.checkpoint, kept)  # or it would be gone with the next line
            save_checkpoint(self.checkpoint, tree)
            if kept.exists():
                kept.replace(self.previous)
        finally:
            kept.unlink(missing_ok=True)

    def go_back(self) -> None:
        """Put the previous checkpoint in the place of the last one.

        If there is a last one, it is kept as `unusable`.
        """
        if self.checkpoint.exists():
            self.checkpoint.replace(self.unusable)
        self.previous.replace(self.checkpoint)

    def save_curves(self, picture: bytes) -> None:
        """Write the curves, a PNG."""
        write_atomically(self.curves, picture)

    def save_result(self, picture: bytes) -> None:
        """Write what the best weights do, a PNG."""
        write_atomically(self.result, picture)

    def log(self) -> MetricsLog:
        """The metrics of the run."""
        return MetricsLog(self.metrics)

    # ------------------------------------------------------------------ reading

    def read_settings(self, kind: type[S]) -> S:
        """The settings of the run that is here.

        Parameters
        ----------
        kind
            those of its task.

        Raises
        ------
        FileNotFoundError
            if there is none.
        ValueError
            if they are damaged, or of another task.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no directory {str(self.path)!r}")
        self.check_files()
        if not self.config.is_file():
            raise FileNotFoundError(f"{str(self.path)!r} holds no run: it has no config.toml")
        content = _parsed(self.config)
        own = {name: content.pop(name, "") for name in (RUN_ID, CELL_SHA256, TASK)}
        check_form(own, {...: str}, repr(str(self.config)))
        self.run_id, self.cell_sha256 = own[RUN_ID], own[CELL_SHA256]
        if own[TASK] != kind.task:
            here, wanted = (
                f"`{name}`" if name else "a language model" for name in (own[TASK], kind.task)
            )
            raise ValueError(f"{str(self.path)!r} holds a run of {here}, not of {wanted}")
        return kind.saved(content)

    def load_model(self, which: str) -> tuple[Any, Path]:
        """What is saved of the model, and the file that it is in.

        Parameters
        ----------
        which
            ``"best"``: the weights that were best in validation; ``"last"``: those at the end.

        Raises
        ------
        OSError, ValueError
            if the file is missing or damaged. The message names it.
        """
        path = {"best": self.model, "last": self.checkpoint}[which]
        if not path.is_file():
            raise self._no_model(path)
        last = which == "last"
        described: Any = self.load_checkpoint().get("model") if last else load_checkpoint(path)
        return described, path

    def load_tokenizer(self) -> Tokenizer:
        """The tokens of a language model.

        Raises
        ------
        OSError, ValueError
            if the file is missing or damaged. The message names it.
        """
        if not self.tokenizer.is_file():
            raise self._no_model(self.tokenizer)
        return load_tokenizer(self.tokenizer)

    def _no_model(self, file: Path) -> FileNotFoundError:
        return FileNotFoundError(
            f"{str(self.path)!r} holds no trained model: it has no {file.name}"
        )

    def load_checkpoint(self, path: Path | None = None) -> dict[str, Any]:
        """The state of the run, from which it can go on.

        Parameters
        ----------
        path
            the checkpoint; None: the last one.

        Raises
        ------
        OSError, ValueError
            if there is none, or it is damaged. The message names the file.
        """
        path = self.checkpoint if path is None else path
        saved, name = load_checkpoint(path), repr(str(path))
        if "run_version" not in saved:
            raise ValueError(f"{name} is no checkpoint of a training run")
        check_form(saved["run_version"], count, name, "run_version")
        if saved["run_version"] != RUN_VERSION:
            raise ValueError(
                f"{name} has version {saved['run_version']!r}; this minigrad goes on with runs of "
                f"version {RUN_VERSION}"
            )
        return saved


def read_task(path: str | os.PathLike[str]) -> str:
    """The task of a run, by its settings' file; empty: a language model. Raises as `read_toml`."""
    return str(_parsed(path).get(TASK, ""))


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options in a TOML file, by their names with underscores; a run's id is left out.

    Raises
    ------
    ValueError
        if it is not TOML, or not UTF-8. The message names the file.
    OSError
        if it can't be read.
    """
    options = _parsed(path).items()
    return {name: value for name, value in options if name not in (RUN_ID, CELL_SHA256, TASK)}


def _parsed(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        content = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not TOML: {error}") from error
    options = {name.replace("-", "_"): value for name, value in content.items()}
    if len(options) < len(content):
        raise ValueError(f"{os.fspath(path)!r} has an option twice, with - and with _")
    return options


def _check_finite(tree: Mapping[str, Any], step: int) -> None:
    if place := not_finite(tree):
        raise Diverged(f"NaN or infinity came up in {place} by step {step:,}")


def _name_too(path: Path, other: Path) -> None:
    """Give a file another name too; a copy, where there can't be two names."""
    try:
        os.link(path, other)
    except OSError:  # not every file system can
        shutil.copyfile(path, other)


def _kind(status: os.stat_result) -> str:
    """What there is in the place of a file."""
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}
    usual = "a file with a second name" if stat.S_ISREG(status.st_mode) else "a device or the like"
    return kinds.get(stat.S_IFMT(status.st_mode), usual)
