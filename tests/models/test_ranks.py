"""``mpiexec -n 4 python -m mpi4py -m models train``: several processes train one model."""

import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad.distributed import Communicator
from minigrad.training import deferred_interrupts, load_checkpoint
from models.runs import ranks
from models.runs.leading import Leader, check_equal
from models.runs.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "distributed"))
from kills import TEXT, final, same
from mpi_programs import mpiexec  # noqa: F401 (a fixture)
from thread_ranks import on_ranks

HERE = Path(__file__).parent

pytestmark = pytest.mark.host(reason="the ranks compute on the CPU")


class Done:
    """What the runs of `ranks_program` have left."""

    def __init__(self, folder):
        self.folder = folder

    def shown(self, name):
        """What stood on the terminal, and the exit statuses of the ranks."""
        *lines, statuses = (self.folder / f"{name}.txt").read_text("utf-8").splitlines()
        return "\n".join(lines), statuses

    def final(self, name):
        """All that a run has come to; whether steps are replayed changes nothing else."""
        found = final(self.folder / name)
        found["checkpoint"]["settings"].pop("capture", None)
        del found["checkpoint"]["model"]["run_id"], found["best"]["run_id"]
        return found


@pytest.fixture(scope="module")
def runs(mpiexec, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT[:6000], "utf-8")
    (folder / "reversed.txt").write_text(TEXT[5999::-1], "utf-8")
    done = mpiexec(4, "-m", "mpi4py", HERE / "ranks_program.py", folder, folder / "text.txt")
    assert done.returncode == 0, done.stderr
    return Done(folder)


def test_1_2_and_4_ranks_give_the_same_bits(runs):
    one = runs.final("one")
    assert [r["split"] for r in one["records"]].count("valid") == 4
    assert one["records"][-1]["split"] == "test"
    assert same(runs.final("two"), one)
    assert same(runs.final("four"), one)
    for name, count in {"one": 1, "two": 2, "four": 4}.items():
        assert runs.shown(name)[1] == str([0] * count)
    files = [path.name for path in (runs.folder / "four" / "ranks").iterdir()]
    assert sorted(files) == ["rank-1.txt", "rank-2.txt", "rank-3.txt"]
    assert not (runs.folder / "one" / "ranks").exists()


def test_a_signal_stops_all_ranks_and_another_number_of_them_goes_on(runs):
    text, statuses = runs.shown("stopped")  # a signal to rank 0
    assert "Stopped by SIGINT after step 10." in text
    assert statuses == str([130] * 4)
    text, statuses = runs.shown("stopped-with-2")  # a signal to rank 1 alone
    assert "Stopped by SIGINT after step 16." in text
    assert statuses == str([130] * 2)
    assert runs.shown("stopped-with-1")[1] == "[0]"
    assert same(runs.final("stopped"), runs.final("four"))


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "another-rate": "rank 1 of 2, on .*, has --lr 0.5, and rank 0 has None",
        "other-code": "rank 1 of 2, on .*, has source files with the hash of other files",
        "other-threads": "rank 1 of 2, on .*, has BLAS threads 7 .*, and rank 0 has 1 ",
        "another-text": "rank 1 of 2, on .*: .*text.txt is not the text that rank 0 has",
        "wrong-option-on-one": "rank 1 of 2, on .*, has failed: .*No such option: --nonsense",
        "wrong-option": "No such option: --nonsense",
        "another-command": "started 2 processes, and only .* not `sample`",
        "no-text": "there is no file '.*missing.txt'",
        "no-directory": "'.*text.txt' is a file, not a directory",
        "there-already": "already holds a run",
        "too-many": "--shards must be at least the number of processes, 4, got 2",
        "no-multiple": "--batch-size must be a multiple of --shards, .*, got 8 and 3",
        "other-command": "rank 1 of 2, on .*, has failed: .*not `sample`",
        "full-disk": "No space left on device",
    }.items(),
)
def test_what_is_wrong_is_said_once_and_ends_all(runs, name, message):
    text, statuses = runs.shown(name)
    assert len(re.findall(message, text)) == 1
    assert len(text) < 500
    assert set(eval(statuses)) == {2}
    assert not list(runs.folder.glob(f"{name}/*.safetensors"))


@pytest.mark.parametrize("fault", ["raises", "is killed"])
def test_a_rank_that_fails_ends_the_job(mpiexec, tmp_path, fault):  # noqa: F811
    cell = tmp_path / "cell.py"
    does = "raise ValueError('no more')" if fault == "raises" else "os.kill(os.getpid(), 9)"
    cell.write_text(
        f"""if True:
        import os
        from minigrad import nn

        class Cell(nn.RNNCell):
            calls = 0

            def forward(self, x, state):
                Cell.calls += 1
                rank = os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK")
                if self.training and rank == "1" and Cell.calls > 400:
                    {does}
                y = super().forward(x, state)
                return y, y
        """
    )
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT[:6000], "utf-8")
    began = time.monotonic()
    options = ["--batch-size", "4", "--hidden-size", "8", "--bptt", "8", "--samples", "0"]
    done = mpiexec(
        *(2, "-m", "mpi4py", "-m", "models", "train", "--text", text, "--out", out),
        *(*options, "--cell", f"{cell}:Cell", "--steps", "100000"),
    )
    assert time.monotonic() - began < 60
    assert done.returncode not in (0, 1)
    if fault == "raises":
        assert done.stderr.count("no more") == 1
        assert "rank 1 of 2, on " in done.stderr
        assert "no more" in (out / "ranks" / "rank-1.txt").read_text("utf-8")
    assert load_checkpoint(out / "checkpoint.safetensors")["trainer"]["step"] == 0


@pytest.mark.parametrize("own", [False, True])
def test_a_signal_that_all_ranks_get_counts_once(own):
    """A second one would mean: at once, without a checkpoint."""

    class Rank(Communicator):
        def gather(self, value):
            return [value, None, signal.SIGINT]

    leader = Leader(Rank())
    with deferred_interrupts() as interrupts:
        if own:
            signal.raise_signal(signal.SIGTERM)
        for name in ("launch", "state_dict"):
            with leader.ordered(name):
                assert leader.busy
    assert interrupts.signal == (signal.SIGTERM if own else signal.SIGINT)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (SystemExit(0), 2)])
def test_a_rank_that_leaves_while_it_follows_ends_the_job(monkeypatch, capsys, error, status):
    """A second signal, or a cell that calls sys.exit: the others would wait for it."""

    class AbortedError(Exception):
        pass

    class Rank(Communicator):
        def gather(self, value):
            raise error

        def abort(self, status, tell=None):
            raise AbortedError(status)

    monkeypatch.setattr(ranks, "world", Rank)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 (whatever it is)
        ranks.follow({}, Settings())
    assert (raised.type, raised.value.args) == (AbortedError, (status,))


def test_weights_that_drift_apart_are_noticed():
    class Model:
        def __init__(self, number):
            self.number = number

        def state_dict(self):
            return {"weight": np.full(3, self.number, np.float32)}

    def compared(communicator):
        check_equal(Model(1.0 + 1e-7 * (communicator.rank == 2)), communicator)

    with pytest.raises(ValueError, match="rank 2 of 4 has others"):
        on_ranks(4, compared)
    on_ranks(4, lambda communicator: check_equal(Model(2.0), communicator))
