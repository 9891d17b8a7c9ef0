"""Naive Bayes: the classifier that any network for texts should be better than."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Features = Callable[[str], list[str]]
"""What of a text is counted."""

SMOOTHING = (0.03, 0.1, 0.3, 1.0)
"""What `best_of` tries to add to each count."""


def words(text: str) -> list[str]:
    """The words of a text in small letters, and its punctuation marks."""
    return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text.lower())


def character_ngrams(text: str, longest: int = 4) -> list[str]:
    """All pieces of 1 to `longest` characters, of a text in small letters with marked ends."""
    text = f"\x02{text.lower()}\x03"
    return [text[i : i + n] for n in range(1, longest + 1) for i in range(len(text) - n + 1)]


class NaiveBayes:
    """log P(c | text) = log P(c) + sum over features w of log P(w | c) + const.

    The multinomial model: P(w | c) = (count of w in texts of c + alpha) / (all counts of c + alpha
    V), where V is the number of features. What no text to train on has is left out. See Manning,
    Raghavan and Schütze (2008), Introduction to information retrieval, chapter 13.

    Parameters
    ----------
    texts, labels
        what to learn from; labels are integers from 0.
    num_classes
        how many classes there are.
    features
        what is counted: `words`, or `character_ngrams`.
    alpha
        what is added to each count.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: NDArray[np.int64],
        num_classes: int,
        features: Features = words,
        alpha: float = 1.0,
    ) -> None:
        self.features, self.alpha = features, alpha
        self.ids: dict[str, int] = {}
        columns, classes = [], []
        for text, label in zip(texts, labels.tolist(), strict=True):
            found = [self.ids.setdefault(w, len(self.ids)) for w in features(text)]
            columns.append(np.array(found, np.int64))
            classes.append(np.full(len(found), label))
        shape = (num_classes, max(1, len(self.ids)))
        places = np.concatenate(classes) * shape[1] + np.concatenate(columns)
        self.counts = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)
        with np.errstate(divide="ignore"):  # a class without texts is never chosen
            self.log_prior = np.log(np.bincount(labels, minlength=num_classes) / len(labels))

    def log_likelihood(self) -> NDArray[np.float64]:
        """log P(w | c), of shape (classes, features)."""
        counts = self.counts + self.alpha
        return np.asarray(np.log(counts / counts.sum(1, keepdims=True)))

    def predict(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The likeliest class of each text."""
        weights, chosen = self.log_likelihood(), []
        for text in texts:
            found = Counter(self.ids[w] for w in self.features(text) if w in self.ids)
            columns, counts = list(found), np.array(list(found.values()), float)
            chosen.append(int(np.argmax(self.log_prior + weights[:, columns] @ counts)))
        return np.array(chosen, np.int64)


def best_of(
    train: tuple[Sequence[str], NDArray[np.int64]],
    valid: tuple[Sequence[str], NDArray[np.int64]],
    num_classes: int,
    features: Features,
) -> NaiveBayes:
    """Naive Bayes with the smoothing that gets most of the texts of `valid` right."""
    model = NaiveBayes(*train, num_classes, features)
    right = []
    for alpha in SMOOTHING:
        model.alpha = alpha
        right.append(int((model.predict(valid[0]) == valid[1]).sum()))
    model.alpha = SMOOTHING[int(np.argmax(right))]
    return model
