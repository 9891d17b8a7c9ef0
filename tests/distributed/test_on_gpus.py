"""Training steps of ranks with a GPU each give the bits of one rank."""

import re
from pathlib import Path

import pytest

import minigrad as mg
from minigrad.distributed import Communicator
from minigrad.distributed.nccl_communicator import NcclCommunicator, _load

PROGRAM = Path(__file__).with_name("on_gpus.py")


def weights(done):
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"weights (\w+) losses .* on (.*)\n", done.stdout)
    places = re.findall(r"\('([\w:]+)', '([\w:.]+)'\)", found[2])
    assert {device for device, _ in places} == {"cuda:0"}
    return found[1], [place for _, place in places]


@pytest.mark.host(reason="each rank installs the strict double")
def test_on_the_strict_double(mpiexec):
    """Through `world`: each rank takes its GPU, captures its step, and waits for no GPU."""
    alone, _ = weights(mpiexec(1, PROGRAM, "double"))
    together, places = weights(
        mpiexec(2, PROGRAM, "double", "captured", CUDA_VISIBLE_DEVICES="2,0,1")
    )
    assert together == alone
    assert places == ["0000:02:00.0", "0000:00:00.0"]


@pytest.mark.host(reason="each rank installs the strict double")
def test_two_ranks_and_one_gpu(mpiexec):
    done = mpiexec(2, PROGRAM, "double", CUDA_VISIBLE_DEVICES="1")
    assert done.returncode != 0
    assert done.stderr.count("ranks 0 and 1 have the same GPU, 0000:01:00.0") == 1


@pytest.mark.gpu
def test_nccl_between_a_gpu_and_itself():
    """All that one GPU can show: NCCL starts, and takes what it is given."""
    try:
        _load()
    except RuntimeError as error:
        pytest.skip(str(error))
    line = NcclCommunicator(Communicator())
    x = mg.arange(5.0, device="cuda").data
    into = mg.zeros(5, device="cuda").data
    line.swap([x], [into])
    line.all_reduce(into)
    line.share(into[1:], [0, 4])
    assert into.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.gpu
def test_on_two_gpus(mpiexec):
    if mg.cuda.device_count() < 2:
        pytest.skip("there is only one GPU")
    alone, _ = weights(mpiexec(1, PROGRAM))
    together, places = weights(mpiexec(2, PROGRAM))
    assert together == alone
    assert len({*places}) == 2
