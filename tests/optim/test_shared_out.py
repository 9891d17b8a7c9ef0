"""Steps of large arrays are shared out among threads; and no number depends on how many."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays import threads
from minigrad.autograd.sparse import RowSparse
from minigrad.optim import ASGD, SGD, Adagrad, Adam, AdamW, RMSprop, pieces

EACH = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (ASGD, {"t0": 0}),
    (Adagrad, {}),
    (RMSprop, {"momentum": 0.9, "centered": True}),
    (Adam, {"amsgrad": True}),
    (AdamW, {"weight_decay": 0}),
]
host = pytest.mark.host(reason="a GPU's arrays are not cut into pieces")


@contextmanager
def shared_among(count):
    """So many threads, and pieces of 8 elements, all of which are shared out."""
    threads._pool.cache_clear()
    with (
        mock.patch.multiple(pieces, BLOCK=8, LARGE=8),
        mock.patch.object(threads, "count", return_value=count),
    ):
        try:
            yield
        finally:
            threads._pool().shutdown()
            threads._pool.cache_clear()


def with_gradients(seed, dtype, sparse=False):
    """Parameters of several shapes and orders of memory; one gradient may be row-sparse."""
    rng = np.random.default_rng(seed)
    result = []
    for shape in ((), (3,), (40,), (9, 5), (1, 30), (50, 2), (4, 3, 5), (0, 4)):
        p = mg.tensor(np.asarray(rng.normal(size=shape), dtype), requires_grad=True)
        g = np.asarray(rng.normal(size=shape), dtype)
        p.grad = mg.Tensor(np.asfortranarray(g) if g.ndim > 1 and rng.random() < 0.5 else g)
        result.append(p)
    if sparse:
        rows = rng.integers(0, 50, 20)
        values = np.asarray(rng.normal(size=(20, 2)), dtype)
        result[5].grad = RowSparse(rows, values, (50, 2))
    return result


@host
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("kind", "options"), EACH)
def test_steps(kind, options, dtype):
    results = []
    for count in (1, 2, 3):
        parameters = with_gradients(0, dtype, sparse=kind.takes_sparse)
        optimizer = kind(parameters, lr=0.1, **options)
        with shared_among(count):
            for _ in range(3):
                optimizer.step()
        state = optimizer.state_dict()["state"]
        arrays = [np.asarray(x) for entries in state.values() for x in entries.values()]
        results.append([p.numpy() for p in parameters] + arrays)
    for one, *others in zip(*results, strict=True):
        assert all((x.dtype, x.tobytes()) == (one.dtype, one.tobytes()) for x in others)


@host
def test_an_error_in_another_thread_arrives():
    optimizer, main = SGD(with_gradients(0, "float32"), lr=0.1), threading.get_ident()
    helper_came = threading.Event()

    def change(*args):
        if threading.get_ident() == main:
            assert helper_came.wait(timeout=60)
        else:
            helper_came.set()
            raise MemoryError("in a helper")

    with (
        shared_among(2),
        mock.patch.object(optimizer.kernel, "change", change),
        pytest.raises(MemoryError, match="in a helper"),
    ):
        optimizer.step()


@host
def test_numbers_out_of_range_are_no_errors_in_any_thread():
    parameters = with_gradients(0, "float32")
    for p in parameters:
        p.grad = mg.full(p.shape, 1e37)
    with shared_among(3), np.errstate(all="raise"):
        Adam(parameters, lr=1e38).step()


NORM = """
import numpy as np
import minigrad as mg
for size in (9_999, 10_001, 16_384, 100_003, 1_000_000):
    for dtype in ("float32", "float64"):
        p = mg.tensor(np.zeros(size, dtype), requires_grad=True)
        p.grad = mg.tensor(np.random.default_rng(size).normal(size=size).astype(dtype))
        print(mg.optim.clip_grad_norm_(p, np.inf).item().hex())
"""


@host
def test_the_norm_does_not_depend_on_the_threads_of_the_blas():
    norms = [
        subprocess.run(
            [sys.executable, "-c", NORM],
            env=os.environ | dict.fromkeys(threads.VARIABLES, str(count)),
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for count in (1, 2)
    ]
    assert norms[0].count("\n") == 10
    assert norms[1] == norms[0]
