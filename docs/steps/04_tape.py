# %% [markdown]
# # 4. The tape
#
# **Question.** By hand each line of the backward pass was a small rule: *gradient that comes in,
# times the slope of this op*. Can each op bring its own rule, so that nobody has to write a
# backward pass again?
#
# What we have so far, from step 2:

# %% tags=["so-far", "hide-input"]
class Tensor:
    """A number that remembers how it was made."""

    def __init__(self, data, op="", parents=()):
        self.data = data  # the number
        self.op = op  # the op that made it; "" if no op did
        self.parents = parents  # the Tensors that went into the op

    def __repr__(self):
        return f"Tensor({self.data:g})"


def add(a, b):
    return Tensor(a.data + b.data, "add", (a, b))


def multiply(a, b):
    return Tensor(a.data * b.data, "multiply", (a, b))


def subtract(a, b):
    return add(a, multiply(Tensor(-1.0), b))


Tensor.__add__ = add
Tensor.__mul__ = multiply
Tensor.__sub__ = subtract

# %% [markdown]
# ## Each op brings its rules
#
# An op now stores, with each parent, a **rule**: a function that takes the gradient $g$ of the
# result, and gives the gradient of this parent. The rule stands right beside the op. (A `lambda` is
# a small function without a name: `lambda g: g * 2` gives twice what it gets.) We write `add` and
# `multiply` anew. `subtract` is made of them, and stays as it is.


# %% tags=["keep"]
def add(a, b):
    return Tensor(a.data + b.data, [(a, lambda g: g), (b, lambda g: g)])


def multiply(a, b):
    return Tensor(a.data * b.data, [(a, lambda g: g * b.data), (b, lambda g: g * a.data)])


# %% [markdown]
# ## In which order?
#
# By hand we took care that a gradient was complete before we used it: both uses of the difference
# had to be added before we went on to the prediction. How does a program know that a gradient is
# complete?
#
# Think of a tape on which each new Tensor gets the next number, its **stamp**: 1, 2, 3 ... A Tensor
# is always younger than its parents, since they must be there before. So if we go back from the
# youngest to the oldest, all that have used a Tensor come before it, and its gradient is complete
# when it is its turn. (Any other order would be right in the end, but slow: it would walk each way
# through the graph by itself, and where Tensors are used twice, one after the other, the ways
# double each time.)
#
# `waiting` is a dictionary: for each Tensor the gradient that has come to it and waits to be passed
# on. Again and again we take the youngest. What its rules give is *added* to what waits at its
# parents already.


# %% tags=["keep"]
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


# %% [markdown]
# Class and ops are new, so `+`, `-` and `*` must mean the new ones. (After a change in the class,
# run this cell again too.)

# %% tags=["keep"]
Tensor.__add__ = add
Tensor.__mul__ = multiply
Tensor.__sub__ = subtract

# %% [markdown]
# That is the whole engine. It is called **automatic differentiation**, in short **autograd**. Try
# it on the formula that we did by hand:

# %%
w, x, target = Tensor(1.0), Tensor(3.0), Tensor(6.0)
difference = w * x - target
loss = difference * difference
loss.backward()
print("difference", difference.grad, "  w", w.grad, "  x", x.grad)

# %% [markdown]
# ## Is it right?
#
# We will add many ops in the next steps, and each has rules that may be wrong. So here is a
# function that checks any formula against finite differences. If something is wrong, it says
# which gradient, and what it should have been. You give it the formula as a function, and the
# Tensors by name (`**tensors` makes a dictionary of them).


# %% tags=["keep"]
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


# %%
a, b = Tensor(2.0), Tensor(-3.0)
check_gradients(lambda: a + b, a=a, b=b)
check_gradients(lambda: a - b, a=a, b=b)
check_gradients(lambda: a * b, a=a, b=b)
check_gradients(lambda: a * a * a, a=a)  # used three times
check_gradients(lambda: (a + b) * (a - b) + a * b * b, a=a, b=b)

# %% [markdown]
# A graph may be long. The networks of the later steps make chains of thousands of ops. Our walk
# back is a plain loop, so it does not mind. (A function that calls itself for each parent would
# fail: Python allows about 1,000 calls inside each other.)

# %%
start = Tensor(1.0)
end = start
for _ in range(10_000):
    end = end + Tensor(0.001)
end.backward()
assert start.grad == 1.0, f"through a long chain the gradient is {start.grad}, not 1"

# %% [markdown]
# ## Training, with the tape
#
# `backward` adds to `.grad`. So before each pass the old gradient must be forgotten.
#
# **The number of this step:** `w = 1.9769`
#
# It is the number of step 1, but nobody had to find a derivative.

# %%
w = Tensor(0.0)
for _ in range(10):
    difference = w * x - target
    loss = difference * difference
    w.grad = None
    loss.backward()
    w.data = w.data - 0.02 * w.grad
print(f"w = {w.data:.4f}")

# %% [markdown]
# ## Change it
#
# - `waiting[parent] = waiting.get(parent, 0.0) + rule(g)` → `waiting[parent] = rule(g)`: gradients
#   overwrite each other where a Tensor is used twice. It ends in
#   `AssertionError: the gradient of a is 4.0000, but finite differences give 12.0000`.
# - `lambda g: g * b.data` → `lambda g: g * a.data`: a wrong rule. It ends in
#   `AssertionError: the gradient of a is 2.0000, but finite differences give -3.0000`.
# - `    w.grad = None` → `    pass`: the gradients of all passes pile up, and each
#   step goes too far. It ends in `w = -0.0826`.
#
# **Exercise.** Write an op `square(a)` with its own rule, and check it. The derivative of $a^2$ is
# $2a$. How many Tensors does it make, and how many does `a * a` make?
#
# :::{admonition} Solution
# :collapsible: closed
#
# Both make one. But `square` has one parent, and `a * a` twice the same.
#
# ```python
# def square(a):
#     return Tensor(a.data * a.data, [(a, lambda g: g * 2 * a.data)])
#
# a = Tensor(-1.5)
# check_gradients(lambda: square(a) + square(square(a)), a=a)
# assert len(square(a).parents) == 1 and len((a * a).parents) == 2
# ```
# :::
#
# **In minigrad:** `minigrad/autograd/tape.py`. In its function `walk` you will find our loop, with
# `pending` for our `waiting`. `minigrad/autograd/record.py` puts rules and ops together.
