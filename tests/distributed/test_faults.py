"""A job ends when one of its ranks fails: soon, with a status that is not 0, and told once."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from minigrad.distributed import Communicator, launching, world

pytestmark = pytest.mark.host(reason="the ranks compute on the CPU")

PROGRAM = Path(__file__).with_name("faults.py")
LONG = 600  # seconds: a rank that waited so long for another would be killed by the test before


def run(mpiexec, fault, timeout=LONG, ranks=2, options=()):
    """What the ranks say, and the status; the time is limited by that of `mpiexec`."""
    done = mpiexec(ranks, *options, PROGRAM, fault, timeout)
    return done.returncode, done.stdout.replace("\0", "") + done.stderr.replace("\0", "")


def test_without_a_fault_all_ranks_do_their_work(mpiexec):
    status, said = run(mpiexec, "none", ranks=3)
    assert status == 0, said
    assert said.count("has done its work") == 3


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        ("raises", [], "ValueError: the text is empty"),
        ("raises", ["-m", "mpi4py"], "ValueError: the text is empty"),
        ("memory", [], "MemoryError: Unable to allocate"),
        ("exits 0", [], "has ended before exchange 4 (barrier), in which rank 0 of 2 waits for it"),
        ("exits 3", ["-m", "mpi4py"], "has ended before exchange 4"),
        ("all raise", [], "ValueError: the text is empty"),
        ("interrupted", [], "RuntimeError: rank 1 of 2: exchange 4 (barrier) was interrupted"),
        ("other parameters", [], "rank 0 has array 0: float32 (3,) on a CPU; rank 1 has array 0"),
    ],
)
def test_an_error_of_a_rank_is_told_once_and_ends_the_job(mpiexec, fault, options, expected):
    status, said = run(mpiexec, fault, options=options)
    assert status == 1, said
    assert said.count("Traceback") == said.count(expected) == 1, said
    assert "rank 0 of 2:" in said or "rank 1 of 2:" in said
    assert "has done its work" not in said


@pytest.mark.parametrize("fault", ["hangs", "no world"])
def test_a_rank_that_does_not_come_is_named_after_the_timeout(mpiexec, fault):
    seconds = 0.5 if fault == "hangs" else 3  # longer than it takes until all have started MPI
    status, said = run(mpiexec, fault, timeout=seconds, ranks=3)
    assert status == 1, said
    missing = "rank 2 (process " if fault == "hangs" else "rank 1\n"
    assert f"1 of 3 ranks has not come to exchange {4 if fault == 'hangs' else 1}" in said
    assert f" for {seconds} s: {missing}" in said
    assert said.count("Traceback") == 1


def test_a_rank_that_ends_before_it_starts_mpi_is_not_waited_for(mpiexec):
    status, said = run(mpiexec, "no MPI", timeout=0.5)
    assert status != 0
    assert "has done its work" not in said


def test_a_killed_rank_ends_the_job(mpiexec):
    status, said = run(mpiexec, "killed")
    assert status != 0
    assert "has done its work" not in said


def test_a_rank_can_end_the_job_with_a_message_and_a_status(mpiexec):
    status, said = run(mpiexec, "aborts")
    assert status == 7
    assert "cannot write" in said
    assert "Traceback" not in said


@pytest.fixture
def alone(monkeypatch):
    """As at the start of a process that no mpiexec has started."""
    monkeypatch.setattr(launching, "_world", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    for pair in launching._VARIABLES.items():
        for name in pair:
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_process_that_is_alone_needs_no_mpi(alone):
    alone.setitem(sys.modules, "mpi4py", None)  # its import would fail
    ranks = world()
    assert type(ranks) is Communicator
    assert (ranks.rank, ranks.size, ranks.local_rank, ranks.local_size) == (0, 1, 0, 1)
    assert world() is ranks
    assert repr(ranks) == "rank 0 of 1"
    alone.setattr(launching, "_world", None)
    alone.setenv("PMI_RANK", "0")
    alone.setenv("PMI_SIZE", "1")
    assert type(world()) is Communicator


@pytest.mark.parametrize(
    "variables",
    [
        {"PMI_RANK": "1", "PMI_SIZE": "4"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"},
        {"PMIX_RANK": "3"},
    ],
)
def test_a_process_that_mpiexec_has_started_needs_mpi4py(alone, variables):
    alone.setitem(sys.modules, "mpi4py", None)
    for name, value in variables.items():
        alone.setenv(name, value)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "minigrad-rnn\[mpi\]"'):
        world()


def test_mpiexec_of_another_mpi_is_told(alone):
    """Else each process would believe that it is alone."""
    mpi = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(Get_size=lambda: 1),
        Get_library_version=lambda: "Open MPI v5.0.11, package: ...\nmore",
    )
    alone.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    alone.setenv("PMI_RANK", "0")
    alone.setenv("PMI_SIZE", "4")
    message = r"started 4 processes, but mpi4py sees 1; its MPI is Open MPI v5\.0\.11, and"
    with pytest.raises(RuntimeError, match=message):
        world()


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_is_above_0(timeout):
    with pytest.raises(ValueError, match="timeout must be a number above 0 or None"):
        world(timeout)
