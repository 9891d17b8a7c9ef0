"""Rank 0 leads a run of several processes: what the others have to do too, it orders.

Rank 0 alone has the run directory, the clock, the terminal and the signals, so it alone decides:
it is an ordinary `models.runs.run.Run`. The run does not know of the others. What it asks of its
task and its trainer comes here, and if all ranks have to take part, they are told. How they obey
is in `models.runs.ranks`.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

from minigrad import nn
from minigrad.distributed import Communicator
from models.runs.directory import RunDirectory
from models.runs.stepper import Step
from models.runs.task import Progress, Task
from models.runs.trouble import Diverged


class Leader:
    """Gives orders to the other ranks, if there are any.

    Parameters
    ----------
    communicator
        of all ranks; this process is rank 0.

    Attributes
    ----------
    busy : bool
        whether the ranks are carrying out an order. None of them listens meanwhile.
    """

    def __init__(self, communicator: Communicator | None = None) -> None:
        self.communicator = communicator or Communicator()
        self.busy = False

    @contextmanager
    def ordered(self, name: str, *arguments: Any) -> Iterator[None]:
        """Within it, rank 0 does what it has just ordered the others to do.

        A signal that only another rank has got comes to this one too.
        """
        self.busy = True
        _hear(self.communicator.gather((name, arguments))[1:])
        try:
            yield
        except Diverged:  # as it is on all ranks: their numbers are the same
            self.busy = False
            raise
        self.busy = False

    def lead(self, task: Any, directory: RunDirectory) -> Task:
        """The task of a language model, of which all ranks do what all have to do.

        The others get its settings, its tokens and its weights. Nothing has been written yet.

        Raises
        ------
        ValueError
            if one of them cannot take part: it has another text, say. The message names it.
        """
        if self.communicator.size == 1:
            return cast(Task, task)
        begins = {
            "settings": task.settings,
            "tokenizer": task.corpus.tokenizer,
            "model": task.described(None, ""),
            "cell_sha256": task.cell_sha256,
            "fingerprint": task.fingerprint,
            "output": directory.ranks.absolute(),
        }
        with self.ordered("begin", begins):
            faults = self._without_time_out(lambda: self.communicator.gather(""))
        if any(faults):
            raise ValueError(next(filter(None, faults)))
        return cast(Task, _LedTask(task, self))

    def _without_time_out(self, exchange: Callable[[], list[Any]]) -> list[Any]:
        """An exchange for which another rank may need long: it reads a text of any length."""
        before, self.communicator.timeout = self.communicator.timeout, None
        try:
            return exchange()
        finally:
            self.communicator.timeout = before

    def end(self, status: int) -> None:
        """Order the others to end with this exit status."""
        self.communicator.gather(("end", (status,)))


class _LedTask:
    """In the place of rank 0's task."""

    def __init__(self, task: Any, leader: Leader) -> None:
        self._own, self._leader = task, leader
        self.trainer = _LedTrainer(task.trainer, leader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def measured(
        self, model: nn.Module, part: str, stop: Callable[[], bool], progress: Progress
    ) -> dict[str, Any] | None:
        """As in `Task`; all ranks take part."""
        weights = None if model is self.trainer.model else model.state_dict()
        communicator = self._leader.communicator
        with self._leader.ordered("measured", part, weights):
            figures: dict[str, Any] | None = self._own.measured(model, part, stop, progress)
            check_equal(model, communicator)
            signals = communicator.gather(None)
        if figures is None and not stop():  # another rank was told to stop
            time.sleep(1.0)  # mpiexec may be about to tell this one too; twice would be too much
            if not stop():
                _hear(signals)
        return figures


class _LedTrainer:
    """In the place of rank 0's trainer."""

    def __init__(self, trainer: Any, leader: Leader) -> None:
        self._own, self._leader = trainer, leader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def launch(self, lr: float) -> None:
        with self._leader.ordered("launch", lr):
            self._own.launch(lr)

    def fetch(self) -> Iterator[Step]:
        if self._own.settings.device == "cpu":  # where a step is known when it has been launched
            yield from self._own.fetch()
            return
        with self._leader.ordered("fetch"):
            steps = list(self._own.fetch())
        yield from steps

    def start_averaging(self) -> None:
        with self._leader.ordered("start_averaging"):
            self._own.start_averaging()

    def state_dict(self) -> dict[str, Any]:
        with self._leader.ordered("state_dict"):
            check_equal(self._own.model, self._leader.communicator)
            saved: dict[str, Any] = self._own.state_dict()
        return saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        with self._leader.ordered("load_state_dict", saved):
            self._own.load_state_dict(saved)


def _hear(signals: Iterable[int | None]) -> None:
    """Let a signal of other ranks come to this one too, unless it has been told to stop already."""
    for number in filter(None, signals):
        with suppress(KeyboardInterrupt):  # of a second signal, which would mean: at once
            signal.raise_signal(number)


def check_equal(model: nn.Module, communicator: Communicator) -> None:
    """Raise a ValueError if the weights of `model` are not the same, bit for bit, on all ranks."""
    hashed = hashlib.blake2b()
    for name, weight in model.state_dict().items():
        hashed.update(name.encode())
        hashed.update(weight.tobytes())
    hashes = communicator.gather(hashed.digest())
    [(usual, _)] = Counter(hashes).most_common(1)
    if others := [str(rank) for rank, each in enumerate(hashes) if each != usual]:
        raise ValueError(
            f"the weights are no longer the same on all ranks: rank {', '.join(others)} of "
            f"{communicator.size} has others. Its processor or its memory computes otherwise; the "
            "last checkpoint was still right"
        )
