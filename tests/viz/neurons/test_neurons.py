"""What is shown of units, predictions and surprise: numbers, page and picture."""

import base64

import numpy as np
import pytest

from minigrad import viz
from minigrad.viz.neurons import neurons_page
from minigrad.viz.neurons.letters import full_colour
from minigrad.viz.neurons.predictions import joined, predictions_of

pytestmark = pytest.mark.host(reason="pictures and pages are made on the CPU")

HOSTILE = "<script>alert(1)</script>"
TEXT = f'He said "yes (or no)" to {HOSTILE}\n\t그는 "네" 했다.\n' * 4
VOCABULARY = sorted(set(TEXT))


def logits_of(text, rng):
    return rng.normal(size=(len(text), len(VOCABULARY)))


def ids_of(text):
    return np.array([VOCABULARY.index(character) for character in text])


@pytest.fixture(scope="module")
def logits():
    return 3 * logits_of(TEXT, np.random.default_rng(1))


@pytest.fixture(scope="module")
def neurons(logits):
    rng = np.random.default_rng(0)
    T = len(TEXT)
    activations = np.tanh(rng.normal(size=(T, 40)))
    quotes = np.cumsum([character == '"' for character in TEXT]) % 2 == 1
    activations[:, 7] = np.where(quotes, 0.9, -0.9)
    activations[:, 8] = 0.5
    vowels = np.isin(list(TEXT), list("aeiou"))
    return viz.Neurons(
        list(TEXT),
        {"layer 1 h": activations, HOSTILE: activations[:, :2] * 5},
        predictions=viz.predictions(logits, ids_of(TEXT), VOCABULARY),
        features={"vowel": vowels, "place": np.arange(T)},
    )


# ------------------------------------------------------------------ predictions


def test_predictions_by_hand():
    """p = (1/2, 1/4, 1/4) after each token."""
    found = viz.predictions(np.log([[2, 1, 1]] * 3), [0, 1, 0], ["a", "b", "c"], top=2)
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.25]] * 3)
    np.testing.assert_allclose(found.entropy, 1.5)
    np.testing.assert_allclose(found.surprise, [np.nan, 2, 1])
    assert [row[0] for row in found.likeliest] == ["a"] * 3
    assert found.rank.tolist()[0::2] == [-1, 0]
    assert found.rank[1] == (1 if found.likeliest[0][1] == "b" else 2)


def test_predictions_with_all_tokens_add_up_to_one(logits):
    found = viz.predictions(logits, ids_of(TEXT), VOCABULARY, top=1000)
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for t, row in enumerate(found.likeliest):
        expected = [p[t, VOCABULARY.index(token)] for token in row]
        np.testing.assert_allclose(found.probabilities[t], expected)


def test_logits_may_be_huge_or_minus_infinity():
    found = viz.predictions([[1e4, 0, -np.inf]] * 2, [0, 1], ["a", "b", "c"])
    np.testing.assert_allclose(found.probabilities[0], [1, 0, 0])
    assert found.entropy.tolist() == [0, 0]
    assert found.surprise[1] == pytest.approx(1e4 / np.log(2))


def test_windows_do_not_change_predictions(logits):
    ids = ids_of(TEXT)
    whole = viz.predictions(logits, ids, VOCABULARY)
    parts = [(0, 5), (5, 6), (6, len(ids))]
    found = joined([predictions_of(logits[a:b], ids[a + 1 : b + 1], VOCABULARY) for a, b in parts])
    for name, values in whole._asdict().items():
        if name == "likeliest":
            assert values == found.likeliest
        else:
            np.testing.assert_array_equal(values, getattr(found, name))


@pytest.mark.parametrize(
    ("logits", "ids", "error", "words"),
    [
        (np.zeros((3, 2)), [0, 1], ValueError, r"\(3, 2\), expected .* = \(2, 2\)"),
        (np.zeros((2, 2)), [0, 2], IndexError, "2"),
        (np.zeros((2, 2)), [0.0, 1.0], TypeError, "integers"),
        (np.full((2, 2), np.nan), [0, 1], ValueError, "NaN"),
        (np.full((2, 2), -np.inf), [0, 1], ValueError, "maximum"),
        (np.zeros((0, 2)), np.zeros(0, int), ValueError, "at least"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(logits, ids, error, words):
    with pytest.raises(error, match=words):
        viz.predictions(logits, ids, ["a", "b"])


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("tokens", "activations", "options", "error", "words"),
    [
        ([], np.zeros((0, 2)), {}, ValueError, "at least 4 tokens"),
        (["a"], np.zeros((1, 2)), {}, ValueError, "at least 4 tokens"),
        ([""] * 5, np.zeros((5, 2)), {}, ValueError, "at least 4 tokens"),
        ([1, 2, 3, 4], np.zeros((4, 2)), {}, TypeError, "strings"),
        ("abcd", np.zeros((3, 2)), {}, ValueError, r"\(3, 2\), expected \(4, H\)"),
        ("abcd", np.zeros(4), {}, ValueError, r"\(4,\)"),
        ("abcd", np.zeros((4, 0)), {}, ValueError, "no units"),
        ("abcd", {}, {}, ValueError, "no units"),
        ("abcd", {"h": [[0.0], [np.nan], [0], [0]]}, {}, ValueError, r"'h' is nan at \(1, 0\)"),
        ("abcd", [[0.0], [1], [np.inf], [0]], {}, ValueError, "inf"),
        ("abcd", np.full((4, 1), "x"), {}, TypeError, "numbers"),
        (
            "abcd",
            np.zeros((4, 1)),
            {"features": {"x": [1, 2]}},
            ValueError,
            r"'x' has shape \(2,\)",
        ),
        ("abcd", np.zeros((4, 1)), {"features": {"x": list("abcd")}}, TypeError, "bool or numbers"),
        ("abcd", np.zeros((4, 1)), {"features": {"x": [1, np.nan, 2, 3]}}, ValueError, "nan"),
        ("abcd", np.zeros((4, 1)), {"features": {"digit": [1, 2, 3, 4]}}, ValueError, "'digit'"),
        (
            "abcd",
            np.zeros((4, 1)),
            {"predictions": viz.predictions(np.zeros((3, 2)), [0, 1, 0], ["a", "b"])},
            ValueError,
            "3 tokens, but the text has 4",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tokens, activations, options, error, words):
    with pytest.raises(error, match=words):
        viz.Neurons(tokens, activations, **options)


def test_no_unit_of_a_name(neurons):
    with pytest.raises(KeyError, match="layer 1 h 0"):
        neurons.unit("layer 9 h 0")


# ------------------------------------------------------------------ what is shown


def test_own_features_are_followed_too(neurons):
    assert {"vowel", "place"} <= neurons.scores.keys()
    assert neurons.scores["vowel"].spearman is None
    assert neurons.scores["place"].auc is None


def test_the_table_has_a_row_for_each_feature(neurons):
    head, *rows = str(neurons).splitlines()
    assert len(rows) == len(neurons.best) == len(neurons.features)
    assert "inside double quotes" in rows[0]
    assert "layer 1 h 7 " in rows[0]
    assert head.split()[0] == "feature"


def test_the_features_that_take_memory_come_first(neurons):
    takes_memory = [neurons.features[best.feature].takes_memory for best in neurons.best]
    assert takes_memory == sorted(takes_memory, reverse=True)


def test_the_bytes_of_the_page_are_the_activations(neurons):
    units = neurons_page.view(neurons).data["units"]
    steps = np.frombuffer(base64.b64decode(units["activations"]), np.int8)
    steps = steps.reshape(len(units["names"]), -1)
    for name, largest, row in zip(units["names"], units["largest"], steps, strict=True):
        np.testing.assert_allclose(
            row / units["levels"] * largest, neurons.unit(name), atol=largest / 250
        )


def test_a_page_with_too_many_units_keeps_the_best_and_says_so(neurons, monkeypatch):
    monkeypatch.setattr(neurons_page, "MOST_BYTES", 10 * len(TEXT))
    view = neurons_page.view(neurons)
    names = view.data["units"]["names"]
    assert len(names) == 10
    assert neurons.best[0].unit in names
    assert "10 of 42 units" in view.text
    for feature in view.data["features"]:
        assert sorted(feature["order"]) == list(range(10))
        assert len(feature["r"]) == 10
    r = dict(zip(neurons.units, neurons.scores["vowel"].r, strict=True))
    (vowel,) = [feature for feature in view.data["features"] if feature["name"] == "vowel"]
    np.testing.assert_allclose(vowel["r"], [r[name] for name in names])


def test_a_page_of_a_long_text_shows_its_end(neurons, monkeypatch):
    monkeypatch.setattr(neurons_page, "MOST_TOKENS", 50)
    data = neurons_page.view(neurons).data
    assert "".join(data["tokens"]) == TEXT[-50:]
    assert data["start"] == len(TEXT) - 50
    found = data["predictions"]
    names = [found["names"][k] for k in found["likeliest"][data["start"] - found["first"]]]
    assert names == neurons.predictions.likeliest[-50]


def test_a_few_large_activations_do_not_make_the_others_pale():
    activations = np.ones((500, 2))
    activations[:4, 1] = -100
    np.testing.assert_allclose(full_colour(activations), [1, 1])


def test_the_picture_has_the_text_and_the_figures(neurons):
    figure = neurons.figure()
    texts = [text.get_text() for text in figure.findobj() if hasattr(text, "get_text")]
    assert "inside double quotes:  layer 1 h 7" in texts
    assert any("AUC = 1.000" in text for text in texts)
    assert "네" in texts


def test_a_picture_without_features_says_so():
    figure = viz.Neurons("aaaa", np.zeros((4, 1))).figure()
    texts = [text.get_text() for text in figure.findobj() if hasattr(text, "get_text")]
    assert any("no feature changes" in text for text in texts)


# ------------------------------------------------------------------ in the browser


@pytest.fixture
def opened(neurons, tmp_path, open_page):
    neurons.save(tmp_path / "neurons.html")
    return open_page(tmp_path / "neurons.html")


def colours(page):
    return page.eval_on_selector_all(
        ".text [data-place]", "spans => spans.map(s => getComputedStyle(s).backgroundColor)"
    )


def chosen(page):
    return page.locator(".units [aria-selected=true] span").first.text_content()


def test_the_text_on_the_page_is_the_text_and_hostile_names_stay_text(opened):
    spans = opened.locator(".text [data-place]")
    shown = "".join(spans.all_text_contents()).replace("↵", "").replace("→", "")
    assert shown == TEXT
    assert HOSTILE in opened.locator(".units").inner_text()


def test_the_best_unit_of_the_best_feature_colours_the_text(opened, neurons):
    assert chosen(opened) == "layer 1 h 7"
    found = colours(opened)
    inside = neurons.features["inside double quotes"].values
    assert len({found[t] for t in np.flatnonzero(inside)}) == 1
    assert len({found[t] for t in np.flatnonzero(~inside)}) == 1
    assert len(set(found)) == 2
    underlined = opened.eval_on_selector_all(
        ".text [data-place]", "spans => spans.map(s => s.classList.contains('true'))"
    )
    assert underlined == inside.tolist()


def test_keys_go_through_the_units_and_the_text(opened, neurons):
    rows = opened.locator(".units .row")
    second = rows.nth(1).locator("span").first.text_content()
    before = colours(opened)
    opened.locator(".text").focus()
    opened.keyboard.press("j")
    assert chosen(opened) == second
    assert colours(opened) != before
    opened.keyboard.press("ArrowUp")
    assert colours(opened) == before
    here = opened.locator(".text .here")
    place = int(here.get_attribute("data-place"))
    opened.keyboard.press("ArrowRight")
    assert int(here.get_attribute("data-place")) == place + 1
    surprise = neurons.predictions.surprise[place + 1]
    assert f"came: {surprise:.2f} bits" in opened.locator(".expected").inner_text()
    opened.keyboard.press("ArrowLeft")
    assert int(here.get_attribute("data-place")) == place
    assert f"Token {place}," in opened.locator(".expected").inner_text()


def test_the_pointer_shows_what_was_expected(opened, neurons):
    opened.locator("[data-place='3']").hover()
    expected = opened.locator(".expected > div")
    for column, t in ((0, 2), (1, 3)):
        percents = expected.nth(column).locator(".bar > :last-child").all_text_contents()
        p = 100 * neurons.predictions.probabilities[t]
        assert [float(text.split()[0]) for text in percents[:5]] == pytest.approx(p, rel=0.06)


def test_a_feature_sorts_the_units(opened, neurons):
    opened.get_by_role("option", name="vowel").click()
    names = opened.locator(".units .row").evaluate_all(
        "rows => rows.map(row => row.firstChild.textContent)"
    )
    by = np.abs(np.nan_to_num(neurons.scores["vowel"].chosen_by))
    by_name = dict(zip(neurons.units, by, strict=True))
    assert len(names) == len(neurons.units)
    assert [by_name[name] for name in names] == sorted(by, reverse=True)
    assert names[-1] == "layer 1 h 8"  # constant
    assert chosen(opened) == names[0]
    opened.locator(".units .row").last.click()
    assert "it is constant" in opened.locator(".told").inner_text()


def test_the_filter_leaves_the_units_of_a_name(opened):
    opened.get_by_role("searchbox").fill("h 1")
    visible = opened.locator(".units .row:visible span:first-child").all_text_contents()
    assert sorted(visible) == sorted(f"layer 1 h {k}" for k in (1, *range(10, 20)))


def test_the_text_can_be_coloured_by_the_surprise(opened, neurons):
    opened.locator("select").select_option(label="the surprise at each token")
    found = colours(opened)
    surprise = neurons.predictions.surprise

    def green(t):
        return int(found[t].split("(")[1].split(",")[1])

    order = np.argsort(surprise[1:]) + 1
    greens = [green(t) for t in order]
    assert greens == sorted(greens, reverse=True)  # the more surprise, the less white
    assert "bits" in opened.locator(".legend").inner_text()


def test_a_page_without_predictions_and_features_opens(tmp_path, open_page):
    viz.Neurons("aaaa", np.zeros((4, 2))).save(tmp_path / "few.html")
    page = open_page(tmp_path / "few.html", width=700)
    assert page.locator(".text [data-place]").count() == 4
    assert page.locator("select option").count() == 1
    page.locator(".text").focus()
    page.keyboard.press("j")
    assert chosen(page) == "unit 1"
