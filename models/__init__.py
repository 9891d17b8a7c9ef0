"""Models built on minigrad's public API alone, and a command line to train them: see `--help`.

::

    python -m models train --out runs/first
    python -m models sample runs/first --prompt "The "
    python -m models evaluate runs/first
"""

from models.rnnlm import RNNLM

__all__ = ["RNNLM"]
