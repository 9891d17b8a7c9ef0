"""Sequences of different lengths without their padding, for the recurrent networks.

Padded, N sequences of lengths 3, 1, 2 are an array of shape (T, N, features)::

    time 0    a0  b0  c0
    time 1    a1   .  c1
    time 2    a2   .   .

Packed they are its rows without the padding, longest sequence first, time step after time step::

    a0 c0 b0   a1 c1   a2           sizes: 3 2 1

so a step of the network works on the first rows of the state that it has, and nothing is computed
for padding. (PyTorch's `PackedSequence` is laid out alike.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, array_module
from minigrad.autograd.record import differentiable


def _take_rows_gradient(g: Any, x_shape: Any, index: Any) -> Any:
    return put_rows(g, index, x_shape[0])


@differentiable(x=_take_rows_gradient)
def take_rows(x: Any, index: Array) -> Any:
    """The rows of `x` with the numbers `index`, none of them twice."""
    return x[index]


@differentiable(rows=lambda g, index: take_rows(g, index))
def put_rows(rows: Any, index: Array, length: int) -> Any:
    """So many rows of zeros, but for `rows` at the places `index`: the reverse of `take_rows`."""
    result = array_module(rows).zeros((length, *rows.shape[1:]), rows.dtype)
    result[index] = rows
    return result


class Packing:
    """How to pack N sequences of the given `lengths`, an array of N integers from 0 to T.

    The lengths are on the host; `like` is a Tensor or array on the device of what is to be packed.

    Attributes
    ----------
    sizes : tuple of int
        how many sequences there are at each time step, up to the longest one's last.
    """

    def __init__(self, lengths: Any, like: Any) -> None:
        order = np.argsort(-lengths, kind="stable")
        at_time = np.arange(lengths.max(initial=0))[:, None] < lengths[order]
        time, place = np.nonzero(at_time)
        self.sizes: tuple[int, ...] = tuple(at_time.sum(1).tolist())
        self._rows = beside(time * len(lengths) + order[place], like)
        self._order, self._back = beside(order, like), beside(np.argsort(order), like)

    def pack(self, x: Any) -> Any:
        """The rows of `x` (T, N, features) that are no padding."""
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
