"""Programs that are started as several ranks, by mpiexec."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def found_mpiexec():
    """The mpiexec that came with the MPI that mpi4py uses: beside Python, or one on the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@pytest.fixture(scope="session")
def mpiexec():
    if find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed")
    if found_mpiexec() is None:
        pytest.skip("no mpiexec, neither beside Python nor on the path")

    def run(ranks, *arguments, **environment):
        """Start Python with these arguments as several ranks; each has one thread."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            **environment,
        }
        return subprocess.run(
            [found_mpiexec(), "-n", str(ranks), sys.executable, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run
