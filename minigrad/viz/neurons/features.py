"""What can be said of each place in a text, which a unit of a network may follow.

A feature has a value at each character: that of the text up to this character, which is what a
network knows after it has read it. (Two look one character ahead: "end of a word" and "particle".)
A token has the value at its last character.

Quotes and brackets are forgotten at an empty line, and single quotes at a line end, so that one
which is never closed, or was an apostrophe, does no harm to the rest of the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DOUBLE = {"“": "”", "„": "”", "『": "』", "«": "»"}
SINGLE = {"‘": "’", "「": "」"}
BRACKETS = {
    "(": ")",
    "[": "]",
    "{": "}",
    "（": "）",
    "［": "］",
    "｛": "｝",
    "〈": "〉",
    "《": "》",
}
CLOSING = frozenset(BRACKETS.values())

PARTICLES = frozenset("은는이가을를에의도로와과만")
"""Particles of one syllable, which end a word: topic, subject, object, place, and so on."""

SYLLABLES = range(0xAC00, 0xD7A4)
FINALS = 28
"""A syllable of Hangul is (initial * 21 + vowel) * 28 + final in `SYLLABLES`; final 0 is none."""

TAB = 8

JAMO = {
    "initial jamo": (range(0x1100, 0x1160), range(0xA960, 0xA97D)),
    "vowel jamo": (range(0x1160, 0x11A8), range(0xD7B0, 0xD7C7)),
    "final jamo": (range(0x11A8, 0x1200), range(0xD7CB, 0xD7FC)),
}
"""The letters of Hangul that make up a syllable, as Unicode's form NFD has them."""


class Feature(NamedTuple):
    """Something that can be said of each place in a text."""

    name: str
    meaning: str
    """A short sentence that says it exactly."""

    values: NDArray[Any]
    """Shape (T,): bool if it is true or not, else float64."""

    takes_memory: bool = True
    """False: the last character alone says it, so a unit that follows it need remember nothing."""


def features_of(tokens: Sequence[str]) -> list[Feature]:
    """The features of a text at each of its tokens, also those that are the same at all of them.

    Parameters
    ----------
    tokens
        the text, cut into pieces: characters, words with their spaces, parts of words. A piece may
        be empty, such as a byte that does not complete a character yet.
    """
    text = "".join(tokens)
    if not text:
        return []
    last = np.maximum(np.cumsum([len(token) for token in tokens]) - 1, 0)
    found = []
    for takes_memory, rows in ((True, _OF_THE_TEXT), (False, _OF_THE_CHARACTER)):
        for name, meaning, of in rows:
            found.append(Feature(name, meaning, np.array(of(text))[last], takes_memory))
    return found


# ------------------------------------------------------------------ quotes and brackets


def _blank(text: str) -> set[int]:
    """Where empty lines begin: a paragraph has ended there."""
    found, start = set(), 0
    for line in text.split("\n"):
        if not line.strip():
            found.add(start)
        start += len(line) + 1
    return found


def _inside_quotes(text: str, plain: str, pairs: dict[str, str]) -> NDArray[np.bool_]:
    """Whether each character is inside quotes: from the opening one on, until the closing one."""
    inside, ends = np.zeros(len(text), bool), _blank(text)
    expected = ""  # what closes the quote that is open
    for i, character in enumerate(text):
        if i in ends or (plain == "'" and character == "\n"):
            expected = ""
        if expected and character == expected and not _is_apostrophe(text, i):
            expected = ""
        elif not expected and character == plain and not _is_apostrophe(text, i):
            if plain == '"' or not text[max(i - 1, 0) : i].isalnum():
                expected = plain
        elif not expected and character in pairs:
            expected = pairs[character]
        inside[i] = bool(expected)
    return inside


def _is_apostrophe(text: str, i: int) -> bool:
    """Whether a single quote stands between letters, as in "don't"."""
    return text[i] in "'’" and text[max(i - 1, 0) : i].isalnum() and text[i + 1 : i + 2].isalnum()


def _bracket_depth(text: str) -> NDArray[np.float64]:
    """How many brackets are open after each character."""
    depth, ends = np.zeros(len(text)), _blank(text)
    expected: list[str] = []
    for i, character in enumerate(text):
        if i in ends:
            expected = []
        if character in BRACKETS:
            expected.append(BRACKETS[character])
        elif character in CLOSING and character in expected:
            while expected.pop() != character:  # what was not closed inside it
                pass
        depth[i] = len(expected)
    return depth


# ------------------------------------------------------------------ lines and words


def _place_in_line(text: str) -> list[float]:
    """0 at a line end, then 1, 2, ...; the first line begins with 1."""
    places, place = [], 0
    for character in text:
        place = 0 if character == "\n" else place + 1
        places.append(float(place))
    return places


def _indentation(text: str) -> list[float]:
    """The columns of white space that the line begins with, as far as they were read."""
    columns, column, at_start = [], 0, True
    for character in text:
        if character == "\n":
            column, at_start = 0, True
        elif at_start and character in " \t\u3000":
            wide = {"\t": TAB - column % TAB, "\u3000": 2}
            column += wide.get(character, 1)
        else:
            at_start = False
        columns.append(float(column))
    return columns


def _place_in_word(text: str) -> list[float]:
    """0 at white space, then 1, 2, ..."""
    places, place = [], 0
    for character in text:
        place = 0 if character.isspace() else place + 1
        places.append(float(place))
    return places


def _end_of_word(text: str) -> list[bool]:
    return [not a.isspace() and b.isspace() for a, b in pairwise(f"{text}\n")]


def _each(test: Callable[[str], bool]) -> Callable[[str], list[bool]]:
    """A feature of the character alone."""
    return lambda text: [test(character) for character in text]


# ------------------------------------------------------------------ Korean


def _has_final(character: str) -> bool:
    code = ord(character)
    if code in SYLLABLES:
        return (code - SYLLABLES.start) % FINALS > 0
    return any(code in codes for codes in JAMO["final jamo"])


def _particle(text: str) -> list[bool]:
    """A syllable of `PARTICLES` at the end of a word, after at least one other."""
    text = f" {text}\n"
    return [
        b in PARTICLES and ord(a) in SYLLABLES and not (c.isalnum() or c == "_")
        for a, b, c in zip(text, text[1:], text[2:], strict=False)
    ]


def _jamo(name: str) -> Callable[[str], list[bool]]:
    codes = JAMO[name]
    return _each(lambda character: any(ord(character) in some for some in codes))


_Row = tuple[str, str, Callable[[str], Any]]
"""A name, what it means, and the values of a text."""

_OF_THE_TEXT: list[_Row] = [
    (
        "inside double quotes",
        'From an opening " “ „ « 『 on, until it is closed.',
        lambda text: _inside_quotes(text, '"', DOUBLE),
    ),
    (
        "inside single quotes",
        "From an opening ' ‘ 「 on, until it is closed; no apostrophes.",
        lambda text: _inside_quotes(text, "'", SINGLE),
    ),
    (
        "inside brackets",
        "From an opening ( [ { 〈 《 on, until it is closed.",
        lambda text: _bracket_depth(text) > 0,
    ),
    ("depth of brackets", "How many brackets are open.", _bracket_depth),
    ("place in the line", "Characters since the last line end.", _place_in_line),
    ("indentation", "Columns of white space that the line begins with.", _indentation),
    ("place in the word", "Characters since the last white space.", _place_in_word),
    ("end of a word", "White space comes next.", _end_of_word),
    (
        "particle (조사)",
        f"A word ends here in {' '.join(sorted(PARTICLES))}; judged by the spelling alone.",
        _particle,
    ),
]

_OF_THE_CHARACTER: list[_Row] = [
    ("white space", "A space, a tab or a line end.", _each(str.isspace)),
    ("line end", "The end of a line.", _each(lambda character: character == "\n")),
    ("digit", "A digit.", _each(str.isdigit)),
    ("capital letter", "A capital letter.", _each(str.isupper)),
    (
        "punctuation",
        "Anything that Unicode calls punctuation or a symbol.",
        _each(lambda character: unicodedata.category(character)[0] in "PS"),
    ),
    (
        "final consonant (받침)",
        "A syllable of Hangul that ends in a consonant, or this consonant.",
        _each(_has_final),
    ),
    ("initial jamo (초성)", "A consonant that begins a syllable.", _jamo("initial jamo")),
    ("vowel jamo (중성)", "The vowel of a syllable.", _jamo("vowel jamo")),
    ("final jamo (종성)", "A consonant that ends a syllable.", _jamo("final jamo")),
]
