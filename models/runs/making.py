"""What the settings of a run ask for, made: its text, its model and its id."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from minigrad.data import Tokenizer
from models.corpus import Corpus, load_corpus
from models.rnnlm import RNNLM
from models.runs.settings import Settings


def make_model(
    s: Settings, vocab_size: int, rng: np.random.Generator, cell: Any = None
) -> RNNLM:
    """The model that the settings ask for, on their device; with `cell`, if they name one's own.

    Its weights are drawn on the CPU, so that they are the same wherever it computes.
    """
    with np.errstate(over="ignore"):  # of an --init-scale beyond float32: the run will notice
        return RNNLM(**model_arguments(s, vocab_size, cell), rng=rng).to(s.device)


def model_arguments(s: Settings, vocab_size: int, cell: Any = None) -> dict[str, Any]:
    """What an `RNNLM` as the settings ask for is made with; `cell` makes cells of one's own."""
    return {
        "vocab_size": vocab_size,
        "embedding_size": s.vector_size or None,
        "hidden_size": s.hidden_size,
        "cell": s.cell if cell is None else cell,
        "num_layers": s.layers,
        "dropout": s.dropout,
        "tied": s.tied,
        "input_dropout": s.input_dropout,
        "hidden_dropout": s.hidden_dropout,
        "output_dropout": s.output_dropout,
        "variational": s.variational,
        "embedding_dropout": s.embedding_dropout,
        "weight_drop": s.weight_drop,
        "activation_penalty": s.activation_penalty,
        "temporal_penalty": s.temporal_penalty,
        "forget_bias": s.forget_bias,
        "init": s.init,
        "init_scale": s.init_scale,
    }


def corpus_of(s: Settings, tokenizer: Tokenizer | None = None) -> Corpus:
    """The text that the settings name, with the tokens of `tokenizer`, or its own."""
    return load_corpus(
        s.text,
        valid=s.valid,
        test=s.test,
        split=s.split,
        glob=s.glob,
        level=s.level,
        min_count=s.min_count,
        max_vocab=s.max_vocab,
        max_tokens=s.max_tokens,
        valid_tokens=s.valid_tokens,
        keep_case=not s.lowercase,
        normalize=s.normalize,
        tokenizer=tokenizer,
    )


def id_of(s: Settings, fingerprint: str, cell_sha256: str = "") -> str:
    """The id of a run that begins with these settings, on the text of this fingerprint.

    The same settings, text and file of a cell of one's own (`cell_sha256`; empty: it has none) give
    the same run, bit for bit, and the same id.
    """
    parts = [s.to_dict(), fingerprint, *([cell_sha256] if cell_sha256 else [])]
    content = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
