# %% [markdown]
# # 13. Clipping: when the gradient explodes
#
# **Question.** Through many time steps a gradient can become 200 times as large, or a million
# times. One step of training then throws all weights far away. How do we stay on the road?
#
# What we have so far, from steps 2 to 12:

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


# %% [markdown]
# ## A cliff
#
# Here is the smallest RNN: one weight, no tanh, $h_t = w \cdot h_{t-1}$ with $h_0 = 1$. After 20
# time steps $h_{20} = w^{20}$. The target is 0.5.


# %%
T = 20


def loss_of(w):
    h = Tensor(1.0)
    for _ in range(T):
        h = w * h
    return (h - 0.5) * (h - 0.5)


for start in (0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
    w = Tensor(start)
    loss = loss_of(w)
    loss.backward()
    print(f"w = {start}   loss {loss.data:12.4f}   gradient {w.grad:14.4f}")

# %% [markdown]
# To the left of 1 the loss is flat, and to the right it rises like a cliff: from 0.25 at $w = 1$
# to more than 35,000 at 1.3. Suppose that we are at 1.3. The best $w$ is close by, at
# $0.5^{1/20} = 0.9659$. But the gradient is more than a million. With a learning rate of 0.005
# the next $w$ would be about $-5541$.
#
# ## Shorter, but in the same direction
#
# The *direction* of the gradient is right, only its length is not. So we limit the length. The
# **norm** of the gradient is its length over all parameters together: the square root of the sum of
# all squares, written $\lVert g \rVert$. If it is larger than `max_norm`, all gradients are
# multiplied by the same factor, so that it becomes `max_norm`. This is **gradient clipping**.
#
# $$g \leftarrow g \cdot \min\Big(1, \frac{\text{max\_norm}}{\lVert g \rVert}\Big)$$


# %% tags=["keep"]
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
# (The name ends in `_` because it changes the gradients in place. minigrad has this habit, and so
# has PyTorch, a framework that many people use.)
#
# ## Is it right?
#
# A long gradient gets the norm `max_norm`, and keeps its direction. A short one stays as it is.

# %%
a, b = Tensor([3.0, 0.0]), Tensor(4.0)
(a * a).sum().backward()
(b * b).backward()  # now a.grad is [6, 0] and b.grad is 8: together a norm of 10
norm = clip_grad_norm_([a, b], max_norm=1.0)
assert abs(norm - 10.0) < 1e-12, f"the norm was {norm}, and should be 10"
after = np.array([*a.grad, b.grad])
assert np.allclose(after, [0.6, 0.0, 0.8]), f"clipped to {after}, and should be [0.6, 0, 0.8]"
clip_grad_norm_([a, b], max_norm=5.0)
assert np.allclose([*a.grad, b.grad], after), "a short gradient must stay as it is"

# %% [markdown]
# ## Down the cliff, step by step
#
# **The number of this step:** `w = 0.9659`

# %%
max_norm = 1.0
w = Tensor(1.3)
optimizer = SGD([w], lr=0.005)
for step in range(100):
    loss = loss_of(w)
    optimizer.zero_grad()
    loss.backward()
    norm = clip_grad_norm_([w], max_norm)
    if step % 10 == 0:
        print(f"step {step:2}   w {w.data:.4f}   loss {loss.data:12.4f}   norm {norm:14.4f}")
    optimizer.step()
print(f"w = {w.data:.4f}")

# %% [markdown]
# Clipping stops the explosion. It does not help against the vanishing: there is nothing to cut
# off a gradient of zero. (Pascanu, Mikolov and Bengio, 2013: On the difficulty of training
# recurrent neural networks.)
#
# ## Change it
#
# - `max_norm = 1.0` → `max_norm = float("inf")`: no clipping. After two steps the numbers are too
#   large for the computer. It ends in `w = nan`.
# - `max_norm = 1.0` → `max_norm = 0.1`: ten times shorter steps. 100 of them are not enough
#   for the way. It ends in `w = 1.2500`.
# - `w = Tensor(1.3)` → `w = Tensor(0.6)`: now we are on the flat side, where the gradient vanishes.
#   Clipping is no help. It ends in `w = 0.6006`.
#
# **Exercise.** Another way is to limit each *element* of the gradient to the range from $-1$ to $1$
# (`np.clip(g, -1, 1)`). What does this do to the direction of the gradient $(6, 0, 8)$?
#
# :::{admonition} Solution
# :collapsible: closed
#
# It turns it: to $(1, 0, 1)$. Before, the third element was larger than the first.
#
# ```python
# g = np.array([6.0, 0.0, 8.0])
# clipped = np.clip(g, -1, 1)
# lengths = np.linalg.norm(g) * np.linalg.norm(clipped)
# cosine = (g * clipped).sum() / lengths  # 1 if the direction is the same
# assert clipped.tolist() == [1, 0, 1] and 0.98 < cosine < 0.995
# ```
# :::
#
# **In minigrad:** `minigrad/optim/clipping.py`.
