"""The products of a training step: as many multiplications as there are weights, thrice."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.arrays import blocks
from minigrad.nn.recurrent import steps
from minigrad.ops import output_layer
from minigrad.training import linear_products, recurrent_products
from models.rnnlm import RNNLM
from models.runs.blas_kernels import products
from models.runs.settings import Settings

LAYERS = {"rnn": (nn.RNN, 1), "gru": (nn.GRU, 3), "lstm": (nn.LSTM, 4)}


def weights(module):
    return sum(p.size for p in module.parameters() if p.ndim == 2)


def flop(products):
    return sum(product.flop for product in products)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(("T", "N"), [(5, 1), (40, 3)])
def test_forward_and_for_both_gradients_each_weight_multiplies_once_for_each_token(cell, T, N):
    make, gates = LAYERS[cell]
    layer, output = make(7, 6), nn.Linear(6, 11)
    assert flop(recurrent_products([N] * T, 7, 6, gates)) == 3 * 2 * T * N * weights(layer)
    assert flop(linear_products(T * N, 6, 11)) == 3 * 2 * T * N * weights(output)


def test_of_sequences_of_different_lengths_only_what_is_no_padding():
    lengths = [5, 1, 3]
    sizes = [sum(t < length for length in lengths) for t in range(5)]
    packed = recurrent_products(sizes, 7, 6, 4)
    assert flop(packed) == sum(flop(recurrent_products([1] * n, 7, 6, 4)) for n in lengths)
    assert {p.rows for p in packed if p.columns == 6 and p.layout == "NN"} == {1, 2, 3}


def test_one_hot_inputs_are_looked_up():
    layer = nn.LSTM(7, 6)
    all_products = recurrent_products([3] * 5, 7, 6, 4)
    of_state = recurrent_products([3] * 5, 0, 6, 4)
    assert flop(all_products) - flop(of_state) == 3 * 2 * 5 * 3 * layer.weight_ih_l0.size


@pytest.mark.host(reason="it watches NumPy's products")
@pytest.mark.parametrize(("T", "N"), [(5, 1), (40, 3)])
def test_they_are_those_that_the_ops_compute(T, N, monkeypatch):
    """Those past the loop, as they are called."""
    called = []

    def layout(x):
        return "N" if x.flags.c_contiguous else "T"

    def watched(a, b, out=None):
        called.append((*a.shape, b.shape[1], 1, layout(a) + layout(b)))
        return blocks.product(a, b, out)

    layer, output = nn.LSTM(7, 6), nn.Linear(6, 11)
    x = mg.tensor(np.ones((T, N, 7), np.float32), requires_grad=True)
    for user in (steps, output_layer):
        monkeypatch.setattr(user, "product", watched)
    h, _ = layer(x)
    mg.linear_cross_entropy(h, output.weight, output.bias, np.zeros((T, N), int)).backward()
    expected = [*linear_products(T * N, 6, 11), *recurrent_products([N] * T, 7, 6, 4)]
    assert {p for p in expected if p.times == 1} == set(called)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "layers": 2},
        {"cell": "rnn", "tied": True, "layers": 3, "embedding_size": 5},
        {"cell": "gru", "level": "word"},
    ],
)
def test_of_a_run(options):
    s = Settings(hidden_size=6, max_vocab=50, batch_size=3, bptt=4, **options)
    model = RNNLM(50, s.vector_size, 6, s.cell, s.layers, tied=s.tied)
    embedding = 0 if s.tied else model.embedding.weight.size  # it is looked up
    assert flop(products(s)) == 3 * 2 * 12 * (weights(model) - embedding)


def test_of_a_run_with_one_hot_tokens_or_a_cell_of_ones_own():
    s = Settings(hidden_size=6, max_vocab=50, embedding_size=0, batch_size=3, bptt=4, cell="rnn")
    assert flop(products(s)) == 3 * 2 * 12 * (6 * 6 + 6 * 50)
    assert products(Settings(cell="mine.py:Cell")) == []
