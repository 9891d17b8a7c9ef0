"""A batch in shards: the same run, bit for bit, however many processes divide them."""

import re
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from minigrad.data import batchify
from minigrad.training import load_checkpoint, save_checkpoint
from models.commands.cli import app
from models.measuring.evaluation import Evaluation, evaluate, together
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.new_model import make_model
from models.runs.settings import Settings
from models.runs.shards import own_shards, own_streams
from models.runs.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
from drawing_cell import DrawingCell
from kills import final, same
from test_replayed_steps import OPTIONS, Late, failed, fitting, plain
from thread_ranks import ThreadRank, on_ranks

pytestmark = pytest.mark.host(reason="shards on a GPU are in test_devices.py")

SMALL = {"hidden_size": 6, "embedding_size": 6, "bptt": 5, "batch_size": 8, "shards": 4}
ALONE = ThreadRank(0, 1, None)


def trainer(communicator=None, replayed=False, vocab_size=9, make=None, **options):
    """By default on windows of 5, 5, 5 and 2 time steps, of four shards of two streams."""
    s = Settings(**{**SMALL, **options})
    rng = np.random.default_rng(s.seed)
    ids = np.random.default_rng(1).integers(0, vocab_size, 18 * s.batch_size)
    streams = own_streams(ids, s, own_shards(s, communicator or ALONE), vocab_size)
    make = DrawingCell if s.own_cell and make is None else make
    run = Trainer(make_model(s, vocab_size, rng, make), s, streams, rng, communicator)
    if replayed:
        run.replay(failed)
    return run


def weights(run):
    return {name: value.tobytes() for name, value in run.model.state_dict().items()}


def some_steps(communicator, tree, count, replayed, options):
    """What a run tells of some steps, and all that its checkpoint holds then.

    It begins, or goes on from `tree`. In one of the steps the loss is not a number.
    """
    run = trainer(communicator, replayed, **options)
    if tree is not None:
        run.model.load_state_dict(tree["model"])
        run.load_state_dict(tree["trainer"])
    told = []
    for _ in range(count):
        skips = run.step == 5 and run.settings.on_nonfinite == "skip"
        bias = run.model.output.bias.data
        kept = bias.copy()
        if skips:
            bias[0] = np.nan
        told.append(run.advance(0.1 / (1 + run.step)))
        if skips:
            assert told[-1].skipped
            assert run.state is None
            bias[...] = kept
        if run.step == 2 and run.settings.optimizer == "nt-asgd":
            run.start_averaging()
    return repr(told), plain({"model": run.model.state_dict(), "trainer": run.state_dict()})


@pytest.mark.filterwarnings("ignore:capture.*was recorded:UserWarning")  # lengths vary
@settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],  # no shrinking, which takes minutes
    suppress_health_check=list(HealthCheck),
)
@example(
    options={"optimizer": "sgd", "dropout": 0.3, "on_nonfinite": "skip"},
    vocab_size=1100,  # the gradient of the embedding is row-sparse
    ways=[3, 1, 4, 2],
    replayed=[True, True, False, True],
)
@given(
    options=OPTIONS.map(fitting),
    vocab_size=st.sampled_from([9, 1100]),
    ways=st.lists(st.sampled_from([None, 1, 2, 3, 4]), min_size=4, max_size=4),
    replayed=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_a_run_is_the_same_and_goes_on_with_any_number_of_ranks(
    tmp_path_factory, options, vocab_size, ways, replayed
):
    options["vocab_size"] = vocab_size
    tree, path = None, tmp_path_factory.mktemp("run") / "checkpoint"
    for count in (3, 4):
        found = []
        for size, captured in [(None, False), *zip(ways[:2], replayed[:2], strict=True)]:
            steps = partial(some_steps, tree=tree, count=count, replayed=captured, options=options)
            found += [steps(None)] if size is None else on_ranks(size, steps)
        assert all(told == found[0][0] for told, _ in found)
        assert all(same(state, found[0][1]) for _, state in found)
        save_checkpoint(path, found[0][1])
        tree, ways, replayed = load_checkpoint(path), ways[2:], replayed[2:]


class TestSteps:
    def test_the_gradient_is_that_of_the_whole_batch_and_is_clipped_as_one(self):
        options = {"dropout": 0.0, "optimizer": "sgd", "clip": 0.02}
        whole, parts = trainer(shards=None, **options), trainer(**options)
        parts.model.load_state_dict(whole.model.state_dict())
        for _ in range(5):
            a, b = whole.advance(0.5), parts.advance(0.5)
            assert tuple(b) == pytest.approx(tuple(a), rel=1e-5)
            assert b.grad_norm > b.grad_norm_clipped == pytest.approx(0.02)
        for ours, theirs in zip(parts.parameters, whole.parameters, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
        assert (parts.tokens, parts.epoch, parts.at) == (whole.tokens, whole.epoch, whole.at)

    def test_one_shard_is_none(self):
        assert Settings().changed({"shards": 1}).shard_count == 1
        runs = [trainer(shards=shards, dropout=0.3) for shards in (None, 1)]
        for run in runs:
            for _ in range(5):
                run.advance(0.1)
        assert same(*(plain(run.state_dict()) for run in runs))
        assert weights(runs[0]) == weights(runs[1])

    def test_each_shard_draws_by_itself(self):
        """Other than the others do, and whatever they read."""
        saved = []
        for token in (3, 4):
            run = trainer(shards=2, input_dropout=0.5)
            run.windows.streams[:, :4], run.windows.streams[:, 4:] = 3, token
            run.advance(0.1)
            saved.append(plain(run.state_dict()))
        (first, second), others = saved[0]["state"], saved[1]["state"]
        assert not same(first, second)
        assert [same(first, others[0]), same(second, others[1])] == [True, False]
        assert saved[0]["rng"][0] != saved[0]["rng"][1]
        assert saved[0]["rng"] == saved[1]["rng"]

    def test_a_model_with_buffers_is_refused(self):
        with pytest.raises(ValueError, match=r"--shards needs .* has .*mean"):
            trainer(cell="cell.py:own", make=Late)


class TestText:
    def test_a_rank_reads_its_own_streams_alone(self):
        s, ids = Settings(**SMALL), np.arange(103, dtype=np.uint8)
        whole = batchify(ids, s.batch_size)
        for size in (1, 2, 3, 4):
            owns = [own_shards(s, ThreadRank(rank, size, None)) for rank in range(size)]
            assert [n for own in owns for n in own] == [0, 1, 2, 3]
            parts = [own_streams(ids, s, own, 256) for own in owns]
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
        ids[0] = 255
        with pytest.raises(IndexError, match="255"):
            own_streams(ids, s, range(2), 255)
        own_streams(ids, s, range(2, 4), 255)

    def test_more_ranks_than_shards(self):
        with pytest.raises(ValueError, match=r"--shards must be at least .*, 5, got 4"):
            own_shards(Settings(**SMALL), ThreadRank(0, 5, None))


class TestEvaluation:
    def test_the_pieces_of_all_parts_are_the_whole_text(self):
        model = RNNLM(9, 6, 6, rng=np.random.default_rng(0))
        ids = np.random.default_rng(1).integers(0, 9, 500)
        whole = evaluate(model, ids, streams=7, warm_up=20)
        cuts = pairwise([0, 1, 3, 7])
        parts = [evaluate(model, ids, streams=7, warm_up=20, of=range(*cut)) for cut in cuts]
        assert together(parts).tokens == whole.tokens == 499
        assert together(parts).nats == pytest.approx(whole.nats, rel=1e-6)
        three = [Evaluation(nats, 1) for nats in (0.1, 0.2, 0.3)]
        assert together(three) == together(three[::-1])
        for of in (range(3, 3), range(6, 8), range(-1, 2), range(0, 6, 2)):
            with pytest.raises(ValueError, match="of must be some of the 7 pieces"):
                evaluate(model, ids, streams=7, of=of)

    @pytest.mark.parametrize("streams", [1, 3, 16])
    def test_the_figure_is_the_same_whatever_the_number_of_ranks(self, streams):
        ids, asked = np.random.default_rng(1).integers(0, 9, 300), []

        def figure(communicator, stops=()):
            run, told = trainer(communicator), []
            stop = lambda: communicator.rank in stops  # noqa: E731
            found = run.shards.evaluated(run.model, ids, streams, stop, told.append)
            asked.append(told)
            return found

        (expected,) = on_ranks(1, figure)
        assert asked[0][-1] == expected.tokens == 299
        for size in (2, 3, 4):
            assert on_ranks(size, figure) == [expected] * size
        if streams == 16:
            assert on_ranks(2, partial(figure, stops=[1])) == [None, None]


# ---------------------------------------------------------------- the command

TRAIN = ["--hidden-size", 6, "--batch-size", 4, "--bptt", 8, "--embedding-size", 4]
TRAIN += ["--steps", 12, "--eval-every", 6, "--samples", 0, "--save-every", 0, "--shards", 2]
TRAIN += ["--schedule", "constant"]


def call(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def succeeds(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def refused(result, message):
    """In one line, without a traceback."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert re.search(message, line), line
    assert len(line) < 500


@pytest.fixture(scope="module")
def peace(tmp_path_factory):
    """A run of two shards, not to be changed."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "text.txt").write_text("the quick brown fox jumps over\n" * 40, encoding="utf-8")
    out = folder / "out"
    told = succeeds(call("--text", folder / "text.txt", "--out", out, *TRAIN))
    assert "of 4 × 8 characters, in 2 shards" in told
    return out


class TestCommand:
    def test_a_run_that_goes_on_is_the_same(self, peace, tmp_path):
        out, text = tmp_path / "out", peace.parent / "text.txt"
        succeeds(call("--text", text, "--out", out, *TRAIN, "--steps", 5, "--reduce", "fast"))
        refused(call("--resume", out, "--shards", 4), "--shards: a run that goes on keeps its")
        succeeds(call("--resume", out, "--shards", 2, "--steps", 12, "--reduce", "exact"))
        ours, theirs = final(out)["checkpoint"], final(peace)["checkpoint"]
        assert same(ours["model"]["weights"], theirs["model"]["weights"])
        assert same(ours["trainer"], theirs["trainer"])

    def test_what_cannot_be(self, peace, tmp_path):
        arguments = ["--text", peace.parent / "text.txt", "--out", tmp_path / "out", *TRAIN]
        refused(call(*arguments, "--shards", 3), "--batch-size must be a multiple of --shards")
        with pytest.raises(ValueError, match="--shards must be at least 1, got 0"):
            Settings(shards=0)

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            *(("rng", w) for w in (lambda x: x[0], lambda x: x[:1], lambda x: [*x, x[0]])),
            ("rng", lambda x: [x[0], {**x[1], "bit_generator": "MT19937"}]),
            ("rng", lambda x: [x[0], {}]),
            ("rng", lambda x: [x[0], 5]),
            *(("state", w) for w in (lambda x: x[0], lambda x: x[:1], lambda x: [x[0], None])),
            ("state", lambda x: [x[0], tuple(np.zeros((1, 3, 6), np.float32) for _ in x[1])]),
            ("state", lambda x: {}),
        ],
    )
    def test_a_checkpoint_that_is_made_up_is_refused(self, peace, wrong, name):
        directory = RunDirectory(peace)
        kept = {path: path.read_bytes() for path in (directory.checkpoint, directory.previous)}
        tree = load_checkpoint(directory.checkpoint)
        tree["trainer"][name] = wrong(tree["trainer"][name])
        try:
            save_checkpoint(directory.checkpoint, tree)
            directory.previous.unlink()
            refused(call("--resume", peace, "--steps", 13), r"checkpoint\.safetensors' is damaged")
        finally:
            for path, content in kept.items():
                path.write_bytes(content)

    def test_another_number_of_shards_in_the_settings(self, peace):
        config = peace / "config.toml"
        kept = config.read_text("utf-8")
        try:
            config.write_text(kept.replace("shards = 2", "shards = 4"), encoding="utf-8")
            refused(call("--resume", peace), "config.toml' has been changed .*--shards from 2 to 4")
        finally:
            config.write_text(kept, encoding="utf-8")
