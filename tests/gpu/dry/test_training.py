"""The same training run on the GPU, executed on the host, and on the CPU: the same numbers."""

from __future__ import annotations

import entry_points
import numpy as np
import pytest
from training_steps import OPTIMIZERS, PLANS, make_step

import minigrad as mg
from minigrad import nn, optim

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
STEPS = 6

RANDOM = {"dropout", "variational"}  # the device has a random generator of its own

runs = sorted(PLANS.keys() - RANDOM)


def train(name, device, dtype, captured=False):
    """The losses of some steps, and the weights after them."""
    step, model = make_step(PLANS[name], device, dtype, captured)
    losses = [step() for _ in range(STEPS)]
    assert {p.device for p in model.parameters()} == {"cpu" if device == "cpu" else "cuda:0"}
    assert {str(p.dtype) for p in model.parameters()} == {dtype}
    return np.array([loss.item() for loss in losses]), model.state_dict()


def assert_close(found, expected, tolerance, what):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=what)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", runs)
def test_the_gpu_trains_as_the_cpu_does(name, dtype):
    losses, weights = train(name, "cuda", dtype)
    assert not entry_points.failures
    expected_losses, expected_weights = train(name, "cpu", dtype)
    learnt = expected_losses[0] - expected_losses[-1]
    assert learnt > 1e-3  # else there would be nothing to see
    assert_close(losses, expected_losses, TOLERANCE[dtype], "losses")
    assert weights.keys() == expected_weights.keys()
    for key, weight in weights.items():
        assert_close(weight, expected_weights[key], TOLERANCE[dtype], key)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_captured_step_trains_as_the_step_does(name, dtype):
    losses, weights = train(name, "cuda", dtype, captured=True)
    assert not entry_points.failures
    expected_losses, expected_weights = train(name, "cuda", dtype)
    np.testing.assert_array_equal(losses, expected_losses)
    for key, weight in weights.items():
        np.testing.assert_array_equal(weight, expected_weights[key], err_msg=key)


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_dropout_trains_on_the_gpu(name):
    losses, weights = train(name, "cuda", "float32")
    assert np.isfinite(losses).all()
    assert all(np.isfinite(w).all() for w in weights.values())
    again, _ = train(name, "cuda", "float32")
    np.testing.assert_array_equal(losses, again)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_step_whose_norm_is_not_finite_changes_nothing(kind):
    parameter = nn.Parameter(np.arange(1.0, 5.0, dtype=np.float32)).to("cuda")
    parameter = nn.Parameter(parameter.detach())
    optimizer = OPTIMIZERS[kind]([parameter])
    before = parameter.numpy()
    parameter.grad = mg.tensor([1.0, np.inf, 1.0, 1.0], device="cuda")
    norm = optim.clip_grad_norm_([parameter], 1.0)
    optimizer.step(if_finite=norm)
    np.testing.assert_array_equal(parameter.numpy(), before)
    parameter.grad = mg.tensor([1.0, -1.0, 1.0, 1.0], device="cuda")
    optimizer.step(if_finite=optim.clip_grad_norm_([parameter], 1.0))
    assert not np.array_equal(parameter.numpy(), before)


def test_a_model_goes_to_the_gpu_and_comes_back():
    mg.manual_seed(0)
    model = nn.LSTM(3, 4)
    before = model.state_dict()
    model.to("cuda")
    assert model.weight_ih_l0.device == "cuda:0"
    model.to("cpu")
    for key, weight in model.state_dict().items():
        np.testing.assert_array_equal(weight, before[key])


def test_devices_are_not_mixed():
    with pytest.raises(ValueError, match=r"cpu.*cuda:0"):
        mg.ones(3) + mg.ones(3, device="cuda")


def test_what_the_library_says_of_the_device():
    assert mg.cuda.is_available()
    assert mg.cuda.device_count() == 1
    assert mg.cuda.device_name("cuda") == "null device"
    before = mg.cuda.memory_stats("cuda")["allocated"]
    x = mg.zeros((1000, 1000), device="cuda")
    stats = mg.cuda.memory_stats("cuda")
    assert stats["allocated"] - before == 4_000_256  # to whole pieces of 512 bytes
    assert stats["reserved"] >= stats["allocated"]
    assert 0 < stats["free"] < stats["total"]
    assert x.device == "cuda:0"
    mg.cuda.synchronize("cuda")
    mg.cuda.empty_cache("cuda")
