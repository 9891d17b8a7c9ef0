import errno
import json
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import (
    BytePairVocabulary,
    ByteVocabulary,
    Vocabulary,
    batchify,
    read_text,
    tokenized,
    windows,
)
from minigrad.data.texts.excerpts import Excerpt
from minigrad.data.texts.text import TextFile, TextString
from minigrad.data.tokens import token_files

TEXT = "The cat sat,\nthe 고양이 sat — 🏳️‍🌈 on the\tmat.\n\n" * 30
TOKENIZERS = {
    "char": Vocabulary.from_text(TEXT),
    "char with eos": Vocabulary.from_text(TEXT[:40], eos="<eos>"),
    "word": Vocabulary.from_text(TEXT[:30], level="word"),
    "word without eos": Vocabulary.from_text(TEXT, level="word", eos=None),
    "byte": ByteVocabulary(),
}
PATCHED = pytest.mark.usefixtures("files_for_all")


@pytest.fixture
def files_for_all(monkeypatch):
    """Short texts go to files too."""
    monkeypatch.setattr(token_files, "IN_MEMORY", 0)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8", newline="\r\n")
    return tmp_path / "a.txt"


@pytest.fixture(scope="module")
def bpe():
    pytest.importorskip("tokenizers")
    return BytePairVocabulary.train([TEXT], 320)


def kept(cache):
    return sorted(path.name for path in (cache / "ids").iterdir())


class TestIds:
    @settings(max_examples=120)
    @given(
        st.text(
            st.one_of(
                st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
                st.sampled_from("\r\n \tabc한🏳\x1c\ufeff"),
            ),
            max_size=50,
        ),
        st.sampled_from([*TOKENIZERS, "bpe"]),
        st.integers(1, 20),
        st.booleans(),
    )
    def test_are_those_of_the_whole_text(self, tmp_path_factory, bpe, text, kind, piece, bom):
        path = tmp_path_factory.mktemp("ids") / "a.txt"
        path.write_bytes(b"\xef\xbb\xbf" * bom + f"{text}x".encode())
        tokenizer = {**TOKENIZERS, "bpe": bpe}[kind]
        if kind == "word without eos":
            tokenizer = Vocabulary.from_text(read_text(path), level="word", eos=None)
        whole = read_text(path)
        for cache in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(token_files, "IN_MEMORY", 0)
                tokens = tokenized(tokenizer, path, cache=cache, piece=piece)
            assert tokens.ids.tolist() == tokenizer.encode(whole).tolist()
            assert (tokens.characters, tokens.bytes) == (len(whole), len(whole.encode()))

    @PATCHED
    @pytest.mark.parametrize(
        ("size", "dtype"),
        [(2, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")],
    )
    def test_are_as_narrow_as_can_be(self, tmp_path, size, dtype):
        tokenizer = Vocabulary(map(str, range(size)), level="word")
        (tmp_path / "a.txt").write_text(f"0 {size - 1}")
        for cache in (True, False):
            ids = tokenized(tokenizer, tmp_path / "a.txt", cache=cache).ids
            assert ids.dtype == np.dtype(dtype)
            assert ids.tolist() == [0, size - 1]
            assert not ids.flags.writeable

    @PATCHED
    @pytest.mark.parametrize("kind", TOKENIZERS)
    def test_are_kept_and_mapped(self, path, cache, kind, monkeypatch):
        first = tokenized(TOKENIZERS[kind], path)
        assert kept(cache) == sorted(kept(cache))
        assert [name.rpartition(".")[2] for name in kept(cache)] == ["json", "npy"]

        def no(*args):
            raise AssertionError("encoded again")

        monkeypatch.setattr(type(TOKENIZERS[kind]), "encode", no)
        again = tokenized(TOKENIZERS[kind], path)
        assert isinstance(again.ids.base, np.memmap)
        assert np.array_equal(first.ids, again.ids)
        assert first[1:] == again[1:]

    def test_of_short_texts_are_not_kept(self, path, cache):
        tokens = tokenized(ByteVocabulary(), path)
        assert bytes(tokens.ids) == TEXT.encode()
        assert list(cache.iterdir()) == []

    @PATCHED
    def test_of_several_files(self, path, tmp_path, cache):
        (tmp_path / "b.txt").write_text("more")
        tokens = tokenized(ByteVocabulary(), [path, tmp_path / "b.txt"])
        assert bytes(tokens.ids) == TEXT.encode() + b"more"
        assert tokens.sha256 != tokenized(ByteVocabulary(), [tmp_path / "b.txt", path]).sha256

    @PATCHED
    def test_name_tells_text_and_tokeniser(self, path, cache):
        text = TextFile(path)
        for tokenizer in TOKENIZERS.values():
            tokenized(tokenizer, text)
        tokenized(ByteVocabulary(), Excerpt(text, 0, 100))
        tokenized(ByteVocabulary(), Excerpt(text, 100, 200))
        assert len(kept(cache)) == 2 * (len(TOKENIZERS) + 2)
        copy = path.with_name("copy.txt")
        copy.write_bytes(path.read_bytes())
        tokenized(ByteVocabulary(), copy)
        assert len(kept(cache)) == 2 * (len(TOKENIZERS) + 2)


@PATCHED
class TestDamage:
    @pytest.mark.parametrize("what", ["npy", "json"])
    def test_each_truncation_is_mended(self, path, cache, what):
        first = tokenized(ByteVocabulary(), Excerpt(TextFile(path), 0, 40))
        expected = first._replace(ids=first.ids.copy())
        del first  # memory that is mapped to a file goes when that is cut short
        (file,) = (cache / "ids").glob(f"*.{what}")
        content = file.read_bytes()
        for length in range(0, len(content), 5):
            file.write_bytes(content[:length])
            again = tokenized(ByteVocabulary(), Excerpt(TextFile(path), 0, 40))
            assert np.array_equal(again.ids, expected.ids)
            assert again[1:] == expected[1:]
            assert file.read_bytes() == content

    @pytest.mark.parametrize("change", [b"", b"\x93NUMPY", b"more", "flip", "header", "dtype"])
    def test_other_damage_is_mended(self, path, cache, change):
        expected = tokenized(ByteVocabulary(), path).ids.tolist()
        (file,) = (cache / "ids").glob("*.npy")
        content = file.read_bytes()
        if change == "flip":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif change == "header":
            file.write_bytes(content.replace(b"(1", b"(9", 1))
        elif change == "dtype":
            file.write_bytes(content.replace(b"|u1", b"|i1", 1))
        else:
            file.write_bytes(content + change if change == b"more" else change)
        assert tokenized(ByteVocabulary(), path).ids.tolist() == expected
        assert file.read_bytes() == content

    @pytest.mark.parametrize("what", ["npy", "json"])
    def test_any_byte_is_noticed_or_means_the_same(self, path, cache, what):
        dtype = tokenized(ByteVocabulary(), Excerpt(TextFile(path), 0, 40)).ids.dtype
        (file,) = (cache / "ids").glob(f"*.{what}")
        content, npy = file.read_bytes(), file.with_suffix(".npy")
        whole = repr(token_files._kept(npy, dtype))
        for place in range(len(content)):
            for value in {content[place] ^ (1 << place % 8), content[place] ^ 0xFF, *b"(#\n\0 1"}:
                if value != content[place]:
                    file.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
                    assert repr(token_files._kept(npy, dtype)) in ("None", whole), (place, value)

    @pytest.mark.parametrize("state", ["[]", "{}", '{"about": [1]}', "null", "[" * 9999, "1"])
    def test_foreign_record(self, path, cache, state):
        expected = tokenized(ByteVocabulary(), path)
        (file,) = (cache / "ids").glob("*.json")
        file.write_text(state)
        assert tokenized(ByteVocabulary(), path)[1:] == expected[1:]
        record = file.read_text()
        assert json.loads(record)["about"][0] == len(TEXT)
        file.write_text(record.replace(f"[{len(TEXT)}", f"[{len(TEXT) + 1}"))
        assert tokenized(ByteVocabulary(), path)[1:] == expected[1:]

    def test_a_file_that_is_mapped_outlives_its_replacement(self, path, cache):
        tokens = tokenized(ByteVocabulary(), path)
        for file in (cache / "ids").iterdir():
            file.unlink()
        tokenized(ByteVocabulary(), path)
        assert bytes(tokens.ids) == TEXT.encode()

    @pytest.mark.parametrize("at", ["mkdir", "write", "fsync", "replace"])
    def test_a_cache_that_cannot_be_written_to(self, path, cache, monkeypatch, at):
        def no(*args, **kwargs):
            raise OSError(errno.ENOSPC, "no space left on device")

        if at == "mkdir":
            monkeypatch.setenv("MINIGRAD_CACHE", str(path))  # a file is in the way
        elif at == "write":
            monkeypatch.setattr(token_files.npy, "write_array_header_1_0", no)
        else:
            monkeypatch.setattr(os, at, no)
        tokens = tokenized(ByteVocabulary(), path)
        assert bytes(tokens.ids) == TEXT.encode()
        assert not tokens.ids.flags.writeable
        assert not list(cache.rglob("*.*"))

    def test_a_text_that_cannot_be_read_leaves_nothing(self, tmp_path, cache):
        (tmp_path / "a.txt").write_bytes(b"fine " * 1000 + b"\xff")
        with pytest.raises(ValueError, match="byte 0xff at offset 5000"):
            tokenized(ByteVocabulary(), tmp_path / "a.txt", piece=100)
        assert kept(cache) == []

    def test_an_error_of_the_text_is_not_taken_for_one_of_the_cache(self, cache):
        class Failing(TextString):
            reads = 0

            def pieces(self, size=0):
                self.reads += 1
                yield "begun"
                raise OSError(errno.EIO, "the disk is dying")

        text = Failing("begun", "x")
        with pytest.raises(OSError, match="dying"):
            tokenized(ByteVocabulary(), text)
        assert text.reads == 1
        assert kept(cache) == []

    def test_an_unknown_symbol_says_where(self, path):
        message = r"'—'.* at position 6 .*counted from character 19 of a\.txt on\)"
        with pytest.raises(ValueError, match=message):
            tokenized(Vocabulary.from_text(TEXT[:21], unk=None), path, piece=22)

    def test_many_at_once(self, path, cache):
        """Threads that write the same file do not come into each other's way."""
        results = []

        def work():
            results.append(bytes(tokenized(ByteVocabulary(), path, piece=64).ids))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [TEXT.encode()] * 8
        assert len(kept(cache)) == 2


@PATCHED
def test_streams_are_views_of_the_file(path):
    """Nothing but a window at a time becomes int64."""
    tokens = tokenized(ByteVocabulary(), path)
    streams = batchify(tokens.ids, 7, vocab_size=256)
    assert np.shares_memory(streams, tokens.ids)
    assert streams.dtype == np.uint8
    expected = windows(batchify(tokens.ids.astype(np.int64), 7), 10)
    got = windows(streams, 10)
    assert len(got) == len(expected)
    for pair, other in zip(got, expected, strict=True):
        for array, wanted in zip(pair, other, strict=True):
            assert array.dtype == np.int64
            assert array.flags.c_contiguous
            assert np.array_equal(array, wanted)
