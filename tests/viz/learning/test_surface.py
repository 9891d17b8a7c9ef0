"""The loss over two directions, and the cliff of Pascanu, Mikolov and Bengio (2013)."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.training import evaluating

pytestmark = pytest.mark.host(reason="the loss is computed a thousand times")


class OneUnit(nn.Module):
    """h_t = w sigmoid(h_{t-1}) + b for 50 steps from 0.5, and (sigmoid(h_50) - 0.7)^2."""

    def __init__(self, w, b):
        self.w, self.b = nn.Parameter(np.array(w)), nn.Parameter(np.array(b))

    def forward(self):
        h = mg.tensor(0.5, dtype="float64")
        for _ in range(50):
            h = self.w * mg.sigmoid(h) + self.b
        return (mg.sigmoid(h) - 0.7) ** 2


def by_hand(w, b):
    h = 0.5
    for _ in range(50):
        h = w / (1 + np.exp(-h)) + b
    return (1 / (1 + np.exp(-h)) - 0.7) ** 2


@pytest.fixture
def model(rng):
    return nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 1, rng=rng))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def loss(model, rng):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    return lambda: (model(x) ** 2).mean()


def draws(model, rng):
    return [rng.normal(size=p.shape) for p in model.parameters()]


# ---------------------------------------------------------------------- heights


def test_heights_are_the_loss_at_that_point(model, loss, rng):
    d_1, d_2 = draws(model, rng), draws(model, rng)
    surface = viz.loss_surface(loss, model, (d_1, d_2), ranges=((-1, 2), (-3, 1)), steps=5)
    theta = [p.numpy() for p in model.parameters()]
    assert surface.heights.shape == (5, 5)
    for j, b in enumerate(surface.b):
        for i, a in enumerate(surface.a):
            for p, x, d, e in zip(model.parameters(), theta, d_1, d_2, strict=True):
                p.data = (x + a * d + b * e).astype(np.float32)
            assert surface.heights[j, i] == pytest.approx(loss().item(), rel=1e-5)
    assert (surface.a[[0, -1]].tolist(), surface.b[[0, -1]].tolist()) == ([-1, 2], [-3, 1])


def test_a_named_number_is_an_axis_in_its_own_values():
    surface = viz.loss_surface(
        cell := OneUnit(6.0, -2.5), cell, ("w", "b"), ranges=((4, 7), (-3.5, -1)), steps=7
    )
    expected = [[by_hand(w, b) for w in surface.a] for b in surface.b]
    np.testing.assert_allclose(surface.heights, expected, rtol=1e-9)
    assert surface.centre == (6.0, -2.5)
    assert surface.names == ("w", "b")


def test_directions_by_name_leave_the_other_parameters_alone(model, loss):
    one, other = (np.eye(4, 3, k) for k in (0, 1))
    surface = viz.loss_surface(loss, model, ({"0.weight": one}, {"0.weight": other}), steps=2)
    assert not any(part.any() for part in surface.directions[0][1:])
    np.testing.assert_array_equal(surface.directions[1][0], other)


def test_the_parameters_are_restored_bit_for_bit(model, loss, rng):
    arrays = [p.data for p in model.parameters()]
    copies = [x.copy() for x in arrays]

    def restored():
        return all(
            p.data is x and x.tobytes() == y.tobytes()
            for p, x, y in zip(model.parameters(), arrays, copies, strict=True)
        )

    viz.loss_surface(loss, model, steps=3, rng=rng)
    assert restored()
    calls = iter(range(5))

    def fails():
        next(calls)
        return loss()

    with pytest.raises(StopIteration):
        viz.loss_surface(fails, model, steps=3, rng=rng)
    assert restored()


def test_heights_that_are_not_finite_stay_so(rng):
    x = mg.tensor([1.0, 1.0], requires_grad=True)
    directions = [[1.0, 0.0]], [[0.0, 1.0]]
    surface = viz.loss_surface(lambda: mg.log(x[0]) / x[1], [x], directions, steps=3)
    assert np.isneginf(surface.heights[2, 0])  # log(0) / 2
    assert np.isnan(surface.heights[0, 1])  # log(1) / 0
    assert np.isposinf(surface.heights[0, 2])  # log(2) / 0
    assert np.isfinite(surface.heights[2, 2])
    assert "of the points are NaN or infinite" in repr(surface)
    assert any("grey: 5 points" in axes.get_title("left") for axes in surface.figure().axes)


# ---------------------------------------------------------------------- directions


def test_random_directions_have_the_length_of_each_filter(model, loss):
    model[0].weight.data = model[0].weight.data * np.array([[1], [10], [0], [1e-3]], np.float32)
    surface = viz.loss_surface(loss, model, steps=2, rng=np.random.default_rng(1))
    for direction in surface.directions:
        for d, p in zip(direction, model.parameters(), strict=True):
            axis = -1 if p.ndim == 2 else None
            lengths = np.linalg.norm(p.numpy(), axis=axis)
            np.testing.assert_allclose(np.linalg.norm(d, axis=axis), lengths, rtol=1e-6)
    again = viz.loss_surface(loss, model, steps=2, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(again.heights, surface.heights)


def test_frozen_parameters_stay_in_random_directions(model, loss, rng):
    model[0].requires_grad_(False)
    surface = viz.loss_surface(loss, model, steps=2, rng=rng)
    assert [part.any() for part in surface.directions[0]] == [False, False, True, True]


# ---------------------------------------------------------------------- paths


def test_a_path_is_projected_by_least_squares(model, loss, rng):
    d_1, d_2, beside = (draws(model, rng) for _ in range(3))
    theta = [p.numpy().astype(float) for p in model.parameters()]
    flat = [np.concatenate([x.ravel() for x in d]) for d in (d_1, d_2, beside)]
    plane = np.stack(flat[:2], axis=1)  # the directions are not orthogonal
    flat[2] -= plane @ np.linalg.lstsq(plane, flat[2], rcond=None)[0]
    places = np.array([[0.5, -1, 0.3], [2, 0.25, 0], [0, 0, -1]])
    ends = np.cumsum([x.size for x in theta])[:-1]
    moved = [np.split(place @ np.stack(flat), ends) for place in places]
    path = [[x + m.reshape(x.shape) for x, m in zip(theta, move, strict=True)] for move in moved]
    surface = viz.loss_surface(loss, model, (d_1, d_2), steps=2, paths={"mine": path})
    found = surface.paths["mine"]
    np.testing.assert_allclose(np.stack([found.a, found.b], 1), places[:, :2], atol=1e-7)
    length = np.linalg.norm(flat[2])
    np.testing.assert_allclose(found.distances, abs(places[:, 2]) * length, atol=1e-6)
    whole = ((places @ np.stack(flat)) ** 2).sum()
    share = 1 - (places[:, 2] ** 2).sum() * length**2 / whole
    assert found.share == pytest.approx(share)
    for p, value in zip(model.parameters(), path[0], strict=True):
        p.data = value.astype(np.float32)
    assert found.losses[0] == pytest.approx(loss().item(), rel=1e-6)
    assert surface.a[0] < found.a.min() < found.a.max() < surface.a[-1]


def test_without_directions_paths_give_their_principal_components(model, loss, rng):
    optimizer, path = optim.SGD(model.parameters(), lr=0.3), [model.state_dict()]
    for _ in range(12):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        path.append(model.state_dict())
    surface = viz.loss_surface(loss, model, steps=2, paths={"SGD": path})
    end = np.concatenate([p.numpy().ravel() for p in model.parameters()]).astype(float)
    rows = np.stack([np.concatenate([x.ravel() for x in s.values()]) for s in path]) - end
    _, lengths, components = np.linalg.svd(rows, full_matrices=False)
    for direction, component in zip(surface.directions, components, strict=False):
        cosine = np.concatenate([x.ravel() for x in direction]) @ component
        assert abs(cosine) == pytest.approx(1)
    share = (lengths[:2] ** 2).sum() / (lengths**2).sum()
    assert surface.paths["SGD"].share == pytest.approx(share)
    assert surface.paths["SGD"].losses[-1] == loss().item()


def test_a_path_that_ends_in_nan_is_kept():
    path = [{"w": 5.0, "b": -2.0}, {"w": 6.0, "b": -2.5}, {"w": np.nan, "b": np.nan}]
    surface = viz.loss_surface(
        cell := OneUnit(6.0, -2.5), cell, ("w", "b"), steps=2, paths={"SGD": path}
    )
    np.testing.assert_allclose(surface.paths["SGD"].a, [5, 6, np.nan])
    np.testing.assert_allclose(surface.paths["SGD"].b, [-2, -2.5, np.nan])
    assert np.isnan(surface.paths["SGD"].losses).tolist() == [False, False, True]
    assert surface.paths["SGD"].share == 1
    assert surface.figure()


# ---------------------------------------------------------------------- the cliff


def beside_the_cliff(w):
    """Where b lies on the wall at `w`: found by halving, since it is narrower than 1e-9."""
    low, high = -4.0, -1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if by_hand(w, middle) > 0.2 else (low, middle)
    return (low + high) / 2


def test_clipping_keeps_a_step_from_the_cliff_small():
    """At the wall the gradient is huge: a step of plain SGD leaves for where nothing is learnt."""
    start = OneUnit(6.0, b := beside_the_cliff(6.0))
    start().backward()
    gradient = np.array([start.w.grad.item(), start.b.grad.item()])
    assert by_hand(6.0, b - 0.01) > 0.35 > 0.1 > by_hand(6.0, b + 0.01)  # a wall 0.02 wide
    assert np.linalg.norm(gradient) > 1e4
    moved, path = {}, {}
    for name, max_norm in (("SGD", np.inf), ("clipped", 0.05)):
        model = OneUnit(6.0, b)
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        path[name] = [model.state_dict()]
        model().backward()
        optim.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        path[name].append(model.state_dict())
        moved[name] = np.hypot(model.w.item() - 6.0, model.b.item() - b)
    assert moved["SGD"] > 5000
    assert moved["clipped"] == pytest.approx(0.5 * 0.05, rel=1e-3)
    surface = viz.loss_surface(
        start, start, ("w", "b"), ranges=((4, 7), (-4, 0)), steps=5, paths=path
    )
    plain, clipped = surface.paths["SGD"], surface.paths["clipped"]
    assert plain.losses[1] == pytest.approx(0.3**2)  # sigmoid is 1 there, and its slope is 0
    assert clipped.losses[1] < 0.1  # at the foot of the wall
    assert plain.share == clipped.share == 1


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("directions", "options", "words"),
    [
        ((), {}, "directions must be two"),
        (("w",), {}, "directions must be two"),
        ("wb", {}, "directions must be two"),
        (("w", "w"), {}, "parallel"),
        (("w", "v"), {}, "no parameter 'v'; there are w, b"),
        (([1.0], [1.0, 2.0]), {}, "1 arrays for 2 parameters"),
        (([1.0, [2.0]], "w"), {}, r"shape \(1,\) for b, expected \(\)"),
        (([0.0, 0.0], "w"), {}, "0 everywhere"),
        (({"w": np.nan}, "b"), {}, "not finite"),
        (({"v": 1.0}, "b"), {}, "lacks w, b; it has v"),
        ((3, "b"), {}, "arrays by name or a list"),
        (("w", "b"), {"steps": 1}, "steps must be at least 2"),
        (("w", "b"), {"steps": 2.5}, "steps must be an int"),
        (("w", "b"), {"ranges": ((1, 1), (0, 1))}, "to a larger one"),
        (("w", "b"), {"ranges": ((0, np.nan), (0, 1))}, "to a larger one"),
        (("w", "b"), {"paths": {"SGD": []}}, "'SGD' has no positions"),
        (("w", "b"), {"paths": {"SGD": [{"w": 1.0}]}}, "position 0 of path 'SGD' lacks b"),
        (None, {"paths": {"SGD": [{"w": 7.0, "b": 1.0}]}}, "on one line"),
    ],
)
def test_what_makes_no_sense_is_refused(directions, options, words):
    cell = OneUnit(6.0, -2.5)
    with pytest.raises((ValueError, TypeError), match=words):
        viz.loss_surface(cell, cell, directions, **options)


def test_a_loss_that_is_no_number_is_refused(model):
    with pytest.raises(TypeError, match="a single number, not float32"):
        viz.loss_surface(lambda: model(np.ones((2, 3), np.float32)), model, steps=2)
    with pytest.raises(ValueError, match="no parameters"):
        viz.loss_surface(lambda: 1.0, nn.Tanh())
    with pytest.raises(TypeError, match="Tensor of floats"):
        viz.loss_surface(lambda: 1.0, [mg.tensor([1, 2], dtype="int64")])
    with pytest.raises(ValueError, match="only a single number"):
        viz.loss_surface(lambda: 1.0, model, ("0.weight", "0.bias"))


def test_dropout_is_left_out_in_evaluation(rng):
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Dropout(0.5, rng=rng))
    x = np.ones((1, 3), np.float32)
    with evaluating(model):
        surfaces = [
            viz.loss_surface(lambda: model(x).sum(), model, steps=2, rng=np.random.default_rng(0))
            for _ in range(2)
        ]
    np.testing.assert_array_equal(surfaces[0].heights, surfaces[1].heights)
