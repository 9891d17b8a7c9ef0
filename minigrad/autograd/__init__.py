"""The tape: what happens when an op is called, and on the way back.

The reading order, some 1,300 lines in all:

1. `tape`: nodes, the walk back along them, `backward` and `grad`.
2. `record`: how an op is declared, and what a call of it leaves on the tape.
3. `fused`: ops with one backward, written by hand, for all inputs, and their composed twins.
4. `modes`: `no_grad`, `enable_grad`, `detect_anomaly`.
5. `sparse`: gradients of few rows.
"""

from minigrad.errors.words import AUTOGRAD, unknown


def __getattr__(name: str) -> object:
    raise unknown("module 'minigrad.autograd'", name, AUTOGRAD)
