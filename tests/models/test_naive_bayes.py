"""Naive Bayes and the figures of a classifier, against counts by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest

from models.measuring.confusion import confusion, scores
from models.simpler.naive_bayes import NaiveBayes, best_of, character_ngrams, words

TEXTS = ["Chinese Beijing Chinese", "Chinese Chinese Shanghai", "Chinese Macao"]
TEXTS += ["Tokyo Japan Chinese"]
LABELS = np.array([1, 1, 1, 0])


class TestNaiveBayes:
    def test_the_example_of_the_book(self):
        """Manning, Raghavan and Schütze (2008), example 13.1: 3/7, 1/14, and 2/9."""
        model = NaiveBayes(TEXTS, LABELS, 2, words, alpha=1.0)
        likelihood, ids = np.exp(model.log_likelihood()), model.ids
        expected = {"chinese": (2 / 9, 3 / 7), "tokyo": (2 / 9, 1 / 14), "japan": (2 / 9, 1 / 14)}
        for word, chances in expected.items():
            assert likelihood[:, ids[word]] == pytest.approx(chances)
        assert np.exp(model.log_prior) == pytest.approx([1 / 4, 3 / 4])
        text = "Chinese Chinese Chinese Tokyo Japan"
        china = Fraction(3, 4) * Fraction(3, 7) ** 3 * Fraction(1, 14) ** 2
        others = Fraction(1, 4) * Fraction(2, 9) ** 3 * Fraction(2, 9) ** 2
        assert china > others
        assert model.predict([text, "Tokyo", "never seen"]).tolist() == [1, 0, 1]

    def test_the_smoothing_is_chosen_in_validation(self):
        model = best_of((TEXTS, LABELS), (["Japan Chinese"], np.array([0])), 2, words)
        right = []
        for alpha in (0.03, 0.1, 0.3, 1.0):
            model_of = NaiveBayes(TEXTS, LABELS, 2, words, alpha)
            right.append(model_of.predict(["Japan Chinese"]).tolist() == [0])
        assert model.alpha == (0.03, 0.1, 0.3, 1.0)[right.index(True)]

    def test_what_is_counted(self):
        assert words("Don't stop, 영화!") == ["don't", "stop", ",", "영화", "!"]
        assert character_ngrams("Ab", 2) == ["\x02", "a", "b", "\x03", "\x02a", "ab", "b\x03"]


class TestScores:
    def test_by_hand(self):
        truth = np.array([0, 0, 0, 1, 1, 2])
        counts = confusion(truth, np.array([0, 0, 1, 1, 0, 1]), 4)
        assert counts.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
        accuracy, macro_f1, f1 = scores(counts)
        assert accuracy == 3 / 6
        # class 0: P = R = 2/3; class 1: P = 1/3, R = 1/2; class 2 never found; no class 3 there
        assert f1 == pytest.approx([2 / 3, 2 / 5, 0, 0])
        assert math.isclose(macro_f1, (2 / 3 + 2 / 5) / 3)
