"""Activations, containers and buffers against PyTorch's: values, gradients, names, orders."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import DataLoader, pad_sequences

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

ACTIVATIONS = [
    ("Tanh", (), {}),
    ("Sigmoid", (), {}),
    ("ReLU", (), {}),
    ("LeakyReLU", (0.3,), {}),
    ("ELU", (0.7,), {}),
    ("GELU", ("none",), {}),
    ("GELU", ("tanh",), {}),
    ("SiLU", (), {}),
    ("Softplus", (2.5,), {}),
    ("Softmax", (1,), {}),
    ("Softmax", (), {"dim": -1}),
    ("LogSoftmax", (0,), {}),
    ("Identity", (), {}),
    ("Flatten", (), {}),
    ("Flatten", (0, 1), {}),
]


@pytest.mark.parametrize(("name", "args", "theirs_only"), ACTIVATIONS)
def test_activations(name, args, theirs_only):
    numbers = 3 * np.random.default_rng(0).normal(size=(4, 3, 5))
    x, t = mg.tensor(numbers, requires_grad=True), torch.tensor(numbers, requires_grad=True)
    ours, theirs = getattr(nn, name)(*args)(x), getattr(torch.nn, name)(*args, **theirs_only)(t)
    weights = np.random.default_rng(1).normal(size=ours.shape)
    (ours * weights).sum().backward()
    (theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-9)


def network(m, base, tensor):
    """One network in the words that both libraries have."""

    class Block(m.Module):
        def __init__(self):
            super().__init__()
            self.layers = m.ModuleList([m.Linear(2, 2), m.Linear(2, 2)])
            self.register_buffer("mean", tensor([1.0, 2.0]))
            self.register_buffer("last", tensor([0.0]), persistent=False)

    class Net(m.Sequential):
        def __init__(self):
            super().__init__(m.Linear(2, 2), m.Tanh(), Block())
            self.heads = m.ModuleDict({"up": m.Linear(2, 1), "down": m.Linear(2, 1)})
            self.scales = m.ParameterList([base([1.0]), base([2.0])])
            self.named = m.ParameterDict({"a": base([3.0])})
            self.add_module("extra", m.Identity())
            self.register_parameter("bias", None)

    return Net()


def both():
    return (
        network(nn, nn.Parameter, mg.tensor),
        network(torch.nn, lambda x: torch.nn.Parameter(torch.tensor(x)), torch.tensor),
    )


def test_names_and_orders():
    ours, theirs = both()
    for walk in ("named_parameters", "named_modules", "named_children", "named_buffers"):
        mine = {name: type(item).__name__ for name, item in getattr(ours, walk)()}
        other = {name: type(item).__name__ for name, item in getattr(theirs, walk)()}
        if walk in ("named_modules", "named_children"):
            assert list(mine.items()) == list(other.items())
        else:
            assert sorted(mine) == sorted(other)
    assert [n for n, _ in ours.named_parameters(recurse=False)] == []
    applied = [[], []]
    for net, seen in zip((ours, theirs), applied, strict=True):
        net.apply(lambda module, seen=seen: seen.append(type(module).__name__))
    assert applied[0] == applied[1]


def test_a_state_dict_goes_both_ways_and_what_does_not_fit_is_told_alike():
    ours, theirs = both()
    state = ours.state_dict()
    assert set(state) == set(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    part = {name: value for name, value in state.items() if not name.startswith("heads")}
    part["other"] = np.ones(1)
    mine = ours.load_state_dict(part, strict=False)
    told = theirs.load_state_dict({n: torch.tensor(v) for n, v in part.items()}, strict=False)
    assert list(mine.missing_keys) == told.missing_keys
    assert list(mine.unexpected_keys) == told.unexpected_keys


def test_batches_and_padding():
    xs = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    pairs = [(x, i) for i, x in enumerate(xs)]
    for options in (
        {},
        {"drop_last": True},
        {"batch_size": 3},
        {"batch_size": 3, "drop_last": True},
    ):
        ours, theirs = DataLoader(pairs, **options), torch.utils.data.DataLoader(pairs, **options)
        assert len(ours) == len(theirs)
        for (x, y), (t, u) in zip(ours, theirs, strict=True):
            assert np.array_equal(x.numpy(), t.numpy())
            assert np.array_equal(y.numpy(), u.numpy())
            assert str(u.dtype).endswith(str(y.dtype))
    sequences = [np.arange(3), np.arange(1), np.arange(5)]
    for batch_first in (False, True):
        padded, lengths = pad_sequences(sequences, -1, batch_first)
        other = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, sequences)), batch_first, -1)
        assert np.array_equal(padded, other.numpy())
        assert lengths.tolist() == [3, 1, 5]
