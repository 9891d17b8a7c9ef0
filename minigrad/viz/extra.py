"""The packages that viz needs: imported where they are used, and missed with a clear word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra() -> Iterator[None]:
    """Within it, import what the extra ``viz`` brings.

    Examples
    --------
    >>> with extra():
    ...     from matplotlib.figure import Figure

    Raises
    ------
    ModuleNotFoundError
        if a package is missing. The message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'minigrad.viz needs {error.name}: python -m pip install "minigrad-rnn[viz]"',
            name=error.name,
        ) from error
