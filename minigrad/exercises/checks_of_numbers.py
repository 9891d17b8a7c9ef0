"""Exercises about losses and probabilities: large numbers, padding, temperature."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad.exercises.exercise import (
    Exercise,
    Program,
    WrongError,
    expect,
    given,
    same,
    shown,
)


def _softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _overflow(program: Program) -> None:
    rows = given([[1000.0, 999, 998], [-1000, 0, 1], [1e5, 0, -1e5], [-1e4, -1e4, -1e4 - 1]])
    expect(f"softmax of {shown(rows[0])}", program.softmax(rows[0]), _softmax(rows[0]))
    found = np.asarray(program.softmax(rows.reshape(2, 2, 3)))
    case = "with logits of shape (2, 2, 3)"
    expect("the shape of softmax", found.shape, (2, 2, 3), same, case)
    for row, p in zip(rows, found.reshape(4, 3), strict=True):
        expect(f"softmax of the row {shown(row)}", p, _softmax(row), case=case)


def _log_of_zero(program: Program) -> None:
    logits = mg.tensor([0.0, 1000.0], requires_grad=True)
    loss = program.loss(logits, 0)
    if not isinstance(loss, mg.Tensor):
        raise WrongError(f"loss returns {shown(loss)}, and should return a Tensor, to learn from")
    expect("the loss", loss, 1000)
    loss.backward()
    expect("its gradient", logits.grad, [-1, 1])
    expect("the loss of the logits 0, 0", program.loss(mg.zeros(2), 1), np.log(2))


def _mask(program: Program) -> None:
    for given_scores, given_real in (
        ([0.1, 0.2, 9, 9, 9], [1, 1, 0, 0, 0]),
        ([5, -1, 3, -2, 0.5], [0, 1, 0, 1, 1]),
        ([-1000, -1001, 0, 0], [1, 1, 0, 0]),
        ([0.1, 0.2, np.nan, np.inf, 0], [1, 1, 0, 0, 0]),
    ):
        scores, real = given(np.array(given_scores, float)), given(np.array(given_real, bool))
        right = np.zeros(len(scores))
        right[real] = _softmax(scores[real])
        case = f"with scores = {shown(scores)} and real = {real.tolist()}"
        expect("the attention", program.attention(scores, real), right, case=case)


def _padding(program: Program) -> None:
    for lengths in (given([4, 2]), given([4, 1]), given([2, 5, 3])):
        losses = np.array([2.0, 1.0, 3.0, 0.0, 1.5])[:, None] * np.ones(len(lengths))
        losses[np.arange(5)[:, None] >= lengths] = 0  # but one loss of 0 is that of a real word
        losses = given(losses[: lengths.max()])
        right = np.exp(losses.sum() / lengths.sum())
        case = f"with losses = {shown(losses)} and lengths = {shown(lengths)}"
        expect("the perplexity", program.perplexity(losses, lengths), right, case=case)


def _temperature(program: Program) -> None:
    for logits in (given([2.0, 1.0, 0.0]), given([1000.0, 999.0, 998.0])):
        for temperature in (0.1, 0.5, 1.0, 10.0):
            found = program.probabilities(logits, temperature)
            case = f"with logits = {shown(logits)} and temperature = {temperature}"
            expect("p", found, _softmax(logits / temperature), case=case)


def _saturated(program: Program) -> None:
    for H in (64, 256):
        W = np.asarray(program.first_weights(np.random.default_rng(0), H))
        expect("the shape", W.shape, (H, H), same)
        h = np.random.default_rng(1).standard_normal((200, H))
        for _ in range(2):
            before, h = h, h @ W.T
            larger = float(h.std() / before.std())
            if not 0.8 < larger < 1.25:
                raise WrongError(
                    f"with {H} units W_hh h is {larger:.3g} times as large as h, and should be "
                    "about as large"
                )


EXERCISES = (
    Exercise(
        "overflow",
        _overflow,
        (
            "What is np.exp(1000.0)?",
            "Softmax stays the same if one number is subtracted from all logits.",
            "Subtract the largest logit of each row first: then no power is above 1. With "
            "keepdims=True, as in the sum, there is one for each row.",
        ),
        (
            "powers = np.exp(logits)\n",
            "powers = np.exp(logits - logits.max(-1, keepdims=True))\n",
        ),
        "The largest power is e^0 = 1, and the sum is at least that. In minigrad: `softmax` in "
        "`minigrad/ops/softmax.py`.",
    ),
    Exercise(
        "log_of_zero",
        _log_of_zero,
        (
            "Print probabilities. What is the probability of the class 0, and what its logarithm?",
            "It is e^-1000: too small for a number of the computer, so it becomes 0, and log 0 is "
            "-inf. But its logarithm is harmless: -1000.",
            "log softmax(z) = z - log sum exp(z) never makes the small number. mg.log_softmax(z, "
            "-1) computes it.",
        ),
        (
            "    probabilities = mg.softmax(logits, -1)\n"
            "    return -mg.log(probabilities)[label]\n",
            "    return -mg.log_softmax(logits, -1)[label]\n",
        ),
        "Take the logarithm by a formula, before the number becomes 0. For this reason minigrad's "
        "loss takes logits: `cross_entropy` in `minigrad/ops/cross_entropy.py`.",
    ),
    Exercise(
        "mask",
        _mask,
        (
            "Print scores after the first line. What scores does the padding have now, and what "
            "weights come of them?",
            "A score of 0 is a score like any other: e^0 = 1. And 0 times nan is nan.",
            "The score of nothing is minus infinity: np.where(real, scores, -np.inf).",
        ),
        ("    scores = scores * real\n", "    scores = np.where(real, scores, -np.inf)\n"),
        "e^-inf is 0, and what stood there does not matter. In minigrad: `masked_softmax` in "
        "`minigrad/nn/attention.py`.",
    ),
    Exercise(
        "padding",
        _padding,
        (
            "How many words are there in all, and by how many numbers does mean() divide?",
            "mean() counts the 2 places of padding as words that cost nothing.",
            "Divide the sum of the losses by the number of real words: lengths.sum().",
        ),
        ("np.exp(losses.mean())", "np.exp(losses.sum() / lengths.sum())"),
        "A mean over padding makes short sentences cheap. In minigrad: `cross_entropy` with "
        "`ignore_index` in `minigrad/ops/cross_entropy.py`.",
    ),
    Exercise(
        "temperature",
        _temperature,
        (
            "Divide three probabilities by 10, then by their sum. What has changed?",
            "The division is undone by the one after it. The temperature must come before the "
            "powers.",
            "p = softmax(logits / temperature): divide the logits, not p.",
        ),
        (
            "    powers = np.exp(logits - logits.max())\n    p = powers / powers.sum()\n"
            "    p = p / temperature\n    return p / p.sum()\n",
            "    powers = np.exp((logits - logits.max()) / temperature)\n"
            "    return powers / powers.sum()\n",
        ),
        "A factor of all probabilities is lost when they are made to add up to 1; a factor of all "
        "logits is a power of each probability. In minigrad's models: `next_token_probabilities` "
        "in `models/writing/sampling.py`.",
    ),
    Exercise(
        "saturated",
        _saturated,
        (
            "Print the standard deviation of h, and of h @ W.T, for H = 64 and H = 256.",
            "Each number of h @ W.T is a sum of H products. Independent numbers add up to about "
            "sqrt(H) times the size of one.",
            "Divide the weights by sqrt(H).",
        ),
        ("rng.standard_normal((H, H))", "rng.standard_normal((H, H)) / np.sqrt(H)"),
        "Then the numbers of W_hh h are about as large as those of h, however many units there "
        "are. In minigrad: `xavier_normal_` in `minigrad/nn/init.py`.",
    ),
)
