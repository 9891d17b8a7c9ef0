"""Checkpoints come back as they were, or not at all."""

import math
import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

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


def same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or (a != a and b != b))


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
)
KEYS = st.text(max_size=4) | st.integers(-3, 3) | st.sampled_from(["$array", "$dict", "a/b", ""])
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


@pytest.mark.parametrize("tree", [{"a": {1, 2}}, {"a": [object()]}, {(1, 2): 3}, {True: 1}])
def test_what_it_does_not_take(tmp_path, tree):
    with pytest.raises(TypeError, match="save_checkpoint: "):
        save_checkpoint(tmp_path / "c", tree)
    assert list(tmp_path.iterdir()) == []


class TestDamage:
    def test_any_bit(self, tmp_path):
        path = tmp_path / "c"
        save_checkpoint(path, TREE)
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            broken = bytearray(whole)
            broken[place] ^= 1 << (place % 8)
            path.write_bytes(broken)
            try:
                loaded = load_checkpoint(path)
            except ValueError as error:
                assert "damaged" in str(error) or "of another program" in str(error)  # noqa: PT017
                assert repr(str(path)) in str(error)  # noqa: PT017
            else:  # a space in the padding of the header became something else
                assert same(loaded, TREE), place

    @pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
    def test_cut_off(self, tmp_path, part):
        save_checkpoint(tmp_path / "c", TREE)
        whole = (tmp_path / "c").read_bytes()
        (tmp_path / "c").write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(tmp_path / "c")

    def test_of_another_program(self, tmp_path):
        save_file({"weight": np.ones(3)}, tmp_path / "c")
        with pytest.raises(ValueError, match="of another program"):
            load_checkpoint(tmp_path / "c")
        (tmp_path / "c").write_bytes(b"PK\x03\x04 what is this")
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(tmp_path / "c")

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_checkpoint(tmp_path / "c")
        with pytest.raises(IsADirectoryError):
            load_checkpoint(tmp_path)

    def test_the_old_one_stays(self, tmp_path, monkeypatch):
        save_checkpoint(tmp_path / "c", {"step": 1})

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path / "c", {"step": 2})
        monkeypatch.undo()
        assert load_checkpoint(tmp_path / "c") == {"step": 1}
        assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match="safetensors"):
        save_checkpoint(tmp_path / "c", {})
