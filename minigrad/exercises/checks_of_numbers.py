"""Exercises about losses and probabilities: large numbers, padding, temperature."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.exercises.checks_of_tapes import near
from minigrad.exercises.exercise import Exercise, Program, WrongError, expect


def _overflow(program: Program) -> None:
    logits = np.array([[1000.0, 999.0, 998.0], [-1000.0, 0.0, 1.0]])
    moved = np.exp(logits - logits.max(1, keepdims=True))
    right = moved / moved.sum(1, keepdims=True)
    expect("softmax", program.softmax(logits).tolist(), right.tolist(), near)


def _log_of_zero(program: Program) -> None:
    logits = mg.tensor([0.0, 1000.0], requires_grad=True)
    loss = program.loss(logits, 0)
    expect("the loss", loss.item(), 1000.0, near)
    loss.backward()
    assert logits.grad is not None
    expect("its gradient", logits.grad.numpy().tolist(), [-1.0, 1.0], near)
    expect("the loss of the logits 0, 0", program.loss(mg.zeros(2), 1).item(), np.log(2), near)


def _mask(program: Program) -> None:
    real = np.array([True, True, False, False, False])
    scores = np.array([0.1, 0.2, 9.0, 9.0, 9.0])
    powers = np.exp(scores[:2])
    right = [*(powers / powers.sum()), 0, 0, 0]
    expect("the attention", program.attention(scores, real).tolist(), right, near)
    infinite = np.array([0.1, 0.2, np.nan, np.inf, 0.0])
    found = program.attention(infinite, real)
    expect("the attention, with nan and inf in the padding", found.tolist(), right, near)


def _padding(program: Program) -> None:
    for lengths in ([4, 2], [4, 1]):
        rng = np.random.default_rng(0)
        losses = rng.uniform(1, 3, (4, 2)) * (np.arange(4)[:, None] < lengths)
        right = np.exp(losses.sum() / sum(lengths))
        found = program.perplexity(losses, np.array(lengths))
        expect(f"the perplexity of sentences of {lengths} words", found, right, near)


def _temperature(program: Program) -> None:
    logits = np.array([2.0, 1.0, 0.0])
    for temperature in (0.1, 0.5, 1.0, 10.0):
        powers = np.exp((logits - 2) / temperature)
        found = program.probabilities(logits, temperature)
        right = powers / powers.sum()
        expect(f"at a temperature of {temperature}: p", found.tolist(), right.tolist(), near)


def _saturated(program: Program) -> None:
    for H in (64, 256):
        W = np.asarray(program.first_weights(np.random.default_rng(0), H))
        expect("the shape", W.shape, (H, H), lambda a, b: a == b)
        h = np.random.default_rng(1).standard_normal((200, H))
        larger = float((h @ W.T).std())
        if not 0.5 < larger < 1.5:
            raise WrongError(
                f"with {H} units W_hh h is {larger:.3g} times as large as h, and should be about 1"
            )


EXERCISES = (
    Exercise(
        "overflow",
        _overflow,
        (
            "What is np.exp(1000.0)?",
            "Softmax stays the same if one number is subtracted from all logits.",
            "Subtract the largest logit of each row first: then no power is above 1.",
        ),
        (
            "powers = np.exp(logits)\n",
            "powers = np.exp(logits - logits.max(-1, keepdims=True))\n",
        ),
        "In minigrad: `minigrad/ops/activations.py`, and `logsumexp`.",
    ),
    Exercise(
        "log_of_zero",
        _log_of_zero,
        (
            "What is the probability of the class 0, as a number of 32 bits?",
            "It is e^-1000, which becomes 0, and log 0 is -inf. The logarithm itself is harmless: "
            "-1000.",
            "log softmax(z) = z - log sum exp(z) never makes the small number: mg.log_softmax.",
        ),
        (
            "    probabilities = mg.softmax(logits, -1)\n"
            "    return -mg.log(probabilities)[label]\n",
            "    return -mg.log_softmax(logits, -1)[label]\n",
        ),
        "In minigrad `cross_entropy` takes logits for this reason: `minigrad/ops/losses.py`.",
    ),
    Exercise(
        "mask",
        _mask,
        (
            "Which score has the padding after the first line? And which weight belongs to it?",
            "A score of 0 is a score like any other: e^0 = 1. And 0 times nan is nan.",
            "The score of nothing is minus infinity: np.where(real, scores, -np.inf).",
        ),
        ("    scores = scores * real\n", "    scores = np.where(real, scores, -np.inf)\n"),
        "In minigrad: `minigrad/nn/attention.py`.",
    ),
    Exercise(
        "padding",
        _padding,
        (
            "How many words are there in all, and by how many numbers does mean() divide?",
            "The 2 places of padding count as words that cost nothing.",
            "Divide the sum of the losses by the number of real words: lengths.sum().",
        ),
        ("np.exp(losses.mean())", "np.exp(losses.sum() / lengths.sum())"),
        "A mean over padding makes short sentences cheap. In minigrad: `cross_entropy` with "
        "`ignore_index`, in `minigrad/ops/losses.py`.",
    ),
    Exercise(
        "temperature",
        _temperature,
        (
            "Divide three probabilities by 10, then by their sum. What has changed?",
            "The division is undone by the one after it. The temperature must come before the "
            "powers.",
            "p = softmax(logits / temperature).",
        ),
        (
            "    powers = np.exp(logits - logits.max())\n    p = powers / powers.sum()\n"
            "    p = p / temperature\n    return p / p.sum()\n",
            "    powers = np.exp((logits - logits.max()) / temperature)\n"
            "    return powers / powers.sum()\n",
        ),
        "In minigrad: `models/writing/sampling.py`.",
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
        "In minigrad: `minigrad/nn/init.py`.",
    ),
)
