"""Dynamic evaluation: a model that goes on learning from the text that it is measured on.

The text is read in segments. Each is first predicted, and its loss counted; then the weights take
a step down the gradient of that loss. So a model adapts to the topic, the names and the style of
what it reads, and yet no token is predicted by weights that have seen it.

Mikolov, Karafiát, Burget, Černocký and Khudanpur, "Recurrent neural network based language model"
(2010); Krause, Kahembwe, Murray and Renals, "Dynamic evaluation of neural sequence models" (2018).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from minigrad import RowSparse, Tensor, enable_grad
from minigrad.training import detach_state, evaluating
from models.corpus import Ids
from models.devices import device_of, moved
from models.measuring.evaluation import (
    Evaluation,
    Tally,
    check_at_least,
    check_ids,
    check_share,
    quiet,
    vocab_size_of,
    window_of,
)
from models.rnnlm import LanguageModel

Statistics = list[NDArray[Any]]
"""For each parameter of a model, in their order, a NumPy array of its shape."""


def dynamic_evaluate(
    model: LanguageModel,
    ids: Ids,
    *,
    lr: float,
    decay: float = 0.0,
    segment: int = 20,
    rms: Sequence[NDArray[Any]] | None = None,
    epsilon: float = 1e-3,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Evaluation], object] | None = None,
) -> Evaluation | None:
    r"""The loss of `model` on `ids` while it learns from what it has been measured on.

    After each segment each parameter θ takes a step. θ₀ is its value after training, g the gradient
    of the segment's mean loss::

        θ = θ + decay (θ₀ - θ) - lr g                       without rms
        θ = θ + d (θ₀ - θ) - lr g / (√rms + epsilon)        with rms
        d = min(1, decay √rms / mean(√rms))

    The second is the rule of Krause et al. (2018): parameters whose gradients are large in training
    take smaller steps, and are pulled back more. The mean is over all elements of all parameters.

    It is a copy of the model that learns: `model` itself is never changed.

    Parameters
    ----------
    model
        asked out of training mode, on the device where it is.
    ids
        shape (length,), of any integer dtype.
    lr
        the learning rate. Begin to look at about 0.2 without rms and 0.001 with it, on another text
        than the one to report.
    decay
        how fast what was learned here is forgotten again, from 0 (never) to 1 (at once).
    segment
        the number of tokens between two steps, and how far gradients reach back.
    rms
        the mean squares of the gradients in training, from `gradient_mean_squares`; None: plain
        gradient descent.
    epsilon
        keeps the steps of parameters that had small gradients in training small.
    stop, progress
        as in `models.measuring.evaluation.evaluate`.

    Returns
    -------
    Evaluation, or None if it was stopped.

    Raises
    ------
    TypeError, IndexError
        for ids that are not integers, or outside the vocabulary.
    ValueError
        for fewer than two tokens, a number out of range, or `rms` of another model.
    """
    caller = "dynamic_evaluate"
    check_ids(caller, ids)
    check_at_least(caller, 1, segment=segment)
    check_share(caller, decay=decay)
    if not 0 <= lr < math.inf:
        raise ValueError(f"{caller}: lr must be a number of at least 0, got {lr}")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"{caller}: epsilon must be a number above 0, got {epsilon}")
    learner, tally = copy.deepcopy(model), Tally(progress)
    parameters = learner.parameters()
    trained = [parameter.data for parameter in model.parameters()]
    rates: list[Any] = [lr] * len(parameters)
    pulls: list[Any] = [decay or None] * len(parameters)
    if rms is not None:
        _check_statistics(caller, rms, trained)
        with quiet():
            scaled, device = _scaled(rms, lr, decay, epsilon), device_of(model)
        rates, pulls = ([_array_on(device, x) for x in each] for each in scaled)
    with evaluating(learner), quiet():
        for loss, tokens, last in _segments(learner, ids, segment):
            if stop():
                return None
            tally.note(loss, tokens)
            if not last:
                loss.backward()
                for parameter, start, rate, pull in zip(
                    parameters, trained, rates, pulls, strict=True
                ):
                    _step(parameter, start, rate, pull)
        return tally.result()


def gradient_mean_squares(
    model: LanguageModel, ids: Ids, segment: int = 20, batches: int = 1000
) -> Statistics:
    """The mean of the squared gradients of `model` over segments of the text it was trained on.

    Parameters
    ----------
    model
        asked out of training mode, and not changed.
    ids
        the text, shape (length,); its beginning is enough.
    segment
        the number of tokens in a segment, as it will be in `dynamic_evaluate`.
    batches
        how many segments to go through, at most, from the beginning.

    Returns
    -------
    list of ndarray
        for each parameter, in their order, an array of its shape, in the memory of the host.

    Raises
    ------
    TypeError, ValueError, IndexError
        as in `dynamic_evaluate`.
    """
    check_ids("gradient_mean_squares", ids)
    check_at_least("gradient_mean_squares", 1, segment=segment, batches=batches)
    learner = copy.deepcopy(model)
    parameters = learner.parameters()
    count = 0
    with evaluating(learner), quiet():
        sums = [parameter.data * 0 for parameter in parameters]
        for loss, _, _ in islice(_segments(learner, ids, segment), batches):
            loss.backward()
            for parameter, total in zip(parameters, sums, strict=True):
                gradient = _taken_gradient(parameter)
                if gradient is not None:
                    gradient *= gradient
                    total += gradient
            count += 1
        for total in sums:
            total /= count
        return [Tensor(total).numpy() for total in sums]


def _segments(model: LanguageModel, ids: Ids, segment: int) -> Iterator[tuple[Tensor, int, bool]]:
    """The loss of each segment, on the tape, its number of tokens, and whether it is the last."""
    state, device, vocab_size = None, device_of(model), vocab_size_of(model)
    for start in range(0, len(ids) - 1, segment):
        piece = moved(window_of(ids, start, start + segment + 1, vocab_size)[:, None], device)
        with enable_grad():
            loss, state = model.loss(piece[:-1], piece[1:], state)
        state = detach_state(state)
        yield loss, len(piece) - 1, start + segment >= len(ids) - 1


def _array_on(device: str | None, value: NDArray[Any] | None) -> Any:
    """An array of rates or pulls on `device`; None stays None."""
    return None if value is None else Tensor(value, device=device).data


def _step(parameter: Tensor, trained: Any, rate: Any, pull: Any) -> None:
    """A step down the gradient, and towards the trained value; the gradient is used up."""
    gradient, value = _taken_gradient(parameter), parameter.data
    if gradient is None:  # a parameter that is frozen, or takes no part
        return
    gradient *= rate
    if pull is not None:
        back = trained - value
        back *= pull
        gradient -= back
    value -= gradient
    parameter.data = value  # tells the tape that it has changed


def _taken_gradient(parameter: Tensor) -> Any:
    """The gradient of `parameter` as an array to write to, or None; it has none afterwards."""
    gradient, parameter.grad = parameter.grad, None
    if isinstance(gradient, RowSparse):
        return gradient.to_dense()
    return None if gradient is None else gradient.data


def _scaled(
    rms: Sequence[Any], lr: float, decay: float, epsilon: float
) -> tuple[list[Any], list[Any]]:
    """The learning rates and the pulls of the rule with mean squares, for each element."""
    roots = [mean_square**0.5 for mean_square in rms]
    mean = sum(float(root.sum()) for root in roots) / sum(root.size for root in roots)
    rates = [lr / (root + epsilon) for root in roots]
    if not decay or not mean:
        return rates, [None] * len(roots)
    return rates, [(root * (decay / mean)).clip(0, 1) for root in roots]


def _check_statistics(caller: str, rms: Sequence[Any], parameters: Sequence[Any]) -> None:
    ours, theirs = ([array.shape for array in arrays] for arrays in (parameters, rms))
    if ours != theirs:
        raise ValueError(
            f"{caller}: rms must have the shapes of the model's parameters, {ours}, got {theirs}"
        )
