"""The gradient of a matrix of which only some rows were used: it holds these rows alone.

A batch of 700 words uses at most 700 rows of an embedding matrix that has 10,000. In the dense
gradient the other rows are zeros, and making it, clipping it and the optimiser's step are work on
all rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from minigrad.arrays.devices import to_device
from minigrad.arrays.library import Array, array_module, bare, may_look
from minigrad.arrays.sums import summed_rows


def _dense(x: Any) -> Any:
    return x.to_dense() if isinstance(x, RowSparse) else x


def _in_full(function: Callable[[Any, Any], Any]) -> Any:
    """An operator that is applied to the dense matrices."""
    return lambda self, other: function(_dense(self), _dense(other))


class RowSparse:
    """A matrix in which only a few rows are not zero: `values[i]` is its row `rows[i]`.

    ``embedding(ids, weight, sparse=True)`` leaves one in ``weight.grad``. The sum and the
    difference of two are row-sparse too, and so are its product and quotient with a number, its
    negative and its absolute values. (Nothing is computed for the other rows: they are 0 even after
    a division by 0.) All other operators, every op of minigrad, and NumPy's elementwise functions
    use the dense matrix that it stands for; the rest of NumPy's functions refuse it.

    Parameters
    ----------
    rows
        integers from 0 to shape[0] - 1, in any shape and order; where one occurs several times, its
        values are summed.
    values
        a row of length shape[1] for each of them: shape rows.shape + (shape[1],).
    shape
        (number of rows, length of a row) of the whole matrix.

    Attributes
    ----------
    rows
        shape (k,), rising, each row once.
    values
        shape (k, shape[1]), in memory of its own; clipping changes it in place.

    Raises
    ------
    TypeError
        if `rows` are not integers.
    ValueError
        if the shapes do not fit.
    IndexError
        if one of `rows` is outside the matrix.
    """

    __slots__ = ("rows", "shape", "values")
    __hash__ = object.__hash__
    is_sparse: ClassVar[bool] = True  # `minigrad.arrays`, which cannot import this, asks for it
    ndim: ClassVar[int] = 2

    def __init__(self, rows: Array, values: Array, shape: tuple[int, int]) -> None:
        if rows.dtype.kind not in "iu":
            raise TypeError(f"RowSparse: rows must be integers, not {rows.dtype} {rows.shape}")
        if values.shape != (*rows.shape, shape[1]):
            raise ValueError(
                f"RowSparse: values have shape {values.shape}; expected {(*rows.shape, shape[1])} "
                f"for rows of shape {rows.shape} in a matrix of shape {shape}"
            )
        flat = rows.reshape(-1).astype(np.int64, copy=False)
        self.shape = shape
        self.rows, self.values = summed_rows(flat, values.reshape(rows.size, shape[1]))
        if not may_look(rows):
            return  # to check them, the CPU would have to wait for the GPU
        if rows.size and not 0 <= self.rows[0] <= self.rows[-1] < shape[0]:
            raise IndexError(
                f"RowSparse: rows {self.rows[0]} to {self.rows[-1]} in a matrix of shape {shape}"
            )

    dtype = property(lambda self: self.values.dtype, doc="The NumPy dtype of the elements.")
    nbytes = property(
        lambda self: self.rows.nbytes + self.values.nbytes, doc="Bytes of memory it takes."
    )

    def to_dense(self) -> Array:
        """The whole matrix as an array, on the same device."""
        dense = array_module(self.values).zeros(self.shape, self.dtype)
        dense[self.rows] = self.values
        return dense

    def numpy(self) -> np.ndarray[Any, Any]:
        """The whole matrix as a NumPy array."""
        return np.asarray(to_device(self.to_dense(), "cpu"))

    def copy(self) -> RowSparse:
        """A copy in memory of its own."""
        copy: RowSparse = object.__new__(RowSparse)
        copy.rows, copy.values, copy.shape = self.rows.copy(), self.values.copy(), self.shape
        return copy

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, RowSparse):
            return other + self.to_dense()
        if other.shape != self.shape:
            raise ValueError(f"RowSparse: a sum of shapes {self.shape} and {other.shape}")
        xp = array_module(self.values)
        rows = xp.concatenate([self.rows, other.rows])
        return RowSparse(rows, xp.concatenate([self.values, other.values]), self.shape)

    def __sub__(self, other: Any) -> Any:
        return self + -other if isinstance(other, RowSparse) else self.to_dense() - other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        factor = self._number(other)
        if factor is None:
            return _dense(other) * self.to_dense()
        return RowSparse(self.rows, self.values * factor, self.shape)

    def __truediv__(self, other: Any) -> Any:
        divisor = self._number(other)
        if divisor is None:
            return self.to_dense() / _dense(other)
        return RowSparse(self.rows, self.values / divisor, self.shape)

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.to_dense()

    def __neg__(self) -> RowSparse:
        return RowSparse(self.rows, -self.values, self.shape)

    def __abs__(self) -> RowSparse:
        return RowSparse(self.rows, abs(self.values), self.shape)

    __radd__, __rmul__ = __add__, __mul__

    __pow__, __rpow__ = _in_full(operator.pow), _in_full(lambda a, b: b**a)
    __floordiv__, __rfloordiv__ = _in_full(operator.floordiv), _in_full(lambda a, b: b // a)
    __mod__, __rmod__ = _in_full(operator.mod), _in_full(lambda a, b: b % a)
    __eq__ = _in_full(operator.eq)
    __ne__ = _in_full(operator.ne)
    __lt__, __le__ = _in_full(operator.lt), _in_full(operator.le)
    __gt__, __ge__ = _in_full(operator.gt), _in_full(operator.ge)

    def _number(self, x: Any) -> Array | None:
        """`x` in the dtype of the elements, if it is a single number and a constant; else None."""
        if isinstance(x, RowSparse) or getattr(x, "requires_grad", False):
            return None
        if not (isinstance(x, int | float) or getattr(x, "ndim", None) == 0):
            return None
        number: Array = array_module(self.values).asarray(bare(x), self.dtype)
        return number

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """``np.isfinite(gradient)``, ``array + gradient``: applied to the dense matrix."""
        if any(isinstance(out, RowSparse) for out in options.get("out", ())):
            raise TypeError(
                f"{ufunc.__name__}: nothing is written into a RowSparse; use what it returns"
            )
        if ufunc is np.multiply and inputs[1] is self:
            return self * inputs[0]
        function = getattr(array_module(self.values), ufunc.__name__)
        return getattr(function, method)(*map(_dense, inputs), **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError("NumPy does not take a RowSparse; use .to_dense() or .numpy()")

    def __repr__(self) -> str:
        return f"RowSparse({len(self.rows)} rows, shape={self.shape}, dtype={self.dtype})"


def elements(gradient: Any) -> Array:
    """The array that holds the numbers of a gradient: a Tensor, a RowSparse or an array."""
    if isinstance(gradient, RowSparse):
        return gradient.values
    array: Array = bare(gradient)
    return array
