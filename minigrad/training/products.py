"""The matrix products of a training step: what most of its time goes into.

They say which kernels of the BLAS are the best for a model (`minigrad.cpu.better_environment`), and
how much there is to compute. A model's products are those of its layers::

    products = [
        *recurrent_products([20] * 35, inputs=200, hidden=200, gates=4),  # an LSTM
        *linear_products(35 * 20, 200, 10_000),  # its output layer
    ]
    mg.cpu.restart_with_better_kernel(products)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minigrad.arrays.blas import Product
from minigrad.nn.recurrent.steps import FEW


def linear_products(rows: int, inputs: int, outputs: int) -> list[Product]:
    """The products of W x for so many `rows` x, forward and backward.

    As in the ops, the rows of x and of the gradient g are those of a matrix, and W has the shape
    (outputs, inputs)::

        x W^T       W x
        g W         dx = W^T g
        g^T x       dW = sum of g x^T
    """
    return [
        Product(rows, inputs, outputs, layout="NT"),
        Product(rows, outputs, inputs),
        Product(outputs, rows, inputs, layout="TN"),
    ]


def recurrent_products(sizes: Sequence[int], inputs: int, hidden: int, gates: int) -> list[Product]:
    """The products of a fused recurrent layer in one direction.

    Parameters
    ----------
    sizes
        the number of sequences at each time step, such as ``[N] * T``.
    inputs, hidden
        the length of x_t, and of h_t. If x is one-hot, columns of W_ih take the place of products:
        `inputs` is 0.
    gates
        how many matrices there are in one: 1 of an RNN, 3 of a GRU, 4 of an LSTM.
    """
    rows, width = sum(sizes), gates * hidden
    layout = "NT" if rows <= FEW else "NN"
    result = linear_products(rows, inputs, width) if inputs else []
    result.append(Product(width, rows, hidden, layout="TN"))  # dW_hh = sum of delta h^T
    for batch, steps in Counter(sizes).items():
        result.append(Product(batch, hidden, width, steps, layout))  # W_hh h
        result.append(Product(batch, width, hidden, steps))  # dh = W_hh^T delta
    return result
