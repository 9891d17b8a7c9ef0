"""What a model expects after each token, and how much the token that came surprised it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data.checks import positive_int, token_ids
from minigrad.errors.values import told

TOP = 5

Array = NDArray[Any]


class Predictions(NamedTuple):
    """What a model expects after each of T tokens."""

    likeliest: list[list[str]]
    """After each token, the K next tokens that are the likeliest, the likeliest first."""

    probabilities: Array
    """Theirs, of shape (T, K)."""

    entropy: Array
    """Of the prediction after each token, in bits, of shape (T,): how unsure the model is."""

    surprise: Array
    """-log2 p of each token after those before it, in bits, of shape (T,); NaN of the first."""

    rank: Array
    """How many tokens were likelier than each one that came, of shape (T,); -1 of the first."""


def predictions(logits: Any, ids: Any, vocabulary: Sequence[str], *, top: int = TOP) -> Predictions:
    """What `logits` say of a text, for `Neurons`.

    Parameters
    ----------
    logits
        of the token after each of the text, shape (T, V); a Tensor or an array.
    ids
        the tokens of the text, shape (T,).
    vocabulary
        the V tokens as text.
    top
        how many of the likeliest tokens are kept.

    Raises
    ------
    TypeError, ValueError, IndexError
        if the shapes do not fit, there is no token, or an id is not in the vocabulary; for logits
        that are NaN, or have no largest one.
    """
    logits = np.asarray(logits.numpy() if hasattr(logits, "numpy") else logits)
    ids = token_ids(ids, len(vocabulary), "predictions")
    if logits.shape != (len(ids), len(vocabulary)) or not logits.size:
        raise ValueError(
            f"predictions: logits has shape {logits.shape}, expected (T, V) = "
            f"({len(ids)}, {len(vocabulary)}), at least (1, 1)"
        )
    top = positive_int(top, "predictions: top")
    return joined([predictions_of(logits, ids[1:], vocabulary, top)])


def predictions_of(
    logits: Array, targets: Array, vocabulary: Sequence[str], top: int = TOP
) -> Predictions:
    """The predictions of one window; `surprise` and `rank` are those of the targets."""
    logits = logits.astype(np.float64)
    if not np.isfinite(logits.max(-1)).all():
        raise ValueError(
            f"predictions: the logits {told(logits)} are NaN somewhere, or have no finite maximum"
        )
    logits -= logits.max(-1, keepdims=True)
    p = np.exp(logits)
    total = p.sum(-1, keepdims=True)
    p /= total
    log_p = logits - np.log(total)
    top = min(top, p.shape[1])
    best = np.argpartition(-p, top - 1, axis=-1)[:, :top]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(p, best, 1), 1), 1)
    bits = log_p / -np.log(2)
    came = np.arange(len(targets)), targets
    is_kept = best[: len(targets)] == targets[:, None]
    likelier = np.maximum((p[: len(targets)] > p[came][:, None]).sum(-1), top)
    return Predictions(
        [[vocabulary[id] for id in row] for row in best],
        np.take_along_axis(p, best, 1),
        np.sum(p * np.where(p > 0, bits, 0.0), axis=-1),
        bits[came],
        np.where(is_kept.any(-1), is_kept.argmax(-1), likelier),
    )


def joined(windows: Sequence[Predictions]) -> Predictions:
    """The predictions of several windows of one text as those of the whole text."""
    return Predictions(
        [row for window in windows for row in window.likeliest],
        np.concatenate([window.probabilities for window in windows]),
        np.concatenate([window.entropy for window in windows]),
        np.concatenate([[np.nan], *[window.surprise for window in windows]]),
        np.concatenate([[-1], *[window.rank for window in windows]]),
    )
