import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import cut, split
from minigrad.data.batches import TooShortError
from minigrad.data.texts import excerpts
from minigrad.data.texts.excerpts import first_characters, first_words
from minigrad.data.texts.text import TextString

TEXTS = st.text(st.sampled_from("ab c\n\td\u3000\x1c한"), min_size=0, max_size=60)
FRACTIONS = st.sampled_from([(0.9, 0.05, 0.05), (0.5, 0.5), (0.2, 0.3, 0.5), (1.0,)])


@pytest.fixture(autouse=True, params=[1, 7, 1000])
def piece(request):
    """However the text comes in pieces."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (TextString, excerpts.Excerpt):
            patch.setattr(kind.pieces, "__defaults__", (request.param,))
        yield


def whole(text):
    return "".join(text.pieces())


class TestCut:
    @given(TEXTS, FRACTIONS)
    def test_characters_as_split_does(self, text, fractions):
        try:
            expected = split(text, fractions)
        except TooShortError:
            with pytest.raises(TooShortError):
                cut(TextString(text, "t"), fractions)
            return
        assert tuple(map(whole, cut(TextString(text, "t"), fractions))) == expected

    @given(TEXTS, FRACTIONS)
    def test_words_as_split_does_with_a_list_of_them(self, text, fractions):
        try:
            expected = split(re.findall(r"\S+\s*", text), fractions)
        except TooShortError:
            with pytest.raises(TooShortError):
                cut(TextString(text, "t"), fractions, words=True)
            return
        parts = cut(TextString(text, "t"), fractions, words=True)
        assert list(map(whole, parts)) == ["".join(part) for part in expected]

    def test_bad_fractions(self):
        with pytest.raises(ValueError, match="must sum to 1"):
            cut(TextString("x" * 100, "t"), (0.9, 0.2))


@given(TEXTS, st.integers(1, 70))
def test_first_characters(text, count):
    assert whole(first_characters(TextString(text, "t"), count)) == text[:count]


@given(TEXTS, st.integers(1, 70), st.booleans())
def test_first_words(text, count, line_ends):
    tokens = (lambda t: t.replace("\n", " <eos> ").split()) if line_ends else str.split
    first = whole(first_words(TextString(text, "t"), count, line_ends=line_ends))
    assert text.startswith(first)
    assert tokens(first) == tokens(text)[:count]


def test_all_of_a_short_text_is_the_text_itself():
    text = TextString("a b", "t")
    assert first_words(text, 2) is first_characters(text, 3) is text
    assert isinstance(first_words(text, 1), excerpts.Excerpt)
