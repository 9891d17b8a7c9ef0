"""Looking at a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minigrad.modes import no_grad
from minigrad.nn import Module


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Within it, `module` is out of training mode, and nothing is recorded on the tape.

    On any exit each module below `module` is in the mode again that it was in before.
    """
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with no_grad():
            yield
    finally:
        for part, training in before:
            part.training = training
