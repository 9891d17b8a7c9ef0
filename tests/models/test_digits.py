"""``python -m models digits``: trained, stopped, resumed, measured and used."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import minigrad as mg
from models.commands.cli import app
from models.runs.directory import RunDirectory
from models.showing.confusion_picture import confusion_picture
from models.tasks.classifying_images import ClassifyingImages
from models.tasks.saved_problem import load_problem

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

host = pytest.mark.host(reason="the commands compute on the CPU")

SMALL = ["--hidden-size", 8, "--batch-size", 8, "--samples", 0]


def call(*arguments, input=None):
    return CliRunner().invoke(app, ["digits", *map(str, arguments)], input=input)


def stripes(path, count=120, height=4, width=3):
    """Images of one bright row, whose number is the label; and noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(height, size=count)
    pixels = rng.integers(4, size=(count, height, width))
    pixels[np.arange(count), labels] += 12
    np.savez(path, images=pixels, labels=labels)
    return path


@pytest.fixture
def data(tmp_path):
    return stripes(tmp_path / "stripes.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run of an MLP, and what was printed."""
    folder = tmp_path_factory.mktemp("digits")
    about = ["--data", stripes(folder / "stripes.npz"), "--out", folder / "out", "--epochs", 15]
    result = call("train", *about, *SMALL, "--samples", 1, "--lr", 0.02)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


@host
class TestTraining:
    def test_it_learns_and_tells_of_simpler_methods(self, trained):
        out, output = trained
        assert "size        4 x 3 pixels" in output
        shares = dict(re.findall(r"^(the .*\w) +(\d+\.\d+)%", output, re.M))
        assert list(shares) == [
            *("the network", "the most frequent class", "the nearest mean", "the nearest image")
        ]
        assert float(shares["the network"]) > 90 > 50 > float(shares["the most frequent class"])
        assert float(shares["the nearest mean"]) > 90 < float(shares["the nearest image"])
        assert (out / "result.png").read_bytes()[:4] == b"\x89PNG"

    def test_a_sample_shows_the_images(self, trained):
        _, output = trained
        after = output.split("a sample after training")[1]
        drawn = [line for line in after.splitlines() if set(line) & set("#%@")]
        assert len(drawn) >= 3
        assert re.search(r"^[0-3] \d+% \((right|it is [0-3])\)", after, re.M)

    def test_a_run_that_is_resumed_is_the_same_run(self, data, tmp_path):
        options = ["--data", data, *SMALL, "--read", "rows", "--cell", "gru", "--eval-every", 10]
        options += ["--schedule", "constant"]
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 20).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", 13).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 20)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))

    def test_what_is_refused(self, data, tmp_path):
        for arguments, message in (
            (["--data", data, "--cell", "gru"], "--cell gru needs --read rows"),
            (["--data", tmp_path / "none.npz"], "No such file"),
            (["--data", ""], "--data must not be empty"),
        ):
            result = call("train", "--out", tmp_path / "a", *arguments)
            assert result.exit_code == 2
            (line,) = result.stderr.strip().splitlines()
            assert message in line
            assert not (tmp_path / "a").exists()


@host
class TestUse:
    def test_evaluate_on_a_file(self, trained, tmp_path):
        out, _ = trained
        result = call("evaluate", out, "--data", stripes(tmp_path / "new.npz", 30), "--json")
        found = json.loads(result.stdout)
        assert found["images"] == 30
        assert found["methods"]["the network"]["accuracy"] > 0.9
        for pixels, labels, message in (
            (np.ones((3, 4, 4)), np.arange(3), r"(4, 4) pixels, expected (4, 3)"),
            (np.ones((3, 4, 3)), np.arange(3, 6), "label '4'"),
        ):
            np.savez(tmp_path / "bad.npz", images=pixels, labels=labels)
            result = call("evaluate", out, "--data", tmp_path / "bad.npz")
            assert result.exit_code == 2
            assert message in result.stderr

    def test_predict_numbers_and_files(self, trained, tmp_path):
        """An image of the test part by its number, an array, a picture of 10 times the size."""
        out, _ = trained
        run = load_problem(ClassifyingImages, RunDirectory(out))
        test = run.problem.load(run.problem.settings).parts["test"]
        chances = run.problem.probabilities(run.model, test.pixels)
        np.save(tmp_path / "a.npy", test.pixels[2])
        bright = np.zeros((40, 30), np.uint8)
        bright[10:20] = 255
        Image.fromarray(bright).save(tmp_path / "b.png")
        inputs = ["2", str(tmp_path / "a.npy"), str(tmp_path / "b.png")]
        result = call("predict", out, "--json", input="\n".join(inputs))
        number, array, picture = map(json.loads, result.stdout.splitlines())
        for found in (number, array):
            assert list(found["probabilities"].values()) == pytest.approx(chances[2], abs=1e-5)
        assert number["is"] == test.labels[2]
        assert picture["label"] == "1"
        best = f"{number['label']}\t{chances[2].max():.3f}\t2, which is {test.labels[2]}\n"
        assert call("predict", out, "2").stdout == best

    def test_what_predict_refuses(self, trained, tmp_path):
        out, _ = trained
        assert "there are 12" in call("predict", out, "12").stderr
        assert "none.png" in call("predict", out, tmp_path / "none.png").stderr


@host
def test_no_line_of_the_picture_s_title_is_cut_off():
    picture = confusion_picture(np.eye(10, dtype=int), list("0123456789"), "One\ntwo\nthree")
    with Image.open(io.BytesIO(picture)) as image:
        assert (np.asarray(image.convert("L"))[:3] == 255).all()


@pytest.mark.device
def test_it_learns_on_a_device_as_on_the_cpu(data, tmp_path):
    ends = []
    for device in ("cpu", "cuda"):
        options = ["--data", data, "--out", tmp_path / device, *SMALL, "--dropout", 0]
        result = call("train", *options, "--read", "rows", "--steps", 6, "--device", device)
        assert result.exit_code == 0, result.output
        run = load_problem(ClassifyingImages, RunDirectory(tmp_path / device), "last", "cpu")
        ends.append(run.model.state_dict().values())
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
