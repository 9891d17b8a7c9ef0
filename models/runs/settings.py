"""All that the training of a language model is a function of."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.rnnlm import CELLS
from models.runs.options import flag, option
from models.runs.recipes import RECIPES
from models.runs.shared_settings import MODEL, OUTPUT, REGULAR, TEXT, TRAINING, RunSettings

NETWORKS = (*CELLS, "nnlm")
"""The values of --cell that are not a file."""

OF_RECURRENT = {
    *("layers", "tied", "init", "init_scale", "forget_bias", "input_dropout", "hidden_dropout"),
    *("output_dropout", "variational", "embedding_dropout", "weight_drop", "activation_penalty"),
    "temporal_penalty",
}
"""The options that a model which is not recurrent does not have."""


@dataclass(frozen=True)
class Settings(RunSettings):
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

    # ------------------------------------------------------------------ training
    batch_size: int = option(24, "Streams of text read side by side.", TRAINING, low=1)
    bptt: int = option(
        64, "Tokens of each stream in a step, and how far gradients reach.", TRAINING, low=1
    )
    vary_bptt: bool = option(
        False, "Windows of random lengths around --bptt, as in AWD-LSTM.", TRAINING
    )
    shards: int | None = option(
        None,
        "Compute each step in so many equal parts of --batch-size, and add up their gradients: "
        "several processes can divide these between them.",
        TRAINING,
        low=1,
        shown="as many as processes",
    )
    reduce: Literal["exact", "fast"] | None = option(
        None,
        "How the gradients of --shards are added up: exact gives the same bits with any number of "
        "processes; fast need not.",
        TRAINING,
        shown="exact",
        may_change=True,
    )
    capture: bool | None = option(
        None,
        "Record a step once and replay it (on the CPU): the same bits, in less time.",
        TRAINING,
        shown="where it is faster",
        may_change=True,
    )

    # ------------------------------------------------------------------ output
    recipe: str | None = option(
        None,
        "Begin with the settings of a published model (see `recipes`); all others change them.",
        OUTPUT,
        metavar="NAME",
    )
    eval_streams: int = option(
        16, "Into how many pieces a text is cut to evaluate faster.", OUTPUT, low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
        if len(self.split) not in (2, 3) or not math.isclose(math.fsum(self.split), 1):
            raise ValueError(
                "--split must be two or three parts that sum to 1, got "
                + ",".join(f"{part:g}" for part in self.split)
            )
        if self.init in ("uniform", "normal") and self.init_scale is None:
            raise ValueError(f"--init {self.init} needs --init-scale")
        if self.batch_size % self.shard_count:
            raise ValueError(
                "--batch-size must be a multiple of --shards, which have as many streams each, "
                f"got {self.batch_size} and {self.shards}"
            )
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
    def shard_count(self) -> int:
        """In how many parts the gradients of a step are computed."""
        return self.shards or 1

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
    def unit(self) -> str:
        """What the tokens are called."""
        return {"char": "characters", "word": "words", "byte": "bytes", "bpe": "tokens"}[self.level]

    @classmethod
    def _recipe(cls, layers: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
        """The settings of the recipe that the last of `layers` with one names."""
        name = next((layer["recipe"] for layer in reversed(layers) if layer.get("recipe")), None)
        return RECIPES[name].settings if isinstance(name, str) and name in RECIPES else {}

    @classmethod
    def kept(cls, name: str, value: Any) -> Any:
        """As in `RunSettings`; of a cell of one's own its name, but not where its file is."""
        if name == "shards" and value is None:
            return 1
        if name == "cell" and isinstance(value, str) and value not in NETWORKS:
            return f":{value.rpartition(':')[2]}"
        return value
