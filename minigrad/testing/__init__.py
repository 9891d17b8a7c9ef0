"""Proofs of gradients: what to call for an op or a layer of your own.

`check_gradients` compares the derivatives of any function with finite differences. `check_layer`
does the same for a layer with its parameters and state, and also checks how the layer behaves. The
submodule `strategies` draws inputs for property tests; it needs the package hypothesis (``pip
install "minigrad-rnn[testing]"``).

To read it, begin with `differences` (the numbers), then `gradients` (how rules behave), `twins` (of
fused ops), `causes` (what may be wrong) and `modules` (layers).
"""

from minigrad.testing.differences import GradientError
from minigrad.testing.gradients import check_gradients
from minigrad.testing.modules import check_layer

__all__ = ["GradientError", "check_gradients", "check_layer"]
