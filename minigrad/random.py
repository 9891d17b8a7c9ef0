"""The library's own random generator, for every draw that is given no other."""

from __future__ import annotations

import numpy as np

_own: np.random.Generator | None = None  # made when first used: it takes long to import


def manual_seed(seed: int) -> None:
    """Start the library's own generator anew, so that what follows is a function of `seed`.

    It serves initialisers, dropout and sampling wherever no ``rng=`` is passed. Initial values are
    drawn on the CPU, the same for every device; dropout on a GPU draws a key here, and by it the
    mask on the device.
    """
    generator().bit_generator.state = np.random.default_rng(seed).bit_generator.state


def generator(rng: np.random.Generator | None = None) -> np.random.Generator:
    """`rng`, or the library's own generator if it is None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator or None, got {type(rng).__name__}")
    if rng is not None:
        return rng
    global _own
    if _own is None:
        _own = np.random.default_rng()
    return _own
