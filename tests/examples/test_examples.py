"""The examples show what they claim, and run as scripts."""

import ast
import importlib.util
import math
import os
import re
import runpy
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minigrad as mg

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hello():
    return example("hello")


@pytest.fixture(scope="module")
def untrained(hello):
    return hello.CharRNN(4, 8, np.random.default_rng(0))


@pytest.fixture(scope="module")
def trained(hello):
    """The model after 100 steps, and the losses."""
    model = hello.CharRNN(4, 8, np.random.default_rng(0))
    optimizer = hello.optim.SGD(model.parameters(), lr=0.5)
    return model, [hello.train_step(model, optimizer) for _ in range(100)]


@pytest.fixture(scope="module")
def ybigta():
    return example("ybigta")


@pytest.fixture(scope="module")
def both(ybigta):
    return ybigta.train_both()


@pytest.fixture(scope="module")
def lm():
    return example("rnnlm_sentence")


@pytest.fixture(scope="module")
def korean(lm):
    """With and without the state carried: the trained model, and its losses."""
    found = {}
    for carry_state in (True, False):
        model = lm.RNNLM([*lm.KOREAN])
        found[carry_state] = model, lm.train(model, [*lm.KOREAN], 150, carry_state)
    return found


@pytest.fixture(scope="module")
def vanishing():
    return example("vanishing_exploding")


@pytest.fixture(scope="module")
def norms(vanishing):
    return vanishing.all_norms(np.random.default_rng(0))


@pytest.fixture(scope="module")
def zero():
    return example("zero_centred")


class TestLanguageModel:
    SOURCE = (EXAMPLES / "language_model.py").read_text(encoding="utf-8")

    def test_fits_on_one_screen(self):
        assert len(self.SOURCE.splitlines()) <= 60

    def test_the_public_api_is_enough(self):
        tree = ast.walk(ast.parse(self.SOURCE))
        imports = [
            ast.unparse(node) for node in tree if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert [line for line in imports if "minigrad" in line] == [
            "import minigrad as mg",
            "from minigrad import data, nn, optim, training",
        ]
        assert "._" not in self.SOURCE

    def test_the_first_look_shows_its_lines(self):
        page = (ROOT / "docs/first_look.md").read_text("utf-8")
        shown = re.findall(r"^```py\n(.*?)^```", page, re.S | re.M)
        assert len(shown) == 1
        assert shown[0] in self.SOURCE

    @pytest.mark.host(reason="the scripts compute on the CPU")
    def test_it_learns_a_text_and_writes_it(self, tmp_path):
        """Of a text that repeats itself each character is certain: 0 bits."""
        line = "가는 말이 고와야 오는 말이 곱다\n"
        (tmp_path / "말.txt").write_text(line * 1000, encoding="utf-8", newline="\n")
        run = script("language_model", tmp_path, "말.txt")
        assert (run.returncode, run.stderr) == (0, "")
        before, _, written = run.stdout.partition("held-out text")
        bits, _, written = written.partition(" bits per character\n\n")
        assert "h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})" in before
        assert "epoch 1 step" in before
        assert float(bits) < 0.1
        assert written == (line * 100)[: len(written) - 1] + "\n"
        assert max(map(columns, run.stdout.splitlines())) <= 80


class TestHello:
    def test_reads_hell_and_targets_ello(self, hello):
        inputs, targets = hello.inputs_and_targets()
        assert hello.VOCABULARY.decode(inputs) == "hell"
        assert hello.VOCABULARY.decode(targets) == "ello"

    def test_untrained_it_favours_no_letter(self, hello, untrained, trained):
        logits, probabilities = hello.logits_and_probabilities(untrained)
        assert logits.shape == probabilities.shape == (4, 4)
        assert probabilities.min() > 0.1
        assert probabilities.max() < 0.5
        assert trained[1][0] == pytest.approx(math.log(4), abs=0.3)

    def test_trained_it_gives_each_target_nearly_all(self, hello, trained):
        logits, probabilities = hello.logits_and_probabilities(trained[0])
        targets = hello.inputs_and_targets()[1]
        assert (probabilities[range(4), targets] > 0.9).all()
        exp = np.exp(logits)
        np.testing.assert_allclose(probabilities, exp / exp.sum(1, keepdims=True), rtol=1e-5)
        assert trained[1][-1] < 0.02

    def test_greedily_it_spells_hello(self, hello, untrained, trained):
        assert hello.continuation(trained[0], "h", 4) == "ello"
        assert hello.continuation(untrained, "h", 4) != "ello"

    def test_marks_the_targets(self, hello, untrained):
        rows = [line.split()[-4:] for line in hello.table(untrained).splitlines()[2:]]
        marked = [[i for i, cell in enumerate(row) if cell.startswith("[")] for row in rows]
        assert marked == [[hello.VOCABULARY.id_of(y)] for y in "ello"]


class TestYbigta:
    def test_a_one_hot_product_is_a_row(self, ybigta):
        ids = ybigta.VOCABULARY.encode("ybigta")
        W = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
        onehot = ybigta.one_hot(ids, 6)
        assert (onehot.sum(1) == 1).all()
        np.testing.assert_array_equal(onehot @ W, W[ids])
        np.testing.assert_array_equal((onehot @ mg.tensor(W)).numpy(), W[ids])

    def test_both_train_alike(self, both):
        models, losses, gradients = both
        np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=1e-6)
        np.testing.assert_allclose(gradients[0], gradients[1], rtol=0, atol=1e-6)
        assert np.abs(gradients[0]).max() > 0.01
        for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=0, atol=1e-6)
        assert losses[0][0] > 1.5
        assert losses[0][-1] < 0.05

    def test_only_rows_of_inputs_have_a_gradient(self, both):
        for first, *_ in both[2]:
            assert (first[5] == 0).all()  # a is never an input
            assert (first[:5] != 0).all()

    def test_they_say_bigta(self, ybigta, both):
        ids = ybigta.VOCABULARY.encode("ybigt")
        onehot, lookup = both[0]
        assert ybigta.VOCABULARY.decode(lookup(ids).argmax(-1)) == "bigta"
        assert ybigta.VOCABULARY.decode(onehot(ybigta.one_hot(ids, 6)).argmax(-1)) == "bigta"


class TestSentences:
    def test_english_is_learnt_forced_and_free(self, lm):
        sentence = "what will the fat cat sit on"
        model = lm.RNNLM(lm.ENGLISH)
        assert lm.free_run(model, "what") != sentence
        assert max(lm.forced(model, sentence)[1]) < 0.5
        lm.train(model, lm.ENGLISH, 50)
        words, probabilities = lm.forced(model, sentence)
        assert words == sentence.split()[1:]
        assert min(probabilities) > 0.9
        assert lm.free_run(model, "what") == sentence  # and then <eos>

    def test_korean_sentences_are_completed(self, lm, korean):
        model, losses = korean[True]
        starts = ["경마장에", "그의", "가는"]
        assert [lm.free_run(model, start) for start in starts] == [*lm.KOREAN]
        assert losses[-1] < 0.05

    def test_the_four_contexts(self, lm):
        assert lm.contexts() == [
            ("경마장에 있는 말이", "뛰고"),
            ("그의 말이", "법이다"),
            ("가는 말이", "고와야"),
            ("가는 말이 고와야 오는 말이", "곱다"),
        ]

    def test_the_state_tells_what_follows(self, lm, korean):
        followers = [word for _, word in lm.contexts()]
        for context, word in lm.contexts():
            p = lm.next_word(korean[True][0], context)
            assert p[word] > 0.9
            assert all(p[other] < 0.05 for other in followers if other != word)

    @pytest.mark.parametrize("trained_with_state", [True, False])
    def test_without_a_state_all_contexts_are_one(self, lm, korean, trained_with_state):
        model = korean[trained_with_state][0]
        contexts = [context for context, _ in lm.contexts()]
        first, *others = [lm.next_word(model, context, carry_state=False) for context in contexts]
        assert all(p == first for p in others)

    def test_without_a_state_a_quarter_is_the_best(self, lm, korean):
        model, losses = korean[False]
        best = 4 * math.log(4) / 14
        assert best < losses[-1] < best + 0.01
        p = lm.next_word(model, "말이", carry_state=False)
        assert [p[word] for _, word in lm.contexts()] == pytest.approx([0.25] * 4, abs=0.02)
        completions = [lm.free_run(model, s.split()[0], carry_state=False) for s in lm.KOREAN]
        assert completions != [*lm.KOREAN]

    def test_padding_counts_columns_of_a_terminal(self, lm):
        assert lm.padded("말이", 6) == "말이  "
        assert lm.padded("the", 6) == "the   "


class TestVanishing:
    def test_two_steps_of_three_are_nine(self, vanishing):
        assert vanishing.scalar_gradient(3.0, 2) == 9

    @pytest.mark.parametrize("w", [0.5, 0.9, 1.0, 1.5, 3.0, -2.0])
    @pytest.mark.parametrize("T", [0, 1, 2, 10, 50])
    def test_scalar_gradient_is_a_power(self, vanishing, w, T):
        assert vanishing.scalar_gradient(w, T) == pytest.approx(w**T, rel=1e-12)

    @pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
    def test_matrices_have_the_radius(self, vanishing, radius):
        for make in (vanishing.orthogonal, vanishing.gaussian):
            W = make(radius, np.random.default_rng(1))
            assert abs(np.linalg.eigvals(W)).max() == pytest.approx(radius, rel=1e-9)

    @pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
    def test_norms_go_with_the_power_of_the_radius(self, norms, radius):
        powers = radius ** np.arange(41.0)
        np.testing.assert_allclose(norms[radius]["orthog."], powers, rtol=1e-9)
        gauss = norms[radius]["Gauss"]
        assert (gauss[40] / gauss[20]) ** (1 / 20) == pytest.approx(radius, rel=0.02)
        assert (norms[radius]["tanh"] <= powers * (1 + 1e-9)).all()

    def test_tanh_dampens_the_explosion(self, norms):
        assert norms[1.5]["tanh"][40] < 1e-3 * norms[1.5]["orthog."][40]

    def test_norms_are_those_of_the_jacobian(self, vanishing):
        W = vanishing.gaussian(1.2, np.random.default_rng(2), size=5)
        h, J = [np.linspace(-1, 1, 5)], []
        for _ in range(6):
            h.append(np.tanh(W @ h[-1]))
            J.append(np.diag(1 - h[-1] ** 2) @ W)
        expected, product = [1.0], np.eye(5)
        for step in reversed(J):
            product = product @ step
            expected.append(np.linalg.norm(product, 2))
        np.testing.assert_allclose(vanishing.jacobian_norms(W, mg.tanh, T=6), expected, rtol=1e-9)
        powers = [np.linalg.norm(np.linalg.matrix_power(W, k), 2) for k in range(7)]
        np.testing.assert_allclose(vanishing.jacobian_norms(W, T=6), powers, rtol=1e-9)

    def test_clipping_keeps_the_direction(self, vanishing):
        before, after, cosine = vanishing.clip_once(max_norm=1.0)
        assert before > 100
        assert after == pytest.approx(1.0, rel=1e-5)
        assert cosine == pytest.approx(1.0, abs=1e-5)

    def test_clipping_leaves_small_gradients_alone(self, vanishing):
        before, after, _ = vanishing.clip_once(max_norm=1e6)
        assert after == before

    def test_without_clipping_it_blows_up(self, vanishing):
        losses, _ = vanishing.train(math.inf)
        assert len(losses) < 10
        assert not np.isfinite(losses[-1])

    def test_with_clipping_it_learns(self, vanishing):
        losses, norms = vanishing.train(1.0)
        assert len(losses) == 400
        assert np.isfinite([losses, norms]).all()
        assert norms[0] > 100
        assert losses[-20:].mean() < 0.4  # to say 0 would cost 1

    def test_log_plot_puts_marks_at_their_powers(self, vanishing):
        rows = vanishing.log_plot([[1e-12, 1.0], [1.0, 1e8]], "v^").splitlines()
        marks = {row.split("|")[0].strip(): row.split("|")[1] for row in rows if "|" in row}
        assert {label: m for label, m in marks.items() if m} == {
            "1e+08": " ^",
            "1e+00": "^v",
            "1e-12": "v",
        }


class TestCliff:
    def test_the_wall_is_high_and_steep(self):
        cliff = example("cliff")
        b = cliff.wall(6.0)
        (high, _), (_, at), (low, _) = (cliff.loss_and_norm(6.0, b + d) for d in (-1e-5, 0, 1e-5))
        assert high > 10 * low
        assert at > 1e5

    def test_a_clipped_step_is_short(self):
        cliff = example("cliff")
        points = {}
        for max_norm in (math.inf, cliff.MAX_NORM):
            path, _ = cliff.train((6.0, cliff.wall(6.0)), max_norm, 1)
            points[max_norm] = np.array([[x.item() for x in point.values()] for point in path])
        far, near = (np.linalg.norm(p[1] - p[0]) for p in points.values())
        assert far > 1e4
        assert near == pytest.approx(cliff.LR * cliff.MAX_NORM, rel=1e-4)

    @pytest.mark.host(reason="the scripts compute on the CPU")
    def test_draws_a_picture_and_a_page(self, tmp_path, monkeypatch):
        pytest.importorskip("matplotlib")
        cliff = example("cliff")
        monkeypatch.setattr(cliff, "train", lambda *_: ([{"w": 6.0, "b": -2.5}], []))
        monkeypatch.setattr(cliff.OneUnit, "forward", lambda self: (self.w + self.b) ** 2)
        for name in ("cliff.png", "cliff.html"):
            cliff.save(tmp_path / name)
            assert (tmp_path / name).stat().st_size > 10_000


class TestZeroCentred:
    def test_gradients_are_the_error_times_the_inputs(self, zero):
        z = np.random.default_rng(0).normal(size=(5, 3))
        x = np.tanh(z)
        y = x @ [1, -1, 1]
        gradients = zero.weight_gradients(mg.tanh, examples=5, inputs=3)
        np.testing.assert_allclose(gradients, y[:, None] * x, rtol=1e-12)

    def test_positive_inputs_give_one_sign(self, zero):
        fraction = {
            name: zero.same_sign_fraction(zero.weight_gradients(activation))
            for name, activation in zero.ACTIVATIONS.items()
        }
        assert fraction["sigmoid"] == 1.0
        assert fraction["tanh"] < 0.1
        assert fraction["sigmoid - 1/2"] < 0.1
        signs = np.sign(zero.weight_gradients(mg.sigmoid)[:, 0])
        assert 0.3 < (signs > 0).mean() < 0.7  # all up, or all down, by turns

    def test_same_sign_fraction(self, zero):
        assert zero.same_sign_fraction(np.array([[1, 2], [-1, -2], [1, -2], [-1, 2]])) == 0.5

    def test_the_way_is_a_zig_zag(self, zero):
        steps, detours, alike = {}, {}, {}
        for name, activation in zero.ACTIVATIONS.items():
            ways = [zero.descend(activation, seed) for seed in range(5)]
            assert all((way[0] == zero.START).all() for way in ways)
            assert all(math.dist(way[-1], zero.TARGET) < 0.1 for way in ways)
            steps[name] = np.mean([len(way) - 1 for way in ways])
            detours[name] = np.mean([zero.detour(way) for way in ways])
            alike[name] = zero.same_sign_fraction(
                np.concatenate([np.diff(w, axis=0) for w in ways])
            )
        assert alike["sigmoid"] == 1.0
        for name in ("tanh", "sigmoid - 1/2"):
            assert alike[name] < 0.8
            assert steps[name] < steps["sigmoid"] / 3
            assert detours[name] < detours["sigmoid"] * 0.7

    def test_detour(self, zero):
        assert zero.detour(np.array([[0, 0], [3, 0], [3, 4]])) == pytest.approx(7 / 5)


class TestTape:
    @pytest.mark.parametrize("net", ["by-hand", "lstm", "bidirectional", "two-layers"])
    def test_it_is_drawn(self, net, tmp_path):
        drawing = example("tape").seen(net, "tape")
        assert drawing.time_steps == (99 if net == "two-layers" else 4)
        assert len(drawing.layers) == (1 if net in ("by-hand", "lstm") else 2)
        assert drawing.tape.watched
        assert not drawing.tape.trouble


SHOWN = {
    "seeing": [
        "L_t = -log softmax(z_t)[w_{t+1}]",
        "k         RNN        LSTM         GRU",
        "place in the word",
    ],
    "cliff": [
        "h_t = w sigmoid(h_{t-1}) + b",
        "the wall stands at b = -3.234756",
        "-0.1     0.430       0.07479",
        "without clipping",
        "     0.025     300",
    ],
    "hello": [
        "W_xh, b_xh = rnn.weight_ih_l0, rnn.bias_ih_l0",
        "Before training",
        "1   h -> e",
        "100   0.0",
        "ello",
        "[0.99]",
    ],
    "ybigta": [
        "onehot(id) @ W = W[id]",
        "A one-hot product is a lookup",
        "1 . . . . .",
        "lookup 0",
    ],
    "rnnlm_sentence": [
        "W_hy, b_y  = decoder.weight",
        "경마장에 있는 말이 뛰고 있다",
        "[1.00]",
        "[0.25]",
        "0.396 per word",
    ],
    "vanishing_exploding": [
        "dh_T/dh_t = W W ... W",
        "3 * 3 = 9",
        "9.1e-13",
        "without clipping",
        "nan",
    ],
    "unrolled_rnn": [
        "dL/dW_hh = sum_t dL/dW_hh(t)",
        "3   l -> l",
        "0.0000",
        "43 numbers to learn",
    ],
    "bptt_paths": [
        "dL_t/dh_t = h_t - y_t",
        "W.grad, by one walk back: 0.17850",
        "-0.3272 * 0.4379 * 0.7418 * 0.3659 = -0.03889",
    ],
    "clipping": [
        "g   <- g min(1, max_norm / |g|)",
        "0.82   0.57  1.00    1.00   1.00  0.98",
        "nan",
    ],
    "truncation": [
        "from h = h_{(j-1) k}.detach()",
        "8,640 B",
        "1.0000",
        "state carried     0.0",
    ],
    "deep_and_bidirectional": [
        "output_t = [f_t, b_t]",
        "two directions: x (5, 1, 4), output (5, 1, 12), state (2, 1, 6)",
        "0.605    0.000    0.000    0.000    0.000",
    ],
    "four_shapes": [
        "one-to-many     y_t = W h_t",
        "     1    0.506    0.000    0.000",
        "0: the output does not know this input.",
    ],
    "gates": [
        "dc_t/dc_{t-1} = diag(f_t)",
        "LSTM +3",
        "mean       0.87       0.79       0.50       0.95       0.50       0.95",
    ],
    "one_to_one": [
        "H(next | current) = - sum over pairs a, b of P(a, b) log2 P(b | a)",
        "1 characters  1.3320 bits",
        "k   0.375    0.375",
    ],
    "many_to_many": [
        "y_t = W h_t + b",
        "of 111 new sentences the LSTM has 9",  # and 8 or 9 percent, as sums are rounded
        "% right, 5 characters around 41%",
        "both went once more to get her",
    ],
    "one_to_many": [
        "h_t = GRU([x_t, v], h_{t-1})",
        "  yellow over black    yellow over black",
        "right: 12",
    ],
    "encoder_decoder": [
        "h_t = decoder(E[y_{t-1}], h_{t-1})",
        "  hㅎ  aㅏ  nㄴ  gㄱ  uㅜ  gㄱ",
    ],
    "many_to_one": [
        "y        = W h_T + b",
        "new sentences: LSTM 100% right, Naive Bayes 49%",
    ],
    "memory": [
        "c_t = f_t c_{t-1} + i_t g_t",
        "RNN  forgets",
        "LSTM remembers",
        "GRU  remembers",
    ],
    "tape": [
        "h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)",
        " #32  4  tanh           #31        (3,)",
        " #29  4  matmul         W_hh, #24  (3,)",
        "b     b     parameter  (3,)",
        "32 ops;",
    ],
    "zero_centred": [
        "dL/dw_i = (dL/dy) x_i",
        "- - - - - -",
        "sigmoid        100.0%",
        "-0.94    1.05   up up",
    ],
}


def test_every_example_is_run_and_listed():
    names = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert names == {"language_model", *SHOWN}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`python examples/{name}.py`" in readme for name in names)


@pytest.mark.host(reason="it computes on the CPU")
class TestOneToOne:
    @pytest.fixture
    def one(self):
        return example("one_to_one")

    def test_the_loss_comes_down_to_the_conditional_entropy(self, one):
        """Of the counts in a table: H(pair) - H(current)."""
        w = one.vocabulary.encode(one.TEXT)
        counts = np.zeros((len(one.vocabulary),) * 2)
        np.add.at(counts, (w[:-1], w[1:]), 1)

        def entropy(p):
            return -(p[p > 0] * np.log2(p[p > 0])).sum()

        joint = counts / counts.sum()
        expected = entropy(joint) - entropy(joint.sum(1))
        assert one.floor(one.TEXT, 1) == pytest.approx(expected, rel=1e-12)
        mg.manual_seed(1)
        model = mg.nn.Linear(len(one.vocabulary), len(one.vocabulary))
        losses = one.train(model)
        assert min(losses) > expected
        assert losses[-1] == pytest.approx(expected, abs=1e-3)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        for character in one.vocabulary.decode(w[:-1]):
            (current,) = one.vocabulary.encode(character)
            found = one.next_after(model, character)
            np.testing.assert_allclose(found, shares[current], atol=0.01)

    def test_more_context_has_a_lower_floor(self, one):
        floors = [one.floor(one.TEXT, context) for context in range(4)]
        assert floors == sorted(floors, reverse=True)
        assert one.floor("abcabcabc", 1) == 0


def script(name, tmp_path, *arguments, encoding="utf-8"):
    """The finished process of an example."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONIOENCODING": encoding,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding=encoding, timeout=120
    )


@pytest.mark.host(reason="the scripts compute on the CPU")
def test_a_terminal_without_korean_letters(tmp_path):
    run = script("rnnlm_sentence", tmp_path, encoding="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "right   his word is law" in run.stdout


@pytest.mark.host(reason="the scripts compute on the CPU")
@pytest.mark.parametrize("name", SHOWN)
def test_runs_as_a_script(name, tmp_path, monkeypatch, capsys):
    """Within this process, which has loaded what they need."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    printed, errors = capsys.readouterr()
    assert errors == ""
    for text in SHOWN[name]:
        assert text in printed
    lines = printed.splitlines()
    assert len(lines) < 60
    assert max(map(columns, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def columns(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
