"""``cupy.random``: the names and dtypes of CuPy's, other numbers."""

import numpy as np

from .arrays import new
from .counts import count
from .names import checked, missing


class Generator:
    """``cupy.random.Generator``, which has less than NumPy's."""

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)

    def random(self, size=None, dtype=np.float64, out=None):
        """Uniform in [0, 1)."""
        return _drawn(self._generator.random(size, dtype), out)

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """Normal."""
        return _drawn(self._generator.standard_normal(size, dtype), out)

    def uniform(self, low=0.0, high=1.0, size=None, dtype=np.float64):
        """Uniform in [low, high)."""
        return _drawn(self._generator.uniform(low, high, size).astype(dtype))

    def integers(self, low, high=None, size=None, dtype=np.int64, endpoint=False):
        """Whole numbers."""
        return _drawn(self._generator.integers(low, high, size, dtype, endpoint))

    def __getattr__(self, name):
        raise missing("Generator", name)


for _name in ("random", "standard_normal", "uniform", "integers"):
    setattr(Generator, _name, checked("Generator", _name, getattr(Generator, _name)))


def default_rng(seed=None):
    """A generator."""
    return Generator(seed)


class _Shared:
    generator = np.random.default_rng(0)


def seed(seed=None):
    """Seed the generator that all share."""
    _Shared.generator = np.random.default_rng(seed)


def rand(*size, dtype=float):
    """Uniform in [0, 1)."""
    return _drawn(_Shared.generator.random(size).astype(dtype))


def randn(*size, dtype=float):
    """Normal."""
    return _drawn(_Shared.generator.standard_normal(size).astype(dtype))


def random(size=None, dtype=float):
    """Uniform in [0, 1)."""
    return _drawn(np.asarray(_Shared.generator.random(size)).astype(dtype))


def normal(loc=0.0, scale=1.0, size=None, dtype=float):
    """Normal."""
    return _drawn(np.asarray(_Shared.generator.normal(loc, scale, size)).astype(dtype))


def uniform(low=0.0, high=1.0, size=None, dtype=float):
    """Uniform in [low, high)."""
    return _drawn(np.asarray(_Shared.generator.uniform(low, high, size)).astype(dtype))


def _drawn(values, out=None):
    count("kernels", "random")
    if out is None:
        return new(np.asarray(values), "random")
    out[...] = new(np.asarray(values), "random")
    return out


MEMBERS = {
    "Generator": Generator,
    **{f.__name__: f for f in (default_rng, seed, rand, randn, random, normal, uniform)},
}
