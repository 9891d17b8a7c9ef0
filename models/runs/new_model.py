"""The model that a new run begins with, as its settings ask for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.nnlm import NNLM
from models.rnnlm import RNNLM
from models.runs.settings import Settings

Model = RNNLM | NNLM
"""What a run can train."""


def make_model(s: Settings, vocab_size: int, rng: np.random.Generator, cell: Any = None) -> Model:
    """The model that the settings ask for, on their device; with `cell`, if they name one's own.

    Its weights are drawn on the CPU, so that they are the same wherever it computes.
    """
    with np.errstate(over="ignore"):  # of an --init-scale beyond float32: the run will notice
        kind = RNNLM if s.recurrent else NNLM
        model: Model = kind(**model_arguments(s, vocab_size, cell), rng=rng)
        return model.to(s.device)


def model_arguments(s: Settings, vocab_size: int, cell: Any = None) -> dict[str, Any]:
    """What the model that the settings ask for is made with; `cell` makes cells of one's own."""
    if not s.recurrent:
        return {
            "vocab_size": vocab_size,
            "embedding_size": s.vector_size,
            "hidden_size": s.hidden_size,
            "context": s.tokens_seen,
            "direct": False,
            "dropout": s.dropout,
        }
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
