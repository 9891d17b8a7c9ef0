# %% [markdown]
# # 15. A language model
#
# **Question.** We have all parts. What can they do together, with real words?
#
# What we have so far, from steps 2 to 14:

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
# ## Three sentences
#
# The text is Korean, for a reason. The word 말이 is in it four times. It can mean "the
# horse" or "the words", and each time another word follows:
#
# | sentence | meaning | after 말이 |
# | --- | --- | --- |
# | 경마장에 있는 말이 뛰고 있다 | the horse at the racetrack runs | 뛰고 |
# | 그의 말이 법이다 | his word is law | 법이다 |
# | 가는 말이 고와야 오는 말이 곱다 | kind words bring kind words | 고와야, 곱다 |
#
# Tokens are now whole words. There is one more token, `<eos>` ("end of sentence"), before and after
# each sentence, so that the model learns where a sentence begins and where it ends.

# %%
KOREAN = [
    "경마장에 있는 말이 뛰고 있다",
    "그의 말이 법이다",
    "가는 말이 고와야 오는 말이 곱다",
]
ENGLISH = ["what will the fat cat sit on"]
sentences = KOREAN

texts = [["<eos>", *sentence.split(), "<eos>"] for sentence in sentences]
vocabulary = Vocabulary(token for text in texts for token in text)
texts = [vocabulary.encode(text)[:, None] for text in texts]  # each with the shape (T, 1)
print(len(vocabulary), "tokens:", *vocabulary.tokens)

# %% [markdown]
# ## The model
#
# It is the RNNLM of step 10, with an LSTM cell. Its state is a pair now, $(h, c)$, so
# `detach_state` has to detach both.


# %% tags=["keep"]
class RNNLM(Module):
    """A language model: at each time step the logits of the next token."""

    def __init__(self, vocab_size, hidden_size, rng):
        self.embedding = Embedding(vocab_size, hidden_size, rng)
        self.cell = LSTMCell(hidden_size, hidden_size, rng)
        self.output = Linear(hidden_size, vocab_size, rng)

    def __call__(self, ids, state=None):
        """The logits of each time step, as a list, and the last state; ids of shape (T, N)."""
        logits = []
        for ids_t in ids:
            h, c = self.cell(self.embedding(ids_t), state)
            logits.append(self.output(h))
            state = h, c
        return logits, state


def detach_state(state):
    """The same numbers, without a memory of how they were made."""
    return None if state is None else tuple(Tensor(part.data) for part in state)


# %% [markdown]
# ## Training
#
# You know each line: windows from step 12, clipping from step 13, the step downhill from step 1.


# %% tags=["keep"]
def train(model, texts, epochs, bptt, lr, max_norm):
    """Train by truncated BPTT; returns the mean loss of a token in each epoch."""
    optimizer, history = SGD(model.parameters(), lr), []
    for _ in range(epochs):
        losses = []
        for ids in texts:
            state = None  # each text begins with nothing in mind
            for inputs, targets in windows(ids, bptt):
                logits, state = model(inputs, detach_state(state))
                loss = sequence_loss(logits, targets)
                optimizer.zero_grad()
                loss.backward()
                clip_grad_norm_(model.parameters(), max_norm)
                optimizer.step()
                losses += [float(loss.data)] * len(targets)  # once for each token
        history.append(sum(losses) / len(losses))
    return history


# %%
model = RNNLM(len(vocabulary), 16, np.random.default_rng(0))
losses = train(model, texts, epochs=40, bptt=4, lr=1.0, max_norm=1.0)
for epoch in range(0, 40, 10):
    print(f"epoch {epoch:2}   loss {losses[epoch]:.4f}   perplexity {np.exp(losses[epoch]):.2f}")

# %% [markdown]
# ## How good is that?
#
# A loss alone says little. Compare it with something simple. A model without a memory
# knows only the token before. After most there is only one possible next token. But
# after 말이 there are four, and after the first `<eos>` three. The best that such a model
# can do is to give each its share. There are 17 tokens to predict, so its loss cannot
# be below $(4 \log 4 + 3 \log 3) / 17 = 0.520$.
#
# And how far can a model *with* a memory come? It can tell the four 말이 apart. But nobody can know
# how a text begins: three times of 17, it can only guess among three. Its limit is
# $3 \log 3 / 17 = 0.194$.

# %%
logits = [model(ids[:-1])[0] for ids in texts]
targets = [ids[1:] for ids in texts]
count = sum(map(len, targets))
mean_loss = (
    sum(sequence_loss(z, y).data * len(y) for z, y in zip(logits, targets, strict=True)) / count
)
print(f"loss {mean_loss:.4f}")
assert mean_loss < (4 * np.log(4) + 3 * np.log(3)) / 17, "it has not learned to use its memory"
assert mean_loss > 3 * np.log(3) / 17, "it is better than possible, so something is wrong"

# %% [markdown]
# As in step 7, the **perplexity** $e^\text{loss}$ says between how many tokens the model
# hesitates: at first among all, in the end hardly at all. It has learned the text by heart. (A
# model for real use reads millions of words, so that it cannot learn them by heart. And it is
# measured on text that it has not read.)
#
# **The number of this step:** `perplexity 1.2474`

# %%
print(f"perplexity {np.exp(mean_loss):.4f}")

# %% [markdown]
# ## Change it
#
# - `sentences = KOREAN` → `sentences = ENGLISH`: one sentence, in which each word is there once. A
#   loss of 0 is possible, even without a memory, and our limits are wrong. It ends in
#   `AssertionError: it is better than possible, so something is wrong`.
# - `bptt=4, lr=1.0` → `bptt=1, lr=1.0`: the gradient stays within one word. Here that
#   does no harm. Which 말이 it is depends on one word before it, and even a cell that has
#   not learned to remember keeps a trace of that. It ends in `perplexity 1.2476`.
# - `lr=1.0, max_norm=1.0` → `lr=1.0, max_norm=0.01`: each step is so short that little is learned.
#   It ends in `AssertionError: it has not learned to use its memory`.
#
# **Exercise.** Which token was the most surprising for the trained model? Compute $-\log p$ of each
# true next token of the first text.
#
# :::{admonition} Solution
# :collapsible: closed
#
# `softmax` of the logits at each time step gives the probabilities; take that of the true token.
# It is the first: how a text begins, nobody can know.
#
# ```python
# surprise = [-np.log(softmax(z.data)[0, y[0]]) for z, y in zip(logits[0], targets[0])]
# assert np.argmax(surprise) == 0
# assert abs(np.mean(surprise) - sequence_loss(logits[0], targets[0]).data) < 1e-12
# ```
# :::
#
# **In minigrad:** `minigrad/training/bptt.py` has the loop. The file `models/rnnlm.py` has the
# model for real texts.
