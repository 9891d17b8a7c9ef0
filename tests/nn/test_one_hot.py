"""Recurrent layers whose inputs are ids, each in the place of a one-hot vector."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing import check_layer

KINDS = [nn.RNN, nn.LSTM, nn.GRU]
every_kind = pytest.mark.parametrize("kind", KINDS)
NOBODY_LOOKS = pytest.mark.host(reason="on a GPU nobody looks at ids")
IDS = np.random.default_rng(0).integers(0, 5, (4, 3))


def pair(kind, V=5, H=4, num_layers=1, **options):
    """A layer that takes ids, and one that takes vectors, with the same weights."""
    layer, plain = (kind(V, H, num_layers, **o, **options) for o in ({"one_hot": True}, {}))
    plain.load_state_dict(layer.state_dict())
    return layer.to(dtype="float64"), plain.to(dtype="float64")


def vectors(ids, V=5):
    return np.eye(V)[ids]


@every_kind
class TestItIsTheProductWithOneHotVectors:
    @pytest.mark.parametrize(
        ("options", "ids", "lengths"),
        [
            ({}, IDS, None),
            ({"unroll": True}, IDS, None),
            ({}, IDS[:, 0], None),
            ({}, IDS[:1], None),
            ({"bias": False}, IDS, None),
            ({"batch_first": True}, IDS, None),
            ({"num_layers": 2, "bidirectional": True}, IDS, None),
            ({"num_layers": 12}, IDS, None),
            ({"bidirectional": True}, IDS, [2, 0, 4]),
            ({"batch_first": True, "num_layers": 2}, IDS, [3, 1, 2, 1]),
            ({}, IDS.astype(np.uint8), None),
            ({}, np.asfortranarray(IDS), None),
        ],
    )
    def test_outputs_and_gradients(self, kind, options, ids, lengths):
        layers, outputs = pair(kind, **options), []
        for layer, x in zip(layers, (ids, vectors(ids)), strict=True):
            output, state = layer(x, lengths=lengths)
            parts = [output, *(state if isinstance(state, tuple) else [state])]
            outputs.append([part.numpy() for part in parts])
            sum((mg.sin(3 * part)).sum() for part in parts).backward()
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        for p, q in zip(*(layer.parameters() for layer in layers), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-12)

    def test_going_on_from_a_state(self, kind):
        layer, _ = pair(kind, num_layers=2)
        whole, _ = layer(IDS)
        _, state = layer(IDS[:2])
        np.testing.assert_allclose(layer(IDS[2:], state)[0].numpy(), whole.numpy()[2:], rtol=1e-9)

    def test_padding_may_be_anything(self, kind):
        layer, _ = pair(kind)
        padded = IDS.copy()
        padded[2:, 1] = -7
        a, b = (layer(ids, lengths=[4, 2, 4])[0].numpy() for ids in (IDS, padded))
        assert np.array_equal(a, b)

    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    def test_derivatives(self, kind):
        check_layer(kind(3, 2, one_hot=True), IDS[:3, :2] % 3, order=2)

    def test_the_dtype_of_the_weights(self, kind):
        for dtype in ("float32", "float64"):
            output, state = kind(5, 4, one_hot=True, dtype=dtype)(IDS)
            state = state if isinstance(state, tuple) else (state,)
            assert {output.dtype, *(part.dtype for part in state)} == {np.dtype(dtype)}

    def test_lists_and_tensors_of_ids(self, kind):
        layer, _ = pair(kind)
        expected = layer(IDS)[0].numpy()
        assert np.array_equal(layer(IDS.tolist())[0].numpy(), expected)
        assert np.array_equal(layer(mg.Tensor(IDS))[0].numpy(), expected)

    def test_ids_that_change_before_the_way_back(self, kind):
        gradients = []
        for change in (False, True):
            layer, ids = kind(5, 4, one_hot=True, rng=np.random.default_rng(0)), IDS.copy()
            output, _ = layer(ids)
            if change:
                ids[...] = 0
            output.sum().backward()
            gradients.append(layer.weight_ih_l0.grad.numpy())
        assert np.array_equal(*gradients)

    def test_costs_nothing_for_the_vectors(self, kind):
        """With vectors, x alone would have 80 million numbers."""
        layer = kind(200_000, 1, one_hot=True)
        ids = np.random.default_rng(0).integers(0, 200_000, (20, 20))
        layer(ids)
        tracemalloc.start()
        try:
            layer(ids)
            assert tracemalloc.get_traced_memory()[1] < 1e6
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            (
                np.ones((4, 3)),
                TypeError,
                r"x must be integers, not float64 \(4, 3\), since one_hot",
            ),
            (IDS > 2, TypeError, "x must be integers, not bool"),
            (IDS[None], ValueError, r"x has shape \(1, 4, 3\), expected \(T, N\), or \(T,\) for"),
            (3, (TypeError, ValueError), "x "),
            (IDS[:0], ValueError, "at least one time step"),
            ([], ValueError, "at least one time step"),
            pytest.param(IDS + 1, IndexError, "id 5 is not from 0 to 4", marks=NOBODY_LOOKS),
            pytest.param(IDS - 1, IndexError, "id -1 is not from 0 to 4", marks=NOBODY_LOOKS),
        ],
    )
    def test_errors(self, kind, x, error, message):
        with pytest.raises(error, match=f"{kind.__name__}: .*{message}"):
            kind(5, 4, one_hot=True)(x)


def test_without_it_ids_are_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"nn\.Embedding"):
        nn.LSTM(5, 4)(IDS)


def test_repr():
    assert repr(nn.LSTM(5, 4, one_hot=True)).startswith("LSTM(5, 4, one_hot=True)")
