"""Recipes: the settings of published language models, by name.

**Sums and means.** Many of these papers minimise the sum of the loss over the T time steps of a
window (averaged over the N streams). minigrad minimises the mean over all T x N tokens, which is T
times smaller; so is its gradient g. A step with the sum, a learning rate lr and clipping at c,

    lr * clip(T g, c)  =  lr * T * clip(g, c / T),

is the same as one with the mean, a learning rate T times larger, and clipping at a T times smaller
norm: at T = 20, lr 1 and clip 5 become lr 20 and clip 0.25. Optimisers that divide by the size of
the gradient (Adam, RMSprop, Adagrad) take the same step with both, so that there only the clipping
changes. Each recipe says what its source had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The settings of a published model."""

    source: str
    """Where it is described."""

    expected: str
    """The figures that were published for it, and on what text."""

    conversion: str
    """What its learning rate and clipping are in the source, and here."""

    settings: Mapping[str, Any] = field(repr=False)
    """Those that differ from the defaults of `models.runs.settings.Settings`."""


def _zaremba(
    size: int,
    bptt: int,
    scale: float,
    dropout: float,
    epochs: int,
    flat: int,
    factor: float,
    clip: int,
) -> dict[str, Any]:
    """Two LSTM layers, and SGD with a learning rate of 1 that falls from epoch to epoch."""
    return {
        "text": ("ptb",),
        "level": "word",
        "max_vocab": 10_000,
        "min_count": 1,
        "cell": "lstm",
        "hidden_size": size,
        "embedding_size": size,
        "layers": 2,
        "dropout": dropout,
        "init": "uniform",
        "init_scale": scale,
        "epochs": epochs,
        "batch_size": 20,
        "bptt": bptt,
        "optimizer": "sgd",
        "lr": 1.0 * bptt,
        "clip": clip / bptt,
        "schedule": "decay",
        "decay": 1 / factor,
        "decay_after": flat,
    }


def _summed(lr: float, clip: float, bptt: int) -> str:
    return (
        f"lr {lr:g} and clip {clip:g} for the loss summed over {bptt} time steps: "
        f"lr {lr * bptt:g} and clip {clip / bptt:.3g} for its mean"
    )


ZAREMBA = "Zaremba, Sutskever and Vinyals (2014), Recurrent neural network regularization"
DLFS = "Saito (2018), Deep learning from scratch 2 (밑바닥부터 시작하는 딥러닝 2), chapter 6"
SHAKESPEARE = "tinyshakespeare, the last tenth (nats per character)"

RECIPES = {
    "zaremba-small": Recipe(
        ZAREMBA,
        "Penn Treebank: perplexity 120.7 valid, 114.5 test",
        _summed(1, 5, 20),
        _zaremba(200, 20, 0.1, 0.0, 13, 4, 2.0, 5),
    ),
    "zaremba-medium": Recipe(
        ZAREMBA,
        "Penn Treebank: perplexity 86.2 valid, 82.7 test",
        _summed(1, 5, 35),
        _zaremba(650, 35, 0.05, 0.5, 39, 6, 1.2, 5),
    ),
    "zaremba-large": Recipe(
        ZAREMBA,
        "Penn Treebank: perplexity 82.2 valid, 78.4 test",
        _summed(1, 10, 35),
        _zaremba(1500, 35, 0.04, 0.65, 55, 14, 1.15, 10),
    ),
    "dlfs-rnnlm": Recipe(
        f"{DLFS}, Rnnlm",
        "Penn Treebank: test perplexity about 136 (no figure for valid)",
        "lr 20 and clip 0.25 of the mean, as here",
        {
            "text": ("ptb",),
            "level": "word",
            "max_vocab": 10_000,
            "min_count": 1,
            "cell": "lstm",
            "hidden_size": 100,
            "embedding_size": 100,
            "dropout": 0.0,
            "init": "scaled-normal",
            "epochs": 4,
            "batch_size": 20,
            "bptt": 35,
            "optimizer": "sgd",
            "lr": 20.0,
            "clip": 0.25,
            "schedule": "constant",
        },
    ),
    "better-rnnlm": Recipe(
        f"{DLFS}, BetterRnnlm",
        "Penn Treebank: test perplexity 75.8 (no figure for valid)",
        "lr 20 and clip 0.25 of the mean, as here; lr / 4 after an epoch that was no better",
        {
            "text": ("ptb",),
            "level": "word",
            "max_vocab": 10_000,
            "min_count": 1,
            "cell": "lstm",
            "hidden_size": 650,
            "embedding_size": 650,
            "layers": 2,
            "tied": True,
            "dropout": 0.5,
            "init": "scaled-normal",
            "epochs": 40,
            "batch_size": 20,
            "bptt": 35,
            "optimizer": "sgd",
            "lr": 20.0,
            "clip": 0.25,
            "schedule": "plateau",
            "decay": 0.25,
        },
    ),
    "char-rnn": Recipe(
        "Karpathy (2015), char-rnn: the defaults of train.lua",
        f"{SHAKESPEARE}: 1.571 valid, measured with PyTorch",
        "lr 0.002 with RMSprop, each element clipped to 5, of the loss summed over 50 time steps: "
        "clipped to 0.1 of its mean",
        {
            "text": ("tinyshakespeare",),
            "level": "char",
            "split": (0.9, 0.1),
            "cell": "lstm",
            "hidden_size": 128,
            "embedding_size": 0,
            "layers": 2,
            "dropout": 0.0,
            "init": "uniform",
            "init_scale": 0.08,
            "forget_bias": 1.0,
            "epochs": 50,
            "batch_size": 50,
            "bptt": 50,
            "optimizer": "rmsprop",
            "smoothing": 0.95,
            "eps": 2e-10,  # 1e-8 / 50
            "lr": 0.002,
            "clip": 0.0,
            "clip_value": 0.1,
            "schedule": "decay",
            "decay": 0.97,
            "decay_after": 10,
        },
    ),
    "min-char-rnn": Recipe(
        "Karpathy (2015), min-char-rnn",
        f"{SHAKESPEARE}: 2.345, 2.125 and 2.068 valid after 10, 50 and 100 thousand steps",
        "lr 0.1 with Adagrad, each element clipped to 5, of the loss summed over 25 time steps: "
        "clipped to 0.2 of its mean",
        {
            "text": ("tinyshakespeare",),
            "level": "char",
            "split": (0.9, 0.1),
            "cell": "rnn",
            "hidden_size": 100,
            "embedding_size": 0,
            "dropout": 0.0,
            "init": "normal",
            "init_scale": 0.01,
            "steps": 100_000,
            "batch_size": 1,
            "bptt": 25,
            "optimizer": "adagrad",
            "lr": 0.1,
            "eps": 4e-6,  # sqrt(1e-8) / 25: there 1e-8 stands under the root, beside the sum's
            "clip": 0.0,
            "clip_value": 0.2,
            "schedule": "constant",
            "eval_every": 10_000,
        },
    ),
    "awd-lstm": Recipe(
        "Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language models",
        "WikiText-2: perplexity 68.6 valid, 65.8 test",
        "lr 30 and clip 0.25 of the mean, as here, the lr times (window / 70)",
        {
            "text": ("wikitext-2",),
            "level": "word",
            "min_count": 1,
            "cell": "lstm",
            "hidden_size": 1150,
            "embedding_size": 400,
            "layers": 3,
            "tied": True,
            "init_scale": 0.1,
            "dropout": 0.0,
            "input_dropout": 0.65,
            "hidden_dropout": 0.2,
            "output_dropout": 0.4,
            "variational": True,
            "embedding_dropout": 0.1,
            "weight_drop": 0.5,
            "activation_penalty": 2.0,
            "temporal_penalty": 1.0,
            "weight_decay": 1.2e-6,
            "epochs": 750,
            "batch_size": 80,
            "bptt": 70,
            "vary_bptt": True,
            "optimizer": "nt-asgd",
            "lr": 30.0,
            "clip": 0.25,
            "schedule": "constant",
        },
    ),
    "shakespeare-20min": Recipe(
        "minigrad's own: the best that came out of 20 minutes on two cores",
        f"{SHAKESPEARE}: 1.433 valid, measured on two cores of an AMD EPYC (Zen 5)",
        "lr 0.003 with AdamW and clip 1 of the mean",
        {
            "text": ("tinyshakespeare",),
            "level": "char",
            "split": (0.9, 0.1),
            "cell": "lstm",
            "hidden_size": 512,
            "embedding_size": 128,
            "dropout": 0.5,
            "input_dropout": 0.1,
            "weight_decay": 0.02,
            "minutes": 20.0,
            "batch_size": 32,
            "bptt": 100,
            "optimizer": "adamw",
            "smoothing": 0.99,
            "lr": 0.003,
            "warmup": 100,
        },
    ),
}
