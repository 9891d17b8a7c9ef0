"""The tape: what happens when an op is called, and on the way back.

The reading order:

1. `node`: what the tape is made of; then `minigrad.tensor`: a Tensor and its node.
2. `tape`: the walk back along the nodes, `backward` and `grad`.
3. `record`: how an op is declared, called, and left on the tape; `operands`: its arguments.
4. `modes`: `no_grad`, `enable_grad`, `detect_anomaly`.
5. `fused`: ops with one backward, written by hand, for all inputs, and their composed twins.
6. `sparse`: gradients of few rows.
"""

from minigrad.errors.words import AUTOGRAD, unknown


def __getattr__(name: str) -> object:
    raise unknown("module 'minigrad.autograd'", name, AUTOGRAD)
