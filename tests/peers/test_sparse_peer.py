"""Row-sparse gradients, and steps and clipping of them, against PyTorch's, number for number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),  # PyTorch's Adagrad, to itself
]

# SGD with momentum is left out: in PyTorch its velocity moves the other rows on. And eps is hardly
# there in Adam: PyTorch's SparseAdam, unlike its Adam, adds it to the root before correcting that.
KINDS = [
    ("SGD", "SGD", {"lr": 0.3}),
    ("SGD", "SGD", {"lr": 0.3, "maximize": True}),
    ("Adagrad", "Adagrad", {"lr": 0.3, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adam", "SparseAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-14}),
    ("Adam", "SparseAdam", {"lr": 0.1, "eps": 1e-14, "maximize": True}),
]
steps_of_ids = st.lists(
    st.lists(st.integers(0, 8), min_size=1, max_size=12), min_size=1, max_size=6
)


def pair(padding_idx=None):
    torch.manual_seed(0)
    theirs = torch.nn.Embedding(9, 3, padding_idx, sparse=True).double()
    ours = nn.Embedding(9, 3, padding_idx, sparse=True, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def backward(ours, theirs, ids, g):
    ours(np.array(ids)).backward(g)
    theirs(torch.tensor(ids)).backward(torch.tensor(g))


@given(steps_of_ids, st.none() | st.integers(-9, 8))
@settings(max_examples=40)
def test_gradients(steps, padding_idx):
    """Of several lookups together; PyTorch's rows are brought together by `coalesce`."""
    ours, theirs = pair(padding_idx)
    rng = np.random.default_rng(0)
    for ids in steps:
        backward(ours, theirs, ids, rng.normal(size=(len(ids), 3)))
    expected, gradient = theirs.weight.grad.coalesce(), ours.weight.grad
    assert isinstance(gradient, mg.RowSparse)
    assert gradient.rows.tolist() == expected.indices()[0].tolist()
    np.testing.assert_allclose(gradient.values, expected.values().numpy(), 1e-12, 1e-12)


@pytest.mark.parametrize(("our_kind", "their_kind", "options"), KINDS)
@given(steps=steps_of_ids)
@settings(max_examples=40)
def test_steps(our_kind, their_kind, options, steps):
    ours, theirs = pair()
    rng = np.random.default_rng(0)
    layers = (ours, theirs)
    optimizers = [
        getattr(optim, our_kind)(ours.parameters(), **options),
        getattr(torch.optim, their_kind)(theirs.parameters(), **options),
    ]
    for ids in steps:
        for optimizer in optimizers:
            optimizer.zero_grad()
        backward(*layers, ids, rng.normal(size=(len(ids), 3)))
        for optimizer in optimizers:
            optimizer.step()
        expected = theirs.weight.detach().numpy()
        np.testing.assert_allclose(ours.weight.numpy(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "options"), [("SGD", {"weight_decay": 0.1}), ("Adagrad", {"weight_decay": 0.1}),
                          ("RMSprop", {}), ("AdamW", {})]
)  # fmt: skip
def test_what_they_refuse_so_do_we(kind, options):
    layers = pair()
    backward(*layers, [1, 1], np.ones((2, 3)))
    for library, layer in zip((optim, torch.optim), layers, strict=True):
        optimizer = getattr(library, kind)(layer.parameters(), lr=0.1, **options)
        with pytest.raises((ValueError, RuntimeError), match="sparse"):
            optimizer.step()


@given(steps_of_ids, st.sampled_from([1.0, 2.0, 3.0]))
@settings(max_examples=40)
def test_clipping(steps, norm_type):
    """PyTorch clips sparse gradients not at all, so it is given the dense ones."""
    ours, theirs = pair()
    rng = np.random.default_rng(0)
    for ids in steps:
        backward(ours, theirs, ids, rng.normal(size=(len(ids), 3)))
    theirs.weight.grad = theirs.weight.grad.to_dense()
    norm = optim.clip_grad_norm_(ours.parameters(), 1.0, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0, norm_type)
    assert norm.item() == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), 1e-9, 1e-12)
