"""The operators and methods of a Tensor, and the names that users know from NumPy and PyTorch.

`methods` has the operators and methods that are ops, with NumPy's names. `pytorch_methods` has
PyTorch's names for them. `numpy_functions` says what ``np.tanh(tensor)`` does. They are given to
`Tensor` here and not in its own file, since they are ops, and ops are made of Tensors.
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
