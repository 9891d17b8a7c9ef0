"""Images with labels: scikit-learn's digits or files of one's own, split into parts."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.reading.labelled_texts import drawn_parts

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

DIGITS = "sklearn-digits"
"""The name of scikit-learn's digits."""

UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error)
"""What NumPy and Pillow raise when they read bytes of another kind, or damaged ones."""


class Images(NamedTuple):
    """Images, and the label of each."""

    pixels: NDArray[np.float32]
    """Shape (N, height, width)."""

    labels: list[str]


def read_images(source: str | Path) -> Images:
    """The images and labels of a data set.

    Parameters
    ----------
    source
        ``"sklearn-digits"``: the 1,797 handwritten digits of 8 x 8 pixels that come with
        scikit-learn. Else a file ``.npz`` with the arrays ``images``, of numbers and the shape (N,
        height, width), and ``labels``, N whole numbers or texts.

    Raises
    ------
    ModuleNotFoundError
        if scikit-learn is needed and not installed.
    ValueError
        if the file is of another kind, or its arrays can't be used. The message names it.
    OSError
        if it can't be read.
    """
    if str(source) == DIGITS:
        return _digits()
    name, wanted = repr(str(source)), ("images", "labels")
    content = io.BytesIO(Path(source).read_bytes())
    try:
        file = np.load(content, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name")
        with file:
            if missing := [each for each in wanted if each not in file.files]:
                raise ValueError(f"it has no array {missing[0]!r}, but {', '.join(file.files)!r}")
            images, labels = (file[each] for each in wanted)
    except UNREADABLE as error:
        raise ValueError(f"{name} is no .npz file with `images` and `labels`: {error}") from error
    if labels.dtype.kind not in "iuU" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: `labels` must be whole numbers or texts, one for each of {len(images):,} "
            f"images, got {labels.dtype} of shape {labels.shape}"
        )
    if images.ndim != 3:
        raise ValueError(
            f"{name}: `images` must have the shape (N, height, width), got {images.shape}"
        )
    return Images(_checked(images, f"{name}: `images`"), [str(label) for label in labels.tolist()])


def _digits() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "sklearn":
            raise
        raise ModuleNotFoundError(
            "the digits come with scikit-learn: in the checkout of minigrad, python -m pip install "
            '".[digits]"; or give --data FILE.npz, with images of your own'
        ) from None
    found: Any = load_digits()
    return Images(found.images.astype(np.float32), [str(label) for label in found.target.tolist()])


def _checked(pixels: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Pixels in float32; a ValueError if they are none."""
    if pixels.dtype.kind not in "biuf" or not pixels.size:
        raise ValueError(f"{name} must be numbers, got {pixels.dtype} of shape {pixels.shape}")
    found = pixels.astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, but some pixels are nan or inf")
    return found


def read_image(
    path: str | Path, shape: tuple[int, int], low: float, high: float
) -> NDArray[np.float32]:
    """One image from a file.

    Parameters
    ----------
    path
        a file ``.npy`` with an array of this shape, which is taken as it is; or a picture, such as
        a PNG, which becomes grey and is brought to this shape: each pixel is the mean of an area.
    shape
        height and width.
    low, high
        what the pixels of a picture are from black to white.

    Raises
    ------
    ValueError
        if the file is of another kind or shape. The message names it.
    OSError
        if it can't be read.
    """
    name = repr(str(path))
    if Path(path).suffix == ".npy":
        content = io.BytesIO(Path(path).read_bytes())
        try:
            found = np.load(content, allow_pickle=False)
        except UNREADABLE as error:
            raise ValueError(f"{name} is no .npy file: {error}") from error
        if found.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {found.shape}")
        return _checked(found, name)
    from PIL import Image  # which takes a while

    grey = read_pixels(path, "L").resize(shape[::-1], Image.Resampling.BOX)
    return (low + (high - low) * np.asarray(grey, np.float32) / 255).astype(np.float32)


def read_pixels(path: str | Path, mode: str) -> Picture:
    """A picture of a file in one of Pillow's modes, such as ``"L"``: all of its pixels.

    Raises
    ------
    ValueError
        if the file is none, or has more pixels than Pillow deems safe. The message names it.
    OSError
        if it can't be read.
    """
    content = io.BytesIO(Path(path).read_bytes())
    from PIL import Image  # which takes a while

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content) as picture:
                return picture.convert(mode)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise ValueError(f"{str(path)!r} has too many pixels, at most {most} are read") from error
    except UNREADABLE as error:
        raise ValueError(f"{str(path)!r} is no picture that can be read") from error


class ImageParts(NamedTuple):
    """Images to train, validate and test on: "train", "valid" and maybe "test"; and a hash."""

    parts: dict[str, Images]
    fingerprint: str


def load_image_parts(
    data: Sequence[str | Path],
    valid: str | Path | None = None,
    test: str | Path | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> ImageParts:
    """Images in parts, as `models.reading.labelled_texts.load_parts` has texts.

    Raises
    ------
    ValueError, OSError, ModuleNotFoundError
        as `read_images`; if the images have different sizes, there is one class only, or a part
        would be empty.
    """
    read = {str(each): read_images(each) for each in (*data, valid, test) if each is not None}
    shapes = {name: images.pixels.shape[1:] for name, images in read.items()}
    for name, shape in shapes.items():
        if shape != shapes[str(data[0])]:
            raise ValueError(
                f"all images must have one size, but {name!r} has {shape}, and {str(data[0])!r} "
                f"{shapes[str(data[0])]}"
            )
    of_data = [read[str(each)] for each in data]
    pixels = np.concatenate([images.pixels for images in of_data])
    labels = [label for images in of_data for label in images.labels]
    given = {"valid": valid, "test": test}
    parts = {name: read[str(path)] for name, path in given.items() if path is not None}
    wanted = zip(("train", "valid", "test"), split, strict=False)
    shares = {name: share for name, share in wanted if name not in parts}
    cut = drawn_parts(labels, [share / sum(shares.values()) for share in shares.values()], seed)
    for name, which in zip(shares, cut, strict=True):
        parts[name] = Images(pixels[which], [labels[i] for i in which])
        if not which:
            raise ValueError(f"there are too few images: none is left for the part {name!r}")
    if len(set(parts["train"].labels)) < 2:
        raise ValueError(f"there is one class only, {labels[0]!r:.60}: nothing to tell apart")
    told = hashlib.sha256()
    for name, part in sorted(parts.items()):
        told.update(repr((name, part.labels, part.pixels.shape)).encode("utf-8", "surrogatepass"))
        told.update(part.pixels.astype("<f4").tobytes())
    return ImageParts(parts, told.hexdigest()[:32])


def in_order(labels: Sequence[str]) -> list[str]:
    """The different labels: numbers by their size, then texts."""
    different = set(labels)
    numbers = {label for label in different if label.removeprefix("-").isdecimal()}
    return [*sorted(numbers, key=int), *sorted(different - numbers)]
