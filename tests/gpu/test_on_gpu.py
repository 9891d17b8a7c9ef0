"""What only a real GPU can show: ``pytest --device cuda -m gpu``, or `benchmarks/gpu.sh`.

That its numbers are the CPU's, that the host waits for nothing, that memory does not grow, and that
the kernels stay within their arrays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.arrays.kernel import DTYPES
from minigrad.testing import check_gradients, check_layer

sys.path.insert(0, str(Path(__file__).parent / "dry"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
import cases_arrays  # noqa: F401 (registers its cases)
import cases_networks  # noqa: F401
from cases import CASES
from kernel_cases import CASES as KERNEL_CASES
from library_kernels import KERNELS, NAMES
from training_steps import PLANS, make_step

pytestmark = pytest.mark.gpu

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
every_op = pytest.mark.parametrize("name", sorted(mg.ops.__all__))

DROPPING = {"dropout", "variational"}  # plans whose masks are drawn elsewhere on the CPU
WAITING = {"sparse"}  # plans that wait for the GPU: how many rows are there?

MEMORY_STEPS = 10_000


@pytest.fixture(autouse=True)
def _explicit():
    """Nothing goes to the GPU unless it is said to."""
    mg.set_default_device("cpu")


def some(count):
    return settings(
        max_examples=count,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def assert_close(found, expected, dtype, what=""):
    """Relative to the largest number expected, or to 1."""
    assert found.shape == expected.shape, what
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    tolerance = TOLERANCE[dtype] * scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=what)


# ------------------------------------------------------------------ the CPU and the GPU agree
# In float32 too the GPU is compared with the CPU in float64: only its own rounding counts.


def dense(g):
    return mg.Tensor(g.to_dense() if getattr(g, "is_sparse", False) else g)


def computed(case, device, dtype, rounded_to):
    """The outputs of a case, and the gradients of its inputs, as NumPy's."""
    mg.set_default_device(device)  # raw arrays in its call (ids, masks, weights) follow
    inputs = [x.astype(rounded_to).astype(dtype) for x in case.inputs]
    inputs = [mg.tensor(x, requires_grad=True) for x in inputs]
    outputs = case.call(*inputs)
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    used = [y for y in outputs if y.requires_grad]
    given = [np.cos(np.arange(y.size, dtype=float)).reshape(y.shape) for y in used]
    given = [mg.tensor(g, dtype=y.dtype, device=y.device) for g, y in zip(given, used, strict=True)]
    gradients = mg.grad(used, inputs, given, allow_unused=True) if used else []
    found = [*outputs, *(dense(g) for g in gradients if g is not None)]
    mg.set_default_device("cpu")
    return found


@both_dtypes
@every_op
@some(8)
@given(data=st.data())
def test_ops(name, dtype, data):
    case = data.draw(CASES[name], label=name)
    found = computed(case, "cuda", dtype, dtype)
    assert {y.device for y in found} == {"cuda:0"}
    assert {str(y.dtype) for y in found if y.dtype.kind == "f"} <= {dtype}
    if name == "dropout":  # draws on the device: its kernel is compared with its oracle
        return
    expected = computed(case, "cpu", "float64", dtype)
    for y, e in zip(found, expected, strict=True):
        assert_close(y.numpy(), e.numpy(), dtype)


@every_op
@some(3)
@given(data=st.data())
def test_ops_agree_with_finite_differences_on_the_device(name, data):
    case = data.draw(CASES[name], label=name)
    mg.set_default_device("cuda")
    check_gradients(case.call, *[mg.tensor(x) for x in case.inputs], order=case.order)
    mg.set_default_device("cpu")


LAYERS = {
    "rnn": nn.RNN,
    "relu": partial(nn.RNN, nonlinearity="relu"),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def layer_and_its_gradients(make, device, dtype, lengths):
    """What a layer gives, and the gradients of its inputs and parameters, by name."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    layer = make().to(device, dtype)
    x = rng.standard_normal((7, 4, 33)).astype("float32").astype(dtype)
    x = mg.tensor(x, device=device, requires_grad=True)
    output, state = layer(x, lengths=lengths)
    parts = [output, *(state if isinstance(state, tuple) else (state,))]
    total = 0.0
    for y in parts:
        weights = np.cos(np.arange(y.size, dtype=float)).reshape(y.shape)
        total = total + (y * mg.tensor(weights, dtype=dtype, device=device)).sum()
    total.backward()
    found = {f"output {i}": y for i, y in enumerate(parts)} | {"x": x.grad}
    found |= {name: p.grad for name, p in layer.named_parameters()}
    assert {str(y.dtype) for y in found.values()} == {dtype}
    return {name: y.numpy() for name, y in found.items()}


@both_dtypes
@pytest.mark.parametrize("lengths", [None, (5, 2, 7, 1)], ids=["whole", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forwards", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", LAYERS)
def test_recurrent_layers(kind, layers, bidirectional, lengths, dtype):
    make = partial(LAYERS[kind], 33, 65, layers, bidirectional=bidirectional)
    found = layer_and_its_gradients(make, "cuda", dtype, lengths)
    expected = layer_and_its_gradients(make, "cpu", "float64", lengths)
    assert found.keys() == expected.keys()
    for name, y in expected.items():
        assert_close(found[name], y, dtype, name)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_agree_with_finite_differences_on_the_device(kind):
    layer = LAYERS[kind](2, 3, 2, bidirectional=True).to("cuda")
    x = mg.tensor(np.random.default_rng(0).standard_normal((4, 3, 2)), device="cuda")
    check_layer(layer, x, None, (4, 1, 3))


def trained(name, device, dtype, steps=20, captured=False):
    """The losses of so many training steps, and the parameters after them."""
    step, model = make_step(PLANS[name], device, dtype, captured)
    losses = [step() for _ in range(steps)]
    return np.array([loss.item() for loss in losses]), model.state_dict()


@both_dtypes
@pytest.mark.parametrize("name", sorted(PLANS.keys() - DROPPING))
def test_twenty_training_steps(name, dtype):
    losses, _ = trained(name, "cuda", dtype)
    expected, _ = trained(name, "cpu", "float64")
    assert expected[-1] < expected[0] - 1e-3  # it learns, so there is something to compare
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("name", ["lstm-2", "dropout", "classifier", "C4-GRU", "one-hot"])
def test_the_same_run_again_is_the_same_bit_for_bit(name, captured):
    losses, parameters = trained(name, "cuda", "float32")
    losses_again, parameters_again = trained(name, "cuda", "float32", captured=captured)
    np.testing.assert_array_equal(losses, losses_again)
    for key, value in parameters.items():
        np.testing.assert_array_equal(value, parameters_again[key])


# ------------------------------------------------------------------ the kernels


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_does_what_its_oracle_does(name, dtype):
    from test_kernels import run_and_compare  # which imports CuPy

    for seed, make in enumerate(KERNEL_CASES[name]):
        run_and_compare(KERNELS[name], dtype, make(np.random.default_rng(seed)))


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_compute_sanitizer_finds_nothing_in_the_kernels(tool):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer, a part of the CUDA toolkit, is not on the PATH")
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9"]
    if tool == "memcheck":  # what CuPy asks of CUDA, and is refused, is CuPy's affair
        command += ["--report-api-errors", "no"]
    command += [sys.executable, str(Path(__file__).parent / "sanitized.py")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200)
    told = finished.stdout + finished.stderr
    assert finished.returncode == 0, told[-4000:]
    assert f"{len(NAMES)} kernels" in told
    assert re.search(r"SUMMARY: 0 (errors|hazards)", told), told[-4000:]


def test_more_elements_than_an_int_can_count():
    count = (1 << 31) + 1000
    if mg.cuda.memory_stats()["free"] < 50 << 30:
        pytest.skip("it needs 50 GB of the GPU's memory")
    parameter = nn.Parameter(mg.zeros(count, device="cuda"))
    parameter.grad = mg.ones(count, device="cuda")
    norm = optim.clip_grad_norm_([parameter], 1e9)
    np.testing.assert_allclose(norm.item(), count**0.5, rtol=1e-6)
    optim.SGD([parameter], lr=0.5).step()
    parameter.grad = None
    with mg.no_grad():
        assert mg.max(parameter).item() == mg.min(parameter).item() == -0.5
        last = mg.dropout(parameter, 0.5)[-1000:].numpy()
    assert set(last) == {-1.0, 0.0}
    assert 0.4 < (last == 0).mean() < 0.6
    del parameter
    mg.cuda.empty_cache()


def product_error():
    """The relative error of a product of float32 matrices."""
    a, b = np.random.default_rng(0).standard_normal((2, 512, 512)).astype(np.float32)
    exact = a.astype(np.float64) @ b
    product = mg.tensor(a, device="cuda") @ mg.tensor(b, device="cuda")
    return np.linalg.norm(product.numpy() - exact) / np.linalg.norm(exact)


def test_products_of_float32_are_in_float32_unless_told_otherwise():
    import cupy

    assert product_error() < 1e-6
    try:
        mg.cuda.set_float32_matmul_precision("high")
        error = product_error()
    finally:
        mg.cuda.set_float32_matmul_precision("highest")
    if int(cupy.cuda.Device().compute_capability) >= 80:  # has TensorFloat-32
        assert 1e-5 < error < 1e-2
    assert product_error() < 1e-6


# ------------------------------------------------------------------ time and memory

WAIT = r"""
extern "C" __global__ void wait(long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    while (now - start < nanoseconds);
}
"""


def keep_the_gpu_waiting(seconds):
    """Give it nothing to do for that long; the event that is done when the time is over."""
    import cupy

    mg.cuda.synchronize()
    cupy.RawKernel(WAIT, "wait")((1,), (1,), (round(seconds * 1e9),))
    over = cupy.cuda.Event()
    over.record()
    return over


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("name", sorted(PLANS.keys() - WAITING))
def test_the_host_waits_for_nothing_in_a_training_step(name, captured):
    """While the GPU is kept waiting, a whole step is issued."""
    step, _ = make_step(PLANS[name], "cuda", captured=captured)
    for _ in range(3):  # these compile kernels, and fill the memory pool
        step()
    over = keep_the_gpu_waiting(0.5)
    loss = step()
    assert not over.done
    assert np.isfinite(loss.item())
    assert over.done


def test_a_host_that_waits_would_be_noticed():
    x = mg.ones(3, device="cuda")
    over = keep_the_gpu_waiting(0.1)
    x.sum().item()
    assert over.done


@pytest.mark.parametrize(("name", "captured"), [("dropout", 0), ("classifier", 0), ("dropout", 1)])
def test_memory_does_not_grow(name, captured):
    step, _ = make_step(PLANS[name], "cuda", captured=bool(captured))
    for _ in range(100):
        step()
    before = mg.cuda.memory_stats()
    for _ in range(MEMORY_STEPS - 100):
        step()
    after = mg.cuda.memory_stats()
    assert after["reserved"] == before["reserved"]
    assert after["allocated"] == before["allocated"]


# ------------------------------------------------------------------ other libraries


def test_pytorch_shares_memory_by_dlpack():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    ours = mg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cuda")
    theirs = torch.from_dlpack(ours)
    assert str(theirs.device) == "cuda:0"
    assert theirs.data_ptr() == ours.data.data.ptr
    theirs *= 2
    np.testing.assert_array_equal(ours.numpy(), [[2.0, 4.0], [6.0, 8.0]])
    back = mg.from_dlpack(torch.arange(3.0, device="cuda"))
    assert back.device == "cuda:0"
    np.testing.assert_array_equal((back + 1).numpy(), [1.0, 2.0, 3.0])
