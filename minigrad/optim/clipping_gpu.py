"""Clipping on a GPU: kernels that work on all gradients at once; the norm stays on the GPU.

The norm takes two launches, and one more for each further 64 gradients. In the first launch, each
block of threads computes the norm of its share of the elements. In the second, one block computes
the norm of those norms. Which thread sums which elements, and in which order, depends only on the
number of elements. So the result is the same in each run, bit for bit.

Both launches sum in float64, so that squares of float32 neither overflow nor vanish. But the norms
of the shares are kept in the gradients' dtype. They are norms, not squares: if the result is in the
range of the dtype, they are too, and to round them costs no more than to round the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.devices import device_of
from minigrad.arrays.kernel import DTYPES, THREADS, Kernel, tables, usable
from minigrad.arrays.library import Array, DType, array_module
from minigrad.arrays.recording import one_call
from minigrad.arrays.sums import wide
from minigrad.optim.kernels import blocks_for, each_element


def common_norm(gradients: Sequence[Array], p: float) -> Array:
    """The p-norm of all elements, an array () on their GPU; float64 if one gradient is float64.

    Raises
    ------
    ValueError
        if they are not on one GPU.
    """
    first = device_of(gradients[0])
    for g in gradients:
        if device_of(g) != first:
            raise ValueError(
                f"clip_grad_norm_: one gradient is on {first}, another on {device_of(g)}; clip "
                "those of each device by themselves"
            )
    dtypes = [g.dtype if g.dtype in DTYPES else DTYPES[0] for g in gradients if g.size]
    norm = array_module(gradients[0]).empty((), max(dtypes, default=gradients[0].dtype))
    _measure(norm, gradients, p)
    return norm


@one_call("norm")
def _measure(norm: Array, gradients: Sequence[Array], p: float) -> None:
    """Write the p-norm of all elements to `norm`."""
    gradients = [_readable(g) for g in gradients if g.size]
    xp, widest = array_module(norm), norm.dtype
    jobs = [
        (dtype, table, blocks_for(total))
        for dtype in DTYPES
        for table, total in tables([[g for g in gradients if g.dtype == dtype]])
    ]
    if not jobs:
        norm.fill(0)
        return
    parts = xp.empty(sum(blocks for *_, blocks in jobs), widest)
    start = 0
    for dtype, table, blocks in jobs:
        part = parts[start : start + blocks]
        target = part if dtype == widest else xp.empty(blocks, dtype)
        norm_parts(blocks, THREADS, dtype, table, target, p)
        if target is not part:
            part[...] = target
        start += blocks
    norm_of_parts(1, THREADS, widest, parts, parts.size, norm, p)


def _readable(g: Array) -> Array:
    """The elements of `g`, in any order, in a form that kernels can read."""
    return array_module(g).ascontiguousarray(_in_order(g), None if g.dtype in DTYPES else DTYPES[0])


def _in_order(g: Array) -> Array:
    """`g`, or its transpose if only that is contiguous."""
    return g.T if g.flags.f_contiguous and not g.flags.c_contiguous else g


@one_call("gradients")
def scale_all(gradients: Sequence[Array], norm: Array, max_norm: float) -> None:
    """Multiply all by min(1, max_norm / (norm + 1e-6)), in place; the host does not wait."""
    others = _launch(scale, gradients, lambda dtype: (norm.astype(dtype, copy=False), max_norm))
    for g in others:
        xp = array_module(g)
        factor = xp.minimum(max_norm / (norm + 1e-6), 1.0).astype(wide(g.dtype))
        xp.multiply(g, factor, out=g, casting="same_kind")


@one_call("gradients")
def clamp_all(gradients: Sequence[Array], bound: float) -> None:
    """Move all elements into [-bound, bound], in place."""
    for g in _launch(clamp, gradients, lambda dtype: (in_range(bound, dtype),)):
        clamp_one(g, bound)


def in_range(bound: float, dtype: DType) -> float:
    """`bound`, or the largest number of `dtype` if that is smaller."""
    return min(bound, float(np.finfo(dtype).max))


def clamp_one(g: Array, bound: float) -> None:
    """Move the elements of one array into [-bound, bound], with NumPy's or CuPy's functions."""
    xp, bound = array_module(g), in_range(bound, g.dtype)
    xp.minimum(g, bound, out=g)
    xp.maximum(g, -bound, out=g)


def _launch(
    kernel: Kernel, gradients: Sequence[Array], arguments: Callable[[Any], tuple[Any, ...]]
) -> list[Array]:
    """Change `gradients` with a kernel; returns those on which it cannot work.

    These are float16, or not contiguous. `arguments` gives the kernel's arguments for a dtype.
    """
    taken: dict[tuple[int, Any], list[Array]] = {}
    others = []
    for g in gradients:
        if not g.size:
            continue
        ordered = _in_order(g)
        if usable(ordered) and ordered.flags.c_contiguous:
            taken.setdefault((g.device.id, g.dtype), []).append(ordered)
        else:
            others.append(g)
    for (_, dtype), arrays in taken.items():
        for table, total in tables([arrays]):
            kernel(blocks_for(total), THREADS, dtype, table, *arguments(dtype))
    return others


# ---------------------------------------------------------------------------- the kernels

_NORM = """
    const bool is_largest = isinf(p);
    auto power = [&](double x) {
        return p == 2 ? x * x : p == 1 || is_largest ? fabs(x) : pow(fabs(x), p);
    };
    auto sum = [&](double a, double b) {  // or the larger of them; NaN if one of them is
        return !is_largest ? a + b : a > b || a != a ? a : b;
    };
    auto root = [&](double x) {
        return p == 2 ? sqrt(x) : p == 1 || is_largest ? x : pow(x, 1 / p);
    };
    __shared__ double sums[256];
    double mine = 0;
"""
_NORM_OF_BLOCK = """
    sums[threadIdx.x] = mine;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] = sum(sums[threadIdx.x], sums[threadIdx.x + half]);
    }
"""
assert THREADS == 256


def _norm_parts(columns: list[list[Array]], parts: Array, p: float) -> None:
    flat = np.concatenate([g.astype(np.float64) for g in columns[0]])
    rounds = -(-flat.size // (parts.size * THREADS))
    shares = np.zeros((rounds, parts.size, THREADS))
    shares.reshape(-1)[: flat.size] = flat
    parts[...] = np.linalg.norm(np.swapaxes(shares, 0, 1).reshape(parts.size, -1), p, axis=1)


norm_parts = Kernel(
    "norm_parts",
    "const Table table, T* parts, double p",
    _NORM
    + each_element("mine = sum(mine, power(table.pointers[0][row][i]));")
    + _NORM_OF_BLOCK
    + "    if (threadIdx.x == 0) parts[blockIdx.x] = (T)root(sums[0]);",
    _norm_parts,
)


def _norm_of_parts(parts: Array, count: int, norm: Array, p: float) -> None:
    norm[...] = np.linalg.norm(parts[:count].astype(np.float64), p)


norm_of_parts = Kernel(
    "norm_of_parts",
    "const T* parts, long long count, T* norm, double p",
    _NORM
    + "    for (int k = threadIdx.x; k < count; k += 256) mine = sum(mine, power(parts[k]));"
    + _NORM_OF_BLOCK
    + "    if (threadIdx.x == 0) *norm = (T)root(sums[0]);",
    _norm_of_parts,
)


def _scale(columns: list[list[Array]], norm: Array, max_norm: float) -> None:
    factor = max_norm / (norm.astype(np.float64) + 1e-6)
    if not factor >= 1:
        for g in columns[0]:
            g[...] = g * factor


scale = Kernel(
    "scale",
    "const Table table, const T* norm, double max_norm",
    """
    const double factor = max_norm / (*norm + 1e-6);
    if (factor >= 1) return;
"""
    + each_element("T& g = table.pointers[0][row][i];\ng = T(g * factor);"),
    _scale,
)


def _clamp(columns: list[list[Array]], bound: float) -> None:
    for g in columns[0]:
        clamp_one(g, bound)


clamp = Kernel(
    "clamp",
    "const Table table, double bound",
    each_element(
        "T& g = table.pointers[0][row][i];\n"
        "g = g > T(bound) ? T(bound) : g < -T(bound) ? -T(bound) : g;"
    ),
    _clamp,
)
