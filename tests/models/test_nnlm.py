"""The fixed-window model: its equations, and that it does what a recurrent model does."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

import minigrad as mg
from minigrad.data import Vocabulary
from minigrad.testing import check_layer
from minigrad.training import detach_state, evaluating, full_bptt, truncated_bptt
from models import load_run
from models.commands.cli import app
from models.measuring.evaluation import evaluate
from models.measuring.neural_cache import cache_evaluate
from models.nnlm import NNLM
from models.writing.sampling import generate, generate_many

V = 7


def model(context=3, seed=3, **options):
    return NNLM(V, 4, 6, context, rng=np.random.default_rng(seed), **options)


def ids(*shape):
    return np.random.default_rng(1).integers(0, V, shape)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("context", [1, 2, 5])
class TestModel:
    def test_the_logits_are_those_of_the_paper(self, context, direct):
        """y = b + W x + U tanh(d + H x), one token and one text at a time."""
        net, tokens = model(context, direct=direct), ids(4, 2)
        logits, state = net(tokens)
        found = {name: value.astype(float) for name, value in net.state_dict().items()}
        C, b = found["embedding.weight"], found["output.bias"]
        H, d = found["hidden_layer.weight"], found["hidden_layer.bias"]
        U, W = np.split(found["output.weight"], [6], axis=1)
        for n in range(2):
            text = [V] * context + tokens[:, n].tolist()  # V: before the text
            for t in range(4):
                x = np.concatenate([C[token] for token in text[t + 1 : t + 1 + context]])
                y = b + U @ np.tanh(d + H @ x) + (W @ x if direct else 0)
                np.testing.assert_allclose(logits.numpy()[t, n], y, rtol=1e-5, atol=1e-6)
            assert state[0].numpy()[n].tolist() == text[-context:]
        assert W.shape == (V, 4 * context if direct else 0)

    def test_lists_are_ids_too(self, context, direct):
        net, tokens = model(context, direct=direct), ids(4, 2)
        assert np.array_equal(net(tokens.tolist())[0].numpy(), net(tokens)[0].numpy())

    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    def test_derivatives(self, context, direct):
        check_layer(model(context, direct=direct), ids(4, 2))
        check_layer(model(context, direct=direct), ids(4, 2), (ids(2, context),))

    def test_the_state_carries_on(self, context, direct):
        net, tokens = model(context, direct=direct), ids(9, 3)
        whole, last = net(tokens)
        state, pieces = None, []
        for start, stop in ((0, 4), (4, 5), (5, 9)):
            logits, state = net(tokens[start:stop], state)
            state = detach_state(state)
            pieces.append(logits.numpy())
        np.testing.assert_allclose(np.concatenate(pieces), whole.numpy(), rtol=1e-5, atol=1e-6)
        assert np.array_equal(state[0].numpy(), last[0].numpy())
        for n in range(3):  # texts side by side are as each alone
            alone, _ = net(tokens[:, n])
            np.testing.assert_allclose(alone.numpy(), whole.numpy()[:, n], rtol=1e-5, atol=1e-6)

    def test_truncated_bptt_cuts_nothing_off(self, context, direct):
        """No gradient goes further back than the tokens that it sees, which are looked up anew."""
        net, tokens = model(context, direct=direct), ids(9, 2)

        def objective(inputs, state):
            return net(inputs, state)

        def loss(logits, targets):
            return mg.cross_entropy(logits, targets, reduction="sum")

        full_bptt(objective, loss, tokens[:-1], tokens[1:])
        exact = [p.grad.numpy().copy() for p in net.parameters()]
        net.zero_grad()
        for _ in truncated_bptt(objective, loss, tokens[:-1], tokens[1:], k1=2):
            pass
        for p, g in zip(net.parameters(), exact, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-4, atol=1e-6)


@pytest.mark.host(reason="the steps on a GPU are those of the CPU: test_devices.py")
@pytest.mark.parametrize("context", [2, 3])
def test_it_learns_what_its_window_tells_and_nothing_else(context):
    """Each token is that of three places before: the third last is in a window of three alone."""
    net = NNLM(V, 8, 16, context, rng=np.random.default_rng(0))
    text = np.tile(np.random.default_rng(0).integers(0, V, (3, 50)), (4, 1))
    optimizer = mg.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        net.zero_grad()
        net.objective(text[:-1], text[1:]).total.backward()
        optimizer.step()
    right = net(text[:-1])[0].numpy().argmax(-1) == text[1:]
    assert (right[2:].mean() > 0.95) == (context == 3)
    assert right[2:].mean() < 0.8 or context == 3


def test_settings_make_the_same_model_again():
    net = model(direct=True, dropout=0.25)
    again = NNLM(**net.settings(), rng=np.random.default_rng(3))
    assert again.settings() == net.settings()
    for name, value in net.state_dict().items():
        assert np.array_equal(again.state_dict()[name], value)
    assert again.dropout.p == 0.25


def test_dropout_is_of_the_vectors_and_of_the_hidden_units():
    net = model(direct=True, dropout=0.5)
    h, x = np.split(net.hidden(ids(50, 2))[0].numpy(), [6], axis=-1)
    assert 0.4 < (x == 0).mean() < 0.6
    assert 0.4 < (h == 0).mean() < 0.6
    with evaluating(net):
        assert np.array_equal(net(ids(5))[0].numpy(), net(ids(5))[0].numpy())


def test_loss_and_objective_are_the_mean_of_minus_log_p():
    net, tokens = model(), ids(5, 2)
    logits, _ = net(tokens[:-1])
    expected = mg.cross_entropy(logits, tokens[1:]).item()
    assert net.loss(tokens[:-1], tokens[1:])[0].item() == pytest.approx(expected, rel=1e-6)
    objective = net.objective(tokens[:-1], tokens[1:])
    assert objective.total.item() == objective.loss.item() == pytest.approx(expected, rel=1e-6)


def test_it_is_measured_like_a_recurrent_model():
    net, tokens = model(), ids(80)
    with evaluating(net):
        exact = net.loss(tokens[:-1], tokens[1:])[0].item()
    assert evaluate(net, tokens, bptt=7).nats == pytest.approx(exact, rel=1e-6)
    # a piece has seen all that the model looks at, after as many tokens as that
    assert evaluate(net, tokens, streams=3, warm_up=3).nats == pytest.approx(exact, rel=1e-6)
    assert cache_evaluate(net, tokens, size=9, theta=0.3, weight=0.0).nats == pytest.approx(exact)


def test_it_writes_like_a_recurrent_model():
    letters = Vocabulary(list("abcdefg"))
    rngs = [np.random.default_rng(seed) for seed in range(3)]
    alone = ["".join(generate(model(), letters, "bad", 20, rng=rng)) for rng in rngs]
    rngs, together = [np.random.default_rng(seed) for seed in range(3)], ["", "", ""]
    for n, piece in generate_many(model(), letters, "bad", 20, rngs=rngs):
        together[n] += piece
    assert together == alone
    assert len(set(alone)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "NNLM: context must be at least 1, got 0"),
        ({"hidden_size": 0}, "must be .*at least 1"),
        ({"dropout": 1.5}, "from 0 to 1"),
    ],
)
def test_what_can_not_be(options, message):
    with pytest.raises(ValueError, match=message):
        NNLM(**{"vocab_size": V, "embedding_size": 4, "hidden_size": 6, "context": 3, **options})


@pytest.mark.parametrize(
    ("tokens", "state", "message"),
    [
        (ids(2, 2, 2), None, r"ids must have the shape \(T, N\) or \(T,\), got \(2, 2, 2\)"),
        (ids(4, 2), (ids(2, 2),), r"one Tensor of shape \(2, 3\), got \[\(2, 2\)\]"),
        (ids(4), (ids(3), ids(3)), r"one Tensor of shape \(3,\), got \[\(3,\), \(3,\)\]"),
    ],
)
def test_ids_and_states_that_do_not_fit(tokens, state, message):
    with pytest.raises(ValueError, match=f"NNLM: .*{message}"):
        model()(tokens, state)


@pytest.mark.parametrize(("error", "tokens"), [(IndexError, [0, V + 1]), (TypeError, [0.0, 1.0])])
def test_ids_that_are_none(error, tokens):
    with pytest.raises(error):
        model()(np.array(tokens))


class TestRuns:
    """``python -m models train --cell nnlm``."""

    pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

    SMALL = (
        *("--cell", "nnlm", "--context", 3, "--hidden-size", 6, "--embedding-size", 4),
        *("--batch-size", 4, "--bptt", 8, "--eval-every", 20, "--samples", 1),
    )

    @staticmethod
    def call(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        return result.exit_code, " ".join(result.output.split())

    def train(self, out, *arguments):
        text = out.parent / "text.txt"
        text.write_text("the quick brown fox jumps over the lazy dog\n" * 40)
        code, told = self.call("train", "--text", text, "--out", out, *self.SMALL, *arguments)
        assert code == 0, told
        return told

    @pytest.mark.parametrize("capture", ["--capture", "--no-capture"])
    def test_a_run_that_was_stopped_is_the_same_run(self, tmp_path, capture):
        told = self.train(tmp_path / "whole", "--steps", 60, "--schedule", "constant", capture)
        assert "NNLM, 3 characters seen, 1 layer of 6 units" in told
        assert "can't be recorded" not in told
        self.train(tmp_path / "parts", "--steps", 31, "--schedule", "constant", "--capture")
        code, told = self.call("train", "--resume", tmp_path / "parts", "--steps", 60)
        assert code == 0, told
        whole, parts = (load_run(tmp_path / each, "last") for each in ("whole", "parts"))
        assert whole.step == parts.step == 60
        for name, value in whole.model.state_dict().items():
            assert np.array_equal(parts.model.state_dict()[name], value), name

    def test_its_model_is_used_like_any_other(self, tmp_path):
        self.train(tmp_path / "run", "--steps", 12)
        run = load_run(tmp_path / "run")
        assert isinstance(run.model, NNLM)
        assert run.model.context == 3
        assert self.call("sample", tmp_path / "run", "--length", 20)[0] == 0
        assert "perplexity" in self.call("evaluate", tmp_path / "run", "--dynamic", 0.1)[1]
        assert "run: NNLM" in self.call("baselines", tmp_path / "run")[1]
        assert "401" in self.call("compare", tmp_path / "run")[1]  # parameters
        code, told = self.call("look", tmp_path / "run")
        assert code == 2
        assert "look is for recurrent networks" in told

    def test_files_that_do_not_fit_are_refused(self, tmp_path):
        from minigrad.training import load_checkpoint, save_checkpoint

        self.train(tmp_path / "run", "--steps", 6)
        path = tmp_path / "run" / "model.safetensors"
        tree = load_checkpoint(path)
        for settings, message in (
            ({"context": 4}, r"its settings ask for \(6, 16\) as hidden_layer.weight"),
            ({"context": 10**9}, r"its settings ask for .* as hidden_layer.weight"),
            ({"context": "3"}, "do not fit together"),
            ({"cell": "gru"}, "do not fit together"),
        ):
            save_checkpoint(path, {**tree, "settings": {**tree["settings"], **settings}})
            with pytest.raises(ValueError, match=message):
                load_run(tmp_path / "run")
        save_checkpoint(path, {**tree, "format": "minigrad-rnnlm"})
        with pytest.raises(ValueError, match="do not fit together"):
            load_run(tmp_path / "run")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--layers", 2], "--layers is for recurrent networks, not --cell nnlm"),
            (["--tied"], "--tied is for recurrent networks"),
            (["--weight-drop", 0.5], "--weight-drop is for recurrent networks"),
            (["--embedding-size", 0], "--cell nnlm needs an embedding"),
            (["--cell", "gru"], "--context needs --cell nnlm"),
        ],
    )
    def test_options_that_can_not_be(self, tmp_path, options, message):
        code, told = self.call("train", "--out", tmp_path / "run", *self.SMALL, *options)
        assert code == 2
        assert re.search(message, told), told
