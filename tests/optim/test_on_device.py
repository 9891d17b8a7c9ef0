"""Steps and clipping on a GPU: the CPU's numbers, few launches, and no waiting."""

import math

import numpy as np
import pytest
from double import budget

import minigrad as mg
from minigrad.arrays import devices
from minigrad.arrays.kernel import Kernel
from minigrad.optim import (
    ASGD,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
)

pytestmark = pytest.mark.device

HARD = [  # every branch of every kernel
    (SGD, {}),
    (SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (SGD, {"momentum": 0.9, "nesterov": True, "maximize": True}),
    (ASGD, {"weight_decay": 0.1}),
    (ASGD, {"lambd": 0.1, "t0": 0, "maximize": True}),
    (Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    (RMSprop, {"maximize": True, "alpha": 0.5}),
    (Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (Adam, {"maximize": True}),
    (AdamW, {"betas": (0.5, 0.6)}),
]
each_optimizer = pytest.mark.parametrize(("kind", "options"), HARD)
SHAPES = [(3, 2), (), (0, 3), (1,), (300_000,), (0,), (2, 3, 4)]


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels of minigrad that were launched."""
    names, call = [], Kernel.__call__

    def watched(self, *args):
        names.append(self.name)
        call(self, *args)

    monkeypatch.setattr(Kernel, "__call__", watched)
    return names


class Run:
    """Parameters and an optimiser; `backward` gives gradients from a seed."""

    def __init__(self, kind, options, shapes, dtype="float32", where=("cuda",)):
        self.rng, self.dtype = np.random.default_rng(0), dtype
        self.parameters = [
            mg.tensor(
                self.rng.normal(size=shape),
                dtype,
                device=where[i % len(where)],
                requires_grad=True,
            )
            for i, shape in enumerate(shapes)
        ]
        self.optimizer = kind(self.parameters, lr=0.1, **options)

    def backward(self):
        for p in self.parameters:
            g = self.rng.normal(size=p.shape)
            g += np.sign(g) / 2  # with weight decay near 0, the rounding of g would be all there is
            p.grad = mg.tensor(g, self.dtype, device=p.device)

    def steps(self, n=3):
        for _ in range(n):
            self.backward()
            self.optimizer.step()
        return self

    def check(self, other, **tolerance):
        for p, q in zip(self.parameters, other.parameters, strict=True):
            np.testing.assert_allclose(p.numpy(), q.numpy(), **tolerance)
        states = [run.optimizer.state_dict()["state"] for run in (self, other)]
        for i, state in states[0].items():
            for name, value in state.items():
                np.testing.assert_allclose(value, states[1][i][name], **tolerance)


@each_optimizer
class TestSteps:
    @pytest.mark.parametrize(
        ("dtype", "tolerance"),
        [("float64", 1e-12), ("float32", 1e-5), ("float16", 1e-2)],
    )
    def test_are_those_of_the_cpu(self, kind, options, dtype, tolerance):
        runs = [Run(kind, options, SHAPES, dtype, [where]).steps() for where in ("cuda", "cpu")]
        runs[0].check(runs[1], rtol=tolerance, atol=tolerance)
        for p, state in runs[0].optimizer.state.items():
            assert p.device == "cuda:0"
            assert all(devices.device_of(x) == "cuda:0" for k, x in state.items() if k != "step")

    @pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 1), (64, 1), (65, 2), (130, 3)])
    def test_are_a_launch_for_64_parameters(self, kind, options, count, expected, launches):
        run = Run(kind, options, [(2, 3)] * count).steps(1)
        launches.clear()
        run.steps(1)
        assert launches == [run.optimizer.kernel.name] * expected
        run.check(Run(kind, options, [(2, 3)] * count, where=["cpu"]).steps(2), rtol=1e-5)

    def test_do_not_wait_for_the_device(self, kind, options):
        run = Run(kind, options, SHAPES)
        for _ in range(3):
            run.backward()
            with budget():
                norm = clip_grad_norm_(run.parameters, 1.0)
                clip_grad_value_(run.parameters, 0.5)
                run.optimizer.step(if_finite=norm)

    def test_leave_the_gradients_alone_whatever_their_order_of_memory(
        self, kind, options, launches
    ):
        values, g = np.random.default_rng(0).normal(size=(2, 4, 6))
        g = np.concatenate([g] * 2)[::2].T.copy().T  # a column after another

        def run(arrange_p, arrange_g, where):
            p = mg.tensor(values, device=where)
            p = mg.Tensor(arrange_p(p.data), requires_grad=True)
            p.grad = mg.Tensor(arrange_g(mg.tensor(g, device=where).data))
            optimizer = kind([p], lr=0.1, **options)
            for _ in range(3):
                optimizer.step()
            np.testing.assert_array_equal(p.grad.numpy(), g)
            return p.numpy()

        def as_it_is(x):
            return x.copy()

        def transposed(x):
            return x.T.copy().T

        expected = run(as_it_is, as_it_is, "cpu")
        launches.clear()
        np.testing.assert_allclose(run(as_it_is, transposed, "cuda"), expected, rtol=1e-12)
        assert len(launches) == 3
        for arrange_g in (as_it_is, transposed):  # and a parameter that no kernel takes
            np.testing.assert_allclose(run(transposed, arrange_g, "cuda"), expected, rtol=1e-12)
        assert len(launches) == 3

    def test_on_the_cpu_and_a_gpu(self, kind, options):
        run = Run(kind, options, [(2, 3)] * 3, "float64", ["cpu", "cuda"]).steps()
        run.check(Run(kind, options, [(2, 3)] * 3, "float64", ["cpu"]).steps(), rtol=1e-12)

    def test_go_on_after_saving_and_loading_elsewhere(self, kind, options):
        run = Run(kind, options, [(2, 3)] * 3, "float64").steps(2)
        other = Run(kind, options, [(2, 3)] * 3, "float64", ["cpu"])
        for p, q in zip(run.parameters, other.parameters, strict=True):
            q.data = p.numpy()
        other.optimizer.load_state_dict(run.optimizer.state_dict())
        other.rng = np.random.default_rng()
        other.rng.bit_generator.state = run.rng.bit_generator.state
        run.steps(1).check(other.steps(1), rtol=1e-12)
        run.optimizer.load_state_dict(other.optimizer.state_dict())
        for p, q in zip(run.parameters, other.parameters, strict=True):
            p.data = mg.tensor(q.numpy())
        other.rng.bit_generator.state = run.rng.bit_generator.state
        run.steps(1).check(other.steps(1), rtol=1e-12)


def test_groups_with_the_same_options_share_a_launch(launches):
    ps = [mg.ones(3, requires_grad=True) for _ in range(4)]
    for p in ps:
        p.grad = mg.ones(3)
    groups = [{"params": ps[:2]}, {"params": ps[2], "lr": 0.5}, {"params": ps[3]}]
    SGD(groups, lr=0.1).step()
    assert launches == ["sgd"] * 2
    np.testing.assert_allclose([p.numpy()[0] for p in ps], [0.9, 0.9, 0.5, 0.9], rtol=1e-6)


def test_parameters_of_several_ages_and_dtypes(launches):
    """Their bias corrections differ, so they need a launch each."""

    def run(where):
        rng = np.random.default_rng(0)
        dtypes = ["float32", "float32", "float64"]
        ps = [mg.tensor(np.ones(3), dtype, device=where, requires_grad=True) for dtype in dtypes]
        optimizer = Adam(ps, lr=0.1)
        for step in range(3):
            for i, p in enumerate(ps):
                p.grad = None
                if step or i != 1:
                    p.grad = mg.tensor(rng.normal(size=3), p.dtype, device=where)
            optimizer.step()
        return [p.numpy() for p in ps]

    expected = run("cpu")
    assert not launches
    for value, e in zip(run("cuda"), expected, strict=True):
        np.testing.assert_allclose(value, e, rtol=1e-5)
    assert len(launches) == 2 + 3 + 3


def test_averages_on_the_cpu_and_a_gpu():
    where = ["cpu", "cuda:0"]
    run = Run(ASGD, {"t0": 0}, [(2, 3)] * 2, where=where).steps()
    before = [p.numpy() for p in run.parameters]
    with run.optimizer.averaged():
        for p, state in run.optimizer.state.items():
            np.testing.assert_array_equal(p.numpy(), mg.Tensor(state["ax"]).numpy())
    for p, values, device in zip(run.parameters, before, where, strict=True):
        np.testing.assert_array_equal(p.numpy(), values)
        assert p.device == device


def test_a_gradient_on_another_device():
    p = mg.ones(3, requires_grad=True)
    p.grad = mg.ones(3, device="cpu")
    with pytest.raises(ValueError, match=r"shape \(3,\) is on cuda:0, but its .grad on cpu"):
        SGD([p]).step()


def test_float16_and_row_sparse_gradients_look_at_the_number_once():
    w = mg.tensor(np.ones((4, 2)), "float32", requires_grad=True)
    ps = [mg.tensor(np.ones(3), "float16", requires_grad=True) for _ in range(3)]
    optimizer = Adam([*ps, w])
    for p in ps:
        p.grad = mg.tensor(np.ones(3), "float16")
    mg.embedding([1], w, sparse=True).sum().backward()
    number = mg.tensor(1.0)
    with budget(sync=1, d2h=1):
        optimizer.step(if_finite=number)
    with budget():
        optimizer.step()


class TestClipping:
    @pytest.mark.parametrize(("count", "tables"), [(1, 1), (64, 1), (65, 2), (200, 4)])
    def test_launches(self, count, tables, launches):
        run = Run(SGD, {}, [(3, 2)] * count)
        run.backward()
        clip_grad_norm_(run.parameters, 1.0)
        expected = ["norm_parts"] * tables + ["norm_of_parts"] + ["scale"] * tables
        assert launches == expected
        launches.clear()
        clip_grad_value_(run.parameters, 1.0)
        assert launches == ["clamp"] * tables
        launches.clear()
        clip_grad_norm_(run.parameters, math.inf)
        assert "scale" not in launches

    @pytest.mark.parametrize("p", [1.0, 2.0, 3.5, math.inf])
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_is_that_of_the_cpu(self, p, dtype):
        norms, gradients = [], []
        for where in ("cuda", "cpu"):
            run = Run(SGD, {}, SHAPES, dtype, [where])
            run.backward()
            norm = clip_grad_norm_(run.parameters, 1.0, p)
            assert norm.device == run.parameters[0].device
            assert (norm.shape, norm.dtype) == ((), np.result_type(dtype, "float32"))
            norms.append(norm.item())
            gradients.append(np.concatenate([q.grad.numpy().ravel() for q in run.parameters]))
        rtol = {"float16": 2e-3, "float32": 2e-7, "float64": 1e-14}[dtype]
        np.testing.assert_allclose(*norms, rtol=rtol)
        np.testing.assert_allclose(
            *gradients, rtol=2 * rtol, atol=1e-7 if dtype == "float16" else 0
        )

    def test_is_the_same_each_time(self):
        run = Run(SGD, {}, SHAPES)
        run.backward()
        assert len({clip_grad_norm_(run.parameters, math.inf).item() for _ in range(5)}) == 1

    def test_gradients_in_any_order_of_memory(self, launches):
        g = np.arange(24.0).reshape(4, 6)
        run = Run(SGD, {}, [(4, 6)] * 3, "float64")
        device_array = mg.tensor(g).data
        arranged = [device_array.copy(), device_array.T.copy().T]
        arranged.append(mg.tensor(np.repeat(g, 2, axis=1)).data[:, ::2])
        for p, array in zip(run.parameters, arranged, strict=True):
            p.grad = mg.Tensor(array)
        norm = clip_grad_norm_(run.parameters, 1.0).item()
        np.testing.assert_allclose(norm, np.linalg.norm(np.stack([g] * 3)), rtol=1e-14)
        for p in run.parameters:
            np.testing.assert_allclose(p.grad.numpy(), g / (norm + 1e-6), rtol=1e-14)
        assert launches == ["norm_parts", "norm_of_parts", "scale"]
        clip_grad_value_(run.parameters, 1e-2)
        for p in run.parameters:
            np.testing.assert_allclose(p.grad.numpy(), np.minimum(g / (norm + 1e-6), 1e-2))

    def test_only_empty_gradients(self):
        run = Run(SGD, {}, [(0,), (2, 0)])
        run.backward()
        assert clip_grad_norm_(run.parameters, 1.0).item() == 0

    def test_asking_is_waiting(self):
        run = Run(SGD, {}, [(3, 2)])
        run.backward()
        with budget(sync=1, d2h=1):
            clip_grad_norm_(run.parameters, 1.0, error_if_nonfinite=True)

    def test_the_cpu_and_a_gpu(self):
        run = Run(SGD, {}, [(3, 2)] * 2, where=["cpu", "cuda"])
        run.backward()
        with pytest.raises(ValueError, match="one gradient is on cpu, another on cuda:0; clip"):
            clip_grad_norm_(run.parameters, 1.0)


@pytest.mark.parametrize("yes", [1, np.True_, True])
def test_options_that_are_true_in_another_way(yes):
    """They are handed to the kernel as what it takes them for."""
    p = mg.tensor([1.0], requires_grad=True)
    p.grad = mg.tensor([1.0])
    SGD([p], lr=0.1, maximize=yes).step()
    assert p.item() == pytest.approx(1.1)


@each_optimizer
@pytest.mark.parametrize("way", ["cpu cuda", "cuda cpu"])
def test_what_is_remembered_follows_the_parameters(kind, options, way):
    (first, then), results = way.split(), []
    for where in ((first, first), (first, then)):
        net = mg.nn.Linear(3, 2, rng=np.random.default_rng(0))
        optimizer = kind(net.parameters(), lr=0.1, **options)
        for device in where:
            net.to(device)
            net(mg.ones((1, 3), device=device)).sum().backward()
            optimizer.step()
        assert {p.device for p in net.parameters()} == {mg.ones(1, device=where[-1]).device}
        results.append(net.state_dict())
    for name, value in results[0].items():
        np.testing.assert_allclose(results[1][name], value, rtol=1e-5)
