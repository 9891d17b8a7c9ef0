"""The cases of shapes, indexing and linear algebra; see `cases.py`."""

from __future__ import annotations

import numpy as np
from cases import Case, case
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import strategies as draw

# ---------------------------------------------------------------------------- shapes


@case("reshape")
def reshape(d):
    x = d(draw.arrays())
    shape = d(
        st.sampled_from(
            [x.shape, x.shape[::-1], (x.size,), (1, *x.shape), *([-1] if x.size else [])]
        )
    )
    return Case([x], lambda x: mg.reshape(x, shape), lambda x: np.reshape(x, shape))


@case("expand_dims")
def expand_dims(d):
    x = d(draw.arrays())
    axis = d(st.sampled_from([0, -1, (0, -1), (0, 1)]))
    return Case([x], lambda x: mg.expand_dims(x, axis), lambda x: np.expand_dims(x, axis))


@case("squeeze")
def squeeze(d):
    x = d(draw.arrays(st.sampled_from([(), (1,), (1, 3, 1), (2, 1), (1, 0)])))
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    axis = d(st.sampled_from([None, *ones, tuple(ones)]))
    return Case([x], lambda x: mg.squeeze(x, axis), lambda x: np.squeeze(x, axis))


@case("transpose")
def transpose(d):
    x = d(draw.arrays())
    axes = d(st.none() | st.permutations([i - x.ndim * d(st.booleans()) for i in range(x.ndim)]))
    return Case([x], lambda x: mg.transpose(x, axes), lambda x: np.transpose(x, axes))


@case("swapaxes")
def swapaxes(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    i, k = (d(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
    return Case([x], lambda x: mg.swapaxes(x, i, k), lambda x: np.swapaxes(x, i, k))


@case("moveaxis")
def moveaxis(d):
    x = d(draw.arrays(draw.shapes(min_dims=2)))
    i, k = (d(st.permutations(range(x.ndim)))[:2] for _ in range(2))
    i, k = d(st.sampled_from([(i, k), (i[0], k[0] - x.ndim)]))
    return Case([x], lambda x: mg.moveaxis(x, i, k), lambda x: np.moveaxis(x, i, k))


@case("broadcast_to")
def broadcast_to(d):
    drawn = d(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=3))
    x = d(draw.arrays(drawn.input_shapes[0]))
    shape = drawn.result_shape
    return Case([x], lambda x: mg.broadcast_to(x, shape), lambda x: np.broadcast_to(x, shape))


@case("concatenate")
def concatenate(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(draw.axes(x.ndim, several=False))
    shape = list(x.shape)
    shape[axis or 0] = d(st.integers(0, 3))
    y = d(draw.arrays(tuple(shape)))
    return Case(
        [x, y],
        lambda x, y: mg.concatenate([x, y, x], axis),
        lambda x, y: np.concatenate([x, y, x], axis),
    )


@case("stack")
def stack(d):
    x = d(draw.arrays())
    y = d(draw.arrays(x.shape))
    axis = d(st.integers(-x.ndim - 1, x.ndim))
    return Case(
        [x, y], lambda x, y: mg.stack([x, y, x], axis), lambda x, y: np.stack([x, y, x], axis)
    )


@case("split")
def split(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    where = d(st.sampled_from([[n // 2], [1, 2], 1, *([n, [-1]] if n else [])]))
    use = d(st.sampled_from([slice(None), slice(0, 1), slice(-1, None)]))  # some, all outputs
    return Case(
        [x], lambda x: list(mg.split(x, where, axis))[use], lambda x: np.split(x, where, axis)[use]
    )


@case("unstack")
def unstack(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    use = d(st.sampled_from([slice(None), slice(0, 1), slice(-1, None)]))  # some, all outputs
    return Case(
        [x], lambda x: list(mg.unstack(x, axis))[use], lambda x: list(np.moveaxis(x, axis, 0))[use]
    )


@case("flip")
def flip(d):
    x = d(draw.arrays())
    axis = d(draw.axes(x.ndim))
    return Case([x], lambda x: mg.flip(x, axis), lambda x: np.flip(x, axis))


@case("roll")
def roll(d):
    x = d(draw.arrays())
    axis = d(draw.axes(x.ndim, several=False))
    shift = d(st.integers(-4, 4))
    if x.ndim >= 2 and d(st.booleans()):
        shift, axis = (shift, 1), (0, -1)
    return Case([x], lambda x: mg.roll(x, shift, axis), lambda x: np.roll(x, shift, axis))


@case("pad")
def pad(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    mode = d(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    sides = st.tuples(*[st.integers(0, 2)] * 2)
    width = d(st.integers(0, 2) | sides | st.tuples(*[sides] * x.ndim)) if x.ndim else 0
    options = {"constant_values": 0.5} if mode == "constant" else {}
    return Case(
        [x],
        lambda x: mg.pad(x, width, mode, **options),
        lambda x: np.pad(x, width, mode, **options),
    )


@case("tile")
def tile(d):
    reps = d(st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=4).map(tuple))
    return Case([d(draw.arrays())], lambda x: mg.tile(x, reps), lambda x: np.tile(x, reps))


@case("repeat")
def repeat(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(draw.axes(x.ndim, several=False))
    length = x.size if axis is None else x.shape[axis]
    repeats = d(st.integers(0, 3) | st.lists(st.integers(0, 2), min_size=length, max_size=length))
    return Case([x], lambda x: mg.repeat(x, repeats, axis), lambda x: np.repeat(x, repeats, axis))


# ---------------------------------------------------------------------------- indexing


@case("getitem")
def getitem(d):
    x = d(draw.arrays())
    index = d(draw.indices(x.shape))
    return Case([x], lambda x: mg.getitem(x, index), lambda x: x[index])


@case("take")
def take(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(draw.axes(x.ndim, several=False))
    n = x.size if axis is None else x.shape[axis]
    mode, beyond = d(st.sampled_from([("raise", 0), ("wrap", 5), ("clip", 5)]))
    low = -n - beyond if mode != "clip" else -beyond
    indices = d(hnp.arrays(np.int64, draw.shapes(0, 2), elements=st.integers(low, n - 1 + beyond)))
    return Case(
        [x],
        lambda x: mg.take(x, indices, axis, mode=mode),
        lambda x: np.take(x, indices, axis, mode=mode),
    )


@case("take_along_axis")
def take_along_axis(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(draw.axes(x.ndim, several=False))
    shape = [x.size] if axis is None else list(x.shape)
    n = shape[-1 if axis is None else axis]
    shape[-1 if axis is None else axis] = d(st.integers(0, 3))
    indices = d(hnp.arrays(np.int64, tuple(shape), elements=st.integers(-n, n - 1)))
    return Case(
        [x],
        lambda x: mg.take_along_axis(x, indices, axis),
        lambda x: np.take_along_axis(x, indices, axis),
    )


def _changed(d):
    x = d(draw.arrays())
    index = d(draw.indices(x.shape))
    target = x[index].shape
    shape = d(hnp.broadcastable_shapes(target, max_dims=len(target), max_side=1) | st.just(target))
    if np.broadcast_shapes(shape, target) != target:
        shape = ()
    return x, index, d(draw.arrays(shape))


def _one_by_one(change):
    """The change of `x` at an index with `values`, element after element, in Python."""

    def expected(x, values, index):
        places = np.arange(x.size).reshape(x.shape)[index]
        flat = x.ravel().tolist()
        values = np.broadcast_to(values, places.shape)
        for place, value in zip(places.ravel().tolist(), values.ravel().tolist(), strict=True):
            flat[place] = change(flat[place], value)
        return np.reshape(flat, x.shape)

    return expected


@case("scatter_add")
def scatter_add(d):
    x, index, values = _changed(d)
    expected = _one_by_one(lambda old, new: old + new)
    return Case(
        [x, values],
        lambda x, v: mg.scatter_add(x, index, v),
        lambda x, v: expected(x, v, index),
    )


@case("scatter_set")
def scatter_set(d):
    x, index, values = _changed(d)
    expected = _one_by_one(lambda old, new: new)
    return Case(
        [x, values],
        lambda x, v: mg.scatter_set(x, index, v),
        lambda x, v: expected(x, v, index),
    )


# ---------------------------------------------------------------------------- linear algebra


@case("matmul")
def matmul(d):
    drawn = d(
        hnp.mutually_broadcastable_shapes(
            signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3
        )
    )
    return Case([d(draw.arrays(s)) for s in drawn.input_shapes], mg.matmul, np.matmul)


@case("linear")
def linear(d):
    batch, n_in, n_out = d(draw.shapes(0, 2)), d(st.integers(1, 3)), d(st.integers(1, 3))
    inputs = [d(draw.arrays(s)) for s in ((*batch, n_in), (n_out, n_in), (n_out,))]
    if d(st.booleans()):
        return Case(inputs[:2], mg.linear, lambda x, w: x @ w.T)
    return Case(inputs, mg.linear, lambda x, w, b: x @ w.T + b)


@case("dot")
def dot(d):
    k = d(st.integers(0, 3))
    one, two = d(
        st.sampled_from(
            [((), (2, 3)), ((k,), (k,)), ((2, k), (k, 3)), ((2, k), (k,)), ((k,), (k, 2)),
             ((2, 3, k), (2, k, 3)), ((2, 2, k), (k,)), ((k,), (2, k, 3))]
        )
    )  # fmt: skip
    return Case([d(draw.arrays(one)), d(draw.arrays(two))], mg.dot, np.dot)


@case("outer")
def outer(d):
    return Case([d(draw.arrays()), d(draw.arrays(draw.shapes(0, 2)))], mg.outer, np.outer)


@case("tensordot")
def tensordot(d):
    one, two, axes = d(
        st.sampled_from(
            [((2, 3), (3, 2), 1), ((2, 3), (2, 3), 2), ((2,), (3,), 0), ((2, 3, 1), (1, 3), ([1, 2], [1, 0])),
             ((2, 3, 2), (3, 2, 2), ([-2, 0], [0, 1])), ((0, 2), (2, 3), 1), ((2, 3), (3,), (1, 0))]
        )
    )  # fmt: skip
    return Case(
        [d(draw.arrays(one)), d(draw.arrays(two))],
        lambda a, b: mg.tensordot(a, b, axes),
        lambda a, b: np.tensordot(a, b, axes),
    )


@case("einsum")
def einsum(d):
    subscripts, *shapes = d(
        st.sampled_from(
            [("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ii", (3, 3)), ("ii->i", (3, 3)),
             ("ij->", (2, 3)), ("ij->ji", (2, 3)), ("i,i,i->", (3,), (3,), (3,)), ("ij,kj->k", (2, 3), (2, 3)),
             ("...i,...i->...", (2, 3), (2, 3)), ("...ij,jk->...ik", (2, 2, 3), (3, 2)), ("iij->j", (2, 2, 3)),
             ("b...,b", (2, 3, 2), (2,)), ("i,j->ij", (2,), (3,)), ("ij,j,k->ik", (2, 3), (3,), (2,)),
             ("...,...", (2, 1), (3,)), ("iji->j", (2, 3, 2)), ("ij,jk->ik", (0, 3), (3, 2)), ("i->", (0,))]
        )
    )  # fmt: skip
    return Case(
        [d(draw.arrays(shape)) for shape in shapes],
        lambda *xs: mg.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
    )


def _matrices(d):
    return d(draw.arrays(draw.shapes(min_dims=2))), d(st.integers(-3, 3))


@case("diagonal")
def diagonal(d):
    x, offset = _matrices(d)
    i, k = d(st.permutations(range(x.ndim)))[:2]
    return Case([x], lambda x: mg.diagonal(x, offset, i, k), lambda x: np.diagonal(x, offset, i, k))


@case("trace")
def trace(d):
    x, offset = _matrices(d)
    return Case([x], lambda x: mg.trace(x, offset), lambda x: np.trace(x, offset))


@case("tril")
def tril(d):
    x, k = _matrices(d)
    return Case([x], lambda x: mg.tril(x, k), lambda x: np.tril(x, k))


@case("triu")
def triu(d):
    x, k = _matrices(d)
    return Case([x], lambda x: mg.triu(x, k), lambda x: np.triu(x, k))
