"""Files of tokenisers that were forged or damaged: one ValueError, which can be shown."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import BytePairVocabulary, ByteVocabulary, Vocabulary, load_tokenizer

TOKENIZERS = [
    Vocabulary(["a", "말", "<unk>", "\n"], unk="<unk>"),
    Vocabulary(["the", "<unk>", "<eos>"], level="word", unk="<unk>", eos="<eos>"),
    BytePairVocabulary(["a b", "ab c"]),
    ByteVocabulary(),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def check(path):
    """Load it, or be told why not in one line."""
    try:
        load_tokenizer(path)
    except ValueError as error:
        message = str(error)
        assert message.isprintable()
        assert repr(str(path)) in message
        assert len(message) < 1000


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(data=st.data())
def test_of_wrong_types(tokenizer, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "t.json"
    state = json.loads(tokenizer.to_json())
    state[data.draw(st.sampled_from([*state, "\x1b[2J"]))] = data.draw(JSON | st.lists(JSON))
    path.write_text(json.dumps(state))
    check(path)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_any_byte(tokenizer, tmp_path):
    path = tmp_path / "t.json"
    whole = tokenizer.to_json().encode()
    for place in range(len(whole)):
        for flip in (1 << (place % 8), 0xFF):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            check(path)
        if whole[place:].strip():
            path.write_bytes(whole[:place])
            with pytest.raises(ValueError, match=r"is not JSON|can't decode"):
                load_tokenizer(path)


def test_of_any_length(tmp_path, monkeypatch):
    monkeypatch.setattr("minigrad.data.tokens.saving.LONGEST", 1000)
    path = tmp_path / "t.json"
    Vocabulary(["a"]).save(path)
    assert len(load_tokenizer(path)) == 1
    path.write_bytes(path.read_bytes() + b" " * 1000)
    for load in (load_tokenizer, Vocabulary.load):
        with pytest.raises(ValueError, match="no tokeniser has more than 1,000 bytes"):
            load(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for load in (load_tokenizer, ByteVocabulary.load):
        with pytest.raises(OSError, match="Not a regular file"):
            load(tmp_path / "pipe")
        with pytest.raises(IsADirectoryError):
            load(tmp_path)


@pytest.mark.parametrize("long", ["version", "format", "level", "unk", "new" * 9999])
def test_a_message_stays_short(tmp_path, long):
    path = tmp_path / "t.json"
    state = json.loads(TOKENIZERS[0].to_json())
    path.write_text(json.dumps({**state, long: "x" * 100_000}))
    with pytest.raises(ValueError, match=r"^load_tokenizer|^Vocabulary\.load"):
        load_tokenizer(path)
    check(path)
