# %% [markdown]
# # 7. Softmax and cross-entropy: how wrong is a guess?
#
# **Question.** Until now the model gave a number, and the loss was the square of a difference.
# But now we go towards a **language model**: a model that reads a text and says *which letter
# comes next*, or which word. Letters are no numbers: "b" is not half of "d". What should the
# model say, and how do we measure how wrong it is?
#
# What we have so far, from steps 2 to 6:

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


# %% [markdown]
# ## From scores to probabilities
#
# The model gives a score to each letter. A score may be any number, and a larger score means: more
# likely. Such scores are called **logits**.
#
# We want **probabilities** of them: numbers from 0 to 1 that add up to 1. **Softmax** makes all
# scores positive with the exponential function, and then divides by their sum:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# One trap: $e^{1000}$ is too large for a computer. But if we subtract the same number from all
# logits, the probabilities stay as they are, as $e^{z - m} = e^z / e^m$, and $e^m$ cancels. So we
# subtract the largest logit. Then the largest power is $e^0 = 1$.
#
# (`np.exp(z)` is $e^z$, element by element, and `np.log` the natural logarithm. `axis=-1` is the
# last axis: so each row has its own maximum, and its own sum.)


# %% tags=["keep"]
def softmax(logits):
    """Probabilities from logits, in each row of an array."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# %%
print(softmax(np.array([0.0, 0.0, 0.0, 0.0])))
print(softmax(np.array([2.0, 1.0, 0.0, -1.0])))
print(softmax(np.array([1000.0, 999.0, 998.0, 997.0])))

# %% [markdown]
# ## The loss
#
# The true next letter is known: it is in the text. A good model gives it a high probability $p$. We
# take $-\log p$ as the loss, with the natural logarithm. Look at it: if $p = 1$, the loss is 0. If
# $p$ is small, the loss is large, and if the model has excluded the truth ($p = 0$), infinite.
#
# This loss is called **cross-entropy**. Over several examples we take the mean. If a model knows
# nothing, and gives each of 4 letters the probability 1/4, its loss is $-\log \frac14 = \log 4 =
# 1.386$. Remember this number: a model that has learned something must be below it.
#
# ## Its derivative
#
# For the logits $z$ and the true letter $y$, the loss is
#
# $$-\log p_y = -\log \frac{e^{z_y}}{\sum_j e^{z_j}} = \log \sum_j e^{z_j} - z_y$$
#
# Now take the derivative for each $z_i$. The derivative of $\log u$ is that of $u$, divided by $u$,
# and that of $e^z$ is $e^z$. So that of the first part is $e^{z_i} / \sum_j e^{z_j}$, which is
# $p_i$. That of the second part is $-1$ if $i$ is the true letter, and else 0. So the gradient is
#
# $$p_i - \begin{cases} 1 & \text{if } i = y \\ 0 & \text{else} \end{cases}$$
#
# This is beautiful: *what the model says, minus the truth*. Training goes against the gradient.
# So the logit of the true letter is pushed up, all others are pushed down, and each as strongly
# as it is wrong.
#
# Each letter has a number, its **id**. `targets` has the true ids, one for each row of the logits.
# (`np.arange(n)` are the numbers 0, 1 ... n - 1.)


# %% tags=["keep"]
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
# ## Is it right?

# %%
rng = np.random.default_rng(0)
logits, ids = Tensor(rng.normal(size=(5, 4))), np.array([0, 3, 1, 1, 2])
check_gradients(lambda: cross_entropy(logits, ids), logits=logits)

guess = cross_entropy(Tensor(np.zeros((5, 4))), ids).data
assert abs(guess - np.log(4)) < 1e-12, f"a guess among 4 costs {guess}, and should cost log 4"
extreme = cross_entropy(Tensor(np.array([[1000.0, 0.0]])), np.array([1])).data
assert extreme == 1000.0, f"with a logit of 1000 the loss is {extreme}, and should be 1000"

# %% [markdown]
# ## How often is each letter?
#
# Let us learn something small: which letters are in "hello", without asking where. The model is one
# row of four logits, used for all five letters of the word (broadcasting). What is the best it can
# do? The letter l is there 2 times of 5, the others once. So the best probabilities are 0.2, 0.2,
# 0.4, 0.2, and the loss is then $-(0.6 \log 0.2 + 0.4 \log 0.4) = 1.332$. Nobody tells this to the
# model. It finds it downhill.
#
# **The number of this step:** `loss = 1.3322`

# %%
word, letters = "hello", "helo"
ids = np.array([letters.index(letter) for letter in word])  # 0, 1, 2, 2, 3

row = Tensor(np.zeros(len(letters)))
for _ in range(100):
    loss = cross_entropy(row + np.zeros((len(word), 1)), ids)  # five times the same row
    row.grad = None
    loss.backward()
    row.data -= 1.0 * row.grad
for letter, p in zip(letters, softmax(row.data), strict=True):  # strict: of the same length
    print(f"p({letter}) = {p:.3f}")
print(f"loss = {loss.data:.4f}")

# %% [markdown]
# ## Change it
#
# - `word, letters = "hello", "helo"` → `word, letters = "ybigta", "abgity"`: six letters, each
#   once. There is nothing to learn, and the loss stays at log 6. It ends in `loss = 1.7918`.
# - `(softmax(logits.data) - truth) / n` → `(softmax(logits.data) - truth)`: the mean was
#   forgotten in the rule. It ends in
#   `AssertionError: the gradient of logits[0, 0] is -0.7740, but finite differences give -0.1548`.
# - `shifted = logits.data - logits.data.max(axis=-1, keepdims=True)` → `shifted = logits.data`:
#   then $e^{1000}$ is infinite, and what comes out is not a number, `nan`. It ends in
#   `AssertionError: with a logit of 1000 the loss is nan, and should be 1000`.
#
# **Exercise.** A loss says how many *equally likely* letters the model hesitates between: if it
# is $\log 4$, between 4. This number, $e^\text{loss}$, is called the **perplexity**. Compute it
# for the loss above. Why is it between 3 and 4?
#
# :::{admonition} Solution
# :collapsible: closed
#
# It is a little below 4, as there are four letters, but l is more likely than the others.
#
# ```python
# perplexity = np.exp(loss.data)
# assert 3.78 < perplexity < 3.80
# ```
# :::
#
# **In minigrad:** `minigrad/ops/softmax.py` and `minigrad/ops/cross_entropy.py`.
