"""The figure of `gradient_through_time`, and its docstring's example."""

import doctest
import re
import warnings

import numpy as np
import pytest

from minigrad import nn, viz
from minigrad.viz.through_time import gradient


class LM(nn.Module):
    def __init__(self, kind, vocab_size=6, **options):
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(vocab_size, 4, rng=rng)
        self.rnn = getattr(nn, kind)(4, 4, rng=rng, **options)
        self.decoder = nn.Linear(4, vocab_size, rng=rng)

    def forward(self, ids, state=None):
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state


IDS = [0, 1, 2, 3, 4, 5, 0, 1]
WORDS = ["한", "글", " ", "$x_1$", "\n", "<script>", "가장긴낱말입니다", "끝"]


def test_the_example_in_the_docstring_runs():
    results = doctest.testmod(gradient)
    assert results.attempted > 5
    assert results.failed == 0


@pytest.fixture(scope="module")
def seen():
    models = {"RNN $a$": LM("RNN"), "LSTM": LM("LSTM", num_layers=2)}
    return viz.gradient_through_time(models, IDS, labels=WORDS, window=3, max_norm=0.01)


@pytest.fixture(scope="module")
def drawn(seen):
    return seen.figure()


def test_the_heat_maps_show_the_norms_on_one_scale(seen, drawn):
    images = [axes.images[0] for axes in drawn.axes if axes.images]
    assert len(images) == len(seen.flows) == 3
    for image, flow in zip(images, seen.flows.values(), strict=True):
        shown = image.get_array()
        np.testing.assert_allclose(shown[~shown.mask], flow.norms[np.tril_indices(flow.T)])
        assert shown.mask.sum() == flow.T * (flow.T - 1) / 2
    norms = np.concatenate([flow.norms[flow.norms > 0] for flow in seen.flows.values()])
    for image in images:
        assert image.norm.vmax == norms.max()
        assert image.norm.vmin == norms.min()


def test_the_window_s_numbers_are_written_beside_it(seen, drawn):
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    for name, flow in seen.flows.items():
        (title,) = [t for t in titles if t.startswith(name.replace("$", r"\$"))]
        assert f"window 3: drops {flow.dropped[2]:.1%}" in title
        assert f"error {flow.bias.errors[2]:.1%}, cosine {flow.bias.cosines[2]:.3f}" in title
        assert f"all parameters: error {flow.bias_of_all.errors[2]:.1%}" in title


def test_tokens_of_any_script_are_at_the_axes(drawn):
    axes = drawn.axes[0]
    below = [label.get_text() for label in axes.get_xticklabels()]
    assert below == ["한", "글", "␣", "$x_1$", "↵", "<scrip…", "가장긴…"]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "끝"


@pytest.mark.parametrize("several", [False, True])
def test_nothing_is_outside_the_figure_or_over_another_chart(several, drawn):
    one = viz.gradient_through_time(LM("RNN"), IDS, labels=WORDS, window=3)
    figure = drawn if several else one.figure()
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_it_is_saved_as_a_picture(seen, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("length", "options"), [(2, {}), (60, {"window": 200, "max_norm": 1e9})])
def test_texts_of_any_length_are_drawn(length, options):
    ids = np.random.default_rng(0).integers(0, 6, length)
    viz.gradient_through_time(LM("GRU"), ids, **options).figure().draw_without_rendering()


def test_a_model_without_any_gradient_is_drawn():
    """The logits are constant: every norm is 0, and no gradient has a direction."""
    model = LM("RNN")
    model.decoder.weight.data = np.zeros((6, 4))
    seen = viz.gradient_through_time(model, IDS, window=2, max_norm=1)
    flow = seen.flows["rnn"]
    assert (flow.norms == 0).all()
    assert np.isnan(flow.bias.cosines).all()
    assert (flow.dropped == 0).all()
    seen.figure().draw_without_rendering()


# ---------------------------------------------------------------------- the page


@pytest.fixture
def page(seen, open_page, tmp_path):
    seen.save(tmp_path / "a.html")
    return open_page(tmp_path / "a.html")


def told(page, key):
    """The cells of one number, a row of two for each flow, or one."""
    return page.locator(f'[data-number="{key}"]').all_text_contents()


def number(text):
    return float(text.replace("−", "-").replace("%", "").replace(",", ""))


def norm_told(said):
    """The number of "‖∂L₆/∂h₄‖ = 0.1234, dropped. State ..."."""
    return number(re.search(r"= (.*?)(, dropped)?\. ", said)[1])


def check_numbers(page, seen, window, max_norm):
    for i, flow in enumerate(seen.flows.values()):
        k = window - 1
        assert number(told(page, "dropped")[i]) == pytest.approx(100 * flow.dropped[k], rel=5e-3)
        factor = flow.clipping(max_norm, window)
        for key, bias in (("w", flow.bias), ("all", flow.bias_of_all)):
            expected = {
                "full": bias.full_norm,
                "norm": bias.norms[k],
                "error": bias.errors[k],
                "cosine": bias.cosines[k],
                "clipped": factor * bias.norms[k],
            }
            got = {name: number(told(page, f"{key}-{name}")[i]) for name in expected}
            assert got == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_the_sliders_of_the_page_move_the_numbers(page, seen):
    check_numbers(page, seen, 3, 0.01)
    window = page.get_by_label("Window of truncated BPTT")
    for key, length in (("ArrowLeft", 2), ("Home", 1), ("End", 7), ("ArrowLeft", 6)):
        window.press(key)
        check_numbers(page, seen, length, 0.01)
    page.wait_for_url(lambda url: "window=6" in url)
    clip = page.get_by_label("Clip the gradient's norm at")
    clip.press("ArrowLeft")
    check_numbers(page, seen, 6, 0.01 / 1.05)
    clip.press("End")
    assert page.locator(".clip output").text_content() == "no threshold"
    check_numbers(page, seen, 6, np.inf)


def test_the_page_remembers_where_its_sliders_are(seen, open_page, tmp_path):
    seen.save(tmp_path / "a.html")
    first = open_page(tmp_path / "a.html")
    first.get_by_label("Window of truncated BPTT").press("Home")
    first.wait_for_url(lambda url: "window=1" in url)
    first.reload()
    check_numbers(first, seen, 1, 0.01)
    first.goto(first.url.split("#")[0] + "#window=-3&clip=none")  # what nobody can have meant
    first.reload()
    check_numbers(first, seen, 3, 0.01)


def test_the_keyboard_and_the_pointer_tell_each_pair(page, seen):
    flow = next(iter(seen.flows.values()))
    first = page.locator(".map canvas").first
    first.focus()
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):  # to the last pair, then to the left
        first.press(key)
    said = page.locator(".told").first.text_content()
    assert said.startswith("‖∂L₆/∂h₄‖ = ")
    assert norm_told(said) == pytest.approx(flow.norms[6, 4], rel=1e-3)
    assert ", dropped" in said  # by an edge before step 6
    assert "State after “↵”, loss of “끝”" in said
    assert page.locator("#tip").text_content() == said
    box = first.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 12)
    assert "∂L₀/∂h₀" in page.locator(".told").first.text_content()
    assert "∂L₀/∂h₀" in page.locator("#tip").text_content()


def test_the_parts_of_a_state_can_be_seen_alone(page, seen):
    page.get_by_role("combobox").select_option("c alone, h held fixed")
    flow = seen.flows["LSTM: rnn l1"]
    canvas = page.locator(".map canvas").nth(2)
    canvas.focus()
    canvas.press("ArrowUp")
    canvas.press("ArrowLeft")
    said = page.locator(".told").nth(2).text_content()
    assert said.startswith("‖∂L₆/∂c₅‖")
    assert norm_told(said) == pytest.approx(flow.parts["c"][6, 5], rel=1e-3)
    k = next(k for k, flow in enumerate(seen.flows.values()) if "c" not in flow.parts)
    page.locator(".map canvas").nth(k).press("ArrowUp")
    assert "/∂h" in page.locator(".told").nth(k).text_content()


def test_the_triangle_on_the_page_has_the_norms_colours(page, seen):
    """The pixel of the largest norm is the brightest colour, and nothing is above the diagonal."""
    flow = next(iter(seen.flows.values()))
    flow_max = max(seen.flows.values(), key=lambda f: f.norms.max())
    index = list(seen.flows.values()).index(flow_max)
    t, s = np.unravel_index(flow_max.norms.argmax(), flow_max.norms.shape)
    assert t // 3 == s // 3  # it is not dropped, so not pale
    pixel = """([t, s, T]) => {
        const map = document.querySelectorAll('.map canvas')[%d];
        const left = 72;
        const size = Math.min(map.clientWidth - left - 4, map.clientHeight - 40);
        const at = (i, from) => Math.round((from + (i + 0.5) * size / T) * devicePixelRatio);
        return [...map.getContext('2d').getImageData(at(s, left), at(t, 4), 1, 1).data];
    }"""
    red, green, blue, _ = page.evaluate(pixel % index, [int(t), int(s), flow.T])
    assert (red, green, blue) == (0xFD, 0xE7, 0x25)
    assert page.evaluate(pixel % index, [0, 3, flow.T])[3] == 0


def test_a_text_of_one_step_and_a_model_without_gradient_have_pages(open_page, tmp_path):
    viz.gradient_through_time(LM("LSTM"), IDS[:2]).save(tmp_path / "short.html")
    open_page(tmp_path / "short.html")
    model = LM("RNN")
    model.decoder.weight.data = np.zeros((6, 4))
    viz.gradient_through_time(model, IDS, max_norm=1).save(tmp_path / "zero.html")
    page = open_page(tmp_path / "zero.html")
    assert told(page, "w-full") == ["0"]
    assert told(page, "w-cosine") == ["NaN"]


def test_names_stay_text(open_page, tmp_path):
    script = "<script>alert(1)</script>"
    seen = viz.gradient_through_time({script: LM("RNN")}, IDS, labels=[script] * 8)
    seen.save(tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    assert page.locator(".map h3").text_content().startswith(script)


def test_a_very_long_token_is_cut_off(open_page, tmp_path):
    labels = ["x" * 100_000, *"bcdefgh"]
    viz.gradient_through_time(LM("RNN"), IDS, labels=labels).save(tmp_path / "a.html")
    open_page(tmp_path / "a.html")  # not after minutes
