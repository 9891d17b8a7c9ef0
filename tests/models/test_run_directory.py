import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import minigrad as mg
from minigrad.data import Vocabulary
from minigrad.training import save_checkpoint
from models import RNNLM, load_run
from models.runs.directory import RUN_VERSION, RunDirectory, read_toml
from models.runs.loaded_run import load_from
from models.runs.saved_model import describe
from models.runs.settings import Settings

VOCABULARY = Vocabulary(["<unk>", "a", "b", "한"], unk="<unk>")
FILES = ["config", "tokenizer", "model"]


def net(**options):
    return RNNLM(4, 3, 5, "lstm", rng=np.random.default_rng(1), **options)


def begun(path, model=None, step=7):
    directory = RunDirectory(path)
    with directory.locked():
        directory.begin(Settings(lr=0.1), VOCABULARY)
        directory.save_model(describe(model or net(), VOCABULARY, step, 1.5, True))
    return directory


@pytest.fixture
def run(tmp_path):
    return begun(tmp_path / "runs" / "한 글")


@pytest.mark.parametrize(
    "model",
    [
        net(),
        net(num_layers=2, dropout=0.5),
        RNNLM(4, 5, 5, tied=True),
        RNNLM(4, None, 5, "rnn"),
        RNNLM(4, 3, 5, num_layers=2, tied=True, weight_drop=0.5, variational=True),
    ],
)
def test_comes_back(tmp_path, model):
    loaded = load_from(begun(tmp_path, model))
    assert loaded.tokenizer == VOCABULARY
    assert (loaded.step, loaded.saw_unknown) == (7, True)
    assert loaded.settings == Settings(lr=0.1)
    assert loaded.model.settings() == model.settings()
    for name, value in model.state_dict().items():
        assert np.array_equal(loaded.model.state_dict()[name], value)
    if model.settings()["tied"]:
        assert loaded.model.embedding.weight is loaded.model.output.weight


def test_loading_draws_nothing_and_leaves_a_model_to_train(run):
    mg.manual_seed(3)
    model = load_run(run.path).model
    assert model.settings() == load_from(run).model.settings()
    ids = np.zeros((4, 2), int)
    model.loss(ids, ids)[0].backward()
    mg.optim.SGD(model.parameters(), lr=1.0).step()
    assert all(np.isfinite(p.numpy()).all() for p in model.parameters())
    first = mg.nn.init.uniform_(mg.zeros(3)).tolist()
    mg.manual_seed(3)
    assert mg.nn.init.uniform_(mg.zeros(3)).tolist() == first
    with pytest.raises(ValueError, match="which must be 'best' or 'last', not 'first'"):
        load_run(run.path, "first")


def test_the_last_weights_are_in_the_checkpoint(run):
    last = RNNLM(4, 3, 5, "lstm", rng=np.random.default_rng(2))
    described = describe(last, VOCABULARY, 9, None, False)
    run.save_checkpoint({"run_version": RUN_VERSION, "model": described})
    loaded = load_from(run, "last")
    assert loaded.step == 9
    assert np.array_equal(loaded.model.output.bias.numpy(), last.output.bias.numpy())


def test_only_its_own_files_are_replaced(run):
    (run.path / "notes.txt").write_text("mine")
    (run.path / ".model.safetensors.12ab.tmp").write_text("of a run that was killed")
    (run.path / ".mine.tmp").write_text("mine")
    with pytest.raises(FileExistsError, match=r"already holds a run.*--resume.*--overwrite"):
        run.check_free()
    with run.locked():
        run.begin(Settings(), VOCABULARY)
    assert sorted(file.name for file in run.path.iterdir()) == [
        ".lock", ".mine.tmp", "config.toml", "notes.txt", "tokenizer.json"
    ]  # fmt: skip


def test_free_directories(tmp_path):
    RunDirectory(tmp_path / "new").check_free()
    (tmp_path / "other.txt").touch()
    RunDirectory(tmp_path).check_free()
    with pytest.raises(FileExistsError, match="is a file"):
        RunDirectory(tmp_path / "other.txt").check_free()


def test_one_run_at_a_time(run):
    with (
        run.locked(),
        pytest.raises(OSError, match="in use by another run"),
        RunDirectory(run.path).locked(),
    ):
        pass
    with run.locked():  # it is free again
        pass


def test_a_lock_goes_with_its_process(run):
    code = "import os, sys; from models.runs.directory import RunDirectory\n"
    code += "RunDirectory(sys.argv[1]).locked().__enter__(); os.kill(os.getpid(), 9)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code, run.path], env=environment, check=False)
    assert result.returncode == -9
    with run.locked():
        pass


class TestDamage:
    def fails(self, run, kind, message):
        with pytest.raises(kind, match=message):
            load_from(run)

    def test_no_directory(self, tmp_path):
        self.fails(RunDirectory(tmp_path / "no"), FileNotFoundError, "no directory")
        self.fails(RunDirectory(tmp_path), FileNotFoundError, "holds no run")

    @pytest.mark.parametrize("file", ["model", "tokenizer"])
    def test_missing(self, run, file):
        getattr(run, file).unlink()
        self.fails(run, FileNotFoundError, "holds no trained model: it has no")

    @pytest.mark.parametrize("file", FILES)
    @pytest.mark.parametrize("content", [b"\xff\xfe\0\0", b"[]]", b"x" * 500, b"[" * 100_000])
    def test_overwritten(self, run, file, content):
        getattr(run, file).write_bytes(content)
        self.fails(run, ValueError, getattr(run, file).name)

    @pytest.mark.parametrize("file", ["model", "tokenizer"])
    def test_cut_off_anywhere(self, run, file):
        path = getattr(run, file)
        content = path.read_bytes()
        for length in range(0, len(content) - 2, max(1, len(content) // 50)):
            path.write_bytes(content[:length])
            self.fails(run, ValueError, path.name)

    def test_another_vocabulary(self, run):
        Vocabulary(["<unk>", "b", "a", "한"], unk="<unk>").save(run.tokenizer)
        self.fails(run, ValueError, "not of the same run")

    def test_foreign_weights(self, run):
        save_file({"conv.weight": np.zeros((3, 3), np.float32)}, run.model)
        self.fails(run, ValueError, "of another program")
        save_checkpoint(run.model, {"weights": np.ones(3)})
        self.fails(run, ValueError, "holds no language model")
        described = describe(net(), VOCABULARY, 7, 1.5, True)
        save_checkpoint(run.model, {**described, "version": 99})
        self.fails(run, ValueError, "version 99; this minigrad reads version 2")

    @pytest.mark.parametrize("change", [{"settings": {}}, {"weights": {}}, {"settings": None}])
    def test_parts_that_do_not_fit(self, run, change):
        save_checkpoint(run.model, {**describe(net(), VOCABULARY, 7, 1.5, True), **change})
        self.fails(run, ValueError, "model.safetensors")

    def test_nan(self, run):
        model = net()
        model.output.bias.data[1] = np.nan
        save_checkpoint(run.model, describe(model, VOCABULARY, 7, 1.5, True))
        self.fails(run, ValueError, "holds NaN")

    def test_settings(self, run):
        run.config.write_text("hidden_size = 0")
        self.fails(run, ValueError, "--hidden-size must be at least 1")


def test_toml(tmp_path):
    (tmp_path / "a.toml").write_text("\ufeffhidden-size = 3 # units\nlr = 1e-3", encoding="utf-8")
    assert read_toml(tmp_path / "a.toml") == {"hidden_size": 3, "lr": 1e-3}
    (tmp_path / "a.toml").write_text("hidden-size: 3")
    with pytest.raises(ValueError, match="is not TOML"):
        read_toml(tmp_path / "a.toml")
