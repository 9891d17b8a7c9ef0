"""What a run remembers on its way: how long it took, what is due, how validations went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.runs.schedule import fraction_done, samples_due
from models.runs.shared_settings import RunSettings


@dataclass
class Standing:
    """What a run remembers beside its model, its trainer and its records."""

    due: bool = True
    """Whether a validation is to come before the next step."""

    validated: float = 0.0
    """How much of the run was done at the last validation, from 0 to 1."""

    factor: float = 1.0
    """What the learning rate is multiplied with, after validations that were no better."""

    worse: int = 0
    """Validations since the best one."""

    samples: int = 0
    """How many samples have been shown."""

    seconds: float = 0.0
    """How long the run had taken when it was saved."""

    finished: bool = False
    """Whether it is over."""

    def adapt(
        self,
        s: RunSettings,
        before: Mapping[str, Any],
        fraction: float,
        validation: Mapping[str, Any] | None,
    ) -> None:
        """Adapt to the settings that a run goes on with, which may make it longer or shorter.

        Parameters
        ----------
        s
            the settings from now on.
        before
            the options that said how long the run was to be, by their names.
        fraction
            how much of the run is done, as it is measured from now on.
        validation
            the record of the last validation.
        """
        if any(getattr(s, name) != value for name, value in before.items()):
            if validation is not None:  # how much was done then, by the new settings
                then = (validation[name] for name in ("step", "epoch", "seconds"))
                self.validated = fraction_done(s, *then)
            self.samples = min(self.samples, samples_due(s, fraction))
        tired = s.patience is not None and self.worse >= s.patience
        self.finished = self.finished and (fraction >= 1 or tired)
        self.due = self.due or (fraction >= 1 and not self.finished)
