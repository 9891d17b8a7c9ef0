"""The pictures of the examples: drawn in both languages, nothing cut off, nothing overlapping."""

import importlib
import re
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path

import pytest

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.text import Text  # noqa: E402

from minigrad.viz import figures  # noqa: E402

pytestmark = pytest.mark.host(reason="pictures are drawn on the CPU")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DRAWN = [
    *("bptt_paths", "clipping", "deep_and_bidirectional", "four_shapes", "gates", "hello"),
    *("rnnlm_sentence", "truncation", "unrolled_rnn", "vanishing_exploding"),
    *("ybigta", "zero_centred"),
]
KOREAN = any(figures._letters(name) for name in figures.OTHERS)
HANGUL = re.compile("[가-힣]")


@pytest.fixture(scope="module")
def drawn():
    """Each figure in each language, laid out once: the figure, and its texts with their places."""
    _figure = importlib.import_module("_figure")
    found = {}

    def draw(name, language):
        if (name, language) not in found:
            places = {}

            def noting(self, renderer):
                if self.get_visible() and self.get_text().strip():
                    places[self] = self.get_window_extent(renderer)
                drawn_by(self, renderer)

            drawn_by = Text.draw
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(figures, "DPI", 100)
                patch.setattr(Text, "draw", noting)
                figure = importlib.import_module(name).figure(_figure.LANGUAGES[language])
                figure.draw_without_rendering()
                found[name, language] = figure, places
        return found[name, language]

    return draw


class TestPictures:
    def test_every_example_has_one(self):
        """But the models of texts, and those that minigrad.viz draws."""
        names = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
        texts = {f"{a}_to_{b}" for a in ("one", "many") for b in ("one", "many")}
        texts |= {"memory", "language_model", "encoder_decoder"}
        assert names == {*DRAWN, *texts, "cliff", "seeing", "tape"}

    @pytest.mark.skipif(not KOREAN, reason="no font here has Korean letters")
    @pytest.mark.parametrize("language", ["en", "ko"])
    @pytest.mark.parametrize("name", DRAWN)
    def test_it_is_drawn_whole_and_can_be_read(self, name, language, drawn):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure, places = drawn(name, language)
        width, height = figure.bbox.size
        assert len(places) > 20
        for text, place in places.items():
            assert text.get_fontsize() >= 8, text
            sides = place.x0, place.y0, width - place.x1, height - place.y1
            assert min(sides) >= 0, f"{text} is cut off"
        for (a, one), (b, other) in combinations(places.items(), 2):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            up = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or up <= 3, f"{a} and {b} overlap"

    @pytest.mark.skipif(not KOREAN, reason="no font here has Korean letters")
    @pytest.mark.parametrize("name", DRAWN)
    def test_titles_are_in_its_language(self, name, drawn):
        for language in ("en", "ko"):
            axes = drawn(name, language)[0].axes
            titles = [title for a in axes if (title := a.get_title("left"))]
            assert any(map(HANGUL.search, titles)) == (language == "ko")


def test_a_picture_is_saved_instead_of_printing(tmp_path):
    command = [sys.executable, "-W", "error", str(EXAMPLES / "bptt_paths.py")]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "env": None}
    run = subprocess.run([*command, "--save", "a.png", "--lang", "en"], **options)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    run = subprocess.run([*command, "--save", "a.jpg"], **options)
    assert run.returncode == 2
    assert "--save: the name of a PNG ends in .png, not as in 'a.jpg'" in run.stderr


class TestGallery:
    PAGE = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))

    def test_it_shows_every_picture_with_the_command_that_makes_it(self):
        shown = re.findall(r"!\[[^]]+\]\(pictures/(\S+\.png)\)", self.PAGE)
        made = re.findall(r"^python .*docs/pictures/(\S+\.png)", self.PAGE, re.M)
        assert sorted(shown) == sorted(made)
        results = (ROOT / "docs" / "results.md").read_text("utf-8")
        others = re.findall(r"\(pictures/(\S+\.png)\)", results)
        assert {*shown, *others} == {path.name for path in self.PICTURES}

    def test_it_has_the_picture_of_every_example_in_both_languages(self):
        names = {path.name for path in self.PICTURES}
        assert names >= {f"{name}{end}" for name in DRAWN for end in (".png", ".ko.png")}

    def test_pictures_are_small(self):
        assert max(path.stat().st_size for path in self.PICTURES) < 130_000
