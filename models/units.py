"""How a loss in nats per token is told to people."""

from collections.abc import Callable
from typing import NamedTuple

from minigrad.training import bits, perplexity


class Unit(NamedTuple):
    """A measure of a language model."""

    name: str
    """In full, for an axis: ``"bits per character"``."""

    short: str
    """For a line of numbers: ``"bpc"``."""

    of: Callable[[float], float]
    """The measure of a loss in nats per token."""

    def told(self, nats: float) -> str:
        """Of a loss in nats per token, a number and the unit: ``"1.912 bpc"``."""
        value = self.of(nats)
        if self.short == "bpc":
            return f"{value:.3f} {self.short}"
        return f"{self.short} {value:,.1f}" if value < 1e6 else f"{self.short} {value:.1e}"


UNITS = {
    "char": Unit("bits per character", "bpc", bits),
    "word": Unit("perplexity", "perplexity", perplexity),
}
"""By the level of the tokens."""
