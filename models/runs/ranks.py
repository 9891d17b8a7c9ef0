"""One process of several that train one model: ``mpiexec -n 4 python -m mpi4py -m models train``.

All ranks begin with the same command. Rank 0 leads (`models.runs.leading`), and the others follow:
they have a model, a trainer and their part of the text, but no run directory, and do what they are
told. What they print goes into files, ``ranks/rank-1.txt`` in the run's directory and so on.

The ranks meet when each has read its own command, and before anything is written. Whoever has
failed until then says so there, or the others would wait for it. Later a rank that fails ends the
job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import re
import shlex
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

import minigrad
from minigrad import cpu
from minigrad.distributed import Communicator, launched, world
from minigrad.training import Interrupts, deferred_interrupts
from models.devices import using
from models.runs.blas_kernels import products, restart_as_in, restart_for
from models.runs.cell_files import cell_of, in_cell
from models.runs.directory import RunDirectory
from models.runs.language_modelling import LanguageModelling
from models.runs.leading import Leader, check_equal
from models.runs.options import flag
from models.runs.own_text import check_at_hand, corpus_of
from models.runs.saved_model import restore
from models.runs.settings import Settings
from models.runs.trouble import Diverged
from models.showing.output import in_one_line, say

ALONE = 1.0
"""Seconds after which a rank that was told to stop says so to rank 0, if the run still goes on:
mpiexec tells all ranks, but not at the same instant."""


class _Here:
    """What this process is in its job."""

    leader: Leader | None = None
    """Of rank 0, from when the ranks have met."""

    output: _Output | None = None
    """Of the other ranks."""

    met = False


class _Output:
    """The output of a rank that follows: it goes into a file, at first one without a name."""

    def __init__(self) -> None:
        self.terminal = os.dup(2)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (until the process ends)
        self._into(self._file.fileno())

    def _into(self, descriptor: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)

    def text(self) -> str:
        """What was printed so far, without what frames it."""
        self._into(self._file.fileno())
        self._file.seek(0)
        printed = self._file.read().decode("utf-8", "replace")
        return " ".join(re.sub("[\u2500-\u257f]", " ", printed).split())

    def give_back(self) -> None:
        """Let output go to the terminal again."""
        self._into(self.terminal)

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Within it, output goes to the terminal, also if the process is started again."""
        self.give_back()
        try:
            yield
        finally:
            self._into(self._file.fileno())

    def go_on_in(self, path: Path) -> None:
        """Append to the file `path`, if that is possible, also what was printed already."""
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            for name in ("O_NOFOLLOW", "O_NONBLOCK"):  # neither a link, nor a pipe without a reader
                mode |= getattr(os, name, 0)
            named = os.open(path, mode, 0o666)
            self._into(named)
            self._file.seek(0)
            os.write(named, self._file.read())
            os.close(named)

    def speak(self, text: str) -> None:
        """Write to the terminal after all."""
        with suppress(OSError):
            os.write(self.terminal, f"{text}\n".encode("utf-8", "replace"))


@contextmanager
def ranks() -> Iterator[None]:
    """Around the whole program: one of several processes ends so that the others end too.

    An exit status that is not 0 is that of all, and whatever led to it is told once.
    """
    rank, size = launched()
    if size == 1:
        yield
        return
    if rank:
        _Here.output = _Output()
    command = next(iter(sys.argv[1:]), "--help")
    if command != "train" and not command.startswith("-"):
        say(
            f"Error: mpiexec has started {size} processes, and only the training of a language "
            f"model (`train`) can be divided between several, not `{command}`",
            "red",
            err=True,
        )
        _end(2)
        _leave()
        raise SystemExit(2)
    try:
        yield
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        with suppress(Exception):
            world()  # an error that nobody catches ends the job from then on
        if _Here.output is not None:
            _Here.output.give_back()
        raise
    _end(status)
    _leave()
    if status:
        raise SystemExit(status)


def _end(status: int) -> None:
    """Let the others end with this status too, unless they know that."""
    if (leader := _Here.leader) is not None:
        if leader.busy:  # the others do not listen: one of them may wait in an exchange
            leader.communicator.abort(status)
        leader.end(status)
    elif status and not _Here.met:
        fault = "" if _Here.output is None else _Here.output.text()
        with deferred_interrupts():
            try:
                communicator = world()
            except (ModuleNotFoundError, RuntimeError):  # so nobody can be told: as is said already
                if _Here.output is not None:
                    time.sleep(min(launched()[0] / 4, 3.0))  # mpiexec may end the job meanwhile
                    _Here.output.speak(f"rank {launched()[0]}: {fault}")
                return
            if communicator.gather(_Said(fault, status))[0].status == 0:
                communicator.gather(None)  # rank 0 has heard of it, and tells all to end


def _leave() -> None:
    """End MPI, before ``python -m mpi4py`` can take a status that is not 0 for an abort."""
    if mpi := sys.modules.get("mpi4py.MPI"):
        mpi.Finalize()


def _the_terminal() -> AbstractContextManager[None]:
    """Within it, any output goes to the terminal."""
    return nullcontext() if _Here.output is None else _Here.output.given_back()


# ------------------------------------------------------------------------ the meeting


def prepared(settings: Settings, directory: RunDirectory | None = None) -> Settings:
    """The settings of this rank's run; the command is started again if other kernels fit it better.

    That is done here, as MPI can be started but once.

    Parameters
    ----------
    settings
        of the run; if they leave it open, there are as many shards as processes.
    directory
        of a run that goes on; None: it begins.
    """
    size = launched()[1]
    with _the_terminal():
        if directory is None:
            if settings.shards is None and size > 1:
                settings = dataclasses.replace(settings, shards=size)
            restart_for(settings, products(settings))
        elif size > 1:
            restart_as_in(directory, settings)
    return settings


class _Said(NamedTuple):
    """What a rank says when they meet."""

    fault: str = ""
    status: int = 0
    """Not 0: it ends with that."""

    facts: Mapping[str, str] = {}
    """What must be the same on all ranks."""

    host: str = socket.gethostname()


def meet(settings: Settings) -> Leader:
    """Rank 0 meets the others, and is their leader from then on.

    Raises
    ------
    ValueError
        if one of them has failed already, or is about to do something else. The message names it.
    """
    if launched()[1] == 1:
        return Leader()
    facts = _facts(settings)
    if settings.reduce == "fast":
        del facts["BLAS"], facts["BLAS threads"]
    with deferred_interrupts() as interrupts:  # an exchange must not be left halfway
        leader = Leader(_all_ranks())
        said = leader.communicator.gather(_Said(facts=facts))
        _Here.leader = leader
    if interrupts.signal is not None:
        signal.raise_signal(interrupts.signal)
    for rank, (fault, _, theirs, host) in enumerate(said):
        name = f"rank {rank} of {len(said)}, on {host},"
        if fault:
            raise ValueError(f"{name} has failed: {fault}")
        for what in facts:
            if facts[what] != theirs.get(what, facts[what]):
                raise ValueError(
                    f"{name} has {what} {theirs[what]}, and rank 0 has {facts[what]}: it must be "
                    "the same on all ranks"
                )
    return leader


def follow(given: Mapping[str, Any], settings: Settings | None) -> NoReturn:
    """Meet the others, and do what rank 0 says, until the end.

    Parameters
    ----------
    given
        the options of the command.
    settings
        of a run that begins; None: a run goes on, and rank 0 knows its settings.

    Raises
    ------
    SystemExit
        with the status that rank 0 has.
    """
    facts = _facts(settings)
    with ExitStack() as stack:
        interrupts = stack.enter_context(deferred_interrupts())
        communicator = _all_ranks()
        try:
            status = communicator.gather(_Said(facts=facts))[0].status
            _Here.met = True
            if status == 0:
                follower = _Follower(communicator, given, settings is None, interrupts, stack)
                status = follower.obey()
        except KeyboardInterrupt:  # a second signal: at once
            communicator.abort(130)
        except BaseException as error:  # also a SystemExit, in a cell of one's own
            traceback.print_exc()
            communicator.abort(2, partial(_tell, communicator, error))
    raise SystemExit(status)


def _tell(communicator: Communicator, error: BaseException) -> None:
    """Say on the terminal what has gone wrong on a rank that follows."""
    known = isinstance(error, OSError | ValueError | MemoryError) or in_cell(error)
    lines = [f"Error: {_in_one_line(error)}"] if known else traceback.format_exception(error)
    assert _Here.output is not None
    _Here.output.speak(f"{communicator!r}, on {socket.gethostname()}: {''.join(lines)}")


def _in_one_line(error: BaseException) -> str:
    return " ".join(in_cell(error).split()) or in_one_line(error)


def _all_ranks() -> Communicator:
    try:
        return world()
    except RuntimeError as error:  # this mpiexec is of another MPI
        raise ValueError(in_one_line(error)) from error


def _facts(settings: Settings | None) -> dict[str, str]:
    used = cpu.blas()
    facts = {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "minigrad": minigrad.__version__,
        "source files with the hash": _hash_of_sources(),
        "a processor with": ", ".join(sorted(cpu.vector_instructions())) or "no vectors",
        "BLAS": f"{used.name} {used.version} {used.kernel} (OPENBLAS_CORETYPE chooses the last)",
        "BLAS threads": f"{used.threads} (OPENBLAS_NUM_THREADS chooses them)",
    }
    if settings is not None:
        fields = dataclasses.fields(settings)
        facts |= {flag(each.name): str(getattr(settings, each.name)) for each in fields}
    return {**facts, "the command": shlex.join(sys.argv[1:])}


def _hash_of_sources() -> str:
    """A hash of all code of minigrad and of models."""
    hashed = hashlib.sha256()
    spec = find_spec("minigrad")
    assert spec is not None
    assert spec.origin is not None
    for root in (Path(spec.origin).parent, Path(__file__).parents[1]):
        for path in sorted(root.rglob("*.py")):
            hashed.update(f"{path.relative_to(root)}\0".encode("utf-8", "surrogateescape"))
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


# ------------------------------------------------------------------------ following


class _Follower:
    """Does what rank 0 orders: the names of the orders are those of methods.

    Parameters
    ----------
    communicator
        of all ranks.
    given
        the options of the command.
    resumed
        whether the run goes on.
    interrupts
        whether this process was told to stop. It goes on until rank 0 stops.
    stack
        what is to be left in the end.
    """

    def __init__(
        self,
        communicator: Communicator,
        given: Mapping[str, Any],
        resumed: bool,
        interrupts: Interrupts,
        stack: ExitStack,
    ) -> None:
        self._communicator, self._interrupts, self._stack = communicator, interrupts, stack
        self._given, self._resumed = given, resumed
        self._task: Any = None  # when it has begun, a `LanguageModelling`
        self._file: Path | None = None
        self._stopped: float | None = None  # since when

    def obey(self) -> int:
        """Carry out orders until the last one; the exit status."""
        while True:
            name, arguments = self._next_order()
            if name == "end":
                return int(arguments[0])
            if self._file is not None and name not in ("begin", "load_state_dict"):
                assert _Here.output is not None
                _Here.output.go_on_in(self._file)  # rank 0 has made the directory
                self._file = None
            with suppress(Diverged):  # as on rank 0, which knows what to do
                getattr(self, name)(*arguments)

    def _next_order(self) -> tuple[str, Any]:
        if self._interrupts.requested and self._stopped is None:
            self._stopped = time.monotonic()
        alone = self._stopped is not None and time.monotonic() - self._stopped > ALONE
        before = self._communicator.timeout
        if self._task is None:
            self._communicator.timeout = None  # rank 0 reads a text, which may take long
        said = self._communicator.gather(self._signal if alone else None)
        self._communicator.timeout = before
        order: tuple[str, Any] = said[0]
        return order

    @property
    def _signal(self) -> int | None:
        return None if self._interrupts.signal is None else int(self._interrupts.signal)

    # ------------------------------------------------------------------ the orders

    def begin(self, about: Mapping[str, Any]) -> None:
        """Make the model and the rest; all ranks learn who can't."""
        communicator, fault = self._communicator, ""
        try:
            self._begin(**about)
        except Exception as error:
            traceback.print_exc()
            name = f"{communicator!r}, on {socket.gethostname()}"
            fault = f"{name}: {_in_one_line(error)}"
        before, communicator.timeout = communicator.timeout, None  # others may read for longer
        communicator.gather(fault)
        communicator.timeout = before

    def _begin(
        self,
        settings: Settings,
        tokenizer: Any,
        model: Any,
        cell_sha256: str,
        fingerprint: str,
        output: Path,
    ) -> None:
        self._stack.enter_context(using(settings.device))  # "cuda" is another GPU on each rank
        cell = cell_of(settings, self._given.get("cell"), "the command")
        if cell is not None and cell.sha256 != cell_sha256:
            raise ValueError(f"--cell {settings.cell}: the file is not the same as that of rank 0")
        if self._resumed:
            check_at_hand(settings, self._given)
        rng, make = np.random.default_rng(settings.seed), cell and cell.make
        restored = restore(model, tokenizer, Path("rank 0"), "", rng, make)
        corpus = corpus_of(settings, tokenizer)
        if corpus.fingerprint != fingerprint:
            raise ValueError(f"{', '.join(settings.text)} is not the text that rank 0 has there")
        restored = restored.to(settings.device)
        self._task = LanguageModelling(
            *(settings, corpus, restored, rng, print, cell_sha256, self._communicator)
        )
        self._file = output / f"rank-{self._communicator.rank}.txt"

    def launch(self, lr: float) -> None:
        """Take a step."""
        self._task.trainer.launch(lr)
        if self._task.settings.device == "cpu":
            self.fetch()

    def fetch(self) -> None:
        """Learn whether the steps were as they should be."""
        for _ in self._task.trainer.fetch():
            pass

    def start_averaging(self) -> None:
        """Average the weights from now on."""
        self._task.trainer.start_averaging()

    def state_dict(self) -> None:
        """Give rank 0 its part of a checkpoint."""
        check_equal(self._task.trainer.model, self._communicator)
        self._task.trainer.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._task.trainer.load_state_dict(saved)

    def measured(self, part: str, weights: Mapping[str, Any] | None) -> None:
        """Measure the own share of the data, with the weights as they are, or with others."""
        trainer, communicator = self._task.trainer, self._communicator
        with trainer.averaged() if weights is None else _with_weights(trainer.model, weights):
            self._task.measured(
                *(trainer.model, part, lambda: self._interrupts.requested, lambda done: None)
            )
            check_equal(trainer.model, communicator)
        communicator.gather(self._signal)


@contextmanager
def _with_weights(model: Any, weights: Mapping[str, Any]) -> Iterator[None]:
    own = model.state_dict()
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)
