import contextlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minigrad.data import Vocabulary
from models import RNNLM
from models.run_directory import RunDirectory

VOCABULARY = Vocabulary(["<unk>", "a", "b", "한"], unk="<unk>")


def net(**options):
    return RNNLM(4, 3, 5, "lstm", rng=np.random.default_rng(1), **options)


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "runs" / "one")
    directory.begin({"training": {"lr": 0.1}}, net(), VOCABULARY)
    directory.save_weights(net(), VOCABULARY, 7)
    return directory


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "dropout": 0.5}])
def test_comes_back(tmp_path, options):
    directory, model = RunDirectory(tmp_path), net(**options)
    directory.begin({"training": {"lr": 0.1}}, model, VOCABULARY)
    directory.save_weights(model, VOCABULARY, 3)
    loaded = RunDirectory(str(tmp_path)).load()
    assert loaded.vocabulary == VOCABULARY
    assert loaded.settings["training"] == {"lr": 0.1}
    assert loaded.model.settings() == model.settings()
    for name, value in model.state_dict().items():
        assert np.array_equal(loaded.model.state_dict()[name], value)


def test_tied_weights_come_back_tied(tmp_path):
    directory, model = RunDirectory(tmp_path), RNNLM(4, 5, 5, tied=True)
    directory.begin({}, model, VOCABULARY)
    directory.save_weights(model, VOCABULARY, 3)
    loaded = directory.load().model
    assert loaded.embedding.weight is loaded.output.weight
    assert np.array_equal(loaded.output.weight.data, model.output.weight.data)


def test_weights_of_pytorch_without_metadata(run):
    arrays = load_file(run.weights)
    save_file(arrays, run.weights)
    assert np.array_equal(run.load().model.embedding.weight.data, arrays["embedding.weight"])


def test_only_its_own_files_are_replaced(run):
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"already holds a run.*--overwrite"):
        run.check_free()
    run.begin({}, net(), VOCABULARY)
    assert sorted(file.name for file in run.path.iterdir()) == [
        "notes.txt", "settings.json", "vocabulary.json"
    ]  # fmt: skip


def test_free_directories(tmp_path):
    RunDirectory(tmp_path / "new").check_free()
    (tmp_path / "other.txt").touch()
    RunDirectory(tmp_path).check_free()
    with pytest.raises(FileExistsError, match="is a file"):
        RunDirectory(tmp_path / "other.txt").check_free()


class TestDamage:
    def fails(self, run, kind, message):
        with pytest.raises(kind, match=message):
            run.load()

    def test_no_directory(self, tmp_path):
        self.fails(RunDirectory(tmp_path / "no"), FileNotFoundError, "no directory")

    @pytest.mark.parametrize("file", ["weights", "settings", "vocabulary"])
    def test_missing(self, run, file):
        getattr(run, file).unlink()
        self.fails(run, FileNotFoundError, "holds no trained model: it has no")

    @pytest.mark.parametrize("file", ["weights", "settings", "vocabulary"])
    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\0\0", b"[]", b"x" * 500, b"[" * 100_000])
    def test_overwritten(self, run, file, content):
        getattr(run, file).write_bytes(content)
        self.fails(run, ValueError, getattr(run, file).name)

    @pytest.mark.parametrize("file", ["weights", "settings", "vocabulary"])
    def test_cut_off_anywhere(self, run, file):
        path = getattr(run, file)
        content = path.read_bytes()
        for length in range(0, len(content) - 2, max(1, len(content) // 50)):
            path.write_bytes(content[:length])
            self.fails(run, ValueError, path.name)

    def change(self, run, **model):
        settings = json.loads(run.settings.read_bytes())
        settings["model"] |= model
        run.settings.write_text(json.dumps(settings))

    def test_other_settings(self, run):
        self.change(run, cell="gru")
        self.fails(run, ValueError, "does not fit the model in settings.json: .*weight_ih_l0")
        self.change(run, cell="lstm", vocab_size=5)
        self.fails(run, ValueError, "not of this model: it has 4 tokens, the model 5")
        self.change(run, vocab_size="4")
        self.fails(run, ValueError, "settings.json' is damaged")
        self.change(run, vocab_size=4, surprise=1)
        self.fails(run, ValueError, "settings.json' is damaged")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": "other"}, "not that of a minigrad"),
            ({"version": 2}, "version 2; this minigrad reads"),
            ({"model": None}, 'no "model"'),
        ],
    )
    def test_foreign_settings(self, run, changes, message):
        run.settings.write_text(json.dumps(json.loads(run.settings.read_bytes()) | changes))
        self.fails(run, ValueError, message)

    def test_another_vocabulary(self, run):
        Vocabulary(["<unk>", "b", "a", "한"], unk="<unk>").save(run.vocabulary)
        self.fails(run, ValueError, "not of the same run")

    def test_foreign_weights(self, run):
        save_file({"conv.weight": np.zeros((3, 3), np.float32)}, run.weights)
        self.fails(run, ValueError, "unexpected: conv.weight")
        save_file({"conv.weight": np.zeros(3, np.int64)}, run.weights)
        self.fails(run, ValueError, "does not fit")

    def test_nan(self, run):
        arrays = load_file(run.weights)
        arrays["output.bias"][1] = np.nan
        save_file(arrays, run.weights)
        self.fails(run, ValueError, "holds NaN")

    def test_bits_that_flip_in_the_header(self, run):
        content = bytearray(run.weights.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        rng = np.random.default_rng(0)
        for position in rng.choice(header, 60, replace=False):
            damaged = content.copy()
            damaged[position] ^= 1 << int(rng.integers(8))
            run.weights.write_bytes(damaged)
            with contextlib.suppress(ValueError):  # and nothing else
                run.load()
