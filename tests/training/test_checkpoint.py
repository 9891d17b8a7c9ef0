"""Checkpoints come back as they were, or not at all."""

import collections
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

import minigrad as mg
from minigrad.training import load_checkpoint, save_checkpoint

TREE = {
    "model": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)},
    "optimizer": {"state": {0: {"step": 3}, 1: {"step": 4}}, "betas": (0.9, 0.999)},
    "rng": np.random.default_rng(0).bit_generator.state,
    "state": (None, [np.ones((1, 2, 3), np.float32)]),
    "best": math.inf,
    "name": "한글 \ud800 $array",
}


def seen(array):
    native = array.astype(array.dtype.newbyteorder("="))
    return native.dtype, native.shape, native.tobytes()


def same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and seen(a) == seen(b)
    return type(a) is type(b) and (a == b or (a != a and b != b))


KINDS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 1024, 2**63, 2**128 - 1])
    | st.floats()
    | st.text(max_size=5)
    | hnp.arrays(
        st.sampled_from([f"{order}{kind}" for order in "<>" for kind in KINDS]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
)
KEYS = (
    st.text(st.characters(), max_size=4)  # halves of surrogate pairs, too
    | st.integers(-3, 3)
    | st.sampled_from(["$array", "$dict", "a/b", "a", "b", "", "__metadata__", 1 << 1024])
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(KEYS, inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(tree=TREES)
def test_comes_back_as_it_was(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "c.safetensors"
    save_checkpoint(path, tree)
    assert same(load_checkpoint(path), tree)


def test_integers_of_any_size(tmp_path):
    tree = {1 << 50_000: [-(1 << 50_000), np.ones(1)]}
    save_checkpoint(tmp_path / "c", tree)
    assert same(load_checkpoint(tmp_path / "c"), tree)


def test_names_that_meet(tmp_path):
    tree = {"a/b": np.ones(1), "a": {"b": np.zeros(2)}, "a/b'": np.full(3, 2.0)}
    save_checkpoint(tmp_path / "c", tree)
    assert same(load_checkpoint(tmp_path / "c"), tree)


def test_tensors_and_strided_arrays(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3)
    save_checkpoint(tmp_path / "c", {"t": mg.tensor([1.0, 2.0]), "m": matrix.T, "n": np.float32(2)})
    loaded = load_checkpoint(tmp_path / "c")
    assert same(loaded["t"], np.array([1.0, 2.0], np.float32))
    assert same(loaded["m"], np.ascontiguousarray(matrix.T))
    assert loaded["n"] == 2.0


def test_others_can_read_the_arrays(tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", TREE)
    arrays = load_file(tmp_path / "c.safetensors")
    assert (arrays["model/weight"] == TREE["model"]["weight"]).all()


def test_goes_on_bit_for_bit(tmp_path):
    def step(optimizer, parameter, rng):
        optimizer.zero_grad()
        (parameter * mg.tensor(rng.random(3, np.float32))).sum().backward()
        optimizer.step()

    parameter = mg.nn.Parameter(np.ones(3, np.float32))
    optimizer, rng = mg.optim.Adam([parameter], lr=0.1), np.random.default_rng(3)
    step(optimizer, parameter, rng)
    save_checkpoint(
        tmp_path / "c",
        {"p": parameter, "o": optimizer.state_dict(), "r": rng.bit_generator.state},
    )
    step(optimizer, parameter, rng)

    saved = load_checkpoint(tmp_path / "c")
    again = mg.nn.Parameter(saved["p"])
    other, rng = mg.optim.Adam([again], lr=0.5), np.random.default_rng()
    other.load_state_dict(saved["o"])
    rng.bit_generator.state = saved["r"]
    step(other, again, rng)
    assert again.numpy().tobytes() == parameter.numpy().tobytes()


class TestArraysOfEveryMake:
    def test_views_and_what_may_not_be_written_to(self, tmp_path):
        grid = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
        fixed = np.ones(3)
        fixed.flags.writeable = False
        tree = {
            "transposed": grid.T,
            "backwards": grid[::-1, :, ::2],
            "of one number": np.broadcast_to(np.float32(2), (2, 3)),
            "fixed": fixed,
            "no axes": np.array(3, np.int16),
            "nothing": np.zeros((0, 3), np.bool_),
            "NaN with a message": np.array([0x7FF8_0000_0000_0123], np.uint64).view(np.float64),
        }
        save_checkpoint(tmp_path / "c", tree)
        loaded = load_checkpoint(tmp_path / "c")
        assert same(loaded, tree)
        loaded["fixed"][0] = 5  # what was read is one's own

    def test_numbers_of_numpy_become_pythons(self, tmp_path):
        tree = {
            np.int64(1): np.int8(-3),
            "f": np.float32(0.1),
            "b": np.bool_(True),
            "s": np.str_("s"),
        }
        save_checkpoint(tmp_path / "c", tree)
        assert same(
            load_checkpoint(tmp_path / "c"),
            {1: -3, "f": float(np.float32(0.1)), "b": True, "s": "s"},
        )

    def test_dicts_and_tuples_of_other_types(self, tmp_path):
        point = collections.namedtuple("point", "x y")(1, np.ones(2))
        save_checkpoint(
            tmp_path / "c", collections.OrderedDict(p=point, c=collections.Counter("a"))
        )
        assert same(load_checkpoint(tmp_path / "c"), {"p": tuple(point), "c": {"a": 1}})


MODEL = mg.nn.Linear(2, 2)
ITSELF = {}
ITSELF["again"] = [ITSELF]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": np.array([1j])}}, "a/b is an array of dtype complex128"),
        ({"a": [0, np.array([None])]}, "a/1 is an array of dtype object"),
        ({"a": (np.array(["s"]),)}, "a/0 is an array of dtype <U1"),
        ({"a": np.zeros(2, "i4,f4")}, "a is an array of dtype"),
        ({"a": np.zeros(2, "M8[ns]")}, "a is an array of dtype datetime64"),
        ({"a": np.zeros(2, "m8[s]")}, "a is an array of dtype timedelta64"),
        ({"a": np.array([b"s"])}, "a is an array of dtype"),
        ({"a": np.ma.masked_array([1.0], [True])}, "a is a MaskedArray"),
        ({"a": {"t": np.timedelta64(1, "ns")}}, "a/t is a timedelta64"),
        ({"a": np.datetime64(1, "ns")}, "a is a datetime64"),
        ({"a": np.complex64(1)}, "a is a complex64"),
        ({"a": 1j}, "a is a complex"),
        ({"a": b"bytes"}, "a is a bytes"),
        ({"a": {1, 2}}, "a is a set"),
        ({"a": [object()]}, "a/0 is a object"),
        ({"a\x1b": {"b\n": object()}}, r"a\\x1b/b\\n is a object"),
        ({(1, 2): 3}, r"the whole has the key \(1, 2\)"),
        ({"a": {True: 1}}, "a has the key True"),
        ({"a": {None: 1}}, "a has the key None"),
        ({"a": {1.5: 1}}, "a has the key 1.5"),
        (ITSELF, "again/0/again.* more than 100 deep; does the tree contain itself"),
        ({"model": MODEL}, r"model is a Linear.*save its state_dict\(\)"),
        (MODEL, r".*mg.save\(path, model.state_dict\(\)\).*load_state_dict\(mg.load\(path\)\)"),
        (np.ones(2), 'the whole is a ndarray.*such as {"values": values}'),
        ([1], "the whole is a list"),
        (None, "the whole is a NoneType"),
    ],
)
def test_what_it_does_not_take(tmp_path, tree, message):
    with pytest.raises(TypeError, match=f"^save_checkpoint: {message}") as caught:
        save_checkpoint(tmp_path / "c", tree)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr("minigrad.training.checkpoint.HEADER", 10_000)
    save_checkpoint(tmp_path / "c", {"a": list(range(1000))})
    with pytest.raises(ValueError, match=r"besides its arrays, .*np\.array\(numbers\)"):
        save_checkpoint(tmp_path / "c", {"a": list(range(3000))})
    assert load_checkpoint(tmp_path / "c") == {"a": list(range(1000))}


class TestShortNames:
    def test_a_model_and_back(self, tmp_path):
        model, other = mg.nn.LSTM(2, 3), mg.nn.LSTM(2, 3)
        mg.save(tmp_path / "m", model.state_dict())
        other.load_state_dict(mg.load(tmp_path / "m"))
        assert same(other.state_dict(), model.state_dict())
        assert (mg.save, mg.load) == (save_checkpoint, load_checkpoint)

    def test_arguments_the_other_way_round(self, tmp_path):
        with pytest.raises(TypeError, match=r"got dict; .*first: mg\.save\(path, tree\)"):
            mg.save({"a": 1}, tmp_path / "m")


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "minigrad-rnn\[checkpoints\]"'):
        save_checkpoint(tmp_path / "c", {})
