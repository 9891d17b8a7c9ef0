"""cuBLAS and Thrust of the null device: calls are counted, and done in NumPy if `execute` is set.

Matrices are column by column in memory, as in Fortran: element (i, j) of one with leading dimension
ld is at i + j * ld.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import null_counts
import numpy as np

execute = False
"""Whether matrices are multiplied and numbers sorted, or calls only counted."""

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_DTYPES = {0: FLOAT32, 1: FLOAT64, 2: np.dtype(np.float16)}  # cudaDataType

CONSTANTS = {
    "CUBLAS_OP_N": 0,
    "CUBLAS_OP_T": 1,
    "CUBLAS_COMPUTE_16F": 64,
    "CUBLAS_COMPUTE_32F": 68,
    "CUBLAS_COMPUTE_32F_PEDANTIC": 69,
    "CUBLAS_COMPUTE_64F": 70,
    "CUBLAS_COMPUTE_64F_PEDANTIC": 71,
    "CUBLAS_COMPUTE_32F_FAST_TF32": 77,
    "CUBLAS_GEMM_DEFAULT": -1,
    "CUBLAS_GEMM_DEFAULT_TENSOR_OP": 99,
}


def memory(address: int, count: int, dtype: Any) -> np.ndarray:
    """So many elements of the memory at `address`."""
    dtype = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)


def _matrix(address: int, rows: int, columns: int, ld: int, dtype: np.dtype) -> np.ndarray:
    count = ld * (columns - 1) + rows if rows and columns else 0
    strides = (dtype.itemsize, ld * dtype.itemsize)
    flat = memory(address, count, dtype) if count else np.empty(0, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)


def _multiply(
    transpose_a: int, transpose_b: int, m: int, n: int, k: int,
    alpha: int, a: int, a_dtype: np.dtype, lda: int, b: int, b_dtype: np.dtype, ldb: int,
    beta: int, c: int, c_dtype: np.dtype, ldc: int,
) -> None:  # fmt: skip
    """C = alpha op(A) op(B) + beta C, of which `alpha` and `beta` are addresses on the host."""
    if not execute:
        return
    inner = FLOAT64 if FLOAT64 in (a_dtype, c_dtype) else FLOAT32
    A = _matrix(a, *((k, m) if transpose_a else (m, k)), lda, a_dtype).astype(inner)
    B = _matrix(b, *((n, k) if transpose_b else (k, n)), ldb, b_dtype).astype(inner)
    C = _matrix(c, m, n, ldc, c_dtype)
    A, B = A.T if transpose_a else A, B.T if transpose_b else B
    product = memory(alpha, 1, inner)[0] * (A @ B)
    scale = memory(beta, 1, inner)[0]
    C[...] = product if scale == 0 else product + scale * C  # beta = 0: C may be NaN before


def _gemm(dtype: np.dtype) -> Callable[..., None]:
    def gemm(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        null_counts.record_product("gemm", dtype == FLOAT64)
        _multiply(ta, tb, m, n, k, alpha, a, dtype, lda, b, dtype, ldb, beta, c, dtype, ldc)

    return gemm


def _gemm_ex(
    handle, ta, tb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, *_,
):  # fmt: skip
    A, B, C = (_DTYPES[t] for t in (a_type, b_type, c_type))
    null_counts.record_product("gemmEx", FLOAT64 in (A, B, C))
    _multiply(ta, tb, m, n, k, alpha, a, A, lda, b, B, ldb, beta, c, C, ldc)


def _gemm_strided_batched_ex(
    handle, ta, tb, m, n, k, alpha, a, a_type, lda, a_stride, b, b_type, ldb, b_stride,
    beta, c, c_type, ldc, c_stride, batch, *_,
):  # fmt: skip
    A, B, C = (_DTYPES[t] for t in (a_type, b_type, c_type))
    null_counts.record_product("gemmStridedBatchedEx", FLOAT64 in (A, B, C))
    for i in range(batch):
        a_i = a + i * a_stride * A.itemsize
        b_i = b + i * b_stride * B.itemsize
        c_i = c + i * c_stride * C.itemsize
        _multiply(ta, tb, m, n, k, alpha, a_i, A, lda, b_i, B, ldb, beta, c_i, C, ldc)


def _gemm_batched(dtype: np.dtype) -> Callable[..., None]:
    def gemm_batched(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, batch):
        null_counts.record_product("gemmBatched", dtype == FLOAT64)
        addresses = [memory(p, batch, np.int64).tolist() if execute else () for p in (a, b, c)]
        for a_i, b_i, c_i in zip(*addresses, strict=True):
            _multiply(
                ta, tb, m, n, k, alpha, a_i, dtype, lda, b_i, dtype, ldb, beta, c_i, dtype, ldc
            )

    return gemm_batched


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "create": lambda: 1,
    "destroy": lambda handle: None,
    "setStream": lambda handle, stream: None,
    "getMathMode": lambda handle: 0,
    "setMathMode": lambda handle, mode: None,
    "getPointerMode": lambda handle: 0,  # alpha and beta are on the host
    "setPointerMode": lambda handle, mode: None,
    "sgemm": _gemm(FLOAT32),
    "dgemm": _gemm(FLOAT64),
    "sgemmEx": _gemm_ex,
    "gemmEx": _gemm_ex,
    "gemmStridedBatchedEx": _gemm_strided_batched_ex,
    "sgemmBatched": _gemm_batched(FLOAT32),
    "dgemmBatched": _gemm_batched(FLOAT64),
}


def install_cublas() -> None:
    """Before ``import cupy``: a module in the place of the one that loads the real cuBLAS."""
    name = "cupy_backends.cuda.libs.cublas"
    cublas = ModuleType(name)
    vars(cublas).update(CONSTANTS)
    vars(cublas).update(FUNCTIONS)

    def missing(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if attribute.isupper():
            return 0
        raise NotImplementedError(f"the null device has no cublas.{attribute}")

    cublas.__getattr__ = missing
    sys.modules[name] = cublas
    importlib.import_module("cupy_backends.cuda.libs").cublas = cublas


# ---------------------------------------------------------------------------- sorting


def _sort(dtype, address, _keys, shape):
    null_counts.record("sorts")
    if execute:
        memory(address, int(np.prod(shape)), dtype).reshape(shape).sort(axis=-1)


def _argsort(dtype, indices, address, _keys, shape):
    null_counts.record("sorts")
    if execute:
        size = int(np.prod(shape))
        values = memory(address, size, dtype).reshape(shape)
        order = np.argsort(values, axis=-1, kind="stable")
        memory(indices, size, np.int64).reshape(shape)[...] = order
        values[...] = np.take_along_axis(values, order, -1)  # as Thrust leaves them


def _lexsort(dtype, indices, address, k, n):
    null_counts.record("sorts")
    if execute:
        memory(indices, n, np.int64)[...] = np.lexsort(memory(address, k * n, dtype).reshape(k, n))


def install_thrust() -> None:
    """After ``import cupy``: the functions of the module that Thrust is compiled into."""
    from cupy.cuda import thrust

    thrust.sort, thrust.argsort, thrust.lexsort = _sort, _argsort, _lexsort
