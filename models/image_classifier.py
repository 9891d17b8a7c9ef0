"""One-to-one and many-to-one: which class an image is of, seen at once or row by row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from minigrad import Tensor, nn
from models.text_classifier import CELLS

Read = Literal["whole", "rows"]


class ImageClassifier(nn.Module):
    """The class of an image of H rows.

    ::

        read="whole"                            read="rows"
        h^0 = all pixels, one after the other   x_t = the pixels of row t
        h^k = relu(W_k h^{k-1} + b_k)           h_t = cell(x_t, h_{t-1})
        y   = W h^K + b                         y   = W h_H + b

    Read whole, it is a multilayer perceptron: one input, one output. Read by rows, from the top, it
    is a recurrent network whose last state alone answers, so it has to remember the rows above.

    Parameters
    ----------
    height, width, num_classes
        the size of the images, and how many classes there are.
    read
        ``"whole"`` or ``"rows"``.
    hidden_size, num_layers
        the length of each h^k or h_t; how many hidden layers there are.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``: with ``read="rows"``.
    dropout
        the share of the numbers in each layer's output that are 0 in a training step.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.

    Raises
    ------
    ValueError
        for another `read` or `cell`, or no hidden layer.
    """

    def __init__(
        self,
        height: int,
        width: int,
        num_classes: int,
        read: str = "whole",
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        for name, value, choices in (
            ("read", read, get_args(Read)),
            ("cell", cell, tuple(CELLS)),
        ):
            if value not in choices:
                raise ValueError(
                    f"ImageClassifier: {name} must be one of {', '.join(choices)}, got "
                    f"{value!r:.40}"
                )
        if num_layers < 1:
            raise ValueError(f"ImageClassifier: num_layers must be at least 1, got {num_layers}")
        self._settings = {
            "height": height,
            "width": width,
            "num_classes": num_classes,
            "read": read,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "cell": cell,
            "dropout": dropout,
        }
        self.read = read
        if read == "whole":
            sizes = [height * width] + [hidden_size] * num_layers
            self.hidden = nn.ModuleList(
                nn.Linear(before, after, rng=rng) for before, after in pairwise(sizes)
            )
        else:
            self.recurrent = CELLS[cell](width, hidden_size, num_layers, dropout=dropout, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)
        self.output = nn.Linear(hidden_size, num_classes, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``ImageClassifier(**model.settings())``."""
        return dict(self._settings)

    def forward(self, images: Any) -> Tensor:
        """The logits of the classes, of shape (N, num_classes), from images (N, H, W)."""
        if self.read == "whole":
            h = images.reshape(len(images), -1)
            for layer in self.hidden:
                h = self.dropout(layer(h).relu())
        else:
            _, state = self.recurrent(images.swapaxes(0, 1))
            h = self.dropout((state[0] if isinstance(state, tuple) else state)[-1])
        return self.output(h)
