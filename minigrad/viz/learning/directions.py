"""Directions in the space of all parameters, and where the positions of a path lie along them.

A position or a direction is a list with an array for each parameter. A plane goes through the
present parameters, its centre, along two directions::

    position = centre + a d_1 + b d_2

Next: `surface.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.arrays.random import generator
from minigrad.errors.values import told
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.viz.names import expected

Floats = NDArray[np.float64]
Position = list[NDArray[Any]]
"""An array for each parameter, on the host."""


class Parameters(NamedTuple):
    """The parameters that move, with their names."""

    names: list[str]
    tensors: list[Tensor]

    def values(self) -> Position:
        """Copies of their values."""
        return [p.numpy() for p in self.tensors]

    def arrays(self, given: Any, what: str, whole: bool) -> Position:
        """An array for each parameter, from `given`: arrays by name, or in order.

        A `Mapping` may have other names too, such as those of buffers. Unless it must be `whole`,
        it may leave out parameters, which are 0 then.

        Raises
        ------
        TypeError, ValueError
            if it is neither, if parameters are missing, or if an array has another shape.
        """
        if isinstance(given, Mapping):
            missing = [name for name in self.names if name not in given]
            if missing and (whole or len(missing) == len(self.names)):
                raise ValueError(
                    f"loss_surface: {what} lacks {', '.join(missing)}; it has "
                    f"{', '.join(map(str, given)) or 'nothing'}"
                )
            items = [given.get(name, np.zeros(p.shape)) for name, p in zip(*self, strict=True)]
        elif isinstance(given, Sequence) and not isinstance(given, str):
            items = list(given)
        else:
            raise TypeError(
                f"loss_surface: {what} must be arrays by name or a list of arrays, not "
                f"{told(given)}"
            )
        if len(items) != len(self.tensors):
            raise ValueError(
                f"loss_surface: {what} has {len(items)} arrays for {len(self.tensors)} parameters"
            )
        position = []
        for name, p, item in zip(*self, items, strict=True):
            array = item.numpy() if isinstance(item, Tensor) else np.asarray(item)
            if array.shape != p.shape:
                raise ValueError(
                    f"loss_surface: {what} has shape {array.shape} for {name}, expected {p.shape}"
                )
            position.append(array)
        return position


def parameters_of(given: Any) -> Parameters:
    """The parameters of a model, or a Tensor or several, called by their numbers.

    Raises
    ------
    TypeError, ValueError
        if there are none, or one is no Tensor of floats.
    """
    if isinstance(given, Module):
        named = given.named_parameters()
        names, tensors = [n for n, _ in named], list[Tensor](p for _, p in named)
    else:
        several = [given] if isinstance(given, Tensor) else given
        tensors = list(expected(Iterable, several, "loss_surface: parameters"))
        names = [str(i) for i in range(len(tensors))]
    for name, p in zip(names, tensors, strict=True):
        if not hasattr(p, "_node") or p.dtype.kind != "f":
            raise TypeError(f"loss_surface: parameter {name} must be a Tensor of floats: {told(p)}")
    if not tensors:
        raise ValueError("loss_surface: there are no parameters to move")
    return Parameters(names, list(tensors))


def random_direction(parameters: Parameters, rng: np.random.Generator | None) -> Position:
    """A random direction in which each filter is as long as that of the parameters.

    The elements are drawn from the normal distribution. Then each row of a matrix (the weights of
    one unit) gets the length of this row of the parameters, and each parameter with one axis, such
    as a bias, the length that it has as a whole. So a step along the direction means as much in
    each layer, however its weights are scaled. Parameters that ask for no gradient stay.

    Li, Xu, Taylor, Studer and Goldstein (2018), Visualizing the loss landscape of neural nets.
    """
    drawn = generator(rng)
    direction = []
    for p in parameters.tensors:
        value = p.numpy().astype(np.float64)
        d = drawn.normal(size=p.shape) * float(p.requires_grad)
        axes = tuple(range(1, value.ndim)) or None
        lengths = np.sqrt((d * d).sum(axis=axes, keepdims=True))
        wanted = np.sqrt((value * value).sum(axis=axes, keepdims=True))
        direction.append(
            d * np.divide(wanted, lengths, out=np.zeros_like(wanted), where=lengths > 0)
        )
    return direction


def principal_directions(centre: Position, path: Sequence[Position]) -> tuple[Position, Position]:
    """The two orthogonal directions, of length 1, in which a path is farthest from the centre.

    They are the first two principal components of the positions minus the centre, as in section 7
    of Li et al. (2018). Their signs are such that the first position has positive coordinates.

    Raises
    ------
    ValueError
        if the finite positions do not span a plane.
    """
    finite = [x for x in path if all(np.isfinite(part).all() for part in x)]
    n = len(finite)
    moved = [np.empty((0, 0))] * len(centre)
    gram = np.zeros((n, n))
    for k, origin in enumerate(centre):
        rows = np.stack([x[k] for x in finite]) if n else np.empty((0, *origin.shape))
        moved[k] = (rows.astype(np.float64) - origin).reshape(n, -1)
        gram += moved[k] @ moved[k].T
    lengths, vectors = np.linalg.eigh(gram)
    if n < 2 or not lengths[-2] > 1e-12 * lengths[-1]:
        raise ValueError(
            "loss_surface: the positions of the paths lie on one line through the present "
            "parameters (or are not finite), so they give no plane; pass two directions"
        )
    directions = []
    for i in (-1, -2):
        weights = vectors[:, i] / np.sqrt(lengths[i])
        weights = -weights if vectors[0, i] < 0 else weights
        directions.append(
            [(weights @ m).reshape(c.shape) for m, c in zip(moved, centre, strict=True)]
        )
    return directions[0], directions[1]


class Projection(NamedTuple):
    """Where positions lie beside a plane."""

    coordinates: Floats
    """a and b of the nearest point of the plane, of shape (n, 2)."""

    distances: Floats
    """How far the positions are from it, of shape (n,)."""

    share: float
    """Of the squared distances of the positions from the centre, the part that lies in the plane.

    It is 1 if all positions lie in the plane. Positions that are not finite do not count.
    """


def project(
    centre: Position, directions: tuple[Position, Position], path: Sequence[Position]
) -> Projection:
    """The least-squares coordinates of each position; the directions need not be orthogonal."""
    gram = np.array([[_dot(d, e) for e in directions] for d in directions])
    coordinates, outside, total = np.empty((len(path), 2)), np.empty(len(path)), np.empty(len(path))
    with np.errstate(invalid="ignore", over="ignore"):
        for t, position in enumerate(path):
            moved = [x.astype(np.float64) - c for x, c in zip(position, centre, strict=True)]
            a, b = np.linalg.solve(gram, [_dot(d, moved) for d in directions])
            rest = [m - a * d - b * e for m, d, e in zip(moved, *directions, strict=True)]
            coordinates[t], outside[t], total[t] = (a, b), _dot(rest, rest), _dot(moved, moved)
        finite = np.isfinite(total)
        whole = float(total[finite].sum())
        share = 1 - float(outside[finite].sum()) / whole if whole else 1.0
        return Projection(coordinates, np.sqrt(outside), share)


def _dot(x: Position, y: Position) -> float:
    return float(sum(np.vdot(a, b) for a, b in zip(x, y, strict=True)))
