"""Arrays handed to PyTorch and back, without a copy, by DLPack."""

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

DTYPES = ["float16", "float32", "float64", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3)])
def test_from_torch_without_a_copy(dtype, shape):
    theirs = torch.ones(shape, dtype=getattr(torch, dtype))
    ours = mg.from_dlpack(theirs)
    assert (ours.shape, ours.dtype, ours.requires_grad) == (shape, np.dtype(dtype), False)
    theirs.zero_()
    assert not ours.numpy().any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_torch_without_a_copy(dtype):
    ours = mg.tensor(np.ones((2, 3), dtype))
    theirs = torch.from_dlpack(ours)
    assert (tuple(theirs.shape), theirs.dtype) == ((2, 3), getattr(torch, dtype))
    theirs.zero_()
    assert not ours.numpy().any()


def test_views_keep_their_strides():
    theirs = torch.arange(12.0).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(mg.from_dlpack(theirs).numpy(), theirs.numpy())
    ours = mg.tensor(np.arange(12.0)).reshape(3, 4).T[::2].detach()
    np.testing.assert_array_equal(torch.from_dlpack(ours).numpy(), ours.numpy())


def test_what_the_tape_cannot_follow_is_refused_by_both():
    with pytest.raises(TypeError, match="detach"):
        torch.from_dlpack(mg.tensor([1.0], requires_grad=True))
    with pytest.raises((TypeError, BufferError), match="gradient"):
        mg.from_dlpack(torch.ones(1, requires_grad=True))


def test_what_minigrad_has_not_is_refused():
    with pytest.raises(TypeError):
        mg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError):
        mg.from_dlpack(torch.ones(2, dtype=torch.complex64))


def test_a_training_step_on_borrowed_data():
    data = torch.randn(5, 3)
    net = mg.nn.Linear(3, 1)
    net(mg.from_dlpack(data)).sum().backward()
    np.testing.assert_allclose(net.weight.grad.numpy()[0], data.sum(0).numpy(), rtol=1e-5)
