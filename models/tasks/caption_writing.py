"""How a network writes texts about things: by a search, or drawn."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.training import evaluating
from models.devices import device_of, moved
from models.measuring.evaluation import quiet
from models.reading.sentence_tokens import SentenceTokens
from models.writing.conditioned import asking, drawn, greedy
from models.writing.search import search

TRIES = 20
"""So often texts are drawn at most, to find different ones."""


class CaptionWriter:
    """Writes texts with a `models.captioner.Captioner`.

    Parameters
    ----------
    letters
        what its ids stand for.
    length
        how many letters a text has, at most.
    """

    def __init__(self, letters: SentenceTokens, length: int) -> None:
        self.letters, self.length = letters, length
        self._banned = [letters.unknown]

    def likeliest(self, model: Any, things: NDArray[Any], width: int, alpha: float) -> list[str]:
        """The likeliest text about each thing that beam search finds: see `search`."""
        ask, end = asking(model, model.step), self.letters.end
        if width == 1:
            state, about = _start(model, things), (len(things), end, self.length, self._banned)
            return [self.letters.decode(ids) for ids in greedy(ask, state, *about)]
        found = []
        for i in range(len(things)):
            logits, state = ask(np.array([[end]]), _start(model, things[i : i + 1]))
            options = (self.length, width, alpha, self._banned, lambda path: path[-1] == end)
            best = search(ask, logits, state, *options)[0]
            found.append(self.letters.decode(best.ids[:-1] if best.ended else best.ids))
        return found

    def drawn(self, model: Any, things: NDArray[Any], rng: np.random.Generator) -> list[str]:
        """A text about each thing, drawn with the probability that it has."""
        ask, state = asking(model, model.step), _start(model, things)
        about = (len(things), self.letters.end, self.length)
        return [self.letters.decode(ids) for ids in drawn(ask, state, *about, rng, self._banned)]

    def different(self, model: Any, thing: NDArray[Any], count: int, seed: int) -> list[str]:
        """`count` different texts about one thing, drawn one after the other.

        Fewer, if so many are not found. None is empty.
        """
        rng, found = np.random.default_rng(seed), dict[str, None]()
        things = np.repeat(thing, count, axis=0)
        for _ in range(TRIES):
            found |= dict.fromkeys(text for text in self.drawn(model, things, rng) if text)
            if len(found) >= count:
                break
        return [*found][:count]


def _start(model: Any, things: NDArray[Any]) -> Any:
    with evaluating(model), quiet():
        return model.start(moved(things, device_of(model)))


def share_of_new(texts: Sequence[str], known: Set[str]) -> float:
    """The share of the texts that are not known."""
    return sum(text not in known for text in texts) / max(1, len(texts))
