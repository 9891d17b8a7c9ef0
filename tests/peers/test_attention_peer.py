"""Attention and the LSTM with layer normalisation against the same in PyTorch's functions."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

some = settings(max_examples=25, derandomize=True)
small = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def compare(layer, ours, theirs, arrays, seed):
    """The function `ours`, which calls `layer`, and `theirs`, given its parameters by name.

    Both return a tuple. The gradients of all arrays and parameters are compared, too.
    """
    rng = np.random.default_rng(seed)
    mine = [mg.tensor(x, requires_grad=True) for x in arrays]
    torchs = [torch.tensor(x, requires_grad=True) for x in arrays]
    weights = {
        name: torch.tensor(value, requires_grad=True) for name, value in layer.state_dict().items()
    }
    results, expected, totals = ours(*mine), theirs(*torchs, **weights), [0.0, 0.0]
    for one, other in zip(results, expected, strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-11)
        some_numbers = rng.normal(size=one.shape)
        totals[0] += (one * some_numbers).sum()
        totals[1] += (other * torch.tensor(some_numbers)).sum()
    for total in totals:
        total.backward()
    pairs = [*zip(mine, torchs, strict=True)]
    pairs += [(parameter, weights[name]) for name, parameter in layer.named_parameters()]
    for one, other in pairs:
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-8, atol=1e-10)


def drawn(seed, N, T, S, sizes):
    """Queries, keys and values with the batch first, and a mask that lets each query look."""
    rng = np.random.default_rng(seed)
    query, keys, values = sizes
    shapes = ((N, T, query), (N, S, keys), (N, S, values))
    mask = rng.random((N, S)) < 0.6
    mask[:, 0] = True
    return [rng.normal(size=shape) for shape in shapes], mask


@pytest.mark.parametrize("score", ["general", "dot", "scaled_dot"])
@some
@given(seeds, small, small, small, small, small)
def test_multiplicative_attention(score, seed, N, T, S, size, of_values):
    arrays, mask = drawn(seed, N, T, S, (size, size + (score == "general"), of_values))
    query_size, key_size = arrays[0].shape[-1], arrays[1].shape[-1]
    layer = nn.MultiplicativeAttention(query_size, key_size, score, True, dtype="float64")

    def theirs(query, keys, values, weight=None):
        if weight is not None:
            query = query @ weight
        attend = torch.nn.functional.scaled_dot_product_attention
        scale = 1 / key_size**0.5 if score == "scaled_dot" else 1.0
        its = {"attn_mask": torch.tensor(mask)[:, None], "scale": scale}
        context = attend(query, keys, values, **its)
        eye = torch.eye(keys.shape[1], dtype=torch.float64).expand(len(keys), -1, -1)
        return context, attend(query, keys, eye, **its)  # the context of such values: the weights

    compare(layer, partial(layer, mask=mask), theirs, arrays, seed)


@some
@given(seeds, small, small, small, st.tuples(small, small, small), small, st.booleans())
def test_additive_attention(seed, N, T, S, sizes, hidden, bias):
    arrays, mask = drawn(seed, N, T, S, sizes)
    layer = nn.AdditiveAttention(*sizes[:2], hidden, bias, True, dtype="float64")

    def theirs(query, keys, values, weight_q, weight_k, v, bias=None):
        linear = torch.nn.functional.linear
        q, k = linear(query, weight_q), linear(keys, weight_k, bias)
        scores = torch.tanh(q[:, :, None] + k[:, None]) @ v
        weights = scores.masked_fill(~torch.tensor(mask)[:, None], -torch.inf).softmax(-1)
        return weights @ values, weights

    compare(layer, partial(layer, mask=mask), theirs, arrays, seed)


@some
@given(seeds, small, small, small, st.integers(2, 5))
def test_layer_norm_lstm(seed, T, N, features, hidden):
    rng = np.random.default_rng(seed)
    layer = nn.LayerNormLSTM(features, hidden, dtype="float64")
    for parameter in layer.parameters():
        parameter.data = parameter.numpy() + 0.3 * rng.normal(size=parameter.shape)
    shapes = ((T, N, features), (1, N, hidden), (1, N, hidden))

    def ours(x, h, c):
        output, state = layer(x, (h, c))
        return output, *state

    def theirs(x, h, c, **p):
        linear, norm = torch.nn.functional.linear, torch.nn.functional.layer_norm
        h, c, outputs, H = h[0], c[0], [], [hidden]
        for x_t in x:
            Wx = norm(linear(x_t, p["weight_ih_l0"]), [4 * hidden], p["gain_ih_l0"], p["bias_l0"])
            Wh = norm(linear(h, p["weight_hh_l0"]), [4 * hidden], p["gain_hh_l0"])
            i, f, g, o = (Wx + Wh).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(norm(c, H, p["gain_c_l0"], p["bias_c_l0"]))
            outputs.append(h)
        return torch.stack(outputs), h[None], c[None]

    compare(layer, ours, theirs, [rng.normal(size=shape) for shape in shapes], seed)
