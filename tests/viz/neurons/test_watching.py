"""A model reads a text: its states are those of a plain call, and it is left as it was."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, viz
from minigrad.training import evaluating
from models.rnnlm import RNNLM, LanguageModel

TEXT = 'The cat said "no (never)".\n고양이가 "아니" 한다. ' * 3
VOCABULARY = data.Vocabulary.from_text(TEXT)
V = len(VOCABULARY)
# Not 5: with AVX-512, OpenBLAS reads beside a float32 vector of 5, and may warn of what lies there.
E = 7

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class OwnCell(nn.Module):
    def __init__(self, input_size, hidden_size, rng=None):
        self.inner = nn.GRUCell(input_size, hidden_size, rng=rng)

    def forward(self, x, state):
        h = self.inner(x, state)
        return h, h


class Stacked(nn.Module):
    """Several layers in one module, with dropout between them; what it gives can be chosen."""

    def __init__(self, layer, rng, **options):
        self.embedding = nn.Embedding(V, E, rng=rng)
        self.recurrent = layer(E, 6, num_layers=2, dropout=0.5, rng=rng, **options)
        self.output = nn.Linear(6 * (1 + self.recurrent.bidirectional), V, rng=rng)

    def forward(self, ids, state=None):
        h, state = self.recurrent(self.embedding(ids), state)
        return self.output(h), state


class WithoutState(Stacked):
    def forward(self, ids):
        return self.output(self.recurrent(self.embedding(ids))[0])


class Loop(nn.Module):
    """A cell in a loop of its own."""

    def __init__(self, rng):
        self.embedding = nn.Embedding(V, E, rng=rng)
        self.cell = nn.LSTMCell(E, 6, rng=rng)
        self.output = nn.Linear(6, V, rng=rng)

    def forward(self, ids, state=None):
        hs = []
        for x in self.embedding(ids):
            state = self.cell(x, state)
            hs.append(state[0])
        return self.output(mg.stack(hs)), state


class ByHand(nn.Module):
    """The equations themselves, without a layer of minigrad."""

    def __init__(self, rng):
        self.W_xh = nn.Parameter(rng.normal(size=(V, 6)).astype(np.float32))
        self.W_hh = nn.Parameter(rng.normal(size=(6, 6)).astype(np.float32) / 3)
        self.W_hy = nn.Parameter(rng.normal(size=(6, V)).astype(np.float32))

    def forward(self, ids, state=None):
        h = mg.zeros((ids.shape[1], 6)) if state is None else state[0]
        ys = []
        for w in ids:
            h = mg.tanh(self.W_xh[w] + h @ self.W_hh)
            ys.append(h @ self.W_hy)
        return mg.stack(ys), (h,)


def plain(model, ids):
    """The logits of one call on the whole text."""
    with evaluating(model):
        returned = model(ids[:, None])
    return (returned[0] if isinstance(returned, tuple) else returned).numpy()[:, 0]


def check_predictions(seen, model):
    """That they are those of a call, computed in another way."""
    ids = VOCABULARY.encode(TEXT)
    p = mg.softmax(mg.tensor(plain(model, ids).astype(np.float64)), -1).numpy()
    found = seen.predictions
    best = np.argsort(-p, axis=-1)[:, :5]
    np.testing.assert_allclose(found.probabilities, np.take_along_axis(p, best, 1), atol=1e-6)
    came = p[np.arange(len(ids) - 1), ids[1:]]
    assert np.isnan(found.surprise[0])
    np.testing.assert_allclose(found.surprise[1:], -np.log2(came), atol=1e-4)
    np.testing.assert_allclose(found.entropy, -(p * np.log2(p)).sum(-1), atol=1e-4)
    for t, kept in enumerate(found.likeliest[:-1]):
        if found.rank[t + 1] < 5:
            assert kept[found.rank[t + 1]] == TEXT[t + 1]
        else:
            assert TEXT[t + 1] not in kept


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_states_of_rnnlm_are_those_of_its_layers(cell, rng):
    model = RNNLM(V, E, 6, cell, num_layers=2, dropout=0.5, rng=rng)
    seen = viz.watch_neurons(model, TEXT, VOCABULARY, window=7)
    with evaluating(model):
        x = model.embedding(VOCABULARY.encode(TEXT))
        for k, layer in enumerate(model.recurrent):
            x, _ = layer(x)
            np.testing.assert_allclose(seen.activations[f"layer {k + 1} h"], x.numpy(), atol=1e-6)
    parts = ["h", "c"] if cell == "lstm" else ["h"]
    assert list(seen.activations) == [f"layer {k} {part}" for k in (1, 2) for part in parts]
    check_predictions(seen, model)


def test_c_is_the_memory_of_the_lstm(rng):
    """h = o * tanh(c) with the output gate o that the equations give."""
    model = LanguageModel(V, E, 6, rng)
    seen = viz.watch_neurons(model, TEXT, VOCABULARY, window=11)
    h, c = seen.activations["layer 1 h"], seen.activations["layer 1 c"]
    layer = model.recurrent
    x = model.embedding(VOCABULARY.encode(TEXT)).numpy()
    before = np.concatenate([np.zeros((1, 6)), h[:-1]])
    gates = x @ layer.weight_ih_l0.numpy().T + before @ layer.weight_hh_l0.numpy().T
    gates += layer.bias_ih_l0.numpy() + layer.bias_hh_l0.numpy()
    o = 1 / (1 + np.exp(-gates[:, 18:]))
    np.testing.assert_allclose(h, o * np.tanh(c), atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda rng, layer=layer: Stacked(layer, rng) for layer in LAYERS.values()),
        lambda rng: Stacked(nn.LSTM, rng, unroll=True),
        lambda rng: WithoutState(nn.GRU, rng),
        lambda rng: Stacked(lambda *sizes, **o: nn.Recurrent(OwnCell, *sizes, **o), rng),
        lambda rng: RNNLM(V, None, 6, "gru", rng=rng),
        lambda rng: RNNLM(V, E, 6, OwnCell, rng=rng),
        Loop,
        ByHand,
    ],
)
def test_every_kind_of_model_gives_its_top_states_and_predictions(make, rng):
    """The logits are a linear function of the states of the top layer."""
    model = make(rng)
    seen = viz.watch_neurons(model, TEXT, VOCABULARY, window=16)
    tops = [v for name, v in seen.activations.items() if name.split()[-1] in ("h", "state")]
    output = model.W_hy.numpy() if isinstance(model, ByHand) else model.output.weight.numpy().T
    bias = 0 if isinstance(model, ByHand) else model.output.bias.numpy()
    expected = plain(model, VOCABULARY.encode(TEXT))
    np.testing.assert_allclose(tops[-1] @ output + bias, expected, atol=1e-5)
    check_predictions(seen, model)


def test_a_bidirectional_layer_shows_its_output(rng):
    model = Stacked(nn.GRU, rng, bidirectional=True)
    seen = viz.watch_neurons(model, TEXT, VOCABULARY, window=8)
    assert list(seen.activations) == ["layer 2 h forward", "layer 2 h backward"]
    with evaluating(model):
        h, _ = model.recurrent(model.embedding(VOCABULARY.encode(TEXT)))
    found = np.concatenate(list(seen.activations.values()), axis=1)
    np.testing.assert_allclose(found, h.numpy(), atol=1e-6)


def test_batch_first(rng):
    model = Stacked(nn.LSTM, rng, batch_first=True)
    seen = viz.watch_neurons(model, TEXT, VOCABULARY, window=8)
    with evaluating(model):
        h, _ = model.recurrent(model.embedding(VOCABULARY.encode(TEXT)[None]))
    np.testing.assert_allclose(seen.activations["layer 2 h"], h.numpy()[0], atol=1e-6)


def test_the_model_is_left_as_it_was(rng):
    model = Stacked(nn.LSTM, rng)
    model.output.eval()
    ids = VOCABULARY.encode(TEXT)[:, None]
    mg.cross_entropy(model(ids[:-1])[0], ids[1:]).backward()
    before = {
        name: (p.numpy().copy(), p.grad.numpy().copy()) for name, p in model.named_parameters()
    }
    state = rng.bit_generator.state
    modes = [part.training for part in model.modules()]
    attributes = [dict(vars(part)) for part in model.modules()]
    seen = viz.watch_neurons(model, TEXT, VOCABULARY)
    assert rng.bit_generator.state == state
    assert [part.training for part in model.modules()] == modes
    for part, kept in zip(model.modules(), attributes, strict=True):
        assert vars(part).keys() - {"training"} == kept.keys() - {"training"}
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.numpy(), before[name][0])
        np.testing.assert_array_equal(parameter.grad.numpy(), before[name][1])
    assert mg.tanh(model.output.weight).requires_grad  # the tape records again
    again = viz.watch_neurons(model, TEXT, VOCABULARY)
    for name, values in seen.activations.items():
        np.testing.assert_array_equal(values, again.activations[name])


def test_it_is_left_as_it_was_after_an_error_too(rng):
    class Failing(Stacked):
        def forward(self, ids, state=None):
            super().forward(ids, state)
            raise RuntimeError("mine")

    model = Failing(nn.GRU, rng)
    with pytest.raises(RuntimeError, match="mine"):
        viz.watch_neurons(model, TEXT, VOCABULARY)
    assert model.training
    assert "forward" not in vars(model.recurrent)


@pytest.mark.parametrize("level", ["word", "byte"])
def test_tokens_of_other_kinds_are_the_text(level, rng):
    text = 'He said "no".\n나는 "네" 했다.\n' * 2
    tokenizer = data.ByteVocabulary()
    if level == "word":
        tokenizer = data.Vocabulary.from_text(text, level="word")
    model = LanguageModel(len(tokenizer), 4, E, rng)
    seen = viz.watch_neurons(model, text, tokenizer)
    assert len(seen.tokens) == len(tokenizer.encode(text))
    assert "".join(seen.tokens) == tokenizer.decode(tokenizer.encode(text))
    assert all(isinstance(name, str) for row in seen.predictions.likeliest for name in row)


def test_an_unknown_character_is_shown_as_it_was_written(rng):
    vocabulary = data.Vocabulary(["<unk>", "a", "b"], unk="<unk>")
    seen = viz.watch_neurons(LanguageModel(3, 4, E, rng), "ab가ab7", vocabulary)
    assert seen.tokens == list("ab가ab7")


class Stateless(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(V, V)

    def forward(self, ids):
        return self.embedding(ids)


class Forgetful(Stacked):
    def forward(self, ids, state=None):
        return super().forward(ids, state)[0]


class Embedder(Stacked):
    def forward(self, ids, state=None):
        return self.recurrent(self.embedding(ids), state)


@pytest.mark.parametrize(
    ("model", "text", "error", "words"),
    [
        (lambda rng: print, TEXT, TypeError, "nn.Module"),
        (lambda rng: Stateless(), TEXT, TypeError, "viz.Neurons"),
        (lambda rng: Forgetful(nn.GRU, rng), TEXT * 3, TypeError, "returned none"),
        (lambda rng: Embedder(nn.GRU, rng), TEXT, ValueError, "logits"),
        (lambda rng: Stacked(nn.GRU, rng), "", ValueError, "no tokens"),
        (lambda rng: Stacked(nn.GRU, rng), "T", ValueError, "at least 4"),
        (lambda rng: Stacked(nn.GRU, rng), 7, TypeError, "str"),
    ],
)
def test_what_is_no_such_model_or_text_gets_a_clear_error(model, text, error, words, rng):
    with pytest.raises(error, match=words):
        viz.watch_neurons(model(rng), text, VOCABULARY, window=64)


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(TypeError, match=r"tokenizer must have encode\(\)"):
        viz.watch_neurons(nn.Linear(1, 1), TEXT, list(TEXT)[:3])
