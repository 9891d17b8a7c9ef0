"""Backpropagation through time, full and truncated, for any recurrent model.

A recurrent model is anything that is called as ``outputs, state = model(inputs, state)`` on some
time steps (time first), and that goes on where it stopped when it is called with that state.
Unrolled in time it is one deep network. The gradient of the loss at step s goes back through every
step before s. This is full BPTT, and its memory grows with the length of the sequence.

Truncated BPTT goes back a limited number of steps: after every `k1` steps, it goes back `k2`::

    k1 = 3, k2 = 3:  the usual chunking      k1 = 2, k2 = 4:  the sliding window
    steps  0 1 2 3 4 5 6 7                   steps  0 1 2 3 4 5 6 7
           * * *                                    * *
                 * * *                              . . * *
                       * *                              . . * *
                                                            . . * *

Each line is a window. The losses of its new steps (``*``) send their gradient back to its first
step. The losses of the older steps (``.``) have been counted before; these steps are there only so
that the gradient can go back through them. They run once more, from the state that was kept when
they ran before. So the whole window is computed with the present weights, and the optimiser may
step between windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.arrays.library import is_array
from minigrad.data.checks import whole_number
from minigrad.errors.values import told
from minigrad.ops import concatenate
from minigrad.tensor import Tensor

Model = Callable[[Any, Any], Any]
"""``outputs, state = model(inputs, state)`` on inputs of shape (steps, ...)."""

Loss = Callable[[Any, Any], Any]
"""``loss(outputs, targets)``, a single number; or several, of which the first is gone down."""


class Window(NamedTuple):
    """What `truncated_bptt` gives for each window, detached from the tape."""

    loss: Any
    """The loss of the window's new steps: a single number, or a tuple of them, as it was given."""

    start: int
    """The first new step."""

    end: int
    """The step after the last."""

    state: Any
    """The state after the last step."""

    context: Any
    """The state before the first step of the next window; for k1 = k2 it is `state`.

    If the next window goes back to the beginning too, it is the initial state as it was passed. To
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
    """Truncated BPTT over a sequence, window by window; the module's docstring has a drawing.

    For each window the model runs, the loss of the new steps is computed, and its gradient is added
    to the ``.grad`` of the parameters. Then the caller may step::

        for window in truncated_bptt(model, cross_entropy, inputs, targets, k1=35):
            clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            optimizer.zero_grad()

    Without such steps, the gradients of all windows add up to the truncated gradient of the sum of
    their losses. If k2 is at least the length of the sequence, this is the full gradient. (If the
    loss is a mean, it is the mean over the new steps of each window. Then each step of a shorter
    last window counts more. To count all steps equally, sum, and divide by a constant.)

    Parameters
    ----------
    model
        called as ``outputs, state = model(inputs, state)`` on some time steps. The outputs are a
        Tensor of shape (steps, ...), or a tuple or list of them. A model that draws random numbers
        draws new ones for the steps that run again.
    loss
        called as ``loss(outputs, targets)`` on the new steps of each window. It gives a single
        number, or a tuple of them: the gradient is that of the first, and the others are told, such
        as a cross-entropy beside the objective that adds penalties to it.
    inputs, targets
        arrays or Tensors of shape (T, ...), or anything else that has a length and can be sliced.
    state
        the initial state, in the model's own form: None, a Tensor, or nested tuples and lists of
        them. It is used as it is: if it requires a gradient, it gets the gradient of the windows
        that go back to it. (If it was computed on a tape, only one window can go back through that;
        a second one raises a `TapeError`.)
    k1
        the number of new steps in a window; the last window may have fewer.
    k2
        the number of steps that a window goes back from its end, at least `k1`; None: `k1`. With
        k2 = k1 no window goes back beyond its new steps, not even the last one.
    start
        the step to begin with, if the steps before it are done. It is ``end`` of the last window;
        pass that window's ``context`` as `state`.

    Yields
    ------
    Window
        the loss and the states, detached from the tape.

    Raises
    ------
    ValueError
        if k1 < 1, k2 < k1, `start` is not in [0, T), or inputs and targets differ in length.
    TypeError
        if the model or the loss does not return what is described here, or k1, k2 or `start` is not
        an integer.

    References
    ----------
    R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990). In their BPTT(h; h'), h is k2 and
    h' is k1.
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
    """`state`, detached from the tape: a Tensor, None, or nested tuples and lists of them.

    The arrays are shared, not copied. Tuples and lists keep their types.

    Raises
    ------
    TypeError
        if there is something else in the state.
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
        f"{type(state).__name__} {told(state)}"
    )


def _windows(
    model: Model, loss: Loss, inputs: Any, targets: Any, context: Any, k1: int, k2: int, new: int
) -> Iterator[Window]:
    steps = len(inputs)

    def first_step(new: int) -> int:
        """The first step of the window whose first new step is `new`."""
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

    The model runs from cut to cut. So the state before step `kept` is known, and the loss does not
    depend on outputs from before step `new`.
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
    """The outputs of consecutive calls as if they came from one call."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    if isinstance(first, tuple | list):
        return type(first)(_joined(list(parts)) for parts in zip(*outputs, strict=True))
    return concatenate(outputs)
