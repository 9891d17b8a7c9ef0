"""What NumPy's own functions do with a Tensor.

``np.tanh(tensor)``, ``np.concatenate([tensor, ...])`` and ``array * tensor`` call minigrad's ops
and stay on the tape. If minigrad has no such op, a TypeError says what to use instead. A Tensor
never becomes an array unless the user asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from minigrad import ops
from minigrad.arrays.library import array_module, bare
from minigrad.ops import discrete
from minigrad.tensor import Tensor

_SAME_OP = {
    "absolute": "abs",
    "true_divide": "divide",
    "pow": "power",
    "concat": "concatenate",
    "permute_dims": "transpose",
    "amax": "max",
    "amin": "min",
}
"""NumPy's second names for ops: the name in minigrad."""


def _constant(name: str, count: int) -> Callable[..., Any]:
    """NumPy's or CuPy's function of this name, with `count` arguments, for Tensors."""

    def call(*arrays: Any) -> Any:
        return getattr(array_module(*arrays), name)(*arrays)

    call.__name__ = name
    return discrete.constant(*[f"argument {i}" for i in range(count)])(call)


# fmt: off
_PAIRS = (
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "bitwise_and",
    "bitwise_or", "bitwise_xor",
)
# fmt: on
_CONSTANT: dict[str, Callable[..., Any]] = {
    **{name: _constant(name, 2) for name in _PAIRS},
    **{name: _constant(name, 1) for name in ("invert", "signbit")},
    "shape": lambda a: a.shape,
    "ndim": lambda a: a.ndim,
    "size": lambda a: a.size,
}
"""NumPy functions that have no name in minigrad, with bools or integers as results."""


def call_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """``__array_ufunc__``: see the module."""
    name = ufunc.__name__
    if method != "__call__":
        _refuse(f"{name}.{method}", "use minigrad's reductions: mg.sum, mg.max, mg.cumsum ...")
    outs = options.pop("out", ())
    if outs and not options and not any(isinstance(out, Tensor) for out in outs):
        return _into(name, ufunc, inputs, outs)
    if options or outs:
        options |= {"out": outs} if outs else {}
        _refuse(name, f"call it without {', '.join(options)}; minigrad's ops make new tensors")
    return _call(name, inputs, {})


def _into(name: str, ufunc: Any, inputs: Any, outs: Any) -> Any:
    """``array -= tensor``, as in ``w.data -= 0.1 * w.grad``: into the array, without the tape."""
    for x in inputs:
        if isinstance(x, Tensor) and x._node is not None:
            _refuse(
                name,
                "its result would go into an array, where the tape cannot follow; write x.detach() "
                "in the place of the Tensor that requires a gradient",
            )
    return ufunc(*[bare(x) for x in inputs], out=outs)


def call_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """``__array_function__``: see the module."""
    name = function.__name__
    if function.__module__ == "numpy.linalg" and name != "norm":
        _refuse(f"linalg.{name}", "minigrad has no such op")
    return _call(name, args, kwargs)


def _call(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    op = _SAME_OP.get(name, name)
    if op in ops.__all__:
        return getattr(ops, op)(*args, **kwargs)
    if op in discrete.__all__:
        return getattr(discrete, op)(*args, **kwargs)
    if name not in _CONSTANT:
        _refuse(
            name, "minigrad has no such op; use those it has, or x.numpy() for the values alone"
        )
    return _CONSTANT[name](*args, **kwargs)


def _refuse(name: str, advice: str) -> NoReturn:
    raise TypeError(f"numpy.{name} was called with a minigrad Tensor: {advice}")
