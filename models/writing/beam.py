"""The likeliest text of a language model that beam search finds: see `models.writing.search`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad import nn
from minigrad.data import TextDecoder, Tokenizer
from models.writing.prompts import StopTexts, first_id, read_prompt
from models.writing.sampling import Reader, banned_ids
from models.writing.search import check_search, search


class Hypothesis(NamedTuple):
    """A text that beam search has found."""

    text: str
    """The prompt and what was written after it, up to the stop text."""

    tokens: int
    """How many tokens were written; the one that ends the text is one of them."""

    log_probability: float
    """The natural logarithm of the probability of these tokens."""

    score: float
    """What hypotheses are compared by: that logarithm, divided by the `length_penalty`."""

    ended: bool
    """Whether it ends with a stop text; else it was cut off."""


def beam_search(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    *,
    width: int,
    alpha: float = 0.0,
    stop: Sequence[str] = (),
    knows_unknown: bool = False,
) -> list[Hypothesis]:
    """Continue `prompt` with the likeliest tokens, at most `length` of them.

    The result is a function of the model and the arguments: nothing is drawn.

    Parameters
    ----------
    model, tokenizer, prompt, stop, knows_unknown
        as in `models.writing.sampling.generate`; the token for unknown symbols is never written.
    length, width, alpha
        how many tokens to write, at most; how many hypotheses are kept at a time, and how far
        longer ones are favoured: see `search`.

    Returns
    -------
    list of Hypothesis
        at most `width`, the best first.

    Raises
    ------
    ValueError
        if a symbol of `prompt` is not in the vocabulary, a number is out of range, or the model
        gives NaN or infinity.
    """
    check_search(length, width, alpha)
    StopTexts(tokenizer, stop)  # finds what is wrong with them
    ids = read_prompt(tokenizer, prompt, knows_unknown)

    # a stop text is not longer than this, however short its tokens are
    recent = 4 * max(map(len, stop), default=0) + 4

    def ends(path: Sequence[int]) -> bool:
        before = ids[max(0, len(ids) + len(path) - recent) :]
        return bool(stop) and _written(tokenizer, before, path[-recent:], stop)[1]

    ask = Reader(model)
    logits, state = ask.read(ids or [first_id(tokenizer)])
    paths = search(ask, logits, state, length, width, alpha, banned_ids(tokenizer), ends)
    return [
        Hypothesis(
            _written(tokenizer, ids, path.ids, stop)[0],
            len(path.ids),
            path.log_probability,
            path.score,
            path.ended,
        )
        for path in paths
    ]


def _written(
    tokenizer: Tokenizer, prompt: Sequence[int], path: Sequence[int], stop: Sequence[str]
) -> tuple[str, bool]:
    """The text of a prompt and a path after it, up to a stop text, and whether there was one."""
    decoder, stops = TextDecoder(tokenizer), StopTexts(tokenizer, stop)
    text = "".join(map(decoder.push, prompt))
    for id in path:
        if stops.is_end(id):
            return text + stops.flush(), True
        text += stops.push(decoder.push(id))
        if stops.reached:
            return text, True
    return text + stops.flush() + decoder.flush(), False
