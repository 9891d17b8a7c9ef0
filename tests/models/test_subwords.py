"""Pieces of words and of texts: which there are, and a classifier that reads them."""

import numpy as np
import pytest

from minigrad import cross_entropy, optim
from minigrad.testing import check_layer
from models.reading.subwords import MOST, NONE, pad_pieces, pieces
from models.text_classifier import PIECE_SCALE, TextClassifier

pytestmark = pytest.mark.host(reason="the model is small")

MANY = 2**30  # so many numbers that no two pieces share one by chance


def test_pieces_of_words():
    bad, badly = pieces("bad badly", "word", 4, MANY)
    bad, badly = set(bad.tolist()) - {NONE}, set(badly.tolist()) - {NONE}
    assert len(bad) == 5  # <ba bad ad> <bad bad>
    assert len(badly) == 9  # <ba bad adl dly ly> <bad badl adly dly>
    assert len(bad & badly) == 3  # <ba bad <bad


def test_pieces_of_characters():
    found = pieces("xabyab", "char", 3, MANY)
    assert found.shape == (6, 2)
    assert (found[0] == NONE).sum() == 1  # nothing but the beginning is before it
    assert found[2, 0] == found[5, 0]  # both end "ab" ...
    assert found[2, 1] != found[5, 1]  # ... but one ends "xab"
    assert len(np.unique(found[1:])) == 9


@pytest.mark.parametrize("level", ["char", "word"])
def test_what_texts_may_hold(level):
    assert pieces("", level, 5, 10).shape[0] == 0
    long = pieces("x" * 1000 + " \U0001f642 \ud800", level, 5, 10)
    assert len(long) == (1004 if level == "char" else 3)
    assert long.shape[1] <= MOST
    assert long.max() <= 10
    assert long.min() == NONE


def test_side_by_side():
    two, one = pieces("ab abcd", "word", 5, MANY), pieces("a", "word", 5, MANY)
    both = pad_pieces([two, one], 3)
    assert both.shape == (3, 2, two.shape[1])
    np.testing.assert_array_equal(both[:2, 0], two)
    np.testing.assert_array_equal(both[:1, 1, :1], one)
    assert np.count_nonzero(both) == np.count_nonzero(two) + 1


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    model = TextClassifier(4, 2, 3, 2, buckets=9, rng=rng)
    model.pieces.weight.data[1:] = rng.normal(size=(9, 3))  # they begin at 0
    return model


class TestModel:
    def test_its_derivatives(self, model):
        found = np.random.default_rng(1).integers(1, 10, (4, 2, 3))
        ids = np.array([[1, 2], [3, 3], [0, 1], [0, 3]])
        check_layer(model, ids, np.array([2, 4]), found)

    def test_the_vector_of_a_token_has_its_pieces(self, model):
        ids, lengths = np.array([[1, 2]]), [1, 1]
        found = np.array([[[5, 7], [6, NONE]]])
        expected = model(ids, lengths, found).numpy()
        G = model.pieces.weight.data
        for n, row in enumerate([(G[5] + G[7]) / np.sqrt(2), G[6]]):
            other = TextClassifier(4, 2, 3, 2)
            weights = {k: v for k, v in model.state_dict().items() if k != "pieces.weight"}
            weights["embedding.weight"] = weights["embedding.weight"] + PIECE_SCALE * row
            other.load_state_dict(weights)
            np.testing.assert_allclose(other(ids, lengths).numpy()[n], expected[n], rtol=1e-5)

    def test_padding_changes_nothing_and_learns_nothing(self, model):
        ids, lengths, found = np.array([[1], [2]]), [2], np.array([[[5]], [[6]]])
        wider = np.pad(found, ((0, 1), (0, 0), (0, 2)))
        longer = model(np.pad(ids, ((0, 1), (0, 0))), lengths, wider)
        np.testing.assert_allclose(longer.numpy(), model(ids, lengths, found).numpy(), rtol=1e-6)
        before = model.pieces.weight.numpy().copy()
        cross_entropy(longer, [1]).backward()
        optim.Adam(model.parameters(), lr=0.1).step()
        changed = (model.pieces.weight.numpy() != before).any(1)
        assert np.flatnonzero(changed).tolist() == [5, 6]

    def test_pieces_go_with_buckets(self, model):
        ids, found = np.array([[1]]), np.array([[[1]]])
        with pytest.raises(ValueError, match="needs the pieces"):
            model(ids, [1])
        with pytest.raises(ValueError, match="has no buckets for pieces"):
            TextClassifier(4, 2, 3, 2)(ids, [1], found)
