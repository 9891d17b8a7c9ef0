"""The language model before neural networks: n-grams with modified Kneser-Ney smoothing.

The probability of a token w depends on the n - 1 tokens before it, its context h. With c(h w), how
often the text has w after h, it is::

    p(w | h) = (c(h w) - D(c(h w))) / c(h)  +  γ(h) p(w | h')        c(h) = Σ_w c(h w)

From each count a discount D is taken: D1 from a count of 1, D2 from 2, D3+ from more. What is
taken, γ(h) = Σ_w D(c(h w)) / c(h), goes to the model that sees one token less, h' = h without its
first token. Before the single tokens stands the uniform distribution 1 / V.

Only the longest n-grams are counted like this. For a shorter one, c is the number of different
tokens before it, since it is needed only where the longer one was not seen: "Francisco" is frequent
but comes only after "San", so it is improbable after any other word. Kneser and Ney, "Improved
backing-off for m-gram language modeling" (1995); three discounts, and always adding the shorter
model: Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1999).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.corpus import Ids

FALLBACK = (0.5, 1.0, 1.5)
"""D1, D2 and D3+ where they can't be estimated."""


class NGrams(NamedTuple):
    """The different k-grams of a text, for one k, shape (G,) each; a k-gram's place is its id."""

    keys: NDArray[np.int64]
    """Sorted: the id of the context, the (k-1)-gram before, times V, plus the last token."""

    counts: NDArray[np.int64]
    """How often the text has it."""

    before: NDArray[np.int64]
    """How many different tokens come before it; all 0 for the largest k that was counted."""

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The id of each key; -1: the text has no such k-gram."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


def count_ngrams(ids: Ids, vocab_size: int, order: int) -> list[NGrams]:
    """The k-grams of a text for each k from 1 to `order`.

    A sort for each k: seconds for millions of tokens, and about 150 bytes of memory per token.

    Raises
    ------
    TypeError, ValueError, IndexError
        for ids that are not integers, have more than one axis or are outside the vocabulary, and
        for an order below 1.
    """
    if order < 1:
        raise ValueError(f"count_ngrams: order must be at least 1, got {order}")
    tokens = _checked("count_ngrams", ids, vocab_size)
    found: list[NGrams] = []
    ending = np.zeros(len(tokens) + 1, np.int64)  # of the empty 0-gram, the only one
    for k in range(1, order + 1):
        shorter, context = ending, ending[:-1]
        keys, first, ending, counts = np.unique(
            context * vocab_size + tokens[k - 1 :],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )  # ending: the k-gram that ends at each token from k - 1 on
        if found:  # each different k-gram is one more token before the (k-1)-gram that it ends in
            before = np.bincount(shorter[first + 1], minlength=len(found[-1].keys))
            found[-1] = found[-1]._replace(before=before)
        found.append(NGrams(keys, counts, np.zeros_like(counts)))
    return found


class KneserNey:
    """An n-gram language model with interpolated modified Kneser-Ney smoothing.

    ::

        model = KneserNey(ids, vocab_size, order=5)
        -model.log_probabilities(other_ids)[1:].mean()      # its loss, in nats per token

    Parameters
    ----------
    ids
        the text to learn from, shape (length,). It is taken as one sequence: line ends are tokens
        like any other.
    vocab_size
        the number V of tokens. Each has a probability above 0 in every context.
    order
        n: each token is predicted from the n - 1 before it.

    Attributes
    ----------
    ngrams : list
        the k-grams of the text for each k from 1 to n.
    discounts : list
        D1, D2 and D3+ for each k.

    Raises
    ------
    TypeError, ValueError, IndexError
        as `count_ngrams` does.
    """

    def __init__(self, ids: Ids, vocab_size: int, order: int) -> None:
        self.ngrams = ngrams = count_ngrams(ids, vocab_size, order)
        self.vocab_size = vocab_size
        self.discounts: list[tuple[float, float, float]] = []
        self._seen: list[NDArray[np.float64]] = []  # (c(h w) - D) / c(h) of each k-gram h w
        self._rest: list[NDArray[np.float64]] = []  # γ(h) of each context h
        contexts = 1
        for k, (keys, counts, before) in enumerate(ngrams, start=1):
            c = counts if k == order else before
            self.discounts.append(estimated_discounts(c))
            cut = np.array([0.0, *self.discounts[-1]])[np.minimum(c, 3)]
            context = keys // vocab_size
            total = np.bincount(context, c, contexts)
            taken = np.bincount(context, cut, contexts)
            divisor = np.maximum(total, 1)  # nothing was seen after some: at the text's end
            # the last of each is for the id -1: a k-gram, or a context, that was never seen
            self._seen.append(np.append((c - cut) / divisor[context], 0.0))
            self._rest.append(np.append(np.where(total > 0, taken / divisor, 1.0), 1.0))
            contexts = len(keys)

    def log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """The log, in nats, of the probability of each token of a text after those before it.

        Raises
        ------
        TypeError, ValueError, IndexError
            for ids that are not integers, have more than one axis or are outside the vocabulary.
        """
        tokens = _checked("log_probabilities", ids, self.vocab_size)
        p = np.full(len(tokens), 1 / self.vocab_size)
        context = np.zeros(len(tokens), np.int64)
        for grams, seen, rest in zip(self.ngrams, self._seen, self._rest, strict=True):
            found = grams.find(context * self.vocab_size + tokens)
            p = seen[found] + rest[context] * p
            context = np.append(-1, found)[:-1]  # what ends just before each token
        log_p: NDArray[np.float64] = np.log(p)
        return log_p

    def probabilities(self, context: Ids) -> NDArray[np.float64]:
        """The probability of each token of the vocabulary after a context; shape (V,).

        Only the last n - 1 tokens of `context` count; it may be shorter, or empty. Exceptions are
        those of `log_probabilities`.
        """
        V, tokens = self.vocab_size, _checked("probabilities", context, self.vocab_size)
        tokens = tokens[max(0, len(tokens) - len(self.ngrams) + 1) :]
        p, before, last = np.full(V, 1 / V), np.zeros(len(tokens), np.int64), 0
        for grams, seen, rest in zip(self.ngrams, self._seen, self._rest, strict=True):
            first, end = np.searchsorted(grams.keys, [last * V, (last + 1) * V])
            p *= rest[last]
            p[grams.keys[first:end] - last * V] += seen[first:end]
            found = grams.find(before * V + tokens)
            before = np.append(-1, found)
            before, last = before[:-1], int(before[-1])  # last: the context of the next order
        return p


def estimated_discounts(counts: NDArray[Any]) -> tuple[float, float, float]:
    """D1, D2 and D3+ from n_1 to n_4, how many k-grams have a count of 1 to 4.

    ::

        Y = n_1 / (n_1 + 2 n_2)        D_c = c - (c + 1) Y n_{c+1} / n_c

    It is equation 17 of Chen and Goodman (1999). `FALLBACK` (as in the toolkit KenLM) takes their
    place if one of n_1 to n_4 is 0, as for letters, which all are frequent; or if a discount is not
    between 0 and c, as may be in a small text.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)
    if not n[1:5].all():
        return FALLBACK
    Y = n[1] / (n[1] + 2 * n[2])
    D1, D2, D3 = (float(c - (c + 1) * Y * n[c + 1] / n[c]) for c in (1, 2, 3))
    return (D1, D2, D3) if min(D1, D2, D3) > 0 else FALLBACK


def _checked(caller: str, ids: Ids, vocab_size: int) -> NDArray[np.int64]:
    """The ids as int64, if they are a text of this vocabulary."""
    tokens = np.asarray(ids)
    if tokens.ndim != 1:
        raise ValueError(f"{caller}: ids must have one axis, got shape {tokens.shape}")
    if not len(tokens):
        return np.zeros(0, np.int64)
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids must be integers, got dtype {tokens.dtype}")
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        raise IndexError(
            f"{caller}: ids must be from 0 to {vocab_size - 1}, the last of the vocabulary, got "
            f"{tokens.min()} to {tokens.max()}"
        )
    return tokens.astype(np.int64)
