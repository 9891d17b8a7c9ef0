"""What may stand in an attribute: parameters, what may replace them, buffers; what is missing."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Mean(nn.Module):
    """A running mean, as a normalisation layer keeps it."""

    def __init__(self):
        self.weight = nn.Parameter([1.0, 1.0])
        self.register_buffer("mean", mg.zeros(2))
        self.register_buffer("steps", mg.tensor(0, dtype="int64"))
        self.register_buffer("last", None, persistent=False)
        self.constant = mg.tensor([5.0])

    def forward(self, x):
        if self.training:
            self.last = x.mean(0).detach()
            self.mean = 0.5 * self.mean + 0.5 * self.last
            self.steps = self.steps + 1
        return (x - self.mean) * self.weight


class TestInThePlaceOfAParameter:
    @pytest.mark.parametrize(
        "value",
        [
            mg.ones((2, 2)),
            mg.tensor(np.ones((2, 2)), requires_grad=True),
            np.ones((2, 2)),
            [[1.0]],
            1.0,
            "no",
            mg.tanh,
            nn.Linear(2, 2),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_only_another_one(self, value):
        layer = nn.Linear(2, 2)
        before = layer.weight
        with pytest.raises(TypeError, match=r"Linear: weight is a Parameter, .*weight\.data = val"):
            layer.weight = value
        assert layer.weight is before

    def test_a_result_of_it_is_the_usual_case(self):
        layer = nn.Linear(2, 2)
        with pytest.raises(TypeError, match="neither trained nor saved"):
            layer.weight = layer.weight * 0.5
        with pytest.raises(TypeError, match="neither trained nor saved"):
            layer.weight_is_kept = layer.bias = layer.bias - 0.1

    def test_another_one_or_none(self):
        layer, other = nn.Linear(2, 2), nn.Parameter(np.ones((2, 2), np.float32))
        layer.weight = other
        layer.weight = layer.weight
        layer.bias = None
        assert layer.parameters() == [other] or layer.parameters()[0] is other
        assert layer(mg.ones(2)).tolist() == [2, 2]
        layer.bias = nn.Parameter([1.0, 1.0])
        assert len(layer.parameters()) == 2
        del layer.bias
        assert [name for name, _ in layer.named_parameters()] == ["weight"]
        layer.bias = mg.ones(2)  # a constant, since no parameter was there

    def test_in_the_place_of_a_module(self):
        net = nn.Module()
        net.act = nn.Tanh()
        for value in (mg.ones(2), np.ones(2), 3, "tanh"):
            with pytest.raises(TypeError, match=r"Module: act is a Tanh, and a \w+ is no layer"):
                net.act = value
        for value in (mg.relu, nn.ReLU(), [nn.Linear(2, 2)], nn.ReLU(), nn.Parameter([1.0])):
            net.act = value
            assert net.act is value
        net.act = None
        net.act = 3
        net.other = nn.Linear(2, 2)
        net.other = None
        assert net.parameters() == []

    def test_a_tensor_that_requires_a_gradient_is_no_parameter(self):
        net = nn.Module()
        net.own = mg.tensor([1.0], requires_grad=True)
        assert net.parameters() == []
        assert net.state_dict() == {}

    def test_pytorchs_second_argument(self):
        with pytest.raises(
            TypeError, match="Parameter: dtype must be one; write requires_grad=Fal"
        ):
            nn.Parameter(mg.ones(2), False)


class TestBuffers:
    def test_saved_moved_cast_and_not_trained(self):
        layer = Mean()
        assert [name for name, _ in layer.named_parameters()] == ["weight"]
        assert list(layer.state_dict()) == ["weight", "mean", "steps"]
        assert [name for name, _ in layer.named_buffers()] == ["mean", "steps"]
        assert layer.num_parameters() == 2
        layer(mg.tensor([[2.0, 4.0]]))
        assert [name for name, _ in layer.named_buffers()] == ["mean", "steps", "last"]
        assert layer.buffers()[0] is layer.mean
        assert layer.state_dict()["mean"].tolist() == [1, 2]
        layer.to(dtype="float64")
        assert (layer.mean.dtype, layer.last.dtype, layer.steps.dtype) == ("f8", "f8", "i8")

    @pytest.mark.parametrize(
        "copied",
        [
            copy.deepcopy,
            lambda m: pickle.loads(pickle.dumps(m)),
            lambda m: [new := Mean(), new.load_state_dict(m.state_dict())][0],
        ],
    )
    def test_copied_and_loaded(self, copied):
        net = nn.Sequential(Mean())
        net(mg.tensor([[2.0, 4.0]]))
        other = nn.Sequential(copied(net[0]))
        assert list(other.state_dict()) == ["0.weight", "0.mean", "0.steps"]
        assert other[0].mean.tolist() == [1, 2]
        assert other[0].steps.item() == 1
        other[0].mean = mg.zeros(2)
        assert net[0].mean.tolist() == [1, 2]

    def test_loading_is_strict(self):
        layer = Mean()
        with pytest.raises(ValueError, match="missing: mean\n  missing: steps"):
            layer.load_state_dict({"weight": np.ones(2)})
        with pytest.raises(
            ValueError, match="not integers: steps has dtype float64, expected int64"
        ):
            layer.load_state_dict({**layer.state_dict(), "steps": np.array(1.0)})

    def test_tensors_alone(self):
        layer = Mean()
        for value in (np.zeros(2), [0.0, 0.0], 0.0):
            with pytest.raises(TypeError, match=r"Mean: mean is a buffer, .*write mg\.tensor"):
                layer.mean = value
            with pytest.raises(TypeError, match=r"Mean: buffer more must be a Tensor or None, not"):
                layer.register_buffer("more", value)
        layer.mean = None
        assert list(layer.state_dict()) == ["weight", "steps"]
        layer.mean = nn.Parameter([1.0])
        assert len(layer.parameters()) == 2
        assert [name for name, _ in layer.named_buffers()] == ["steps"]
        del layer.steps
        layer.steps = mg.zeros(2)
        assert layer.buffers() == []

    @pytest.mark.parametrize("name", ["weight", "forward", "a.b", "", 3])
    def test_names(self, name):
        with pytest.raises(
            ValueError, match=r"Mean: (there is something else named|a name is a str)"
        ):
            Mean().register_buffer(name, mg.zeros(2))

    def test_registered_again_it_is_another(self):
        layer = Mean()
        layer.register_buffer("mean", mg.ones(2), persistent=False)
        assert list(layer.state_dict()) == ["weight", "steps"]


class TestPuttingIn:
    def test_names_made_up_by_the_program(self):
        net = nn.Module()
        for k in range(2):
            net.add_module(f"layer{k}", nn.Linear(1, 1))
            net.register_parameter(f"scale{k}", nn.Parameter([1.0]))
        net.register_parameter("bias", None)
        assert [name for name, _ in net.named_parameters()][1:4] == [
            *("layer0.bias", "scale0", "layer1.weight")
        ]
        assert net.bias is None
        assert [name for name, _ in net.named_children()] == ["layer0", "layer1"]

    def test_nothing_else(self):
        net = nn.Module()
        with pytest.raises(TypeError, match=r"w must be an nn\.Parameter or None, not a Tensor"):
            net.register_parameter("w", mg.ones(2))
        with pytest.raises(TypeError, match=r"m must be an nn\.Module or None, not a function"):
            net.add_module("m", mg.tanh)
        for add in (net.register_parameter, net.add_module):
            with pytest.raises(ValueError, match=r"a name is a str without a dot, not 'a\.b'"):
                add("a.b", None)
            with pytest.raises(ValueError, match="there is something else named 'eval'"):
                add("eval", None)


class TestWalks:
    def test_parameters_of_its_own(self):
        net = nn.Sequential(nn.Linear(2, 2))
        net.scale, net.more = nn.Parameter([1.0]), [nn.Parameter([2.0])]
        assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale", "more.0"]
        assert net.parameters(recurse=False)[0] is net.scale

    def test_apply_goes_from_below_to_above(self):
        net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Tanh(), nn.Linear(1, 1)))
        net.again = net[0]
        seen = []
        assert net.apply(seen.append) is net
        assert seen == [net[0], net[1][0], net[1][1], net[1], net]

    def test_what_fits_is_loaded_and_the_rest_told(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        before = net[1].weight.numpy()
        values = {"0.weight": np.ones((3, 2)), "0.bias": np.ones(3), "head.bias": np.ones(1)}
        told = net.load_state_dict(values, strict=False)
        assert told.missing_keys == ["1.weight", "1.bias"]
        assert told.unexpected_keys == ["head.bias"]
        assert net[0].weight.tolist() == [[1, 1]] * 3
        assert np.array_equal(net[1].weight.numpy(), before)
        with pytest.raises(ValueError, match=r"misshapen: 0\.bias has shape"):
            net.load_state_dict({"0.bias": np.ones(2), "0.weight": np.zeros((3, 2))}, strict=False)
        assert net[0].weight.tolist() == [[1, 1]] * 3

    @pytest.mark.parametrize("values", ["a file", nn.Linear(2, 2), [1], None])
    def test_values_come_by_name(self, values):
        with pytest.raises(TypeError, match="load_state_dict: expected a dict of arrays by name"):
            nn.Linear(2, 2).load_state_dict(values)

    def test_a_tied_module_is_loaded_by_either_name(self):
        net = nn.Module()
        net.first = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
        net.again = {"here": net.first}
        state = net.state_dict()
        assert list(state) == ["first.0.weight", "first.0.bias"]
        other = {name.replace("first", "again.here"): value + 1 for name, value in state.items()}
        assert net.load_state_dict(other) == ([], [])
        assert np.array_equal(net.first[0].weight.numpy(), state["first.0.weight"] + 1)


class TestWhatIsMissing:
    @pytest.mark.parametrize(
        ("get", "word"),
        [
            (lambda m: m.cuda(), r'in minigrad: model\.to\("cuda"\)'),
            (lambda m: m.double(), r'in minigrad: model\.to\(dtype="float64"\)'),
            (lambda m: m.register_forward_hook(print), r"x\.register_hook"),
            (lambda m: m.get_submodule("a"), r"dict\(model\.named_modules\(\)\)"),
            (lambda m: m.reset_parameters(), r"nn\.init"),
            (lambda m: m.device, r"model\.parameters\(\)\[0\]\.device"),
            (lambda m: m.flatten_parameters(), "leave the call out"),
            (
                lambda m: m.wieght,
                r"no attribute 'wieght'; did you mean 'weight'\?",
            ),
        ],
    )
    def test_the_word_of_minigrad_is_told(self, get, word):
        with pytest.raises(AttributeError, match=word):
            get(nn.Linear(2, 2))

    def test_names_of_nn(self):
        with pytest.raises(AttributeError, match=r"in minigrad: mg itself, .*: mg\.relu"):
            nn.functional
        with pytest.raises(AttributeError, match=r"BCEWithLogitsLoss"):
            nn.BCELoss()
        with pytest.raises(AttributeError, match=r"has no attribute 'NoSuch'$"):
            nn.NoSuch()

    def test_a_property_that_fails_tells_its_own_error(self):
        class Net(nn.Module):
            @property
            def depth(self):
                return self.no_such_thing

        with pytest.raises(AttributeError, match="no_such_thing"):
            Net().depth
        assert not hasattr(nn.Module(), "forward")
        assert getattr(nn.Module(), "nothing", 3) == 3
