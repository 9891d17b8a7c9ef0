"""Classifying images: at once, or row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor
from minigrad.training import bits
from models.devices import device_of, moved
from models.image_classifier import ImageClassifier
from models.measuring.units import Unit
from models.reading.labelled_images import (
    Images,
    in_order,
    load_image_parts,
    read_image,
    read_images,
)
from models.reading.labelled_texts import BadLine
from models.runs.forms import count, number
from models.runs.saved_model import GATES
from models.simpler.nearest import class_means, nearest
from models.tasks.class_problem import ClassProblem, balance
from models.tasks.digits_settings import DigitsSettings
from models.tasks.problem import Answer, Data, Indices

SHADES = " .:-=+*#%@"
"""From black to white, in a sample."""

WIDEST = 12
"""So many pixels of a row are shown in a sample, at most."""


@dataclass(frozen=True)
class _Examples:
    """Images as the network reads them, from 0 to 1, and their labels."""

    pixels: NDArray[np.float32]
    """Shape (N, height, width)."""

    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class ClassifyingImages(ClassProblem):
    """Which class an image is of.

    The facts: the names of the classes; height and width of the images; their lowest and highest
    pixel.
    """

    kind = DigitsSettings
    model_kind = ImageClassifier
    facts_form: ClassVar[Mapping[str, Any]] = {
        "classes": [str],
        "height": count,
        "width": count,
        "low": number,
        "high": number,
    }
    unit = Unit("bits per image", "bits", bits)
    what = "images"
    about = "Tell which digit an image shows, seen at once or read row by row; or images of yours."
    help = """Train a network to tell which class an image is of: the digits from 0 to 9.

    It sees the image at once (a multilayer perceptron), or reads it row by row (an RNN, LSTM or
    GRU). Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been
    stopped.

    In the end its figures are printed beside those of simpler methods on the same images: the most
    frequent class, the class with the nearest mean, and that of the nearest image.
    """
    input_help = (
        "The number of an image among those to test on, from 0; or a file: a picture such as a "
        "PNG, or a .npy with pixels as in the data. Else --file, or each line of the standard "
        "input."
    )
    example_input = "0"

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: DigitsSettings) -> Data:
        """The images and labels that the settings name."""
        found = load_image_parts(s.data, s.valid, s.test, s.split, s.split_seed)
        return Data(found.parts, found.fingerprint)

    @classmethod
    def load_part(cls, s: DigitsSettings, path: Path) -> tuple[Images, Sequence[BadLine]]:
        """The images and labels of a file."""
        return read_images(path), ()

    @classmethod
    def learnt(cls, s: DigitsSettings, train: Images) -> dict[str, Any]:
        """Classes, size and range of the images to train on."""
        _, height, width = train.pixels.shape
        low, high = float(train.pixels.min()), float(train.pixels.max())
        classes = in_order(train.labels)
        return {"classes": classes, "height": height, "width": width, "low": low, "high": high}

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.facts["height"], self.facts["width"]

    def scaled(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels from 0 to 1, if they are in the range of those to train on."""
        low, high = self.facts["low"], self.facts["high"]
        return (pixels - np.float32(low)) / np.float32(high - low or 1)

    def prepared(self, part: Images) -> _Examples:
        """Pixels from 0 to 1, labels as numbers."""
        if part.pixels.shape[1:] != self.shape:
            raise ValueError(f"images of {part.pixels.shape[1:]} pixels, expected {self.shape}")
        return _Examples(self.scaled(part.pixels), self.numbers(part.labels))

    def lengths(self, examples: _Examples) -> Sequence[int]:
        """How many time steps each image takes."""
        return [1 if self.settings.read == "whole" else self.shape[0]] * len(examples)

    def batch(self, examples: _Examples, which: Indices) -> _Examples:
        """Images side by side."""
        return _Examples(examples.pixels[which], examples.labels[which])

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `ImageClassifier` takes them."""
        s = self.settings
        return {
            "height": self.shape[0],
            "width": self.shape[1],
            "num_classes": len(self.classes),
            "read": s.read,
            "hidden_size": s.hidden_size,
            "num_layers": s.layers,
            "cell": s.cell or "lstm",
            "dropout": s.dropout,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s, (height, width) = self.settings, self.shape
        if s.read == "whole":
            first, last = "hidden.0.weight", f"hidden.{s.layers - 1}.bias"
            shapes = {first: (s.hidden_size, height * width), last: (s.hidden_size,)}
        else:
            rows = GATES[s.network] * s.hidden_size
            first, last = "recurrent.weight_ih_l0", f"recurrent.weight_hh_l{s.layers - 1}"
            shapes = {first: (rows, width), last: (rows, s.hidden_size)}
        return {**shapes, "output.bias": (len(self.classes),)}

    def logits(self, model: Any, batch: _Examples) -> Tensor:
        """The logits of the classes, of shape (N, C)."""
        found: Tensor = model(moved(batch.pixels, device_of(model)))
        return found

    def loss(
        self, model: Any, batch: _Examples, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The cross-entropy of the classes."""
        return self.class_loss(model, batch), sum(self.lengths(batch))

    def simpler(
        self, train: _Examples, valid: _Examples, on: _Examples
    ) -> dict[str, dict[str, Any]]:
        """The most frequent class, the nearest mean, and the nearest image."""
        means, classes = class_means(train.pixels, train.labels)
        return {
            **self.most_frequent(train, on),
            "the nearest mean": self.scored(on, classes[nearest(means, on.pixels)]),
            "the nearest image": self.scored(on, train.labels[nearest(train.pixels, on.pixels)]),
        }

    # ------------------------------------------------------------------ what it does

    @cached_property
    def _last_part(self) -> Images:
        parts = self.load(self.settings).parts
        found: Images = parts.get("test", parts["valid"])
        return found

    def probabilities(self, model: Any, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """The probability of each class for images with pixels as in the data, shape (N, H, W).

        Raises
        ------
        ValueError
            if they have another size than the images of the data.
        """
        unlabelled = Images(np.asarray(pixels, np.float32), [self.classes[0]] * len(pixels))
        return self.chances(model, self.prepared(unlabelled))

    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """The class of each image, and how probable that is."""
        images, shown, about = [], [], []
        for given in inputs:
            if given.isdecimal():
                part, i = self._last_part, int(given)
                if i >= len(part.labels):
                    raise ValueError(f"there is no image {i}: there are {len(part.labels):,}")
                images.append(part.pixels[i])
                shown.append(f"{given}, which is {part.labels[i]}")
                about.append({"image": i, "is": part.labels[i]})
            else:
                low, high = self.facts["low"], self.facts["high"]
                images.append(read_image(given, self.shape, low, high))
                shown.append(given)
                about.append({"image": given})
        rows = self.probabilities(model, np.stack(images))
        return [self.answer(*each) for each in zip(rows, shown, about, strict=True)]

    def sample(self, model: Any, examples: _Examples, rng: np.random.Generator) -> str:
        """What the model says about some images, drawn in letters."""
        verdicts, drawn = [], []
        step = -(-self.shape[1] // WIDEST)
        for i, verdict in self.verdicts(model, examples, rng):
            levels = examples.pixels[i, ::step, ::step] * (len(SHADES) - 1)
            levels = levels.round().clip(0, len(SHADES) - 1).astype(int)
            drawn.append(["".join(2 * SHADES[level] for level in row) for row in levels])
            verdicts.append(verdict)
        width = max(len(drawn[0][0]), *map(len, verdicts)) + 2
        lines = [*zip(*drawn, strict=True), verdicts]
        return "\n".join("".join(f"{each:{width}}" for each in line).rstrip() for line in lines)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        s = self.settings
        over = "" if s.read == "whole" else " over rows"
        return f"{s.network.upper()} of {s.hidden_size} units{over}, on {Path(s.data[0]).name}"

    def introduction(self, data: Data, model: Any) -> list[str]:
        """Classes, size and model."""
        s, (height, width) = self.settings, self.shape
        layers = "1 hidden layer" if s.layers == 1 else f"{s.layers} hidden layers"
        way = "the whole image" if s.read == "whole" else f"{height} rows, one after the other"
        return [
            f"classes     {balance(data.parts['train'].labels)}",
            f"size        {height} x {width} pixels",
            f"model       {s.network.upper()} on {way}, {layers} of {s.hidden_size} units, "
            f"{model.num_parameters():,} parameters",
        ]
