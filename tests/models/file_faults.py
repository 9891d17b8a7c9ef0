"""Has one file call of a training run fail, each in turn, and compares what is left and resumed.

::

    python tests/models/file_faults.py

Each time the n-th call fails that a short run makes in its directory: it opens, writes, flushes to
the disk, renames, links or removes. Either the call raises an OSError, once or from then on (the
disk is full); or the machine stops there: nothing more is done, and of a file that was not flushed
to the disk only half is left. Then there must be a checkpoint that is whole, or none yet, and the
run must go on and end, bit for bit, as one that was never disturbed.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))
from kills import TEXT, final, same

from minigrad.training import load_checkpoint
from models.measuring.units import UNITS
from models.runs.directory import RunDirectory
from models.runs.language_modelling import new_run
from models.runs.resuming import resume
from models.runs.settings import Settings
from models.showing.reporter import Reporter

FAULTS = ("once", "from then on", "the machine stops")

CHANGES = ("replace", "rename", "link", "unlink", "mkdir", "fsync")
"""The calls of `os` that change something."""


class Stopped(BaseException):
    """The machine has stopped."""


class Disk:
    """What is between a program and its files in a directory: counts calls, and fails one.

    Parameters
    ----------
    directory
        whose files are meant.
    fails
        the number of the call that fails, from 1; 0: none.
    fault
        one of `FAULTS`.
    code
        which error it is.
    """

    def __init__(
        self, directory: Path, fails: int = 0, fault: str = "once", code: int = errno.EIO
    ) -> None:
        self.directory, self.fails, self.fault, self.code = str(directory), fails, fault, code
        self.calls, self.stopped = 0, False
        self.unflushed: set[str] = set()
        self.opened: dict[int, str] = {}  # the files by their descriptors

    def holds(self, path: Any) -> bool:
        """Whether it is in the directory, or is it."""
        path = self.opened.get(path, "") if isinstance(path, int) else os.fspath(path)
        return path == self.directory or path.startswith(self.directory + os.sep)

    def call(self) -> bool:
        """Count a call; False: nothing is to be done, since the machine has stopped."""
        if self.stopped:
            return False
        self.calls += 1
        fails = self.calls == self.fails
        if fails and self.fault == "the machine stops":
            self.stopped = True
            raise Stopped
        if fails or (self.fault == "from then on" and 0 < self.fails < self.calls):
            raise OSError(self.code, os.strerror(self.code))
        return True

    @contextmanager
    def between(self) -> Iterator[None]:
        """Within it, all calls go by here."""
        with suppress(Stopped), mock.patch.multiple(os, **self._of_os()):
            opening = self._opening(io.open)
            with mock.patch.object(io, "open", opening), mock.patch("builtins.open", opening):
                yield
        if self.stopped:
            for path in filter(os.path.exists, self.unflushed):
                os.truncate(path, os.path.getsize(path) // 2)

    def _of_os(self) -> dict[str, Callable[..., Any]]:
        def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def function(path: Any, *others: Any, **options: Any) -> Any:
                if not self.holds(path):
                    return real(path, *others, **options)
                if not self.call():
                    return None
                if name == "fsync":
                    self.unflushed.discard(self.opened[path])
                elif os.fspath(path) in self.unflushed and others:
                    self.unflushed.add(os.fspath(others[0]))
                return real(path, *others, **options)

            return function

        return {name: watched(name, getattr(os, name)) for name in CHANGES}

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                if not disk.call():
                    return len(data)  # to nowhere
                disk.unflushed.add(str(self.name))
                return super().write(data)

        def opened(file: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
            if isinstance(file, int) or not disk.holds(file) or not set(mode) & set("wxa+"):
                return real(file, mode, *others, **options)
            if not disk.call():
                raise Stopped
            raw = File(os.fspath(file), mode.replace("b", ""))
            disk.opened[raw.fileno()] = str(file)
            return (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)

        return opened


def settings_of(text: Path, **more: Any) -> Settings:
    """A run of a few steps, that saves after each."""
    small: dict[str, Any] = {"hidden_size": 4, "embedding_size": 3, "batch_size": 4, "bptt": 8}
    small |= {"steps": 5, "eval_every": 2, "save_every": 0.0, "samples": 0, "dropout": 0.2}
    small["capture"] = False  # which takes longer than so few steps
    return Settings(text=(str(text),), **{**small, **more})


def trained(settings: Settings, out: Path) -> None:
    """Begin a run, or go on with the one that is there."""
    directory = RunDirectory(out)
    reporter = Reporter(Console(file=io.StringIO()), UNITS[settings.level])
    begun = directory.config.exists()
    if begun:
        settings = directory.read_settings(Settings)
    with directory.locked():
        if begun:
            run = resume(settings, directory, reporter)
        else:
            run = new_run(settings, directory, reporter)
            run.begin()
        if not run.ended:
            run.train()


def check_left(out: Path) -> None:
    """What a fault has left is whole, or not there."""
    for name in ("checkpoint", "checkpoint.previous", "model"):
        if (file := out / f"{name}.safetensors").exists():
            load_checkpoint(file)
    if (out / "checkpoint.previous.safetensors").exists():
        assert (out / "checkpoint.safetensors").exists()


def torment(folder: Path, settings: Settings, fault: str, numbers: slice) -> int:
    """Have the calls of these numbers fail, one in each run; returns how many there were."""
    with mock.patch("models.showing.curves.curves", return_value=b"a picture"):  # it takes long
        counting = Disk(folder / "peace")
        with counting.between():
            trained(settings, folder / "peace")
        expected, tried = final(folder / "peace"), 0
        for n in range(1, counting.calls + 1)[numbers]:
            out = folder / f"{fault}{n}"
            disk = Disk(out, n, fault, errno.ENOSPC if n % 2 else errno.EIO)
            with disk.between(), suppress(OSError):
                trained(settings, out)
            assert disk.calls >= n
            check_left(out)
            trained(settings, out)
            assert same(final(out), expected), f"it ended otherwise after {fault}, call {n}"
            rubbish = [file.name for file in out.iterdir() if file.suffix == ".tmp"]
            assert not rubbish, f"{rubbish} are left after {fault}, call {n}"
            tried += 1
    return tried


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text(TEXT[:3000], encoding="utf-8")
        settings = settings_of(folder / "text.txt", tensorboard=True)
        for fault in FAULTS:
            part = folder / fault.replace(" ", "_")
            part.mkdir()
            count = torment(part, settings, fault, slice(None))
            print(f"{fault}: {count} calls failed, one in each run; nothing was lost", flush=True)
    print(f"{round(time.monotonic() - began)} s")


if __name__ == "__main__":
    main()
