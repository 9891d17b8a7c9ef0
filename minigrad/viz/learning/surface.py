"""The loss over two directions in the space of the parameters, and the paths of training on it.

Next: `surface_figure.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.arrays.library import Array
from minigrad.autograd.modes import no_grad
from minigrad.data.checks import whole_number
from minigrad.errors.values import told
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.viz.extra import extra
from minigrad.viz.learning.directions import (
    Floats,
    Parameters,
    Position,
    parameters_of,
    principal_directions,
    project,
    random_direction,
)
from minigrad.viz.names import expected
from minigrad.viz.page import View
from minigrad.viz.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Direction = str | Mapping[str, Any] | Sequence[Any]
"""The name of a parameter that is a single number; or arrays by name; or one for each parameter."""

Path = Sequence[Any]
"""The parameters at some steps of training: a `state_dict` for each, or a list of arrays."""

Range = tuple[float, float]


class SurfacePath(NamedTuple):
    """A path of training beside a surface; all arrays have the shape (n,)."""

    a: Floats
    """The first coordinate of the nearest point of the surface's plane."""

    b: Floats
    """The second."""

    losses: Floats
    """The loss at the positions themselves, which may lie beside the plane."""

    distances: Floats
    """How far the positions lie from the plane."""

    share: float
    """Of the squared distances of the positions from the centre, the part that lies in the plane.

    The centre is where the parameters were when the surface was made. 1: the whole path lies in the
    plane, and its losses are the heights there.
    """


class LossSurface(Shown):
    """The loss at the points centre + a d_1 + b d_2; see `loss_surface`."""

    title = "The loss around the model"
    text = "At each point the parameters are those of the model, moved along two directions."

    def __init__(
        self,
        names: tuple[str, str],
        a: Floats,
        b: Floats,
        heights: Floats,
        centre: tuple[float, float],
        directions: tuple[Position, Position],
        paths: dict[str, SurfacePath],
    ) -> None:
        self.names, self.a, self.b, self.heights = names, a, b, heights
        self.centre, self.directions, self.paths = centre, directions, paths
        self.text += (
            " A path of training may leave this plane: how far it is from it now, and which share "
            "of its way from the model (its squared distances) lies in the plane, is told beside "
            "it."
            if paths
            else " The model itself is at the white cross."
        )

    def figure(self) -> Figure:
        """From above with log colours, and as a landscape."""
        with extra():
            from minigrad.viz.learning.surface_figure import surface_figure
        return surface_figure(self)

    def views(self) -> list[View]:
        """The surface from above, on which the paths can be played."""
        paths = [{"name": name, **path._asdict()} for name, path in self.paths.items()]
        surface = {"a": self.a, "b": self.b, "heights": self.heights, "centre": self.centre}
        return [View("loss_surface", {**surface, "names": self.names, "paths": paths})]

    def __repr__(self) -> str:
        finite = self.heights[np.isfinite(self.heights)]
        span = f"{finite.min():.4g} to {finite.max():.4g}" if finite.size else "nowhere finite"
        lines = [f"LossSurface: {self.heights.size} points, loss {span}"]
        if lost := self.heights.size - finite.size:
            lines.append(f"  {lost} of the points are NaN or infinite")
        for name, path in self.paths.items():
            lines.append(
                f"  {name}: {len(path.a)} positions, loss {path.losses[0]:.4g} to "
                f"{path.losses[-1]:.4g}; {path.share:.1%} of the movement lies in the plane"
            )
        return "\n".join(lines)


def loss_surface(
    loss: Callable[[], Any],
    parameters: Module | Tensor | Sequence[Tensor],
    directions: tuple[Direction, Direction] | None = None,
    *,
    ranges: tuple[Range, Range] | None = None,
    steps: int = 31,
    paths: Mapping[str, Path] | None = None,
    rng: np.random.Generator | None = None,
) -> LossSurface:
    """The loss over a plane through the present parameters: theta + a d_1 + b d_2.

    ::

        with mg.training.evaluating(model):
            viz.loss_surface(lambda: loss(model(x), y), model, ("w", "b")).save("cliff.png")

    The parameters are put at each point of a grid, and `loss` is called there, without a tape.
    Afterwards they are what they were, bit for bit, also if the loss raises an error.

    Parameters
    ----------
    loss
        a function without arguments that gives a single number. It should draw nothing: put a model
        that has dropout into ``evaluating``.
    parameters
        what moves: a model, a Tensor, or several Tensors.
    directions
        two of: the name of a parameter of the model that is a single number, whose values are the
        axis then; a dict of arrays by the names of parameters, the others being 0; or a list with
        an array for each parameter. None: the two in which the `paths` move most (their principal
        components), or, without paths, two random ones in which each filter has the length of the
        model's own.
    ranges
        from where to where a and b go; for a parameter's name, in values of the parameter. None:
        around the paths and the centre, or, without paths, 1 to both sides.
    steps
        the number of points along each axis, both ends included.
    paths
        by name: the parameters at some steps of training, each a `state_dict` of the model, or a
        list with an array for each parameter. Each is projected on the plane, and its own loss is
        computed.
    rng
        the generator of random directions; None: minigrad's own.

    Returns
    -------
    LossSurface
        with the attributes `names` of the axes; `a` and `b`, of shape (steps,); `heights`, of shape
        (steps, steps): ``heights[j, i]`` is the loss at ``a[i]`` and ``b[j]``, and NaN and infinity
        stay what they are; `centre`, the coordinates of the present parameters; `directions`; and
        `paths`, a `SurfacePath` for each.

    Raises
    ------
    TypeError, ValueError
        if the loss is not a single number; if there are no parameters; if a direction or position
        does not fit them, a direction is not finite or 0, or the two are the same; if a range or
        `steps` is empty.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer and T. Goldstein, "Visualizing the loss landscape of neural
    nets" (2018). R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent
    neural networks" (2013), for the cliff.
    """
    expected(Callable, loss, "loss_surface: loss")
    for what, value in (("directions", directions), ("ranges", ranges)):
        expected(Iterable, () if value is None else value, f"loss_surface: {what}")
    expected(Mapping, {} if paths is None else paths, "loss_surface: paths")
    moving = parameters_of(parameters)
    steps = whole_number(steps, "loss_surface: steps")
    if steps < 2:
        raise ValueError(f"loss_surface: steps must be at least 2, got {steps}")
    theta = moving.values()
    positions = {
        name: [moving.arrays(x, f"position {t} of path {name!r}", True) for t, x in enumerate(path)]
        for name, path in (paths or {}).items()
    }
    for name, path in positions.items():
        if not path:
            raise ValueError(f"loss_surface: path {name!r} has no positions")
    names, plane, centre = _plane(moving, directions, theta, positions, rng)
    projected = {name: project(theta, plane, path) for name, path in positions.items()}
    for projection in projected.values():
        projection.coordinates[:] += centre
    reached = [np.array([centre]), *(p.coordinates for p in projected.values())]
    a, b = (
        np.linspace(*_range(given, np.concatenate(reached)[:, i]), steps)
        for i, given in enumerate((None, None) if ranges is None else ranges)
    )
    with _At(moving, loss) as at:
        losses = {
            name: np.array([at.position(x) for x in path]) for name, path in positions.items()
        }
        d_1, d_2 = (at.on_device(d) for d in plane)
        heights = np.array(
            [[at.point(x - centre[0], d_1, y - centre[1], d_2) for x in a] for y in b]
        )
    return LossSurface(
        names,
        a,
        b,
        heights,
        centre,
        plane,
        {
            name: SurfacePath(
                p.coordinates[:, 0], p.coordinates[:, 1], losses[name], p.distances, p.share
            )
            for name, p in projected.items()
        },
    )


def _plane(
    moving: Parameters,
    directions: Any,
    theta: Position,
    positions: dict[str, list[Position]],
    rng: np.random.Generator | None,
) -> tuple[tuple[str, str], tuple[Position, Position], tuple[float, float]]:
    """The names of the axes, the two directions, and the coordinates of the centre."""
    names: tuple[str, ...]
    if directions is None:
        if positions:
            path = [x for path in positions.values() for x in path]
            both = "first principal direction", "second principal direction"
            return both, principal_directions(theta, path), (0.0, 0.0)
        drawn = random_direction(moving, rng), random_direction(moving, rng)
        names, given = ("first random direction", "second random direction"), drawn
    elif isinstance(directions, str) or len(directions) != 2:
        raise ValueError(f"loss_surface: directions must be two, got {told(directions)}")
    else:
        names = tuple(
            d if isinstance(d, str) else f"{nth} direction"
            for nth, d in zip(("first", "second"), directions, strict=True)
        )
        given = directions
    plane, centre = [], []
    for name, d in zip(names, given, strict=True):
        origin = 0.0
        if isinstance(d, str):
            d, origin = _scalar(moving, d, theta)
        array = moving.arrays(d, f"the {name}", False)
        if not all(np.isfinite(part).all() for part in array):
            raise ValueError(f"loss_surface: the {name} has elements that are not finite")
        if not any(part.any() for part in array):
            raise ValueError(f"loss_surface: the {name} is 0 everywhere, which is no direction")
        plane.append([part.astype(np.float64) for part in array])
        centre.append(origin)
    x, y = (np.concatenate([part.ravel() for part in d]) for d in plane)
    if abs(x @ y) > (1 - 1e-12) * np.sqrt((x @ x) * (y @ y)):
        raise ValueError("loss_surface: the two directions are parallel, which gives no plane")
    return (names[0], names[1]), (plane[0], plane[1]), (centre[0], centre[1])


def _scalar(moving: Parameters, name: str, theta: Position) -> tuple[Any, float]:
    """The direction of a parameter that is a single number, and its value."""
    if name not in moving.names:
        raise ValueError(
            f"loss_surface: there is no parameter {name!r}; there are {', '.join(moving.names)}"
        )
    value = theta[moving.names.index(name)]
    if value.size != 1:
        raise ValueError(
            f"loss_surface: {name} has shape {value.shape}; only a single number is a direction by "
            "its name. For others pass arrays by name: {" + f"{name!r}: direction" + "}"
        )
    return {name: np.ones_like(value)}, float(value.item())


def _range(given: Any, reached: Floats) -> Range:
    """From where to where an axis goes; around the coordinates that paths have `reached`."""
    if given is not None:
        low, high = map(float, given)
        if not -np.inf < low < high < np.inf:
            raise ValueError(
                f"loss_surface: a range must go from a number to a larger one: {given}"
            )
        return low, high
    reached = reached[np.isfinite(reached)]
    low, high = float(reached.min()), float(reached.max())
    margin = 0.15 * (high - low) or 1.0
    return low - margin, high + margin


class _At:
    """Within it, the loss at positions of the parameters; at the end they are what they were."""

    def __init__(self, moving: Parameters, loss: Callable[[], Any]) -> None:
        self.tensors, self.loss = moving.tensors, loss
        self.theta: list[Array] = [p.data for p in self.tensors]  # these arrays are not written to
        self.undo = ExitStack()

    def __enter__(self) -> _At:
        for p, array in zip(self.tensors, self.theta, strict=True):
            self.undo.callback(setattr, p, "data", array)
        self.undo.enter_context(no_grad())
        self.undo.enter_context(np.errstate(all="ignore"))
        return self

    def __exit__(self, *error: object) -> None:
        self.undo.close()

    def on_device(self, arrays: Position) -> list[Array]:
        """Arrays of the dtypes of the parameters, where these are."""
        return [
            Tensor(x, dtype=p.dtype, device=p.device).data
            for x, p in zip(arrays, self.tensors, strict=True)
        ]

    def position(self, arrays: Position) -> float:
        """The loss where the parameters are `arrays`."""
        return self._loss(self.on_device(arrays))

    def point(self, a: float, d_1: list[Array], b: float, d_2: list[Array]) -> float:
        """The loss at theta + a d_1 + b d_2."""
        a, b = float(a), float(b)
        return self._loss([x + a * d + b * e for x, d, e in zip(self.theta, d_1, d_2, strict=True)])

    def _loss(self, arrays: list[Array]) -> float:
        for p, array in zip(self.tensors, arrays, strict=True):
            p.data = array
        value = self.loss()
        if not isinstance(value, Tensor | float | int | np.number) or np.size(value) != 1:
            raise TypeError(f"loss_surface: the loss must be a single number, not {told(value)}")
        return float(value)
