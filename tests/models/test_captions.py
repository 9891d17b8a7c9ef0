"""``python -m models caption``: from an image or a label a text, letter by letter."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import minigrad as mg
from models import emoji_pictures
from models.commands.cli import app
from models.measuring.text_ngrams import ngram_loss
from models.measuring.text_similarity import middle, word_f1
from models.reading.captioned_images import (
    group_parts,
    load_captioned_parts,
    read_captioned,
    read_picture,
    shifted,
)
from models.reading.labelled_texts import Labelled
from models.runs.directory import RunDirectory
from models.tasks.captioning import Captioning
from models.tasks.saved_problem import load_problem

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

pytestmark = pytest.mark.host(reason="the commands compute on the CPU")

COLOURS = {"빨강": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}
SMALL = ["--hidden-size", 12, "--embedding-size", 4, "--thing-size", 8, "--batch-size", 8]
SMALL += ["--samples", 1, "--lr", 0.02, "--shift", 1, "--dropout", 0.1]
SMALL += ["--image-dropout", 0, "--pixel-dropout", 0]


def call(*arguments, input=None):
    return CliRunner().invoke(app, ["caption", *map(str, arguments)], input=input)


def pictures(path, count=40, shape=(3, 4, 3), **more):
    """Images of one colour each, whose name is the caption."""
    rng = np.random.default_rng(0)
    names = [list(COLOURS)[i] for i in rng.integers(3, size=count)]
    images = np.array([np.broadcast_to(COLOURS[name], shape) for name in names], np.uint8)
    groups = np.array([f"{i // 2}" for i in range(count)])
    np.savez(path, **{"images": images, "ko": np.array(names), "group": groups, **more})
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    data = pictures(folder / "colours.npz")
    options = ["--data", data, "--language", "ko", "--out", folder / "out", *SMALL]
    result = call("train", *options, "--epochs", 30, "--eval-every", 60)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A run that has learnt from labels: the names of "up" begin with a, those of "down" with b."""
    folder = tmp_path_factory.mktemp("names")
    rng = np.random.default_rng(0)
    tails = ["".join(rng.choice(list("xyz"), rng.integers(1, 4))) for _ in range(80)]
    lines = [f"{'ab'[i % 2]}{tail}\t{['up', 'down'][i % 2]}" for i, tail in enumerate(tails)]
    (folder / "names.tsv").write_text("\n".join(lines), encoding="utf-8")
    options = ["--data", folder / "names.tsv", "--out", folder / "out", *SMALL]
    result = call("train", *options, "--epochs", 12, "--eval-every", 50)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


class TestImages:
    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.zeros((40, 3, 4), np.uint8)}, r"must be uint8 of shape .* \(40, 3, 4\)"),
            ({"images": np.zeros((40, 3, 4, 3))}, "got float64"),
            ({"ko": np.arange(40)}, "'ko' must be 40 texts.*got int64"),
            ({"group": np.array(["a"])}, r"'group' must be 40 texts.*\(1,\)"),
            ({"ko": np.array([" "] * 40)}, "no caption in 'ko'"),
        ],
    )
    def test_arrays_that_are_refused(self, tmp_path, arrays, message):
        path = pictures(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            read_captioned(path, "ko")
        assert "a.npz" in str(caught.value)

    def test_files_that_are_refused(self, tmp_path):
        path = pictures(tmp_path / "a.npz")
        with pytest.raises(ValueError, match=r"no array 'fr'; it has captions in \['ko'\]"):
            read_captioned(path, "fr")
        (tmp_path / "b.npz").write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match=r"b\.npz' is no \.npz file"):
            read_captioned(tmp_path / "b.npz", "ko")
        other = pictures(tmp_path / "c.npz", shape=(4, 4, 3))
        with pytest.raises(ValueError, match=r"one size, but .*c\.npz.*\(4, 4, 3\)"):
            load_captioned_parts([path, other], "ko")

    def test_groups_stay_together_and_none_is_lost(self):
        rng = np.random.default_rng(0)
        groups = [str(i) for i in rng.integers(60, size=300)]
        parts = group_parts(groups, [0.7, 0.2, 0.1], 3)
        assert sorted(i for part in parts for i in part) == list(range(300))
        of = [{groups[i] for i in part} for part in parts]
        assert not of[0] & of[1]
        assert not (of[0] | of[1]) & of[2]
        assert [len(part) / 300 for part in parts] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
        assert parts != group_parts(groups, [0.7, 0.2, 0.1], 4)

    def test_parts(self, tmp_path):
        captions = np.array(["", *(f"e\u0301 {i}" for i in range(39))])
        path = pictures(tmp_path / "a.npz", ko=captions)
        found = load_captioned_parts([path], "ko", seed=1)
        assert [line.number for line in found.bad] == [1]
        texts = [text for part in found.parts.values() for text in part.captions]
        assert sorted(texts) == sorted(f"é {i}" for i in range(39))
        again = load_captioned_parts([path], "ko", seed=1)
        assert again.fingerprint == found.fingerprint
        assert load_captioned_parts([path], "ko", seed=2).fingerprint != found.fingerprint

    def test_a_picture_stands_on_white(self, tmp_path):
        picture = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
        picture.paste((200, 0, 0, 255), (0, 0, 30, 40))
        picture.save(tmp_path / "a.png")
        found = read_picture(tmp_path / "a.png", (4, 6, 3))
        assert found.shape == (4, 6, 3)
        np.testing.assert_allclose(found[:, 0], [[200, 0, 0]] * 4, atol=8)
        np.testing.assert_allclose(found[:, -1], [[255] * 3] * 4, atol=8)
        (tmp_path / "b.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match="no picture that can be read"):
            read_picture(tmp_path / "b.png", (4, 6, 3))

    def test_shifted_images_are_the_same_at_another_place(self):
        images = np.zeros((50, 7, 9, 2))
        images[:, 3, 4] = np.arange(1, 51)[:, None]
        moved = shifted(images, 2, np.random.default_rng(0))
        where = np.argwhere(moved[..., 0])
        assert where[:, 0].tolist() == list(range(50))
        assert moved.sum() == images.sum()
        offsets = where[:, 1:] - [3, 4]
        assert {*offsets.ravel().tolist()} == {-2, -1, 0, 1, 2}


class TestEmoji:
    def test_groups(self):
        assert emoji_pictures.group("red heart") == emoji_pictures.group("black heart") == "heart"
        assert emoji_pictures.group("ten o’clock") == emoji_pictures.group("one-thirty")
        assert emoji_pictures.group("woman") == "woman"

    def test_what_a_font_has_is_drawn(self, tmp_path, monkeypatch):
        font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
        data = {
            "\u263a\ufe0f": {"status": 2, "en": ":smiling_face:", "ko": ":미소_짓는_얼굴:"},
            "\u2665": {"status": 2, "en": ":heart_suit:"},
            "\u263a": {"status": 3, "en": ":not_qualified:"},
            "\u263a\u2665": {"status": 2, "en": ":two_characters:"},
        }
        fake = SimpleNamespace(
            EMOJI_DATA=data,
            STATUS={"fully_qualified": 2},
            LANGUAGES=["en", "ko"],
            config=SimpleNamespace(load_language=lambda: None),
        )
        monkeypatch.setitem(sys.modules, "emoji", fake)
        emoji_pictures.main([str(tmp_path / "a.npz"), "--font", str(font), "--size", "12"])
        found, bad = read_captioned(tmp_path / "a.npz", "ko")
        assert (found.captions, len(bad)) == (["미소 짓는 얼굴"], 1)
        assert found.pixels.shape == (1, 12, 12, 3)
        assert found.pixels.min() < 128
        with pytest.raises(SystemExit, match="no font of pictures"):
            emoji_pictures.main([str(tmp_path / "b.npz"), "--font", str(tmp_path / "none.ttf")])

    def test_what_is_missing_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "emoji", None)
        with pytest.raises(SystemExit, match=r'pip install "\.\[emoji\]"'):
            emoji_pictures.main([str(tmp_path / "a.npz")])


class TestMeasures:
    def test_what_they_are_for(self):
        assert word_f1(["b a a", "x", ""], ["a b", "y", "z"]) == pytest.approx(0.8 / 3)
        assert middle(["aaaa", "aabb", "abbb", "zzzzzzzz"]) == "aabb"

    def test_ngrams(self):
        """Of each label they know what its texts begin with; none looks into the text before."""
        first, second = np.array([1, 3]), np.array([2, 3, 3])
        texts = ([first, second] * 30, ["a", "b"] * 30)
        together = (texts[0], [0] * 60)
        apart, _ = ngram_loss(texts, texts, texts, end=0, vocab_size=4)
        loss, order = ngram_loss(together, together, together, end=0, vocab_size=4)
        assert order > 1
        assert apart < 0.03
        assert loss == pytest.approx(np.log(2) / 3.5, abs=0.03)  # which of the two texts it is


class TestTraining:
    def test_it_learns_and_tells_of_simpler_methods(self, trained):
        out, output = trained
        assert re.search(r"images +3 × 4, those to train on in \d+ groups", output)
        for method in ("the network", "the nearest image"):
            assert re.search(rf"{method} +\S+ +0\.0% +1\.0000", output), output
        assert re.search(r"the same for all +- +\d\d", output)
        assert re.search(r"-grams without the image +\d\.\d", output)
        with Image.open(io.BytesIO((out / "result.png").read_bytes())) as picture:
            assert picture.format == "PNG"

    def test_labels(self, names):
        out, output = names
        assert "labels      down, up" in output
        found = {
            name: [float(cell.strip("%")) for cell in cells]
            for name, *cells in re.findall(
                r"^(the network|\d-grams of each label|\d-grams without the label) +(\S+)",
                output,
                re.M,
            )
        }
        network, apart, together = (
            next(cells[0] for name, cells in found.items() if part in name)
            for part in ("network", "of each", "without")
        )
        assert apart < together - 0.1
        assert network < together
        assert "these texts themselves" in output
        assert not (out / "result.png").exists()

    def test_a_run_that_is_resumed_is_the_same_run(self, trained, tmp_path):
        data = trained[0].parent / "colours.npz"
        options = ["--data", data, "--language", "ko", *SMALL, "--schedule", "constant"]
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 13).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", 6).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 13)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))

    def test_what_is_refused(self, trained, names, tmp_path):
        colours, lines = trained[0].parent / "colours.npz", names[0].parent / "names.tsv"
        for arguments, message in (
            (["--data", colours, "--out", tmp_path / "a"], "no array 'en'"),
            (["--data", colours, "--valid", lines, "--out", tmp_path / "a"], "all be images"),
        ):
            result = call("train", *arguments)
            assert result.exit_code == 2, result.output
            assert message in " ".join(result.output.split())


class TestUse:
    def test_captions_of_pictures(self, trained, tmp_path):
        for name, colour in COLOURS.items():
            Image.new("RGB", (16, 12), colour).save(tmp_path / f"{name}.png")
        paths = [str(tmp_path / f"{name}.png") for name in COLOURS]
        result = call("predict", trained[0], "--json", input="\n".join(paths))
        assert result.exit_code == 0, result.output
        found = [json.loads(line) for line in result.output.splitlines()]
        assert [each["text"] for each in found] == list(COLOURS)
        assert [each["image"] for each in found] == paths
        assert call("predict", trained[0], tmp_path / "none.png").exit_code == 2

    def test_a_beam_finds_what_is_likelier_than_the_greedy_text(self, names):
        problem, model, *_ = load_problem(Captioning, RunDirectory(names[0]))
        greedy, beam = (problem.writer.likeliest(model, np.array([0, 1]), w, 0.0) for w in (1, 12))

        def nats(label, text):
            examples = problem.prepared(Labelled([text], [label]))
            about = (lambda: False, lambda _: None, False)
            return problem.measured(model, examples, *about)["loss"] * (len(text) + 1)

        for label, first, best in zip(problem.labels, greedy, beam, strict=True):
            assert nats(label, best) <= nats(label, first)
            assert nats(label, best) < nats(label, best + "x")
        assert [text[0] for text in beam] == ["b", "a"]

    def test_samples_are_different_and_told_to_be_new(self, names, tmp_path):
        arguments = ("predict", names[0], "up", "--samples", 6, "--json")
        (first,), (again,), (other,) = (
            [json.loads(line) for line in call(*arguments, "--seed", seed).output.splitlines()]
            for seed in (1, 1, 2)
        )
        assert first == again
        assert first["texts"] != other["texts"]
        assert len(set(first["texts"])) == 6
        lines = (names[0].parent / "names.tsv").read_text("utf-8").splitlines()
        told = call("predict", names[0], "up", "--samples", 6, "--seed", 1).output.splitlines()
        assert [line.split("\t")[0] for line in told] == first["texts"]
        assert first["new"] == pytest.approx(sum("\tnew" in line for line in told) / 6, abs=1e-3)
        known = {line.split("\t")[0] for line in lines}
        assert all("\tnew" in line for line in told if line.split("\t")[0] not in known)

    def test_evaluate(self, trained, names):
        result = json.loads(call("evaluate", trained[0], "--json", "--beam", 1).output)
        assert result["methods"]["the network"]["errors"] == 0
        methods = json.loads(call("evaluate", names[0], "--json").output)["methods"]
        assert 0 <= methods["the network"]["new"] <= 1

    def test_an_unknown_label_is_told(self, names):
        result = call("predict", names[0], "sideways")
        assert result.exit_code == 2
        assert "no label 'sideways', but down, up" in " ".join(result.output.split())
