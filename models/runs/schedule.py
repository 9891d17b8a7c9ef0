"""How long a run is, and its learning rate on the way: functions of how far it has come."""

from __future__ import annotations

import math

from minigrad.optim import half_cosine
from models.runs.shared_settings import RunSettings

RECORDS = 200
"""About how many records of the training loss a run of known length makes."""

RECORD_EVERY = 50
"""Steps between two records in a run of unknown length."""


def fraction_done(s: RunSettings, step: int, epochs: float, seconds: float) -> float:
    """How much of the run is done, from 0 to 1, after so many steps, epochs and seconds.

    If the settings limit several of them, the one nearest to its end counts.
    """
    parts = [
        step / s.steps if s.steps is not None else 0.0,
        epochs / s.epochs if s.epochs is not None else 0.0,
        seconds / (60 * s.minutes) if s.minutes is not None else 0.0,
    ]
    return min(1.0, max(parts))


def expected_steps(s: RunSettings, steps_per_epoch: int) -> int | None:
    """How many steps the run has; None if only the clock knows."""
    totals = [s.steps] if s.steps is not None else []
    totals += [s.epochs * steps_per_epoch] if s.epochs is not None else []
    return min(totals, default=None)


def steps_between_records(total: int | None) -> int:
    """The number of steps between two records of the training loss, in a run of `total` steps."""
    return RECORD_EVERY if total is None else max(1, total // RECORDS)


def warmup_steps(s: RunSettings, total: int | None) -> int:
    """How many steps the learning rate rises for."""
    if s.warmup is not None:
        return s.warmup
    if s.schedule != "cosine":
        return 0
    return 50 if total is None else min(50, total // 10)


def rate(s: RunSettings, step: int, epoch: int, fraction: float, total: int | None) -> float:
    """The learning rate of the step after `step` steps, in epoch number `epoch`, from 0.

    In the first steps it rises from 0; then comes the schedule.
    ``"cosine"``: along half a cosine, from the largest down to ``final_lr`` times the largest.
    ``"decay"``: times ``decay`` in each epoch after the first ``decay_after`` ones.
    ``"constant"`` and ``"plateau"``: the largest. (With plateau, validations make it smaller.)
    """
    rise = warmup_steps(s, total)
    if step < rise:
        return s.learning_rate * (step + 1) / rise
    if s.schedule == "decay":
        return s.learning_rate * s.decay ** max(0, epoch + 1 - s.decay_after)
    if s.schedule == "cosine":
        if total is not None and s.minutes is None:
            fraction = (step - rise) / max(1, total - rise)
        share = half_cosine(min(1.0, fraction))
        return s.learning_rate * (s.final_lr + (1 - s.final_lr) * share)
    return s.learning_rate


def validation_is_due(
    s: RunSettings, step: int, epoch_ended: bool, fraction: float, before: float, several: bool
) -> bool:
    """Whether it is time for a validation.

    It is time at the end of the run, and before it as often as the settings say. If they say
    nothing: after each epoch, in a run of several epochs or with a schedule or optimiser that goes
    by epochs; after each tenth of the run otherwise.

    Parameters
    ----------
    s
        the settings of the run.
    step, epoch_ended, fraction
        how many steps were taken, whether an epoch has just ended, and how much of the run is done.
    before
        how much of it was done at the last validation.
    several
        whether the run has at least five epochs.
    """
    if fraction >= 1:
        return True
    if s.eval_every is not None:
        return step % s.eval_every == 0
    if s.schedule == "plateau" or s.optimizer == "nt-asgd":  # they count epochs
        return epoch_ended
    if s.epochs is not None and (epoch_ended or several):
        return epoch_ended
    return int(10 * fraction) > int(10 * before)


def validations_left(
    s: RunSettings, step: int, fraction: float, total: int | None, steps_per_epoch: int
) -> int:
    """About how many validations come after `step` steps: see `validation_is_due`.

    Parameters
    ----------
    s
        the settings of the run.
    step, fraction
        how many steps were taken, and how much of the run is done.
    total, steps_per_epoch
        how many steps there are in all (None: only the clock knows), and in an epoch.
    """
    if total is None:
        return 10 - int(10 * fraction)
    by_epoch = s.schedule == "plateau" or s.optimizer == "nt-asgd"
    by_epoch = by_epoch or (s.epochs is not None and total >= 5 * steps_per_epoch)
    every = s.eval_every or (steps_per_epoch if by_epoch else total / 10)
    return math.ceil((total - step) / every)


def samples_due(s: RunSettings, fraction: float) -> int:
    """How many samples should have been shown when so much of the run is done."""
    if s.samples == 1:
        return int(fraction >= 1)
    return 1 + int((s.samples - 1) * fraction) if s.samples else 0
