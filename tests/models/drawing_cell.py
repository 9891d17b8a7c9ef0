"""A cell of one's own for the tests of the command line; it drops, from the run's generator."""

import numpy as np

import minigrad as mg
from minigrad import nn


class DrawingCell(nn.Module):
    """h' = tanh(W [h, x] + b), c' = 0.9 c + dropped h': a state of two parts."""

    def __init__(self, input_size, hidden_size):
        self.state_sizes = (hidden_size, hidden_size)
        self.linear = nn.Linear(hidden_size + input_size, hidden_size)
        self.scale = nn.init.uniform_(nn.Parameter(np.zeros(hidden_size, np.float32)))

    def forward(self, x, state):
        h, c = state
        h = mg.tanh(self.linear(mg.concatenate([h, x], axis=-1))) * self.scale
        c = 0.9 * c + mg.dropout(h, 0.2, self.training)
        return c, (h, c)


class GivenCell(DrawingCell):
    """Draws from the generator that it is given alone, which it keeps where nobody else looks."""

    def __init__(self, input_size, hidden_size, rng):
        super().__init__(input_size, hidden_size)
        self.scale.data = rng.uniform(size=hidden_size)
        self.drawn_from = rng

    def forward(self, x, state):
        c, state = super().forward(x, state)
        return c + 0.1 * self.drawn_from.normal() if self.training else c, state


class NumPyCell(DrawingCell):
    """Draws from NumPy, of which the run knows nothing."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale.data = np.random.default_rng().uniform(size=hidden_size)
