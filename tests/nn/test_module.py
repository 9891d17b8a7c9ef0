import copy
import inspect
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import Module, Parameter


class Highway(Module):
    """A layer of one's own: fifteen lines at most, no registration and no super().__init__()."""

    def __init__(self, features):
        self.transform = nn.Linear(features, features)
        self.gate = nn.Linear(features, features)
        self.scale = Parameter([1.0])

    def forward(self, x):
        t = mg.sigmoid(self.gate(x))
        return t * mg.relu(self.transform(x)) * self.scale + (1 - t) * x


class Nested(Module):
    def __init__(self):
        self.words = ["a", "b"]
        self.layers = [nn.Linear(2, 3), (nn.Linear(3, 3, bias=False), Parameter([1.0]))]
        self.heads = {"up": nn.Linear(3, 1), 7: {"down": Parameter([2.0, 3.0])}}
        self.first = Parameter([0.0])
        self.constant = mg.tensor([1.0])
        self.nothing = None


class Tied(Module):
    def __init__(self):
        self.embedding = nn.Embedding(5, 3)
        self.hidden = nn.Linear(3, 3)
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight
        self.again = self.hidden

    def forward(self, ids):
        return self.decoder(self.again(self.hidden(self.embedding(ids))))


class TestWalking:
    def test_a_layer_of_ones_own(self, draw, check_gradients):
        assert len(inspect.getsource(Highway).splitlines()) <= 15
        layer, x = Highway(3).to(dtype="float64"), draw(2, 3)
        assert len(layer.parameters()) == 5
        check_gradients(lambda: layer(x), x=x, **dict(layer.named_parameters()))

    def test_names_are_the_ways_in_the_order_set(self):
        assert [name for name, _ in Nested().named_parameters()] == [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.0.weight",
            "layers.1.1",
            "heads.up.weight",
            "heads.up.bias",
            "heads.7.down",
            "first",
        ]

    def test_order_is_that_of_setting_not_of_making(self):
        late, early = nn.Linear(1, 1), nn.Linear(1, 1)
        module = Module()
        module.z, module.a = early, late
        assert [name for name, _ in module.named_parameters()][::2] == ["z.weight", "a.weight"]
        assert module.parameters()[0] is early.weight

    def test_parameters_are_the_objects_themselves(self):
        module = Nested()
        assert module.parameters()[-1] is module.first
        assert module.parameters()[3] is module.layers[1][1]
        assert module.num_parameters() == 9 + 9 + 1 + 4 + 2 + 1

    def test_what_is_added_later_is_found(self):
        module = Nested()
        module.layers.append(nn.Linear(1, 1))
        module.layers[1] = nn.Linear(2, 2)
        names = [name for name, _ in module.named_parameters()]
        assert names[2:5] == ["layers.1.weight", "layers.1.bias", "layers.2.weight"]

    def test_modules_and_children(self):
        module = Module()
        inner = module.inner = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        module.listed = [nn.Linear(2, 1), inner]
        assert [name for name, _ in module.named_modules()] == [
            *["", "inner", "inner.0", "inner.1", "listed.0"]
        ]
        assert module.modules()[0] is module
        assert module.children() == [inner, module.listed[0]]

    def test_a_module_that_knows_its_owner_does_not_go_round_forever(self):
        owner = Module()
        owner.part = nn.Linear(2, 2)
        owner.part.owner = owner
        assert [name for name, _ in owner.named_parameters()] == ["part.weight", "part.bias"]
        assert repr(owner).count("Linear") == 1
        assert len(owner.part.parameters()) == 2

    def test_a_dataclass_may_be_a_module(self):
        @dataclass
        class Affine(Module):
            features: int
            parts: list = field(default_factory=list)

            def __post_init__(self):
                self.parts.append(nn.Linear(self.features, 1))

        module = Affine(3)
        module.twice = [Affine(2), module.parts[0]]
        assert [name for name, _ in module.named_parameters()] == [
            *["parts.0.weight", "parts.0.bias"],
            *["twice.0.parts.0.weight", "twice.0.parts.0.bias"],
        ]
        assert module.eval().twice[0].training is False

    def test_two_parameters_of_one_name_are_refused(self):
        module = Module()
        module.parts = {0: Parameter([1.0]), "0": Parameter([2.0])}
        with pytest.raises(ValueError, match=r"two different Parameters have the name 'parts\.0'"):
            module.state_dict()


class TestTied:
    def test_counted_once_under_the_first_name(self):
        model = Tied()
        assert [name for name, _ in model.named_parameters()] == [
            *["embedding.weight", "hidden.weight", "hidden.bias", "decoder.bias"]
        ]
        assert model.num_parameters() == 15 + 9 + 3 + 5
        assert len(model.modules()) == 4

    def test_gradient_is_the_sum_over_both_uses(self, check_gradients):
        model = Tied().to(dtype="float64")
        ids = np.array([[0, 3, 3], [4, 1, 0]])
        check_gradients(lambda: model(ids), **dict(model.named_parameters()))

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies_are_tied_too(self, copied):
        model = copied(Tied())
        assert model.decoder.weight is model.embedding.weight
        assert model.again is model.hidden


class TestParameter:
    @pytest.mark.host(reason="it shows a repr, which names other devices")
    def test_is_a_leaf_that_requires_a_gradient(self):
        parameter = Parameter([1.0, 2.0])
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.dtype == np.float32
        assert repr(parameter) == "Parameter([1., 2.], dtype=float32, requires_grad=True)"
        assert not Parameter([1.0], requires_grad=False).requires_grad

    def test_a_result_of_ops_is_an_ordinary_tensor(self):
        assert type(Parameter([1.0]) * 2) is mg.Tensor
        assert type(Parameter([1.0]).detach()) is mg.Tensor

    def test_integers_are_refused(self):
        with pytest.raises(TypeError, match="only floating-point tensors have gradients"):
            Parameter(np.array([1, 2]))

    @pytest.mark.parametrize("requires_grad", [True, False])
    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
    )
    def test_copies_are_parameters_of_their_own(self, copied, requires_grad):
        parameter = Parameter(np.array([1.0, 2.0]), requires_grad=requires_grad)
        other = copied(parameter)
        assert type(other) is Parameter
        assert other.requires_grad == requires_grad
        assert other.dtype == np.float64
        other.data[0] = 5.0
        assert parameter.tolist() == [1.0, 2.0]
        assert other.tolist() == [5.0, 2.0]


class TestCopies:
    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_compute_the_same_and_are_independent(self, copied):
        model = nn.Sequential(
            nn.Embedding(4, 3), mg.tanh, nn.Linear(3, 2), nn.Dropout(0.5, np.random.default_rng(3))
        ).eval()
        other = copied(model)
        assert not other.training
        assert not other[3].training
        ids = np.array([0, 3])
        assert np.array_equal(other(ids).numpy(), model(ids).numpy())
        mine, theirs = model.parameters(), other.parameters()
        assert not any(a is b for a, b in zip(mine, theirs, strict=True))
        other[2].weight.data = other[2].weight.data + 1
        assert not np.array_equal(other(ids).numpy(), model(ids).numpy())
        same_draws = other.train()(ids).numpy() == 0
        assert np.array_equal(same_draws, model.train()(ids).numpy() == 0)

    def test_a_copied_module_learns_by_itself(self):
        model = nn.Linear(2, 1)
        other = copy.deepcopy(model)
        other(np.ones((1, 2), np.float32)).sum().backward()
        assert other.weight.grad.tolist() == [[1.0, 1.0]]
        assert model.weight.grad is None


class TestAllAtOnce:
    def test_train_and_eval_reach_everything(self):
        module = Nested()
        module.deep = {"x": [nn.Sequential(nn.Dropout(), nn.LSTM(1, 1))]}
        assert all(m.training for m in module.modules())
        assert module.eval() is module
        assert not any(m.training for m in module.modules())
        assert len(module.modules()) == 7
        module.deep["x"][0].train()
        assert [m.training for m in module.modules()] == [False] * 4 + [True] * 3
        assert module.train() is module
        assert all(m.training for m in module.modules())
        assert Nested().training

    def test_zero_grad(self):
        module = Tied()
        module(np.array([1, 2])).sum().backward()
        assert all(p.grad is not None for p in module.parameters())
        module.zero_grad()
        assert all(p.grad is None for p in module.parameters())

    def test_requires_grad_freezes(self):
        module = Tied()
        assert module.hidden.requires_grad_(False) is module.hidden
        module(np.array([1, 2])).sum().backward()
        assert [p.grad is None for p in module.parameters()] == [False, True, True, False]
        module.requires_grad_()
        assert all(p.requires_grad for p in module.parameters())

    def test_a_module_without_forward_says_so(self):
        with pytest.raises(AttributeError, match="forward"):
            Module()(1)


class TestTo:
    def test_the_parameters_stay_the_same_objects(self):
        module = Tied()
        before, values = module.parameters(), module.state_dict()
        module(np.array([1, 2])).sum().backward()
        gradients = [p.grad.numpy() for p in before]
        assert module.to(dtype="float64") is module
        after = module.parameters()
        assert all(a is b for a, b in zip(before, after, strict=True))
        assert module.decoder.weight is module.embedding.weight
        for p, g, value in zip(after, gradients, values.values(), strict=True):
            assert type(p) is Parameter
            assert p.requires_grad
            assert p.dtype == p.grad.dtype == np.float64
            assert np.array_equal(p.numpy(), value)
            assert np.array_equal(p.grad.numpy(), g)

    def test_it_then_computes_and_learns_in_the_new_dtype(self, rng):
        module = nn.LSTM(2, 3).to(dtype=np.float64)
        output, _ = module(rng.normal(size=(4, 1, 2)))
        output.sum().backward()
        assert output.dtype == np.float64
        assert all(p.grad.dtype == np.float64 for p in module.parameters())

    def test_constants_go_along_and_integers_stay_integers(self):
        module = Module()
        module.mask = mg.tensor([1.0, 0.0])
        module.parts = [mg.tensor(np.array([1, 2]))]
        module.to(dtype="float64", device="cpu")
        assert module.mask.dtype == np.float64
        assert not module.mask.requires_grad
        assert module.parts[0].dtype == np.int64

    def test_frozen_stays_frozen_and_nothing_moves_needlessly(self, device):
        module = nn.Linear(2, 2).requires_grad_(False)
        array = module.weight.data
        assert module.to(dtype="float32", device=device).weight.data is array
        assert not module.to(dtype="float64").weight.requires_grad

    def test_what_is_in_place_already_is_not_touched(self, device):
        module = nn.Linear(2, 2)
        y = module(mg.tensor([[1.0, 2.0]], requires_grad=True)).sum()
        module.to(device=device, dtype="float32")
        y.backward()
        assert module.weight.grad.tolist() == [[1, 2], [1, 2]]

    def test_results_on_the_tape_are_left_alone(self):
        module = nn.Linear(2, 2)
        module.seen = module(np.ones((1, 2), np.float32))
        module.to(dtype="float64")
        assert module.seen.dtype == np.float32

    def test_a_tape_from_before_is_noticed(self):
        module = nn.Linear(2, 2)
        x = mg.tensor([[1.0, 2.0]], requires_grad=True)
        y = module(x).sum()
        module.to(dtype="float64")
        with pytest.raises(mg.TapeError, match="changed in place"):
            y.backward()

    @pytest.mark.parametrize("dtype", ["int64", bool])
    def test_only_floats(self, dtype):
        module = nn.Linear(2, 2)
        with pytest.raises(TypeError, match="dtype must be a floating-point one, not"):
            module.to(dtype=dtype)
        assert module.weight.dtype == np.float32

    def test_a_dtype_in_the_place_of_the_device(self):
        for module in (nn.Linear(2, 2), nn.Tanh()):
            with pytest.raises(TypeError, match=r"device must be a str .*model\.to\(dtype="):
                module.to(np.float64)

    def test_an_unknown_device(self):
        with pytest.raises(ValueError, match='expected "cpu"'):
            nn.Linear(2, 2).to(device="tpu")


class TestContainers:
    def test_sequential_runs_modules_and_functions(self, draw, check_gradients):
        x = draw(4, 3)
        model = nn.Sequential(nn.Linear(3, 5), mg.tanh, nn.Linear(5, 2)).to(dtype="float64")
        W_1, b_1, W_2, b_2 = model.state_dict().values()
        expected = np.tanh(x.numpy() @ W_1.T + b_1) @ W_2.T + b_2
        np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-12)
        assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        check_gradients(lambda: model(x), x=x, W_1=model[0].weight, b_2=model[2].bias)

    def test_sequential_of_nothing_is_the_identity(self):
        x = mg.tensor([1.0])
        assert nn.Sequential()(x) is x

    def test_module_list(self):
        layers = nn.ModuleList([nn.Linear(2, 2)])
        layers.append(nn.Linear(2, 1))
        module = Module()
        module.layers = layers
        assert len(layers) == 2
        assert [layer.out_features for layer in layers] == [2, 1]
        assert layers[-1].out_features == 1
        assert [name for name, _ in module.named_parameters()] == [
            *["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
        ]


class TestRepr:
    def test_tree_with_counts(self):
        class Model(Module):
            def __init__(self):
                self.name = "toy"
                self.embedding = nn.Embedding(1000, 16, padding_idx=0)
                self.rnns = [nn.LSTM(16, 8, num_layers=2, dropout=0.1), nn.RNN(8, 8)]
                self.activation = mg.tanh
                self.head = nn.Sequential(nn.LayerNorm(8), mg.relu, nn.Linear(8, 16, bias=False))
                self.decoder = nn.Linear(16, 1000)
                self.decoder.weight = self.embedding.weight
                self._private = 3

        assert (
            repr(Model())
            == """\
Model(name='toy',  # 18,696 parameters
  (embedding): Embedding(num_embeddings=1000, embedding_dim=16, padding_idx=0)  # 16,000
  (rnns.0): LSTM(16, 8, num_layers=2, dropout=0.1)  # 1,408
  (rnns.1): RNN(8, 8)  # 144
  (activation): tanh
  (head): Sequential(  # 144
    (0): LayerNorm(normalized_shape=(8,), eps=1e-05)  # 16
    (1): relu
    (2): Linear(in_features=8, out_features=16, bias=False)  # 128
  )
  (decoder): Linear(in_features=16, out_features=1000)  # 1,000 and 16,000 tied
)"""
        )

    def test_a_parameter_of_its_own_that_a_layer_shares(self):
        module = Module()
        module.layer = nn.Linear(2, 3)
        module.own = module.layer.weight
        assert repr(module) == (
            "Module(  # 9 parameters\n"
            "  (layer): Linear(in_features=2, out_features=3)  # 3 and 6 tied\n)"
        )

    @pytest.mark.parametrize(
        ("module", "text"),
        [
            (nn.Linear(3, 4), "Linear(in_features=3, out_features=4)  # 16 parameters"),
            (nn.Dropout(0.2).eval(), "Dropout(p=0.2)"),
            (nn.RNNCell(2, 3, nonlinearity="relu"), "RNNCell(nonlinearity='relu', input_size=2, "
             "hidden_size=3, bias=True)  # 21 parameters"),
            (nn.GRU(2, 3, bidirectional=True, batch_first=True, bias=False),
             "GRU(2, 3, bias=False, batch_first=True, bidirectional=True)  # 90 parameters"),
            (nn.RNN(2, 3, nonlinearity="relu"), "RNN(2, 3, nonlinearity='relu')  # 21 parameters"),
            (nn.MSELoss(), "MSELoss(reduction='mean')"),
            (nn.Sequential(), "Sequential()"),
        ],
    )  # fmt: skip
    def test_of_layers(self, module, text):
        assert repr(module) == text
