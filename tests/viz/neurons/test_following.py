"""How well units follow a feature, against definitions, brute force and planted units."""

import numpy as np
import pytest

from minigrad.viz import Neurons
from minigrad.viz.neurons.features import Feature
from minigrad.viz.neurons.following import (
    area_under_roc,
    by_chance,
    correlations,
    follower,
    halves,
    ranks_of,
    scores,
    strengths,
    undefined_on,
)

pytestmark = pytest.mark.host(reason="figures are computed on the CPU")

WORDS = ["she said", '"go on"', "and", '"no (never)"', "to him.\n", "Then", '"I\nsaw"', "many"]
TEXT = " ".join(np.random.default_rng(0).choice(WORDS, 200))


def both_ranks(activations):
    return tuple(ranks_of(activations[half]) for half in halves(len(activations)))


def inside_quotes(text):
    return np.cumsum([character == '"' for character in text]) % 2 == 1


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    activations = rng.integers(0, 6, (40, 5)).astype(float)  # with many that are equal
    is_true = rng.random(40) < 0.3
    expected = [
        np.mean([(x > y) + (x == y) / 2 for x in column[is_true] for y in column[~is_true]])
        for column in activations.T
    ]
    np.testing.assert_allclose(area_under_roc(is_true, ranks_of(activations)), expected)


def test_ranks_are_places_in_the_sorted_column_and_equal_values_share_them():
    values = np.array([[3.0], [1.0], [3.0], [2.0], [3.0]])
    assert ranks_of(values)[:, 0].tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


def test_correlations_are_those_of_numpy():
    rng = np.random.default_rng(1)
    values, activations = rng.normal(size=50), rng.normal(size=(50, 4)).astype(np.float32)
    expected = [np.corrcoef(values, column)[0, 1] for column in activations.T]
    np.testing.assert_allclose(correlations(values, activations), expected, atol=1e-6)


@pytest.mark.parametrize("is_yes_or_no", [True, False])
def test_moved_features_are_rolled(is_yes_or_no):
    rng = np.random.default_rng(2)
    values, unit = rng.normal(size=12), rng.normal(size=(12, 1))
    values, ranks = values > 0 if is_yes_or_no else values, ranks_of(unit)
    expected = [strengths(np.roll(values, k), unit, ranks)[0] for k in range(1, 12)]
    found = by_chance(values, unit[:, 0], ranks[:, 0])
    np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-12)


def test_spearman_does_not_change_under_a_growing_function_and_pearson_does():
    rng = np.random.default_rng(3)
    values = rng.normal(size=200)
    activations = np.stack([values, np.exp(3 * values)], axis=1)
    found = scores(Feature("x", "", values), activations, both_ranks(activations))
    np.testing.assert_allclose(found.spearman, 1)
    assert found.r[0] == pytest.approx(1)
    assert found.r[1] < 0.9
    assert found.auc is None


def test_a_planted_unit_is_found_among_random_ones():
    rng = np.random.default_rng(4)
    T = len(TEXT)
    activations = rng.normal(size=(T, 300))
    activations[:, 123] = np.where(inside_quotes(TEXT), -0.9, 0.8) + rng.normal(0, 0.05, T)
    found = Neurons(list(TEXT), {"layer 1 h": activations})
    (best,) = [best for best in found.best if best.feature == "inside double quotes"]
    assert found.best[0] == best
    assert best.unit == "layer 1 h 123"
    assert best.r == pytest.approx(-1, abs=0.02)
    assert best.auc == 0
    assert best.p == 1 / 200
    assert 0 < best.by_chance < 0.4 < best.strength
    np.testing.assert_array_equal(found.unit(best.unit), activations[:, 123])


def test_units_that_know_nothing_are_not_better_than_chance():
    """The best of 400 on one half has a p on the other that is small as rarely as it should be."""
    rng = np.random.default_rng(5)
    feature = Feature("x", "", np.repeat(rng.random(150) < 0.5, 4))
    ps = []
    for _ in range(40):
        activations = np.repeat(rng.normal(size=(150, 400)), 4, axis=0)
        ranks = both_ranks(activations)
        found = scores(feature, activations, ranks)
        assert np.nanmax(np.abs(found.chosen_by)) > 0.25  # what fishing would have reported
        ps.append(follower(feature, found, activations, ranks, [str(k) for k in range(400)]).p)
    assert np.mean(np.array(ps) <= 0.1) < 0.3
    assert 0.3 < np.mean(ps) < 0.7


def test_the_first_half_chooses_and_the_second_is_quoted():
    values = np.tile([True, True, False, False], 20)
    activations = np.zeros((80, 2))
    activations[:40, 0] = values[:40]  # follows in the first half alone
    activations[40:, 0] = np.tile([1, 0, 1, 0], 10)
    activations[:, 1] = np.where(np.arange(80) < 40, np.tile([1, 0, 1, 0], 20), values)
    feature = Feature("x", "", values)
    ranks = both_ranks(activations)
    found = scores(feature, activations, ranks)
    best = follower(feature, found, activations, ranks, ["a", "b"])
    assert (best.unit, best.r, best.auc) == ("a", 0, 0.5)
    np.testing.assert_allclose(found.r, [0, 1], atol=1e-12)


def test_an_outlier_chooses_no_unit():
    """One long word, over which a unit rises, would decide Pearson's r alone."""
    rng = np.random.default_rng(6)
    values = np.tile(np.arange(1.0, 9.0), 50)
    values[[100, 300]] = 500
    outlier = rng.normal(size=400)
    outlier[[100, 300]] = 50
    activations = np.stack([outlier, values.clip(0, 9) + rng.normal(size=400)], axis=1)
    ranks = both_ranks(activations)
    feature = Feature("x", "", values)
    found = scores(feature, activations, ranks)
    assert np.argmax(np.abs(found.r)) == 0
    assert follower(feature, found, activations, ranks, ["outlier", "follower"]).unit == "follower"


@pytest.mark.parametrize(
    ("values", "where"),
    [([0, 0, 0, 0], "everywhere in this text"), ([0, 0, 0, 1], "first"), ([0, 1, 1, 1], "second")],
)
def test_a_feature_that_does_not_change_is_left_out_with_a_reason(values, where):
    assert where in undefined_on(Feature("x", "", np.array(values, float)))


def test_a_constant_unit_has_no_correlation_and_is_never_the_best():
    T = len(TEXT)
    activations = np.full((T, 3), 0.1, np.float32)
    activations[:, 1] = inside_quotes(TEXT)
    activations[: T // 2, 2] = inside_quotes(TEXT)[: T // 2]  # constant in the second half
    found = Neurons(list(TEXT), activations)
    assert found.constant == ["unit 0", "unit 2"]
    for scored in found.scores.values():
        assert np.isnan(scored.r[[0, 2]]).all()
    assert {best.unit for best in found.best} == {"unit 1"}
    assert all(np.isfinite([best.r, best.p, best.by_chance]).all() for best in found.best)
    assert "nan" not in str(found).lower()


def test_if_all_units_are_constant_it_says_so():
    found = Neurons(list(TEXT), np.ones((len(TEXT), 2)))
    assert not found.best
    assert found.left_out["place in the line"] == "no unit ever changes"
