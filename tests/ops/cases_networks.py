"""The cases of softmax, losses and neural networks; see `cases.py`."""

from __future__ import annotations

import math

import numpy as np
from cases import Case, case, np_softmax
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.ops.kernels import philox
from minigrad.testing import strategies as draw

# ---------------------------------------------------------------------------- softmax, losses


@case("softmax")
def softmax(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    return Case([x], lambda x: mg.softmax(x, axis), lambda x: np_softmax(x, axis))


@case("log_softmax")
def log_softmax(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    return Case([x], lambda x: mg.log_softmax(x, axis), lambda x: np.log(np_softmax(x, axis)))


def reductions(count):
    """The mean of no losses is NaN; `tests/ops/test_nothing_counts.py` has that."""
    return st.sampled_from(["sum", "none", "mean"] if count else ["sum", "none"])


def np_cross_entropy(logits, targets, weight, ignore_index, smoothing, reduction):
    """The definition, one target after another."""
    classes = logits.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    log_probs = np.log(np_softmax(logits))
    losses, counts = np.zeros(logits.shape[:-1]), 0.0
    for i in np.ndindex(losses.shape):
        if targets.ndim == logits.ndim:
            wanted, counts = targets[i], counts + 1
        elif targets[i] == ignore_index:
            continue
        else:
            wanted, counts = np.eye(classes)[targets[i]], counts + weight[targets[i]]
        wanted = (1 - smoothing) * wanted + smoothing / classes
        losses[i] = -np.sum(wanted * weight * log_probs[i])
    if reduction == "none":
        return losses
    return losses.sum() / (max(counts, 1e-300) if reduction == "mean" else 1)


@case("cross_entropy")
def cross_entropy(d):
    classes, batch = d(st.integers(1, 4)), d(draw.shapes(0, 2))
    logits = d(draw.arrays((*batch, classes)))
    weight = d(st.none() | draw.arrays((classes,), 0.2, 2))
    ignore_index = d(st.sampled_from([-100, 0]))
    smoothing = d(st.sampled_from([0.0, 0.3]))
    reduction = d(reductions(math.prod(batch)))
    options = (weight, ignore_index, smoothing, reduction)
    if d(st.booleans()):
        targets = d(draw.arrays(logits.shape, 0.1, 1))
        return Case(
            [logits, targets],
            lambda z, t: mg.cross_entropy(z, t, *options),
            lambda z, t: np_cross_entropy(z, t, *options),
        )
    targets = d(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    targets = np.where(d(hnp.arrays(np.bool_, batch)), ignore_index, targets)
    return Case(
        [logits],
        lambda z: mg.cross_entropy(z, targets, *options),
        lambda z: np_cross_entropy(z, targets, *options),
    )


@case("linear_cross_entropy")
def linear_cross_entropy(d):
    classes, features, batch = d(st.integers(1, 4)), d(st.integers(1, 3)), d(draw.shapes(0, 2))
    inputs = [d(draw.arrays((*batch, features))), d(draw.arrays((classes, features)))]
    inputs += [d(draw.arrays((classes,)))] if d(st.booleans()) else []
    ignore_index = d(st.sampled_from([-100, 0]))
    targets = d(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    targets = np.where(d(hnp.arrays(np.bool_, batch)), ignore_index, targets)
    smoothing = d(st.sampled_from([0.0, 0.3, 1.0]))
    reduction = d(st.sampled_from(["sum", "mean"] if targets.size else ["sum"]))

    def call(hidden, weight, bias=None):
        options = (ignore_index, smoothing, reduction)
        return mg.linear_cross_entropy(hidden, weight, bias, targets, *options)

    def expected(hidden, weight, bias=0):
        logits = np.einsum("...f,cf->...c", hidden, weight) + bias
        return np_cross_entropy(logits, targets, None, ignore_index, smoothing, reduction)

    return Case(inputs, call, expected)


@case("nll_loss")
def nll_loss(d):
    classes, batch = d(st.integers(1, 4)), d(draw.shapes(0, 2))
    x = d(draw.arrays((*batch, classes)))
    targets = d(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    ignore_index = d(st.sampled_from([-100, 0]))
    reduction = d(reductions(targets.size))

    def expected(x):
        losses = -np.take_along_axis(x, targets[..., None], -1)[..., 0]
        losses = losses * (targets != ignore_index)
        if reduction == "none":
            return losses
        count = max((targets != ignore_index).sum(), 1)
        return losses.sum() / (count if reduction == "mean" else 1)

    return Case(
        [x],
        lambda x: mg.nll_loss(x, targets, None, ignore_index, reduction),
        expected,
    )


def _reduced(losses, reduction):
    return losses if reduction == "none" else getattr(losses, reduction)()


@case("mse_loss")
def mse_loss(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    reduction = d(reductions(x.size))
    return Case(
        [x, d(draw.arrays(x.shape))],
        lambda x, y: mg.mse_loss(x, y, reduction),
        lambda x, y: _reduced((x - y) ** 2, reduction),
    )


@case("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    reduction = d(reductions(x.size))
    weight = d(st.none() | draw.arrays(x.shape, 0.2, 2))
    positive = d(st.none() | draw.arrays((), 0.2, 2))

    def expected(x, y):
        p = 1 / (1 + np.exp(-x))
        scale = 1 if positive is None else positive
        losses = -(scale * y * np.log(p) + (1 - y) * np.log(1 - p))
        return _reduced(losses * (1 if weight is None else weight), reduction)

    return Case(
        [x, d(draw.arrays(x.shape, 0, 1))],
        lambda x, y: mg.binary_cross_entropy_with_logits(x, y, weight, reduction, positive),
        expected,
    )


# ---------------------------------------------------------------------------- neural


@case("embedding")
def embedding(d):
    weight = d(draw.arrays(st.tuples(st.integers(1, 4), st.integers(0, 3))))
    ids = d(hnp.arrays(np.int64, draw.shapes(0, 2), elements=st.integers(0, len(weight) - 1)))
    sparse = d(st.booleans())
    return Case(
        [weight],
        lambda w: mg.embedding(ids, w, sparse=sparse),
        lambda w: np.eye(len(w), dtype=w.dtype)[ids] @ w,
    )


@case("dropout")
def dropout(d):
    x, seed = d(draw.arrays()), d(st.integers(0, 99))
    p = d(st.sampled_from([0.0, 0.3, 1.0]))
    axis = d(st.none() | st.integers(-x.ndim, x.ndim - 1)) if x.ndim else None

    def expected(x):
        if p == 0:
            return x
        shape = [1 if axis is not None and k == axis % x.ndim else n for k, n in enumerate(x.shape)]
        rng = np.random.default_rng(seed)
        if mg.get_default_device() == "cpu":
            keep = rng.integers(2**16, size=shape, dtype=np.uint16) / 2**16 >= p
        else:  # 32 bits each, from a key that the generator has drawn
            low, high = rng.integers(2**32, size=2).tolist()
            counter = np.arange(math.prod(shape), dtype=np.uint64)
            words = philox([counter // 4, *[np.zeros_like(counter)] * 3], high << 32 | low)
            draws = np.choose(counter.astype(int) % 4, words).reshape(shape) / 2**32
            keep = draws >= round(p * 2**16) / 2**16
        return np.where(keep, x / (1 - p if p < 1 else 1), 0)

    def call(x):
        return mg.dropout(x, p, rng=np.random.default_rng(seed), shared_axis=axis)

    return Case([x], call, expected)


@case("layer_norm")
def layer_norm(d):
    shape = d(st.sampled_from([(3,), (2, 3), (4,), (1, 2)]))
    x = d(draw.arrays(draw.shapes(0, 2).map(lambda batch: batch + shape)))
    weight, bias = d(st.sampled_from([(True, True), (True, False), (False, False), (False, True)]))
    inputs = [x] + [d(draw.arrays(shape)) for wanted in (weight, bias) if wanted]

    def arguments(rest):
        rest = list(rest)
        return rest.pop(0) if weight else None, rest.pop(0) if bias else None

    def expected(x, *rest):
        w, b = arguments(rest)
        axes = tuple(range(-len(shape), 0))
        y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.5)
        y = y if w is None else y * w
        return y if b is None else y + b

    return Case(
        inputs, lambda x, *rest: mg.layer_norm(x, shape, *arguments(rest), eps=0.5), expected
    )
