"""Sequential and the lists and dicts of modules and parameters, and what subclasses add to them."""

import copy
import itertools
import pickle
from collections import OrderedDict, UserDict, UserList, deque, namedtuple
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


def make_parts():
    return nn.Linear(2, 2), nn.Dropout(0.5), nn.Parameter([1.0])


class OfSequential(nn.Sequential):
    def __init__(self):
        self.before = nn.Linear(2, 2)
        super().__init__(nn.Linear(2, 2), mg.tanh)
        self.layers = [nn.Linear(2, 1)]
        self.noise, self.scale = nn.Dropout(0.5), nn.Parameter([1.0])


class OfModuleList(nn.ModuleList):
    def __init__(self):
        self.before = nn.Linear(2, 2)
        super().__init__([nn.Linear(2, 2), mg.tanh])
        self.layers = [nn.Linear(2, 1)]
        self.noise, self.scale = nn.Dropout(0.5), nn.Parameter([1.0])


class OfModuleDict(nn.ModuleDict):
    def __init__(self):
        self.before = nn.Linear(2, 2)
        super().__init__({"0": nn.Linear(2, 2), "1": mg.tanh})
        self.layers = [nn.Linear(2, 1)]
        self.noise, self.scale = nn.Dropout(0.5), nn.Parameter([1.0])


@pytest.mark.parametrize("make", [OfSequential, OfModuleList, OfModuleDict])
class TestSubclasses:
    NAMES = (
        *("before.weight", "before.bias", "0.weight", "0.bias"),
        *("layers.0.weight", "layers.0.bias", "scale"),
    )

    def test_what_is_in_attributes_is_trained_and_saved(self, make):
        net = make()
        assert [name for name, _ in net.named_parameters()] == [*self.NAMES]
        assert list(net.state_dict()) == [*self.NAMES]
        assert net.num_parameters() == 6 + 6 + 3 + 1
        assert len(net) == 2
        other = make()
        other.load_state_dict(net.state_dict())
        assert np.array_equal(other.layers[0].weight.numpy(), net.layers[0].weight.numpy())

    def test_moved_frozen_and_put_into_evaluation(self, make):
        net = make().to(dtype="float64").eval().requires_grad_(False)
        assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
        assert not net.noise.training
        assert not net.layers[0].training
        assert not net.scale.requires_grad

    def test_shown_and_copied(self, make):
        net = make()
        for text in ("(before): Linear", "(0): Linear", "(1): tanh", "(layers.0):", "(noise):"):
            assert text in repr(net)
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert [name for name, _ in other.named_parameters()] == [*self.NAMES]
            assert repr(other) == repr(net)

    def test_a_name_that_two_have_is_refused(self, make):
        net = make()
        setattr(net, "0", nn.Linear(2, 2))
        with pytest.raises(ValueError, match="two different Linears have the name '0'"):
            net.state_dict()
        with pytest.raises(ValueError, match="two different"):
            net.load_state_dict({name: np.ones(1) for name in self.NAMES})


class Plain:
    """A class that forgot to be an nn.Module."""

    def __init__(self, *parts):
        self.first, *self.rest = parts

    def __call__(self, x):
        return x


@dataclass
class Data:
    part: object


Pair = namedtuple("Pair", ["a", "b"])

FOUND = {
    "list": list,
    "tuple": tuple,
    "nested": lambda parts: [[tuple(parts)]],
    "dict": lambda parts: {"a": parts[0], "b": {"c": list(parts[1:])}},
    "ordered": lambda parts: OrderedDict(enumerate(parts)),
    "named": lambda parts: Pair(parts[0], list(parts[1:])),
    "ModuleList": lambda parts: [nn.ModuleList(parts[:2]), nn.ParameterList(parts[2:])],
}
REFUSED = {
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "in a list": lambda parts: [[deque(parts)]],
    "keys": lambda parts: dict.fromkeys(parts).keys(),
    "values": lambda parts: dict(enumerate(parts)).values(),
    "items": lambda parts: {"a": set(parts)},
    "proxy": lambda parts: MappingProxyType(dict(enumerate(parts))),
    "object array": lambda parts: np.array([*parts[:2], None], object),
    "UserList": UserList,
    "UserDict": lambda parts: UserDict(enumerate(parts)),
    "namespace": lambda parts: SimpleNamespace(part=parts[0]),
    "dataclass": lambda parts: Data(parts[2]),
    "dataclass with a list": lambda parts: Data(list(parts)),
    "no Module": lambda parts: Plain(*parts),
}
ITERATORS = {
    "generator": lambda parts: (part for part in parts),
    "iterator": iter,
    "map": lambda parts: map(str, parts),
    "zip": zip,
    "chain": itertools.chain,
    "reversed": lambda parts: reversed(list(parts)),
    "in a dict": lambda parts: {"a": (part for part in parts)},
}


class TestWhereModulesAre:
    @pytest.mark.parametrize("kind", FOUND)
    def test_found(self, kind):
        parts, net = make_parts(), nn.Module()
        net.parts = FOUND[kind](parts)
        expected = [*parts[0].parameters(), parts[2]]
        assert all(a is b for a, b in zip(net.parameters(), expected, strict=True))
        assert parts[1] in net.modules()
        assert not net.eval().training
        assert not parts[1].training

    @pytest.mark.parametrize("kind", REFUSED)
    def test_refused_when_it_is_put_there(self, kind):
        net, parts = nn.Module(), make_parts()
        with pytest.raises(
            TypeError, match=r"Module: parts.* is a \w+ and holds a \w+, which noth"
        ):
            net.parts = REFUSED[kind](parts)
        assert vars(net) == {}

    @pytest.mark.parametrize("kind", ITERATORS)
    def test_iterators(self, kind):
        net, parts = nn.Module(), make_parts()
        with pytest.raises(
            TypeError, match=r"is a \w+, which is used up when it is read; make a l"
        ):
            net.parts = ITERATORS[kind](parts)

    @pytest.mark.parametrize(
        ("empty", "fill"),
        [
            (set, lambda c, part: c.add(part)),
            (deque, lambda c, part: c.append(part)),
            (SimpleNamespace, lambda c, part: setattr(c, "part", part)),
            (list, lambda c, part: c.append({part})),
        ],
    )
    def test_refused_when_it_is_filled_later(self, empty, fill):
        for use in ("parameters", "state_dict", "eval", "to", "zero_grad"):
            net = nn.Module()
            net.parts = empty()
            net.parameters()
            fill(net.parts, nn.Linear(2, 2))
            with pytest.raises(TypeError, match="neither trained nor saved nor moved"):
                getattr(net, use)()

    @pytest.mark.parametrize(
        "value",
        [
            {"a"},
            deque([1, 2]),
            deque([mg.tensor([1.0])]),
            np.random.default_rng(0),
            np.array([None, "a"], object),
            itertools.count(),
            SimpleNamespace(x=1, of=[mg.tensor([1.0])]),
            np.float64,
            np,
            len,
        ],
        ids=str,
    )
    def test_what_holds_no_module_may_be_anywhere(self, value):
        net = nn.Module()
        net.layer, net.value = nn.Linear(2, 2), value
        assert len(net.parameters()) == 2
        assert net.value is value

    def test_what_is_found_elsewhere_too_may_be_held_by_anything(self):
        net = nn.Module()
        net.layer = nn.Linear(2, 2)
        net.helper = Plain(net.layer, *net.layer.parameters(), net)
        net.all = {net.layer, net}
        net.optimizer = optim.Adam(net.parameters())
        net.hook = lambda: net
        assert len(net.parameters()) == 2
        assert len(net.modules()) == 2

    def test_shared_by_many_it_is_walked_once(self):
        """Eleven modules that all know each other have 11! ways to one of them."""
        parts = [nn.Linear(1, 1) for _ in range(11)]
        for part in parts:
            part.others = parts
        net = nn.Sequential(*parts)
        assert len(net.parameters()) == 22
        assert len(net.modules()) == 12
        assert len(repr(net)) < 20_000
        seen = []
        net.apply(seen.append)
        assert len(seen) == 12
        assert seen[-1] is net


class TestSequential:
    @pytest.mark.parametrize(
        "layers",
        [
            [nn.Linear(2, 2), mg.tanh],
            (nn.Linear(2, 2),),
            [],
            OrderedDict(a=nn.Linear(2, 2)),
            (nn.Linear(2, 2) for _ in range(2)),
        ],
        ids=lambda layers: type(layers).__name__,
    )
    def test_layers_in_a_list_are_told_apart(self, layers):
        with pytest.raises(
            TypeError, match=r"takes layers one by one, .* nn\.Sequential\(\*layers"
        ):
            nn.Sequential(layers)

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (nn.Tanh, r"Tanh is a class, no layer; write Tanh\(\)"),
            (3, "a layer is an nn.Module or a function, not a int"),
            (None, "not a NoneType"),
            (mg.tensor([1.0]), "not a Tensor"),
            (nn.ModuleList([mg.tanh]), r"ModuleList has no forward; write nn\.Sequential\(\*lay"),
        ],
    )
    def test_what_is_no_layer(self, item, message):
        with pytest.raises(TypeError, match=message):
            nn.Sequential(nn.Linear(2, 2), item)
        net = nn.Sequential(nn.Linear(2, 2))
        with pytest.raises(TypeError, match=message):
            net[0] = item
        with pytest.raises(TypeError, match=message):
            net.append(item)

    def test_slices_are_sequential_and_share_their_layers(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        front = net[:-1]
        assert type(front) is nn.Sequential
        assert front[0] is net[0]
        assert front(mg.ones(2)).shape == (3,)

    def test_a_tuple_that_meets_a_function_of_minigrads(self):
        ids = np.zeros((3, 1), int)
        for follows in (mg.tanh, nn.Linear(2, 2), nn.Dropout(), nn.GRU(2, 2)):
            net = nn.Sequential(nn.Embedding(3, 2), nn.LSTM(2, 2), follows)
            with pytest.raises(TypeError, match=r"got a tuple \(output, state\)"):
                net(ids)
        mine = nn.Sequential(nn.Embedding(3, 2), nn.LSTM(2, 2), lambda pair: pair[0], mg.tanh)
        assert mine(ids).shape == (3, 1, 2)


class TestLists:
    def test_what_a_list_can_do(self):
        a, b, c, d = (nn.Linear(1, 1) for _ in range(4))
        held = nn.ModuleList([a])
        held.append(c)
        held.insert(1, b)
        held.extend([d])
        assert list(held) == [a, b, c, d]
        assert held.index(c) == 2
        assert (d in held, nn.Linear(1, 1) in held) == (True, False)
        held += [mg.tanh]
        assert held.pop() is mg.tanh
        held.remove(b)
        del held[0]
        held[0] = a
        held[1:] = [b]
        assert list(held) == list(reversed([b, a]))
        assert type(held[:1]) is nn.ModuleList
        assert [name for name, _ in held.named_parameters()][::2] == ["0.weight", "1.weight"]

    @pytest.mark.parametrize("kind", [nn.ModuleList, nn.ParameterList])
    def test_one_by_one_is_told_apart(self, kind):
        a, b = (nn.Linear(1, 1), nn.Linear(1, 1)) if kind is nn.ModuleList else (1.0, 2.0)
        for wrong in ((a, b), (a,)):
            with pytest.raises(TypeError, match=rf"takes one list; write nn\.{kind.__name__}\(\["):
                kind(*wrong)

    def test_parameters_are_made_of_numbers(self):
        own = nn.Parameter([1.0])
        held = nn.ParameterList([own, mg.tensor([2.0]), np.ones(2), [3.0]])
        assert held[0] is own
        assert all(type(p) is nn.Parameter for p in held)
        held[1] = held[1].detach() * 2
        assert type(held[1]) is nn.Parameter
        assert (own in held, held.index(own)) == (True, 0)
        assert list(held.state_dict()) == ["0", "1", "2", "3"]
        with pytest.raises(TypeError, match="only floating-point"):
            held.append(np.array([1]))


class TestDicts:
    def test_what_a_dict_can_do(self):
        a, b = nn.Linear(1, 1), nn.Linear(1, 1)
        held = nn.ModuleDict({"x": a})
        held.update([("y", mg.tanh)], z=b)
        assert list(held) == list(held.keys()) == ["x", "y", "z"]
        assert (held["x"], held.get("no"), "z" in held, len(held)) == (a, None, True, 3)
        assert held.pop("y") is mg.tanh
        assert list(held.values()) == [a, b]
        assert [name for name, _ in held.named_parameters()][::2] == ["x.weight", "z.weight"]
        assert held != nn.ModuleDict({"x": a, "z": b})
        assert len({held, held}) == 1

    @pytest.mark.parametrize("key", ["a.b", "", 1, None])
    @pytest.mark.parametrize("kind", [nn.ModuleDict, nn.ParameterDict])
    def test_keys_are_names(self, key, kind):
        with pytest.raises(TypeError, match=f"{kind.__name__}: a key is a str without a dot"):
            kind({key: mg.tanh})

    def test_parameters(self):
        held = nn.ParameterDict({"a": [1.0]})
        held["b"] = mg.tensor([2.0])
        assert [(n, type(p)) for n, p in held.named_parameters()] == [
            ("a", nn.Parameter),
            ("b", nn.Parameter),
        ]


def test_a_container_that_was_not_begun():
    class Net(nn.Sequential):
        def __init__(self):
            self.head = nn.Linear(2, 2)

    assert len(Net().parameters()) == 2
    with pytest.raises(AttributeError, match=r"super\(\)\.__init__\(\.\.\.\), called before"):
        Net()(mg.ones(2))
