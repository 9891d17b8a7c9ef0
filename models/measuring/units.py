"""The units in which a loss in nats per token is told to people."""

from __future__ import annotations

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
        if self.of is bits:
            return f"{value:.3f} {self.short}" if value < 1e6 else f"{value:.1e} {self.short}"
        return f"{self.short} {value:,.1f}" if value < 1e6 else f"{self.short} {value:.1e}"


MOST_UNKNOWN = 0.2
"""With a larger share of `<unk>` a text says little of how well a model predicts words."""

UNITS = {
    "char": Unit("bits per character", "bpc", bits),
    "byte": Unit("bits per byte", "bpb", bits),
    "word": Unit("perplexity", "perplexity", perplexity),
    "bpe": Unit("perplexity per token", "perplexity", perplexity),
}
"""By the level of the tokens."""


def incomparable(unknown: float) -> str:
    """What there is to say of a text with such a share of `<unk>`: mostly nothing."""
    if unknown <= MOST_UNKNOWN:
        return ""
    return (
        f"{unknown:.0%} of the tokens to predict are <unk>: what they stand for is "
        "not predicted, so perplexity and bits can't be compared with those of a model with "
        "another vocabulary"
    )


def bits_per(nats: float, tokens: int, symbols: int) -> float:
    """Of a loss in nats per token, the bits per symbol of a text of so many tokens and symbols.

    So models with tokens of different sizes can be compared, by the characters of the text, or its
    bytes. NaN for a text without symbols.
    """
    return bits(nats) * tokens / symbols if symbols else float("nan")
