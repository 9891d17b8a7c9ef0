"""An axis that an array does not have is an error of every op, by name, and never another axis."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

X = np.arange(24.0).reshape(2, 3, 4)
I = np.zeros((2, 3, 4), int)  # noqa: E741

CALLS = {
    "argmax": mg.argmax,
    "argmin": mg.argmin,
    "argsort": mg.argsort,
    "concatenate": lambda x, axis: mg.concatenate([x, x], axis),
    "cumprod": mg.cumprod,
    "cumsum": mg.cumsum,
    "diagonal": lambda x, axis: mg.diagonal(x, 0, axis, 0),
    "expand_dims": lambda x, axis: mg.expand_dims(x[0], axis),
    "flip": mg.flip,
    "log_softmax": mg.log_softmax,
    "logsumexp": mg.logsumexp,
    "max": mg.max,
    "mean": mg.mean,
    "min": mg.min,
    "moveaxis": lambda x, axis: mg.moveaxis(x, axis, 0),
    "norm": lambda x, axis: mg.norm(x, None, axis),
    "prod": mg.prod,
    "repeat": lambda x, axis: mg.repeat(x, 2, axis),
    "roll": lambda x, axis: mg.roll(x, 1, axis),
    "softmax": mg.softmax,
    "sort": mg.sort,
    "split": lambda x, axis: mg.split(x, 1, axis),
    "squeeze": mg.squeeze,
    "stack": lambda x, axis: mg.stack([x[0], x[0]], axis),
    "std": mg.std,
    "sum": mg.sum,
    "swapaxes": lambda x, axis: mg.swapaxes(x, 0, axis),
    "take": lambda x, axis: mg.take(x, [0], axis),
    "take_along_axis": lambda x, axis: mg.take_along_axis(x, I, axis),
    "tensordot": lambda x, axis: mg.tensordot(x, x, ([axis], [axis])),
    "topk": lambda x, axis: mg.topk(x, 1, axis),
    "transpose": lambda x, axis: mg.transpose(x, (0, 1, axis)),
    "unstack": mg.unstack,
    "var": mg.var,
}


@pytest.mark.parametrize("axis", [3, 4, -4, -7, 1.0, "0"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_axis_out_of_range_or_no_integer(name, axis, dtype):
    x = mg.tensor(X, dtype=dtype, requires_grad=True)
    with pytest.raises((ValueError, TypeError), match=name):
        CALLS[name](x, axis)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "prod", "logsumexp", "norm", "flip"])
@pytest.mark.parametrize("axes", [(0, 0), (1, -2)])
def test_an_axis_named_twice(name, axes):
    for side in (2, 200):  # large sums go another way
        with pytest.raises(ValueError, match=name):
            CALLS[name](mg.ones((side, 3, 4)), axes)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.tensordot(x, x, 4),
        lambda x: mg.tensordot(x, x, -1),
        lambda x: mg.tensordot(x, x, ([0, 0], [0, 0])),
        lambda x: mg.diagonal(x, 0, 1, -2),
        lambda x: mg.trace(x, 0, 1, 1),
        lambda x: mg.moveaxis(x, (0, 0), (1, 2)),
        lambda x: mg.transpose(x, (0, 1, 1)),
        lambda x: mg.einsum("iij->ij", x),
        lambda x: mg.einsum("iij", x),
        lambda x: mg.einsum("i...->i", x),
        lambda x: mg.einsum("i......->i", x),
        lambda x: mg.einsum("ijk,jk->i", x, x[0].T),
    ],
)
def test_axes_that_do_not_fit_each_other(call):
    with pytest.raises(ValueError, match=r"tensordot|diagonal|moveaxis|transpose|einsum"):
        call(mg.tensor(X))
