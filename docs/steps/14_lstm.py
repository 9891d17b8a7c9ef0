# %% [markdown]
# # 14. The LSTM: a memory that is kept
#
# **Question.** An RNN forgets, since at each time step its state is made anew: by a product with a
# matrix, and a tanh. Could there be a state that is simply *kept*, unless there is a reason to
# change it?
#
# What we have so far, from steps 2 to 13:

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


class RNNLM(Module):
    """A language model: at each time step the logits of the next token."""

    def __init__(self, vocab_size, hidden_size, rng):
        self.embedding = Embedding(vocab_size, hidden_size, rng)
        self.cell = RNNCell(hidden_size, hidden_size, rng)
        self.output = Linear(hidden_size, vocab_size, rng)

    def __call__(self, ids, state=None):
        """The logits of each time step, as a list, and the last state; ids of shape (T, N)."""
        logits = []
        for ids_t in ids:
            state = self.cell(self.embedding(ids_t), state)
            logits.append(self.output(state))
        return logits, state


def sequence_loss(logits, targets):
    """The mean of the losses of all time steps."""
    total = 0.0
    for logits_t, targets_t in zip(logits, targets, strict=True):
        total = total + cross_entropy(logits_t, targets_t)
    return total * (1 / len(targets))


def detach_state(state):
    """The same numbers, without a memory of how they were made."""
    return None if state is None else Tensor(state.data)


def windows(ids, bptt):
    """Pairs of inputs and targets, of `bptt` time steps; the targets are one step ahead."""
    for start in range(0, len(ids) - 1, bptt):
        end = min(start + bptt, len(ids) - 1)
        yield ids[start:end], ids[start + 1 : end + 1]


def clip_grad_norm_(parameters, max_norm):
    """Make the gradients shorter, all by one factor, if their common norm is above max_norm.

    Returns the norm that they had before.
    """
    norm = sum((parameter.grad**2).sum() for parameter in parameters) ** 0.5
    factor = min(1.0, max_norm / (norm + 1e-6))  # 1e-6, as the norm may be 0
    for parameter in parameters:
        parameter.grad = parameter.grad * factor
    return norm


# %% [markdown]
# ## Gates
#
# We give the network a second state, the **cell state** $c$. It is not made anew, but changed a
# little:
#
# $$c_t = f_t \cdot c_{t-1} + i_t \cdot g_t$$
#
# All products here are element by element. $g_t$ is the **candidate**, what could be written into
# the memory. $f_t$ and $i_t$ are **gates**, numbers between 0 and 1, one for each element of $c$:
#
# - the **forget gate** $f$: how much of the old is kept (1: all of it, 0: nothing),
# - the **input gate** $i$: how much of the candidate is added,
# - and the **output gate** $o$: how much of the memory is shown: $h_t = o_t \cdot \tanh(c_t)$.
#
# The network opens and closes its gates itself. Each is a linear layer of the input $x_t$ and of
# the old $h_{t-1}$, as in the RNN cell. Behind it there is a **sigmoid**, an S from 0 to 1:
# $\sigma(a) = 1 / (1 + e^{-a})$, with the slope $\sigma (1 - \sigma)$. The candidate is made in the
# same way, with tanh in the place of the sigmoid.
#
# This is the **LSTM**, "long short-term memory" (Hochreiter and Schmidhuber, 1997; the forget gate
# is from Gers, Schmidhuber and Cummins, 2000).
#
# ## Two ops
#
# The sigmoid; and `split`, which cuts the columns of an array into equal parts. The four linear
# layers (i, f, g, o) are computed as one, four times as wide, and then cut. The rule of a part: its
# gradient goes to its own columns, and the other columns get 0.


# %% tags=["keep"]
def sigmoid(a):
    out = 1 / (1 + np.exp(-a.data))
    return Tensor(out, [(a, lambda g: g * out * (1 - out))])


def columns(a, start, end):
    def rule(g):
        gradient = np.zeros(a.shape)
        gradient[:, start:end] = g
        return gradient

    return Tensor(a.data[:, start:end], [(a, rule)])


def split(a, n):
    """The columns of `a` in n parts of the same width."""
    width = a.shape[1] // n
    return [columns(a, i * width, (i + 1) * width) for i in range(n)]


class LSTMCell(Module):
    """One time step of an LSTM: (h, c) from the input and the old (h, c)."""

    def __init__(self, input_size, hidden_size, rng):
        k = hidden_size**-0.5
        self.weight_ih = Tensor(rng.uniform(-k, k, (4 * hidden_size, input_size)))
        self.weight_hh = Tensor(rng.uniform(-k, k, (4 * hidden_size, hidden_size)))
        self.bias_ih = Tensor(rng.uniform(-k, k, 4 * hidden_size))
        self.bias_hh = Tensor(rng.uniform(-k, k, 4 * hidden_size))

    def __call__(self, x, state=None):
        if state is None:
            zeros = np.zeros((x.shape[0], self.weight_hh.shape[1]))
            state = Tensor(zeros), Tensor(zeros)
        h, c = state
        from_input = linear(x, self.weight_ih, self.bias_ih)
        from_state = linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = split(from_input + from_state, 4)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return h, c


# %% [markdown]
# ## Is it right?
#
# We check two time steps, so that the gradient goes through both states.

# %%
rng = np.random.default_rng(0)
cell = LSTMCell(3, 2, rng)
x, h, c = (Tensor(rng.normal(size=(2, n))) for n in (3, 2, 2))
weights = rng.normal(size=(2, 2))
check_gradients(
    lambda: (cell(x, cell(x, (h, c)))[0] * weights).sum(),
    x=x,
    h=h,
    c=c,
    weight_ih=cell.weight_ih,
    weight_hh=cell.weight_hh,
    bias_ih=cell.bias_ih,
    bias_hh=cell.bias_hh,
)

# %% [markdown]
# ## The way back
#
# Look at $c_t = f_t \cdot c_{t-1} + \dots$ once more. On this way the gradient is multiplied by
# $f_t$ alone: no matrix, no tanh. A forget gate near 1 lets it pass, as far as you like. (There
# are other ways too, through $h$ and the gates. There it is multiplied by matrices, as in the
# RNN.)
#
# We repeat the experiment of step 11 with both cells: 50 time steps with random inputs, and a
# loss at the last. The bias of the forget gate begins with 3 here, so the gate is near
# $\sigma(3) = 0.95$: at first, keep. (Libraries begin with random biases around 0, and gates
# around 0.5. Often 1 is added.)

# %%
T, hidden_size, forget_bias = 50, 16, 3.0


def gradient_sizes(cell, memory):
    """The size of the gradient at each memory, of a loss at the last time step."""
    rng = np.random.default_rng(1)
    state, memories = None, []
    for _ in range(T):
        state = cell(Tensor(rng.normal(size=(1, hidden_size))), state)
        memories.append(memory(state))
    (memories[-1] * rng.normal(size=hidden_size)).sum().backward()
    return [np.linalg.norm(m.grad) for m in memories]


rng = np.random.default_rng(0)
lstm = LSTMCell(hidden_size, hidden_size, rng)
lstm.bias_hh.data[hidden_size : 2 * hidden_size] += forget_bias  # the second quarter is f
rnn = RNNCell(hidden_size, hidden_size, rng)
sizes = {
    "LSTM": gradient_sizes(lstm, lambda state: state[1]),  # its memory is c
    "RNN": gradient_sizes(rnn, lambda state: state),  # and here it is h
}
for name, of_cell in sizes.items():
    print(f"{name:4}  at the last step {of_cell[-1]:.2f}, at the first {of_cell[0]:.1e}")

# %% [markdown]
# **The number of this step:** `of the gradient at the end, 6.9e-01 comes to the first memory`
#
# (The figure needs Matplotlib: `pip install matplotlib`.)

# %%
import matplotlib.pyplot as plt

for name, of_cell in sizes.items():
    plt.plot(range(1, T + 1), of_cell, label=name)
plt.yscale("log")
plt.xlabel("time step t")
plt.ylabel("size of the gradient of the memory")
plt.legend()
plt.show()

share = sizes["LSTM"][0] / sizes["LSTM"][-1]
print(f"of the gradient at the end, {share:.1e} comes to the first memory")

# %% [markdown]
# ## Change it
#
# - `forget_bias = 50, 16, 3.0` → `forget_bias = 50, 16, 0.0`: the forget gates begin near 0.5, so
#   each step halves the gradient, or more. An LSTM can forget like an RNN, too. It ends in
#   `of the gradient at the end, 8.3e-12 comes to the first memory`.
# - `forget_bias = 50, 16, 3.0` → `forget_bias = 50, 16, 6.0`: the gates are near
#   $\sigma(6) = 0.998$. What comes by the other ways is added, and now the gradient even grows.
#   It ends in `of the gradient at the end, 4.7e+00 comes to the first memory`.
# - `gradient[:, start:end] = g` → `gradient[:, :] = np.tile(g, a.shape[1] // g.shape[1])`: each
#   part writes into all columns. It ends in
#   `AssertionError: the gradient of x[0, 0] is -0.2661, but finite differences give -0.0667`.
#
# **Exercise.** The **GRU** (Cho et al., 2014) is another cell with gates, and with one state:
#
# $$r = \sigma(W_{ir} x + W_{hr} h), \quad z = \sigma(W_{iz} x + W_{hz} h), \quad
#   n = \tanh(W_{in} x + r \cdot (W_{hn} h)), \quad h' = (1 - z) \cdot n + z \cdot h$$
#
# ($r$ and $z$ are gates, $n$ is the candidate, and $h'$ the new state. Biases are left out. This is
# the form that minigrad and PyTorch have; in the paper $r$ is multiplied with $h$ before the
# product.) Write one step of it, with 3 parts in place of 4, and check it. What does $z$ correspond
# to in the LSTM?
#
# :::{admonition} Solution
# :collapsible: closed
#
# $z$ is the forget gate, and $1 - z$ does the work of the input gate.
#
# ```python
# W_ih, W_hh = Tensor(rng.normal(size=(6, 3))), Tensor(rng.normal(size=(6, 2)))
#
# def gru_step(x, h):
#     x_r, x_z, x_n = split(x @ W_ih.T, 3)
#     h_r, h_z, h_n = split(h @ W_hh.T, 3)
#     r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
#     n = tanh(x_n + r * h_n)
#     return (1.0 - z) * n + z * h
#
# check_gradients(lambda: (gru_step(x, h) * weights).sum(), x=x, h=h, W_ih=W_ih, W_hh=W_hh)
# ```
# :::
#
# **In minigrad:** LSTM and GRU are in `minigrad/nn/recurrent/equations.py` and
# `minigrad/nn/recurrent/cells.py`.
