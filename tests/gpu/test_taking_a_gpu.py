"""Several processes on one machine: which GPU is whose."""

import os
import sys

import double
import pytest
from double.devices import seen

from minigrad.arrays import devices
from minigrad.arrays.devices import require_cupy, take_gpu

pytestmark = pytest.mark.host("it begins as a process that has not asked for a GPU")


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch):
    monkeypatch.setattr(devices, "gpus", [])
    monkeypatch.setattr(devices, "_taken", "")
    monkeypatch.setitem(sys.modules, "cupy", double.cupy)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is restored
    seen.cache_clear()
    yield
    seen.cache_clear()


@pytest.mark.parametrize(
    ("visible", "number", "taken"),
    [
        (None, 0, "0"),
        (None, 3, "3"),
        ("1,3", 0, "1"),
        ("1,3", 1, "3"),
        ("1,3", 2, ""),
        ("GPU-8f,GPU-2a", 1, "GPU-2a"),
        ("2", 3, "2"),  # from a launcher that gives each process its own
        ("", 1, ""),  # the user wants none
    ],
)
def test_it_is_the_one_of_the_process_among_those_that_may_be_seen(visible, number, taken):
    if visible is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    take_gpu(number, 4)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


def test_a_process_that_is_alone_has_its_choice():
    os.environ["CUDA_VISIBLE_DEVICES"] = "3,1"
    devices.gpus.append(0)  # also if it has used one before
    take_gpu(0, 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,1"


def test_it_is_the_only_one():
    os.environ["CUDA_VISIBLE_DEVICES"] = "3,1"
    take_gpu(1, 2)
    cupy = require_cupy()
    assert devices.gpus == [0]
    assert cupy.cuda.runtime.deviceGetPCIBusId(0) == "0000:01:00.0"


@pytest.mark.parametrize(
    ("visible", "of"), [(None, "of all"), ("0,1", r"of CUDA_VISIBLE_DEVICES=0,1")]
)
def test_more_processes_than_gpus(visible, of):
    if visible is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    take_gpu(4, 5)
    told = rf"0 GPUs were found.*process 4 of 5 on this machine.*{of}: are there as many\?"
    with pytest.raises(RuntimeError, match=told):
        require_cupy()


def test_too_late():
    devices.gpus.append(0)
    with pytest.raises(RuntimeError, match=r"process 1 of 2 .* used a GPU before .*world\(\)"):
        take_gpu(1, 2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
