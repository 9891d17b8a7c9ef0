"""Every op on stock CuPy, its kernels run on the host: values are NumPy's, gradients the CPU's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parents[2] / "ops"))
import cases_arrays  # noqa: F401 (registers its cases)
import cases_networks  # noqa: F401
from cases import CASES

a_few = settings(
    max_examples=10,
    database=None,
    derandomize=True,  # the same cases in each run, so that their kernels are compiled already
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

RANDOM = {"dropout"}  # another generator draws on the device: `test_kernels` compares its numbers


def as_list(outputs):
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def run(case, device):
    """The outputs of a case and the gradients of its inputs (those that it has), as NumPy's.

    Raw arrays in its call (ids, masks, weights) follow to the default device.
    """
    mg.set_default_device(device)
    inputs = [mg.tensor(x, requires_grad=True) for x in case.inputs]
    outputs = as_list(case.call(*inputs))
    if device == "cuda":
        assert {x.device for x in inputs} <= {"cuda:0"}
    used = [y for y in outputs if y.requires_grad]
    given = [np.cos(np.arange(y.size, dtype=float)).reshape(y.shape) for y in used]
    given = [mg.tensor(g, dtype=y.dtype, device=y.device) for g, y in zip(given, used, strict=True)]
    gradients = mg.grad(used, inputs, given, allow_unused=True) if used else []
    dense = [g.to_dense() if getattr(g, "is_sparse", False) else g for g in gradients]
    return [y.numpy() for y in outputs], [mg.Tensor(g) for g in dense if g is not None]


@pytest.mark.parametrize("name", sorted(mg.ops.__all__))
@a_few
@given(data=st.data())
def test_values_and_gradients(name, data):
    case = data.draw(CASES[name], label=name)
    outputs, gradients = run(case, "cuda")
    assert all(g.device == "cuda:0" for g in gradients)
    _, on_cpu = run(case, "cpu")
    assert [g.shape for g in gradients] == [g.shape for g in on_cpu]
    if name in RANDOM:
        return
    expected = as_list(case.expected(*case.inputs))
    for y, e in zip(outputs, expected, strict=True):
        assert y.shape == np.shape(e)
        np.testing.assert_allclose(y, e, rtol=1e-9, atol=1e-11)
    for g, e in zip(gradients, on_cpu, strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-9, atol=1e-11)
