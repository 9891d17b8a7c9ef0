"""Writing text with a language model: logits, probabilities, the next token, and so on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad import Tensor, nn, no_grad
from minigrad.data import TextDecoder, Tokenizer
from models.devices import device_of, moved
from models.measuring.evaluation import vocab_size_of, window_of
from models.writing.prompts import StopTexts, first_id, read_prompt

ROWS = 8
"""How many samples are written side by side. The batch always has this size, and a sample its own
place in it: matrix products of another size may round differently."""

PROMPT_WINDOW = 256
"""Tokens of a prompt that are read at a time."""


def check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise a ValueError for an option of `next_token_probabilities` that is out of range."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be a number of at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top-k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top-p must be above 0 and at most 1, got {top_p}")


class UnusableWeightsError(ValueError):
    """The model gives NaN or infinity for what comes next."""


def next_token_probabilities(
    logits: ArrayLike,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    banned: Sequence[int] = (),
) -> NDArray[np.float64]:
    """How likely each token is to be drawn next.

    Parameters
    ----------
    logits
        shape (V,).
    temperature
        the logits are divided by it: towards 0 the likeliest token takes all, towards infinity all
        are equally likely. 0 is greedy decoding: always the likeliest token (of equally likely
        ones, that with the smallest id).
    top_k
        only so many tokens, the likeliest (of equally likely ones, those with smaller ids); 1 is
        greedy decoding.
    top_p
        only the likeliest tokens, the fewest that together have at least this probability (after
        `top_k`, if both are given): nucleus sampling, Holtzman, Buys, Du, Forbes and Choi, "The
        curious case of neural text degeneration" (2020).
    banned
        ids that are never drawn.

    Returns
    -------
    ndarray
        float64, shape (V,), with the sum 1.

    Raises
    ------
    ValueError
        for an option out of range, logits that are NaN or infinite, or if all tokens are banned.
    """
    check_options(temperature, top_k, top_p)
    z = usable(logits, banned)
    if temperature == 0 or top_k == 1:
        one_hot = np.zeros(len(z))
        one_hot[z.argmax()] = 1
        return one_hot
    with np.errstate(over="ignore"):  # near 0, all but the largest become -inf
        p: NDArray[np.float64] = np.exp((z - z.max()) / temperature)
    p /= p.sum()
    if top_k is not None or top_p is not None:
        order = np.argsort(-z, kind="stable")
        if top_k is not None:
            p[order[top_k:]] = 0
            p /= p.sum()
        if top_p is not None:
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= top_p]] = 0
            p /= p.sum()
    return p


def usable(logits: ArrayLike, banned: Sequence[int] = ()) -> NDArray[np.float64]:
    """`logits`, shape (..., V), in float64 and with -inf for the banned ids.

    Raises
    ------
    ValueError
        if they are NaN or infinite, or all tokens are banned.
    """
    z: NDArray[np.float64] = np.array(logits, np.float64)
    if not np.isfinite(z).all():
        raise UnusableWeightsError(
            "the logits are not finite: the weights of the model are unusable"
        )
    z[..., list(banned)] = -np.inf
    if z.max() == -np.inf:
        raise ValueError("there is no token left to draw")
    return z


def generate(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    knows_unknown: bool = False,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Continue `prompt`: yields the prompt, and then up to `length` tokens, piece by piece.

    Joined, the pieces are the text, with the spaces between words. The token for unknown symbols is
    never drawn.

    Parameters
    ----------
    model
        called as ``logits, state = model(ids, state)``, ids of shape (T, N), logits of (T, N, V);
        the tensors in its state have N on their axis -2. It is used out of training mode, on its
        own device, from which only the logits come back; its mode is as before afterwards.
    tokenizer
        the tokens of the model.
    prompt
        the text to go on from; ``""``: from the start of a line.
    length
        how many tokens to draw, at most.
    temperature, top_k, top_p
        as in `next_token_probabilities`.
    stop
        the text ends before the first of these texts after the prompt. ``"<eos>"`` is
        the token for line ends, if `tokenizer` has one.
    knows_unknown
        whether the model has met the token for unknown symbols in training. Then symbols of the
        prompt that `tokenizer` lacks are read as that token, and not refused.
    rng
        draws the tokens.

    Raises
    ------
    ValueError
        at once, if a symbol of `prompt` is not in the vocabulary, or an option is out of range.
    """
    options = (temperature, top_k, top_p, stop, knows_unknown)
    return (piece for _, piece in _written(model, tokenizer, prompt, length, *options, [rng]))


def generate_many(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    knows_unknown: bool = False,
    rngs: Sequence[np.random.Generator],
) -> Iterator[tuple[int, str]]:
    """Continue `prompt` several times, side by side: yields pairs (number, piece).

    Joined, the pieces with number i are the text that `generate` writes with ``rngs[i]``, to the
    last bit, however many others are written beside it. Each needs a generator of its own. All else
    is as in `generate`.
    """
    options = (temperature, top_k, top_p, stop, knows_unknown)
    return _written(model, tokenizer, prompt, length, *options, rngs)


def _written(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    stop: Sequence[str],
    knows_unknown: bool,
    rngs: Sequence[np.random.Generator],
) -> Iterator[tuple[int, str]]:
    check_options(temperature, top_k, top_p)
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    StopTexts(tokenizer, stop)  # finds what is wrong with them
    ids = read_prompt(tokenizer, prompt, knows_unknown)
    banned, ask = banned_ids(tokenizer), Reader(model)

    def drawn(logits: Any, rng: np.random.Generator) -> int:
        p = next_token_probabilities(logits, temperature, top_k, top_p, banned)
        return int(rng.choice(len(p), p=p))

    def pieces() -> Iterator[tuple[int, str]]:
        logits, state = None, None
        for first in range(0, len(rngs), ROWS):
            samples = [
                _Sample(n, rngs[n], tokenizer, ids, stop, length)
                for n in range(first, min(first + ROWS, len(rngs)))
            ]
            for sample in samples:
                yield from sample.prompt()
            if logits is None and length:
                logits, state = ask.read(ids or [first_id(tokenizer)])
            yield from _block(ask, samples, logits, state, drawn)

    return pieces()


class _Sample:
    """One text as it is written."""

    def __init__(
        self,
        number: int,
        rng: np.random.Generator,
        tokenizer: Tokenizer,
        ids: list[int],
        stop: Sequence[str],
        length: int,
    ) -> None:
        self.number, self.rng, self.left = number, rng, length
        self._ids, self._decoder = ids, TextDecoder(tokenizer)
        self._stop = StopTexts(tokenizer, stop)

    def prompt(self) -> Iterator[tuple[int, str]]:
        text = "".join(map(self._decoder.push, self._ids))
        if text:
            yield self.number, text

    def push(self, id: int) -> Iterator[tuple[int, str]]:
        """What more of the text can be shown, after the next token, `id`."""
        self.left -= 1
        if self._stop.is_end(id):
            self.left, text = 0, ""
        else:
            text = self._stop.push(self._decoder.push(id))
        if self.left == 0 and not self._stop.reached:
            text += self._stop.push(self._decoder.flush())
        if self._stop.reached:
            self.left = 0
        elif self.left == 0:
            text += self._stop.flush()
        if text:
            yield self.number, text


def _block(
    ask: Reader,
    samples: Sequence[_Sample],
    logits: Any,
    state: Any,
    drawn: Callable[[Any, np.random.Generator], int],
) -> Iterator[tuple[int, str]]:
    """Write at most `ROWS` samples until all have ended; the prompt gave `logits` and `state`.

    A sample that has ended leaves its row empty; the others stay in theirs.
    """
    step, rows = np.zeros((1, ROWS), np.int64), None
    while any(sample.left for sample in samples):
        if rows is None:
            rows, state = np.repeat(logits, ROWS, axis=0), repeated(state, ROWS)
        else:
            rows, state = ask(step, state)
        for row, sample in enumerate(samples):
            if sample.left:
                step[0, row] = id = drawn(rows[row], sample.rng)
                yield from sample.push(id)


def banned_ids(tokenizer: Tokenizer) -> list[int]:
    """The ids that are never written: that of the token for unknown symbols, if there is one."""
    return [] if tokenizer.unk_id is None else [tokenizer.unk_id]


class Reader:
    """Asks a model what comes next: out of training mode, and off the tape.

    Between two questions, when it is the caller's turn, the model is in its own mode.
    """

    def __init__(self, model: nn.Module) -> None:
        # the parts are found once: that may take as long as a step of a small model
        self._model, self._parts, self._device = model, model.modules(), device_of(model)

    def __call__(self, ids: NDArray[np.int64], state: Any) -> tuple[NDArray[Any], Any]:
        """The logits after the last of `ids`, shape (T, N), as an array (N, V); and the state."""
        before = [part.training for part in self._parts]
        try:
            for part in self._parts:
                part.training = False
            # the weights may have blown up: `usable` checks what comes out
            with no_grad(), np.errstate(over="ignore", invalid="ignore"):
                logits, state = self._model(moved(ids, self._device), state)
        finally:
            for part, training in zip(self._parts, before, strict=True):
                part.training = training
        return logits[-1].numpy(), state

    def read(self, ids: Sequence[int]) -> tuple[NDArray[Any], Any]:
        """The logits after a text, shape (1, V), and its state, with N = 1."""
        state, text, vocab_size = None, np.array(ids), vocab_size_of(self._model)
        for start in range(0, len(text), PROMPT_WINDOW):
            window = window_of(text, start, start + PROMPT_WINDOW, vocab_size)
            logits, state = self(window[:, None], state)
        return logits, state


def repeated(state: Any, times: int) -> Any:
    """The state of one text, repeated for `times` texts."""
    return mapped(state, lambda part: part.repeat(times, axis=-2))


def mapped(state: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A state (nested tuples of Tensors) with `function` applied to each Tensor."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, tuple | list):
        return type(state)(mapped(part, function) for part in state)
    return state
