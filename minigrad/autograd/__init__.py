"""The tape: what happens when an op is called, and in the backward pass.

The reading order:

1. `node`: what the tape is made of; then `minigrad.tensor`: a Tensor and its node.
2. `tape`: the walk back along the nodes; `backward` and `grad`.
3. `record`: how an op is declared and called, and what it leaves on the tape; then `operands`: what
   its arguments mean.
4. `modes`: `no_grad`, `enable_grad`, `detect_anomaly`.
5. `fused`: ops with one backward for all inputs, written by hand, and their composed twins.
6. `sparse`: the gradient of a matrix of which only some rows were used.
"""

from minigrad.errors.words import AUTOGRAD, unknown


def __getattr__(name: str) -> object:
    raise unknown("module 'minigrad.autograd'", name, AUTOGRAD)
