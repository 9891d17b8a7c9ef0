# %% [markdown]
# # 5. Many numbers at once: arrays and broadcasting
#
# **Question.** A model has thousands of parameters. Must each be a Tensor of its own?
#
# That would work, but Python needs some millionths of a second for each op, and there would be
# millions of ops. NumPy, Python's library for arrays (`pip install numpy`), adds a million numbers
# in one call. So from now on a Tensor holds an array. What we have so far, from steps 2 to 4:

# %% tags=["so-far", "hide-input"]
class Tensor:
    """A number that remembers how it was made, and how a gradient goes back."""

    count = 0  # how many Tensors have been made so far

    def __init__(self, data, parents=()):
        self.data = data
        self.parents = parents  # pairs: a Tensor that went into the op, and its rule
        self.grad = None  # no gradient yet
        Tensor.count += 1
        self.stamp = Tensor.count

    def __repr__(self):
        return f"Tensor({self.data:g})"

    def backward(self):
        """Write the gradients of all that this Tensor was made of into their .grad."""
        waiting = {self: 1.0}
        while waiting:
            youngest = max(waiting, key=lambda tensor: tensor.stamp)  # the largest stamp
            g = waiting.pop(youngest)
            youngest.grad = g if youngest.grad is None else youngest.grad + g
            for parent, rule in youngest.parents:
                waiting[parent] = waiting.get(parent, 0.0) + rule(g)


def add(a, b):
    return Tensor(a.data + b.data, [(a, lambda g: g), (b, lambda g: g)])


def multiply(a, b):
    return Tensor(a.data * b.data, [(a, lambda g: g * b.data), (b, lambda g: g * a.data)])


def subtract(a, b):
    return add(a, multiply(Tensor(-1.0), b))


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
        kept = tensor.data
        tensor.data = kept + epsilon
        up = formula().data
        tensor.data = kept - epsilon
        down = formula().data
        tensor.data = kept
        slope = (up - down) / (2 * epsilon)
        assert tensor.grad is not None, f"no gradient has come to {name}"
        assert abs(tensor.grad - slope) < 1e-4, (
            f"the gradient of {name} is {tensor.grad:.4f}, but finite differences give {slope:.4f}"
        )


# %% tags=["keep"]
import numpy as np

# %% [markdown]
# ## From three numbers to an array
#
# First with single numbers: three inputs, each multiplied by a parameter of its own (its
# **weight**), and the products added.

# %%
inputs = [Tensor(1.0), Tensor(2.0), Tensor(3.0)]
weights = [Tensor(4.0), Tensor(5.0), Tensor(6.0)]
total = inputs[0] * weights[0] + inputs[1] * weights[1] + inputs[2] * weights[2]
total.backward()
one_by_one = [weight.grad for weight in weights]
print(one_by_one)

# %% [markdown]
# Now the same with arrays. NumPy multiplies element by element, and so do our rules: `g * b.data`
# is right for an array too, where $g$ now has one gradient for each element. A gradient has the
# same **shape** as its Tensor. (The shape says how many elements there are along each axis: `(3,)`
# are three numbers in a row, `(2, 3)` are two rows of three, and `()` is a single number.)
#
# An **axis** is a direction in an array: in a table of numbers, axis 0 goes down from row to row,
# and axis 1 goes along a row. Here is the NumPy that we need:
#
# - `np.asarray(x, dtype=float)` makes an array of a number or a list, and `np.ones(shape)` makes
#   one that is full of ones.
# - `g.ndim` is the number of axes of `g`.
# - `g.sum()` adds all elements. `g.sum(axis=0)` adds along axis 0: in a table, one sum for each
#   column. `axis=(0, 1)` means along both axes, and `axis=()` along none.
# - `np.ndindex(shape)` gives all places in an array: `(0, 0)`, `(0, 1)` and so on.
#
# New is only the op `sum`, which adds all elements. If one element grows, the sum grows as much. So
# each element gets the gradient that comes in. And `backward` must start from a single number, as a
# loss is one.
#
# ## Different shapes
#
# NumPy can do more. In `np.array([1.0, 2.0, 3.0]) * 10.0` it uses the 10 three times, as if it were
# `[10.0, 10.0, 10.0]`. This is **broadcasting**: along an axis where one array has the length 1, or
# no axis at all, it is used again and again until the shapes fit. (They are compared from the
# right.)
#
# ```text
# (4, 3) * (3,)    the row is used for each of the 4 rows
# (4, 3) * (4, 1)  the column is used for each of the 3 columns
# (4, 3) * ()      the number is used 12 times
# ```
#
# What does this mean for the gradient? We know that from step 3: *where a Tensor is used more
# than once, its gradients are added*. So where NumPy has stretched an array, we sum the gradient.
# The function `fitted` does this: first over the axes that the Tensor does not have at all, then
# over those where its length is 1 (`keepdims` keeps these as axes of length 1). `backward` calls
# it for every rule, so no op needs to think of it. (A rule computes with arrays, so write `b.data`
# in it, not `b`. Else Python says that a Tensor has no `ndim`.)


# %% tags=["keep"]
def fitted(g, shape):
    """The gradient g, summed where broadcasting has used a Tensor of this shape again."""
    new_axes = g.ndim - len(shape)
    g = g.sum(axis=tuple(range(new_axes)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)


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


def as_tensor(x):
    """A Tensor as it is; a number or an array as a Tensor."""
    return x if isinstance(x, Tensor) else Tensor(x)


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
Tensor.__radd__ = lambda a, b: add(b, a)  # for 2.0 + a, where the left side is no Tensor
Tensor.__rmul__ = lambda a, b: multiply(b, a)
Tensor.__rsub__ = lambda a, b: subtract(b, a)

# %% [markdown]
# Also new: a plain number beside a Tensor becomes a Tensor, so that we can write `2.0 * x`. And
# with `@property` we write `x.shape`, without brackets.
#
# Now the three numbers from above as an array. The gradients are the same.

# %%
x, w = Tensor([1.0, 2.0, 3.0]), Tensor([4.0, 5.0, 6.0])
(x * w).sum().backward()
print(w.grad)
assert w.grad.tolist() == one_by_one, f"the array gives {w.grad}, and not {one_by_one}"

# %% [markdown]
# ## Is it right?
#
# `check_gradients` has to go through the elements of each Tensor now, one after the other.


# %% tags=["keep"]
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


# %% [markdown]
# We use random numbers for the check, not ones and zeros: with a one, many wrong rules look right.
# (`rng` is NumPy's generator of random numbers. It begins with 0 as its **seed**, so it gives the
# same numbers in each run. `rng.normal(size=(4, 3))` makes 4 rows of 3, positive and negative.)

# %%
rng = np.random.default_rng(0)
table, row, column, number = (Tensor(rng.normal(size=s)) for s in [(4, 3), (3,), (4, 1), ()])
check_gradients(lambda: (table * row).sum(), table=table, row=row)
check_gradients(lambda: (column * row * column).sum(), column=column, row=row)
check_gradients(lambda: (number - table * (2.0 - column)).sum(), number=number, column=column)

# %% [markdown]
# ## A line through points
#
# With this we can find the line, $y = w x + b$, that lies nearest to many points. $w$ and $b$ are
# single numbers; they are used for all points. The points lie on $y = 2 x + 1$, but not exactly: a
# small random number, called noise, is added to each.
#
# **The number of this step:** `w = 2.0166, b = 1.0062`

# %%
x = np.linspace(-1.0, 1.0, 20)  # 20 numbers from -1 to 1
y = 2.0 * x + 1.0 + 0.1 * rng.normal(size=20)
w, b = Tensor(0.0), Tensor(0.0)
for _ in range(100):
    difference = w * x + b - y
    loss = (difference * difference).sum() * (1 / 20)  # the mean over the points
    for parameter in (w, b):
        parameter.grad = None
    loss.backward()
    for parameter in (w, b):
        parameter.data -= 0.3 * parameter.grad
print(f"w = {w.data:.4f}, b = {b.data:.4f}")

# %% [markdown]
# ## Change it
#
# - `g = g.sum(axis=tuple(range(new_axes)))` → `g = g[(0,) * new_axes]`: one of the uses is counted,
#   the others are forgotten. It ends in
#   `AssertionError: the gradient of row[0] is 0.1257, but finite differences give 0.2692`.
# - `fitted(rule(g), parent.shape)` → `rule(g)`: without summing, a row gets the gradient of a
#   table. It ends in `AssertionError: row has the shape (3,), but its gradient has (4, 3)`.
# - `+ 0.1 * rng.normal(size=20)` → `+ 0.0 * rng.normal(size=20)`: without noise the line is found
#   nearly exactly. It ends in `w = 2.0000, b = 1.0000`.
#
# **Exercise.** Write an op `mean(a)`, the sum of all elements divided by how many there are
# (`a.data.size`), with one rule of its own. Check it.
#
# :::{admonition} Solution
# :collapsible: closed
#
# ```python
# def mean(a):
#     return Tensor(a.data.mean(), [(a, lambda g: g * np.ones(a.shape) / a.data.size)])
#
# check_gradients(lambda: mean(table * table), table=table)
# ```
# :::
#
# **In minigrad:** `fitted` is in `minigrad/autograd/tape.py`, and minigrad's `check_gradients` in
# `minigrad/testing/gradients.py`. `minigrad/ops/reduction.py` has sums along any axis.
