"""Dropout of elements, of whole vectors, and of recurrent weights: what is drawn, and how often."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import layers
from minigrad.testing import check_layer

KINDS = [nn.RNN, nn.LSTM, nn.GRU]
every_kind = pytest.mark.parametrize("kind", KINDS)


def generator(seed=0):
    return np.random.default_rng(seed)


class TestDraws:
    @pytest.mark.parametrize("p", [0.0001, 0.1, 0.35, 0.5, 0.9])
    def test_as_many_are_dropped_as_should_be(self, p):
        n = 1_000_000
        y = mg.dropout(np.ones(n), p, rng=generator())
        dropped = int((y == 0).sum())
        assert abs(dropped - n * p) < 5 * np.sqrt(n * p * (1 - p)) + n / 2**16
        assert set(np.unique(y)) == {0, 1 / (1 - p)}

    def test_draws_do_not_depend_on_each_other(self):
        kept = mg.dropout(np.ones((1000, 1000)), 0.5, rng=generator()) - 1
        for shift in (1, 2, 3, 4, 1000):  # of the 16 bits that come from one larger number
            assert abs((kept.ravel()[shift:] * kept.ravel()[:-shift]).mean()) < 0.005

    def test_never_and_always(self):
        x = np.ones((50, 50))
        assert mg.dropout(x, 1e-9, rng=generator()).all()
        assert not mg.dropout(x, 1.0, rng=generator()).any()
        assert not mg.dropout(x, 1 - 1e-9, rng=generator()).any()

    @pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
    def test_no_probability(self, p):
        for make in (
            lambda: nn.LockedDropout(p),
            lambda: nn.Embedding(2, 2, dropout=p),
            lambda: nn.LSTM(2, 2, weight_dropout=p),
            lambda: nn.GRU(2, 2, dropout=p),
            lambda: mg.dropout(np.ones(2), p),
        ):
            with pytest.raises(ValueError, match=r"(p|dropout) must be from 0 to 1, not"):
                make()


class TestLockedDropout:
    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
    def test_one_mask_along_the_axis(self, axis):
        x = generator().normal(size=(6, 7, 8))
        y = nn.LockedDropout(0.4, axis, rng=generator(1))(mg.tensor(x)).numpy()
        factors = y / x
        first = factors.take([0], axis)
        np.testing.assert_allclose(factors, np.broadcast_to(first, x.shape), rtol=1e-12)
        np.testing.assert_allclose(np.unique(first.round(9)), [0, round(1 / 0.6, 9)])
        for other in {0, 1, 2} - {axis % 3}:
            assert not np.allclose(factors, factors.take([0], other))

    def test_by_default_over_time_with_a_new_mask_in_each_call(self):
        layer = nn.LockedDropout(0.5, rng=generator())
        assert (layer.p, layer.axis) == (0.5, 0)
        x = np.ones((5, 4, 30), np.float32)
        one, other = layer(x), layer(x)
        assert (one == one[0]).all()
        assert not (one == other).all()

    def test_unbiased(self):
        y = nn.LockedDropout(0.3, rng=generator())(np.ones((2, 300, 300)))
        sigma = np.sqrt(0.3 / 0.7 / 90_000)
        assert abs(y.mean() - 1) < 5 * sigma

    def test_out_of_training(self):
        layer, x = nn.LockedDropout(0.5).eval(), mg.ones((2, 3))
        assert layer(x) is x

    def test_derivatives(self):
        check_layer(nn.LockedDropout(0.5, 1), generator().normal(size=(2, 3, 4)), order=2)

    def test_no_such_axis(self):
        with pytest.raises(ValueError, match=r"dropout: shared_axis 2 is no axis of \(3, 4\)"):
            nn.LockedDropout(0.5, 2)(np.ones((3, 4)))

    def test_repr(self):
        assert repr(nn.LockedDropout(0.5)) == "LockedDropout(p=0.5, axis=0)"


class TestEmbeddingDropout:
    ids = generator(5).integers(0, 6, (9, 7))

    def factors(self, layer, ids=ids):
        return (layer(ids).numpy() / layer.weight.numpy()[ids]).round(5)

    def test_a_vector_is_dropped_wherever_it_is_and_whole(self):
        factors = self.factors(nn.Embedding(6, 5, dropout=0.5, rng=generator()))
        for i in range(6):
            here = factors[self.ids == i]
            assert (here == here[0, 0]).all()
        assert set(np.unique(factors)) == {0, 2}

    def test_anew_in_each_call_and_as_the_rng_says(self):
        layer, again = (nn.Embedding(6, 5, dropout=0.5, rng=generator(3)) for _ in range(2))
        one, other = self.factors(layer), self.factors(layer)
        assert not np.array_equal(one, other)
        assert np.array_equal(one, self.factors(again))

    def test_what_is_drawn_does_not_depend_on_the_ids(self):
        layer, again = (nn.Embedding(6, 5, dropout=0.5, rng=generator(3)) for _ in range(2))
        whole = self.factors(layer, np.arange(6))
        assert np.array_equal(self.factors(again, np.array([4, 1, 4])), whole[[4, 1, 4]])

    def test_unbiased(self):
        layer = nn.Embedding(40_000, 1, dropout=0.2, rng=generator())
        layer.weight.data = np.ones((40_000, 1))
        mean = layer(np.arange(40_000)).numpy().mean()
        assert abs(mean - 1) < 5 * np.sqrt(0.2 / 0.8 / 40_000)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_gradient(self, sparse):
        layer = nn.Embedding(6, 5, sparse=sparse, dropout=0.5, rng=generator())
        y = layer(self.ids)
        y.sum().backward()
        factor = (y.numpy() / layer.weight.numpy()[self.ids])[..., 0].round(5)
        expected = [factor[self.ids == i].sum() for i in range(6)]
        np.testing.assert_allclose(layer.weight.grad.numpy(), np.outer(expected, np.ones(5)))

    def test_derivatives(self):
        check_layer(nn.Embedding(6, 2, 3, dropout=0.4), self.ids[:3, :2], order=2)

    def test_out_of_training_and_without(self):
        layer = nn.Embedding(6, 5, dropout=0.5).eval()
        assert (self.factors(layer) == 1).all()
        assert (self.factors(nn.Embedding(6, 5)) == 1).all()

    def test_of_one_id_without_axes(self):
        assert nn.Embedding(6, 5, dropout=0.5)(2).shape == (5,)

    def test_does_not_make_a_mask_of_the_whole_matrix(self, monkeypatch):
        shapes, drawn = [], layers.drawn
        monkeypatch.setattr(
            layers, "drawn", lambda x, shape, *a: shapes.append(shape) or drawn(x, shape, *a)
        )
        nn.Embedding(1000, 64, dropout=0.1)(self.ids)
        assert shapes == [(1000, 1)]

    def test_repr(self):
        assert repr(nn.Embedding(2, 3)).startswith("Embedding(num_embeddings=2, embedding_dim=3)")
        assert "sparse=False, dropout=0.5" in repr(nn.Embedding(2, 3, dropout=0.5))
        assert "sparse=True)" in repr(nn.Embedding(2, 3, sparse=True))


@every_kind
class TestWeightDropout:
    def test_is_the_layer_with_such_weights(self, kind):
        layer = kind(3, 4, weight_dropout=0.5, rng=generator())
        plain = kind(3, 4)
        weights = layer.state_dict()
        x = generator(2).normal(size=(6, 2, 3)).astype(np.float32)
        layer.rng = generator(9)
        output, _ = layer(x)
        dropped = mg.dropout(mg.tensor(weights["weight_hh_l0"]), 0.5, rng=generator(9))
        plain.load_state_dict({**weights, "weight_hh_l0": dropped})
        assert np.array_equal(output.numpy(), plain(x)[0].numpy())
        assert list(weights) == list(plain.state_dict())

    def test_dropped_weights_get_no_gradient_and_the_others_a_scaled_one(self, kind):
        layer, x = kind(3, 4, weight_dropout=0.5, rng=generator()), np.ones((6, 2, 3), np.float32)
        layer.rng = generator(9)
        mask = mg.dropout(mg.ones(layer.weight_hh_l0.shape), 0.5, rng=generator(9)).numpy()
        layer(x)[0].sum().backward()
        gradient = layer.weight_hh_l0.grad.numpy()
        assert ((gradient != 0) == (mask != 0)).all()

        plain = kind(3, 4)
        weights = layer.state_dict()
        plain.load_state_dict({**weights, "weight_hh_l0": weights["weight_hh_l0"] * mask})
        plain(x)[0].sum().backward()
        np.testing.assert_allclose(gradient, plain.weight_hh_l0.grad.numpy() * mask, rtol=1e-5)

    def test_one_op_for_the_sequence_as_without(self, kind):
        output, _ = kind(3, 4, weight_dropout=0.5)(np.ones((6, 2, 3), np.float32))
        assert f"made_by={kind.__name__.lower()}" in repr(output)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_unrolled_is_the_same(self, kind, bidirectional):
        outputs = []
        for unroll in (False, True):
            options = {"bidirectional": bidirectional, "unroll": unroll, "weight_dropout": 0.3}
            layer = kind(3, 4, 2, **options, rng=generator(1)).to(dtype="float64")
            outputs.append(layer(generator(2).normal(size=(5, 2, 3)), lengths=[5, 3])[0].numpy())
        np.testing.assert_allclose(*outputs, rtol=1e-9, atol=1e-12)

    def test_out_of_training_nothing_is_dropped(self, kind):
        layer, plain = kind(3, 4, 2, weight_dropout=0.9).eval(), kind(3, 4, 2)
        plain.load_state_dict(layer.state_dict())
        x = generator().normal(size=(6, 2, 3)).astype(np.float32)
        assert np.array_equal(layer(x)[0].numpy(), plain(x)[0].numpy())

    def test_a_new_mask_in_each_call(self, kind):
        layer, x = kind(3, 4, weight_dropout=0.5), np.ones((6, 2, 3), np.float32)
        assert not np.array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())

    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    def test_derivatives(self, kind):
        layer = kind(2, 3, 2, weight_dropout=0.4, dropout=0.2)
        check_layer(layer, generator().normal(size=(3, 2, 2)), None, (3, 2))

    def test_repr(self, kind):
        assert repr(kind(3, 4, weight_dropout=0.5)).startswith(
            f"{kind.__name__}(3, 4, weight_dropout=0.5)"
        )
