"""The units in which a loss in nats per token is told to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigrad.training import bits, perplexity


class Unit(NamedTuple):
    """A measure of a model."""

    name: str
    """In full, for an axis: ``"bits per character"``."""

    short: str
    """For a line of numbers: ``"bpc"``."""

    of: Callable[[float], float]
    """The measure of a loss in nats per token."""

    logarithmic: bool = False
    """Whether its ratios tell more than its differences."""

    def told(self, nats: float) -> str:
        """A loss in nats per token as a number and its unit: ``"1.912 bpc"``."""
        value = self.of(nats)
        if self.logarithmic and self.of is not perplexity:
            return f"{value:.3g} {self.short}"
        if self.of is bits:
            return f"{value:.3f} {self.short}" if value < 1e6 else f"{value:.1e} {self.short}"
        return f"{self.short} {value:,.1f}" if value < 1e6 else f"{self.short} {value:.1e}"


MOST_UNKNOWN = 0.2
"""With a larger share of `<unk>`, a text says little about how well a model predicts words."""

UNITS = {
    "char": Unit("bits per character", "bpc", bits),
    "byte": Unit("bits per byte", "bpb", bits),
    "word": Unit("perplexity", "perplexity", perplexity, logarithmic=True),
    "bpe": Unit("perplexity per token", "perplexity", perplexity, logarithmic=True),
}
"""The unit for each level of tokens."""


def incomparable(unknown: float) -> str:
    """A warning about a text with such a share of `<unk>`; empty if it is small."""
    if unknown <= MOST_UNKNOWN:
        return ""
    return (
        f"{unknown:.0%} of the tokens to predict are <unk>: what they stand for is "
        "not predicted, so perplexity and bits can't be compared with those of a model with "
        "another vocabulary"
    )


def bits_per(nats: float, tokens: int, symbols: int) -> float:
    """The bits per symbol of a text, from its loss in nats per token.

    The symbols are the characters of the text, or its bytes: by them models with different tokens
    can be compared. NaN for a text without symbols.
    """
    return bits(nats) * tokens / symbols if symbols else float("nan")
