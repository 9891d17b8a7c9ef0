"""The stand-ins themselves: what they refuse, what they count, and that CuPy computes on them."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys

import cupy
import entry_points
import host_execution
import null_device
import numpy as np
import pytest
from null_counts import count


def test_another_version_of_cupy_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "15.0.0")
    with pytest.raises(RuntimeError, match=r"made for CuPy 14\.2\.\*, this is 15\.0\.0"):
        null_device._check_version()


def test_a_cupy_that_is_imported_already_is_refused():
    with pytest.raises(RuntimeError, match="before the first `import cupy`"):
        null_device.install()


def test_a_cupy_that_is_not_there_is_missed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(RuntimeError, match="needs CuPy"):
        null_device._check_version()


def test_without_gxx_it_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"needs g\+\+"):
        host_execution.install()


def test_an_entry_point_that_is_not_there_is_told():
    with pytest.raises(NotImplementedError, match="mallocManaged"):
        sys.modules["cupy_backends.cuda.api.runtime"].mallocManaged(8)
    cupy.cuda.Stream(non_blocking=True).begin_capture()  # calls from C, where nobody can be told
    assert any("streamBeginCapture" in failure for failure in entry_points.failures)
    entry_points.failures.clear()


def test_a_function_of_cublas_that_is_not_there_is_told():
    with pytest.raises(NotImplementedError, match=r"cublas\.sgetrfBatched"):
        sys.modules["cupy_backends.cuda.libs.cublas"].sgetrfBatched


def test_a_name_that_cupy_does_not_have_is_refused():
    with pytest.raises(RuntimeError, match="is this CuPy"):
        entry_points.replace(
            "cupy_backends.cuda.api.runtime", {"launchRocket": print}, frozenset(), print
        )


# ---------------------------------------------------------------------------- values

SIZES = (1, 5, 700, 3000)
FUNCTIONS = {
    "sum": lambda xp, x: x.sum(1),
    "mean": lambda xp, x: x.mean(0),
    "max": lambda xp, x: x.max(),
    "argmax": lambda xp, x: x.argmax(1),
    "cumsum": lambda xp, x: x.cumsum(1),
    "mask": lambda xp, x: x[x > 0],
    "where": lambda xp, x: xp.where(x > 0, x, -1),
    "take": lambda xp, x: x[:, xp.asarray([0, 0, -1])],
    "matmul": lambda xp, x: x @ x.T,
    "batched": lambda xp, x: xp.stack([x, 2 * x]) @ x.T,
    "tensordot": lambda xp, x: xp.tensordot(x, x, 1) if len(x) == x.shape[1] else x @ x[0],
    "vdot": lambda xp, x: xp.vdot(x, x),
    "sort": lambda xp, x: xp.sort(x, 1),
    "argsort": lambda xp, x: xp.argsort(x, 1),
    "lexsort": lambda xp, x: xp.lexsort(x),
    "unique": lambda xp, x: xp.unique((3 * x).astype(int)),
    "float16": lambda xp, x: (x.astype("float16") * 2).astype("float64"),
    "concatenate": lambda xp, x: xp.concatenate([x, x.T.copy().T], axis=1),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_cupy_computes_what_numpy_does(name, size):
    x = np.random.default_rng(0).standard_normal((3, size))
    found = FUNCTIONS[name](cupy, cupy.asarray(x)).get()
    expected = FUNCTIONS[name](np, x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_memory_that_nobody_has_written_is_nan():
    assert cupy.isnan(cupy.empty(300)).all()
    cupy.zeros(300)
    assert cupy.isnan(cupy.empty(300)).all()  # also where it was zeros before


def test_a_product_does_not_read_what_it_overwrites():
    out = cupy.full((2, 2), cupy.nan)
    cupy.matmul(cupy.ones((2, 3)), cupy.ones((3, 2)), out=out)
    np.testing.assert_array_equal(out.get(), np.full((2, 2), 3.0))


# ---------------------------------------------------------------------------- counts


def test_everything_is_counted():
    host, x = np.ones((3, 3)), cupy.ones((3, 3))
    with count() as counts:
        y = cupy.asarray(host)
        y + x
        x @ x
        cupy.sort(x, 0)
        x.get()
        cupy.cuda.Device().synchronize()
        cupy.cuda.Stream.null.synchronize()
    with count() as nothing:
        pass
    assert counts.kernels["cupy_add__float64_float64_float64"] == 1
    assert (counts.products, counts.sorts) == (1, 1)
    assert (counts.host_to_device, counts.device_to_host) == (1, 1)
    assert counts.synchronisations == 3  # get() waits too
    assert (nothing.launches, nothing.traffic()["synchronisations"]) == (0, 0)


def test_the_grid_of_a_launch_is_kept():
    code = 'extern "C" __global__ void fill(float* x) { x[blockIdx.x * 32 + threadIdx.x] = 7; }'
    kernel, x = cupy.RawKernel(code, "fill"), cupy.zeros(96, "float32")
    with count() as counts:
        kernel((3,), (32,), (x,))
    assert counts.launched_threads == [("fill", 3, 32)]
    np.testing.assert_array_equal(x.get(), np.full(96, 7, "float32"))


SHUFFLES = """
extern "C" __global__ void shuffles(int* x, int* y)
{
    int t = threadIdx.x, v = x[t];
    for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
    y[t] = v;
    y[64 + t] = __shfl_up_sync(~0u, x[t], 1);
    y[128 + t] = __shfl_down_sync(~0u, x[t], 1);
    y[192 + t] = __shfl_sync(~0u, x[t], 3);
    y[256 + t] = __ballot_sync(~0u, x[t] % 2) == 0xAAAAAAAAu;
    y[320 + t] = __syncthreads_count(x[t] < 10);
    y[384 + t] = __syncthreads_or(x[t] == 63) + 2 * __syncthreads_and(x[t] < 64);
}
"""


@pytest.mark.parametrize("order", host_execution.ORDERS)
def test_functions_of_a_warp_and_a_block(order):
    x, y = cupy.arange(64, dtype=np.int32), cupy.zeros((7, 64), np.int32)
    with host_execution.threads_in_order(order):
        cupy.RawKernel(SHUFFLES, "shuffles")((1,), (64,), (x, y))
    t = np.arange(64)
    first, last = t % 32 == 0, t % 32 == 31
    expected = [
        np.where(t < 32, t[:32].sum(), t[32:].sum()),
        np.where(first, t, t - 1),
        np.where(last, t, t + 1),
        t // 32 * 32 + 3,
        np.ones(64),
        np.full(64, 10),
        np.full(64, 3),
    ]
    np.testing.assert_array_equal(y.get(), expected)
