"""Writing text with a language model: from logits to probabilities to the next token, and on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad import nn
from minigrad.data import Vocabulary
from minigrad.training import evaluating


def check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise a ValueError for an option of `next_token_probabilities` that is out of range."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number above 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top-k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top-p must be above 0 and at most 1, got {top_p}")


class UnusableWeightsError(ValueError):
    """The model gives NaN or infinity for what comes next."""


def next_token_probabilities(
    logits: ArrayLike,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    banned: Sequence[int] = (),
) -> NDArray[np.float64]:
    """How likely each token is to be drawn next.

    Parameters
    ----------
    logits
        shape (V,).
    temperature
        what the logits are divided by: towards 0 the likeliest token takes all, towards infinity
        all are equally likely.
    top_k
        only so many of the likeliest tokens (of equally likely ones, those with smaller ids); 1 is
        greedy decoding.
    top_p
        only the likeliest tokens, as few as together have at least this probability (after `top_k`,
        if both are given): nucleus sampling, Holtzman, Buys, Du, Forbes and Choi, "The curious case
        of neural text degeneration" (2020).
    banned
        ids that are never drawn.

    Returns
    -------
    ndarray
        float64, shape (V,), with the sum 1.

    Raises
    ------
    ValueError
        for an option out of range, logits that are NaN or infinite, or if all tokens are banned.
    """
    check_options(temperature, top_k, top_p)
    z: NDArray[np.float64] = np.array(logits, np.float64)
    if not np.isfinite(z).all():
        raise UnusableWeightsError(
            "the logits are not finite: the weights of the model are unusable"
        )
    z[list(banned)] = -np.inf
    if z.max() == -np.inf:
        raise ValueError("there is no token left to draw")
    with np.errstate(over="ignore"):  # a temperature near 0 makes -inf of all but the largest
        p: NDArray[np.float64] = np.exp((z - z.max()) / temperature)
    p /= p.sum()
    order = np.argsort(-z, kind="stable")
    if top_k is not None:
        p[order[top_k:]] = 0
        p /= p.sum()
    if top_p is not None:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= top_p]] = 0
        p /= p.sum()
    return p


def generate(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Go on from `prompt`: yields the prompt, then piece by piece `length` tokens more.

    The pieces joined are the text; those of words have the spaces between them. The token for
    unknown symbols is never drawn.

    Parameters
    ----------
    model
        called as ``logits, state = model(ids, state)``, ids of shape (T,), logits of (T, V). It is
        asked out of training mode, and is left in the mode that it was in.
    vocabulary
        the tokens of the model.
    prompt
        the text to go on from; ``""``: a line starts.
    length
        how many tokens to draw.
    temperature, top_k, top_p
        as in `next_token_probabilities`.
    rng
        what the tokens are drawn with.

    Raises
    ------
    ValueError
        at once, if a symbol of `prompt` is not in the vocabulary, or an option is out of range.
    """
    check_options(temperature, top_k, top_p)
    check_prompt(vocabulary, prompt)
    ids = vocabulary.encode(prompt).tolist()
    banned = [] if vocabulary.unk_id is None else [vocabulary.unk_id]

    def pieces() -> Iterator[str]:
        if ids:
            yield vocabulary.decode(ids)
        state, read, last = None, ids or [first_id(vocabulary)], ids[-1:]
        for _ in range(length):
            logits, state = _last_logits(model, read, state)
            p = next_token_probabilities(logits, temperature, top_k, top_p, banned)
            read = [int(rng.choice(len(p), p=p))]
            # what it adds to the token before it: of a word, a space and the word
            yield vocabulary.decode(last + read)[len(vocabulary.decode(last)) :]
            last = read

    return pieces()


def check_prompt(vocabulary: Vocabulary, prompt: str) -> None:
    """Raise a ValueError that names the symbols of `prompt` that `vocabulary` lacks, if any."""
    symbols = prompt if vocabulary.level == "char" else prompt.split()
    ends = {"\n"} if vocabulary.eos is not None else set()
    unknown = [s for s in dict.fromkeys(symbols) if s not in vocabulary and s not in ends]
    if unknown:
        named = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise ValueError(
            f"the prompt has {'characters' if vocabulary.level == 'char' else 'words'} that the "
            f"model's vocabulary of {len(vocabulary):,} lacks: {named}"
        )


def first_id(vocabulary: Vocabulary) -> int:
    """The id to start a text after: that of a line end, or else of the most frequent token."""
    if "\n" in vocabulary:
        return vocabulary.id_of("\n")
    if vocabulary.eos_id is not None:
        return vocabulary.eos_id
    return next((i for i in range(len(vocabulary)) if i != vocabulary.unk_id), 0)


def _last_logits(model: nn.Module, ids: list[int], state: Any) -> tuple[Any, Any]:
    # of weights that training has blown up; next_token_probabilities looks at what comes out
    with evaluating(model), np.errstate(over="ignore", invalid="ignore"):
        logits, state = model(np.array(ids), state)
    return logits[-1].numpy(), state
