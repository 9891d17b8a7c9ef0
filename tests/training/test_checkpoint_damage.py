"""What is damaged or forged is noticed, and told in one line."""

import hashlib
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from minigrad.training import load_checkpoint, save_checkpoint

TREE = {
    "model": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)},
    "optimizer": {"state": {0: {"step": 3}}, "betas": (0.9, 0.999)},
    "best": math.inf,
    "name": "한글 \ud800 $array",
}


class TestDamage:
    def test_any_byte(self, tmp_path):
        path = tmp_path / "c"
        save_checkpoint(path, TREE)
        whole = path.read_bytes()
        noticed = 0
        for place in range(len(whole)):
            for flip in (1 << (place % 8), 0xFF):
                broken = bytearray(whole)
                broken[place] ^= flip
                path.write_bytes(broken)
                try:
                    loaded = load_checkpoint(path)
                except ValueError as error:
                    message, noticed = str(error), noticed + 1
                    assert "damaged" in message or "another program" in message
                    assert repr(str(path)) in message
                    assert message.isprintable()
                else:  # a space in the padding of the header became something else
                    assert repr(loaded) == repr(TREE), place
        assert noticed > 1.99 * len(whole)

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

    @pytest.mark.parametrize(
        "header",
        [
            {"x": {"dtype": "F32", "shape": [1750000000], "data_offsets": [0, 7000000000]}},
            {"x": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 16]}},
            {"x": {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}},
            {"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
            {"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}},
            {"x": {"dtype": "F32\x1b[2J", "shape": [1], "data_offsets": [0, 4]}},
            {"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
            {"x": {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}},
            {"x": 5},
            [],
        ],
    )
    def test_a_header_that_asks_for_too_much(self, tmp_path, header):
        if isinstance(header, dict):
            content = '{"x":{"$array":"x"}}'
            about = {"version": 1, "sha256": "0" * 64, "content": content}
            header["__metadata__"] = {"minigrad-checkpoint": json.dumps(about)}
        raw = json.dumps(header).encode()
        for length in (len(raw), 7_000_000_000, (1 << 64) - 1):
            (tmp_path / "c").write_bytes(length.to_bytes(8, "little") + raw)
            with pytest.raises(ValueError, match="c' is damaged") as caught:
                load_checkpoint(tmp_path / "c")
            assert str(caught.value).isprintable()

    def test_what_is_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match=r"Not a regular file: .*pipe'"):
            load_checkpoint(tmp_path / "pipe")

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


def forge(path, content, /, **about):
    """A file of the right form with the right checksum, whatever its content."""
    text = content if isinstance(content, str) else json.dumps(content)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    about = {"version": 1, "sha256": sha256, "content": text, **about}
    path.write_bytes(save({}, {"minigrad-checkpoint": json.dumps(about)}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$array", "$float", "$int", "$tuple", "$dict", "$other"]),
            inner | st.lists(st.tuples(inner, inner), max_size=2),
            max_size=2,
        )
    ),
    max_leaves=8,
)


class TestForgery:
    """The checksum is right, and what it is of is not what `save_checkpoint` writes."""

    @pytest.mark.parametrize(
        "content",
        [
            *(5, None, True, "text", [], [{}], 1.5, "[1, 2", '"\\ud800"'),
            *({"a": {"$array": name}} for name in ("x", "", 5, None, [], {})),
            *({"a": {"$float": number}} for number in ("1", "infinity", 5, None, [])),
            *({"a": {"$int": digits}} for digits in ("xyz", 5, None, "")),
            *({"a": {"$tuple": items}} for items in ("abc", 5, None, {"b": 1})),
            *({"a": {"$dict": pairs}} for pairs in ("ab", 5, ["ab"], [[1]], [[1, 2, 3]], {"b": 1})),
            *({"a": {"$dict": [[key, 1]]}} for key in (None, True, 1.5, [], {}, {"$array": "x"})),
            *({"a": {"$other": 1}}, {"a": {"$tuple": [], "b": 1}}, {"a": {"\x1b$": 1, "$": 2}}),
            "[" * 100_000,
            '{"a":' * 5_000 + "1" + "}" * 5_000,
            '{"a": ' + "9" * 10_000 + "}",
        ],
    )
    def test_is_noticed(self, tmp_path, content):
        forge(tmp_path / "c", content)
        with pytest.raises(ValueError, match=r"^load_checkpoint: .*c' is damaged: ") as caught:
            load_checkpoint(tmp_path / "c")
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        "about",
        [
            *({"content": wrong} for wrong in (5, None, [], {})),
            *({"sha256": wrong} for wrong in (5, None, "", {})),
        ],
    )
    def test_a_header_of_wrong_types(self, tmp_path, about):
        forge(tmp_path / "c", "{}", **about)
        with pytest.raises(ValueError, match="c' is damaged: its checksum does not fit"):
            load_checkpoint(tmp_path / "c")

    @pytest.mark.parametrize("version", [2, None, "1\x1b[2J", [], {"a": "b" * 1000}])
    def test_another_version(self, tmp_path, version):
        forge(tmp_path / "c", "{}", version=version)
        with pytest.raises(ValueError, match=r"c' has version .*reads version 1$") as caught:
            load_checkpoint(tmp_path / "c")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300 + len(str(tmp_path))

    @pytest.mark.parametrize("header", ["", "5", "[]", "{}", "null", '"x"', "{", "[" * 100_000])
    def test_a_header_that_is_none(self, tmp_path, header):
        (tmp_path / "c").write_bytes(save({}, {"minigrad-checkpoint": header}))
        with pytest.raises(ValueError, match="c' is damaged"):
            load_checkpoint(tmp_path / "c")

    @given(content=JSON)
    def test_any_json_is_a_dict_or_damaged(self, content, tmp_path_factory):
        path = tmp_path_factory.mktemp("any") / "c"
        forge(path, json.dumps(content))
        try:
            assert isinstance(load_checkpoint(path), dict)
        except ValueError as error:
            assert "is damaged" in str(error)  # noqa: PT017
