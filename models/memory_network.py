"""A recurrent network that answers at the end of a sequence of vectors, or at each time step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigrad import Tensor, nn
from models.initial_values import chrono

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class MemoryNetwork(nn.Module):
    """A recurrent layer, and a linear one on its states.

    ::

        h_t = cell(x_t, h_{t-1})
        y_t = W h_t + b             at each time step, or at the last alone

    Parameters
    ----------
    features, outputs
        the lengths of x_t and of y_t.
    hidden_size
        the length of h_t.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``.
    everywhere
        whether to answer at each time step.
    longest
        how many time steps the gates keep the state at most before any training:
        `models.initial_values.chrono`. 0: about one, as PyTorch's initial values do.
    rng
        the generator of the initial values; None: minigrad's own.

    Raises
    ------
    ValueError
        if there is no such cell.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        hidden_size: int = 64,
        cell: str = "lstm",
        everywhere: bool = False,
        longest: int = 0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(
                f"MemoryNetwork: cell must be one of {', '.join(CELLS)}, got {cell!r:.40}"
            )
        self._settings = {
            "features": features,
            "outputs": outputs,
            "hidden_size": hidden_size,
            "cell": cell,
            "everywhere": everywhere,
            "longest": longest,
        }
        self.everywhere = everywhere
        self.recurrent = CELLS[cell](features, hidden_size, rng=rng)
        self.output = nn.Linear(hidden_size, outputs, rng=rng)
        if longest and cell != "rnn":
            chrono(self.recurrent, longest, rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``MemoryNetwork(**model.settings())``."""
        return dict(self._settings)

    def forward(self, x: ArrayLike | Tensor) -> Tensor:
        """The answers, of shape (K, N, outputs): K is T, or 1.

        `x`: N sequences side by side, of shape (T, N, features).
        """
        h, _ = self.recurrent(x)
        return self.output(h if self.everywhere else h[-1:])
