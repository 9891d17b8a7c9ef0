"""Pictures of emoji and their names: data for captions, from an installed font.

::

    python -m models.emoji_pictures OUT.npz

The pictures are those of the font Noto Color Emoji (on Debian the package
``fonts-noto-color-emoji``), drawn by Pillow. The names are those of the package ``emoji``, in all
languages that it knows.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigrad.training import write_atomically

FONT, HEIGHT = "NotoColorEmoji.ttf", 109
"""The font, and the one height in pixels that it has pictures of."""

NEEDED = (
    "pictures of emoji need the packages emoji and Pillow: in the checkout of minigrad, "
    'python -m pip install ".[emoji]"'
)

COLOURS = "red orange yellow green blue purple brown black white light grey pink"
KINDS = "small medium medium-small large low high left right up down left-right up-down up-left"
KINDS += " up-right down-left down-right leftwards rightwards"
PEOPLE = "man men man’s woman women woman’s boy girl person people prince princess"
VARYING = frozenset(f"{COLOURS} {KINDS} {PEOPLE} and".split())
"""The words in which the names of variants of one thing differ."""


def group(name: str) -> str:
    """What an emoji is a variant of: its English name without colour, size, direction and sex.

    All clock faces are one group. Variants are nearly the same picture, so whoever splits emoji
    into parts should keep a group together.
    """
    if name.endswith(("o’clock", "-thirty")):
        return "clock face"
    return " ".join(word for word in name.split() if word not in VARYING) or name


def emoji_pictures(font: str = FONT, size: int = 24) -> dict[str, np.ndarray]:
    """Draw the emoji that are one character, so that flags, families and skin tones are left out.

    Parameters
    ----------
    font
        the file of the font, or its name if it is installed.
    size
        the height and width of the pictures in pixels.

    Returns
    -------
    dict
        ``images``, uint8, shape (N, size, size, 3), on white; ``group``, N strings: see `group`;
        and for each language, such as ``en`` and ``ko``, N names.

    Raises
    ------
    ModuleNotFoundError
        if a package is missing.
    ValueError
        if the font is missing or of another kind.
    """
    try:
        import emoji
        from PIL import Image, ImageDraw, ImageFont
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDED) from error
    try:
        drawn = ImageFont.truetype(font, HEIGHT)
    except OSError as error:
        raise ValueError(
            f"{font!r} is no font of pictures {HEIGHT} pixels high ({error}): install Noto Color "
            "Emoji, or give its file with --font"
        ) from error
    emoji.config.load_language()
    status, images = emoji.STATUS["fully_qualified"], []
    names: dict[str, list[str]] = {language: [] for language in emoji.LANGUAGES}
    for symbol, about in emoji.EMOJI_DATA.items():
        character = symbol.replace("\N{VARIATION SELECTOR-16}", "")
        if about["status"] != status or len(character) != 1:
            continue
        left, top, right, bottom = map(int, drawn.getbbox(character))
        if left >= right or top >= bottom:  # one that the font lacks
            continue
        image = Image.new("RGB", (right, bottom), "white")
        pen = ImageDraw.Draw(image)
        pen.text((0, 0), character, "black", drawn, embedded_color=True)
        images.append(np.asarray(image.resize((size, size), Image.Resampling.LANCZOS)))
        for language, found in names.items():
            found.append(about.get(language, "").strip(":").replace("_", " "))
    if not images:
        raise ValueError(f"{font!r} has no emoji")
    groups = {"group": np.array([group(name) for name in names["en"]])}
    return {"images": np.stack(images), **groups, **{k: np.array(v) for k, v in names.items()}}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m models.emoji_pictures", description=__doc__)
    parser.add_argument("out", metavar="OUT.npz", type=Path)
    parser.add_argument("--font", default=FONT, help="its file, or its name if it is installed")
    parser.add_argument("--size", type=int, default=24, help="height and width in pixels")
    given = parser.parse_args(arguments)
    try:
        made = emoji_pictures(given.font, given.size)
    except (ModuleNotFoundError, ValueError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **made)
    write_atomically(given.out, content.getvalue())


if __name__ == "__main__":
    main()
