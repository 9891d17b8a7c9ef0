"""Images with captions: read, split so that variants stay together; and one image from a file."""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.reading.labelled_images import UNREADABLE, read_pixels
from models.reading.labelled_texts import BadLine

GROUP = "group"
"""The array that says which images are variants of one thing."""


@dataclass(frozen=True)
class Captioned:
    """Images, and the caption of each."""

    pixels: NDArray[np.uint8]
    """Shape (N, height, width, 3): red, green and blue."""

    captions: list[str]

    groups: list[str]
    """Images of one group are variants of one thing."""

    def part(self, which: Sequence[int]) -> Captioned:
        """The images with these numbers."""
        captions, groups = ([of[i] for i in which] for of in (self.captions, self.groups))
        return Captioned(self.pixels[list(which)], captions, groups)


class CaptionedParts(NamedTuple):
    """Images to train, validate and test on: "train", "valid" and maybe "test"."""

    parts: dict[str, Captioned]
    bad: list[BadLine]
    """Images without a caption, which are left out."""
    fingerprint: str
    """A hash of all parts."""


def read_captioned(path: str | Path, language: str) -> tuple[Captioned, list[BadLine]]:
    """The images of a file, their captions in a language, and those that have none.

    Parameters
    ----------
    path
        a file ``.npz`` with the arrays ``images``, uint8, shape (N, height, width, 3); one of N
        texts that is called as `language`; and, if you like, ``group``, N texts, the same for
        images that are variants of one thing. `models.emoji_pictures` makes such a file. Without
        groups, images with the same caption are one.

    Raises
    ------
    ValueError
        if the file is of another kind, or its arrays can't be used. The message names it.
    OSError
        if it can't be read.
    """
    name, content = repr(str(path)), io.BytesIO(Path(path).read_bytes())
    try:
        file = np.load(content, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name")
        with file:
            arrays = {each: file[each] for each in ("images", language, GROUP) if each in file}
            has = [each for each in file.files if each not in ("images", GROUP)]
    except UNREADABLE as error:
        raise ValueError(f"{name} is no .npz file with `images` and captions: {error}") from error
    if missing := [each for each in ("images", language) if each not in arrays]:
        raise ValueError(f"{name} has no array {missing[0]!r:.40}; it has captions in {has!r:.200}")
    images = arrays["images"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise ValueError(
            f"{name}: `images` must be uint8 of shape (N, height, width, 3), got {images.dtype} of "
            f"shape {images.shape}"
        )
    for each in {language, GROUP} & set(arrays):
        if arrays[each].dtype.kind != "U" or arrays[each].shape != images.shape[:1]:
            raise ValueError(
                f"{name}: {each!r:.40} must be {len(images):,} texts, one for each image, got "
                f"{arrays[each].dtype} of shape {arrays[each].shape}"
            )
    captions = [caption_of(text) for text in arrays[language].tolist()]
    groups = arrays[GROUP].tolist() if GROUP in arrays else captions
    which = [i for i, caption in enumerate(captions) if caption]
    if not which:
        raise ValueError(f"{name} has no caption in {language!r:.40}")
    bad = [
        BadLine(str(path), i + 1, "an image without a caption")
        for i, caption in enumerate(captions)
        if not caption
    ]
    return Captioned(images, captions, groups).part(which), bad


def caption_of(text: str) -> str:
    """A text in one line, in Unicode's form NFC."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def group_parts(groups: Sequence[str], shares: Sequence[float], seed: int) -> list[list[int]]:
    """The numbers of the examples of these groups, in parts of about these shares.

    Whole groups are drawn at random, so that no two examples of one are in different parts.
    """
    sizes = Counter(groups)
    names = sorted(sizes)
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    ends, before, part_of = np.cumsum(shares) * len(groups), 0, {}
    for i in order.tolist():
        middle = before + sizes[names[i]] / 2
        part_of[names[i]] = min(int(np.searchsorted(ends, middle)), len(shares) - 1)
        before += sizes[names[i]]
    return [[i for i, g in enumerate(groups) if part_of[g] == k] for k in range(len(shares))]


def load_captioned_parts(
    data: Sequence[str | Path],
    language: str,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> CaptionedParts:
    """Images with captions from files, in parts: what is not given is split off, by groups.

    Raises
    ------
    ValueError, OSError
        as `read_captioned`; if the images have different sizes, or a part would be empty.
    """
    read, bad = {}, []
    for path in (*data, valid, test):
        if path is not None and path not in read:
            read[path], wrong = read_captioned(path, language)
            bad += wrong
    first = read[data[0]].pixels.shape[1:]
    for path, each in read.items():
        if each.pixels.shape[1:] != first:
            raise ValueError(
                f"all images must have one size, but {str(path)!r} has {each.pixels.shape[1:]}, "
                f"and {str(data[0])!r} {first}"
            )
    of_data = [read[path] for path in data]
    whole = Captioned(
        np.concatenate([each.pixels for each in of_data]),
        [caption for each in of_data for caption in each.captions],
        [group for each in of_data for group in each.groups],
    )
    given = {"valid": valid, "test": test}
    parts = {name: read[path] for name, path in given.items() if path is not None}
    wanted = zip(("train", "valid", "test"), split, strict=False)
    shares = {name: share for name, share in wanted if name not in parts}
    cut = group_parts(whole.groups, [each / sum(shares.values()) for each in shares.values()], seed)
    for name, which in zip(shares, cut, strict=True):
        if not which:
            raise ValueError(f"there are too few images: none is left for the part {name!r}")
        parts[name] = whole.part(which)
    told = hashlib.sha256()
    for name, part in sorted(parts.items()):
        told.update(repr((name, part.captions, part.pixels.shape)).encode("utf-8", "surrogatepass"))
        told.update(part.pixels.tobytes())
    return CaptionedParts(parts, bad, told.hexdigest()[:32])


def read_picture(path: str | Path, shape: Sequence[int]) -> NDArray[np.uint8]:
    """A picture such as a PNG, on white, brought to this shape: (height, width, 3).

    Raises
    ------
    ValueError
        if the file is none. The message names it.
    OSError
        if it can't be read.
    """
    from PIL import Image  # which takes a while

    drawn = read_pixels(path, "RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    flat = Image.alpha_composite(white, drawn).convert("RGB")
    return np.asarray(flat.resize((shape[1], shape[0]), Image.Resampling.LANCZOS))


def inverted(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images as a network sees them: white is 0, black is 1, and what is around them is 0."""
    return np.float32(1) - pixels.astype(np.float32) / np.float32(255)


def shifted(images: NDArray[Any], most: int, rng: np.random.Generator) -> NDArray[Any]:
    """Images, shape (N, H, W, C), each moved by up to `most` pixels up or down, left or right.

    What is left free is 0.
    """
    N, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    down, right = rng.integers(2 * most + 1, size=(2, N, 1))
    rows, columns = down + np.arange(H), right + np.arange(W)
    moved: NDArray[Any] = padded[np.arange(N)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved
