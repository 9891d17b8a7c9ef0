import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_layer
from minigrad.training import detach_state
from models import RNNLM
from models.rnnlm import LanguageModel

CELLS = ["rnn", "lstm", "gru"]


def model(cell="lstm", **options):
    sizes = {"vocab_size": 7, "embedding_size": 5, "hidden_size": 6, **options}
    return RNNLM(**sizes, cell=cell, rng=np.random.default_rng(3))


def ids(*shape):
    return np.random.default_rng(1).integers(0, 7, shape)


def flat(state):
    return [t for s in state for t in flat(s)] if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    @pytest.mark.parametrize("layers", [1, 2])
    def test_shapes(self, cell, layers):
        net = model(cell, num_layers=layers)
        logits, state = net(ids(4, 3))
        assert logits.shape == (4, 3, 7)
        assert logits.dtype == np.float32
        assert len(state) == layers
        parts = flat(state)
        assert [part.shape for part in parts] == [(1, 3, 6)] * (
            2 * layers if cell == "lstm" else layers
        )
        logits, state = net(ids(4))
        assert logits.shape == (4, 7)
        assert {part.shape for part in flat(state)} == {(1, 6)}

    @pytest.mark.parametrize("embedding_size", [5, None])
    def test_the_state_carries_on(self, cell, embedding_size):
        net, tokens = model(cell, embedding_size=embedding_size, num_layers=2), ids(9, 3)
        whole, last = net(tokens)
        state, pieces = None, []
        for start, stop in ((0, 4), (4, 5), (5, 9)):
            logits, state = net(tokens[start:stop], state)
            state = detach_state(state)
            pieces.append(logits.numpy())
        np.testing.assert_allclose(np.concatenate(pieces), whole.numpy(), rtol=1e-5, atol=1e-6)
        for a, b in zip(flat(state), flat(last), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
        anew, _ = net(tokens[4:5])
        assert not np.allclose(anew.numpy(), whole.numpy()[4:5], rtol=1e-3)

    def test_the_batch_of_a_state_is_on_its_axis_minus_2(self, cell):
        net, tokens = model(cell, num_layers=2), ids(6, 3)
        whole, _ = net(tokens)
        _, state = net(tokens[:4])
        order = [2, 0]

        def picked(part):
            return tuple(map(picked, part)) if isinstance(part, tuple) else part[..., order, :]

        logits, _ = net(tokens[4:, order], picked(state))
        np.testing.assert_allclose(logits.numpy(), whole.numpy()[4:, order], rtol=1e-5, atol=1e-6)

    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    @pytest.mark.parametrize("options", [{}, {"tied": True}, {"embedding_size": None}])
    def test_derivatives(self, cell, options):
        net = RNNLM(**{"vocab_size": 4, "embedding_size": 3, **options}, hidden_size=3, cell=cell,
                    num_layers=2)  # fmt: skip
        draws = np.random.default_rng(2)
        state = tuple(
            tuple(draws.normal(size=(2, 1, 2, 3)))
            if cell == "lstm"
            else draws.normal(size=(1, 2, 3))
            for _ in range(2)
        )
        check_layer(net, ids(3, 2) % 4, state)

    def test_settings_make_it_again(self, cell):
        net = model(cell, num_layers=2, dropout=0.25)
        again = RNNLM(**net.settings(), rng=np.random.default_rng(4))
        assert again.settings() == net.settings()
        again.load_state_dict(net.state_dict())
        again.eval()
        net.eval()
        assert np.array_equal(net(ids(2, 2))[0].numpy(), again(ids(2, 2))[0].numpy())


class TestLanguageModel:
    def test_is_the_equations_of_the_textbook(self):
        """In NumPy and the letters of the lectures, time step by time step."""
        net, w = LanguageModel(7, 5, 6, np.random.default_rng(3)).to(dtype="float64"), ids(5, 3)
        E, W_xh, W_hh, b_ih, b_hh, W_hy, b_y = net.state_dict().values()

        def sigmoid(z):
            return 1 / (1 + np.exp(-z))

        h, c, log_p = np.zeros((3, 6)), np.zeros((3, 6)), []
        for t in range(4):
            i, f, g, o = np.split(E[w[t]] @ W_xh.T + h @ W_hh.T + b_ih + b_hh, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            y = h @ W_hy.T + b_y
            p = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
            log_p.append(np.log(p[np.arange(3), w[t + 1]]))
        logits, (h_n, c_n) = net(w[:4])
        np.testing.assert_allclose(logits.numpy()[-1], y, rtol=1e-12)
        np.testing.assert_allclose(h_n.numpy()[0], h, rtol=1e-12)
        np.testing.assert_allclose(c_n.numpy()[0], c, rtol=1e-12)
        assert net.loss(w[:4], w[1:])[0].item() == pytest.approx(-np.mean(log_p), rel=1e-12)

    def test_is_an_rnnlm_without_options(self):
        nets = [make(7, 5, 6, rng=np.random.default_rng(3)) for make in (LanguageModel, RNNLM)]
        for net in nets:
            net.loss(ids(4, 3), ids(4, 3)[::-1])[0].backward()
        for one, other in zip(*(net.parameters() for net in nets), strict=True):
            assert np.array_equal(one.numpy(), other.numpy())
            assert np.array_equal(one.grad.numpy(), other.grad.numpy())


def test_loss_is_the_mean_in_nats():
    net, tokens, targets = model(), ids(4, 3), ids(5, 3)[1:]
    loss, _ = net.loss(tokens, targets)
    logits = net(tokens)[0].numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, targets[..., None], -1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_an_untrained_model_knows_nothing(tied):
    net = RNNLM(100, 64, 64, tied=tied, rng=np.random.default_rng(0))
    tokens = np.random.default_rng(0).integers(0, 100, (20, 8))
    assert net.loss(tokens[:-1], tokens[1:])[0].item() == pytest.approx(math.log(100), rel=0.05)


def test_tied_weights_are_one():
    net = model(embedding_size=6, tied=True)
    assert net.embedding.weight is net.output.weight
    assert net.num_parameters() == model(embedding_size=6).num_parameters() - 7 * 6
    assert (
        sum(name.endswith(("embedding.weight", "output.weight")) for name in net.state_dict()) == 1
    )
    loss, _ = net.loss(ids(4, 3), ids(4, 3))
    loss.backward()
    both = net.embedding.weight.grad.numpy()

    apart = model(embedding_size=6)
    values = net.state_dict()
    apart.load_state_dict({**values, "output.weight": values["embedding.weight"]})
    apart.loss(ids(4, 3), ids(4, 3))[0].backward()
    summed = apart.embedding.weight.grad.numpy() + apart.output.weight.grad.numpy()
    np.testing.assert_allclose(both, summed, rtol=1e-5, atol=1e-7)


def test_dropout_only_in_training():
    net = model(dropout=0.5)
    assert not np.array_equal(net(ids(4, 3))[0].numpy(), net(ids(4, 3))[0].numpy())
    net.eval()
    assert np.array_equal(net(ids(4, 3))[0].numpy(), net(ids(4, 3))[0].numpy())


def test_the_rng_decides_all():
    def gradients(seed):
        net = RNNLM(7, 5, 6, dropout=0.5, rng=np.random.default_rng(seed))
        net.loss(ids(4, 3), ids(4, 3))[0].backward()
        return np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])

    assert np.array_equal(gradients(1), gradients(1))
    assert not np.array_equal(gradients(1), gradients(2))


class TestSizes:
    def test_tied_layers_end_in_the_size_of_the_embedding(self):
        net = RNNLM(9, 4, 7, num_layers=3, tied=True)
        assert [(x.input_size, x.hidden_size) for x in net.recurrent] == [(4, 7), (7, 7), (7, 4)]
        logits, state = net(ids(5, 2))
        assert logits.shape == (5, 2, 9)
        assert [h.shape[-1] for h, _ in state] == [7, 7, 4]
        assert np.isfinite(net(ids(5, 2), state)[0].numpy()).all()

    def test_awd_lstm_as_published_has_24_million_parameters(self):
        net = RNNLM(100, 400, 1150, num_layers=3, tied=True)
        of_the_other_words = (10_000 - 100) * (400 + 1)
        assert net.num_parameters() + of_the_other_words == 24_221_600

    def test_names(self):
        assert list(model(num_layers=2).state_dict()) == [
            "embedding.weight",
            *(
                f"recurrent.{k}.{kind}_l0"
                for k in range(2)
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ),
            "output.weight",
            "output.bias",
        ]
        plain, tied = (model(embedding_size=6, weight_drop=0.5, tied=x) for x in (False, True))
        assert list(tied.state_dict()) == [n for n in plain.state_dict() if n != "output.weight"]

    def test_one_hot_inputs_are_an_embedding_by_the_identity(self):
        net = model(embedding_size=None, num_layers=2)
        assert net.embedding is None
        twin = model(embedding_size=7, num_layers=2)
        twin.load_state_dict({**net.state_dict(), "embedding.weight": np.eye(7)})
        results = [(x, *x.loss(ids(4, 3), ids(4, 3))) for x in (net, twin)]
        (_, a, _), (_, b, _) = results
        assert a.item() == pytest.approx(b.item(), rel=1e-6)
        for _, loss, _ in results:
            loss.backward()
        for name, p in net.named_parameters():
            expected = dict(twin.named_parameters())[name].grad.numpy()
            np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-4, atol=1e-6)

    def test_sparse_embeddings_are_stepped_alike(self):
        values = []
        for sparse in (False, True):
            net = model()
            net.embedding.sparse = sparse
            optimizer = mg.optim.SGD(net.parameters(), lr=0.5)
            for _ in range(3):
                optimizer.zero_grad()
                net.loss(ids(4, 3), ids(4, 3))[0].backward()
                assert isinstance(net.embedding.weight.grad, mg.RowSparse) == sparse
                optimizer.step()
            values.append(net.embedding.weight.numpy())
        np.testing.assert_allclose(*values, rtol=1e-6)


HOST = pytest.mark.host(reason="a GPU does not look")


@pytest.mark.parametrize("embedding_size", [5, None])
@pytest.mark.parametrize(
    ("tokens", "state", "error", "message"),
    [
        pytest.param(ids(4, 3) + 7, None, IndexError, "id", marks=HOST),
        pytest.param(ids(4, 3) - 7, None, IndexError, "id", marks=HOST),
        (np.ones((4, 3)), None, TypeError, "integers"),
        (ids(2, 4, 3), None, ValueError, "shape"),
        (ids(0, 3), None, ValueError, "at least one time step"),
        (ids(4, 3), (), TypeError, "state must be a tuple with the states of 2 layers"),
        (ids(4, 3), mg.zeros((2, 3, 6)), TypeError, "states of 2 layers, .* not a Tensor"),
        (ids(4, 3), (None,) * 3, TypeError, "not a tuple of 3"),
        (ids(4, 3), (mg.zeros((1, 2, 6)), None), ValueError, r"h_0 has shape \(1, 2, 6\)"),
    ],
)
def test_bad_calls(embedding_size, tokens, state, error, message):
    with pytest.raises(error, match=message):
        model("gru", num_layers=2, embedding_size=embedding_size)(tokens, state)
