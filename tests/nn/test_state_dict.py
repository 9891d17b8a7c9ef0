import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import Module, Parameter


class Model(Module):
    def __init__(self, tied=True, rng=None):
        self.embedding = nn.Embedding(6, 4, rng=rng)
        self.rnns = [nn.GRU(4, 4, rng=rng), nn.LSTM(4, 4, rng=rng)]
        self.decoder = nn.Linear(4, 6, rng=rng)
        if tied:
            self.decoder.weight = self.embedding.weight

    def forward(self, ids):
        x = self.embedding(ids)
        for rnn in self.rnns:
            x, _ = rnn(x)
        return self.decoder(x)


IDS = np.array([[0, 5], [1, 1], [3, 2]])


def test_the_state_is_named_arrays_of_their_own():
    model = Model()
    state = model.state_dict()
    assert list(state) == [name for name, _ in model.named_parameters()]
    assert "decoder.weight" not in state
    for (_, parameter), array in zip(model.named_parameters(), state.values(), strict=True):
        assert type(array) is np.ndarray
        assert array.dtype == np.float32
        assert np.array_equal(array, parameter.numpy())
        array[...] = 0.5
        assert not (parameter.numpy() == 0.5).any()


@pytest.mark.parametrize("tied", [True, False])
def test_round_trip(tied):
    one, other = Model(tied), Model(tied)
    before = one(IDS).numpy()
    assert not np.allclose(other(IDS).numpy(), before)
    assert other.load_state_dict(one.state_dict()) == ([], [])
    assert np.array_equal(other(IDS).numpy(), before)


def test_what_was_loaded_is_not_shared():
    model, state = Model(), Model().state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    model.load_state_dict(state)
    for parameter in model.parameters():
        parameter.data += 1
    for name, array in state.items():
        assert np.array_equal(array, kept[name])


def test_parameters_stay_the_same_objects_and_go_on_learning():
    model = Model()
    before = model.parameters()
    model.load_state_dict(Model().state_dict())
    assert all(a is b for a, b in zip(model.parameters(), before, strict=True))
    model(IDS).sum().backward()
    assert all(p.grad is not None for p in before)


def test_constants_are_not_saved():
    model = nn.Linear(2, 2)
    model.mask = mg.tensor([1.0, 0.0])
    model.raw = np.ones(3)
    assert list(model.state_dict()) == ["weight", "bias"]
    model.load_state_dict(nn.Linear(2, 2).state_dict())


@pytest.mark.parametrize("make", [mg.tensor, Parameter, np.ndarray.tolist, lambda a: a])
def test_values_may_be_anything_like_an_array(make):
    model = nn.Linear(2, 3)
    weight, bias = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    model.load_state_dict({"weight": make(weight), "bias": make(bias)})
    assert np.array_equal(model.weight.numpy(), weight)
    assert np.array_equal(model.bias.numpy(), bias)


def test_floats_of_another_precision_are_converted():
    model = nn.Linear(2, 2)
    model.load_state_dict(nn.Linear(2, 2, dtype="float64").state_dict())
    assert model.weight.dtype == np.float32
    assert model(np.ones((1, 2), np.float32)).dtype == np.float32


def test_a_tape_from_before_is_noticed():
    model = nn.Linear(2, 2)
    y = model(mg.tensor([[1.0, 2.0]], requires_grad=True)).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(mg.TapeError, match="changed in place"):
        y.backward()


class TestTied:
    @pytest.mark.parametrize("name", ["embedding.weight", "decoder.weight"])
    def test_any_of_its_names_will_do_and_both_are_loaded(self, name):
        model, weight = Model(), np.full((6, 4), 2.0)
        state = {k: v for k, v in model.state_dict().items() if k != "embedding.weight"}
        model.load_state_dict({**state, name: weight})
        assert np.array_equal(model.embedding.weight.numpy(), weight)
        assert np.array_equal(model.decoder.weight.numpy(), weight)
        assert model.embedding.weight is model.decoder.weight

    def test_under_both_names_as_pytorch_saves_it(self):
        model, state = Model(), Model().state_dict()
        model.load_state_dict({**state, "decoder.weight": state["embedding.weight"].copy()})
        assert np.array_equal(model.decoder.weight.numpy(), state["embedding.weight"])

    def test_under_both_names_with_different_values(self):
        model, state = Model(), Model().state_dict()
        before = model.state_dict()
        with pytest.raises(ValueError, match=r"tied, but with different values: embedding\.weight"):
            model.load_state_dict({**state, "decoder.weight": state["embedding.weight"] + 1})
        assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())

    def test_an_untied_model_does_not_load_a_tied_one(self):
        with pytest.raises(ValueError, match=r"missing: decoder\.weight"):
            Model(tied=False).load_state_dict(Model().state_dict())


class TestStrict:
    def test_all_faults_in_one_error_before_anything_changes(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.LayerNorm(2))
        before = model.state_dict()
        wrong = {
            "0.weight": np.ones((3, 2)),
            "0.bias": np.ones((4,)),
            "1.weight": np.ones((2, 3), np.int64),
            "extra": np.ones(1),
            "2.weight": np.ones((1, 2)),
            "2.bias": np.ones(2),
            "9.bias": np.ones(2),
        }
        with pytest.raises(ValueError, match="nothing was loaded") as caught:
            model.load_state_dict(wrong)
        assert str(caught.value) == (
            "load_state_dict: nothing was loaded, since not all fits Sequential:\n"
            "  misshapen: 0.bias has shape (4,), expected (3,)\n"
            "  misshapen: 2.weight has shape (1, 2), expected (2,)\n"
            "  missing: 1.bias\n"
            "  not floats: 1.weight has dtype int64, expected float32\n"
            "  unexpected: extra\n"
            "  unexpected: 9.bias"
        )
        after = model.state_dict()
        assert all(np.array_equal(before[name], after[name]) for name in before)

    def test_a_gru_does_not_load_into_an_lstm(self):
        with pytest.raises(
            ValueError, match=r"weight_hh_l0 has shape \(9, 3\), expected \(12, 3\)"
        ):
            nn.LSTM(2, 3).load_state_dict(nn.GRU(2, 3).state_dict())

    def test_nothing_broadcasts(self):
        with pytest.raises(ValueError, match=r"misshapen: bias has shape \(1,\), expected \(3,\)"):
            nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "bias": np.ones(1)})

    def test_a_part_is_loaded_by_completing_it(self):
        model = nn.Linear(2, 3)
        model.load_state_dict({**model.state_dict(), "bias": np.ones(3)})
        assert model.bias.tolist() == [1, 1, 1]
