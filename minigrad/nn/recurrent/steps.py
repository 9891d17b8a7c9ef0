"""The time steps of a batch of sequences: where their rows lie, and what one step gives the next.

Sequences of one length are an array of shape (T, N, features). Those of the lengths 3, 1, 2 need
padding in it::

    time 0    a0  b0  c0
    time 1    a1   .  c1
    time 2    a2   .   .

A `Packing` leaves the padding out. Its rows are the longest sequence first, time step after time
step::

    a0 c0 b0   a1 c1   a2           sizes: 3 2 1

so a step works on the first rows of the state, and nothing is computed for padding. (PyTorch's
`PackedSequence` has the same layout.) `Steps` knows the rows of each step in both layouts; what the
fused ops compute for all steps at once is at the end.

Next: `fused.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from minigrad.arrays.blocks import product
from minigrad.arrays.buffers import empty
from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, array_module
from minigrad.arrays.sums import total
from minigrad.autograd.record import differentiable

Sizes = Sequence[int] | None
"""The number of sequences at each time step, never rising; None: the same at all steps."""

FEW = 32
"""Up to so many rows, the weights are not copied into the order and scale that suit the loop."""


# ------------------------------------------------------------------- leaving out padding


def _put_back(g: Any, x_shape: tuple[int, ...], index: Array) -> Any:
    return put_rows(g, index, x_shape[0])


@differentiable(x=_put_back)
def take_rows(x: Any, index: Array) -> Any:
    """The rows of `x` whose numbers are in `index`, each at most once."""
    return x[index]


@differentiable(rows=lambda g, index: take_rows(g, index))
def put_rows(rows: Any, index: Array, length: int) -> Any:
    """`rows` at the places `index` among `length` rows, the others 0: reverses `take_rows`."""
    result = array_module(rows).zeros((length, *rows.shape[1:]), rows.dtype)
    result[index] = rows
    return result


class Packing:
    """How to pack N sequences of the given `lengths`, an array of N integers from 0 to T.

    The lengths are on the host; `like` is a Tensor or array on the device of what is to be packed.

    Attributes
    ----------
    sizes : tuple of int
        the number of sequences at each time step of the longest one.
    """

    def __init__(self, lengths: Any, like: Any) -> None:
        order = np.argsort(-lengths, kind="stable")
        at_time = np.arange(lengths.max(initial=0))[:, None] < lengths[order]
        time, place = np.nonzero(at_time)
        self.sizes: tuple[int, ...] = tuple(at_time.sum(1).tolist())
        self._rows = beside(time * len(lengths) + order[place], like)
        self._order, self._back = beside(order, like), beside(np.argsort(order), like)

    def pack(self, x: Any) -> Any:
        """The rows of `x` (T, N, features) without padding."""
        return take_rows(x.reshape(x.shape[0] * x.shape[1], x.shape[2]), self._rows)

    def unpack(self, rows: Any, T: int) -> Any:
        """`rows` as an array (T, N, features), with zeros where there is padding."""
        N = len(self._order)
        return put_rows(rows, self._rows, T * N).reshape(T, N, rows.shape[1])

    def sorted(self, state: Any) -> Any:
        """A state (N, ...), longest sequence first."""
        return take_rows(state, self._order)

    def restored(self, state: Any) -> Any:
        """The reverse of `sorted`."""
        return take_rows(state, self._back)


# ------------------------------------------------------------------- the rows of each step


class _Parts:
    """Parts of an array, each made when it is asked for: of CuPy's, a view takes microseconds."""

    def __init__(self, array: Array, places: Sequence[int | slice]) -> None:
        self._array, self._places = array, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, t: int) -> Array:
        return self._array[self._places[t]]


class Steps:
    """The rows of each time step. Step 0 is done first: with `reverse`, the last time step.

    Parameters
    ----------
    x
        the input, (T, N, features), or packed by `sizes`, (total, features).
    h_0
        the state before step 0, (N, H).
    dtype
        the dtype of all results.
    sizes, reverse
        as in `minigrad.nn.recurrent.equations.unrolled`.
    by_kernels
        whether `minigrad.nn.recurrent.fused_gpu` does the steps.
    """

    def __init__(
        self,
        x: Array,
        h_0: Array,
        dtype: Any,
        sizes: Sizes,
        reverse: bool,
        by_kernels: bool = False,
    ) -> None:
        self.xp, self.dtype, (self.N, self.H) = array_module(x), dtype, h_0.shape
        self.lead = x.shape[:-1]  # (T, N), or packed (total,)
        self.count = self.lead[0] if sizes is None else len(sizes)
        self.few = math.prod(self.lead) <= FEW
        self.sizes, self.reverse, self.by_kernels = sizes, reverse, by_kernels

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """The first row of each step, among those of all steps, and how many rows it has."""
        sizes = [self.N] * self.count if self.sizes is None else self.sizes
        spans = list(zip(accumulate(sizes, initial=0), sizes, strict=False))
        return spans[::-1] if self.reverse else spans

    def each(self, array: Array) -> Any:
        """The part at each step of an array of all steps, which has the layout of x: a list."""
        if self.by_kernels:
            return _Parts(array, self._places)
        if self.sizes is not None:
            return [array[first : first + n] for first, n in self.spans]
        return list(array)[::-1] if self.reverse else list(array)

    @cached_property
    def _places(self) -> Sequence[int | slice]:
        """Where each step is in an array of all steps."""
        if self.sizes is not None:
            return [slice(first, first + n) for first, n in self.spans]
        return range(self.count)[:: -1 if self.reverse else 1]

    def running(self, array: Array) -> list[Array]:
        """For each step the first rows of an array (N, ...), one for each sequence that runs."""
        if self.sizes is None:
            return [array] * self.count
        return [array[:n] for _, n in self.spans]

    def empty(self, width: int) -> Array:
        """A new array of all steps with `width` columns, not filled."""
        return empty(self.xp, (*self.lead, width), self.dtype)

    def scratch(self, width: int) -> Array:
        """A new array of shape (N, width), not filled."""
        return self.xp.empty((self.N, width), self.dtype)

    def states(self, start: Array) -> tuple[Array, Array]:
        """The arrays of a state before and after each step; `start` is the one before step 0."""
        if self.sizes is not None:
            return self.empty(self.H), self.empty(self.H)
        # the state after a step is the state before the next, in the same place
        T, N = self.lead
        room = empty(self.xp, (T + 1, N, self.H), self.dtype)
        room[-1 if self.reverse else 0] = start
        return (room[1:], room[:-1]) if self.reverse else (room[:-1], room[1:])

    def carry(self, t: int, h: list[Array], h_next: list[Array], start: Array) -> None:
        """Copies the states before step t to `h[t]`; only packed sequences need it.

        They come from `h_next[t - 1]`, or from `start` if the sequence begins at step t.
        """
        n, known = len(h[t]), len(h_next[t - 1]) if t else 0
        if known < n:
            h[t][known:] = start[known:n]
        if known:
            h[t][:known] = h_next[t - 1][:n]

    def last(self, h_next: list[Array], start: Array) -> Array:
        """Each sequence's state after its own last step, in memory of its own."""
        if self.sizes is None:
            return h_next[-1].copy()
        last = start.astype(self.dtype)
        for state in h_next:
            last[: len(state)] = state
        return last

    def last_gradient(self, g: Any) -> Array:
        """The gradient `g` of the last state, in memory of its own; zeros if it is None."""
        if g is None:
            return self.xp.zeros((self.N, self.H), self.dtype)
        gradient = self.scratch(self.H)
        gradient[...] = g
        return gradient


# ------------------------------------------------------- products of all time steps at once


def by_gate(array: Array, count: int) -> list[Array]:
    """The columns of each of `count` gates, which are side by side in `array`."""
    H = array.shape[-1] // count
    return [array[..., k * H : (k + 1) * H] for k in range(count)]


def empty_like(array: Array) -> Array:
    """A new array of the shape and dtype of `array`, not filled."""
    return empty(array_module(array), array.shape, array.dtype)


def flat(sequence: Array) -> Array:
    """`sequence` as a matrix with a row for each time step of each sequence."""
    return sequence if sequence.ndim == 2 else sequence.reshape(-1, sequence.shape[-1])


def input_products(x: Array, W: Any, bias: Any, dtype: Any, scale: Any = None) -> Array:
    """scale (W x + b) of all time steps; `x` is W x already if W is None."""
    xp = array_module(x)
    result = empty(xp, (*x.shape[:-1], x.shape[-1] if W is None else len(W)), dtype)
    if W is None:
        xp.multiply(x, 1 if scale is None else scale, out=result)
    else:
        W = W if scale is None else W * scale[:, None]
        product(flat(x), W.T, flat(result))
    if bias is not None:
        result += bias if scale is None else bias * scale
    return result


def common_dtype(*inputs: Any) -> Any:
    """The dtype that `inputs` have together; some of them may be None."""
    dtypes = {x.dtype for x in inputs if x is not None}
    return dtypes.pop() if len(dtypes) == 1 else array_module(inputs[0]).result_type(*dtypes)


def sum_of_biases(b_ih: Any, b_hh: Any) -> Any:
    """b = b_ih + b_hh, each of which may be None."""
    return b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh


def parameter_gradients(
    needs: Sequence[bool], x: Array, h: Array, W_ih: Any, delta_x: Array, delta_h: Array
) -> list[Any]:
    """The gradients of x, W_ih, W_hh, b_ih and b_hh, if they are needed.

    `h` is the state before each step. `delta_x` is the gradient of W_ih x + b_ih at all time steps,
    and `delta_h` is that of W_hh h + b_hh. In the RNN and the LSTM they are the same array::

        dx    = W_ih^T delta_x
        dW_ih = sum of delta_x x^T over all steps of all sequences       db_ih = sum of delta_x
        dW_hh = sum of delta_h h^T                                       db_hh = sum of delta_h
    """
    needs_x, *_, needs_W_ih, needs_W_hh, needs_b_ih, needs_b_hh = needs
    same = delta_h is delta_x
    dx = delta_x  # without a W_ih, x is W_ih x
    if W_ih is not None:
        dx = input_products(delta_x, W_ih.T, None, delta_x.dtype) if needs_x else None
    rows_x, rows_h = flat(delta_x), flat(delta_h)
    db_ih = total(rows_x, 0) if needs_b_ih or (needs_b_hh and same) else None
    return [
        dx,
        product(rows_x.T, flat(x)) if needs_W_ih else None,
        product(rows_h.T, flat(h)) if needs_W_hh else None,
        db_ih,
        db_ih if same else total(rows_h, 0) if needs_b_hh else None,
    ]
