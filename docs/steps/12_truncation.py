# %% [markdown]
# # 12. Truncation: a long text in short windows
#
# **Question.** "hello" has 5 letters. A book has a million. Its unrolled network would be a graph
# of some ten million Tensors, for a single step of training. How do we learn from a long text?
#
# What we have so far, from steps 2 to 11:

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
# ## The state goes on, the gradient ends
#
# We cut the text into **windows** of, say, 5 letters. For each window we go forward and back, and
# take one step of training. Two things may cross the edge between two windows, and they are
# different:
#
# - **The state goes on.** The second window begins with the last state of the first. So the model
#   still knows what it has read, also long ago.
# - **The gradient ends.** The backward pass of the second window stops at its first letter.
#
# This is **truncated BPTT** ("truncated" means cut off). To cut, we take the numbers of the
# state, and forget how they were made. This is called to **detach** the Tensor from the tape. (With
# `yield` a function hands out one value after the other, to a `for` loop.)


# %% tags=["keep"]
def detach_state(state):
    """The same numbers, without a memory of how they were made."""
    return None if state is None else Tensor(state.data)


def windows(ids, bptt):
    """Pairs of inputs and targets, of `bptt` time steps; the targets are one step ahead."""
    for start in range(0, len(ids) - 1, bptt):
        end = min(start + bptt, len(ids) - 1)
        yield ids[start:end], ids[start + 1 : end + 1]


# %%
text = "hello ybigta " * 4
vocabulary = Vocabulary(text)
ids = vocabulary.encode(text)[:, None]  # shape (52, 1)
for inputs, targets in list(windows(ids, 5))[:3]:
    print(repr("".join(vocabulary.decode(inputs[:, 0]))), end=" -> ")
    print(repr("".join(vocabulary.decode(targets[:, 0]))))

# %% [markdown]
# ## Is it right?
#
# We read one window, and go on with the next. The gradient of the second must not come to the
# state that the first has left, and the second must know this state. (`np.allclose`: the same, but
# for rounding.)

# %%
model = RNNLM(len(vocabulary), 12, np.random.default_rng(0))
(first_inputs, _), (inputs, targets), *_ = windows(ids, 5)
assert (targets[:-1] == inputs[1:]).all(), "the targets are not one step ahead of the inputs"
_, state = model(first_inputs)
logits, _ = model(inputs, detach_state(state))
sequence_loss(logits, targets).backward()
assert state.grad is None, "the gradient went over the edge of the window"
both, _ = model(ids[:10])
assert np.allclose(logits[-1].data, both[-1].data), "the state did not go over the edge"

# %% [markdown]
# ## What it costs
#
# The loss does not change by the cut: the states are the same numbers as before. The gradient
# does change, as its parts from beyond the edge are missing. And the graph gets small. We measure
# all three. How far a gradient is off is the norm of its difference from the full gradient,
# divided by the norm of the full one.


# %%
def gradient_of_text(model, bptt):
    """Loss and gradient of the whole text, read in windows; and the largest graph."""
    for parameter in model.parameters():
        parameter.grad = None
    total, largest, state = 0.0, 0, None
    for inputs, targets in windows(ids, bptt):
        before = Tensor.count
        logits, state = model(inputs, detach_state(state))
        loss = sequence_loss(logits, targets) * (len(inputs) / (len(ids) - 1))  # its share
        largest = max(largest, Tensor.count - before)
        loss.backward()  # adds to the gradients of the windows before
        total += loss.data
    # all gradients as one long row
    gradient = np.concatenate([parameter.grad.ravel() for parameter in model.parameters()])
    return total, gradient, largest


full_loss, full, _ = gradient_of_text(model, len(ids))
for bptt in (1, 2, 5, 10, len(ids)):
    loss, gradient, tensors = gradient_of_text(model, bptt)
    missing = np.linalg.norm(gradient - full) / np.linalg.norm(full)
    print(f"windows of {bptt:2}: loss {loss:.6f}, {tensors:4} Tensors, gradient {missing:.1%} off")
    assert abs(loss - full_loss) < 1e-12, f"cut into windows of {bptt}, the loss has changed"
assert missing < 1e-12, "one window of the whole text must give the whole gradient"

# %% [markdown]
# A window of 10 time steps needs a fifth of the memory, and its gradient is mostly right. Why?
# Step 11 told you: what comes from far away is small anyway.
#
# ## Training in windows
#
# The text is "hello ybigta " again and again. We read it 20 times. (To read the text once is
# called an **epoch**.) Each window is one step of training.


# %%
bptt = 5
optimizer = SGD(model.parameters(), lr=0.5)
for _ in range(20):
    state, losses = None, []
    for inputs, targets in windows(ids, bptt):
        state = detach_state(state)
        logits, state = model(inputs, state)
        loss = sequence_loss(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.data)

# %% [markdown]
# **The number of this step:** `loss = 0.0159`

# %%
print(f"loss = {np.mean(losses):.4f}")

# %% [markdown]
# ## Change it
#
# - `        state = detach_state(state)` → `        state = None`: the state does not go on. At the
#   start of each window the model does not know where in the text it is. It ends in
#   `loss = 0.0625`.
# - `bptt = 5` → `bptt = 1`: no gradient goes back in time at all, so the model does not learn
#   *what* to remember. It is far worse, though it makes five times as many steps of training. It
#   ends in `loss = 0.7239`.
# - `return None if state is None else Tensor(state.data)` → `return state`: nothing is cut. Each
#   backward pass would go back to the start of the text. It ends in
#   `AssertionError: the gradient went over the edge of the window`.
#
# **Exercise.** The loop above reads each window once. Write a loop in which each
# letter has at least 5 letters before it that its gradient can go back to: windows of 10 letters,
# which begin every 5 letters, and in which only the last 5 losses count. (The first window may be
# shorter. Each begins with the state before its first letter.) What does this cost?
#
# :::{admonition} Solution
# :collapsible: closed
#
# Each letter is read twice in the windows, and once more to move the state on.
#
# ```python
# inputs, targets = ids[:-1], ids[1:]
# context, total = None, 0.0  # the state before the first letter of a window
# for start in range(0, len(inputs), 5):
#     first, end = max(0, start - 5), min(start + 5, len(inputs))
#     logits, _ = model(inputs[first:end], context)
#     loss = sequence_loss(logits[start - first :], targets[start:end])
#     loss.backward()
#     total += loss.data * (end - start) / len(inputs)
#     if first < start:  # the next window begins where the new letters of this one began
#         context = detach_state(model(inputs[first:start], context)[1])
# assert abs(total - sequence_loss(model(inputs)[0], targets).data) < 1e-12
# ```
# :::
#
# **In minigrad:** `minigrad/training/bptt.py` has this loop, with a drawing, for windows that
# overlap too. `minigrad/data/batches.py` cuts the windows.
