"""Exercises about recurrent networks, and about training them."""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.exercises.exercise import (
    Exercise,
    Program,
    WrongError,
    expect,
    given,
    pair,
    same,
    shown,
)


def _shift(program: Program) -> None:
    for word in ("hello", "backwards"):
        found = program.inputs_and_targets(given(list(word)))
        read, said = pair("inputs_and_targets", found)
        expect("what is read", "".join(read), word[:-1], same, f"with {word!r}")
        expect("what should be said", "".join(said), word[1:], same, f"with {word!r}")


def _streams(program: Program) -> None:
    for length, N in ((15, 3), (17, 4), (6, 6)):
        T, found = length // N, np.asarray(program.streams(given(range(length)), N))
        case = f"with ids = np.arange({length}) and N = {N}"
        expect("the shape", found.shape, (T, N), same, case)
        for n in range(N):
            expect(f"column {n}", found[:, n], np.arange(n * T, (n + 1) * T), same, case)


def _carried_state(program: Program) -> None:
    rng = np.random.default_rng(0)
    rnn, x = nn.RNN(3, 4, rng=rng), mg.tensor(rng.standard_normal((10, 1, 3)), dtype=mg.float32)
    right = rnn(x)[1].numpy()
    for size in (10, 4, 1):
        found = program.last_state(rnn, x, size)
        case = f"with x of shape {x.shape} in windows of {size}"
        expect("the last state", found, right, case=case)
    if isinstance(found, mg.Tensor) and found.requires_grad:
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
    found = program.gradient_of_first_input(cell, inputs)
    if found is None:
        raise WrongError("no gradient reaches the first input: it is None")
    expect("the gradient of the first input", found, first.grad)


def _zero_grad(program: Program) -> None:
    w, slope = 0.0, 2 * float(np.mean(np.array([1.0, 2.0, 3.0]) ** 2))
    for steps in range(1, 21):
        w -= 0.05 * slope * (w - 2)
        if steps in (1, 2, 20):
            expect(f"w after {steps} step{'s' * (steps > 1)}", program.learnt(steps), w)


def _evaluation(program: Program) -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 16, rng=rng), nn.Dropout(0.5), nn.Linear(16, 3, rng=rng))
    x = mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32)
    labels = np.arange(8) % 3
    first, second = (program.evaluate(model, x, labels) for _ in range(2))
    if not same(first, second):
        raise WrongError(
            "with another model with dropout, measured twice, the loss is "
            f"{shown(first)} and {shown(second)}"
        )
    if not model.training or same(model(x).numpy(), model(x).numpy()):
        raise WrongError("after evaluate the model does not train with dropout any more")
    model.eval()
    expect("the loss", first, mg.cross_entropy(model(x), labels))
    if same(program.make()(x).numpy(), program.make().eval()(x).numpy()):
        raise WrongError("make should make a model with dropout")


def _clipping(program: Program) -> None:
    for sizes, longest in (
        ([[30.0], [40.0]], 1.0),
        ([[0.3], [0.4]], 1.0),
        ([[3.0, -6.0], [2.0], [0.0]], 3.5),
    ):
        norm = math.sqrt(sum(x * x for size in sizes for x in size))
        found = list(program.clipped([np.array(size) for size in sizes], longest))
        case = f"with gradients = {sizes} and longest = {longest}"
        expect("the number of gradients", len(found), len(sizes), case=case)
        for n, size in enumerate(sizes):
            expect(f"gradient {n}", found[n], np.array(size) * min(1.0, longest / norm), case=case)


def _forget_gate(program: Program) -> None:
    for H in (3, 5):
        cell = program.remembering(2, H)
        both = (cell.bias_ih.numpy() + cell.bias_hh.numpy()).reshape(4, H)
        for gate, values in zip("ifgo", both, strict=True):
            case = f"with H = {H}, and bias_ih and bias_hh added"
            expect(f"the bias of the gate {gate}", values, [float(gate == "f")] * H, case=case)


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
        "A language model says what comes next: the targets are the inputs of the next time step. "
        "In minigrad: `Windows` in `minigrad/data/batches.py`.",
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
        "Then the next window goes on in each column where the last one ended, and the state fits. "
        "In minigrad: `batchify` in `minigrad/data/batches.py`.",
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
        "The state is all that the network knows of the windows before. In minigrad: "
        "`truncated_bptt` in `minigrad/training/bptt.py`.",
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
        "In minigrad the cut is between windows alone: `detach_state` in "
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
        "Gradients are added, so that a loss can come in parts; only you know when a new sum "
        "begins. In minigrad: `Optimizer` in `minigrad/optim/optimizer.py`.",
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
        "Dropout is for learning: a model is measured as a whole. In minigrad: `evaluating` in "
        "`minigrad/training/inference.py`.",
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
        "One factor for all keeps the direction: Pascanu, Mikolov and Bengio (2013). In minigrad: "
        "`clip_grad_norm_` in `minigrad/optim/clipping.py`.",
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
        "With a bias of 1 the gate begins at sigmoid(1) = 0.73, not at 0.5: Jozefowicz, Zaremba "
        "and Sutskever (2015). In minigrad: `lstm_step` in `minigrad/nn/recurrent/equations.py`.",
    ),
)
