# %% [markdown]
# # 9. An RNN cell: a network with a memory
#
# **Question.** In "hello", an l follows the first l, and an o follows the second. A model that sees
# only the last letter cannot tell them apart. How can it remember what it has read before?
#
# What we have so far, from steps 2 to 8:

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


def matmul(a, b):
    a, b = as_tensor(a), as_tensor(b)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul needs shapes (n, k) and (k, m), not {a.shape} and {b.shape}")
    return Tensor(a.data @ b.data, [(a, lambda g: g @ b.data.T), (b, lambda g: a.data.T @ g)])


def transpose(a):
    return Tensor(a.data.T, [(a, lambda g: g.T)])


Tensor.__matmul__ = matmul
Tensor.T = property(transpose)  # so that we can write a.T


def linear(x, weight, bias):
    """The weighted sums of each neuron, for each row of x: x W^T + b."""
    return x @ weight.T + bias


def tanh(a):
    out = np.tanh(a.data)
    return Tensor(out, [(a, lambda g: g * (1 - out * out))])


def softmax(logits):
    """Probabilities from logits, in each row of an array."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(logits, targets):
    """The mean of -log p of the true ids: N rows of logits, and N ids."""
    n = len(targets)
    if logits.shape[0] != n:
        raise ValueError(f"{logits.shape[0]} rows of logits, but {n} targets")
    shifted = logits.data - logits.data.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    truth = np.zeros(logits.shape)
    truth[np.arange(n), targets] = 1.0  # row by row: 1 at the true id, 0 elsewhere
    loss = -(truth * log_p).sum() / n
    return Tensor(loss, [(logits, lambda g: g * (softmax(logits.data) - truth) / n)])


class Vocabulary:
    """The tokens that a model knows, each with an id: its place in `tokens`."""

    def __init__(self, tokens):
        self.tokens = list(dict.fromkeys(tokens))  # each once, in order

    def encode(self, tokens):
        """The ids of some tokens."""
        unknown = [token for token in tokens if token not in self.tokens]
        if unknown:
            raise ValueError(f"not in the vocabulary: {unknown[0]!r}")
        return np.array([self.tokens.index(token) for token in tokens])

    def decode(self, ids):
        """The tokens with some ids, as a list."""
        return [self.tokens[id] for id in ids]

    def __len__(self):
        return len(self.tokens)


def embedding(ids, weight):
    """The rows of `weight` with the numbers `ids`."""

    def rule(g):
        gradient = np.zeros(weight.shape)
        np.add.at(gradient, ids, g)
        return gradient

    return Tensor(weight.data[ids], [(weight, rule)])


class Module:
    """A part of a model: its attributes that are Tensors are its parameters."""

    def parameters(self):
        """All parameters, those of the modules inside too."""
        found = []
        for value in vars(self).values():  # its attributes
            if isinstance(value, Module):
                found += value.parameters()
            elif isinstance(value, Tensor):
                found.append(value)
        return found


class Embedding(Module):
    """A vector for each id: a row of `weight`."""

    def __init__(self, num_embeddings, embedding_dim, rng):
        self.weight = Tensor(rng.normal(size=(num_embeddings, embedding_dim)))

    def __call__(self, ids):
        return embedding(ids, self.weight)


class Linear(Module):
    """x W^T + b."""

    def __init__(self, in_features, out_features, rng):
        k = in_features**-0.5
        self.weight = Tensor(rng.uniform(-k, k, (out_features, in_features)))
        self.bias = Tensor(rng.uniform(-k, k, out_features))

    def __call__(self, x):
        return linear(x, self.weight, self.bias)


class SGD:
    """Gradient descent: each parameter goes a little way against its gradient."""

    def __init__(self, parameters, lr):
        self.parameters, self.lr = parameters, lr  # lr is the learning rate

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    def step(self):
        for parameter in self.parameters:
            parameter.data -= self.lr * parameter.grad


# %% [markdown]
# ## A state
#
# A person who reads does not start anew with each letter. Something stays in the mind. We give
# the model a vector for this, the **hidden state** $h$. ("Hidden", since it is neither input nor
# output.) At each letter it makes a new state from two things: the letter, and the old state.
#
# $$h_t = \tanh(W_{ih}\, x_t + b_{ih} + W_{hh}\, h_{t-1} + b_{hh})$$
#
# The small $t$ counts the letters: the **time step**. $x_t$ is the embedding of letter number $t$,
# and $h_{t-1}$ the state after the letter before. Before the first letter, the state is all zeros.
#
# You know all parts: two linear layers, a sum, and tanh. The letters at the matrices say from
# where to where: *ih* is input to hidden, *hh* is hidden to hidden. (Two biases are one too many,
# since only their sum counts. minigrad has two, as other libraries do, so we have two.) The
# formula is for one text, with $x_t$ and $h_t$ as columns. In the code each text is a row, so the
# products are $x W^T$, as in step 6.
#
# This is a **recurrent neural network**, an **RNN**: "recurrent" means that it comes back to
# itself. One time step of it is a **cell**.


# %% tags=["keep"]
class RNNCell(Module):
    """One time step: the new h is tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    def __init__(self, input_size, hidden_size, rng):
        k = hidden_size**-0.5
        self.weight_ih = Tensor(rng.uniform(-k, k, (hidden_size, input_size)))
        self.weight_hh = Tensor(rng.uniform(-k, k, (hidden_size, hidden_size)))
        self.bias_ih = Tensor(rng.uniform(-k, k, hidden_size))
        self.bias_hh = Tensor(rng.uniform(-k, k, hidden_size))

    def __call__(self, x, h=None):
        if h is None:  # nothing read so far
            h = Tensor(np.zeros((x.shape[0], self.weight_hh.shape[0])))
        from_input = linear(x, self.weight_ih, self.bias_ih)
        from_state = linear(h, self.weight_hh, self.bias_hh)
        return tanh(from_input + from_state)


# %% [markdown]
# ## Reading
#
# Let a cell read "hello", letter by letter. It has not learned anything; its weights are random.
# The state is printed after each letter.

# %%
rng = np.random.default_rng(0)
vocabulary = Vocabulary("hello")
embed = Embedding(len(vocabulary), 3, rng)
cell = RNNCell(3, 3, rng)

h, states = None, []
for letter in "hello":
    x = embed(vocabulary.encode([letter]))  # shape (1, 3): one row, as we read one text
    h = cell(x, h)
    states.append(h)
    print(letter, h.data.round(3))

# %% [markdown]
# Look at the two lines with an l. The letter is the same, but the state is not, as the state before
# was another. So what a layer makes of the state can be different too. This is the memory that the
# model of step 8 did not have.
#
# ## Is it right?
#
# All four parameters of the cell, its input, and the old state get a gradient.

# %%
x, h_before = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(2, 3)))
weights = rng.normal(size=(2, 3))
check_gradients(
    lambda: (cell(x, h_before) * weights).sum(),
    x=x,
    h_before=h_before,
    weight_ih=cell.weight_ih,
    weight_hh=cell.weight_hh,
    bias_ih=cell.bias_ih,
    bias_hh=cell.bias_hh,
)

# %% [markdown]
# **The number of this step:** `the states after the two l are 0.3063 apart`

# %%
apart = np.linalg.norm(states[2].data - states[3].data)  # the length of the difference
print(f"the states after the two l are {apart:.4f} apart")

# %% [markdown]
# ## Change it
#
# - `return tanh(from_input + from_state)` → `return tanh(from_input)`: the old state is not used,
#   and the memory is gone. The check notices it: no gradient comes to the old state. It ends in
#   `AssertionError: no gradient has come to h_before`.
# - `for letter in "hello":` → `for letter in "lllll":`: the state begins to settle: the third and
#   the fourth are nearer together. It ends in `the states after the two l are 0.0692 apart`.
# - `    h = cell(x, h)` → `    h = cell(x, None)`: each letter starts from a state of zeros, as
#   if it were the first. It ends in `the states after the two l are 0.0000 apart`.
#
# **Exercise.** With the letters h, e, l the state depends on the order. Show it: the states after
# "hel" and "leh" are different. Why would the *sum* of the embeddings not do as a memory?
#
# :::{admonition} Solution
# :collapsible: closed
#
# A sum is the same for every order.
#
# ```python
# def read(text):
#     h = None
#     for letter in text:
#         h = cell(embed(vocabulary.encode([letter])), h)
#     return h.data
#
# assert np.linalg.norm(read("hel") - read("leh")) > 0.01
# sums = [embed(vocabulary.encode(text)).data.sum(axis=0) for text in ("hel", "leh")]
# assert np.allclose(*sums)  # the same, but for rounding
# ```
# :::
#
# **In minigrad:** the equation is in `minigrad/nn/recurrent/equations.py`, and the cell in
# `minigrad/nn/recurrent/cells.py`.
