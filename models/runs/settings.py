"""All that a training run is a function of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_type_hints

from models.devices import check_name
from models.rnnlm import CELLS
from models.runs.options import check_names, checked, flag, option
from models.runs.recipes import RECIPES

TEXT, MODEL, REGULAR = "The text", "The model", "Against learning by heart"
TRAINING, RATE, OUTPUT = "Training", "The learning rate", "What comes out"

NETWORKS = (*CELLS, "nnlm")
"""The values of --cell that are not a file."""

LEARNING_RATES = {
    "adam": 0.006,
    "adamw": 0.006,
    "sgd": 1.0,
    "nt-asgd": 1.0,
    "rmsprop": 0.002,
    "adagrad": 0.1,
}
"""The largest learning rate if none is given."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run: each is an option of ``python -m models train`` of the same name.

    The defaults train a model of characters on half a million of them, in a minute or two.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    # ------------------------------------------------------------------ the text
    text: tuple[str, ...] = option(
        ("python-docs",),
        "A file in UTF-8, several (give it again), a directory, an address, or python-docs, "
        "tinyshakespeare, wikitext-2.",
        TEXT,
        metavar="TEXT",
        may_change=True,
    )
    valid: str | None = option(
        None, "A text to validate on; else a part of --text is.", TEXT, may_change=True
    )
    test: str | None = option(None, "A text to test on.", TEXT, may_change=True)
    split: tuple[float, ...] = option(
        (0.9, 0.05, 0.05),
        "The parts of --text to train on, to validate on, and (may be left out) to test on.",
        TEXT,
        above=0,
        metavar="A,B[,C]",
        shown="0.9,0.05,0.05",
    )
    glob: str | None = option(
        None, "Which files of a directory, such as '**/*.txt'.", TEXT, may_change=True
    )
    level: Literal["char", "word", "byte", "bpe"] = option("char", "What a token is.", TEXT)
    min_count: int | None = option(
        None, "Tokens rarer than this become `<unk>`.", TEXT, low=1, shown="2 of words, else 1"
    )
    max_vocab: int | None = option(
        None, "At most so many tokens, the most frequent.", TEXT, low=3, shown="all; 8,000 of bpe"
    )
    lowercase: bool = option(False, "Make all letters small.", TEXT)
    normalize: Literal["nfc", "nfd", "nfkc", "nfkd"] | None = option(
        None,
        "Unicode's form of all letters: nfc puts together what is in parts (Hangul from macOS).",
        TEXT,
        shown="as they are",
    )
    max_tokens: int | None = option(
        None, "Train on the first so many tokens alone.", TEXT, low=2, shown="all"
    )
    valid_tokens: int | None = option(
        None, "Validate on the first so many tokens alone.", TEXT, low=2, shown="all"
    )

    # ------------------------------------------------------------------ the model
    cell: str = option(
        "gru",
        "The recurrent network: rnn, lstm, gru, or FILE.py:MyCell, your own (docs/cells.md); or "
        "nnlm: none, a network that sees the last tokens alone (Bengio et al. 2003).",
        MODEL,
        metavar="CELL",
    )
    context: int | None = option(
        None, "With nnlm: how many tokens it sees.", MODEL, low=1, shown="5"
    )
    hidden_size: int = option(320, "Units in each layer.", MODEL, low=1)
    layers: int = option(1, "Recurrent layers on top of each other.", MODEL, low=1)
    embedding_size: int | None = option(
        None,
        "Length of the tokens' vectors; 0: none, the tokens come in one-hot.",
        MODEL,
        low=0,
        shown="64; if tied, the hidden size",
    )
    tied: bool = option(False, "One matrix for the embedding and the output.", MODEL)
    init: Literal["pytorch", "uniform", "normal", "scaled-normal"] = option(
        "pytorch", "How the weights are drawn at the start.", MODEL
    )
    init_scale: float | None = option(
        None, "The range of uniform, the standard deviation of normal.", MODEL, above=0
    )
    forget_bias: float | None = option(
        None, "What an LSTM's forget gates begin with as their bias.", MODEL, shown="as --init"
    )

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.1, "Part of the units to drop: input, between layers, output.", REGULAR, low=0, high=1
    )
    input_dropout: float | None = option(
        None, "Of the tokens' vectors.", REGULAR, low=0, high=1, shown="--dropout"
    )
    hidden_dropout: float | None = option(
        None, "Between layers.", REGULAR, low=0, high=1, shown="--dropout"
    )
    output_dropout: float | None = option(
        None, "Before the output layer.", REGULAR, low=0, high=1, shown="--dropout"
    )
    variational: bool = option(False, "Drop the same units at all time steps of a window.", REGULAR)
    embedding_dropout: float = option(
        0.0, "Part of the tokens to drop, each wherever it stands.", REGULAR, low=0, high=1
    )
    weight_drop: float = option(
        0.0, "Part of the recurrent weights to drop.", REGULAR, low=0, high=1
    )
    activation_penalty: float = option(0.0, "AR: how much large outputs cost.", REGULAR, low=0)
    temporal_penalty: float = option(0.0, "TAR: how much outputs that jump cost.", REGULAR, low=0)
    weight_decay: float = option(0.0, "How much large weights cost.", REGULAR, low=0)

    # ------------------------------------------------------------------ training
    steps: int | None = option(
        None, "How many steps.", TRAINING, low=1, shown="1,200", may_change=True
    )
    epochs: int | None = option(
        None, "How often to go through the text.", TRAINING, low=1, may_change=True
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
    batch_size: int = option(24, "Streams of text read side by side.", TRAINING, low=1)
    bptt: int = option(
        64, "Tokens of each stream in a step, and how far gradients reach.", TRAINING, low=1
    )
    vary_bptt: bool = option(
        False, "Windows of random lengths around --bptt, as in AWD-LSTM.", TRAINING
    )
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
    capture: bool | None = option(
        None,
        "Record a step once and replay it (on the CPU): the same bits, in less time.",
        TRAINING,
        shown="where it is faster",
        may_change=True,
    )

    # ------------------------------------------------------------------ the learning rate
    lr: float | None = option(
        None,
        "The largest learning rate (for the mean of the loss over tokens).",
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
    recipe: str | None = option(
        None,
        "Begin with the settings of a published model (see `recipes`); all others change them.",
        OUTPUT,
        metavar="NAME",
    )
    eval_every: int | None = option(
        None,
        "Steps between validations.",
        OUTPUT,
        low=1,
        shown="with --epochs one, else a tenth of all",
        may_change=True,
    )
    eval_streams: int = option(
        16, "Into how many pieces a text is cut to evaluate faster.", OUTPUT, low=1
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
        for each in dataclasses.fields(self):
            value = checked(each, option_types()[each.name], getattr(self, each.name))
            object.__setattr__(self, each.name, value)
        if self.steps is None and self.epochs is None and self.minutes is None:
            object.__setattr__(self, "steps", 1200)
        if self.recipe is not None and self.recipe not in RECIPES:
            raise ValueError(f"--recipe must be one of {', '.join(RECIPES)}, got {self.recipe!r}")
        if not self.text:
            raise ValueError("--text must name a text")
        for name in ("text", "valid", "test", "glob"):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else [value]
            if any(each is not None and not each.strip() for each in values):
                raise ValueError(f"{flag(name)} must not be empty, got {value!r}")
        if self.own_cell is not None and not (
            self.own_cell[0].strip() and self.own_cell[1].isidentifier() and len(self.cell) < 4096
        ):
            raise ValueError(
                f"--cell must be one of {', '.join(NETWORKS)}, got {self.cell!r:.90}; a cell of "
                "your own is given as FILE.py:MyCell"
            )
        check_name(self.device)
        if len(self.split) not in (2, 3) or not math.isclose(math.fsum(self.split), 1):
            raise ValueError(
                "--split must be two or three parts that sum to 1, got "
                + ",".join(f"{part:g}" for part in self.split)
            )
        if self.init in ("uniform", "normal") and self.init_scale is None:
            raise ValueError(f"--init {self.init} needs --init-scale")
        if self.tied and not self.vector_size:
            raise ValueError("--tied needs an embedding, so --embedding-size above 0")
        if self.recurrent:
            if self.context is not None:
                raise ValueError("--context needs --cell nnlm: a recurrent network has no window")
            return
        for each in dataclasses.fields(self):
            if each.name in OF_RECURRENT and getattr(self, each.name) != each.default:
                raise ValueError(f"{flag(each.name)} is for recurrent networks, not --cell nnlm")
        if not self.vector_size:
            raise ValueError("--cell nnlm needs an embedding, so --embedding-size above 0")

    # ------------------------------------------------------------------ what follows

    @property
    def vector_size(self) -> int:
        """The length of the tokens' vectors; 0 if they come in one-hot."""
        if self.embedding_size is None:
            return self.hidden_size if self.tied else 64
        return self.embedding_size

    @property
    def own_cell(self) -> tuple[str, str] | None:
        """The file of a cell of one's own, and what it is called there; None: it is no such one."""
        file, _, name = self.cell.rpartition(":")
        return None if self.cell in NETWORKS else (file, name)

    @property
    def recurrent(self) -> bool:
        """Whether the model is a recurrent network; else it sees the last tokens alone."""
        return self.cell != "nnlm"

    @property
    def tokens_seen(self) -> int:
        """How many tokens a model sees that is not recurrent."""
        return 5 if self.context is None else self.context

    @property
    def cell_name(self) -> str:
        """What the cell is called."""
        return self.cell.upper() if self.own_cell is None else self.own_cell[1]

    @property
    def cell_option(self) -> str:
        """What a command needs to use the model of such a run."""
        return "" if self.own_cell is None else f" --cell {shlex.quote(self.cell)}"

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of the run."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def unit(self) -> str:
        """What the tokens are called."""
        return {"char": "characters", "word": "words", "byte": "bytes", "bpe": "tokens"}[self.level]

    # ------------------------------------------------------------------ plain data

    def to_dict(self) -> dict[str, Any]:
        """All settings that are not None, as strings, numbers, booleans and lists of them."""
        values = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def run_id(self, fingerprint: str, cell_sha256: str = "") -> str:
        """The id of a run that begins with these settings, on the text of this fingerprint.

        The same settings, text and file of a cell of one's own (`cell_sha256`; empty: it has none)
        give the same run, bit for bit, and the same id.
        """
        parts = [self.to_dict(), fingerprint, *([cell_sha256] if cell_sha256 else [])]
        content = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @classmethod
    def combined(cls, *layers: Mapping[str, Any]) -> Settings:
        """The settings that `layers` give; a later layer overrides an earlier one.

        If one of them names a recipe, all of them override the recipe, and it the defaults.
        """
        for layer in layers:
            check_names(layer, option_types(), "settings")
        name = next((layer["recipe"] for layer in reversed(layers) if layer.get("recipe")), None)
        recipe = RECIPES[name].settings if isinstance(name, str) and name in RECIPES else {}
        given: dict[str, Any] = {}
        for layer in (recipe, *layers):
            if any(layer.get(name) is not None for name in LENGTH):  # one choice of the three
                given = {name: value for name, value in given.items() if name not in LENGTH}
            given.update(layer)
        return cls(**given)

    @classmethod
    def saved(cls, values: Mapping[str, Any]) -> Settings:
        """The settings that `to_dict` gave, even if their recipe has changed since."""
        check_names(values, option_types(), "settings")
        return cls(**values)

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with changes that a resumed run may make.

        Raises
        ------
        ValueError
            for an option that it may not change.
        """
        given = changes
        if any(name in changes for name in LENGTH):
            changes = {**dict.fromkeys(LENGTH), **changes}
        settings = dataclasses.replace(self, **changes)
        for name in given:
            before, after = (kept(name, getattr(s, name)) for s in (self, settings))
            if name not in MAY_CHANGE and before != after:
                raise ValueError(
                    f"{flag(name)}: a run that goes on keeps its settings, but for "
                    f"{', '.join(map(flag, sorted(MAY_CHANGE)))}"
                )
        return settings

    def fixed_differences(self, saved: Mapping[str, Any]) -> str:
        """What a run may not change and yet differs from `saved`, of `to_dict`; empty: nothing."""
        now = self.to_dict()
        return ", ".join(
            f"{flag(name)} from {saved.get(name)} to {now.get(name)}"
            for name in option_types()
            if name not in MAY_CHANGE and kept(name, saved.get(name)) != kept(name, now.get(name))
        )


OF_RECURRENT = {
    *("layers", "tied", "init", "init_scale", "forget_bias", "input_dropout", "hidden_dropout"),
    *("output_dropout", "variational", "embedding_dropout", "weight_drop", "activation_penalty"),
    "temporal_penalty",
}
"""The options that a model which is not recurrent does not have."""

LENGTH = ("steps", "epochs", "minutes")
"""The options that say how long to train; a run ends with the first that is reached."""

MAY_CHANGE = {f.name for f in dataclasses.fields(Settings) if f.metadata.get("may_change")}
"""The options that a resumed run may change."""


def kept(name: str, value: Any) -> Any:
    """What a run keeps of a setting: of a cell of one's own its name, but not where its file is."""
    if name == "cell" and isinstance(value, str) and value not in NETWORKS:
        return f":{value.rpartition(':')[2]}"
    return value


@cache
def option_types() -> dict[str, Any]:
    """The type of each option, by its name."""
    return get_type_hints(Settings)
