"""What the strict double takes CuPy to have is what CuPy has."""

import json

import pytest
from double.make_names import snapshot
from double.names import NAMES


@pytest.mark.host("CuPy has the same names with a GPU and without")
def test_the_snapshot_is_of_the_installed_cupy():
    """It needs CuPy, but no GPU: ``pip install ".[gpu]"``."""
    pytest.importorskip("cupy")
    installed = json.loads(json.dumps(snapshot()))
    of_nccl = {"nccl", "NcclCommunicator"}  # only if its library is there
    assert installed.keys() | of_nccl == NAMES.keys()
    for part, names in installed.items():
        assert names == NAMES[part], f"{part}: run tests/gpu/double/make_names.py"
