"""The pages of a surface and of histograms, in a browser."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz

pytestmark = pytest.mark.host(reason="a browser shows it, whatever the device")

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def rng():
    return np.random.default_rng(4)


# ---------------------------------------------------------------------- a surface


@pytest.fixture
def surface(rng):
    """log(x) / y around (1, 1), with a path of 21 positions and one of 11 that ends in NaN."""
    x, y = (mg.tensor(1.0, dtype="float64", requires_grad=True) for _ in range(2))
    places = np.linspace(1.2, 2, 21)
    path = [[np.array(a), np.array(1.5)] for a in places]
    lost = [[np.array(a), np.array(0.5)] for a in [*places[:10], np.nan]]
    return viz.loss_surface(
        lambda: mg.log(x) / y,
        [x, y],
        ([1.0, 0.0], [0.0, 1.0]),
        ranges=((-1, 1), (-1, 1)),
        steps=9,
        paths={"SGD": path, EVIL: lost},
    )


def hover(page, canvas, across, up):
    """What the tip says at a place of the plot, from (0, 0) to (1, 1)."""
    box = canvas.bounding_box()
    left, right, top, bottom = 62, 84, 12, 44  # as in loss_surface.js
    page.mouse.move(
        box["x"] + left + across * (box["width"] - left - right),
        box["y"] + box["height"] - bottom - up * (box["height"] - top - bottom),
    )
    return page.locator("#tip").inner_text()


def test_the_tip_tells_the_loss_at_a_point(surface, open_page, tmp_path):
    surface.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    canvas = page.get_by_role("img", name="the loss from above")
    for i, j in ((8, 8), (5, 2)):
        tip = hover(page, canvas, (i + 0.5) / 9, (j + 0.5) / 9)
        assert f"loss {surface.heights[j, i]:.4g}".replace("-", "−") in tip
        assert f"first direction {surface.a[i]:.4g}" in tip
    assert "loss −∞" in hover(page, canvas, 0.5 / 9, 0.9)
    assert "loss NaN" in hover(page, canvas, 4.5 / 9, 0.5 / 9)  # log(1) / 0
    lost = surface.heights.size - np.isfinite(surface.heights).sum()
    assert f"{lost} points where the loss is NaN or infinite" in page.inner_text("main")


def test_paths_are_played(surface, open_page, tmp_path):
    surface.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    row, evil = page.locator("tbody tr").all()
    sgd = surface.paths["SGD"]
    slider = page.get_by_role("slider")
    assert row.inner_text().split("\t")[1] == f"{sgd.losses[20]:.4g}"
    assert evil.inner_text().split("\t")[:2] == [EVIL, "NaN"]
    slider.fill("3")
    assert row.inner_text().split("\t")[1] == f"{sgd.losses[3]:.4g}"
    slider.press("ArrowRight")
    assert row.inner_text().split("\t")[1] == f"{sgd.losses[4]:.4g}"
    before = page.get_by_role("img", name="the loss from above").screenshot()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Play").wait_for()  # it has come to the end
    assert slider.input_value() == "20"
    assert page.get_by_role("img", name="the loss from above").screenshot() != before
    page.get_by_role("button", name="Play").press("Space")  # from the beginning
    page.get_by_role("button", name="Pause").press("Space")
    assert int(slider.input_value()) < 20


def test_a_surface_without_paths_or_finite_points_is_shown(open_page, tmp_path, rng):
    model = nn.Linear(2, 1, rng=rng)
    viz.loss_surface(lambda: np.nan, model, steps=3, rng=rng).save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html", width=700)
    assert "9 points where the loss is NaN or infinite" in page.inner_text("main")
    assert page.get_by_role("button").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


# ---------------------------------------------------------------------- histograms


@pytest.fixture
def histograms(rng):
    """Ten steps of a model with a dead unit; the sixth has a gradient that is NaN."""
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.ReLU(), nn.Linear(4, 2, rng=rng))
    model[0].bias.data[2] = -100
    seen = viz.Histograms(model)
    for t in range(10):
        with seen.step():
            model.zero_grad()
            x = rng.normal(size=(8, 3)).astype(np.float32)
            (model(x) ** 2).mean().backward()
            if t == 5:
                model[2].bias.grad.data[0] = np.nan
    return seen


def test_each_kind_of_histogram_can_be_chosen(histograms, open_page, tmp_path):
    histograms.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    choice = page.get_by_label("show")
    names = [option.inner_text() for option in choice.locator("option").all()]
    assert names == [
        "Gradients of the parameters (4)", "Parameters (4)", "Outputs of the layers (3)",
        "Gradients of the outputs (3)",
    ]  # fmt: skip
    for kind, series in zip(
        names,
        (
            histograms.gradients,
            histograms.weights,
            histograms.activations,
            histograms.activation_gradients,
        ),
        strict=True,
    ):
        choice.select_option(kind)
        assert page.locator(".row h3").all_inner_texts() == list(series)
    assert histograms.activations["1: relu"].told() in page.locator(".units").inner_text()
    assert "(unit 2)" in page.locator(".units").inner_text()


def test_the_cursor_tells_each_step(histograms, open_page, tmp_path):
    histograms.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    slider = page.get_by_role("slider")
    row = page.locator(".row", has_text="2.bias")
    rms = histograms.gradients["2.bias"].rms
    assert f"rms {rms[9]:.4g}" in row.inner_text()
    slider.fill("5")
    assert f"rms {rms[5]:.4g}" in row.inner_text()
    assert "1 NaN or infinite" in row.inner_text()
    page.get_by_label("show").select_option("Outputs of the layers (3)")
    relu, series = page.locator(".row", has_text="1: relu"), histograms.activations["1: relu"]
    for step in (5, 7):
        slider.fill(str(step))
        assert f"{100 * series.flat_values[step]:.3g} % of the values" in relu.inner_text()
        assert "25 % of the units" in relu.inner_text()


def test_the_tip_tells_the_share_of_a_bin(open_page, tmp_path, rng):
    model = nn.Linear(1, 4, bias=False, rng=rng)
    model.weight.data = np.array([[1.5], [1.5], [1.5], [0.15]], np.float32)
    histograms = viz.Histograms(model)
    for _ in range(3):
        with histograms.step():
            pass
    histograms.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    box = page.locator(".row canvas").bounding_box()
    for place, words in ((2, "|x| 1 to 2: 75 %"), (82, "|x| 0.125 to 0.25: 25 %")):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + place)
        assert words in page.locator("#tip").inner_text()
    assert "step 1" in page.locator("#tip").inner_text()


def test_names_stay_text_and_nothing_seen_is_shown(open_page, tmp_path, rng):
    model = nn.Module()
    setattr(model, EVIL, nn.Parameter(rng.normal(size=3)))
    histograms = viz.Histograms(model)
    histograms.save(tmp_path / "empty.html")
    open_page(tmp_path / "empty.html")
    with histograms.step():
        pass
    histograms.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html", width=700)
    assert page.locator(".row h3").inner_text() == EVIL
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
