"""For all tests: on which device they run, and a generator that starts the same each time."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parent / "gpu"))


def _install_double():
    import double

    double.install()


def _look_for_a_gpu():
    try:
        mg.set_default_device("cuda")
    except RuntimeError as error:
        raise pytest.UsageError(f"--device cuda: {error}") from None
    mg.set_default_device("cpu")


def _execute_on_the_host():
    sys.path.insert(0, str(Path(__file__).parent / "gpu" / "dry"))
    import host_execution

    try:
        host_execution.install()
    except RuntimeError as error:
        raise pytest.UsageError(f"--device host: {error}") from None


INSTALLERS = {
    "cpu": None,
    "double": _install_double,
    "host": _execute_on_the_host,
    "cuda": _look_for_a_gpu,
}
"""For each --device, what is to be done before anything imports CuPy."""

MARKERS = [
    "host(reason): runs on the CPU alone, whatever --device says, because ...",
    "device: needs a device that is not the CPU",
    "gpu: needs a GPU",
]


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=list(INSTALLERS),
        default="cpu",
        help="where the tests run: cpu; double: a strict stand-in for CuPy, to be had everywhere; "
        "host: CuPy itself, run by the processor (for tests/gpu/dry); cuda: a GPU, through CuPy",
    )


def pytest_configure(config):
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    device = config.getoption("--device")
    # what the double computes is computed on the CPU too; here it counts where
    few = {"max_examples": 30} if device == "double" else {}
    settings.register_profile("any machine", deadline=None, **few)  # however slow or busy it is
    settings.load_profile("any machine")
    if device != "cuda":  # the machine's own GPUs, whatever it has, are not those of the tests
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if install := INSTALLERS[device]:
        install()


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that are not for this device."""
    device = config.getoption("--device")
    unwanted = {"device" if device == "cpu" else "host"} | ({"gpu"} if device != "cuda" else set())
    left_out = {item for item in items if unwanted & marked(item)}
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def marked(item):
    """The marks of a test; of `host` and `device` the nearer, so one test of a file may differ."""
    names = [mark.name for mark in item.iter_markers()]  # the nearest first
    places = [name for name in names if name in ("host", "device")]
    return {*names} - {*places[1:]} | {*places[:1]}


@pytest.fixture(scope="session")
def device(pytestconfig):
    """ "cpu" or "cuda": where the tests run."""
    return "cpu" if pytestconfig.getoption("--device") == "cpu" else "cuda"


@pytest.fixture(autouse=True, scope="session")
def _begin_on_device(device):
    """For fixtures that are made once for several tests."""
    mg.set_default_device(device)
    yield
    mg.set_default_device("cpu")


@pytest.fixture(autouse=True)
def _on_device(device):
    """Whatever the test before has set."""
    mg.set_default_device(device)


@pytest.fixture(autouse=True)
def _same_seed():
    mg.manual_seed(0)
