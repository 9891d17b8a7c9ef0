"""The n-gram model, against the definition and against numbers worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.simpler.kneser_ney import FALLBACK, KneserNey, estimated_discounts

pytestmark = pytest.mark.host(reason="an n-gram model computes on the CPU alone")


class Definition:
    """The same model as its equations are written: slow, with dictionaries of tuples."""

    def __init__(self, text, vocab_size, order):
        text = [int(token) for token in text]
        self.vocab_size, self.order, self.counts = vocab_size, order, {}
        for k in range(1, order + 1):
            if k == order:
                places = range(len(text) - k + 1)
                self.counts[k] = Counter(tuple(text[i : i + k]) for i in places)
            else:
                longer = {tuple(text[i : i + k + 1]) for i in range(len(text) - k)}
                self.counts[k] = Counter(gram[1:] for gram in longer)

    def discount(self, k, count):
        n = {c: sum(each == c for each in self.counts[k].values()) for c in (1, 2, 3, 4)}
        found = FALLBACK
        if all(n.values()):
            Y = n[1] / (n[1] + 2 * n[2])
            exact = [c - (c + 1) * Y * n[c + 1] / n[c] for c in (1, 2, 3)]
            found = exact if all(D > 0 for D in exact) else FALLBACK
        return found[min(count, 3) - 1] if count else 0.0

    def p(self, token, context):
        context = tuple(int(each) for each in context)
        return self._p(token, context[max(0, len(context) - self.order + 1) :])

    def _p(self, token, context):
        shorter = self._p(token, context[1:]) if context else 1 / self.vocab_size
        k = len(context) + 1
        after = {gram: c for gram, c in self.counts[k].items() if gram[:-1] == context}
        if not after:
            return shorter
        taken, total = sum(self.discount(k, c) for c in after.values()), sum(after.values())
        count = after.get((*context, token), 0)
        return (count - self.discount(k, count)) / total + taken / total * shorter


@st.composite
def texts(draw):
    """A text, its vocabulary (with a token that it lacks), and an order.

    Few different tokens give large counts, and estimated discounts; many give counts of 1.
    """
    kinds = draw(st.integers(1, 6))
    # the k-th token is about twice as frequent as the next one
    token = st.lists(st.booleans(), max_size=kinds - 1).map(sum)
    return draw(st.lists(token, max_size=120)), kinds + 1, draw(st.integers(1, 6))


@given(texts(), st.lists(st.integers(0, 6), max_size=8))
def test_the_probabilities_are_those_of_the_definition(case, context):
    text, vocab_size, order = case
    ids, context = np.array(text, np.uint16), np.array(context, int) % vocab_size
    model = KneserNey(ids, vocab_size, order)
    slow = Definition(text, vocab_size, order)
    found = model.probabilities(context)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() > 0
    np.testing.assert_allclose(found, [slow.p(w, context) for w in range(vocab_size)], rtol=1e-9)
    other = np.concatenate([context, ids[:30], context])
    expected = [math.log(slow.p(w, other[:i])) for i, w in enumerate(other)]
    np.testing.assert_allclose(model.log_probabilities(other), expected, rtol=1e-9)


@given(texts())
def test_after_every_context_of_the_text_the_probabilities_sum_to_1(case):
    text, vocab_size, order = case
    model = KneserNey(np.array(text), vocab_size, order)
    for i in range(0, len(text) + 1, 7):
        assert model.probabilities(np.array(text[:i])).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", range(1, 7))
def test_a_real_text(rhyme, order):
    """Here discounts of some orders are estimated, and of others not."""
    letters = sorted(set(rhyme))
    ids = np.array([letters.index(letter) for letter in rhyme])
    model = KneserNey(ids, len(letters), order)
    slow = Definition(ids, len(letters), order)
    assert any(D != FALLBACK for D in model.discounts) == (order > 1)
    expected = [math.log(slow.p(w, ids[:i])) for i, w in enumerate(ids[:60])]
    np.testing.assert_allclose(model.log_probabilities(ids[:60]), expected, rtol=1e-9)


class TestByHand:
    """The text "abac" of the letters a, b, c and d: all counts are 1, so D1 = 1/2."""

    ids = np.array([0, 1, 0, 2])

    def test_two_letters(self):
        model = KneserNey(self.ids, 4, 2)
        # a comes after b alone; b and c after a alone; d after nothing: c = 1, 1, 1, 0
        single = [7 / 24, 7 / 24, 7 / 24, 1 / 8]  # (1 - 1/2) / 3 + 1/2 · 1/4, and 1/2 · 1/4
        after_a = [7 / 48, 19 / 48, 19 / 48, 1 / 16]  # (1 - 1/2) / 2 + 1/2 · 7/24 for b and c
        np.testing.assert_allclose(model.probabilities(np.array([], int)), single)
        np.testing.assert_allclose(model.probabilities(np.array([3, 0])), after_a)
        for never_followed in ([2], [3]):
            np.testing.assert_allclose(model.probabilities(np.array(never_followed)), single)
        p = np.exp(model.log_probabilities(np.array([0, 1, 3, 0])))
        np.testing.assert_allclose(p, [7 / 24, 19 / 48, 1 / 16, 7 / 24])

    def test_one_letter(self):
        model = KneserNey(self.ids, 4, 1)
        # a twice, b and c once: D2 = 1, γ = (1 + 1/2 + 1/2) / 4
        expected = [1 / 4 + 1 / 8, 1 / 8 + 1 / 8, 1 / 8 + 1 / 8, 1 / 8]
        np.testing.assert_allclose(model.probabilities(np.array([1])), expected)

    def test_a_letter_that_is_frequent_after_one_other_alone(self):
        """It is "Francisco", which comes after "San" alone: 2 follows 1, and 3 follows any."""
        ids = np.array([1, 2] * 10 + [4, 3, 5, 3, 6, 3, 7, 3])
        p = KneserNey(ids, 8, 2).probabilities(np.array([0]))
        assert (ids == 2).sum() > (ids == 3).sum()
        assert p[2] < p[3]


class TestDiscounts:
    @staticmethod
    def counts(*n):
        return np.repeat(np.arange(1, len(n) + 1), n)

    def test_they_are_estimated(self):
        assert estimated_discounts(self.counts(6, 3, 2, 1, 5)) == (0.5, 1.0, 2.0)  # Y = 1/2

    @pytest.mark.parametrize(
        "n", [(), (0, 3, 2, 1), (6, 0, 2, 1), (6, 3, 0, 1), (6, 3, 2, 0), (1, 1, 9, 1)]
    )
    def test_where_that_is_impossible_they_are_fixed(self, n):
        assert estimated_discounts(self.counts(*n)) == FALLBACK


class TestEdges:
    def test_a_text_that_is_shorter_than_n(self):
        model = KneserNey(np.array([1, 0]), 3, 5)
        # of the five orders only that of one token has counts: 0 was seen after 1
        np.testing.assert_allclose(model.probabilities(np.array([1])), [2 / 3, 1 / 6, 1 / 6])

    @pytest.mark.parametrize("text", [[], [2]])
    def test_a_text_without_a_pair(self, text):
        model = KneserNey(np.array(text), 4, 3)
        np.testing.assert_allclose(model.probabilities(np.array([0, 1])), [1 / 4] * 4)
        assert model.log_probabilities(np.array([], int)).shape == (0,)

    @pytest.mark.parametrize(
        ("error", "message", "ids"),
        [
            (ValueError, r"count_ngrams: ids must have one axis, got shape \(1, 2\)", [[0, 1]]),
            (TypeError, "count_ngrams: ids must be integers, got dtype float64", [0.0, 1.0]),
            (IndexError, "ids must be from 0 to 2, .*, got 0 to 3", [0, 3]),
            (
                IndexError,
                "ids must be from 0 to 2, the last of the vocabulary, got -1 to 2",
                [-1, 2],
            ),
        ],
    )
    def test_what_is_no_text_is_refused(self, error, message, ids):
        with pytest.raises(error, match=message):
            KneserNey(np.array(ids), 3, 2)
        model = KneserNey(np.array([0, 1, 2]), 3, 2)
        for method in (model.log_probabilities, model.probabilities):
            told = message.replace("count_ngrams", method.__name__)
            with pytest.raises(error, match=told):
                method(np.array(ids))

    def test_an_order_that_is_none(self):
        with pytest.raises(ValueError, match="order must be at least 1, got 0"):
            KneserNey(np.array([0, 1]), 2, 0)
