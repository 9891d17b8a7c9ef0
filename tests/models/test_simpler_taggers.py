"""Labels by counting, and the figures of labels."""

import numpy as np
import pytest

from models.measuring.label_figures import space_figures, word_figures
from models.simpler.simpler_taggers import CountedContexts, Endings, Surroundings, Words

pytestmark = pytest.mark.host(reason="it counts on the CPU")


class TestCountedContexts:
    def test_probabilities_by_hand(self):
        features = np.array([[0, 0], [0, 0], [0, 1], [1, 0]])
        counted = CountedContexts(features, np.array([0, 1, 1, 0]), 2)
        shorter = (1 + 0.5) / 4  # P(label 0 | 0), with one more example shared half and half
        expected = [(1 + shorter) / 3, (0 + shorter) / 2, (1 + 0.5) / 2, shorter, 0.5]
        on = np.array([[0, 0], [0, 1], [1, 9], [0, 9], [9, 0]])
        found = counted.probabilities(on)
        np.testing.assert_allclose(found[:, 0], expected)
        np.testing.assert_allclose(found.sum(1), 1)

    def test_the_longest_context_that_was_seen_decides(self):
        rng = np.random.default_rng(0)
        features, labels = rng.integers(3, size=(200, 3)), rng.integers(4, size=200)
        counted, on = CountedContexts(features, labels, 4), rng.integers(4, size=(60, 3))
        for row, label in zip(on, counted.predict(on), strict=True):
            for k in (3, 2, 1, 0):
                same = (features[:, :k] == row[:k]).all(1)
                if same.any():
                    counts = np.bincount(labels[same], minlength=4)
                    assert counts[label] == counts.max()
                    break


class TestFeatures:
    def test_surroundings_do_not_reach_into_another_sentence(self):
        found = Surroundings((0, 1, -2))([list("abc"), ["d"]])
        expected = [["a", "b", "\0"], ["b", "c", "\0"], ["c", "\0", "a"], ["d", "\0", "\0"]]
        assert [[chr(each) for each in row] for row in found.tolist()] == expected

    def test_words_that_end_alike_share_features(self):
        endings = Endings()
        ran, began, On, unseen = endings([["ran", "began", "On"], ["Began"]])
        assert (ran == began).tolist() == [True, True, True, False, False, False]
        assert (On == ran).tolist() == [False, True, False, False, False, False]
        assert (unseen == began).tolist() == [False, True, True, True, True, False]
        words = Words()
        assert words([["a", "b"], ["a"]]).tolist() == [[0], [1], [0]]
        assert words([["c", "b"]]).tolist() == [[2], [1]]


class TestFigures:
    def test_spaces(self):
        truth, predicted = np.array([1, 0, 1, 0, 0, 1]), np.array([1, 1, 0, 0, 0, 1])
        found = space_figures(truth, predicted, [3, 2, 1])
        assert found == {
            "f1": pytest.approx(2 / 3),
            "precision": pytest.approx(2 / 3),
            "recall": pytest.approx(2 / 3),
            "accuracy": pytest.approx(4 / 6),
            "sentences": pytest.approx(2 / 3),
        }
        assert space_figures(truth, 0 * truth, [6])["f1"] == 0

    def test_words(self):
        truth, predicted = np.array([2, 1, 0, -100]), np.array([2, 0, 0, 0])
        known = np.array([True, True, False, False])
        found = word_figures(truth, predicted, [1, 3], known)
        assert found == {"accuracy": 0.5, "unknown": 0.5, "sentences": 0.5}
        assert "unknown" not in word_figures(truth, predicted, [4], known | True)
