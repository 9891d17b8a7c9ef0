"""Exercises about recurrent networks, and about training them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.exercises.checks_of_tapes import near
from minigrad.exercises.exercise import Exercise, Program, WrongError, expect


def _same(found: Any, right: Any) -> bool:
    return bool(np.array_equal(found, right))


def _shift(program: Program) -> None:
    read, said = program.inputs_and_targets(np.array(list("hello")))
    expect("what is read", "".join(read), "hell", _same)
    expect("what should be said", "".join(said), "ello", _same)


def _streams(program: Program) -> None:
    for length, N in ((15, 3), (17, 4), (6, 6)):
        T, found = length // N, np.asarray(program.streams(np.arange(length), N))
        expect(f"the shape of {length} letters in {N} columns", found.shape, (T, N), _same)
        right = np.arange(T * N).reshape(N, T)
        for n in range(N):
            expect(f"column {n}", found[:, n].tolist(), right[n].tolist(), _same)


def _carried_state(program: Program) -> None:
    rng = np.random.default_rng(0)
    rnn, x = nn.RNN(3, 4, rng=rng), mg.tensor(rng.standard_normal((10, 2, 3)), dtype=mg.float32)
    right = rnn(x)[1].numpy()
    for size in (10, 4, 1):
        found = program.last_state(rnn, x, size)
        expect(f"the last state in windows of {size}", found.numpy().round(5), right.round(5), near)
        if found.requires_grad:
            raise WrongError("the state must be detached: or each window's tape is kept for ever")


def _detached(program: Program) -> None:
    rng = np.random.default_rng(0)
    cell = nn.RNNCell(2, 3, rng=rng)
    inputs = [mg.tensor(rng.standard_normal((1, 2)), dtype=mg.float32) for _ in range(4)]
    first = inputs[0].detach().requires_grad_()
    h = None
    for x in [first, *inputs[1:]]:
        h = cell(x, h)
    assert h is not None
    h.sum().backward()
    found, right = program.gradient_of_first_input(cell, inputs), first.grad
    assert right is not None
    if found is None:
        raise WrongError("no gradient reaches the first input: it is None")
    expect("the gradient of the first input", found.numpy(), right.numpy(), near)


def _zero_grad(program: Program) -> None:
    w, slope = 0.0, 2 * float(np.mean(np.array([1.0, 2.0, 3.0]) ** 2))
    for steps in range(1, 21):
        w -= 0.05 * slope * (w - 2)
        if steps in (1, 2, 20):
            expect(f"w after {steps} steps", program.learnt(steps), w, near)


def _evaluation(program: Program) -> None:
    rng = np.random.default_rng(0)
    model = program.make()
    x = mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32)
    labels = np.arange(8) % 3
    first, second = (program.evaluate(model, x, labels) for _ in range(2))
    if first != second:
        raise WrongError(f"measured twice, the loss is {first} and {second}")
    if not model.training:
        raise WrongError("after evaluate the model does not train with dropout any more")
    model.eval()
    expect("the loss", first, mg.cross_entropy(model(x), labels).item(), near)


def _clipping(program: Program) -> None:
    for sizes, longest in (((30.0, 40.0), 1.0), ((0.3, 0.4), 1.0), ((3.0, 4.0), 2.5)):
        scale = min(1.0, longest / math.hypot(*sizes))
        found = program.clipped([np.array([size]) for size in sizes], longest)
        right = [size * scale for size in sizes]
        what = f"{sizes}, at most {longest} together,"
        expect(what, [float(each[0]) for each in found], right, near)


def _forget_gate(program: Program) -> None:
    H = 3
    cell = program.remembering(2, H)
    both = (cell.bias_ih.numpy() + cell.bias_hh.numpy()).reshape(4, H)
    for gate, values in zip("ifgo", both.tolist(), strict=True):
        expect(f"the bias of the gate {gate}", values, [float(gate == "f")] * H, near)


EXERCISES = (
    Exercise(
        "shift",
        _shift,
        (
            "After it has read h, what should the model say?",
            "What is read and what should be said are the same here: the model only repeats.",
            "The targets are one place further: ids[1:].",
        ),
        ("return ids[:-1], ids[:-1]", "return ids[:-1], ids[1:]"),
        "In minigrad: `minigrad/data/batches.py`.",
    ),
    Exercise(
        "streams",
        _streams,
        (
            "Print streams(np.arange(12), 3). Where do 0, 1, 2, 3 stand?",
            "reshape fills row by row, but the parts of the text should be the columns.",
            "Make N rows of T letters each, and then transpose.",
        ),
        ("reshape(T, N)", "reshape(N, T).T"),
        "In minigrad: `batchify`, in `minigrad/data/batches.py`.",
    ),
    Exercise(
        "carried_state",
        _carried_state,
        (
            "With which state does the second window begin?",
            "`state` is set at the end of each window, and never used.",
            "Give it to the network: rnn(x[...], state).",
        ),
        ("rnn(x[start : start + size])", "rnn(x[start : start + size], state)"),
        "In minigrad: `minigrad/training/bptt.py`.",
    ),
    Exercise(
        "detached",
        _detached,
        (
            "What does detach() do to the way back?",
            "It cuts it. Truncated BPTT cuts between two windows; here it is cut after each step.",
            "Leave out .detach() in the loop.",
        ),
        ("h = cell(x, h).detach()", "h = cell(x, h)"),
        "In minigrad the cut is between windows alone: `detach_state`, in "
        "`minigrad/training/bptt.py`.",
    ),
    Exercise(
        "zero_grad",
        _zero_grad,
        (
            "Print w.grad in each step. It should become small when w comes near to 2.",
            "backward() adds to w.grad, and nobody empties it: each step also takes all steps "
            "before it again.",
            "optimizer.zero_grad() before loss.backward().",
        ),
        (
            "        loss.backward()\n        optimizer.step()\n",
            "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n",
        ),
        "In minigrad: `minigrad/optim/optimizer.py`.",
    ),
    Exercise(
        "two_losses",
        _evaluation,
        (
            "Which layer draws random numbers?",
            "no_grad() keeps no tape, but dropout still drops. A model has two modes: train() and "
            "eval().",
            "model.eval() before it is measured, model.train() after it.",
        ),
        (
            "    with mg.no_grad():\n        loss = mg.cross_entropy(model(x), labels)\n",
            "    model.eval()\n    with mg.no_grad():\n"
            "        loss = mg.cross_entropy(model(x), labels)\n    model.train()\n",
        ),
        "In minigrad: `evaluating`, in ``.",
    ),
    Exercise(
        "direction",
        _clipping,
        (
            "What is the norm of all numbers together? It is that of the vector (30, 40).",
            "Here each parameter has its own norm, and so its own factor.",
            "Compute one norm over all gradients first, and multiply all of them by the same "
            "factor.",
        ),
        (
            "    result = []\n    for gradient in gradients:\n"
            "        norm = np.sqrt((gradient**2).sum())\n"
            "        result.append(gradient * min(1.0, longest / norm))\n    return result\n",
            "    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))\n"
            "    return [gradient * min(1.0, longest / norm) for gradient in gradients]\n",
        ),
        "Pascanu, Mikolov and Bengio (2013). In minigrad: `minigrad/optim/clipping.py`.",
    ),
    Exercise(
        "forget_gate",
        _forget_gate,
        (
            "The program prints four rows: the gates i, f, g, o. Which one has the 1?",
            "values[:H] is the first block of H rows: the gate i.",
            "The gate f has the second block: values[H : 2 * H].",
        ),
        ("values[:H] = 1.0", "values[H : 2 * H] = 1.0"),
        "Jozefowicz, Zaremba and Sutskever (2015). In minigrad: "
        "`minigrad/nn/recurrent/equations.py`.",
    ),
)
