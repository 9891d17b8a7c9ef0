"""Backpropagation through time, full and truncated, for any recurrent model.

A recurrent model is anything that is called as ``outputs, state = model(inputs, state)`` on a run
of time steps (time first), and that goes on where it stopped when it is given the state again.
Unrolled in time it is one deep network, and the gradient of the loss at step s reaches back through
every step before it: that is full BPTT, whose memory grows with the length of the sequence.

Truncated BPTT looks back a limited way. Every `k1` steps, it goes back `k2` steps::

    k1 = 3, k2 = 3:  the usual chunking      k1 = 2, k2 = 4:  the sliding window
    steps  0 1 2 3 4 5 6 7                   steps  0 1 2 3 4 5 6 7
           * * *                                    * *
                 * * *                              . . * *
                       * *                              . . * *
                                                            . . * *

Each line is a window: the losses of its new steps (``*``) send their gradient back to its first
step. The steps before the new ones (``.``) have had their losses counted, and are there to be
walked back through. They run once more, from the state that was kept when they ran before, so all
of a window is computed with the weights as they are, and the optimiser may step between windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.arrays.library import is_array
from minigrad.data.checks import whole_number
from minigrad.ops import concatenate
from minigrad.tensor import Tensor

Model = Callable[[Any, Any], Any]
"""``outputs, state = model(inputs, state)`` on inputs of shape (steps, ...)."""

Loss = Callable[[Any, Any], Any]
"""``loss(outputs, targets)``, a single number; or several, of which the first is gone down."""


class Window(NamedTuple):
    """What `truncated_bptt` tells after each window, cut off from the tape."""

    loss: Any
    """The loss of the window's new steps: a single number, or a tuple of them, as it was given."""

    start: int
    """The first new step."""

    end: int
    """The step after the last."""

    state: Any
    """The state after the last step."""

    context: Any
    """The state before the first step of the next window; that is `state` if k1 = k2.

    If the next window too goes back to the beginning, it is the initial state as it was given. To
    go on from here in another run, pass it as `state`, together with ``start=window.end``.
    """


def truncated_bptt(
    model: Model,
    loss: Loss,
    inputs: Any,
    targets: Any,
    state: Any = None,
    *,
    k1: int,
    k2: int | None = None,
    start: int = 0,
) -> Iterator[Window]:
    """Go through a sequence by truncated BPTT, window by window; see the module for a drawing.

    For each window the model runs, the loss of the new steps is computed, and its gradient is added
    to the ``.grad`` of what it depends on. Then it is the caller's turn::

        for window in truncated_bptt(model, cross_entropy, inputs, targets, k1=35):
            clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            optimizer.zero_grad()

    Without the steps in between, the gradients of all windows add up to the truncated gradient of
    the sum of their losses; with k2 of at least the length of the sequence, to the full gradient.
    (A loss that is a mean is the mean of each window's new steps, so that each step of a shorter
    last window counts for more. To weigh all steps alike, sum, and divide by a constant.)

    Parameters
    ----------
    model
        called as ``outputs, state = model(inputs, state)`` on runs of time steps. Outputs are a
        Tensor of shape (steps, ...), or a tuple or list of such. A model that draws random numbers
        draws anew for the steps that run again.
    loss
        called as ``loss(outputs, targets)`` on the new steps of each window. It gives a single
        number, or a tuple of them: the gradient is that of the first, and the others are told, such
        as a cross-entropy beside the objective that adds penalties to it.
    inputs, targets
        arrays or Tensors of shape (T, ...), or what else has a length and can be sliced.
    state
        the state to begin with, as the model takes it: None, a Tensor, or nested tuples and lists
        of them. It is used as it is: if it requires a gradient, it gets that of the windows that
        reach back to it. (Through the tape that it was computed on only one window can go; a
        second one raises a `TapeError`.)
    k1
        how many new steps a window has; the last one may have fewer.
    k2
        how many steps a window goes back from its end, at least `k1`; None: as `k1`. With k2 = k1
        no window, the last neither, goes back beyond its new steps.
    start
        the step to begin with, if the ones before it are done: ``end`` of the last window, whose
        ``context`` is then to be passed as `state`.

    Yields
    ------
    Window
        the loss and the states, cut off from the tape.

    Raises
    ------
    ValueError
        if k1 < 1, k2 < k1, `start` is not in [0, T), or inputs and targets differ in length.
    TypeError
        if the model or the loss gives something other than described, or k1, k2 or `start` is no
        integer.

    References
    ----------
    R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990): BPTT(h; h') there has h = k2 and
    h' = k1.
    """
    k1 = whole_number(k1, "truncated_bptt: k1")
    k2 = k1 if k2 is None else whole_number(k2, "truncated_bptt: k2")
    start = whole_number(start, "truncated_bptt: start")
    steps = len(inputs)
    if k1 < 1 or k2 < k1:
        raise ValueError(f"truncated_bptt: 1 <= k1 <= k2 is needed, got k1={k1} and k2={k2}")
    if len(targets) != steps:
        raise ValueError(f"truncated_bptt: {steps} steps of inputs, but {len(targets)} of targets")
    if not 0 <= start < steps:
        raise ValueError(f"truncated_bptt: start={start} is none of the {steps} steps")
    return _windows(model, loss, inputs, targets, state, k1, k2, start)


def full_bptt(model: Model, loss: Loss, inputs: Any, targets: Any, state: Any = None) -> Window:
    """Full BPTT: one window of all steps; see `truncated_bptt`, also for what is raised."""
    return next(truncated_bptt(model, loss, inputs, targets, state, k1=max(1, len(inputs))))


def detach_state(state: Any) -> Any:
    """`state` cut off from the tape: a Tensor, None, or nested tuples and lists of them.

    The arrays are shared, not copied. What the state is made of keeps its type.

    Raises
    ------
    TypeError
        if there is something else in it.
    """
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*map(detach_state, state))
    if isinstance(state, tuple | list):
        return type(state)(map(detach_state, state))
    if state is None or is_array(state):
        return state
    raise TypeError(
        f"detach_state: a state consists of Tensors, tuples, lists and None, not "
        f"{type(state).__name__} {state!r:.60}"
    )


def _windows(
    model: Model, loss: Loss, inputs: Any, targets: Any, context: Any, k1: int, k2: int, new: int
) -> Iterator[Window]:
    steps = len(inputs)

    def first_step(new: int) -> int:
        """Where the window begins whose first new step is `new`."""
        return new if k1 == k2 else max(0, min(new + k1, steps) - k2)

    while new < steps:
        end = min(new + k1, steps)
        kept = first_step(end) if end < steps else end
        cuts = sorted({first_step(new), new, kept, end})
        window = _window(model, loss, inputs, targets, context, cuts, new, kept)
        yield window
        context, new = window.context, end


def _window(
    model: Model,
    loss: Loss,
    inputs: Any,
    targets: Any,
    state: Any,
    cuts: list[int],
    new: int,
    kept: int,
) -> Window:
    """One window, from ``cuts[0]`` to ``cuts[-1]``.

    The model runs from cut to cut, so that the state after step `kept` can be had, and no outputs
    from before step `new` are on the way from the loss back.
    """
    end = cuts[-1]
    outputs, context = [], state
    for a, b in pairwise(cuts):
        result = model(inputs[a:b], state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                "truncated_bptt: the model must give a pair (outputs, state), not "
                f"{type(result).__name__}"
            )
        output, state = result
        if a >= new:
            outputs.append(output)
        if b == kept:
            context = detach_state(state)
        del result, output
    value = loss(_joined(outputs), targets[new:end])
    losses = value if isinstance(value, tuple) and value else (value,)
    for each in losses:
        if not isinstance(each, Tensor):
            raise TypeError(f"truncated_bptt: the loss must be a Tensor, not {type(each).__name__}")
    losses[0].backward()
    return Window(detach_state(value), new, end, detach_state(state), context)


def _joined(outputs: list[Any]) -> Any:
    """Outputs of consecutive runs of steps as those of one run."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    if isinstance(first, tuple | list):
        return type(first)(_joined(list(parts)) for parts in zip(*outputs, strict=True))
    return concatenate(outputs)
