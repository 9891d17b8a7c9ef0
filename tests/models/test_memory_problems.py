"""The problems of long memory: what is drawn, what a guess costs, and examples as text."""

import math

import numpy as np
import pytest

from minigrad import nn
from models.initial_values import chrono
from models.memory_network import MemoryNetwork
from models.reading.memory_problems import MemoryProblem

pytestmark = pytest.mark.host(reason="they are drawn on the CPU")

EACH = [("adding", 2), ("adding", 37), ("copying", 1), ("copying", 30), ("order", 10)]


def drawn(name, length, count=2000):
    problem = MemoryProblem(name, length)
    return problem, problem.draw(count, np.random.default_rng(0))


class TestDrawing:
    @pytest.mark.parametrize("length", [2, 5, 100])
    def test_adding(self, length):
        _, some = drawn("adding", length)
        values, marks = some.inputs[..., 0], some.inputs[..., 1]
        assert values.shape == (length, 2000)
        assert ((values >= 0) & (values < 1)).all()
        assert set(np.unique(marks)) <= {0, 1}
        assert (marks[: length // 2].sum(0) == 1).all()
        assert (marks[length // 2 :].sum(0) == 1).all()
        assert (marks.sum(1) > 0).all()  # each place is used
        np.testing.assert_allclose((values * marks).sum(0), some.targets[0], rtol=1e-6)

    @pytest.mark.parametrize("length", [1, 50])
    def test_copying(self, length):
        problem, some = drawn("copying", length)
        symbols = some.inputs.argmax(-1)
        assert len(symbols) == len(some.targets) == problem.steps == length + 20
        assert (some.inputs.sum(-1) == 1).all()
        assert (symbols[:10] == some.targets[-10:]).all()
        assert (symbols[:10] < 8).all()
        assert (some.targets[:-10] == 8).all()
        sign = np.argwhere(symbols == 9)
        assert (sign[:, 0] == length + 9).all()
        assert len(sign) == 2000
        assert (np.delete(symbols[10:], length - 1, axis=0) == 8).all()

    @pytest.mark.parametrize("length", [10, 57, 100])
    def test_order(self, length):
        problem, some = drawn("order", length)
        lines = [problem.written(some.inputs[:, i]) for i in range(2000)]
        places = []
        for line, target in zip(lines, some.targets[0], strict=True):
            assert (line[0], line[-1], len(line)) == ("E", "B", length)
            assert set(line[1:-1]) <= set("XYabcd")
            first, second = (i for i, symbol in enumerate(line) if symbol in "XY")
            places.append((first / length, second / length))
            assert ("XX", "XY", "YX", "YY")[target] == line[first] + line[second]
        low, high = np.min(places, 0), np.max(places, 0)
        assert (low >= [0.1 - 1 / length, 0.5 - 1 / length]).all()
        assert (high < [0.2, 0.6]).all()
        assert np.bincount(some.targets[0]).min() > 400

    @pytest.mark.parametrize(("name", "length"), EACH)
    def test_it_is_a_function_of_the_generator(self, name, length):
        problem, some = drawn(name, length, 5)
        again, other = (problem.draw(5, np.random.default_rng(seed)) for seed in (0, 1))
        assert some.inputs.tobytes() == again.inputs.tobytes()
        assert some.targets.tobytes() == again.targets.tobytes()
        assert some.inputs.tobytes() != other.inputs.tobytes()

    @pytest.mark.parametrize(
        ("name", "length", "message"),
        [("adding", 1, "at least 2, got 1"), ("order", 9, "at least 10"), ("sorting", 9, "one of")],
    )
    def test_what_is_refused(self, name, length, message):
        with pytest.raises(ValueError, match=message):
            MemoryProblem(name, length)


class TestBaselines:
    """The loss and the right answers of who knows the problem, but remembers no example."""

    def test_adding(self):
        problem, some = drawn("adding", 100, 100_000)
        assert problem.baseline == pytest.approx(np.square(1 - some.targets).mean(), rel=0.02)
        right = problem.right(np.ones((*some.targets.shape, 1)), some.targets).mean()
        assert problem.baseline_right == pytest.approx(right, abs=0.004)

    @pytest.mark.parametrize(("name", "length"), EACH[2:])
    def test_the_others(self, name, length):
        problem, some = drawn(name, length)
        likely = np.ones(problem.outputs)
        probabilities = np.tile(likely / likely.sum(), (*some.targets.shape, 1))
        if name == "copying":
            probabilities[:-10] = np.eye(9)[8]
            probabilities[-10:] = [*[1 / 8] * 8, 0]
        chosen = np.take_along_axis(probabilities, some.targets[..., None], -1)
        assert problem.baseline == pytest.approx(-np.log(chosen).mean())
        guess = probabilities + 1e-9 * np.random.default_rng(1).random(probabilities.shape)
        right = problem.right(guess, some.targets)
        assert right.mean() == pytest.approx(problem.baseline_right, abs=0.03)
        sure = np.eye(problem.outputs)[some.targets]
        assert problem.right(sure, some.targets).all()

    def test_a_published_figure(self):
        assert MemoryProblem("copying", 100).baseline == pytest.approx(10 * math.log(8) / 120)


class TestText:
    @pytest.mark.parametrize(("name", "length"), EACH)
    def test_there_and_back(self, name, length):
        problem, some = drawn(name, length, 3)
        for i in range(3):
            line = problem.written(some.inputs[:, i])
            np.testing.assert_allclose(problem.read(line)[:, 0], some.inputs[:, i], atol=0.0051)
            answer = problem.told(some.targets[:, i])
            back = problem.heard(answer, problem.steps)
            np.testing.assert_allclose(back[:, 0], some.targets[:, i], atol=0.00051)

    @pytest.mark.parametrize(
        ("name", "line", "message"),
        [
            ("adding", "0.1 0.2** 3", "expected a number, got '0.2\\*'"),
            ("adding", "0.1 nan*", "a number, got 'nan'"),
            ("adding", "", "got none"),
            ("order", "EabQ", "symbols EBXYabcd, got 'Q'"),
        ],
    )
    def test_inputs_that_are_refused(self, name, line, message):
        with pytest.raises(ValueError, match=message):
            MemoryProblem(name, 20).read(line)

    @pytest.mark.parametrize(
        ("name", "answer", "steps", "message"),
        [
            ("adding", "much", 20, "expected a number"),
            ("order", "XZ", 20, "XX, XY, YX, YY"),
            ("copying", "abc", 40, "10 of abcdefgh"),
            ("copying", "abcdefghaa", 9, "at least 10 time steps"),
        ],
    )
    def test_answers_that_are_refused(self, name, answer, steps, message):
        with pytest.raises(ValueError, match=message):
            MemoryProblem(name, 20).heard(answer, steps)


class TestNetwork:
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    def test_it_answers_at_the_end_or_everywhere(self, cell):
        x = np.random.default_rng(0).random((7, 3, 2), dtype=np.float32)
        ends = []
        for everywhere in (False, True):
            model = MemoryNetwork(2, 4, 5, cell, everywhere, 7, rng=np.random.default_rng(0))
            again = MemoryNetwork(**model.settings())
            assert again.settings() == model.settings()
            ends.append(model(x).numpy())
        assert [end.shape for end in ends] == [(1, 3, 4), (7, 3, 4)]
        np.testing.assert_array_equal(ends[0][0], ends[1][-1])

    def test_chrono(self):
        """A unit that sees nothing keeps its state for 1 to `longest` steps, and all in between."""
        H, longest = 400, 200
        layers = [kind(2, H, rng=np.random.default_rng(0)) for kind in (nn.LSTM, nn.GRU)]
        for layer in layers:
            before = layer.bias_ih_l0.numpy().copy()
            chrono(layer, longest, np.random.default_rng(1))
            bias = layer.bias_ih_l0.numpy() + layer.bias_hh_l0.numpy()
            gate = 1 / (1 + np.exp(-bias[H : 2 * H]))
            steps = gate / (1 - gate)
            assert 0.99 < steps.min() < 3
            assert longest - 4 < steps.max() < longest
            assert steps.mean() == pytest.approx(longest / 2, rel=0.1)
            if isinstance(layer, nn.LSTM):
                np.testing.assert_allclose(bias[:H], -bias[H : 2 * H], rtol=1e-6)
            rest = slice(2 * H, None)
            np.testing.assert_array_equal(layer.bias_ih_l0.numpy()[rest], before[rest])
