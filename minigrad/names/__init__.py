"""What a Tensor answers to: its operators and methods, and the names that people bring along.

`methods` has the operators and methods that are ops, by NumPy's names; `pytorch_methods` PyTorch's
names for them; `numpy_functions` what ``np.tanh(tensor)`` does. They are given to `Tensor` here, as
the ops are made of Tensors, and so lie above it.
"""

from minigrad.names.methods import METHODS
from minigrad.names.numpy_functions import call_function, call_ufunc
from minigrad.names.pytorch_methods import SECOND_NAMES, words
from minigrad.tensor import Tensor

Tensor.__array_ufunc__, Tensor.__array_function__ = call_ufunc, call_function  # type: ignore[attr-defined]
for _name, _given in (METHODS | SECOND_NAMES).items():
    setattr(Tensor, _name, _given)
for _name, _given in words(Tensor).items():
    setattr(Tensor, _name, _given)
