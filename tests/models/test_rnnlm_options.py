"""What the papers added to the model: each option does what it says, and no more."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import nn
from minigrad.testing import check_layer
from models import RNNLM
from models.initial_values import INITS

CELLS = ["rnn", "lstm", "gru"]
EVERYTHING = {  # all that AWD-LSTM has, at once
    "num_layers": 3,
    "dropout": 0.2,
    "hidden_dropout": 0.3,
    "output_dropout": 0.4,
    "tied": True,
    "variational": True,
    "embedding_dropout": 0.2,
    "weight_drop": 0.4,
    "activation_penalty": 2.0,
    "temporal_penalty": 1.5,
    "forget_bias": 1.0,
    "init": "uniform",
    "init_scale": 0.5,
}
ONE_BY_ONE = [
    {"dropout": 0.3},
    {"dropout": 0.3, "variational": True},
    {"embedding_dropout": 0.4},
    {"embedding_dropout": 0.4, "tied": True},
    {"weight_drop": 0.4},
    {"activation_penalty": 2.0, "output_dropout": 0.5},
    {"temporal_penalty": 1.0, "output_dropout": 0.5},
    {"embedding_size": None, "dropout": 0.3},
]


def model(cell="lstm", **options):
    sizes = {"vocab_size": 7, "embedding_size": 5, "hidden_size": 6, **options}
    return RNNLM(**sizes, cell=cell, rng=np.random.default_rng(3))


def ids(*shape):
    return np.random.default_rng(1).integers(0, 7, shape)


def flat(state):
    return [t for s in state for t in flat(s)] if isinstance(state, tuple) else [state]


class Part(nn.Module):
    """A model with one of its methods as `forward`, as `check_layer` wants it.

    It draws from the library's own generator, which `check_layer` winds back for each call.
    """

    def __init__(self, method, *arguments, **options):
        self.method, self.net = method, RNNLM(*arguments, **options)

    def forward(self, *inputs):
        return getattr(self.net, self.method)(*inputs)


@pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
@pytest.mark.parametrize(
    ("cell", "options"),
    [*(("rnn", options) for options in ONE_BY_ONE), *((cell, EVERYTHING) for cell in CELLS)],
    ids=lambda given: given if isinstance(given, str) else "+".join(given)[:40],
)
def test_derivatives_of_the_objective(cell, options):
    if cell != "lstm":
        options = {**options, "forget_bias": None}
    sizes = {"vocab_size": 4, "embedding_size": 2, "hidden_size": 3, "num_layers": 2}
    net = Part("objective", cell=cell, **{**sizes, **options})
    check_layer(net, ids(3, 2) % 4, ids(3, 2)[::-1] % 4)


class TestDropout:
    """Seen through `hidden`, whose elements that were dropped are 0."""

    def test_one_mask_for_all_time_steps(self):
        dropped = model(output_dropout=0.5, variational=True).hidden(ids(8, 4))[0].numpy() == 0
        assert (dropped == dropped[0]).all()
        assert not (dropped == dropped[:, :1]).all()
        dropped = model(output_dropout=0.5).hidden(ids(8, 4))[0].numpy() == 0
        assert not (dropped == dropped[0]).all()

    @pytest.mark.parametrize("variational", [False, True])
    def test_where(self, variational):
        """All inputs dropped: the ids don't matter. All of a layer's outputs: those below don't."""

        def logits(net, tokens):
            return net(tokens)[0].numpy()

        options = {"num_layers": 2, "variational": variational}
        one, other = ids(4, 3), (ids(4, 3) + 1) % 7
        for place in ("input_dropout", "hidden_dropout", "output_dropout"):
            net = model(**options, **{place: 1.0})
            assert np.array_equal(logits(net, one), logits(net, other))
            assert not np.array_equal(logits(net.eval(), one), logits(net.eval(), other))
        net = model(**options, output_dropout=1.0)
        assert (logits(net, one) == net.output.bias.numpy()).all()
        net = model(**options, input_dropout=1.0)
        assert np.ptp(logits(net, one), axis=0).any()  # there is still time
        assert not np.ptp(logits(net, one), axis=1).any()

    def test_each_place_has_the_common_one_unless_it_has_its_own(self):
        net = model(dropout=0.3, hidden_dropout=0.0)
        shares = [net.input_dropout.p, net.hidden_dropout.p, net.output_dropout.p]
        assert shares == [0.3, 0.0, 0.3]
        assert model(dropout=0.3, embedding_size=None).input_dropout.p == 0

    def test_tied_weights_are_not_dropped_in_the_output(self):
        net = model(embedding_size=6, tied=True, embedding_dropout=1.0)
        logits, _ = net(ids(4, 3))
        hidden, _ = net.hidden(ids(4, 3))
        assert hidden.numpy().any()
        expected = hidden.numpy() @ net.embedding.weight.numpy().T + net.output.bias.numpy()
        np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        "options",
        [
            {"dropout": 0.5},
            {"dropout": 0.5, "variational": True},
            {"embedding_dropout": 0.5},
            {"weight_drop": 0.5},
            {**EVERYTHING},
        ],
        ids=lambda options: "+".join(options)[:40],
    )
    def test_only_in_training(self, options):
        net, tokens = model(**options), ids(4, 3)
        losses = {net.objective(tokens, tokens).loss.item() for _ in range(3)}
        assert len(losses) == 3
        net.eval()
        plain = model(**{**options, **{k: 0.0 for k in options if k.endswith(("dropout", "drop"))}})
        plain.load_state_dict(net.state_dict())
        (expected, _), (loss, _) = plain.loss(tokens, tokens), net.loss(tokens, tokens)
        assert loss.item() == expected.item()


class TestObjective:
    def test_is_the_loss_and_the_penalties(self):
        net = model(activation_penalty=2.0, temporal_penalty=3.0).to(dtype="float64")
        total, loss, state = net.objective(ids(5, 3), ids(5, 3)[::-1])
        h = net.hidden(ids(5, 3))[0].numpy()
        expected = 2 * (h**2).mean() + 3 * (np.diff(h, axis=0) ** 2).mean()
        assert loss.item() == net.loss(ids(5, 3), ids(5, 3)[::-1])[0].item()
        assert total.item() == pytest.approx(loss.item() + expected, rel=1e-12)
        assert [part.shape for part in flat(state)] == [(1, 3, 6)] * 2

    def test_one_sees_the_dropped_outputs_and_the_other_does_not(self):
        """With everything dropped, the first is 0."""
        values = []
        for name in ("activation_penalty", "temporal_penalty"):
            total, loss, _ = model(output_dropout=1.0, **{name: 1.0}).objective(
                ids(5, 3), ids(5, 3)
            )
            values.append(total.item() - loss.item())
        assert values[0] == 0
        assert values[1] > 1e-4

    def test_without_penalties_it_is_the_loss(self):
        total, loss, _ = model().objective(ids(5, 3), ids(5, 3))
        assert total is loss

    def test_one_time_step_has_no_change_from_one_to_the_next(self):
        total, loss, _ = model(temporal_penalty=1.0).objective(ids(1, 3), ids(1, 3))
        assert total.item() == loss.item()

    def test_targets_of_minus_100_are_not_asked(self):
        net, targets = model(), ids(5, 3)
        rows, _ = net.loss(ids(5, 3)[:3], targets[:3])
        targets[3:] = -100
        assert net.loss(ids(5, 3), targets)[0].item() == pytest.approx(rows.item(), rel=1e-6)


class TestInitialValues:
    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize("init", INITS)
    def test_spread(self, init, tied):
        scale = 0.08 if init in ("uniform", "normal") else None
        net = RNNLM(
            300, 120, 120, tied=tied, init=init, init_scale=scale, rng=np.random.default_rng(0)
        )
        stds = {name: float(value.std()) for name, value in net.state_dict().items()}
        k = 1 / math.sqrt(120)
        weight, bias, first = {
            "pytorch": (k / math.sqrt(3), k / math.sqrt(3), k / math.sqrt(3) if tied else 1.0),
            "uniform": (0.08 / math.sqrt(3),) * 3,
            "normal": (0.08, 0.0, 0.08),
            "scaled-normal": (k, 0.0, 0.01),
        }[init]
        for name, std in stds.items():
            expected = first if name == "embedding.weight" else bias if "bias" in name else weight
            assert std == pytest.approx(expected, rel=0.15), name
        largest = max(np.abs(value).max() for value in net.state_dict().values())
        assert init != "uniform" or largest <= 0.08

    def test_a_range_for_the_first_and_the_last_matrix_alone(self):
        ours, plain = model(init_scale=0.01), model()
        for name, value in ours.state_dict().items():
            if name.startswith("recurrent"):
                assert np.array_equal(value, plain.state_dict()[name])
            else:
                assert np.abs(value).max() <= 0.01
        assert not ours.output.bias.numpy().any()

    @pytest.mark.parametrize("init", INITS)
    def test_forget_gates_start_open(self, init):
        scale = 0.1 if init in ("uniform", "normal") else None
        net = model(num_layers=2, forget_bias=1.5, init=init, init_scale=scale)
        for layer in net.recurrent:
            both = layer.bias_ih_l0.numpy() + layer.bias_hh_l0.numpy()
            assert (both.reshape(4, 6)[1] == 1.5).all()
            assert not (both.reshape(4, 6)[[0, 2, 3]] == 1.5).any()


class LeakyCell(nn.Module):
    """h' = 0.5 h + tanh(W x + b)."""

    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, x, h):
        h = 0.5 * h + np.tanh(self.linear(x))
        return h, h


class TestOwnCell:
    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    @pytest.mark.parametrize(
        "options",
        [{}, {"tied": True}, {"embedding_size": None}, {"dropout": 0.3, "variational": True}],
        ids=lambda options: "+".join(options),
    )
    def test_derivatives(self, options):
        sizes = {"vocab_size": 4, "embedding_size": 2, "hidden_size": 3, "num_layers": 2}
        net = Part("objective", cell=LeakyCell, **{**sizes, **options})
        check_layer(net, ids(3, 2) % 4, ids(3, 2)[::-1] % 4)

    def test_one_hot_inputs_are_an_embedding_by_the_identity(self):
        net, twin = model(LeakyCell, embedding_size=None), model(LeakyCell, embedding_size=7)
        twin.load_state_dict({**net.state_dict(), "embedding.weight": np.eye(7)})
        logits = [x(ids(4, 3))[0].numpy() for x in (net, twin)]
        np.testing.assert_allclose(*logits, rtol=1e-6)

    @pytest.mark.parametrize("init", INITS)
    def test_draws_its_own_initial_values(self, init):
        scale = 0.1 if init in ("uniform", "normal") else None
        net, plain = model(LeakyCell, init=init, init_scale=scale), model(LeakyCell)
        for name, value in net.state_dict().items():
            same = np.array_equal(value, plain.state_dict()[name])
            assert same == (init == "pytorch" or name.startswith("recurrent")), name

    def test_settings_make_it_again(self):
        net = model(LeakyCell, num_layers=2, dropout=0.25)
        assert net.settings()["cell"] is LeakyCell
        again = RNNLM(**net.settings(), rng=np.random.default_rng(3))
        assert again.settings() == net.settings()
        assert np.array_equal(net(ids(2, 2))[0].numpy(), again(ids(2, 2))[0].numpy())


@given(st.data())
@settings(max_examples=60)
def test_whatever_the_options_settings_are_json_and_make_it_again(data):
    share = st.sampled_from([0.0, 0.3, 1.0])
    tied = data.draw(st.booleans())
    init = data.draw(st.sampled_from(INITS))
    cell = data.draw(st.sampled_from(CELLS))
    options = {
        "vocab_size": 7,
        "embedding_size": 4 if tied else data.draw(st.sampled_from([None, np.int64(4)])),
        "hidden_size": data.draw(st.sampled_from([4, 5])),
        "cell": cell,
        "num_layers": data.draw(st.integers(2, 3)),
        "dropout": data.draw(share),
        "tied": tied,
        "hidden_dropout": data.draw(st.none() | share),
        "output_dropout": data.draw(st.none() | share),
        "variational": data.draw(st.booleans()),
        "weight_drop": data.draw(share),
        "activation_penalty": data.draw(share),
        "temporal_penalty": data.draw(share),
        "forget_bias": data.draw(st.sampled_from([None, 1.0])) if cell == "lstm" else None,
        "init": init,
        "init_scale": {"uniform": 0.1, "normal": 0.1}.get(init),
    }
    net = RNNLM(**options, rng=np.random.default_rng(0))
    given_back = net.settings()
    assert options.items() <= given_back.items()
    again = RNNLM(**json.loads(json.dumps(given_back)), rng=np.random.default_rng(0))
    assert again.settings() == given_back
    results = [x.objective(ids(3, 2), ids(3, 2)) for x in (net, again)]
    assert results[0].total.item() == results[1].total.item()
    for a, b in zip(flat(results[0].state), flat(results[1].state), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "transformer"}, "cell must be one of rnn, lstm, gru, not 'transformer'"),
        ({"cell": 3}, "cell must be one of rnn, lstm, gru, not 3, or a class of your own"),
        ({"cell": LeakyCell, "weight_drop": 0.1}, "weight_drop needs a W_hh"),
        ({"cell": LeakyCell, "forget_bias": 1.0}, "forget_bias is for an LSTM"),
        ({"tied": True}, "with one layer, .* embedding_size=5 and hidden_size=6"),
        ({"hidden_size": 0}, "hidden_size must be an integer of at least 1, not 0"),
        ({"hidden_size": 2.5}, "hidden_size must be an integer of at least 1, not 2.5"),
        ({"vocab_size": 0}, "vocab_size must be"),
        ({"embedding_size": -3}, "embedding_size must be"),
        ({"num_layers": 0}, "num_layers must be"),
        ({"num_layers": True}, "num_layers must be"),
        ({"dropout": 1.5}, "dropout must be a finite number from 0 to 1, not 1.5"),
        ({"output_dropout": -0.1}, "output_dropout must be a finite number from 0 to 1, not -0.1"),
        ({"hidden_dropout": math.nan}, "hidden_dropout must be"),
        ({"dropout": "0.5"}, "dropout must be a finite number from 0 to 1, not '0.5'"),
        ({"dropout": None}, "dropout must be"),
        ({"embedding_dropout": 2}, "embedding_dropout must be"),
        ({"weight_drop": 2}, "weight_drop must be"),
        ({"activation_penalty": -1}, "activation_penalty must be a finite number of at least 0"),
        ({"temporal_penalty": math.inf}, "temporal_penalty must be"),
        ({"forget_bias": math.nan}, "forget_bias must be a finite number, not nan"),
        ({"forget_bias": 1.0, "cell": "gru"}, "forget_bias is for an LSTM, but cell is 'gru'"),
        ({"init": "ones"}, "init must be one of pytorch, uniform, normal, scaled-normal, not"),
        ({"init": "uniform"}, "init='uniform' needs an init_scale"),
        ({"init": "normal"}, "init='normal' needs an init_scale"),
        ({"init": "scaled-normal", "init_scale": 0.1}, "init='scaled-normal' takes no init_scale"),
        ({"init_scale": -0.1}, "init_scale must be"),
        ({"embedding_size": None, "tied": True}, "tied needs an embedding"),
        ({"embedding_size": None, "input_dropout": 0.1}, "input_dropout needs an embedding"),
        ({"embedding_size": None, "embedding_dropout": 0.1}, "embedding_dropout needs an"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=f"RNNLM: {message}"):
        model(**options)
