"""Hypothesis strategies: inputs for property tests of ops and layers.

Numbers are drawn from a grid (odd multiples of 1/32). So they are never 0 and never an integer, and
two of them are equal or at least 1/16 apart. This keeps them away from the kinks of `relu`, `abs`,
`floor_divide` and similar ops, where there is no derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'inputs of property tests need hypothesis: python -m pip install "minigrad-rnn[testing]"',
        name=error.name,
    ) from error

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

DOMAINS: dict[str, tuple[float, float]] = {
    "arccos": (-0.9, 0.9),
    "arcsin": (-0.9, 0.9),
    "arctanh": (-0.9, 0.9),
    "log": (0.2, 4.0),
    "log10": (0.2, 4.0),
    "log2": (0.2, 4.0),
    "log1p": (-0.8, 4.0),
    "sqrt": (0.2, 4.0),
    "tan": (-1.2, 1.2),
}
"""The interval for numbers, for ops that are not defined or not smooth everywhere."""

ANYWHERE = (-3.0, 3.0)


def numbers(low: float = ANYWHERE[0], high: float = ANYWHERE[1]) -> st.SearchStrategy[float]:
    """Numbers of the grid (odd multiples of 1/32) between `low` and `high`."""
    return st.integers(int(np.ceil(low * 16)), int(np.floor(high * 16)) - 1).map(
        lambda k: (k + 0.5) / 16
    )


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[Shape]:
    """Shapes, also those without axes and those of size 0 or 1."""
    return hnp.array_shapes(
        min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )


def broadcastable_shapes(count: int = 2, min_side: int = 0) -> st.SearchStrategy[list[Shape]]:
    """`count` shapes that broadcast together."""
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=3, min_side=min_side, max_side=3
    ).map(lambda drawn: list(drawn.input_shapes))


def arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    low: float = ANYWHERE[0],
    high: float = ANYWHERE[1],
    unique: bool = False,
    dtype: Any = np.float64,
) -> st.SearchStrategy[Array]:
    """Arrays of numbers of the grid; with `unique`, no two of them are equal.

    Parameters
    ----------
    shape
        a shape, or a strategy for shapes; None: any of `shapes`.
    low, high
        the interval of the numbers.
    unique
        True: no two numbers are equal, as `max`, `sort` and similar ops need it.
    dtype
        the dtype of the array.
    """
    return hnp.arrays(
        dtype, shapes() if shape is None else shape, elements=numbers(low, high), unique=unique
    )


def inputs_of(op: str, shape: Shape | st.SearchStrategy[Shape] | None = None) -> Any:
    """Arrays in the domain of the elementwise op `op`, a name, and away from its kinks."""
    return arrays(shape, *DOMAINS.get(op, ANYWHERE))


def broadcastable_arrays(
    count: int = 2, low: float = ANYWHERE[0], high: float = ANYWHERE[1], min_side: int = 0
) -> st.SearchStrategy[list[Array]]:
    """`count` arrays whose shapes broadcast together."""
    return broadcastable_shapes(count, min_side).flatmap(
        lambda drawn: st.tuples(*[arrays(shape, low, high) for shape in drawn]).map(list)
    )


def axes(ndim: int, none: bool = True, several: bool = True) -> st.SearchStrategy[Any]:
    """Values of an `axis` argument for an array of `ndim` axes, negative axes too.

    They are one axis; with `none`, also None; with `several`, also a tuple of axes.
    """
    options: list[st.SearchStrategy[Any]] = [st.none()] if none else []
    if ndim:
        options.append(st.integers(-ndim, ndim - 1))
    if several:
        options.append(hnp.valid_tuple_axes(ndim))
    return st.one_of(options)


def indices(shape: Shape) -> st.SearchStrategy[Any]:
    """Values between brackets: slices, None, ..., integer arrays, masks, and mixtures."""
    options: list[st.SearchStrategy[Any]] = [hnp.basic_indices(shape, allow_newaxis=True)]
    options.append(hnp.arrays(np.bool_, shape))
    if shape and min(shape) > 0:
        options.append(hnp.integer_array_indices(shape, result_shape=shapes(0, 2, 0, 3)))
        options.append(_mixed_indices(shape))
    return st.one_of(options)


def _mixed_indices(shape: Shape) -> st.SearchStrategy[Any]:
    """Integer arrays (with repeats) along some axes, slices and integers along others."""
    parts: list[st.SearchStrategy[Any]] = [
        st.one_of(
            st.slices(n),
            st.integers(-n, n - 1),
            hnp.arrays(np.int64, 2, elements=st.integers(-n, n - 1)),
        )
        for n in shape
    ]
    return st.tuples(*parts)
