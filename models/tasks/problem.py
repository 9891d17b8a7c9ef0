"""What a run has to know of a problem that a network learns from examples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cpu, nn
from models.measuring.units import Unit
from models.reading.labelled_texts import BadLine, told_bad
from models.runs.task import Progress
from models.tasks.example_settings import ExampleSettings

TOGETHER = 64
"""How many examples are read side by side when nothing is learnt."""

Indices = NDArray[np.int64]

Stop = Callable[[], bool]
"""Says whether to stop."""


class Data(NamedTuple):
    """Examples in parts, as they were read."""

    parts: Mapping[str, Any]
    """The examples of "train", "valid" and, if a part is kept for it, "test"."""

    fingerprint: str
    """A hash of all of it: the same fingerprint means the same examples."""

    bad: Sequence[BadLine] = ()
    """The lines that no example could be made of."""


class Answer(NamedTuple):
    """What a model says about one input."""

    told: str
    """For people: a line, or several."""

    facts: Mapping[str, Any]
    """For programs: names with plain values."""


@dataclass(frozen=True)
class UseOption:
    """An option of ``predict`` and ``evaluate``: how a model that is trained is used."""

    kind: type
    default: Any
    help: str
    metavar: str | None = None
    low: float | None = None
    evaluate: bool = False
    """Whether ``evaluate`` has it too."""


class Problem(ABC):
    """A problem: its data, its network and loss, how good an answer is, and what is said of it.

    An object of it is made of the settings of a run, and of the *facts*: what is learnt from the
    part to train on before any training, and is needed to read an input and to write an answer,
    such as tokens and classes. Both are saved with the weights. All else about a run is the same
    for each problem: `models.tasks.learning`.

    The *examples* of a part are whatever `prepared` makes of them; they have a length.

    Parameters
    ----------
    settings
        of the kind `kind`.
    facts
        of the form `facts_form`.

    Raises
    ------
    ValueError
        if the facts can't be used.
    """

    kind: ClassVar[type[ExampleSettings]]
    """Its settings, which are the options of its `train`."""

    model_kind: ClassVar[Callable[..., nn.Module]]
    """Its network: made of `model_arguments` and of an ``rng``, which draws weights and dropout.
    Its `settings()` gives these arguments again."""

    facts_form: ClassVar[Mapping[str, Any]]
    """The form of the facts, as `models.runs.forms.check_form` takes it."""

    unit: ClassVar[Unit]
    """That of the loss."""

    figures: ClassVar[Mapping[str, tuple[str, bool]]] = {"loss": ("loss", False)}
    """The figure of a validation for each choice of --best-by; whether a larger one is better."""

    what: ClassVar[str] = "examples"
    """What the examples are, in the plural, for messages."""

    about: ClassVar[str]
    """What the task does, for the command line: one line."""

    help: ClassVar[str]
    """What `train` does, for its --help."""

    use_options: ClassVar[Mapping[str, UseOption]] = {}
    """The options of ``predict``, by their names with underscores: `answers` takes them."""

    input_help: ClassVar[str] = "A text; else --file, or each line of the standard input."
    """What ``predict`` takes."""

    example_input: str = "A text of your own"
    """An input to try, for the last words of a run."""

    def __init__(self, settings: Any, facts: Mapping[str, Any]) -> None:
        self.settings, self.facts = settings, facts

    # ------------------------------------------------------------------ data

    @classmethod
    @abstractmethod
    def load(cls, settings: Any) -> Data:
        """The data that the settings name.

        Raises
        ------
        OSError, ValueError, ModuleNotFoundError
            if it can't be read or used. The message names the file.
        """

    @classmethod
    @abstractmethod
    def load_part(cls, settings: Any, path: Path) -> tuple[Any, Sequence[BadLine]]:
        """The examples of a file to measure on, as `load` gives those of a part; its bad lines.

        Raises
        ------
        OSError, ValueError, ModuleNotFoundError
            as `load`.
        """

    @classmethod
    @abstractmethod
    def learnt(cls, settings: Any, train: Any) -> dict[str, Any]:
        """The facts, from the examples to train on."""

    @abstractmethod
    def prepared(self, part: Any) -> Sized:
        """The examples of a part as the model reads them.

        Raises
        ------
        ValueError
            if one can't be used with these facts, such as an unknown label.
        """

    @abstractmethod
    def lengths(self, examples: Any) -> Sequence[int]:
        """How long each example is: those of similar lengths come together."""

    @abstractmethod
    def batch(self, examples: Any, which: Indices) -> Any:
        """The examples with these numbers, side by side."""

    # ------------------------------------------------------------------ the network

    @abstractmethod
    def model_arguments(self) -> dict[str, Any]:
        """What the network is made with."""

    @abstractmethod
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of some weights, from which its size follows.

        A file with weights of other shapes is refused before a model is made for it.
        """

    @classmethod
    def unit_of(cls, settings: Any) -> Unit:
        """The unit of the loss, if it depends on the settings."""
        return cls.unit

    @classmethod
    def references(cls, settings: Any) -> Mapping[str, float]:
        """Losses to compare that of the network with, by their names: lines among the curves."""
        return {}

    @classmethod
    def products(cls, settings: Any) -> Sequence[cpu.Product]:
        """The matrix products of a step, about: the fastest kernels for them are taken."""
        return []

    @abstractmethod
    def loss(
        self, model: Any, batch: Any, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The loss of a batch, which training minimises, and how many tokens are in it.

        `step`: how many steps came before. `rng`: that of the run, for what else is drawn.
        """

    # ------------------------------------------------------------------ how good it is

    @abstractmethod
    def measured(
        self,
        model: Any,
        examples: Any,
        stop: Stop,
        progress: Progress,
        thorough: bool,
        **options: Any,
    ) -> dict[str, Any] | None:
        """The figures of a model on examples; None as soon as `stop` says so.

        "loss" is among them, the mean in nats. `progress` is told how many examples are done.
        `thorough`: the training is over, so figures may be there that take longer. `options`: those
        of `use_options` that ``evaluate`` has, or none.
        """

    @abstractmethod
    def simpler(self, train: Any, valid: Any, on: Any) -> dict[str, dict[str, Any]]:
        """The figures on examples of simpler methods, by their names, learnt from the same data.

        A figure that a method does not have is left out.
        """

    @abstractmethod
    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """Figures as they stand in the table of results, by their heads."""

    @abstractmethod
    def told(self, figures: Mapping[str, Any]) -> str:
        """The main figures beside the loss, in a few words."""

    # ------------------------------------------------------------------ what it does

    @abstractmethod
    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """What the model says about each input, read from a line of text.

        Raises
        ------
        ValueError
            if an input can't be used.
        """

    @abstractmethod
    def sample(self, model: Any, examples: Any, rng: np.random.Generator) -> str:
        """What the model says about some examples that it does not learn from, in lines.

        Raises
        ------
        Diverged
            if what it does is not finite.
        """

    def picture(
        self, model: Any, examples: Any, title: str, figures: Mapping[str, Any]
    ) -> bytes | None:
        """A picture of what the best model does, a PNG; None: there is none.

        `figures`: what `measured` has found on these examples.
        """
        return None

    # ------------------------------------------------------------------ what is said

    @abstractmethod
    def title(self) -> str:
        """The network and the data, in a few words."""

    @abstractmethod
    def introduction(self, data: Data, model: nn.Module) -> list[str]:
        """Lines about the data and the model: a word, spaces up to column 12, and the rest."""

    def warnings(self, data: Data) -> list[str]:
        """What to warn of before the training."""
        return [left_out(data.bad)] if data.bad else []


def left_out(bad: Sequence[BadLine]) -> str:
    """What to say of lines that can't be used."""
    lines = "1 line is" if len(bad) == 1 else f"{len(bad):,} lines are"
    return f"{lines} left out: {told_bad(bad)}"


def in_batches(
    problem: Problem,
    examples: Any,
    stop: Stop,
    progress: Progress,
    together: int = TOGETHER,
) -> Iterator[tuple[Indices, Any]]:
    """The examples in batches of similar lengths, with their numbers; it ends when `stop` says so.

    `progress` is told how many are done.
    """
    order = np.argsort(problem.lengths(examples), kind="stable")
    for start in range(0, len(order), together):
        if stop():
            return
        which = order[start : start + together]
        yield which, problem.batch(examples, which)
        progress(start + len(which))
