"""detect_anomaly names the op, the shapes and the line of the forward pass."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def line():
    return inspect.currentframe().f_back.f_lineno


def test_forward_infinity_names_op_shape_and_line():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError) as caught:
        mg.log(x)
    here = line() - 1
    text = str(caught.value)
    assert "forward pass made an infinity in log of float32 (2,)" in text
    assert f"test_anomaly.py:{here}" in text


def test_backward_nan_names_the_forward_line():
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly():
        here = line() + 1
        y = mg.sqrt(x * 1.0)
        with pytest.raises(mg.AnomalyError) as caught:
            (y * 0.0).sum().backward()
    assert "backward pass made a NaN in sqrt of float32 (1,)" in str(caught.value)
    assert f"test_anomaly.py:{here}" in str(caught.value)


def test_in_joint_and_fused_ops_and_without_recording():
    z = mg.tensor([[np.inf, 1.0]])
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="a NaN in cross_entropy"):
        mg.cross_entropy(z, [0])


def test_infinities_that_were_there_before_are_nobodys_fault():
    mask = mg.tensor([0.0, -np.inf])
    with mg.detect_anomaly():
        p = mg.softmax(mg.tensor([1.0, 2.0], requires_grad=True) + mask)
        p.sum().backward()
    assert p.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "put_in",
    [
        lambda x: mg.where(np.array([True, False]), x, -np.inf),
        lambda x: mg.maximum(x, np.float32(-np.inf)),
        lambda x: mg.add(x, [0.0, -np.inf]),
        lambda x: mg.pad(x, 1, constant_values=np.inf),
        lambda x: x.at[0].set(-np.inf),
        lambda x: mg.concatenate([x, [np.inf]]),
    ],
)
def test_infinities_that_are_put_in_as_numbers_are_nobodys_fault(put_in):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with mg.detect_anomaly():
        y = put_in(x)
        y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_off_again_after_the_block_and_after_an_error():
    x = mg.tensor([0.0])
    with pytest.raises(mg.AnomalyError), mg.detect_anomaly():
        mg.log(x)
    assert mg.log(x).item() == -np.inf


def test_recorded_outside_says_so():
    x = mg.tensor([0.0], requires_grad=True)
    y = mg.sqrt(x).sum()
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"infinity in sqrt.*unknown"):
        y.backward()
