# %% [markdown]
# # 2. A formula as a graph
#
# **Question.** In step 1 we found the derivative with pencil and paper. Can the program do that
# itself? For that it has to *see* the formula. But Python forgets: after `w * x` only the result is
# there, and nobody knows that it came from a product.
#
# So we make numbers that remember. A `Tensor` is a number together with the way it was made: the
# name of the **operation** (short: op), and the Tensors that went into it, its **parents**. (For
# now a Tensor holds a single number. From step 5 on it will hold many, and then the name fits:
# "tensor" is the word of the field for an array of numbers.)


# %% tags=["keep"]
class Tensor:
    """A number that remembers how it was made."""

    def __init__(self, data, op="", parents=()):
        self.data = data  # the number
        self.op = op  # the op that made it; "" if no op did
        self.parents = parents  # the Tensors that went into the op

    def __repr__(self):
        return f"Tensor({self.data:g})"


# %% [markdown]
# (`__repr__` says what `print` shows for a Tensor, and `:g` writes 2.0 as 2.)
#
# An op computes the number as usual, and writes down where it came from.


# %% tags=["keep"]
def add(a, b):
    return Tensor(a.data + b.data, "add", (a, b))


def multiply(a, b):
    return Tensor(a.data * b.data, "multiply", (a, b))


def subtract(a, b):
    return add(a, multiply(Tensor(-1.0), b))


# %% [markdown]
# The last one is no new op: $a - b$ is $a + (-1) \cdot b$. It is good to have few ops, since later
# each will need a derivative. (A plain number must be put into a Tensor first, as the $-1$ is here.
# From step 5 on this happens by itself.)
#
# Nobody wants to write `multiply(w, x)`. Python lets us say what `*` means for a Tensor: it calls
# the method `__mul__`. So we put our functions in the place of these methods.

# %% tags=["keep"]
Tensor.__add__ = add
Tensor.__mul__ = multiply
Tensor.__sub__ = subtract

# %% [markdown]
# Now we write the loss of step 1 as before. To compute a formula from its inputs to its result is
# called the **forward pass**.

# %%
w, x, target = Tensor(1.0), Tensor(3.0), Tensor(6.0)
prediction = w * x
difference = prediction - target
loss = difference * difference
print(loss, "was made by", loss.op, "from", loss.parents)

# %% [markdown]
# From the loss we can go to its parents, from these to their parents, and so on, until we come to
# Tensors that no op has made. Let us print this.


# %%
def show(tensor, depth=0):
    """Print a Tensor and, further to the right, all that it was made of."""
    print("    " * depth + f"{tensor.data:g}  {tensor.op}")
    for parent in tensor.parents:
        show(parent, depth + 1)


show(loss)

# %% [markdown]
# The same part is printed twice: the loss is `difference * difference`, so the difference is its
# parent two times. But there is only one such Tensor. If you draw each Tensor once, as a point, and
# an arrow from each parent to its child, this is not a tree but a **graph**:
#
# ```text
#  w ───────┐
#           ├─ multiply ── prediction ──┐
#  x ───────┘                           │
#                                       ├─ add ── difference ═══ multiply ── loss
#  target ──┐                           │
#           ├─ multiply ────────────────┘
#  -1 ──────┘
# ```
#
# (The double line: the difference is used twice.)
#
# The function `all_of` collects each Tensor of the graph once.


# %%
def all_of(tensor, found=None):
    """All Tensors that a Tensor was made of, each once, and itself."""
    found = [] if found is None else found
    if tensor not in found:
        for parent in tensor.parents:
            all_of(parent, found)
        found.append(tensor)
    return found


# %% [markdown]
# Does our graph compute the same as plain Python? And are the parents those that we think?

# %%
assert loss.data == (1.0 * 3.0 - 6.0) ** 2, f"the loss is {loss.data}, but plain Python gives 9"
assert loss.parents == (difference, difference), (
    f"the parents of loss are {loss.parents}, not (difference, difference)"
)
assert prediction.parents == (w, x), (
    f"the parents of prediction are {prediction.parents}, not (w, x)"
)

# %% [markdown]
# **The number of this step:** `8 Tensors in the graph`

# %%
print(len(all_of(loss)), "Tensors in the graph")

# %% [markdown]
# ## Change it
#
# - `difference * difference` → `(prediction - target) * (prediction - target)`: the result is the
#   same, but the difference is computed twice, by six Tensors in place of three. It ends in
#   `AssertionError: the parents of loss are (Tensor(-3), Tensor(-3)), not (difference,
#   difference)`.
# - `Tensor(a.data * b.data, "multiply", (a, b))` → `Tensor(a.data * b.data, "multiply", (b, a))`:
#   the number is right, but the memory is wrong. It ends in
#   `AssertionError: the parents of prediction are (Tensor(3), Tensor(1)), not (w, x)`.
# - `w, x, target = Tensor(1.0), Tensor(3.0), Tensor(6.0)` → `w = x = target = Tensor(1.0)`: one
#   Tensor with three names is one point in the graph. It ends in
#   `AssertionError: the loss is 0.0, but plain Python gives 9`.
#
# **Exercise.** Make $-a$ work: `-Tensor(2.0)` shall be `Tensor(-2)`. Python calls the method
# `__neg__` with one argument. You need no new op.
#
# :::{admonition} Solution
# :collapsible: closed
#
# ```python
# Tensor.__neg__ = lambda a: multiply(Tensor(-1.0), a)
# assert (-Tensor(2.0)).data == -2.0
# ```
# :::
#
# **In minigrad:** `minigrad/tensor.py` is the class, `minigrad/ops/arithmetic.py` has the ops, and
# `minigrad/names/methods.py` puts them in the place of `+` and `*`, as we did.
