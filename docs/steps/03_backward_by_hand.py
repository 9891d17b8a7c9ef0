# %% [markdown]
# # 3. Backward by hand
#
# **Question.** The graph knows how the loss was made. How do we get the slope of the loss from it?
#
# Here is what we have so far: the code that step 2 has built. (On the site it is folded up: click
# to see it.) Each step begins with such a cell.

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
# And here is the formula of step 1 again, now with names for all that is in between.

# %%
w, x, target = Tensor(1.0), Tensor(3.0), Tensor(6.0)
prediction = w * x
minus_target = Tensor(-1.0) * target
difference = prediction + minus_target
loss = difference * difference

# %% [markdown]
# ## One op at a time
#
# The whole formula looks difficult. But each op alone is easy. Ask of each: if one of my inputs
# grows a little, how much does my output grow?
#
# - **add:** $a + b$. If $a$ grows by 0.001, the sum grows by 0.001. The slope is 1, for $a$ and for
#   $b$.
# - **multiply:** $a \cdot b$. If $a$ grows by 0.001, the product grows by $0.001 \cdot b$. The
#   slope for $a$ is $b$, and the slope for $b$ is $a$.
#
# ## The chain
#
# Now think of a chain. If $w$ grows by 0.001, the prediction grows 3 times as much ($x$ is 3).
# The difference grows as much as the prediction. And the loss grows $-6$ times as much as the
# difference, as we will see. Together the loss grows $3 \cdot 1 \cdot (-6) = -18$ times as much
# as $w$. (To grow $-18$ times as much means: it falls, 18 times as much.) The slopes along the
# way are multiplied. This is the **chain rule**:
#
# $$\frac{d\,\text{loss}}{dw} = \frac{d\,\text{loss}}{d\,\text{difference}} \cdot
#   \frac{d\,\text{difference}}{d\,\text{prediction}} \cdot \frac{d\,\text{prediction}}{dw}$$
#
# Read $\frac{d\,\text{loss}}{dw}$ as "the slope of the loss for $w$".
#
# So we begin at the end, and go back. For each Tensor we want one number: how much the loss grows
# if this Tensor grows. We call it the **gradient** of the Tensor, and write it into `.grad`. (The
# word is used for the slopes of all inputs together, when there are many.) The loss grows exactly
# as much as itself, so its gradient is 1.

# %%
loss.grad = 1.0

# %% [markdown]
# `loss = difference * difference` is a product, so the slope for each factor is the other factor.
# The difference is used *twice*. If it grows, both factors grow, and the loss grows by both
# together. **Where a Tensor is used more than once, its gradients are added.** To forget this is a
# frequent mistake, and one that is hard to see.

# %%
difference.grad = loss.grad * difference.data  # as the first factor
difference.grad += loss.grad * difference.data  # as the second factor

# %% [markdown]
# `difference = prediction + minus_target` is a sum. It hands the gradient on as it is.

# %%
prediction.grad = difference.grad * 1.0
minus_target.grad = difference.grad * 1.0

# %% [markdown]
# `prediction = w * x` is a product again.

# %%
w.grad = prediction.grad * x.data
x.grad = prediction.grad * w.data

for name, tensor in (("difference", difference), ("prediction", prediction), ("w", w), ("x", x)):
    print(f"{name:10}  is {tensor.data:4}   gradient {tensor.grad:5}")

# %% [markdown]
# We came from the loss to the parameter, against the arrows. This is the **backward pass**. Look at
# what each line needed: the gradient from the line before, and a number from the forward pass.
#
# ## Is it right?
#
# Finite differences tell us. They compute the whole loss two times for each input. The backward
# pass has given us the gradients of *all* inputs in one go, which is why it can train models with
# millions of parameters.


# %%
def loss_of(w, x):
    return (w * x - 6.0) ** 2


epsilon = 1e-6
for name, by_hand, up, down in (
    ("w", w.grad, loss_of(1.0 + epsilon, 3.0), loss_of(1.0 - epsilon, 3.0)),
    ("x", x.grad, loss_of(1.0, 3.0 + epsilon), loss_of(1.0, 3.0 - epsilon)),
):
    by_differences = (up - down) / (2 * epsilon)
    assert abs(by_hand - by_differences) < 1e-4, (
        f"the gradient of {name} is {by_hand} by hand, but {by_differences:.4f} by differences"
    )

# %% [markdown]
# **The number of this step:** `the gradient of w is -18.0`

# %%
print("the gradient of w is", w.grad)

# %% [markdown]
# ## Change it
#
# - `difference.grad += loss.grad` → `difference.grad = loss.grad`: now the second use overwrites
#   the first. This is the mistake from above. It ends in
#   `AssertionError: the gradient of w is -9.0 by hand, but -18.0000 by differences`.
# - `w.grad = prediction.grad * x.data` → `w.grad = prediction.grad * w.data`: the wrong factor. It
#   ends in `AssertionError: the gradient of w is -6.0 by hand, but -18.0000 by differences`.
# - `loss.grad = 1.0` → `loss.grad = 2.0`: then everything is the gradient of 2 · loss. It ends in
#   `AssertionError: the gradient of w is -36.0 by hand, but -18.0000 by differences`.
#
# **Exercise.** Find the gradient of $w$ by hand for $w = 2$ and
#
# $$\text{loss} = (w \cdot w) \cdot (w + 1)$$
#
# How many times is $w$ used?
#
# :::{admonition} Solution
# :collapsible: closed
#
# Three times: twice in the square, and once in the sum. So three gradients are added.
#
# ```python
# w = Tensor(2.0)
# square, plus = w * w, w + Tensor(1.0)
# loss = square * plus
#
# loss.grad = 1.0
# square.grad = loss.grad * plus.data
# plus.grad = loss.grad * square.data
# w.grad = square.grad * w.data + square.grad * w.data + plus.grad
# assert w.grad == 3 * 2.0**2 + 2 * 2.0  # the derivative of w^3 + w^2 is 3 w^2 + 2 w
# ```
# :::
#
# **In minigrad:** `minigrad/nn/recurrent/fused.py` does the backward pass of whole models by
# hand, because that is fast. Everything else is done as in the next step.
