"""What NumPy's own functions do when they are handed a Tensor.

``np.tanh(tensor)``, ``np.concatenate([tensor, ...])`` and ``array * tensor`` become minigrad's ops
and stay on the tape. What minigrad has no op for raises a TypeError that says what to use instead;
nothing turns a Tensor into an array behind the user's back.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

import numpy as np

from minigrad import ops
from minigrad.backend import array_module, as_array
from minigrad.devices import run
from minigrad.recording import plain
from minigrad.tape import Variable, wrap

_SAME_OP = {
    "absolute": "abs",
    "true_divide": "divide",
    "pow": "power",
    "concat": "concatenate",
    "permute_dims": "transpose",
    "amax": "max",
    "amin": "min",
}
"""NumPy's names for ops that have another name here."""

# fmt: off
_WITHOUT_DERIVATIVE = frozenset((
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf",
    "isfinite", "signbit", "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and",
    "bitwise_or", "bitwise_xor", "invert", "any", "all", "argmax", "argmin", "argsort", "shape",
    "ndim", "size", "isclose", "allclose", "array_equal",
))
# fmt: on
"""NumPy functions whose results are bools or integers, so that nothing on the tape is lost."""


def call_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """``__array_ufunc__``: see the module."""
    name = ufunc.__name__
    if method != "__call__":
        _refuse(f"{name}.{method}", "use minigrad's reductions: mg.sum, mg.max, mg.cumsum ...")
    outs = options.pop("out", ())
    if outs and not options and not any(isinstance(out, Variable) for out in outs):
        return _into(name, ufunc, inputs, outs)
    if options or outs:
        options |= {"out": outs} if outs else {}
        _refuse(name, f"call it without {', '.join(options)}; minigrad's ops make new tensors")
    return _call(name, ufunc, inputs, {})


def _into(name: str, ufunc: Any, inputs: Any, outs: Any) -> Any:
    """``array -= tensor``, as in ``w.data -= 0.1 * w.grad``: off the tape, into an array."""
    for x in inputs:
        if getattr(x, "_node", None) is not None:
            _refuse(
                name,
                "its result would go into an array, where the tape cannot follow; write x.detach() "
                "in the place of the Tensor that requires a gradient",
            )
    return ufunc(*[_array(x) for x in inputs], out=outs)


def call_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """``__array_function__``: see the module."""
    name = function.__name__
    if function.__module__ == "numpy.linalg" and name != "norm":
        _refuse(f"linalg.{name}", "minigrad has no such op")
    return _call(name, function, args, kwargs)


def _call(name: str, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if name in _WITHOUT_DERIVATIVE:
        values = [_array(a) for a in args]
        options = {key: _array(a) for key, a in kwargs.items()}
        if any(array_module(a) is not np for a in values):
            values = [_array(plain(a, args)) for a in args]
            xp = next(xp for xp in map(array_module, values) if xp is not np)
            names = [f"argument {i}" for i in range(len(values))]
            result = run(name, names, partial(getattr(xp, name), **options), values)
        else:
            result = function(*values, **options)
        return wrap(as_array(result)) if hasattr(result, "dtype") else result
    op = _SAME_OP.get(name, name)
    if op not in ops.__all__:
        _refuse(
            name, "minigrad has no such op; use those it has, or x.numpy() for the values alone"
        )
    return getattr(ops, op)(*args, **kwargs)


def _array(a: Any) -> Any:
    return getattr(a, "_data", a)


def _refuse(name: str, advice: str) -> NoReturn:
    raise TypeError(f"numpy.{name} was called with a minigrad Tensor: {advice}")
