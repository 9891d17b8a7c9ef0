import json
import os
import pickle
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import (
    BytePairVocabulary,
    ByteVocabulary,
    TextDecoder,
    Vocabulary,
    load_tokenizer,
)
from minigrad.data.texts.text import recut
from minigrad.data.tokens import byte_pairs

pytest.importorskip("tokenizers")

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SPACED = st.text(
    st.sampled_from("ab'st.1  \n\t\r\x1c\x1f\x85\xa0\u2003\u3000\u200b\ufeff한é🏳"), max_size=40
)
RHYME = """The north wind and the sun were disputing which was the stronger, when a
traveller came along  wrapped in a warm cloak. 북풍과 태양이 다투고 있었다.

They agreed that's the one who\r\n\tfirst succeeded in 1,234 ways — 🏳️‍🌈 — wins.
""" * 3  # fmt: skip


@pytest.fixture(scope="module")
def bpe():
    return BytePairVocabulary.train([RHYME], 340)


class TestBytes:
    @given(TEXTS)
    def test_ids_are_the_bytes_of_utf_8(self, text):
        vocabulary = ByteVocabulary()
        ids = vocabulary.encode(text)
        assert ids.dtype == np.int64
        assert bytes(ids.tolist()) == text.encode()
        assert vocabulary.decode(ids) == text

    def test_what_is_no_utf_8(self):
        assert ByteVocabulary().decode([0xED, 0x95]) == "\ufffd"
        assert ByteVocabulary().decode([65, 0xFF, 66]) == "A\ufffdB"

    def test_is_always_the_same(self):
        vocabulary = ByteVocabulary()
        assert len(vocabulary) == len(vocabulary.token_bytes) == 256
        assert (vocabulary.level, vocabulary.unk_id, vocabulary.eos_id) == ("byte", None, None)
        assert vocabulary == ByteVocabulary() != Vocabulary("ab")
        assert len({vocabulary, ByteVocabulary()}) == 1
        assert repr(vocabulary) == "ByteVocabulary()"

    @pytest.mark.parametrize("ids", [[256], [-1]])
    def test_id_out_of_range(self, ids):
        with pytest.raises(IndexError, match=r"ByteVocabulary\.decode: ids must be in \[0, 256\)"):
            ByteVocabulary().decode(ids)

    def test_half_a_character(self):
        message = r"ByteVocabulary\.encode: text must be valid Unicode, got .*U\+D800.* position 1"
        with pytest.raises(ValueError, match=message):
            ByteVocabulary().encode("a\ud800")
        with pytest.raises(TypeError, match="text must be a str, got bytes"):
            ByteVocabulary().encode(b"a")


class TestBytePairs:
    @given(TEXTS)
    def test_every_text_comes_back_exactly(self, bpe, text):
        ids = bpe.encode(text)
        assert ids.dtype == np.int64
        assert bpe.decode(ids) == text
        assert b"".join(bpe.token_bytes[id] for id in ids) == text.encode()

    def test_what_occurs_often_is_one_token(self, bpe):
        assert b" the" in bpe.token_bytes
        assert len(bpe.encode(RHYME)) < len(RHYME.encode()) / 2
        assert len(bpe) == 340
        assert bpe.token_bytes[:256] == ByteVocabulary.token_bytes
        assert len(set(bpe.token_bytes)) == 340

    def test_without_merges_it_is_the_bytes(self):
        vocabulary = BytePairVocabulary(())
        assert vocabulary.encode(RHYME).tolist() == ByteVocabulary().encode(RHYME).tolist()
        assert BytePairVocabulary.train(["ab"], 256) == vocabulary

    @given(st.one_of(SPACED, TEXTS), st.integers(1, 12))
    def test_cut_where_it_says_the_ids_are_those_of_the_whole(self, bpe, text, size):
        pieces = recut((text[i : i + size] for i in range(0, len(text), size)), bpe.last_cut)
        ids = [id for piece in pieces for id in bpe.encode(piece)]
        assert ids == bpe.encode(text).tolist()

    @given(st.one_of(SPACED, TEXTS))
    def test_ids_are_those_of_the_package_on_the_whole_text(self, bpe, text):
        """Words are looked up one by one; the package itself sees the text as a whole."""
        assert bpe.encode(text).tolist() == bpe._encoder.encode(text).ids

    def test_whitespace_is_what_the_package_takes_for_it(self, bpe):
        """Of each code point that might be: in ! c two spaces b, only whitespace goes with one."""
        split = bpe._encoder.pre_tokenizer.pre_tokenize_str
        for code_point in range(0x30000):
            character = chr(code_point)
            if unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn"):
                starts = {start for _, (start, _) in split(f"!{character}  b")}
                space = bool(byte_pairs.WORD.fullmatch(f"{character}  "))
                assert space == (1 in starts and 2 not in starts), hex(code_point)

    def test_long_texts_are_cut_inside(self, bpe, monkeypatch):
        text = RHYME * 2 + "x" * 100 + RHYME
        expected = bpe.encode(text).tolist()
        for size in (1, 7, 50, 1000):
            monkeypatch.setattr(byte_pairs, "SLICE", size)
            assert bpe.encode(text).tolist() == expected
            assert BytePairVocabulary.train([RHYME], 340) == bpe

    def test_words_that_are_remembered_may_be_forgotten(self, bpe, monkeypatch):
        expected = bpe.encode(RHYME).tolist()
        monkeypatch.setattr(byte_pairs, "KNOWN", 3)
        monkeypatch.setattr(byte_pairs, "SLICE", 10)
        assert bpe.encode(RHYME).tolist() == expected

    def test_training_depends_on_the_text_alone(self, bpe):
        code = (
            "import sys; from minigrad.data import BytePairVocabulary as B; "
            "print(B.train([sys.stdin.buffer.read().decode()], 340).fingerprint)"
        )
        for threads, seed in (("1", "0"), ("4", "1")):
            run = subprocess.run(
                [sys.executable, "-c", code],
                input=RHYME.encode(),
                capture_output=True,
                check=True,
                env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
            )
            assert run.stdout.decode().strip() == bpe.fingerprint

    def test_training_on_pieces_is_training_on_the_whole(self, bpe):
        for size in (10, 100):
            pieces = (RHYME[i : i + size] for i in range(0, len(RHYME), size))
            assert BytePairVocabulary.train(recut(pieces, bpe.last_cut), 340) == bpe

    def test_a_short_text_gives_fewer_tokens(self):
        assert len(BytePairVocabulary.train(["ab ab ab"], 1000)) < 262

    def test_two_pairs_may_make_one_token(self):
        vocabulary = BytePairVocabulary(["a b", "b c", "ab c", "a bc"])
        assert len(vocabulary) == 259
        assert vocabulary.decode(vocabulary.encode("abc")) == "abc"

    def test_bad_training(self):
        with pytest.raises(ValueError, match=r"vocab_size must be at least 256, .* got 255"):
            BytePairVocabulary.train(["text"], 255)
        with pytest.raises(ValueError, match="texts must hold a character"):
            BytePairVocabulary.train(["", ""], 300)
        with pytest.raises(ValueError, match="min_count must be at least 1"):
            BytePairVocabulary.train(["text"], 300, min_count=0)
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            BytePairVocabulary.train(["\ud800"], 300)

    @pytest.mark.parametrize(
        "merges", [["ab"], ["a b c"], ["a "], ["ab c"], ["a b", "a b"], ["a \u1234"]]
    )
    def test_bad_merges(self, merges):
        with pytest.raises(ValueError, match="each merge must be new, and of two tokens"):
            BytePairVocabulary(merges)
        with pytest.raises(TypeError, match="merges must be str, got 1"):
            BytePairVocabulary([1])

    def test_equality_and_pickle(self, bpe):
        bpe.encode("the")
        again = pickle.loads(pickle.dumps(bpe))
        assert again == bpe
        assert hash(again) == hash(bpe)
        assert again.encode(RHYME).tolist() == bpe.encode(RHYME).tolist()
        assert bpe != BytePairVocabulary(()) != ByteVocabulary()
        assert repr(bpe) == "BytePairVocabulary(size=340)"

    def test_without_the_package(self, bpe, monkeypatch):
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        again = BytePairVocabulary.from_json(bpe.to_json())
        assert again.decode(bpe.encode("the wind")) == "the wind"
        message = r'needs the package tokenizers: python -m pip install "minigrad-rnn\[bpe\]"'
        with pytest.raises(ModuleNotFoundError, match=message):
            again.encode("the")
        with pytest.raises(ModuleNotFoundError, match=message):
            BytePairVocabulary.train(["text"], 300)


class TestFiles:
    @pytest.mark.parametrize("kind", ["char", "word", "byte", "bpe"])
    def test_each_kind_comes_back(self, tmp_path, bpe, kind):
        tokenizer = {"byte": ByteVocabulary(), "bpe": bpe}.get(kind) or Vocabulary.from_text(
            RHYME, level=kind
        )
        tokenizer.save(tmp_path / "t.json")
        again = load_tokenizer(tmp_path / "t.json")
        assert again == tokenizer
        assert again.fingerprint == tokenizer.fingerprint
        assert again.encode(RHYME).tolist() == tokenizer.encode(RHYME).tolist()
        assert type(tokenizer).load(tmp_path / "t.json") == tokenizer

    def test_fingerprints_differ(self, bpe):
        others = [Vocabulary("ab"), Vocabulary("ba"), ByteVocabulary(), bpe]
        assert len({tokenizer.fingerprint for tokenizer in others}) == 4

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is not JSON"),
            (b"\xff", "can't decode"),
            (b"[1]", "is not a tokeniser.*'minigrad.ByteVocabulary'.*got None"),
            (b'{"format": "torch"}', "is not a tokeniser.*got 'torch'"),
            (b'{"format": ["minigrad.Vocabulary"]}', "is not a tokeniser"),
            (b'{"format": "minigrad.ByteVocabulary", "version": 9}', "version 9 is not known"),
            (b'{"format": "minigrad.BytePairVocabulary", "version": 1}', r"missing keys \['merges"),
            (
                b'{"format": "minigrad.BytePairVocabulary", "version": 1, "merges": ["x"]}',
                "the JSON is damaged: BytePairVocabulary: each merge",
            ),
            (
                b'{"format": "minigrad.BytePairVocabulary", "version": 1, "merges": "a b"}',
                '"merges" must be a list',
            ),
        ],
    )
    def test_what_is_none(self, tmp_path, content, message):
        (tmp_path / "t.json").write_bytes(content)
        with pytest.raises(ValueError, match=rf"(?s)t\.json.*{message}"):
            load_tokenizer(tmp_path / "t.json")

    def test_each_truncation_is_noticed(self, tmp_path):
        content = BytePairVocabulary(["a b", "Ġ ab"]).to_json().rstrip().encode()
        for length in range(len(content)):
            (tmp_path / "t.json").write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"t\.json"):
                load_tokenizer(tmp_path / "t.json")

    def test_the_file_can_be_read_by_people(self, bpe):
        assert "Ġt he" in json.loads(bpe.to_json())["merges"]

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_tokenizer(tmp_path / "none.json")


class TestTextDecoder:
    @given(st.data(), st.sampled_from(["char", "word", "byte", "bpe"]))
    def test_pieces_joined_are_decode(self, bpe, data, kind):
        tokenizer = {"byte": ByteVocabulary(), "bpe": bpe}.get(kind) or Vocabulary.from_text(
            RHYME, level=kind, eos="<eos>"
        )
        ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
        decoder = TextDecoder(tokenizer)
        for _ in range(2):  # after flush it begins anew
            pieces = [decoder.push(id) for id in ids]
            assert "".join([*pieces, decoder.flush()]) == tokenizer.decode(ids)

    @settings(max_examples=30)
    @given(TEXTS)
    def test_text_comes_as_soon_as_it_is_whole(self, text):
        decoder, done = TextDecoder(ByteVocabulary()), ""
        for number, byte in enumerate(text.encode(), 1):
            done += decoder.push(byte)
            assert done == text.encode()[:number].decode("utf-8", "ignore")
        assert decoder.flush() == ""

    def test_words_have_the_space_before(self):
        vocabulary = Vocabulary(["the", "cat", "<eos>"], level="word", eos="<eos>")
        decoder = TextDecoder(vocabulary)
        assert [decoder.push(id) for id in (0, 1, 2, 2, 0, 1)] == [
            *("the", " cat", "\n", "\n", "the", " cat")
        ]

    def test_half_a_character(self):
        decoder = TextDecoder(ByteVocabulary())
        assert [decoder.push(id) for id in (0xED, 0x95, 0x9C, 0xED)] == ["", "", "한", ""]
        assert decoder.push(65) == "\ufffdA"
        assert decoder.push(0xF0) == ""
        assert decoder.flush() == "\ufffd"
        assert decoder.flush() == ""

    @pytest.mark.parametrize("id", [-1, 256])
    def test_id_out_of_range(self, id):
        with pytest.raises(IndexError, match=rf"id must be in \[0, 256\), got {id}"):
            TextDecoder(ByteVocabulary()).push(id)
        with pytest.raises(IndexError, match="ids must be in"):
            TextDecoder(Vocabulary("ab")).push(id)


class TestFromChunks:
    @given(TEXTS, st.integers(1, 9), st.sampled_from(["char", "word"]))
    def test_is_that_of_the_whole(self, text, size, level):
        text += "x"
        chunks = (text[i : i + size] for i in range(0, len(text), size))
        whole = Vocabulary.from_text(text, level=level)
        assert Vocabulary.from_chunks(chunks, level=level) == whole

    def test_nothing(self):
        with pytest.raises(ValueError, match="the text has no words"):
            Vocabulary.from_chunks([], level="word")
        with pytest.raises(TypeError, match="text must be a str, got int"):
            Vocabulary.from_chunks([1])
