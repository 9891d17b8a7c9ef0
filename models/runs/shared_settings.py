"""What every training run is a function of: the options that all tasks share."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_type_hints

from models.devices import check_name
from models.runs.options import check_names, checked, flag, option

TEXT, MODEL, REGULAR = "The data", "The model", "Against learning by heart"
TRAINING, RATE, OUTPUT = "Training", "The learning rate", "What comes out"

PANELS = (TEXT, MODEL, REGULAR, TRAINING, RATE, OUTPUT)
"""The headings of the options, in the order in which they are told."""

LEARNING_RATES = {
    "adam": 0.006,
    "adamw": 0.006,
    "sgd": 1.0,
    "nt-asgd": 1.0,
    "rmsprop": 0.002,
    "adagrad": 0.1,
}
"""The largest learning rate if none is given."""

LENGTH = ("steps", "epochs", "minutes")
"""The options that say how long to train; a run ends with the first that is reached."""


@dataclass(frozen=True)
class RunSettings:
    """The settings that all tasks share; a task's own are a subclass, with fields of its own.

    Each is an option of the task's `train` of the same name.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    task: ClassVar[str] = ""
    """What the commands of the task begin with; empty: those of the language model."""

    rates: ClassVar[Mapping[str, float]] = LEARNING_RATES
    """The largest learning rate of each optimiser if none is given."""

    usual_length: ClassVar[tuple[str, int]] = ("steps", 1200)
    """How long a run is if nobody says: the name of an option, and its value."""

    # ------------------------------------------------------------------ regularisation
    weight_decay: float = option(0.0, "How much large weights cost.", REGULAR, low=0)

    # ------------------------------------------------------------------ training
    steps: int | None = option(
        None, "How many steps.", TRAINING, low=1, shown="1,200", may_change=True
    )
    epochs: int | None = option(
        None, "How often to go through the data.", TRAINING, low=1, may_change=True
    )
    minutes: float | None = option(None, "How long to train.", TRAINING, above=0, may_change=True)
    patience: int | None = option(
        None,
        "Stop after so many validations without a better one.",
        TRAINING,
        low=1,
        shown="never",
        may_change=True,
    )
    batch_size: int = option(24, "Examples in a step.", TRAINING, low=1)
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "nt-asgd"] = option(
        "adam", "The optimiser.", TRAINING
    )
    smoothing: float | None = option(
        None,
        "RMSprop's alpha; the second beta of Adam.",
        TRAINING,
        low=0,
        high=1,
        shown="the optimiser's",
    )
    eps: float | None = option(
        None, "What the optimiser adds to its divisors.", TRAINING, above=0, shown="its own"
    )
    nonmono: int = option(
        5,
        "nt-asgd: averages from when no validation was better than all but the last so many.",
        TRAINING,
        low=1,
    )
    clip: float = option(
        1.0,
        "Largest norm of the gradient (of the mean loss); 0: any.",
        TRAINING,
        low=0,
        may_change=True,
    )
    clip_value: float = option(
        0.0,
        "Largest size of each element of the gradient; 0: any.",
        TRAINING,
        low=0,
        may_change=True,
    )
    on_nonfinite: Literal["stop", "skip"] = option(
        "stop", "What to do when a loss or gradient is NaN or infinite.", TRAINING, may_change=True
    )
    seed: int = option(0, "The same seed, the same model.", TRAINING, low=0)
    device: str = option(
        "cpu",
        "Where to compute: cpu or cuda, the current GPU (CUDA_VISIBLE_DEVICES=N chooses it).",
        TRAINING,
        metavar="DEVICE",
        may_change=True,
    )

    # ------------------------------------------------------------------ the learning rate
    lr: float | None = option(
        None,
        "The largest learning rate (for the mean of the loss).",
        RATE,
        above=0,
        may_change=True,
        shown=", ".join(f"{rate:g} with {name}" for name, rate in LEARNING_RATES.items()),
    )
    schedule: Literal["cosine", "constant", "decay", "plateau"] = option(
        "cosine",
        "cosine: down to --final-lr; decay: times --decay each epoch after --decay-after; plateau: "
        "times --decay when a validation was no better.",
        RATE,
    )
    warmup: int | None = option(
        None,
        "Steps in which it rises from 0.",
        RATE,
        low=0,
        shown="with cosine 50, or a tenth of all; else 0",
    )
    final_lr: float = option(
        0.02, "With cosine: at the end, as a part of the largest.", RATE, low=0, high=1
    )
    decay: float = option(0.5, "With decay and plateau: the factor.", RATE, above=0, high=1)
    decay_after: int = option(0, "With decay: for so many epochs it stays.", RATE, low=0)

    # ------------------------------------------------------------------ output
    eval_every: int | None = option(
        None,
        "Steps between validations.",
        OUTPUT,
        low=1,
        shown="with --epochs one, else a tenth of all",
        may_change=True,
    )
    samples: int = option(
        4, "Samples to show on the way, first and last included.", OUTPUT, low=0, may_change=True
    )
    save_every: float = option(
        5.0, "Minutes between two checkpoints, at most.", OUTPUT, low=0, may_change=True
    )
    tensorboard: bool = option(
        False, "Also write event files for TensorBoard.", OUTPUT, may_change=True
    )

    def __post_init__(self) -> None:
        types = option_types(type(self))
        for each in dataclasses.fields(self):
            value = checked(each, types[each.name], getattr(self, each.name))
            object.__setattr__(self, each.name, value)
        if self.steps is None and self.epochs is None and self.minutes is None:
            name, value = self.usual_length
            object.__setattr__(self, name, value)
        check_name(self.device)

    # ------------------------------------------------------------------ what a task may have else

    @classmethod
    def _recipe(cls, layers: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
        """The settings that lie below those of `layers`, because one of them names them."""
        return {}

    @classmethod
    def kept(cls, name: str, value: Any) -> Any:
        """What a run that goes on must keep of a setting."""
        return value

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of the run."""
        return self.rates[self.optimizer] if self.lr is None else self.lr

    # ------------------------------------------------------------------ plain data

    def to_dict(self) -> dict[str, Any]:
        """All settings that are not None, as strings, numbers, booleans and lists of them."""
        values = {each.name: getattr(self, each.name) for each in ordered(type(self))}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def run_id(self, fingerprint: str, cell_sha256: str = "") -> str:
        """The id of a run that begins with these settings, on the data of this fingerprint.

        The same settings, data and file of a cell of one's own (`cell_sha256`; empty: it has none)
        give the same run, bit for bit, and the same id.
        """
        parts = [self.to_dict(), fingerprint, *([cell_sha256] if cell_sha256 else [])]
        content = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @classmethod
    def combined(cls, *layers: Mapping[str, Any]) -> Self:
        """The settings that `layers` give; a later layer overrides an earlier one.

        If one of them names a recipe, all of them override the recipe, and it the defaults.
        """
        for layer in layers:
            check_names(layer, option_types(cls), "settings")
        given: dict[str, Any] = {}
        for layer in (cls._recipe(layers), *layers):
            if any(layer.get(name) is not None for name in LENGTH):  # one choice of the three
                given = {name: value for name, value in given.items() if name not in LENGTH}
            given.update(layer)
        return cls(**given)

    @classmethod
    def saved(cls, values: Mapping[str, Any]) -> Self:
        """The settings that `to_dict` gave, even if their recipe has changed since."""
        check_names(values, option_types(cls), "settings")
        return cls(**values)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with changes that a resumed run may make.

        Raises
        ------
        ValueError
            for an option that it may not change.
        """
        given, may_change = changes, changeable(type(self))
        if any(name in changes for name in LENGTH):
            changes = {**dict.fromkeys(LENGTH), **changes}
        settings = dataclasses.replace(self, **changes)
        for name in given:
            before, after = (self.kept(name, getattr(s, name)) for s in (self, settings))
            if name not in may_change and before != after:
                raise ValueError(
                    f"{flag(name)}: a run that goes on keeps its settings, but for "
                    f"{', '.join(map(flag, sorted(may_change)))}"
                )
        return settings

    def fixed_differences(self, saved: Mapping[str, Any]) -> str:
        """What a run may not change and yet differs from `saved`, of `to_dict`; empty: nothing."""
        now, may_change = self.to_dict(), changeable(type(self))
        return ", ".join(
            f"{flag(name)} from {saved.get(name)} to {now.get(name)}"
            for name in option_types(type(self))
            if name not in may_change
            and self.kept(name, saved.get(name)) != self.kept(name, now.get(name))
        )


def ordered(kind: type[RunSettings]) -> list[dataclasses.Field[Any]]:
    """The options of a task in the order in which they are told: by their headings."""
    fields = dataclasses.fields(kind)
    return sorted(fields, key=lambda each: PANELS.index(each.metadata["panel"]))


def option_types(kind: type[RunSettings]) -> dict[str, Any]:
    """The type of each option of a task, by its name."""
    types = get_type_hints(kind)
    return {each.name: types[each.name] for each in ordered(kind)}


def changeable(kind: type[RunSettings]) -> frozenset[str]:
    """The options that a resumed run may change."""
    return frozenset(f.name for f in dataclasses.fields(kind) if f.metadata.get("may_change"))
