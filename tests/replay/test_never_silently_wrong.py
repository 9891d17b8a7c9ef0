"""What a replay could get wrong: each takes part, is noticed and recorded anew, or is an error."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.replay import CaptureError

ONES = np.ones(3, np.float32)


def refused(function, *args, match):
    """Calling it captured is an error that names this file, or says what to do."""
    with pytest.raises(CaptureError, match=match):
        mg.capture(function)(*(args or (mg.ones(3),)))


def same(captured, function, *calls):
    """Captured or not, the calls give the same."""
    for args in calls:
        np.testing.assert_array_equal(captured(*args).numpy(), function(*args).numpy())


# ------------------------------------------------------------------------ errors


class TestWhatIsRefused:
    def test_a_computed_value_that_steers_python(self):
        weight = mg.ones(3).requires_grad_()

        def step(x):
            with mg.no_grad():
                weight.data = weight.data * 1
                loss = (x * weight).sum()
            return x if loss.item() > 1 else -x

        def in_place(x):
            with mg.no_grad():
                weight[0] = 2.0
            return x if (weight * x).sum() > 1 else -x

        for function in (in_place,):
            refused(function, match=r"test_never_silently_wrong\.py:\d+.*|the step has computed")

    def test_a_generator_made_inside(self):
        refused(
            lambda x: mg.dropout(x, 0.5, rng=np.random.default_rng(0)), match="random generator"
        )

    def test_a_tensor_that_is_kept(self):
        kept = []
        refused(lambda x: kept.append(x * 2), match=r"a Tensor \(float32 \(3,\)\).*changes kept\)")

    def test_an_array_that_is_kept(self):
        kept = []
        refused(lambda x: kept.append((x * 2).data), match=r"float32 \(3,\)")

    def test_a_number_that_is_kept(self):
        kept = []
        refused(lambda x: kept.append(x.sum().item()), match="a number")

    def test_a_number_that_is_printed(self):
        layer = nn.Linear(3, 3)
        refused(lambda x: print(layer(x).sum().item()), match=r"has computed.*_wrong\.py:\d+")

    def test_an_iterator(self):
        class Loop:
            def __init__(self):
                self.batches = (mg.ones(3) * i for i in range(9))

            def step(self):
                return next(self.batches)

        loop, batches = Loop(), iter([mg.ones(3)])
        for function, *args in (
            (lambda: next(batches),),
            (loop.step,),
            (Loop.step, loop),
            (next, batches),
        ):
            with pytest.raises(CaptureError, match="uses an iterator"):
                mg.capture(function)(*args)
        assert float(next(batches).sum()) == 3  # nobody has taken it

    def test_a_variable_that_is_set(self):
        count = 0

        def step(x):
            nonlocal count
            count += 1
            return x

        refused(step, match="sets count")

    def test_an_attribute_that_is_set(self):
        class Counter:
            def __init__(self):
                self.steps = 0

            def step(self, x):
                self.steps += 1
                return x

        refused(Counter().step, match=r"sets .*steps")

    def test_numpy_arrays_that_nobody_knows(self):
        refused(lambda x: x * ONES, match="NumPy array")
        refused(lambda x: mg.tensor(ONES), match="NumPy array")
        refused(lambda x: x + np.arange(3), match="NumPy array")

    def test_numpy_s_memory_past_minigrad(self):
        def fill(x):
            out = np.empty(3, np.float32)
            out[:] = x.data
            return mg.tensor(out)

        refused(fill, match="reads its values")
        refused(lambda x: mg.tensor(x.numpy()), match="reads its values")
        refused(lambda x: np.multiply(x.data, 2, out=np.empty(3, np.float32)), match="NumPy")

    def test_shapes_that_depend_on_values(self):
        refused(lambda x: x[x > 0], match=r"x\[mask\]")
        refused(lambda x: np.nonzero(x.data), match="nonzero")

    def test_tapes_from_outside_and_to_outside(self):
        w = mg.ones(3).requires_grad_()
        y = w * 2
        refused(lambda x: (x * y).sum().detach(), match=r"x\.detach\(\)")
        refused(lambda x: x * w, match="return x.detach")
        with pytest.raises(CaptureError, match="on a tape"):
            mg.capture(lambda x: x)(y)

    def test_what_is_no_function(self):
        with pytest.raises(TypeError, match="capture: expected a function, got 3"):
            mg.capture(3)

        def steps():
            yield mg.ones(3)

        with pytest.raises(TypeError, match=r"steps is a generator \(yield\)"):
            mg.capture(steps)

    def test_after_an_error_all_is_as_before(self):
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x, fails):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            if fails:
                raise KeyError("in the middle")
            optimizer.step()
            return loss.detach()

        captured = mg.capture(step)
        with pytest.raises(KeyError, match="in the middle"):
            captured(mg.ones(1, 3), True)
        assert all(type(p.grad.data) is type(p.data) for p in model.parameters())
        captured(mg.ones(1, 3), False)
        step(mg.ones(1, 3), False)


# ------------------------------------------------------------------------ noticed, and taken part


scale = 2.0


def scaled(x):
    return x * scale


class TestWhatIsNoticed:
    def test_other_shapes_dtypes_and_structures(self):
        function = lambda x: (x * x).sum()  # noqa: E731
        captured = mg.capture(function)
        same(captured, function, [mg.ones(3)], [mg.ones(4)], [mg.ones(3)], [mg.ones(3, dtype="f8")])
        pair = mg.capture(lambda x: x["a"] + x["b"][0])
        assert pair({"a": mg.ones(2), "b": [mg.ones(2)]}).tolist() == [2, 2]
        assert pair({"a": mg.ones(2), "b": (mg.ones(2) * 2,)}).tolist() == [3, 3]

    def test_arguments_that_lie_otherwise_in_memory(self):
        function = lambda x: x.sum(0) + x.sum()  # noqa: E731
        captured, x = mg.capture(function), np.random.default_rng(0).normal(size=(70, 40))
        x = x.astype("f4")
        for y in (x, x.T.copy().T, x[::2], x[:, ::3], x[::-1]):
            same(captured, function, [mg.Tensor(y)], [mg.Tensor(y)])

    def test_arguments_that_are_changed_in_place(self):
        @mg.no_grad()
        def function(x, y, z):
            y += x
            z *= 2
            return x * y

        captured = mg.capture(function)
        for i in range(3):
            ours, theirs = ((mg.ones(3), np.ones(3)) for _ in range(2))
            y, expected = captured(mg.ones(3) * i, *ours), function(mg.ones(3) * i, *theirs)
            assert y.tolist() == expected.tolist() == [i * (1 + i)] * 3
            assert ours[0].tolist() == theirs[0].tolist() == [1 + i] * 3
            assert ours[1].tolist() == theirs[1].tolist() == [2] * 3

    def test_a_value_among_the_arguments_that_steers(self):
        def function(x, ids):
            return mg.embedding(ids, x) if ids.max() > 1 else x

        captured, x = mg.capture(function), mg.ones(3, 2)
        low, high = (mg.tensor(ids, dtype=int) for ids in ([0, 1], [2, 1]))
        for ids in (low, high, low, high):
            assert captured(x, ids).shape == function(x, ids).shape

    @pytest.mark.host("a GPU does not check ids")
    def test_an_id_outside_the_rows(self):
        captured = mg.capture(lambda x, ids: mg.embedding(ids, x))
        captured(mg.ones(3, 2), mg.tensor([0, 2], dtype=int))
        with pytest.raises(IndexError, match="id 3 is outside the 3 rows"):
            captured(mg.ones(3, 2), mg.tensor([0, 3], dtype=int))

    def test_numbers_among_the_arguments(self):
        function = lambda x, a, n: (x * a + 1 / a) * n  # noqa: E731
        captured = mg.capture(function)
        same(
            captured,
            function,
            *[(mg.ones(3), a, 2) for a in (0.5, 0.25, 3.0)],
            (mg.ones(3), 1.0, 3),
        )
        assert captured._recordings == 2  # the floats are free, an integer is not
        steered = mg.capture(lambda x, a: x if a > 1 else -x)
        assert [steered(ONES, a).tolist()[0] for a in (0.5, 2.0, 0.7)] == [-1, 1, -1]
        made = mg.capture(lambda numbers: mg.tensor(numbers) * 2)
        assert [made([a, 1.0]).tolist() for a in (1.0, 2.0)] == [[2, 2], [4, 2]]

    def test_numbers_that_come_back(self):
        captured = mg.capture(lambda x: (x.sum().item() * 2, {"mean": x.mean().item()}))
        for i in range(1, 4):
            assert captured(mg.ones(3) * i) == (6.0 * i, {"mean": 1.0 * i})

    def test_variables(self):
        global scale
        captured = mg.capture(scaled)
        for value in (2.0, 3.0, 2.0):
            scale = value
            same(captured, scaled, [mg.ones(3)])
        factor = [mg.ones(3)]
        captured = mg.capture(lambda x: x * factor[0])
        captured(mg.ones(3))
        factor[0] = mg.ones(3) * 5
        assert captured(mg.ones(3)).tolist() == [5, 5, 5]

    def test_attributes_of_modules_and_of_objects(self):
        class Trainer:
            def __init__(self):
                self.model, self.factor = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), 1.0

            def step(self, x):
                return (self.model(x) * self.factor).detach()

        trainer = Trainer()
        captured = mg.capture(trainer.step)
        captured(mg.ones(3))
        trainer.model.eval()
        same(captured, trainer.step, [mg.ones(3)])
        trainer.factor = 3.0
        same(captured, trainer.step, [mg.ones(3)])
        trainer.model[0].weight = nn.Parameter(mg.ones(3, 3) * 2)
        same(captured, trainer.step, [mg.ones(3)])

    def test_an_array_that_was_replaced_or_changed(self):
        layer = nn.Linear(3, 2)
        function = lambda x: layer(x).detach()  # noqa: E731
        captured = mg.capture(function)
        captured(mg.ones(3))
        layer.weight.data = np.full((2, 3), 2, "f4")
        same(captured, function, [mg.ones(3)])
        layer.load_state_dict({"weight": np.ones((2, 3), "f4"), "bias": np.ones(2, "f4")})
        same(captured, function, [mg.ones(3)])
        with mg.no_grad():
            layer.bias += 1
        same(captured, function, [mg.ones(3)])

    def test_gradients_that_are_there_or_not(self):
        w = mg.ones(3).requires_grad_()

        @mg.capture
        def accumulate(x):
            (w * x).sum().backward()

        for i in range(1, 5):
            accumulate(mg.ones(3))
            assert w.grad.tolist() == [i] * 3
        w.grad = None
        accumulate(mg.ones(3) * 7)
        assert w.grad.tolist() == [7] * 3

    def test_gradients_that_somebody_keeps(self):
        w = mg.ones(3).requires_grad_()

        @mg.capture
        def step(x):
            w.grad = None
            (w * x).sum().backward()
            return x * 2

        kept, views, results = [], [], []
        for i in range(5):
            results.append(step(mg.ones(3) * i))
            kept.append(w.grad)
            views.append(w.grad.data[1:])
        assert [g.tolist()[0] for g in kept] == [v.tolist()[0] for v in views] == [0, 1, 2, 3, 4]
        assert [y.tolist()[0] for y in results] == [0, 2, 4, 6, 8]

    def test_requires_grad_that_changes(self):
        layer = nn.Linear(3, 2)

        @mg.capture
        def step(x):
            layer.zero_grad()
            layer(x).sum().backward()

        step(mg.ones(3))
        layer.weight.requires_grad_(False)
        layer.weight.grad = None
        step(mg.ones(3))
        assert layer.weight.grad is None

    def test_hooks(self):
        w = mg.ones(3).requires_grad_()

        @mg.capture
        def step(x):
            w.grad = None
            (w * x).sum().backward()

        step(mg.ones(3))
        remove = w.register_hook(lambda g: g * 10)
        step(mg.ones(3))
        assert w.grad.tolist() == [10] * 3
        step(mg.ones(3) * 2)
        assert w.grad.tolist() == [20] * 3
        remove()
        step(mg.ones(3))
        assert w.grad.tolist() == [1] * 3

    def test_no_grad_and_detect_anomaly(self):
        captured = mg.capture(lambda x: mg.log(x).sum())
        captured(mg.ones(3))
        with (
            mg.detect_anomaly(),
            pytest.raises(mg.AnomalyError, match="log"),
            np.errstate(all="ignore"),
        ):
            captured(mg.zeros(3))
        w = mg.ones(3).requires_grad_()
        captured = mg.capture(lambda x: (w * x).requires_grad)
        assert captured(mg.ones(3)) is True
        with mg.no_grad():
            assert captured(mg.ones(3)) is False

    def test_a_change_is_told_to_tapes_outside(self):
        w = mg.ones(3).requires_grad_()
        optimizer = optim.SGD([w], lr=0.1)

        @mg.capture
        def step(x):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()

        step(mg.ones(3))
        y = (w * w).sum()
        step(mg.ones(3))
        with pytest.raises(mg.TapeError, match="changed in place"):
            y.backward()

    def test_recording_again_and_again_is_told_once(self):
        captured = mg.capture(lambda x: x * 2)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for n in range(1, 40):
                captured(mg.ones(n))
        assert len(told) == 1
        assert "recorded 16 times" in str(told[0].message)
        assert sum(map(len, captured._programs.values())) <= 8

    @pytest.mark.host("a GPU does not warn")
    def test_warnings_are_those_of_the_function(self):
        def function(x):
            with np.errstate(all="ignore"):
                y = mg.log(x)
            return mg.sqrt(y)

        captured = mg.capture(function)
        for call in (captured, captured, function):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                call(mg.zeros(3))
            assert ["sqrt" in str(w.message) for w in told] == [True]
        assert np.geterr()["divide"] == "warn"

    def test_one_captured_function_in_another(self):
        inner = mg.capture(lambda x: x * 2)
        outer = mg.capture(lambda x: inner(x) + 1)
        assert [outer(mg.ones(2) * i).tolist()[0] for i in range(3)] == [1, 3, 5]

    def test_what_a_captured_function_in_another_reads(self):
        class Scaled:
            factor = 2.0

            @mg.capture
            def step(self, x):
                return x * self.factor * scale

        global scale
        scaled = Scaled()
        scaled.factor = 3.0
        outer = mg.capture(lambda x: scaled.step(x))
        for scale, scaled.factor in ((2.0, 3.0), (5.0, 3.0), (5.0, 4.0)):
            assert outer(mg.ones(1)).tolist() == [scale * scaled.factor]
        assert scaled.step.explain().startswith("step: 0 recordings")

    def test_two_threads(self):
        captured, found = mg.capture(lambda x: x * 2), {}

        def work(i):
            for _ in range(50):
                found.setdefault(i, []).append(captured(mg.ones(3) * i).tolist()[0])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {i: [2.0 * i] * 50 for i in range(4)}
