import io
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from minigrad.viz import figures
from models.measuring.units import UNITS
from models.showing import curves as plotting
from models.showing.curves import comparison, curves
from models.showing.drawing import POINTS, Points, draw_line, log_ticks, loss_axis, number, spread

pytestmark = pytest.mark.host(reason="pictures are drawn on the CPU")

CHAR, WORD = UNITS["char"], UNITS["word"]


def a_run(records=100, *, best=0.6, floor=1.2, spread=0.0):
    """The records of a run of as many steps, whose validation is best after a part of it."""
    rng = np.random.default_rng(0)
    for step in range(records + 1):
        part = step / records
        loss = floor + 3 * math.exp(-8 * part) + spread * rng.standard_normal()
        when = {"step": step, "epoch": 4 * part, "seconds": 2.0 * step}
        if step:
            yield {
                **when, "split": "train", "loss": loss, "tokens": 640 * step,
                "lr": 0.01 * (1 - part),
                "grad_norm": 2 + 1 / part, "grad_norm_clipped": min(5, 2 + 1 / part),
            }  # fmt: skip
        if step % 10 == 0:
            yield {**when, "split": "valid", "loss": loss + 4 * (part - best) ** 2}


RUN = list(a_run())


@pytest.fixture
def figure(monkeypatch):
    """What the last picture was drawn from."""
    last = []

    def new_figure(*size):
        last.append(new(*size))
        return last[-1]

    new = figures.new_figure
    monkeypatch.setattr(plotting, "new_figure", new_figure)
    return lambda: last[-1]


@pytest.fixture(scope="class")
def coarse():
    """Pictures of few pixels, which are drawn three times as fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 50)
        yield


def size(picture):
    """Of a PNG that is whole, the pixels."""
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        image.load()
        return image.size


def texts(figure):
    axes = [text.get_text() for axes in figure.axes for text in axes.texts]
    return axes + [text.get_text() for text in figure.texts]


class TestCurves:
    @pytest.mark.parametrize("unit", [CHAR, WORD])
    @pytest.mark.parametrize("records", [[], RUN[:1], RUN[:2], RUN])
    def test_is_a_png(self, unit, records):
        assert size(curves(records, unit, "a title with $x and 한글")) == (1200, 1230)

    def test_marks_the_best_validation(self, figure):
        curves(RUN, CHAR, "a run")
        best = min((r for r in RUN if r["split"] == "valid"), key=lambda r: r["loss"])
        assert best["step"] == 60
        told = CHAR.told(best["loss"])
        assert texts(figure()) == [told, "a run", f"best validation {told}, at step 60"]
        top = figure().axes[0]
        ring = next(line for line in top.lines if line.get_markerfacecolor() == "none")
        assert ring.get_xydata().tolist() == [[60, CHAR.of(best["loss"])]]
        low, high = top.get_ylim()
        assert low < CHAR.of(best["loss"]) < high

    def test_has_three_panels_that_share_the_steps(self, figure):
        curves(RUN, WORD, "a run")
        top, middle, bottom = figure().axes
        assert [axes.get_title("left") for axes in figure().axes] == [
            "perplexity", "gradient norm", "learning rate",
        ]  # fmt: skip
        assert top.get_xlim() == middle.get_xlim() == bottom.get_xlim()
        assert [axes.get_yscale() for axes in figure().axes] == ["log", "log", "linear"]
        assert [line.get_label() for line in middle.lines] == ["before clipping", "after clipping"]
        assert middle.lines[0].get_ydata()[0] == 102
        assert middle.lines[1].get_ydata().max() == 5
        assert bottom.lines[0].get_xdata().tolist() == list(range(1, 101))

    def test_epochs_stand_on_top(self, figure):
        curves(RUN, CHAR, "a run")
        (above,) = figure().axes[0].child_axes
        assert above.xaxis.get_majorticklocs().tolist() == [25, 50, 75, 100]
        labels = [label.get_text() for label in above.xaxis.get_majorticklabels()]
        assert labels == ["epoch 1", "2", "3", "4"]
        curves(RUN[:20], CHAR, "less than an epoch")
        assert not figure().axes[0].child_axes

    def test_the_fall_of_the_first_steps_takes_no_room(self, figure):
        run = [dict(record) for record in RUN]
        run[1]["loss"] = 50.0
        curves(run, CHAR, "a run")
        assert figure().axes[0].get_ylim()[1] < 8

    def test_is_quick_with_many_records(self):
        run = list(a_run(50_000, spread=0.1))
        times = []
        for _ in range(2):
            began = time.process_time()
            curves(run, CHAR, "a long run")
            times.append(time.process_time() - began)
        assert min(times) < 0.7


@pytest.mark.usefixtures("coarse")
class TestBadRecords:
    @pytest.mark.parametrize(
        "bad",
        [
            {"loss": 1e300, "grad_norm": 1e300, "grad_norm_clipped": 1e-300, "lr": 1e300},
            {"loss": math.nan, "grad_norm": math.inf, "grad_norm_clipped": -math.inf, "lr": None},
            {"loss": 10**400, "grad_norm": -(10**400), "epoch": 10**400},
            {"loss": "low", "grad_norm": [1], "lr": {}, "epoch": "first"},
            {"loss": 0.0, "grad_norm": 0.0, "grad_norm_clipped": 0.0, "lr": 0.0, "epoch": 0},
            {"loss": 1e-300, "grad_norm": 5e-324, "grad_norm_clipped": 1e-320, "lr": 5e-324},
            {"step": 0, "loss": -3.0, "grad_norm": -1.0, "lr": -1.0, "epoch": -1.0},
            {"step": 10**15, "loss": 800.0, "epoch": 1e12},
            {"step": None},
            {},
        ],
        ids=str,
    )
    def test_bad_numbers_harm_nothing(self, bad):
        one, more = [{"step": 1, "split": "train", **bad}], [{"step": 2, "split": "valid", **bad}]
        assert size(curves(one, WORD, "")) == (400, 410)
        assert size(curves([*RUN[:30], *one, *more], CHAR, "")) == (400, 410)

    def test_many_huge_numbers(self):
        bad = {"split": "train", "loss": 1e300, "grad_norm": 1e300, "lr": 1e300}
        records = [{"step": step, **bad} for step in range(2 * POINTS)]
        assert size(curves(records, WORD, "")) == (400, 410)

    @settings(max_examples=5)
    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "step": st.integers(0, 1000),
                    "split": st.sampled_from(["train", "valid", "test"]),
                },
                optional={
                    key: st.floats() | st.none()
                    for key in ("loss", "grad_norm", "grad_norm_clipped", "lr", "epoch", "seconds")
                },
            ),
            max_size=5,
        ),
        st.sampled_from([CHAR, WORD]),
    )
    def test_any_records(self, records, unit):
        assert size(curves(records, unit, "")) == (400, 410)
        assert size(comparison([("a", records, unit)])) == (500, 300)


def test_a_comparison_is_a_png():
    runs = [(f"run {i} 한글 $x", RUN, CHAR) for i in range(2)]
    assert size(comparison(runs)) == (1500, 900)


@pytest.mark.usefixtures("coarse")
class TestComparison:
    def test_names_each_run_with_its_best(self, figure):
        comparison([("one", RUN, CHAR), ("a" * 50, RUN, CHAR), ("new", [], CHAR)])
        labels = texts(figure())
        best = CHAR.told(min(r["loss"] for r in RUN if r["split"] == "valid"))
        assert sorted(labels) == sorted(
            [f"one  {best}", f"{'a' * 15}…{'a' * 16}  {best}", "new  no records yet"]
        )
        assert figure().axes[0].get_title("left").startswith("bits per character")

    def test_labels_stand_inside_and_apart(self, figure):
        runs = [(f"run {i}", list(a_run(floor=1.2 + i / 1000)), CHAR) for i in range(15)]
        comparison(runs)
        renderer = figure().canvas.get_renderer()
        boxes = [text.get_window_extent(renderer) for text in figure().axes[0].texts]
        assert all(box.x1 <= 500 for box in boxes)
        assert all(0 <= box.y0 < box.y1 <= 300 for box in boxes)
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))

    def test_runs_of_different_tokens_are_told_in_nats(self, figure):
        words = [{**record, "loss": record["loss"] + 3} for record in RUN]
        comparison([("characters", RUN, CHAR), ("words", words, WORD)])
        axes = figure().axes[0]
        assert axes.get_title("left").startswith("loss in nats per token")
        assert axes.get_yscale() == "linear"
        worst = min(record["loss"] for record in words if record["split"] == "valid")
        assert axes.get_ylim()[1] > worst
        assert any("perplexity" in text for text in texts(figure()))

    @pytest.mark.parametrize(
        ("x", "name", "last"),
        [("step", "step", 100), ("epoch", "epoch", 4), ("tokens", "tokens", 64_000),
         ("seconds", "seconds", 200)],
    )  # fmt: skip
    def test_what_it_is_drawn_against(self, figure, x, name, last):
        comparison([("a", RUN, CHAR)], x)
        axes = figure().axes[0]
        assert axes.get_xlabel() == name
        assert [line.get_xdata()[-1] for line in axes.lines[:2]] == [last, last]

    @pytest.mark.parametrize(
        ("seconds", "name", "shown"), [(3600, "minutes", 60), (36_000, "hours", 10)]
    )
    def test_long_runs_are_told_in_minutes_or_hours(self, figure, seconds, name, shown):
        run = [
            {"step": 1, "split": "valid", "loss": 2.0, "seconds": 1},
            {"step": 2, "split": "valid", "loss": 1.0, "seconds": seconds},
        ]
        comparison([("a", run, CHAR)], "seconds")
        assert figure().axes[0].get_xlabel() == name
        assert figure().axes[0].lines[0].get_xdata()[-1] == shown

    def test_colours_and_lines_tell_apart(self, figure):
        comparison([(f"run {i}", RUN, CHAR) for i in range(28)])
        lines = figure().axes[0].lines[::2]
        assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 28

    def test_refuses(self):
        with pytest.raises(ValueError, match="no run"):
            comparison([])
        with pytest.raises(ValueError, match="x='hours' is not 'step'"):
            comparison([("a", RUN, CHAR)], "hours")
        records = [{"step": 1, "split": "valid", "loss": 2.0}]
        with pytest.raises(ValueError, match="no record of run 'a' has 'tokens'"):
            comparison([("a", records, CHAR)], "tokens")


class TestDrawing:
    def test_a_line_of_many_points_is_its_means(self):
        axes = Figure().subplots()
        y = np.arange(3 * POINTS, dtype=float)
        draw_line(axes, Points(2 * y, y), None, "red")
        (line,) = axes.lines
        assert line.get_ydata().tolist() == (3 * np.arange(POINTS) + 1.0).tolist()
        assert line.get_xdata().tolist() == (2 * line.get_ydata()).tolist()
        (band,) = axes.collections
        assert band.get_datalim(axes.transData).bounds[1::2] == (0, 3 * POINTS - 1)

    def test_the_mean_of_huge_numbers_is_finite(self):
        axes = Figure().subplots()
        draw_line(axes, Points(np.arange(5000.0), np.full(5000, 1e300)), None, "red")
        assert np.allclose(axes.lines[0].get_ydata(), 1e300)

    def test_perplexities_are_means_in_nats(self):
        axes = Figure().subplots()
        nats = np.tile([1.0, 3.0], POINTS)
        draw_line(axes, Points(np.arange(2.0 * POINTS), nats), WORD.of, "red")
        assert np.allclose(axes.lines[0].get_ydata(), math.exp(2))

    def test_a_lone_point_is_seen(self):
        axes = Figure().subplots()
        draw_line(axes, Points(np.array([1.0]), np.array([2.0])), None, "red")
        assert axes.lines[0].get_marker() == "o"

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.04))
    def test_spread(self, places, gap):
        places = sorted(places)
        result = spread(places, gap)
        assert len(result) == len(places)
        assert all(b - a >= gap - 1e-12 for a, b in itertools.pairwise(result))
        assert result[-1] <= 1
        if all(b - a >= gap for a, b in itertools.pairwise(places)):
            assert result == pytest.approx(places)

    @settings(max_examples=30)
    @given(st.floats(1e-12, 1e15), st.floats(1.01, 1e6))
    def test_ticks_of_a_logarithmic_axis(self, low, ratio):
        axes = Figure().subplots()
        axes.set_yscale("log")
        log_ticks(axes, low, low * ratio, 7)
        ticks = axes.yaxis.get_major_locator()()
        assert 1 <= len(ticks) <= 9
        assert all(low <= tick <= low * ratio for tick in ticks)

    def test_the_loss_axis_begins_just_below_the_lowest(self):
        axes = Figure().subplots()
        loss_axis(axes, [Points(np.array([0.0, 1]), np.array([9.0, 1.0]))], CHAR)
        low, high = axes.get_ylim()
        assert 1.0 < low < CHAR.of(1.0)
        assert CHAR.of(1.0) < high < CHAR.of(9.0)

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (0.25, "0.25"), (1.5, "1.5"), (100, "100"), (1200, "1,200"), (2e6, "2 M"),
         (2.5e9, "2.5 G"), (1e15, "1e+15"), (1e-5, "1e-05"), (-3, "-3")],
    )  # fmt: skip
    def test_number(self, value, text):
        assert number(value) == text
