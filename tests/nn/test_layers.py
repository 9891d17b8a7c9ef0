import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class TestLinear:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
    def test_forward(self, lead, bias, rng):
        layer, x = nn.Linear(3, 5, bias, dtype="float64"), rng.normal(size=(*lead, 3))
        b = layer.bias.numpy() if bias else np.zeros(5)
        expected = np.einsum("...i,oi->...o", x, layer.weight.numpy()) + b
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12)
        assert layer(x).shape == (*lead, 5)

    @pytest.mark.parametrize("lead", [(), (2, 3)])
    def test_gradients(self, lead, draw, check_gradients):
        layer, x = nn.Linear(3, 4, dtype="float64"), draw(*lead, 3)
        check_gradients(lambda: layer(x), x=x, **dict(layer.named_parameters()))

    def test_a_list_will_do(self):
        assert nn.Linear(2, 1)([[1.0, 2.0]]).dtype == np.float32

    def test_wrong_length(self):
        with pytest.raises(ValueError, match=r"Linear: x has shape \(2, 4\), expected \(..., 3\)"):
            nn.Linear(3, 5)(np.ones((2, 4), np.float32))

    @pytest.mark.parametrize("sizes", [(0, 1), (1, -1), (1.5, 1), (1, True)])
    def test_wrong_sizes(self, sizes):
        with pytest.raises(ValueError, match=r"Linear: (in|out)_features must be an integer of at"):
            nn.Linear(*sizes)

    def test_initial_values(self):
        layer = nn.Linear(400, 50, rng=np.random.default_rng(0))
        for values in layer.state_dict().values():
            assert np.abs(values).max() <= 1 / 20
        assert np.abs(layer.weight.numpy()).max() > 0.999 / 20
        assert layer.weight.numpy().std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.02)


class TestEmbedding:
    def test_is_the_product_of_one_hot_vectors_with_the_weight(self, rng):
        layer, ids = nn.Embedding(6, 4, dtype="float64"), rng.integers(0, 6, (5, 3))
        ids[0] = ids[1]
        one_hot, g = np.eye(6)[ids], rng.normal(size=(5, 3, 4))
        looked_up = layer(ids)
        looked_up.backward(g)
        gradient = layer.weight.grad.numpy()
        layer.zero_grad()
        product = one_hot @ layer.weight
        product.backward(g)
        assert np.array_equal(looked_up.numpy(), product.numpy())
        np.testing.assert_allclose(gradient, layer.weight.grad.numpy(), rtol=1e-13)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 2)])
    def test_shapes(self, shape):
        assert nn.Embedding(6, 4)(np.zeros(shape, int)).shape == (*shape, 4)

    def test_gradients(self, check_gradients):
        layer = nn.Embedding(4, 3, dtype="float64")
        check_gradients(lambda: layer(np.array([1, 1, 3])), weight=layer.weight)

    @pytest.mark.parametrize("padding_idx", [2, -2])
    def test_padding_is_zeros_without_a_gradient(self, padding_idx):
        layer = nn.Embedding(4, 3, padding_idx)
        assert layer.padding_idx == 2
        assert not layer.weight.numpy()[2].any()
        assert np.count_nonzero(layer.weight.numpy()) == 9
        layer(np.array([2, 1, 2])).sum().backward()
        assert layer.weight.grad.tolist() == [[0] * 3, [1] * 3, [0] * 3, [0] * 3]

    def test_sparse(self):
        layer = nn.Embedding(4, 3, 2, sparse=True)
        layer(np.array([2, 1, 1, 0])).sum().backward()
        assert isinstance(layer.weight.grad, mg.RowSparse)
        assert layer.weight.grad.rows.tolist() == [0, 1]
        assert layer.weight.grad.numpy().tolist() == [[1] * 3, [2] * 3, [0] * 3, [0] * 3]
        sizes = "num_embeddings=4, embedding_dim=3"
        assert layer.extra_repr() == f"{sizes}, padding_idx=2, sparse=True"
        assert nn.Embedding(4, 3).extra_repr() == sizes
        mg.testing.check_layer(nn.Embedding(4, 3, sparse=True), np.array([2, 1, 1]), order=2)

    @pytest.mark.parametrize("padding_idx", [4, -5])
    def test_padding_must_be_an_id(self, padding_idx):
        with pytest.raises(ValueError, match=f"padding_idx {padding_idx} is not among 4"):
            nn.Embedding(4, 3, padding_idx)

    @pytest.mark.host(reason="on a GPU nobody looks at ids")
    def test_wrong_ids(self):
        layer = nn.Embedding(4, 3)
        with pytest.raises(IndexError, match="id 4 is outside the 4 rows"):
            layer(np.array([0, 4]))
        with pytest.raises(TypeError, match="ids must be integers"):
            layer(np.array([0.0]))

    def test_initial_values(self):
        weight = nn.Embedding(300, 100, rng=np.random.default_rng(0)).weight.numpy()
        assert weight.mean() == pytest.approx(0, abs=0.02)
        assert weight.std() == pytest.approx(1, rel=0.02)
        assert np.abs(weight).max() > 3.5  # normal, not uniform


class TestDropout:
    def test_drops_a_share_and_scales_the_rest(self):
        x = np.ones((200, 100), np.float32)
        y = nn.Dropout(0.2, np.random.default_rng(0))(mg.tensor(x)).numpy()
        assert set(np.unique(y)) == {0, np.float32(1.25)}
        assert (y == 0).mean() == pytest.approx(0.2, abs=0.01)

    def test_gradient_goes_where_the_values_went(self):
        x = mg.tensor(np.ones(50, np.float32), requires_grad=True)
        y = nn.Dropout(0.5)(x)
        y.sum().backward()
        assert np.array_equal(x.grad.numpy(), y.numpy())

    def test_in_eval_it_is_the_identity_and_draws_nothing(self):
        rng = np.random.default_rng(0)
        x = mg.tensor([1.0, 2.0])
        assert nn.Dropout(0.9, rng).eval()(x) is x
        assert rng.random() == np.random.default_rng(0).random()

    def test_draws_come_from_the_library_or_the_given_generator(self):
        x = mg.tensor(np.ones(64))
        results = []
        for _ in range(2):
            mg.manual_seed(3)
            layer = nn.Dropout(0.5)
            results += [layer(x).numpy(), layer(x).numpy()]
        assert np.array_equal(results[0], results[2])
        assert np.array_equal(results[1], results[3])
        assert not np.array_equal(results[0], results[1])
        mine = [nn.Dropout(0.5, np.random.default_rng(3))(x).numpy() for _ in range(2)]
        assert np.array_equal(*mine)

    @pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
    def test_wrong_p(self, p):
        with pytest.raises(ValueError, match="Dropout: p must be from 0 to 1"):
            nn.Dropout(p)


class TestLayerNorm:
    @pytest.mark.parametrize("shape", [3, (3,), (2, 3), [2, 3]])
    def test_forward(self, shape, rng):
        layer, x = nn.LayerNorm(shape, eps=0.1, dtype="float64"), rng.normal(size=(5, 2, 3))
        for p in layer.parameters():
            p.data = rng.normal(size=p.shape)
        axes = tuple(range(-layer.weight.ndim, 0))
        centred = x - x.mean(axes, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 0.1)
        expected = y * layer.weight.numpy() + layer.bias.numpy()
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)

    @pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}])
    def test_gradients(self, options, draw, check_gradients):
        layer, x = nn.LayerNorm(4, dtype="float64", **options), draw(3, 4)
        assert len(layer.parameters()) == (
            0 if "elementwise_affine" in options else 2 - len(options)
        )
        check_gradients(lambda: layer(x), x=x, **dict(layer.named_parameters()))

    def test_starts_as_plain_normalisation(self):
        layer = nn.LayerNorm((2, 2))
        assert layer.weight.tolist() == [[1, 1], [1, 1]]
        assert layer.bias.tolist() == [[0, 0], [0, 0]]

    def test_wrong_shapes(self):
        with pytest.raises(ValueError, match=r"layer_norm: x has shape \(2, 4\)"):
            nn.LayerNorm(3)(np.ones((2, 4)))
        with pytest.raises(ValueError, match="LayerNorm: normalized_shape must be"):
            nn.LayerNorm((3, 0))


LAYERS = {
    "linear": (lambda **kw: nn.Linear(3, 4, **kw), (2, 3)),
    "rnn_cell": (lambda **kw: nn.RNNCell(3, 4, **kw), (2, 3)),
    "lstm_cell": (lambda **kw: nn.LSTMCell(3, 4, **kw), (2, 3)),
    "gru_cell": (lambda **kw: nn.GRUCell(3, 4, **kw), (2, 3)),
    "rnn": (lambda **kw: nn.RNN(3, 4, 2, dropout=0.3, **kw), (5, 2, 3)),
    "lstm": (lambda **kw: nn.LSTM(3, 4, 2, bidirectional=True, **kw), (5, 2, 3)),
    "gru": (lambda **kw: nn.GRU(3, 4, 2, dropout=0.3, **kw), (5, 2, 3)),
    "embedding": (lambda **kw: nn.Embedding(3, 4, **kw), None),
}
FIXED = {
    "layer_norm": (lambda **kw: nn.LayerNorm(3, dtype=kw.get("dtype")), (2, 3)),
    "dropout": (lambda **kw: nn.Dropout(0.3, rng=kw.get("rng")), (2, 3)),
}


class TestAnyLayer:
    @pytest.mark.parametrize("name", [*LAYERS, *FIXED])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_dtype_in_is_dtype_out_and_of_gradients(self, name, dtype, rng):
        make, shape = (LAYERS | FIXED)[name]
        layer = make(dtype=dtype)
        x = np.array([0, 2]) if shape is None else mg.tensor(rng.normal(size=shape), dtype=dtype)
        if shape is not None:
            x.requires_grad = True
        outputs = layer(x)
        flat = outputs if isinstance(outputs, tuple) else (outputs,)
        flat = [t for out in flat for t in (out if isinstance(out, tuple) else (out,))]
        assert all(out.dtype == dtype for out in flat)
        sum(out.sum() for out in flat).backward()
        tensors = [*layer.parameters(), *([] if shape is None else [x])]
        assert all(t.grad.dtype == t.dtype == dtype for t in tensors)
        assert all(t.grad.shape == t.shape for t in tensors)

    @pytest.mark.parametrize("name", LAYERS)
    def test_the_default_is_float32(self, name):
        for layer in (LAYERS[name][0](), LAYERS[name][0](dtype=None)):
            assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float32)}

    @pytest.mark.parametrize("name", LAYERS)
    def test_values_are_a_function_of_the_generator(self, name):
        make = LAYERS[name][0]
        one, same, other = (make(rng=np.random.default_rng(s)).state_dict() for s in (1, 1, 2))
        assert all(np.array_equal(one[k], same[k]) for k in one)
        assert not any(np.array_equal(one[k], other[k]) for k in one)
        mg.manual_seed(1)
        library = make().state_dict()
        assert all(np.array_equal(one[k], library[k]) for k in one)

    @pytest.mark.parametrize("name", LAYERS)
    def test_values_are_the_same_in_both_dtypes(self, name):
        make = LAYERS[name][0]
        states = [make(rng=np.random.default_rng(1), dtype=d).state_dict() for d in ("f4", "f8")]
        for single, double in zip(*map(dict.values, states), strict=True):
            assert np.array_equal(single, double.astype(np.float32))
