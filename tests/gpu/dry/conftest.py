"""Tests on stock CuPy without a GPU: ``make test-gpu-dry``, ``pytest tests/gpu/dry --device host``.

Without the option these files are not collected, since a process has one CuPy, and this one runs on
the processor: see `null_device` (launches, copies and synchronisations, counted) and
`host_execution` (kernels, compiled with g++ and run). Two scripts beside the tests need no GPU
either: `count_launches` and `host_time`.
"""

import sys
from pathlib import Path

import pytest

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parent))


def pytest_ignore_collect(collection_path, config):
    """Leave the files alone unless CuPy runs on the host."""
    return True if config.getoption("--device") != "host" else None


@pytest.fixture(autouse=True)
def _default_device_is_the_cpu():
    """Elsewhere --device is the default device; here each test says what goes to the GPU."""
    mg.set_default_device("cpu")
    yield
    mg.set_default_device("cpu")


@pytest.fixture(autouse=True)
def _nothing_failed_below_cupy():
    """C code cannot be told of an error in the null device: it is told here."""
    import entry_points

    entry_points.failures.clear()
    yield
    assert not entry_points.failures, "\n".join(entry_points.failures)
