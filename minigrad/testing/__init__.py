"""Proving gradients: what to call on an op or a layer of one's own.

`check_gradients` compares the derivatives of any function with finite differences; `check_layer`
does so for a layer with its parameters and state, and checks its manners besides; the submodule
`strategies` (which needs the package hypothesis: ``pip install ".[testing]"``) draws inputs
for property tests.
"""

from minigrad.testing.differences import GradientError
from minigrad.testing.gradients import check_gradients
from minigrad.testing.modules import check_layer

__all__ = ["GradientError", "check_gradients", "check_layer"]
