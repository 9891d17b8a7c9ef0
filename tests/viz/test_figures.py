"""What all charts share."""

import io
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

import minigrad as mg
from minigrad import nn, viz
from minigrad.data import Vocabulary
from minigrad.viz import figures
from minigrad.viz.figures import COLOURS, dress, families, head, new_figure, plain, png, write


class Reader(nn.Module):
    def __init__(self, vocabulary):
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(vocabulary, 3, rng=rng)
        self.rnn = nn.RNN(3, 4, rng=rng)
        self.output = nn.Linear(4, vocabulary, rng=rng)

    def forward(self, ids, state=None):
        h, state = self.rnn(self.embedding(ids), state)
        return self.output(h), state


KOREAN = any(figures._letters(name) for name in figures.OTHERS)
needs_korean = pytest.mark.skipif(not KOREAN, reason="no font here has Korean letters")


@pytest.fixture
def no_other_fonts(monkeypatch):
    """As on a system without a font but matplotlib's own."""
    own = [entry for entry in fontManager.ttflist if entry.name == figures.OWN]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(figures, "findSystemFonts", list)
    monkeypatch.setattr(figures, "_told", False)
    caches = figures._families, figures._letters, figures._add_new_fonts
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def pixels(picture):
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"), float)


def test_importing_loads_numpy_alone():
    code = "import minigrad.viz as v, sys; v.colours; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert mg.viz.figures is figures


def test_without_matplotlib_the_error_names_the_extra():
    code = "import sys; sys.modules['matplotlib'] = None; import minigrad.viz.figures"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "minigrad-rnn[viz]"' in ended.stderr.splitlines()[-1]


def test_a_figure_has_its_inches_whatever_the_style():
    with matplotlib.rc_context({"savefig.dpi": 17, "figure.dpi": 17}):
        assert pixels(png(new_figure(4, 2))).shape == (2 * figures.DPI, 4 * figures.DPI)


def test_colours_differ_also_in_grey():
    """Neighbours differ in lightness, or a printed line could not be told from the next."""
    grey = [0.3 * int(c[1:3], 16) + 0.59 * int(c[3:5], 16) + 0.11 * int(c[5:], 16) for c in COLOURS]
    assert len(set(COLOURS)) == 7
    assert all(abs(a - b) > 4 for i, a in enumerate(grey) for b in grey[:i])


@needs_korean
def test_korean_is_drawn_wherever_it_stands():
    """In titles, labels, ticks, legends: other letters give other pixels, so there are no boxes."""

    def picture(word):
        figure = new_figure(3, 2, layout="constrained")
        axes = figure.subplots()
        dress(axes)
        place = {
            "title": lambda: head(axes, word),
            "label": lambda: axes.set_xlabel(word),
            "ticks": lambda: axes.set_xticks([0, 1], [word, ""]),
            "legend": lambda: (axes.plot([1, 2], label=word), axes.legend()),
            "text": lambda: write(figure, 0.5, 0.5, word),
            "formula": lambda: head(axes, word + r" $\partial h_T / \partial h_{T-k}$"),
        }
        place[where]()
        return pixels(png(figure))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for where in ("title", "label", "ticks", "legend", "text", "formula"):
            assert (picture("말이") != picture("발이")).any(), where


@needs_korean
def test_a_font_is_chosen_by_its_letters():
    own, *others = families("기울기 ∂L/∂W")
    assert own == figures.OWN
    assert len(others) == 1
    assert set("기울기") <= figures._letters(others[0])
    assert families("∂L/∂Wₕₕ = Σₜ, café, 'x'\n") == [own]


@needs_korean
def test_fonts_that_were_installed_later_are_found(no_other_fonts, monkeypatch):
    """matplotlib makes its list of fonts once, and keeps it in a file."""
    monkeypatch.undo()
    own = [entry for entry in fontManager.ttflist if entry.name == figures.OWN]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fontManager, "ttflist", own)
        assert len(families("말")) == 2


def test_where_no_font_has_the_letters_it_says_so_once(no_other_fonts):
    def picture(word):
        figure = new_figure(3, 1)
        figure.text(0.1, 0.5, word)
        return pixels(png(figure))

    with pytest.warns(UserWarning, match=r"no font here has '말이'.*fonts-nanum") as told:
        boxes = picture("말이")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(boxes, picture("발이"))
    assert (boxes < 128).any()


def test_a_dollar_sign_is_written_as_it_is():
    figure = new_figure(3, 1)
    write(figure, 0.1, 0.5, "$x$ costs $5")
    assert not figure.texts[0].get_parse_math()
    assert (pixels(png(figure)) < 128).any()


@pytest.mark.parametrize(
    "name", ["$x_$ \\frac{a}{", "\\$5", "_hidden", "lone\ud800surrogate", "a\x00\n"]
)
def test_names_are_text(name):
    """No formula, and no error: what is seen is what another name of that width would show."""
    figure = new_figure(4, 2)
    axes = figure.subplots()
    axes.plot([0, 1], label=plain(name))
    axes.legend()
    axes.set_title(f"{plain(name)} $\\rho$")
    png(figure)
    assert len(axes.get_legend().get_texts()) == 1
    assert not axes.get_legend().get_texts()[0].get_text().replace(r"\$", "").count("$")


def test_a_long_name_is_cut_off():
    assert len(plain("x" * 100_000)) == figures.LONGEST


def test_all_figures_write_names_as_text():
    evil = "$x_$ \\frac{a}{\ud800"
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Tanh())
    setattr(model, evil, nn.RNN(2, 2, rng=rng))
    histograms, x = viz.Histograms(model), np.ones((3, 2), np.float32)
    with histograms.step(), viz.timeline() as timeline:
        (model(x) + getattr(model, evil)(x)[0]).sum().backward()
    start = {key: np.asarray(value) for key, value in model.state_dict().items()}
    path = [{k: v + rng.normal(size=v.shape) for k, v in start.items()} for _ in range(4)]
    surface = viz.loss_surface(lambda: model(x).sum(), model, steps=3, paths={evil: path})
    surface.names = (evil, evil)
    radii = viz.SpectralRadii()
    radii.note(model)
    radii.radii[evil] = [0.5]
    timeline.slices[:] = [s._replace(name=evil, start=0, duration=10**9) for s in timeline.slices]
    text = "a bc " * 9
    vocabulary = Vocabulary(sorted(set(text)))
    reader = Reader(len(vocabulary))
    features = {evil: np.arange(len(text)) % 3 == 0}
    neurons = viz.watch_neurons(reader, text, vocabulary, features=features)
    ids = np.array([0, 1, 2, 3])
    seen = viz.gradient_through_time({evil: reader}, ids, labels=[evil, "$", "_", "b"], window=2)
    for shown in (histograms, surface, radii, timeline, neurons, seen):
        written = [t for t in shown.figure().findobj(Text) if "$x_" in t.get_text()]
        assert written
        for text in written:
            assert "\ud800" not in text.get_text()
            assert not text.get_parse_math() or r"\$x_" in text.get_text()
