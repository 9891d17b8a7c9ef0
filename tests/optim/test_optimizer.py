"""What all optimisers share: groups, options, state_dict."""

import copy
import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import ASGD, SGD, Adagrad, Adam, AdamW, RMSprop

EACH = [
    (SGD, {"momentum": 0.9}),
    (ASGD, {"lambd": 0.1, "t0": 1}),
    (Adagrad, {"lr_decay": 0.1}),
    (RMSprop, {"momentum": 0.9, "centered": True}),
    (Adam, {"amsgrad": True, "betas": (0.8, 0.9)}),
    (AdamW, {}),
]


def parameter(shape=(3, 2), seed=0, dtype="float32"):
    array = np.random.default_rng(seed).normal(size=shape)
    return mg.tensor(array, dtype=dtype, requires_grad=True)


class Run:
    """Parameters, and an optimiser of two groups that steps them with gradients from a seed."""

    def __init__(self, kind, options, seed=0):
        shapes = [(3, 2), (), (4,)]
        self.parameters = [parameter(shape, seed + i) for i, shape in enumerate(shapes)]
        groups = [{"params": self.parameters[:2]}, {"params": self.parameters[2:], "lr": 0.3}]
        self.optimizer = kind(groups, lr=0.1, **options)
        self.rng = np.random.default_rng(seed)

    def steps(self, n):
        for _ in range(n):
            for p in self.parameters:
                p.grad = mg.tensor(self.rng.normal(size=p.shape), "float32")
            self.optimizer.step()
        return self

    def values(self):
        return [p.numpy() for p in self.parameters]


def through_json(state):
    """As a checkpoint would have it: arrays apart, all else as JSON, whose keys are strings."""
    arrays = []

    def put(x):
        if isinstance(x, np.ndarray):
            arrays.append(x.copy())
            return {"array": len(arrays) - 1}
        raise TypeError(f"neither JSON nor an array: {x!r}")

    def take(x):
        return arrays[x["array"]] if set(x) == {"array"} else x

    text = json.dumps(state, default=put, allow_nan=False)
    return json.loads(text, object_hook=take)


@pytest.mark.parametrize(("kind", "options"), EACH)
class TestStateDict:
    def test_going_on_after_loading_is_the_same_bit_for_bit(self, kind, options):
        run = Run(kind, options).steps(3)
        state = through_json(run.optimizer.state_dict())
        values = run.values()
        other = Run(kind, {})
        for p, value in zip(other.parameters, values, strict=True):
            p.data = value
        other.optimizer.load_state_dict(state)
        other.rng = copy.deepcopy(run.rng)
        for a, b in zip(run.steps(3).values(), other.steps(3).values(), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(run.optimizer.param_groups, other.optimizer.param_groups, strict=True):
            assert {**a, "params": 0} == {**b, "params": 0}

    def test_numbers_of_other_kinds_are_saved_as_plain_ones(self, kind, options):
        for lr in (np.float32(0.5), np.float64(0.5), mg.tensor(0.5)):
            state = kind([parameter()], lr=lr, **options).state_dict()
            assert type(state["param_groups"][0]["lr"]) is float

    def test_a_fresh_optimizer_goes_another_way(self, kind, options):
        run = Run(kind, options).steps(3)
        other = Run(kind, options)
        for p, value in zip(other.parameters, run.values(), strict=True):
            p.data = value
        other.rng = copy.deepcopy(run.rng)
        assert not np.array_equal(run.steps(1).values()[0], other.steps(1).values()[0])

    def test_saved_and_loaded_states_are_copies(self, kind, options):
        run = Run(kind, options).steps(2)
        state = run.optimizer.state_dict()
        kept = copy.deepcopy(state)
        other = Run(kind, options)
        other.optimizer.load_state_dict(state)
        run.steps(1)
        other.steps(1)
        assert repr(state) == repr(kept)
        for i, entries in kept["state"].items():
            for name, value in entries.items():
                np.testing.assert_array_equal(state["state"][i][name], value)

    def test_before_the_first_step(self, kind, options):
        state = Run(kind, options).optimizer.state_dict()
        assert state["state"] == {}
        assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
        Run(kind, options).optimizer.load_state_dict(state)

    def test_deepcopy_of_parameters_and_optimizer(self, kind, options):
        run = Run(kind, options).steps(2)
        other = copy.deepcopy(run)
        for a, b in zip(run.steps(2).values(), other.steps(2).values(), strict=True):
            np.testing.assert_array_equal(a, b)


class TestLoadingIsStrict:
    def state(self):
        return Run(Adam, {}).steps(1).optimizer.state_dict()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.update(kind="AdamW"), "state of another optimiser, AdamW"),
            (lambda s: s.pop("state"), r"missing \['state'\]"),
            (lambda s: s.update(extra=1), r"unexpected \['extra'\]"),
            (lambda s: s["param_groups"].pop(), "1 parameter groups were saved, but there are 2"),
            (lambda s: s["param_groups"][0].pop("eps"), r"group 0: missing \['eps'\]"),
            (lambda s: s["param_groups"][1].update(rho=1), r"group 1: .*unexpected \['rho'\]"),
            (lambda s: s["param_groups"][0].update(lr=-1.0), "group 0: lr must be a number of at"),
            (
                lambda s: s["param_groups"][0]["params"].pop(),
                r"group 0: parameters \[0\] were saved, but it has \[0, 1\]",
            ),
            (
                lambda s: s["state"][0].update(exp_avg=np.zeros((2, 3), "float32")),
                r"parameter 0: exp_avg is float32 \(2, 3\); expected float32 \(3, 2\)",
            ),
            (
                lambda s: s["state"][2].update(exp_avg=np.zeros(4)),
                r"parameter 2: exp_avg is float64 \(4,\); expected float32 \(4,\)",
            ),
            (lambda s: s["state"][2].update(exp_avg=0.0), "parameter 2: exp_avg is 0.0; expected"),
            (lambda s: s["state"][1].update(step=1.5), "step is 1.5; expected a whole number"),
            (lambda s: s["state"][1].update(sum=0), r"parameter 1: .*unexpected \['sum'\]"),
            (lambda s: s["state"].update({3: {}}), "parameter 3: there are only 3"),
        ],
    )
    def test_what_does_not_fit_is_named_and_changes_nothing(self, change, message):
        state = self.state()
        change(state)
        run = Run(Adam, {"weight_decay": 0.1}, seed=5).steps(2)
        before = copy.deepcopy(run.optimizer.state_dict())
        with pytest.raises(ValueError, match=r"Adam\.load_state_dict: .*" + message):
            run.optimizer.load_state_dict(state)
        after = run.optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for i in before["state"]:
            np.testing.assert_array_equal(
                after["state"][i]["exp_avg"], before["state"][i]["exp_avg"]
            )


class TestGroups:
    def test_options_of_the_group_and_defaults(self):
        p, q = parameter(), parameter()
        optimizer = SGD([{"params": [p], "lr": 0.5, "name": "all"}, {"params": q}], momentum=0.9)
        lrs = [(g["lr"], g["momentum"], g["params"]) for g in optimizer.param_groups]
        assert lrs == [(0.5, 0.9, [p]), (1e-3, 0.9, [q])]

    def test_an_option_may_change_at_any_time(self):
        p = mg.tensor([1.0], requires_grad=True)
        optimizer = SGD([p], lr=1.0)
        p.grad = mg.tensor([1.0])
        optimizer.step()
        optimizer.param_groups[0]["lr"] = np.float64(10.0)
        optimizer.step()
        assert p.tolist() == [-10.0]

    def test_momentum_that_begins_later(self):
        p = mg.tensor([0.0], requires_grad=True)
        optimizer = SGD([p], lr=1.0, dampening=0.5)
        p.grad = mg.tensor([1.0])
        optimizer.step()
        optimizer.param_groups[0]["momentum"] = 0.5
        optimizer.step()  # the velocity begins as the gradient, undampened
        assert p.tolist() == [-2.0]
        optimizer.step()
        assert p.tolist() == [-3.0]

    def test_adding_a_group(self):
        p, q = parameter(), parameter()
        optimizer = Adam(iter([p]), lr=0.5)
        optimizer.add_param_group({"params": q, "betas": (0.1, 0.2)})
        assert list(optimizer.parameters()) == [p, q]
        assert [g["betas"] for g in optimizer.param_groups] == [(0.9, 0.999), (0.1, 0.2)]
        with pytest.raises(
            ValueError, match=r"Adam: group 2: parameter 0, of shape .* second time"
        ):
            optimizer.add_param_group({"params": [q]})
        with pytest.raises(TypeError, match="group 2 is no dict but list"):
            optimizer.add_param_group([parameter()])
        assert len(optimizer.param_groups) == 2

    def test_the_caller_s_group_is_not_changed(self):
        group = {"params": (parameter(),)}
        optimizer = SGD([group])
        optimizer.param_groups[0]["lr"] = 7
        assert list(group) == ["params"]

    def test_frozen_parameters_are_allowed_beside_others(self):
        frozen, p = mg.zeros((2,)), parameter()
        p.grad = mg.ones(p.shape)
        SGD([frozen, p], weight_decay=0.1).step()
        assert frozen.tolist() == [0, 0]

    def test_repr(self):
        text = repr(SGD([{"params": [parameter(), parameter()]}, {"params": parameter()}], lr=0.5))
        assert text.startswith("SGD(\n  group 0: 2 parameters, lr=0.5, momentum=0,")
        assert "group 1: 1 parameters" in text


class TestGradients:
    def test_zero_grad(self):
        p, q = parameter(), parameter()
        optimizer = SGD([p, q])
        p.grad = kept = mg.ones(p.shape)
        optimizer.zero_grad(set_to_none=False)
        assert q.grad is None
        assert p.grad.shape == p.shape
        assert p.grad.dtype == p.dtype
        assert not p.grad.numpy().any()
        optimizer.zero_grad()
        assert p.grad is None
        assert kept.numpy().all()

    def test_closure(self):
        p = mg.tensor([1.0], requires_grad=True)
        optimizer = SGD([p], lr=1.0)

        def closure():
            optimizer.zero_grad()
            loss = (3 * p).sum()
            loss.backward()
            return loss

        with mg.no_grad():
            assert optimizer.step(closure).item() == 3
        assert p.tolist() == [-2.0]
        assert SGD([p]).step() is None


class TestErrors:
    @pytest.mark.parametrize("params", [[], iter([]), ()])
    def test_no_parameters(self, params):
        with pytest.raises(ValueError, match=r"SGD: no parameters \(an iterator that was used up"):
            SGD(params)
        with pytest.raises(ValueError, match="SGD: group 1: no parameters"):
            SGD([{"params": parameter()}, {"params": params}])

    @pytest.mark.parametrize(
        ("params", "error", "message"),
        [
            (lambda: parameter(), TypeError, "SGD: expected a list or iterator of Tensors"),
            (lambda: {"params": [parameter()]}, TypeError, "expected a list or iterator"),
            (lambda: 3, TypeError, "expected a list or iterator of Tensors, got int 3"),
            (lambda: {parameter()}, TypeError, "a set has no order"),
            (lambda: [parameter(), 3], TypeError, "group 0: parameter 1 is no Tensor but int 3"),
            (lambda: [("w", parameter())], TypeError, "parameter 0 is no Tensor but tuple"),
            (lambda: [np.zeros(3)], TypeError, "parameter 0 is no Tensor but ndarray"),
            (lambda: [parameter() * 2], ValueError, "parameter 0, of shape .* result of an op"),
            (lambda: [mg.tensor(np.arange(3))], TypeError, "parameter 0 is of dtype int64"),
            (lambda: [mg.zeros(3)], ValueError, "none of the parameters requires a gradient"),
            (lambda: [parameter()] * 2, ValueError, "parameter 1, of shape .* a second time"),
            (lambda: [{"lr": 1}], ValueError, r"group 0: missing \['params'\]"),
            (
                lambda: [{"params": parameter(), "learning_rate": 1}],
                ValueError,
                r"group 0: missing nothing, unexpected \['learning_rate'\]",
            ),
            (lambda: [{"params": parameter()}, parameter()], TypeError, "group 1 is no dict"),
        ],
    )
    def test_parameters(self, params, error, message):
        with pytest.raises(error, match=message):
            SGD(params())

    def test_twice_in_two_groups(self):
        p = parameter()
        with pytest.raises(ValueError, match=r"group 1: parameter 0, .* a tied weight once"):
            Adam([{"params": p}, {"params": [p]}])

    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            *((kind, {"lr": -0.1}, "lr must be a number of at least 0") for kind, _ in EACH),
            *((kind, {"weight_decay": -1}, "weight_decay must be") for kind, _ in EACH),
            (SGD, {"lr": float("nan")}, "lr must be .*, got nan"),
            (SGD, {"lr": float("inf")}, "lr must be .*finite, got inf"),
            (SGD, {"lr": "fast"}, "lr must be .*, got 'fast'"),
            (SGD, {"lr": None}, "lr must be .*, got None"),
            (SGD, {"momentum": -1}, "momentum must be"),
            (SGD, {"nesterov": True}, "Nesterov momentum needs a momentum above 0"),
            (
                SGD,
                {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
                ".*a dampening of 0, got 0.9 and 0.1",
            ),
            (ASGD, {"t0": -1}, "t0 must be a number of at least 0"),
            (ASGD, {"lambd": -1}, "lambd must be"),
            (ASGD, {"alpha": float("nan")}, "alpha must be"),
            (Adagrad, {"lr_decay": -1}, "lr_decay must be"),
            (Adagrad, {"initial_accumulator_value": -1}, "initial_accumulator_value must be"),
            (RMSprop, {"alpha": 1.0}, "alpha must be a number of at least 0 and below 1"),
            (RMSprop, {"momentum": -1}, "momentum must be"),
            (Adam, {"eps": -1}, "eps must be"),
            (Adam, {"betas": (1.0, 0.9)}, r"betas\[0\] must be a number of at least 0 and below 1"),
            (AdamW, {"betas": (0.9, -0.1)}, r"betas\[1\] must be"),
            (Adam, {"betas": 0.9}, "betas must be a pair of numbers, got 0.9"),
            (Adam, {"betas": (0.9,)}, "betas must be a pair of numbers"),
        ],
    )
    def test_options(self, kind, options, message):
        with pytest.raises(ValueError, match=f"{kind.__name__}: group 0: {message}"):
            kind([parameter()], **options)
        first = {"params": parameter()}
        with pytest.raises(ValueError, match=f"{kind.__name__}: group 1: {message}"):
            kind([first, {"params": parameter(), **options}])
