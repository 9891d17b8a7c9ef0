# %% [markdown]
# # 6. The matrix product: many weighted sums at once
#
# **Question.** A **neuron** multiplies each of its inputs by a **weight**, adds the products, and
# adds one more number, its **bias**. A layer of 100 neurons with 100 inputs does this 100 times,
# with 10,000 weights. How do we write that in one line, and what is its gradient?
#
# What we have so far, from steps 2 to 5:

# %% tags=["so-far", "hide-input"]
import numpy as np


class Tensor:
    """An array that remembers how it was made, and how a gradient goes back."""

    count = 0  # how many Tensors have been made so far
    __array_ufunc__ = None  # NumPy shall leave array * Tensor to us

    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.parents = parents  # pairs: a Tensor that went into the op, and its rule
        self.grad = None  # no gradient yet
        Tensor.count += 1
        self.stamp = Tensor.count

    def __repr__(self):
        return f"Tensor({self.data})"

    @property
    def shape(self):
        return self.data.shape

    def backward(self):
        """Write the gradients of all that this Tensor was made of into their .grad."""
        if self.shape != ():
            raise ValueError(f"backward needs a single number, not the shape {self.shape}")
        waiting = {self: np.ones(())}
        while waiting:
            youngest = max(waiting, key=lambda tensor: tensor.stamp)  # the largest stamp
            g = waiting.pop(youngest)
            youngest.grad = g if youngest.grad is None else youngest.grad + g
            for parent, rule in youngest.parents:
                waiting[parent] = waiting.get(parent, 0.0) + fitted(rule(g), parent.shape)

    def sum(self):
        return Tensor(self.data.sum(), [(self, lambda g: g * np.ones(self.shape))])


def add(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return Tensor(a.data + b.data, [(a, lambda g: g), (b, lambda g: g)])


def multiply(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return Tensor(a.data * b.data, [(a, lambda g: g * b.data), (b, lambda g: g * a.data)])


def subtract(a, b):
    return add(a, multiply(-1.0, b))


Tensor.__add__ = add
Tensor.__mul__ = multiply
Tensor.__sub__ = subtract


def check_gradients(formula, **tensors):
    """Raise an AssertionError unless backward agrees with finite differences."""
    epsilon = 1e-6
    for tensor in tensors.values():
        tensor.grad = None
    formula().backward()
    for name, tensor in tensors.items():
        assert tensor.grad is not None, f"no gradient has come to {name}"
        assert tensor.grad.shape == tensor.shape, (
            f"{name} has the shape {tensor.shape}, but its gradient has {tensor.grad.shape}"
        )
        for i in np.ndindex(tensor.shape):
            kept = tensor.data[i]
            tensor.data[i] = kept + epsilon
            up = formula().data
            tensor.data[i] = kept - epsilon
            down = formula().data
            tensor.data[i] = kept
            slope = (up - down) / (2 * epsilon)
            assert abs(tensor.grad[i] - slope) < 1e-6, (
                f"the gradient of {name}{list(i)} is {tensor.grad[i]:.4f}, "
                f"but finite differences give {slope:.4f}"
            )


def fitted(g, shape):
    """The gradient g, summed where broadcasting has used a Tensor of this shape again."""
    new_axes = g.ndim - len(shape)
    g = g.sum(axis=tuple(range(new_axes)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)


def as_tensor(x):
    """A Tensor as it is; a number or an array as a Tensor."""
    return x if isinstance(x, Tensor) else Tensor(x)


Tensor.__radd__ = lambda a, b: add(b, a)  # for 2.0 + a, where the left side is no Tensor
Tensor.__rmul__ = lambda a, b: multiply(b, a)
Tensor.__rsub__ = lambda a, b: subtract(b, a)

# %% [markdown]
# ## The product of two matrices
#
# A **matrix** is an array with two axes, rows and columns. The product $C = A B$ has in row $i$ and
# column $j$ a weighted sum: row $i$ of $A$ times column $j$ of $B$, element by element, added up.
#
# $$C_{ij} = \sum_k A_{ik} B_{kj}$$
#
# ($\sum_k$ means: add up for all $k$.) So $A$ needs as many columns as $B$ has rows: shapes
# $(n, k)$ and $(k, m)$ give $(n, m)$. NumPy writes it `A @ B`.
#
# Now the rule. The element $A_{ik}$ is used in each $C_{ij}$ of its row $i$, every time with the
# slope $B_{kj}$. Where something is used more than once, its gradients are added, as always. With
# $g_{ij}$, the gradient of $C_{ij}$, we get
#
# $$\text{gradient of } A_{ik} = \sum_j g_{ij} B_{kj}, \qquad
#   \text{gradient of } B_{kj} = \sum_i A_{ik}\, g_{ij}$$
#
# These are matrix products again: $g B^T$ and $A^T g$. Here $B^T$ is the **transpose** of $B$,
# with rows and columns swapped. You need not remember the formulas. The shapes leave no choice:
# the gradient of $A$ has the shape of $A$, $(n, k)$. $g$ has the shape $(n, m)$, and $B^T$ has
# $(m, k)$. There is one way to multiply them. (If you forget a `.T` in a rule, NumPy finds "a
# mismatch in its core dimension": the shapes do not fit.)


# %% tags=["keep"]
def matmul(a, b):
    a, b = as_tensor(a), as_tensor(b)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul needs shapes (n, k) and (k, m), not {a.shape} and {b.shape}")
    return Tensor(a.data @ b.data, [(a, lambda g: g @ b.data.T), (b, lambda g: a.data.T @ g)])


def transpose(a):
    return Tensor(a.data.T, [(a, lambda g: g.T)])


Tensor.__matmul__ = matmul
Tensor.T = property(transpose)  # so that we can write a.T

# %% [markdown]
# ## A layer
#
# A layer gets several **examples** at once, one in each row: $x$ has the shape (examples, inputs).
# The weight matrix has a row for each neuron, so its shape is (neurons, inputs), and we need its
# transpose. This is a **linear** layer:


# %% tags=["keep"]
def linear(x, weight, bias):
    """The weighted sums of each neuron, for each row of x: x W^T + b."""
    return x @ weight.T + bias


# %% [markdown]
# The bias, one number for each neuron, is broadcast over the examples.
#
# ## A bend
#
# Two linear layers, one after the other, are nothing new: a weighted sum of weighted sums is a
# weighted sum. To get more, there must be something between them that is not a straight line. We
# take $\tanh$. It looks like an S: near 0 it gives nearly what you put in, and far out it ends at
# 1 or $-1$. Its slope is $1 - \tanh^2$ (you find this in any table of derivatives), so the rule
# needs only the result.


# %% tags=["keep"]
def tanh(a):
    out = np.tanh(a.data)
    return Tensor(out, [(a, lambda g: g * (1 - out * out))])


# %%
for z in (-3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0):
    print(f"tanh({z:4}) = {np.tanh(z):7.4f}")

# %% [markdown]
# ## Is it right?
#
# Each gradient is weighted with random numbers, so that no two are alike.

# %%
rng = np.random.default_rng(0)
a, b = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(3, 4)))
weights = rng.normal(size=(2, 4))
check_gradients(lambda: (a @ b * weights).sum(), a=a, b=b)
check_gradients(lambda: (tanh(a) @ b * weights).sum(), a=a, b=b)
check_gradients(lambda: (b.T @ a.T * weights.T).sum(), a=a, b=b)

# %% [markdown]
# ## Something that no straight line can do
#
# "One or the other, but not both" is called XOR. It is the classic example of something that a
# linear layer cannot learn. (Draw the four inputs as points: no straight line has the ones on one
# side and the zeros on the other.) A layer of four neurons with a bend, and a linear layer behind
# it, can. This is a **neural network**. (`np.zeros(4)` are four zeros, and `[:, 0]` takes column 0
# of a table.)
#
# **The number of this step:** `loss = 0.0024`

# %%
x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([[0.0], [1.0], [1.0], [0.0]])

rng = np.random.default_rng(0)
W_1, b_1 = Tensor(rng.normal(size=(4, 2))), Tensor(np.zeros(4))
W_2, b_2 = Tensor(rng.normal(size=(1, 4))), Tensor(np.zeros(1))
for step in range(201):
    hidden = tanh(linear(Tensor(x), W_1, b_1))
    prediction = linear(hidden, W_2, b_2)
    difference = prediction - y
    loss = (difference * difference).sum() * (1 / 4)
    for parameter in (W_1, b_1, W_2, b_2):
        parameter.grad = None
    loss.backward()
    for parameter in (W_1, b_1, W_2, b_2):
        parameter.data -= 0.1 * parameter.grad
    if step % 50 == 0:
        print(f"step {step:3}   loss {loss.data:.4f}   {prediction.data[:, 0].round(2)}")
print(f"loss = {loss.data:.4f}")

# %% [markdown]
# The parameters start as random numbers, not as zeros. With zeros all four neurons would compute
# the same, get the same gradient, and stay the same for ever.
#
# ## Change it
#
# - `hidden = tanh(linear(Tensor(x), W_1, b_1))` → `hidden = linear(Tensor(x), W_1, b_1)`: without
#   the bend the best is to say 0.5 to everything. It ends in `loss = 0.2500`.
# - `W_2, b_2 = Tensor(rng.normal(size=(1, 4)))` → `W_2, b_2 = Tensor(np.zeros((1, 4)))`: with
#   zeros in the second layer, no gradient gets through to the first in the beginning. It learns,
#   but later. It ends in `loss = 0.0804`.
# - `lambda g: g * (1 - out * out)` → `lambda g: g * (1 - out)`: a wrong rule. It ends in
#   `AssertionError: the gradient of a[0, 0] is -0.1003, but finite differences give -0.1128`.
#
# **Exercise.** Write the op `sigmoid(a)`: $\sigma(a) = 1 / (1 + e^{-a})$. It is an S from 0 to 1.
# Its slope is $\sigma (1 - \sigma)$. NumPy writes $e^x$ as `np.exp(x)`. Check it. (We will need it
# in step 14.)
#
# :::{admonition} Solution
# :collapsible: closed
#
# ```python
# def sigmoid(a):
#     out = 1 / (1 + np.exp(-a.data))
#     return Tensor(out, [(a, lambda g: g * out * (1 - out))])
#
# check_gradients(lambda: (sigmoid(a) @ b * weights).sum(), a=a, b=b)
# ```
# :::
#
# **In minigrad:** `minigrad/ops/linalg.py` has the matrix product and `linear`,
# `minigrad/ops/arithmetic.py` has `tanh`, and `minigrad/nn/layers.py` the layer `Linear`.
