# %% [markdown]
# # 11. Backpropagation through time, and why an RNN forgets
#
# **Question.** An RNN learned to count two letters l. Could it remember something for 100 time
# steps? We look at the gradient on its way back, and see where it goes.
#
# What we have so far, from steps 2 to 10:

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


# %% [markdown]
# ## One weight, many uses
#
# `backward` on the unrolled network goes back from the last time step to the first. This has a
# name of its own, **backpropagation through time**, **BPTT**. There is nothing new in it: it is
# the tape of step 4. But let us look at one weight matrix, $W_{hh}$. It is used at each time
# step, and its gradient is the sum of what comes from each. We can see the parts: give each time
# step a *copy* of $W_{hh}$. Then each copy gets its own share of the gradient.

# %%
rng = np.random.default_rng(0)
vocabulary = Vocabulary("hello")
ids = vocabulary.encode("hello")[:, None]
model = RNNLM(len(vocabulary), 8, rng)

logits, _ = model(ids[:-1])
cross_entropy(logits[-1], ids[-1]).backward()  # the loss of the last letter alone
whole = model.cell.weight_hh.grad

cell, state, copies = model.cell, None, []
shared = cell.weight_hh
for ids_t in ids[:-1]:
    cell.weight_hh = Tensor(shared.data)  # a copy with the same numbers
    copies.append(cell.weight_hh)
    state = cell(model.embedding(ids_t), state)
cell.weight_hh = shared
cross_entropy(model.output(state), ids[-1]).backward()

shares = [copy.grad for copy in copies]
for t, share in enumerate(shares, 1):
    print(f"time step {t}: a share of size {np.linalg.norm(share):.4f}")
off = np.abs(sum(shares) - whole).max()
assert off < 1e-12, f"the shares do not add up to the gradient: they are off by {off:.2f}"

# %% [markdown]
# (The size of an array is its **norm**: the square root of the sum of the squares of its
# elements. The share of step 1 is 0, as the state before it is 0.) The shares of earlier steps
# are smaller. Why?
#
# ## One step back
#
# Take one time step, $h_t = \tanh(W_{hh} h_{t-1} + \dots)$. The gradient comes to $h_t$ and goes
# on to $h_{t-1}$. By the rules of tanh and of the matrix product it is multiplied on the way: by
# the slope of tanh, $1 - h_t^2$, and by the matrix $W_{hh}$ (transposed).
#
# $$\text{gradient of } h_{t-1} = W_{hh}^T \big( (1 - h_t^2) \cdot \text{gradient of } h_t \big)$$
#
# From $h_{30}$ back to $h_1$, it is multiplied 29 times by such a factor. That is like compound
# interest. With a factor of 0.8 for each step, $0.8^{29} = 0.0015$ remains. With 1.2, it becomes
# $1.2^{29} = 198$ times as large. The first is called a **vanishing gradient**, the second an
# **exploding gradient**.
#
# Let us see it. We take a matrix that only turns a vector, without making it longer or shorter
# (such a matrix is called orthogonal; NumPy's `qr` makes one), times a number `scale`. Our engine
# keeps the gradient of every Tensor, so after `backward` we can read the gradient of each state.

# %%
T, hidden_size = 30, 16


def gradient_sizes(scale):
    """The size of the gradient at each state h_1 ... h_T, of a loss at the last."""
    rng = np.random.default_rng(0)
    cell = RNNCell(hidden_size, hidden_size, rng)
    turn, _ = np.linalg.qr(rng.normal(size=(hidden_size, hidden_size)))  # an orthogonal matrix
    cell.weight_hh = Tensor(scale * turn)
    cell.bias_ih, cell.bias_hh = Tensor(np.zeros(hidden_size)), Tensor(np.zeros(hidden_size))
    h, states = None, []
    for _ in range(T):
        h = cell(Tensor(0.001 * rng.normal(size=(1, hidden_size))), h)
        states.append(h)
    (h * rng.normal(size=hidden_size)).sum().backward()
    return [np.linalg.norm(h.grad) for h in states]


sizes = {scale: gradient_sizes(scale) for scale in (0.8, 1.0, 1.2)}
for scale, (first, *_, last) in sizes.items():  # *_: those in between
    print(f"scale {scale}: {last:.2f} at h_30, {first:.4f} at h_1, a factor of {first / last:.4f}")

# %% [markdown]
# ## Why an RNN forgets
#
# Now we can answer. Suppose that the first letter matters for the prediction at step 30. To learn
# this, the weights must feel how the loss changes with $h_1$: that is the gradient of $h_1$. If
# it is a thousandth of what comes from the last letters, learning hardly notices the first. The
# RNN *could* remember, but it does not learn to. And when the gradient explodes, one step of
# training throws the weights far away.
#
# A factor of exactly 1 would be needed. But the factor changes with the weights as they are
# learned, and the slope of tanh is below 1 wherever the state is not 0. (So 1.2 gave 185 above, and
# not 198.) Step 13 deals with the exploding, and step 14 with the vanishing.
#
# (Bengio, Simard and Frasconi described this in 1994: Learning long-term dependencies with gradient
# descent is difficult.)
#
# **The number of this step:** `with scale 0.8, 1.5e-03 of the gradient comes to the first state`
#
# (`1.5e-03` is how Python writes 0.0015. The figure needs Matplotlib: `pip install matplotlib`.
# With the scale `"log"`, each mark at its left is ten times the one below, or more. If a window
# opens, close it: then the program goes on.)

# %%
import matplotlib.pyplot as plt

for scale, sizes_of_scale in sizes.items():
    plt.plot(range(1, T + 1), sizes_of_scale, label=f"scale {scale}")
plt.yscale("log")
plt.xlabel("time step t")
plt.ylabel("size of the gradient of $h_t$")
plt.legend()
plt.show()

share = sizes[0.8][0] / sizes[0.8][-1]
print(f"with scale 0.8, {share:.1e} of the gradient comes to the first state")

# %% [markdown]
# ## Change it
#
# - `T, hidden_size = 30, 16` → `T, hidden_size = 59, 16`: twice as far back. The share is
#   squared. It ends in `with scale 0.8, 2.4e-06 of the gradient comes to the first state`.
# - `Tensor(0.001 * rng.normal(` → `Tensor(1.0 * rng.normal(`: large inputs, so that tanh comes to
#   its flat ends. Its slope makes the gradient still smaller. It ends in
#   `with scale 0.8, 7.1e-07 of the gradient comes to the first state`.
# - `cell.weight_hh = Tensor(shared.data)` → `pass`: without copies, one gradient is all shares at
#   once. It ends in
#   `AssertionError: the shares do not add up to the gradient: they are off by 2.22`.
#
# **Exercise.** How far back does 1 % of the gradient come, if each step multiplies it by 0.8? By
# 0.9? By 0.99? Solve $f^k = 0.01$ with logarithms.
#
# :::{admonition} Solution
# :collapsible: closed
#
# $k = \log 0.01 / \log f$: 21, 44, and 458 steps.
#
# ```python
# steps = [np.log(0.01) / np.log(f) for f in (0.8, 0.9, 0.99)]
# assert [round(k) for k in steps] == [21, 44, 458]
# ```
# :::
#
# **In minigrad:** `minigrad/nn/recurrent/fused.py` has this walk back as a loop by hand, an
# equation beside each line. `minigrad/viz/through_time/gradient.py` draws such gradients for your
# own model.
