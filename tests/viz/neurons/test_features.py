"""What is said of each place in a text, against texts that are marked by hand."""

import unicodedata

import numpy as np
import pytest

from minigrad.viz.neurons.features import features_of

pytestmark = pytest.mark.host(reason="text is on the CPU")


def values_of(name, tokens):
    (found,) = [feature for feature in features_of(tokens) if feature.name == name]
    return found.values


def marks(name, text):
    """'x' where the feature is true, and '.' where it is false."""
    values = values_of(name, list(text))
    assert values.dtype == bool
    return "".join("x" if value else "." for value in values)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside double quotes", 'a "b c" d', "..xxxx..."),
        ("inside double quotes", "say “네” “a", "....xx..xx"),
        ("inside double quotes", 'a "b\n\nc"', "..xxx..x"),  # forgotten at the empty line
        ("inside double quotes", "『책』 a", "xx..."),
        ("inside single quotes", "don't 'do' it", "......xxx...."),
        ("inside single quotes", "‘it’s’ x", "xxxxx..."),
        ("inside single quotes", "the dogs' food", ".............."),
        ("inside single quotes", "a 'b\nc' d", "..xx....."),  # forgotten at the line end
        ("inside brackets", "f(a[0], (b)) c)", ".xxxxxxxxxx...."),
        ("inside brackets", "《책》(ㅋ", "xx.xx"),
        ("inside brackets", "(a] b)", "xxxxx."),  # what was never opened closes nothing
        ("inside brackets", "([a) b", "xxx..."),  # an outer bracket closes those inside it
        ("end of a word", "the cat\n", "..x...x."),
        ("end of a word", "나는 간다", ".x..x"),
        ("particle (조사)", "나는 밥을, 가고 에 는", ".x..x........"),
        ("white space", "a b\n", ".x.x"),
        ("line end", "a b\n", "...x"),
        ("digit", "a1 2b", ".x.x."),
        ("capital letter", "Ab C가", "x..x."),
        ("punctuation", "a, (b)+", ".x.x.xx"),
        ("final consonant (받침)", "한글 가ㄱa", "xx...."),
    ],
)
def test_where_a_feature_is_true(name, text, expected):
    assert marks(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("depth of brackets", "a(b[c]{d})e", [0, 1, 1, 2, 2, 1, 2, 2, 1, 0, 0]),
        ("place in the line", "ab\nc\n\nd", [1, 2, 0, 1, 0, 0, 1]),
        ("place in the word", "ab c\nd", [1, 2, 0, 1, 0, 1]),
        ("indentation", "a\n  b c\n\tx", [0, 0, 1, 2, 2, 2, 2, 0, 8, 8]),
    ],
)
def test_the_numbers_of_a_feature(name, text, expected):
    assert values_of(name, list(text)).tolist() == expected


def test_jamo_by_their_place_in_the_syllable():
    text = unicodedata.normalize("NFD", "한가 값")
    assert len(text) == 9
    assert marks("initial jamo (초성)", text) == "x..x..x.."
    assert marks("vowel jamo (중성)", text) == ".x..x..x."
    assert marks("final jamo (종성)", text) == "..x.....x"
    assert marks("final consonant (받침)", text) == "..x.....x"


@pytest.mark.parametrize("text", ["한글", "값", "가나다", "뷁", "힣", "각"])
def test_a_final_consonant_is_what_unicode_decomposes_into_three(text):
    expected = [len(unicodedata.normalize("NFD", character)) == 3 for character in text]
    assert values_of("final consonant (받침)", list(text)).tolist() == expected


def test_a_token_has_the_value_at_its_last_character():
    text = 'He said "yes, I\ncan" (maybe) 3 times.\n'
    tokens = [
        "He",
        " said",
        ' "',
        "yes",
        ",",
        "",
        " I",
        "\ncan",
        '"',
        " (maybe)",
        " 3",
        " times.\n",
    ]
    assert "".join(tokens) == text
    last = np.cumsum([len(token) for token in tokens]) - 1
    of_tokens, of_characters = features_of(tokens), features_of(list(text))
    for by_token, by_character in zip(of_tokens, of_characters, strict=True):
        assert by_token.name == by_character.name
        np.testing.assert_array_equal(by_token.values, by_character.values[last])


def test_a_token_that_adds_nothing_yet_has_a_value_too():
    assert values_of("digit", ["", "", "1", "a"]).tolist() == [True, True, True, False]


def test_the_name_of_each_feature_is_its_own():
    names = [feature.name for feature in features_of(["a"])]
    assert len(set(names)) == len(names)
