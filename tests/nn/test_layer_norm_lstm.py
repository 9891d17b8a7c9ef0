"""`nn.LayerNormLSTM`: its equations, and all that it has from where `nn.LSTM` has it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.testing import check_layer


def randomised(layer, rng):
    """`layer` with other gains than 1 and other biases than 0, which would hide a mistake."""
    for parameter in layer.parameters():
        parameter.data = parameter.numpy() + rng.normal(size=parameter.shape) * 0.3
    return layer


def normalised(a):
    return (a - a.mean()) / np.sqrt(a.var() + 1e-5)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_the_equations_of_the_paper():
    rng = np.random.default_rng(0)
    layer = randomised(nn.LayerNormLSTM(3, 4, rng=rng, dtype="float64"), rng)
    x, h_0, c_0 = rng.normal(size=(6, 2, 3)), rng.normal(size=(1, 2, 4)), rng.normal(size=(1, 2, 4))
    output, (h_n, c_n) = layer(x, (h_0, c_0))
    p = {name.removesuffix("_l0"): value for name, value in layer.state_dict().items()}
    for n in range(2):
        h, c = h_0[0, n], c_0[0, n]
        for t in range(6):
            Wx, Wh = p["weight_ih"] @ x[t, n], p["weight_hh"] @ h
            gates = normalised(Wx) * p["gain_ih"] + normalised(Wh) * p["gain_hh"] + p["bias"]
            i, f, g, o = gates.reshape(4, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(normalised(c) * p["gain_c"] + p["bias_c"])
            np.testing.assert_allclose(output.numpy()[t, n], h, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(h_n.numpy()[0, n], h, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(c_n.numpy()[0, n], c, rtol=1e-10, atol=1e-12)


class Cell(nn.Module):
    """The same, as a cell of one's own."""

    def __init__(self, input_size, hidden_size):
        H = hidden_size
        self.state_sizes = (H, H)
        self.weight_ih, self.weight_hh = mg.zeros((4 * H, input_size)), mg.zeros((4 * H, H))
        self.gain_ih, self.gain_hh, self.gain_c = (mg.zeros(n) for n in (4 * H, 4 * H, H))
        self.bias, self.bias_c = mg.zeros(4 * H), mg.zeros(H)
        for name, value in list(vars(self).items()):
            if isinstance(value, mg.Tensor):
                setattr(self, name, nn.Parameter(value.numpy().astype("float64")))

    def forward(self, x, state):
        h, c = state
        Wx = mg.layer_norm(x @ self.weight_ih.T, self.bias.shape, self.gain_ih, self.bias)
        Wh = mg.layer_norm(h @ self.weight_hh.T, self.bias.shape, self.gain_hh)
        i, f, g, o = mg.split(Wx + Wh, 4, axis=-1)
        c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
        h = mg.sigmoid(o) * mg.tanh(mg.layer_norm(c, c.shape[-1], self.gain_c, self.bias_c))
        return h, (h, c)


def renamed(name):
    """The name in `nn.Recurrent` of the parameter that is called `name` in `nn.LayerNormLSTM`."""
    return re.sub(r"(\w+?)(_l\d.*)", r"cell\2.\1", name)


def everything(layer, x, parts, lengths, names):
    """Output, final state, and the gradients of x, of the initial state and of the parameters."""
    inputs = [mg.tensor(array, requires_grad=True) for array in (x, *parts)]
    output, state = layer(inputs[0], tuple(inputs[1:]) or None, lengths)
    rng, parameters = np.random.default_rng(0), dict(layer.named_parameters())
    total = sum((y * rng.normal(size=y.shape)).sum() for y in (output, *state))
    inputs += [parameters[name] for name in names]
    found = mg.grad(total, inputs, allow_unused=True)
    gradients = [
        np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(found, inputs, strict=True)
    ]
    return [output.numpy(), *(part.numpy() for part in state), *gradients]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    T=st.integers(1, 4),
    N=st.integers(0, 3),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    batched=st.booleans(),
    stateful=st.booleans(),
    with_lengths=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)
def test_it_is_the_layer_of_such_a_cell(
    seed, T, N, num_layers, batched, stateful, with_lengths, **options
):
    """So with several layers, both directions, states and lengths too; the padding is NaN."""
    rng = np.random.default_rng(seed)
    layer = randomised(nn.LayerNormLSTM(2, 3, num_layers, rng=rng, dtype="float64", **options), rng)
    own = nn.Recurrent(Cell, 2, 3, num_layers, **options)
    own.load_state_dict({renamed(name): value for name, value in layer.state_dict().items()})
    layer.rng, own.rng = (np.random.default_rng(seed) for _ in range(2))
    x, rows = rng.normal(size=(T, N if batched else 1, 2)), num_layers * (1 + layer.bidirectional)
    lengths = rng.integers(0, T + 1, x.shape[1]) if with_lengths else None
    for n, length in enumerate(() if lengths is None else lengths):
        x[length:, n] = np.nan
    x = x[:, 0] if not batched else x.swapaxes(0, 1) if layer.batch_first else x
    lengths = lengths if batched or lengths is None else lengths[0]
    start = (rows, N, 3) if batched else (rows, 3)
    parts = [rng.normal(size=start) for _ in range(2 * stateful)]
    names = list(layer.state_dict())
    results = everything(layer, x, parts, lengths, names)
    expected = everything(own, x, parts, lengths, list(map(renamed, names)))
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)


@pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
def test_derivatives():
    rng = np.random.default_rng(0)
    layer = nn.LayerNormLSTM(2, 2, batch_first=True)
    state = tuple(rng.normal(size=(1, 2, 2)) for _ in range(2))
    check_layer(layer, rng.normal(size=(2, 2, 2)), state, np.array([2, 1]))
    check_layer(nn.LayerNormLSTM(1, 2), rng.normal(size=(2, 1, 1)), order=2)


def test_gains_are_one_and_biases_zero_at_first():
    layer, lstm = (
        make(3, 4, 2, bidirectional=True, rng=np.random.default_rng(0), dtype="float16")
        for make in (nn.LayerNormLSTM, nn.LSTM)
    )
    names = ["weight_ih", "weight_hh", "gain_ih", "gain_hh", "gain_c", "bias", "bias_c"]
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    parameters = layer.state_dict()
    assert list(parameters) == [name + end for end in ends for name in names]
    for name, value in parameters.items():
        assert value.dtype == np.float16
        if name.startswith("weight"):
            assert value.shape == lstm.state_dict()[name].shape
            assert 0.4 < np.abs(value).max() <= 0.5
        else:
            assert value.shape == ((4,) if "_c_" in name else (16,))
            assert (value == name.startswith("gain")).all()


def test_what_is_refused():
    with pytest.raises(
        ValueError, match=r"LayerNormLSTM: x has shape \(4, 2\), expected \(T, N, 3"
    ):
        nn.LayerNormLSTM(3, 2)(np.ones((4, 2), np.float32))
    with pytest.raises(TypeError, match=r"LayerNormLSTM: the state must be \(h_0, c_0\)"):
        nn.LayerNormLSTM(3, 2)(np.ones((4, 2, 3), np.float32), np.zeros((1, 2, 2), np.float32))
    with pytest.raises(TypeError, match="takes from 3 to 4 positional arguments"):
        nn.LayerNormLSTM(3, 2, 1, True)  # here is the bias of an LSTM
