"""The tokens of a text as they are drawn, and how strong a colour is."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"

_ALONE = {
    start + i: letter
    for start, letters in ((0x1100, INITIALS), (0x1161, VOWELS), (0x11A8, FINALS))
    for i, letter in enumerate(letters)
}


def drawn(token: str) -> str:
    """`token` with each part of a Korean syllable as a letter that stands alone.

    Else three tokens would be drawn as one syllable, which cannot have three colours.
    """
    return token.translate(_ALONE)


def columns(character: str) -> int:
    """How many columns of a typewriter a character takes: 2 for Korean, 0 if it is combining."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wide(text: str) -> int:
    """How many columns of a typewriter a text takes."""
    return sum(map(columns, text))


def full_colour(activations: NDArray[Any]) -> NDArray[Any]:
    """Where the colour of each column ends: 99 of 100 of its activations are no larger than this.

    So the few largest, which a memory c may have, do not make all others pale.
    """
    return np.asarray(np.quantile(np.abs(activations), 0.99, axis=0))
