"""Every kernel of minigrad, run on the host, does what its oracle does in NumPy."""

from __future__ import annotations

import copy

import cupy
import entry_points
import host_execution
import numpy as np
import pytest
from kernel_cases import CASES, Call, Columns
from library_kernels import KERNELS, NAMES

from minigrad.arrays.kernel import DTYPES, Kernel, tables

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}
MARGIN = 64  # elements before and after each array, which no kernel may touch


class Guarded:
    """A copy on the device of an array, between two margins."""

    def __init__(self, array, dtype):
        self.dtype = np.dtype(dtype) if array.dtype.kind == "f" else array.dtype
        self.fill = -77 if self.dtype.kind == "i" else np.nan
        self.memory = cupy.full(array.size + 2 * MARGIN, self.fill, self.dtype)
        self.array = self.memory[MARGIN : MARGIN + array.size].reshape(array.shape)
        self.array[...] = cupy.asarray(array.astype(self.dtype))

    def check(self, expected, tolerance):
        memory = self.memory.get()
        for margin in (memory[:MARGIN], memory[-MARGIN:]):
            np.testing.assert_array_equal(margin, np.full(MARGIN, self.fill, self.dtype))
        found = self.array.get()
        finite = np.abs(expected[np.isfinite(expected)])
        scale = finite.max() if finite.size else 1.0
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def rounded(argument, dtype):
    """An argument for the oracle: float64, but with the values that the kernel is given."""
    if isinstance(argument, Columns):
        return [None if c is None else [rounded(x, dtype) for x in c] for c in argument.columns]
    if isinstance(argument, np.ndarray) and argument.dtype.kind == "f":
        return argument.astype(dtype).astype(np.float64)
    return copy.copy(argument)


def columns_for_oracle(columns, rows):
    """Five lists, as the oracle of a kernel with a table is given them."""
    whole = [[None] * rows if c is None else c for c in columns]
    return whole + [[None] * rows] * (5 - len(whole))


def run_and_compare(kernel: Kernel, dtype, call: Call):
    pairs = []

    def on_device(argument, expected):
        if not isinstance(argument, np.ndarray):
            return argument
        guarded = Guarded(argument, dtype)
        pairs.append((guarded, expected))
        return guarded.array

    given, for_oracle = [], []
    for argument in call.arguments:
        expected = rounded(argument, dtype)
        if isinstance(argument, Columns):
            device = [
                None if c is None else [on_device(x, e) for x, e in zip(c, ec, strict=True)]
                for c, ec in zip(argument.columns, expected, strict=True)
            ]
            ((table, _),) = tables(device)
            given.append(table)
            for_oracle.append(columns_for_oracle(expected, len(argument.columns[0])))
        else:
            given.append(on_device(argument, expected))
            for_oracle.append(expected)
    kernel(call.blocks, call.threads, dtype, *given)
    with np.errstate(all="ignore"):
        kernel.oracle(*for_oracle)
    for guarded, expected in pairs:
        guarded.check(expected, TOLERANCE[np.dtype(dtype)])


def test_every_kernel_has_a_case():
    assert sorted(CASES) == NAMES


@pytest.mark.parametrize("order", host_execution.ORDERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_its_oracle(name, dtype, order):
    assert name in CASES, f"write a case for the kernel {name} in kernel_cases.py"
    for seed, make in enumerate(CASES[name]):
        with host_execution.threads_in_order(order):
            run_and_compare(KERNELS[name], dtype, make(np.random.default_rng(seed)))
        assert not entry_points.failures


# ---------------------------------------------------------------------------- the tests can fail


@pytest.fixture
def planted(monkeypatch):
    """A function that makes a kernel which goes away after the test."""
    before = dict(KERNELS)
    yield lambda *args: Kernel(*args)
    KERNELS.clear()
    KERNELS.update(before)


def double(count, x):
    x *= 2


REVERSED = """
    __shared__ T shared[256];
    shared[threadIdx.x] = x[threadIdx.x];
    %s
    x[threadIdx.x] = shared[255 - threadIdx.x];
"""


def reverse(count, x):
    x[...] = x[::-1].copy()


def call_of(count):
    array = np.random.default_rng(0).standard_normal(count)
    return Call(-(-count // 256), 256, [count, array])


BOUND = "long long i = blockIdx.x * 256 + threadIdx.x; if (i < count) "


def test_a_right_kernel_agrees(planted):
    kernel = planted("right", "long long count, T* x", BOUND + "x[i] *= 2;", double)
    run_and_compare(kernel, np.float32, call_of(700))


@pytest.mark.parametrize(
    "body",
    [
        BOUND + "x[i] *= T(2.0001);",
        BOUND + "if (i != 699) x[i] *= 2;",
        BOUND + "x[i + 1] *= 2;",
        "long long i = blockIdx.x * 256 + threadIdx.x; x[i] = i < count ? x[i] * 2 : 0;",
    ],
    ids=["inexact", "misses the last", "shifted", "out of bounds"],
)
def test_a_wrong_kernel_is_found(planted, body):
    kernel = planted("wrong", "long long count, T* x", body, double)
    with pytest.raises(AssertionError):
        run_and_compare(kernel, np.float32, call_of(700))


def test_a_barrier_makes_threads_meet(planted):
    kernel = planted("meet", "long long count, T* x", REVERSED % "__syncthreads();", reverse)
    for order in host_execution.ORDERS:
        with host_execution.threads_in_order(order):
            run_and_compare(kernel, np.float64, call_of(256))


def test_a_missing_barrier_is_found(planted):
    kernel = planted("miss", "long long count, T* x", REVERSED % "", reverse)
    with pytest.raises(AssertionError):
        run_and_compare(kernel, np.float64, call_of(256))


def test_shared_memory_begins_as_nan(planted):
    body = "__shared__ T sum; sum += x[threadIdx.x]; x[threadIdx.x] *= sum == sum ? 2 : 3;"
    kernel = planted("dirty", "long long count, T* x", body, double)
    with pytest.raises(AssertionError):
        run_and_compare(kernel, np.float64, call_of(256))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("if (threadIdx.x > 5) return; __syncthreads();", "has ended"),
        ("if (threadIdx.x > 5) __syncthreads();\n else __syncthreads();", "different"),
    ],
)
def test_barriers_that_threads_miss_are_found(planted, body, complaint):
    body += " x[threadIdx.x] *= 2;" if complaint == "different" else ""
    kernel = planted("astray", "long long count, T* x", body, double)
    kernel(1, 256, np.dtype(np.float32), 256, cupy.zeros(256, np.float32))
    assert any(complaint in failure for failure in entry_points.failures)
    entry_points.failures.clear()
