"""Ways to call every kernel of minigrad: what `test_kernels` runs over.

A case is a function of a random generator and sizes that returns a `Call`. Its arrays are float64
(cast to the dtype that is tested); integer arrays and numbers stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.arrays.kernel import THREADS
from minigrad.optim.kernels import blocks_for


@dataclass
class Columns:
    """Stands for a table: for each column its arrays, or None."""

    columns: list[list[np.ndarray | None] | None]


@dataclass
class Call:
    """`blocks` of `threads`, and the arguments."""

    blocks: int
    threads: int
    arguments: list[Any]


CASES: dict[str, list[Callable[[np.random.Generator], Call]]] = {}
"""By the kernel's name."""


def case(name: str, **options: list[Any]) -> Callable[..., Any]:
    """Register a function (rng, **options): a case for each place in the lists of `options`."""

    def register(function: Callable[..., Call]) -> Callable[..., Call]:
        for values in zip(*options.values(), strict=True):
            chosen = dict(zip(options, values, strict=True))
            CASES.setdefault(name, []).append(lambda rng, chosen=chosen: function(rng, **chosen))
        return function

    return register


def over(count: int, *arguments: Any) -> Call:
    """As `Kernel.over` launches it."""
    return Call(-(-count // THREADS), THREADS, [count, *arguments])


# ---------------------------------------------------------------------------- recurrent
# N sequences, of which n run at the step whose rows begin at `first`, of `total` rows in all.

STEPS = {
    "N": [1, 3, 5, 2],
    "n": [1, 3, 2, 2],
    "H": [1, 7, 130, 300],
    "first": [0, 3, 4, 2],
    "total": [1, 9, 7, 4],
    "option": [False, True, True, False],
}


@case("rnn_forward", **STEPS)
def rnn_forward(rng, N, n, H, first, total, option):
    gates, product, h = (rng.standard_normal((k, H)) for k in (total, N, total))
    return over(n * H, H, first, option, gates, product, h)


@case("rnn_backward", **STEPS)
def rnn_backward(rng, N, n, H, first, total, option):
    g, dh, h, dz = (rng.standard_normal((k, H)) for k in (total, N, total, total))
    if option:  # where relu lets nothing through, anything may come
        h[:, 0], dh[:, 0] = 0, np.inf
    return over(n * H, H, first, option, g if option else None, dh, np.tanh(h), dz)


@case("lstm_forward", **STEPS)
def lstm_forward(rng, N, n, H, first, total, option):
    gates, product = (rng.standard_normal((k, 4 * H)) for k in (total, N))
    c_before, c_after, h_after = (rng.standard_normal((total, H)) for _ in range(3))
    return over(n * H, H, first, gates, product, c_before, c_after, h_after)


@case("lstm_backward", **STEPS)
def lstm_backward(rng, N, n, H, first, total, option):
    g, dh, dc = (rng.standard_normal((k, H)) for k in (total, N, N))
    gates, dz = rng.random((total, 4 * H)), rng.standard_normal((total, 4 * H))
    c_before, c_after = rng.standard_normal((2, total, H))
    return over(n * H, H, first, g if option else None, dh, dc, gates, c_before, c_after, dz)


@case("gru_forward", **STEPS)
def gru_forward(rng, N, n, H, first, total, option):
    gates, product = (rng.standard_normal((k, 3 * H)) for k in (total, N))
    bias = rng.standard_normal(3 * H) if option else None
    Wh_n, h_before, h_after = rng.standard_normal((3, total, H))
    return over(n * H, H, first, gates, product, bias, Wh_n, h_before, h_after)


@case("gru_backward", **STEPS)
def gru_backward(rng, N, n, H, first, total, option):
    g, dh = rng.standard_normal((total, H)), rng.standard_normal((N, H))
    gates, (dx, dz) = rng.random((total, 3 * H)), rng.standard_normal((2, total, 3 * H))
    Wh_n, h_before = rng.standard_normal((2, total, H))
    return over(n * H, H, first, g if option else None, dh, gates, Wh_n, h_before, dx, dz)


# ---------------------------------------------------------------------------- rows


@case(
    "cross_entropy_rows",
    rows=[1, 4, 6, 5, 4],
    V=[1, 3, 700, 257, 9],
    smoothing=[0.0, 0.1, 0.0, 0.2, 1.0],
    bias=[False, True, True, False, True],
    share=[True, True, False, False, True],
)
def cross_entropy_rows(rng, rows, V, smoothing, bias, share):
    targets = rng.integers(0, V, rows)
    if rows > 3:
        targets[1], targets[2], targets[3] = -100, V, -1  # ignored, and no classes
    z = 5 * rng.standard_normal((rows, V))
    if rows > 3:
        z[0, targets[0] - 1] = -np.inf  # a masked class
        z[1] = np.nan  # an ignored row may hold anything
    return Call(
        rows,
        THREADS,
        [
            V,
            z,
            rng.standard_normal(V) if bias else None,
            targets,
            -100,
            smoothing,
            rng.random(rows) if share else None,
            rng.standard_normal(rows),
        ],
    )


@case("take_rows", ids=[1, 5, 40], width=[1, 7, 33], rows=[1, 4, 9], transposed=[False, True, True])
def take_rows(rng, ids, width, rows, transposed):
    matrix = rng.standard_normal((width, rows) if transposed else (rows, width))
    chosen = rng.integers(-1, rows + 1, ids)
    out = rng.standard_normal((ids, width))
    strides = (1, rows) if transposed else (width, 1)
    return over(ids * width, width, rows, *strides, chosen, matrix, out)


@case("add_rows", ids=[1, 9, 300, 600], width=[1, 5, 300, 3], rows=[1, 4, 50, 700])
def add_rows(rng, ids, width, rows):
    chosen = rng.integers(-1, rows + 1, ids)
    values, total = rng.standard_normal((ids, width)), rng.standard_normal((rows, width))
    return Call(ids, THREADS, [ids, width, rows, chosen, values, total])


@case("dropout_mask", count=[1, 7, 1030], p=[0.5, 0.0, 0.3])
def dropout_mask(rng, count, p):
    low, high = (int(word) for word in rng.integers(0, 1 << 32, 2))
    kept, blocks = rng.random(count) < 0.5, -(-count // (4 * THREADS))
    return Call(blocks, THREADS, [count, low, high, round(p * (1 << 32)), kept])


# ---------------------------------------------------------------------------- optimisers
# Tables of arrays of these sizes, with or without what the optimiser remembers.

SIZES = ([1], [3, 1, 700], [2] * 64, [300_000, 5])
FINITE = (None, 1.0, np.nan, np.inf)


def update(rng, sizes, finite, states, *numbers):
    """Columns p, g and the states, each of which is there or not; states are positive."""
    columns: list[Any] = [[rng.standard_normal(n) for n in sizes] for _ in range(2)]
    columns += [[rng.random(n) for n in sizes] if there else None for there in states]
    flag = None if finite is None else np.array([finite])
    return Call(blocks_for(sum(sizes)), THREADS, [Columns(columns), flag, *numbers])


def updates(**options):
    return {"sizes": SIZES, "finite": FINITE, **options}


@case("sgd", **updates(velocity=[0, 1, 1, 0], nesterov=[0, 0, 1, 0], decay=[0.0, 0.1, 0.0, 0.2]))
def sgd(rng, sizes, finite, velocity, nesterov, decay):
    return update(rng, sizes, finite, [velocity], 0.1, 0.9, 0.7, bool(nesterov), decay, bool(decay))


@case("adam", **updates(amsgrad=[0, 1, 1, 0], decay=[0.0, 0.1, 0.0, 0.2]))
def adam(rng, sizes, finite, amsgrad, decay):
    states = [True, True, amsgrad]
    return update(rng, sizes, finite, states, 0.1, 0.9, 0.99, 1e-8, 0.95, decay, bool(decay))


@case("asgd", **updates(mu=[1.0, 0.5, 0.2, 1.0], decay=[0.0, 0.1, 0.0, 0.2]))
def asgd(rng, sizes, finite, mu, decay):
    return update(rng, sizes, finite, [True], 0.1, 0.99, mu, decay, bool(decay))


@case(
    "rmsprop",
    **updates(centered=[0, 1, 1, 0], momentum=[0.0, 0.9, 0.0, 0.9], decay=[0.0, 0.1, 0.0, 0.2]),
)
def rmsprop(rng, sizes, finite, centered, momentum, decay):
    states = [True, centered, momentum]
    numbers = (0.01, 0.9, 1e-2, momentum, decay, bool(decay))
    return update(rng, sizes, finite, states, *numbers)


@case("adagrad", **updates(decay=[0.0, 0.1, 0.0, 0.2]))
def adagrad(rng, sizes, finite, decay):
    return update(rng, sizes, finite, [True], 0.1, 1e-10, decay, bool(decay))


# ---------------------------------------------------------------------------- clipping

P = [2.0, 1.0, math.inf, 3.0]


def some(rng, sizes):
    return Columns([[rng.standard_normal(n) for n in sizes]])


@case("norm_parts", sizes=SIZES, p=P)
def norm_parts(rng, sizes, p):
    blocks = blocks_for(sum(sizes))
    return Call(blocks, THREADS, [some(rng, sizes), rng.standard_normal(blocks), p])


@case("norm_of_parts", count=[1, 3, 256, 1000], p=P)
def norm_of_parts(rng, count, p):
    return Call(1, THREADS, [rng.random(count), count, rng.standard_normal(()), p])


@case("scale", sizes=SIZES, norm=[0.5, 5.0, math.inf, 100.0])
def scale(rng, sizes, norm):
    return Call(blocks_for(sum(sizes)), THREADS, [some(rng, sizes), np.array(norm), 2.0])


@case("clamp", sizes=SIZES, bound=[0.5, 0.0, 9.0, 1.0])
def clamp(rng, sizes, bound):
    return Call(blocks_for(sum(sizes)), THREADS, [some(rng, sizes), bound])
