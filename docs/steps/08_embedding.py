# %% [markdown]
# # 8. One-hot vectors and embeddings: letters become numbers
#
# **Question.** A network multiplies and adds numbers. How do we give it a letter, or a word?
#
# What we have so far, from steps 2 to 7:

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


# %% [markdown]
# ## Tokens and ids
#
# A text is read piece by piece. A piece is called a **token**: here a letter, later a word. All
# tokens that a model knows are its **vocabulary**, and a token's place in it is its **id**.


# %% tags=["keep"]
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


# %%
vocabulary = Vocabulary("hello")
print(vocabulary.tokens, vocabulary.encode("hello"))

# %% [markdown]
# ## One-hot
#
# The ids are numbers, but we cannot compute with them: "o" has the id 3 and "e" the id 1, but an
# "o" is not three times an "e". So we give each letter a row of its own, a **vector**, with a 1
# at the place of its id and zeros elsewhere. This is a **one-hot** vector.

# %%
ids = vocabulary.encode("hello")
one_hot = np.zeros((len(ids), len(vocabulary)))
one_hot[np.arange(len(ids)), ids] = 1.0
print(one_hot)

# %% [markdown]
# Now multiply such vectors by a matrix $E$. In the weighted sum all is 0 but one row of $E$: the
# product *is* the row of $E$ with the number of the id. (`E.data[ids]` takes these rows, and
# `.all()` asks whether all elements are true.)

# %%
rng = np.random.default_rng(0)
E = Tensor(rng.normal(size=(len(vocabulary), 2)))
product = Tensor(one_hot) @ E
assert (product.data == E.data[ids]).all(), "the product with one-hot vectors is not the row"
print(product.data)

# %% [markdown]
# ## Embedding
#
# With 10,000 words in the vocabulary, nearly all of the product would be multiplications by 0. So
# we skip the product, and take the row: `E.data[ids]`. The row is the word's **embedding**, some
# numbers that stand for it, and these numbers are parameters: the model learns them.
#
# The rule for the gradient: each row of the result goes back to the row that it came from. In
# "hello" the l is there twice, so its row is used twice, and you know what that means: the two
# gradients are added. Here lies a trap. `gradient[ids] += g` looks right, but for an id that is
# there twice NumPy adds only one of them. `np.add.at(gradient, ids, g)` adds all.


# %% tags=["keep"]
def embedding(ids, weight):
    """The rows of `weight` with the numbers `ids`."""

    def rule(g):
        gradient = np.zeros(weight.shape)
        np.add.at(gradient, ids, g)
        return gradient

    return Tensor(weight.data[ids], [(weight, rule)])


# %%
weights = rng.normal(size=(5, 2))
check_gradients(lambda: (embedding(ids, E) * weights).sum(), E=E)

# %% [markdown]
# ## Modules: parts that have parameters
#
# We now have several parts with parameters: embeddings, linear layers, soon more. A **Module** is
# such a part. It can tell all its parameters, those of the modules inside it too, so that nobody
# has to list them. (Python runs `__call__` for `model(x)`.) And `SGD` (stochastic gradient
# descent) is the step downhill for all of them; what does this is called an **optimiser**.
# ("Stochastic" means that each step sees only some of the examples, chosen by chance. We have so
# few that it sees all.)


# %% tags=["keep"]
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
# The weights start as random numbers between $-k$ and $k$ (`rng.uniform`), with
# $k = 1/\sqrt{\text{inputs}}$. A sum of many inputs would else be large from the start, and $\tanh$
# would be at its flat ends.
#
# ## The next letter
#
# Now our first language model. It reads a letter and says which letter comes next. From "hello"
# it has four examples: h → e, e → l, l → l, l → o. It looks up the embedding of the letter, and a
# linear layer makes a logit for each letter of the vocabulary.


# %%
class NextLetter(Module):
    def __init__(self, vocab_size, rng):
        self.embedding = Embedding(vocab_size, 8, rng)
        self.output = Linear(8, vocab_size, rng)

    def __call__(self, ids):
        return self.output(self.embedding(ids))


inputs, targets = ids[:-1], ids[1:]
model = NextLetter(len(vocabulary), rng)
optimizer = SGD(model.parameters(), lr=0.5)
for step in range(201):
    loss = cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}   loss {loss.data:.4f}")

for letter, p in zip(vocabulary.decode(inputs), softmax(model(inputs).data), strict=True):
    print(f"after {letter}:", dict(zip(vocabulary.tokens, p.round(2).tolist(), strict=True)))

# %% [markdown]
# It has learned h → e and e → l. But after l it says: half l, half o. It cannot do better, since
# it sees only one letter, and after an l both happen. These two letters cost $\log 2$ each, so the
# loss cannot fall below $2 \log 2 \,/\, 4 = 0.3466$. To do better, the model would have to
# *remember* how many l it has read. That is the next step.
#
# **The number of this step:** `loss = 0.3485`

# %%
print(f"loss = {loss.data:.4f}")

# %% [markdown]
# ## Change it
#
# - `np.add.at(gradient, ids, g)` → `gradient[ids] += g`: the trap from above. It ends in
#   `AssertionError: the gradient of E[2, 0] is -1.2459, but finite differences give -3.5709`.
# - `vocabulary = Vocabulary("hello")` → `vocabulary = Vocabulary("help")`: a letter is missing. It
#   ends in `ValueError: not in the vocabulary: 'o'`.
# - `ids = vocabulary.encode("hello")` → `ids = vocabulary.encode("heloo")`: now h → e, e → l, l →
#   o, o → o. Each letter has one next letter, and no memory is needed. It ends in `loss = 0.0020`.
#
# **Exercise.** The embeddings of two letters are near each other if the model treats them alike.
# Train `NextLetter` on the pairs a → x, b → x, c → y, and measure the distances of the *logits*,
# from a to b and from a to c (`np.linalg.norm(p - q)` is the length of the difference of two
# vectors).
#
# :::{admonition} Solution
# :collapsible: closed
#
# ```python
# v = Vocabulary("abcxy")
# model = NextLetter(len(v), np.random.default_rng(1))
# optimizer = SGD(model.parameters(), lr=0.5)
# for step in range(200):
#     loss = cross_entropy(model(v.encode("abc")), v.encode("xxy"))
#     optimizer.zero_grad()
#     loss.backward()
#     optimizer.step()
# a, b, c = model(v.encode("abc")).data
# assert np.linalg.norm(a - b) < np.linalg.norm(a - c)
# ```
# :::
#
# **In minigrad:** `minigrad/data/tokens/vocabulary.py`, `minigrad/nn/module.py`,
# `minigrad/nn/layers.py` for `Embedding` and `Linear`, and `minigrad/optim/sgd.py`.
