"""All first, or all second derivatives of a function: the Jacobian and the Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import ops
from minigrad.arrays.library import ArrayLike
from minigrad.autograd.modes import enable_grad
from minigrad.autograd.tape import grad
from minigrad.creation import tensor, zeros, zeros_like
from minigrad.tensor import Tensor


def jacobian(f: Callable[..., Any], *inputs: ArrayLike, create_graph: bool = False) -> Any:
    """The derivatives of each element of ``f(*inputs)`` with respect to each element of the inputs.

    Parameters
    ----------
    f
        a function of Tensors that returns one Tensor; there is a backward pass for each element of
        it.
    *inputs
        the point at which to take the derivatives: floats, any shapes.
    create_graph
        keep the result on the tape, so that it can be differentiated again.

    Returns
    -------
    For one input a Tensor of shape output.shape + input.shape, where ``J[i, k]`` is
    d output[i] / d input[k]; for several inputs a tuple with a Tensor for each. The derivatives
    with respect to an input that the output does not depend on are 0.

    Raises
    ------
    TypeError
        if an input is not made of floats, or `f` returns something else than a Tensor of floats.
    """
    if not inputs:
        raise TypeError("jacobian: expected f and its inputs, jacobian(f, x); got f alone")
    with enable_grad():
        xs = [_variable(x, create_graph) for x in inputs]
        y = f(*xs)
        if not isinstance(y, Tensor) or y.dtype.kind != "f":
            told = f"a {y.dtype} Tensor" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise TypeError(f"jacobian: f must give one Tensor of floats, not {told}")
        rows = [_gradients(y, i, xs, create_graph) for i in range(y.size)]
        blocks = [_block([row[k] for row in rows], y.shape, x) for k, x in enumerate(xs)]
    return blocks[0] if len(blocks) == 1 else tuple(blocks)


def hessian(f: Callable[..., Any], *inputs: ArrayLike, create_graph: bool = False) -> Any:
    """The second derivatives of ``f(*inputs)``, a single number: the Jacobian of its gradient.

    The arguments are those of `jacobian`.

    Returns
    -------
    For one input a Tensor of shape input.shape + input.shape; for several a tuple of tuples, where
    ``H[a][b]`` has the derivatives with respect to input a, then input b.

    Raises
    ------
    TypeError
        as `jacobian`.
    ValueError
        if `f` returns more than one number.
    """

    def gradient(which: int) -> Callable[..., Tensor]:
        def one(*xs: Tensor) -> Tensor:
            found = jacobian(number, *xs, create_graph=True)
            result: Tensor = found if len(xs) == 1 else found[which]
            return result

        return one

    def number(*xs: Tensor) -> Tensor:
        y = f(*xs)
        if isinstance(y, Tensor) and y.size != 1:
            raise ValueError(f"hessian: f must give a single number, not a Tensor of {y.shape}")
        return y.reshape(()) if isinstance(y, Tensor) else y

    rows = [
        jacobian(gradient(k), *inputs, create_graph=create_graph)
        for k in range(max(len(inputs), 1))
    ]
    return rows[0] if len(inputs) == 1 else tuple(rows)


def _variable(x: ArrayLike, create_graph: bool) -> Tensor:
    """The variable of the derivative: `x` with a place of its own on the tape."""
    if create_graph and getattr(x, "requires_grad", False) and isinstance(x, Tensor):
        return ops.copy(x)
    return tensor(x, requires_grad=True)


def _gradients(y: Tensor, i: int, xs: list[Tensor], create_graph: bool) -> list[Tensor]:
    """The gradient of element `i` of `y` with respect to each of `xs`."""
    if not y.requires_grad:
        return [zeros_like(x) for x in xs]
    element = y.reshape(-1)[i]
    found = grad(element, xs, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return [
        zeros_like(x) if g is None else g if isinstance(g, Tensor) else Tensor(g)  # a RowSparse
        for x, g in zip(xs, found, strict=True)
    ]


def _block(rows: list[Tensor], shape: tuple[int, ...], x: Tensor) -> Tensor:
    """The gradients with respect to `x` of all elements of an output of `shape`, in one Tensor."""
    if not rows:
        return zeros(shape + x.shape, dtype=x.dtype, device=x.device)
    return ops.stack(rows).reshape(shape + x.shape)
