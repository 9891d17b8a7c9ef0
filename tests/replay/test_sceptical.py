"""What somebody found who looked for steps that a replay gets silently wrong: one test a kind."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.arrays import recording
from minigrad.replay import CaptureError
from minigrad.replay.slots import ARRAY, Slots

sys.path.insert(0, str(Path(__file__).parent))
from compared import bits

SCALE = 2.0
helpers = types.ModuleType("helpers")
exec("SCALE = 2.0\ndef scaled(x): return x * SCALE", vars(helpers))


def twice(x):
    return x * 2


def thrice(x):
    return x * 3


chosen = twice


class Scaling:
    factor = 2.0

    @staticmethod
    def static(x):
        return x * SCALE

    @classmethod
    def of_class(cls, x):
        return x * SCALE


class More(Scaling):
    def go(self, x):
        return x * self.factor


class Layer(nn.Module):
    factor = 2.0

    def __init__(self):
        self.own = 1.0

    def forward(self, x):
        return x * self.factor * self.own


@mg.capture
def inner(x):
    return x * SCALE


layer, deep, weight = Layer(), nn.Sequential(*[Layer() for _ in range(70)]), mg.ones(2)
options = {"factor": 1.0}
weight.requires_grad_().register_hook(lambda g: g * options["factor"])


def backward(x):
    weight.grad = None
    (weight * x).sum().backward()
    return weight.grad.detach()


def numbers(*values):
    return [(mg.tensor(value),) for value in values]


@pytest.mark.host(reason="it begins with tensors of the host")
@pytest.mark.parametrize(
    ("function", "where", "name", "value"),
    [
        (lambda x: chosen(x), globals(), "chosen", thrice),
        (lambda x: Scaling.static(x), globals(), "SCALE", 3.0),
        (lambda x: Scaling.of_class(x), globals(), "SCALE", 3.0),
        (lambda x: inner(x), globals(), "SCALE", 3.0),
        (lambda x: helpers.scaled(x), vars(helpers), "SCALE", 3.0),
        (lambda x: helpers.scaled(x), vars(helpers), "scaled", thrice),
        (lambda x: More().go(x), Scaling, "factor", 3.0),
        (lambda x: layer(x), Layer, "factor", 3.0),
        (lambda x: deep(x), vars(deep[66]), "own", 3.0),
        (lambda x: x * options["factor"], options, "factor", -0.0),
        (backward, options, "factor", 3.0),
    ],
)
def test_what_is_reached_in_any_way_is_watched(function, where, name, value, monkeypatch):
    if isinstance(where, dict):
        monkeypatch.setitem(where, name, where[name])
    else:
        monkeypatch.setattr(where, name, getattr(where, name))
    captured, x = mg.capture(function), mg.tensor([1.0, -2.0])
    assert bits(captured(x)) == bits(function(x))
    (where.__setitem__ if isinstance(where, dict) else partial_setattr(where))(name, value)
    assert bits(captured(x)) == bits(function(x))


def partial_setattr(where):
    return lambda name, value: setattr(where, name, value)


def agree(function, *calls):
    captured = mg.capture(function)
    for args in calls:
        assert bits(captured(*args)) == bits(function(*args))
    return captured


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x[0]),
        lambda x: x * x[0].item() if x[0].item() > 0 else -x,
        lambda x: x * int(x[0]),
    ],
)
def test_single_values_of_arguments_are_asked_again(function):
    agree(function, *numbers([2.0, 1.0], [3.0, 1.0], [-1.0, 1.0], [0.0, 1.0], [-0.0, 1.0]))


def halves(x):
    return x.data.mean(axis=0), x.data.var(), x.data.std(axis=1)


def into(function, *args):
    def step(x):
        made = function(x.data + 1, *args)
        out = mg.array_module(x).empty(made.shape, made.dtype)
        function(x.data + 1, *args, out)
        return out

    return step


def by_name(x):
    made = x.data * 2
    np.copyto(dst=made, src=x.data)
    return made


def without_nan(x):
    made = x.data * np.inf
    np.nan_to_num(made, copy=False)
    return made


def a_total(x):
    total = mg.array_module(x).sum(x.data)
    first = total
    total += 1
    return first, total


def by_an_array(x):
    total = mg.array_module(x).sum(x.data)
    total *= x.data
    return total


@pytest.mark.host(reason="NumPy's functions are for NumPy's arrays")
@pytest.mark.parametrize(
    "function",
    [
        into(np.around, 1), into(np.median, 0), into(np.concatenate, 0), into(np.nansum, 0, None),
        lambda x: mg.array_module(x).sort(x.data, axis=0), lambda x: np.partition(x.data, 2),
        by_name, without_nan, a_total, by_an_array,
    ],
)  # fmt: skip
def test_functions_of_numpy(function):
    rng = np.random.default_rng(0)
    agree(function, *[(mg.tensor(rng.normal(size=(4, 6))),) for _ in range(3)])


def test_float16_means_are_rounded_once():
    rng = np.random.default_rng(0)
    agree(halves, *[(mg.tensor(rng.normal(size=(30, 40)).astype(np.float16)),) for _ in range(3)])


@pytest.mark.host(reason="NumPy's functions are for NumPy's arrays")
def test_an_error_that_is_caught():
    def step(x):
        try:
            return np.linalg.inv(x.data)
        except np.linalg.LinAlgError:
            return x.data * 0

    agree(step, (mg.zeros(2, 2),), (mg.tensor([[1.0, 0.0], [0.0, 2.0]]),))


def test_an_error_of_capture_that_is_caught():
    def step(x):
        try:
            return x.numpy() * 2
        except CaptureError:
            return x.data

    with pytest.raises(CaptureError, match="past minigrad"):
        mg.capture(step)(mg.ones(2))


def test_one_memory_in_two_arguments():
    def step(x, y):
        x.data[...] = x.data + 1
        return y * 2

    x = mg.ones(4)
    captured = mg.capture(step)
    captured(mg.ones(4), x)
    captured(x[:2].detach(), x[2:].detach())
    for pair in ((x, x), (x[1:].detach(), x[:-1].detach())):
        with pytest.raises(CaptureError, match="the same memory"):
            captured(*pair)
    with pytest.raises(CaptureError, match="the same memory"):
        mg.capture(step)(x, x)


def test_an_argument_that_is_put_on_a_tape():
    def step(x):
        x.requires_grad_()
        (x * x).sum().backward()
        return x.grad.detach()

    with pytest.raises(CaptureError, match=r"x\.requires_grad_\(\) before"):
        mg.capture(step)(mg.ones(2))


def test_an_array_of_one_number_may_change():
    number = np.array(2.0, np.float32)
    with pytest.raises(CaptureError, match="may be another one"):
        mg.capture(lambda x: x * number)(mg.ones(2))


def test_a_float_is_one_for_isinstance_and_as_a_key():
    def step(x, by):
        table = {0.5: 3.0, 0.25: 5.0}
        return x * table[by] * round(by, 1) if isinstance(by, float) else x

    agree(step, *[(mg.ones(2), by) for by in (0.5, 0.25, 0.5)])


class Fast(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 2)
        self.fast = mg.capture(self.slow)

    def slow(self, x):
        return self.layer(x).detach()


def test_copies_and_pickles():
    model, x = Fast(), mg.ones(1, 2)
    model.fast(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.layer.weight.data *= 2
        assert bits(other.fast(x)) == bits(other.slow(x))
        assert bits(model.fast(x)) == bits(model.slow(x))
    assert pickle.loads(pickle.dumps(inner)) is inner


class TestGradients:
    def test_that_are_changed_in_place(self):
        def make():
            mg.manual_seed(1)
            model = nn.Linear(3, 2)

            def forth_and_back(x):
                model(x).sum().backward()

            def halved(x):
                forth_and_back(x)
                return half(x)

            def half(x):
                for p in model.parameters():
                    p.grad.data *= 0.5
                return x.sum()

            return model, forth_and_back, halved, half

        (plain, back, *functions), (other, other_back, *captured) = make(), make()
        for function, same in zip(functions, map(mg.capture, captured), strict=True):
            for _ in range(4):
                back(mg.ones(1, 3)), other_back(mg.ones(1, 3))
                assert bits(same(mg.ones(1, 3))) == bits(function(mg.ones(1, 3)))
                grads = [[bits(p.grad) for p in m.parameters()] for m in (plain, other)]
                assert grads[0] == grads[1]

    def test_row_sparse_and_dense_ones_of_one_weight(self):
        def make():
            mg.manual_seed(0)
            table, output = nn.Embedding(10, 3, sparse=True), nn.Linear(3, 10)
            output.weight = table.weight
            optimizer = optim.SGD([table.weight, output.bias], lr=0.1)

            def step(ids):
                optimizer.zero_grad()
                loss = mg.cross_entropy(output(table(ids)), ids)
                loss.backward()
                optimizer.step()
                return loss.detach(), table.weight.detach().copy()

            return step

        plain, captured = make(), mg.capture(make())
        for i in range(4):
            ids = mg.tensor([i, 2, 3], dtype=int)
            assert bits(captured(ids)) == bits(plain(ids))


def test_a_group_that_is_added():
    def make():
        weights = [mg.ones(2).requires_grad_() for _ in range(2)]
        optimizer = optim.Adam([weights[0]], lr=0.1)

        def step(x):
            for w in weights:
                w.grad = None
            sum((w * w * x).sum() for w in weights).backward()
            optimizer.step()
            return [w.detach().copy() for w in weights]

        return step, lambda: optimizer.add_param_group({"params": [weights[1]]})

    (plain, add), (captured, add_other) = make(), make()
    captured = mg.capture(captured)
    for i in range(4):
        if i == 2:
            add(), add_other()
        assert bits(captured(mg.ones(2))) == bits(plain(mg.ones(2)))


def test_another_thread_that_draws_meanwhile():
    def step(x):
        thread = threading.Thread(target=lambda: (mg.randn(3), others.wait()))
        thread.start()
        threads.append(thread)
        return x * 2

    threads, others = [], threading.Event()
    threads.extend([None] * 65)  # so many are not watched
    assert bits(mg.capture(step)(mg.ones(2))) == bits(mg.ones(2) * 2)
    others.set()


def test_another_thread_that_draws_and_ends_meanwhile():
    def step(x):
        begin.set()
        thread.join()
        return x * 2

    begin = threading.Event()
    thread = threading.Thread(target=lambda: (begin.wait(), mg.randn(3)))
    thread.start()
    assert bits(mg.capture(step)(mg.ones(2))) == bits(mg.ones(2) * 2)


def test_memory_of_recordings_that_are_dropped():
    captured = mg.capture(lambda x: (mg.exp(x) + 1) * 2)
    for n in range(15):
        captured(mg.ones(100 + n))
    assert len(captured._pool._blocks) <= 2 * 8


@contextmanager
def control_c(moment, within):
    """Within it, Ctrl-C comes at a certain line of those that `within` is true of."""
    left, tracing = moment, sys.gettrace()

    def interrupted(frame, event, arg):
        nonlocal left
        if event in ("call", "line") and within(frame.f_code):
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return interrupted

    sys.settrace(interrupted)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(tracing)


@pytest.mark.host(reason="the double is not made to be interrupted")
@pytest.mark.filterwarnings(  # Python 3.14 traces this too
    "ignore:Exception ignored while closing generator:pytest.PytestUnraisableExceptionWarning"
)
class TestControlC:
    def test_at_any_moment(self):
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        @mg.capture
        def step(x):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
            return x * 2

        for moment in range(1, 2000, 37):
            with control_c(moment, lambda code: "replay" in code.co_filename):
                step(mg.ones(1 + moment % 5, 3))
            assert recording.here.recorder is None
            assert mg.Tensor.__dict__["_array"] is ARRAY
            assert Slots._lock.acquire(blocking=False)
            Slots._lock.release()
            assert all(type(p._array) is np.ndarray for p in model.parameters())
        assert bits(step(mg.ones(1, 3))) == bits(mg.ones(1, 3) * 2)

    def test_while_a_tensor_is_made(self):
        for moment in range(1, 30):
            with control_c(moment, lambda code: code.co_name == "__set__"):
                mg.capture(lambda x: x * 2)(mg.ones(2))
            assert mg.Tensor.__dict__["_array"] is ARRAY


def test_an_error_after_a_sparse_gradient_stays_what_it_is():
    table = nn.Embedding(5, 2, sparse=True)

    @mg.capture
    def step(ids):
        table(ids).sum().backward()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step(np.array([1, 2]))
    assert type(table.weight.grad.values) is type(table.weight._array)
