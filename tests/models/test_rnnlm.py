import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_layer
from minigrad.training import detach_state
from models import RNNLM

CELLS = ["rnn", "lstm", "gru"]


def model(cell="lstm", **options):
    sizes = {"vocab_size": 7, "embedding_size": 5, "hidden_size": 6, **options}
    return RNNLM(**sizes, cell=cell, rng=np.random.default_rng(3))


def ids(*shape):
    return np.random.default_rng(1).integers(0, 7, shape)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    @pytest.mark.parametrize("layers", [1, 2])
    def test_shapes(self, cell, layers):
        net = model(cell, num_layers=layers)
        logits, state = net(ids(4, 3))
        assert logits.shape == (4, 3, 7)
        assert logits.dtype == np.float32
        assert [part.shape for part in parts(state)] == [(layers, 3, 6)] * (
            2 if cell == "lstm" else 1
        )
        assert net(ids(4))[0].shape == (4, 7)

    def test_the_state_carries_on(self, cell):
        net, tokens = model(cell, num_layers=2), ids(9, 3)
        whole, last = net(tokens)
        state, pieces = None, []
        for start, stop in ((0, 4), (4, 5), (5, 9)):
            logits, state = net(tokens[start:stop], state)
            state = detach_state(state)
            pieces.append(logits.numpy())
        np.testing.assert_allclose(np.concatenate(pieces), whole.numpy(), rtol=1e-5, atol=1e-6)
        for a, b in zip(parts(state), parts(last), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
        anew, _ = net(tokens[4:5])
        assert not np.allclose(anew.numpy(), whole.numpy()[4:5], rtol=1e-3)

    @pytest.mark.parametrize("tied", [False, True])
    def test_derivatives(self, cell, tied):
        sizes = {"vocab_size": 4, "embedding_size": 3, "hidden_size": 3, "num_layers": 2}
        net = model(cell, tied=tied, **sizes)
        state = np.random.default_rng(2).normal(size=(2, 2, 3))
        check_layer(net, ids(3, 2) % 4, (state, state[::-1].copy()) if cell == "lstm" else state)

    def test_derivatives_of_the_loss_with_dropout(self, cell):
        from minigrad import nn

        class Loss(nn.Module):
            def __init__(self):
                self.net = RNNLM(4, 3, 3, cell, num_layers=2, dropout=0.3)

            def forward(self, inputs, targets):
                return self.net.loss(inputs, targets)[0]

        mg.manual_seed(5)
        check_layer(Loss(), ids(3, 2) % 4, ids(3, 2)[::-1] % 4)

    def test_settings_make_it_again(self, cell):
        net = model(cell, num_layers=2, dropout=0.25)
        again = RNNLM(**net.settings(), rng=np.random.default_rng(4))
        assert again.settings() == net.settings()
        again.load_state_dict(net.state_dict())
        again.eval()
        net.eval()
        assert np.array_equal(net(ids(2, 2))[0].numpy(), again(ids(2, 2))[0].numpy())


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "transformer"}, "cell must be one of rnn, lstm, gru, not 'transformer'"),
        ({"tied": True}, "embedding_size=5 and hidden_size=6"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"vocab_size": 0}, "num_embeddings"),
        ({"num_layers": 0}, "num_layers"),
        ({"dropout": 1.5}, "dropout|Dropout"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)
