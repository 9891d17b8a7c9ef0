import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import read_text
from minigrad.data.texts.excerpts import Excerpt
from minigrad.data.texts.text import (
    Joined,
    Lowercase,
    Normalized,
    TextFile,
    TextString,
    after_whitespace,
    as_text,
    decomposed,
    recut,
)

ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
              st.sampled_from("\r\n \t한ß🏳Σ\ufeff")),
    max_size=40,
)  # fmt: skip
PIECES = st.integers(1, 9)


def whole(text, size=3):
    return "".join(text.pieces(size))


class TestTextFile:
    @given(ANY_TEXT, st.booleans(), PIECES)
    def test_pieces_are_what_read_text_returns(self, tmp_path_factory, text, bom, size):
        path = tmp_path_factory.mktemp("text") / "a.txt"
        path.write_bytes(b"\xef\xbb\xbf" * bom + f"{text}x".encode())
        pieces = list(TextFile(path).pieces(size))
        expected = f"{text}x" if bom else f"{text}x".removeprefix("\ufeff")
        assert "".join(pieces) == expected.replace("\r\n", "\n").replace("\r", "\n")
        assert "".join(pieces) == read_text(path)
        assert all(pieces)
        assert max(map(len, pieces)) <= size + 4

    @given(st.binary(max_size=30), PIECES)
    def test_errors_are_those_of_read_text(self, tmp_path_factory, content, size):
        path = tmp_path_factory.mktemp("text") / "a.txt"
        path.write_bytes(content)
        outcomes = []
        for read in (lambda: read_text(path), lambda: whole(TextFile(path), size)):
            try:
                outcomes.append(read())
            except ValueError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]

    def test_a_zero_byte_far_behind_tells_more_than_a_byte_that_does_not_fit(self, tmp_path):
        path = tmp_path / "a.bin"
        path.write_bytes(b"ab\xff" + b"x" * 100 + b"\0")
        with pytest.raises(ValueError, match="byte 0x00 at offset 103; it is a binary file"):
            whole(TextFile(path), 4)

    def test_blank(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text(" \n" * 20)
        with pytest.raises(ValueError, match=r"a\.txt' is only whitespace"):
            whole(TextFile(path))
        assert whole(TextFile(path, may_be_blank=True)) == " \n" * 20

    def test_is_read_as_often_as_one_likes(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("hello")
        text = TextFile(path)
        assert whole(text) == whole(text) == "hello"
        assert (text.name, text.extent) == ("a.txt", 5)

    @pytest.mark.parametrize("change", ["content", "length", "replaced"])
    def test_a_file_that_changes_is_noticed(self, tmp_path, change):
        path = tmp_path / "a.txt"
        path.write_text("hello")
        text = TextFile(path)
        if change == "replaced":
            (tmp_path / "b").write_text("hello")
            os.utime(tmp_path / "b", ns=(0, path.stat().st_mtime_ns))
            (tmp_path / "b").replace(path)
        else:
            path.write_text("HELLO" if change == "content" else "hello you")
            os.utime(path, ns=(0, 0))
        for read in (lambda: whole(text), lambda: text.digest):
            with pytest.raises(ValueError, match=r"a\.txt' has changed while it was being read"):
                read()

    def test_a_file_that_changes_while_it_is_read(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("hello" * 10)
        pieces = TextFile(path).pieces(4)
        next(pieces)
        with path.open("a") as file:
            file.write("more")
        os.utime(path, ns=(0, 0))
        with pytest.raises(ValueError, match="has changed"):
            list(pieces)

    def test_digest_is_that_of_the_bytes(self, tmp_path):
        (tmp_path / "a").write_bytes(b"one\r\n")
        (tmp_path / "b").write_bytes(b"one\n")
        (tmp_path / "c").write_bytes(b"one\n")
        a, b, c = (TextFile(tmp_path / name).digest for name in "abc")
        assert a != b == c

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file"):
            TextFile(tmp_path / "none")
        with pytest.raises(IsADirectoryError):
            TextFile(tmp_path)


class TestExcerpt:
    @given(ANY_TEXT, st.data(), PIECES)
    def test_is_a_slice(self, text, data, size):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, len(text) + 3))
        excerpt = Excerpt(TextString(text, "t"), start, stop)
        assert whole(excerpt, size) == text[start:stop]
        assert all(excerpt.pieces(size))
        assert (excerpt.name, excerpt.extent) == ("t", stop - start)

    def test_digest_tells_the_place(self):
        text = TextString("abcabc", "t")
        digests = {Excerpt(text, *at).digest for at in ((0, 3), (3, 6), (0, 2))}
        assert len(digests) == 3
        assert Excerpt(text, 0, 3).digest == Excerpt(TextString("abcabc", "u"), 0, 3).digest

    def test_what_comes_after_is_not_read(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(b"hello world" * 10 + b"\xff")
        assert whole(Excerpt(TextFile(path), 0, 5)) == "hello"


class TestJoined:
    @given(st.lists(ANY_TEXT, min_size=1, max_size=4), PIECES)
    def test_each_text_begins_on_a_line_of_its_own(self, texts, size):
        expected = ""
        for text in texts:
            expected += "\n" if expected and text and not expected.endswith("\n") else ""
            expected += text
        joined = Joined([TextString(text, "t") for text in texts], "all")
        if expected.strip():
            assert whole(joined, size) == expected
        else:
            with pytest.raises(ValueError, match="all: none of the files has anything but"):
                whole(joined, size)

    def test_digest(self):
        a, b = TextString("a", "1"), TextString("b", "2")
        assert Joined([a, b], "x").digest != Joined([b, a], "x").digest
        assert Joined([a, b], "x").extent == 2


class TestLowercase:
    @given(ANY_TEXT, PIECES)
    def test_is_that_of_the_whole(self, text, size):
        assert whole(Lowercase(TextString(text, "t")), size) == text.lower()

    def test_final_sigma(self):
        assert whole(Lowercase(TextString("ΟΔΟΣ ΣΟΦΙΑΣ", "t")), 2) == "οδος σοφιας"


class TestNormalized:
    @given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]),
                             st.sampled_from(" \n한각a\u0301\u0323\u1112\u1161\u11ab\u3000")),
                   max_size=40),
           PIECES, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))  # fmt: skip
    def test_is_that_of_the_whole(self, text, size, form):
        found = whole(Normalized(TextString(text, "t"), form), size)
        assert found == unicodedata.normalize(form, text)

    def test_digest(self):
        text = TextString("a", "t")
        digests = {Normalized(text, form).digest for form in ("NFC", "NFD")}
        assert len(digests | {text.digest}) == 3

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("", ""),
            (
                "plain 한글 é \u2126 \uf900 ㅎㅏㄴ",
                "",
            ),  # an ohm, a twin of a letter, letters that stand alone
            ("é cafe\u0301 한", "cafe\u0301"),
            ("a \u1112\u1161\u11ab글 b", "\u1112\u1161\u11ab글"),
            ("\u1112 \u1161", ""),
        ],
    )
    def test_letters_in_parts(self, text, word):
        assert decomposed(text) == word


class TestRecut:
    @given(ANY_TEXT, PIECES)
    def test_after_whitespace_no_word_is_cut(self, text, size):
        pieces = list(recut(TextString(text, "t").pieces(size), after_whitespace))
        assert "".join(pieces) == text
        assert [word for piece in pieces for word in piece.split()] == text.split()

    def test_cuts_as_soon_as_it_can(self):
        pieces = ["one t", "wo ", "three", "four", " five"]
        assert list(recut(pieces, after_whitespace)) == ["one ", "two ", "threefour ", "five"]


def test_as_text(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text(" ")
    assert whole(as_text(tmp_path / "a")) == "one"
    assert whole(as_text(str(tmp_path / "a"))) == "one"
    assert whole(as_text([tmp_path / "a", str(tmp_path / "b")])) == "one\n "
    text = TextString("x", "x")
    assert as_text(text) is text


@settings(max_examples=20)
@given(st.integers(1, 50))
def test_a_long_word_over_many_pieces(size):
    assert list(recut(TextString("x" * 100, "x").pieces(size), after_whitespace)) == ["x" * 100]
