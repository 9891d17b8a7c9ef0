# %% [markdown]
# # 1. A number that learns
#
# **Question.** How can a program find the right number by itself?
#
# Here is the smallest thing that can learn. It is a formula with one number in it that we do not
# know:
#
# $$\text{prediction} = w \cdot x$$
#
# For $x = 3$ we want the prediction 6. You see at once that $w = 2$ is right. But a program cannot
# see. It must find $w$ by trying, and this page shows how. All of deep learning works this way,
# with millions of numbers instead of one.
#
# Some words:
#
# - The formula is the **model**. A number in it that is to be learned is a **parameter**; here it
#   is $w$.
# - What the model says is its **prediction**. What it should say is the **target**.

# %%
x = 3.0
target = 6.0


def predict(w):
    """What the model says."""
    return w * x


print(predict(0.0), predict(1.0), predict(2.0))

# %% [markdown]
# ## How wrong is it?
#
# We measure with one number how wrong the model is, the **loss**. It is 0 if the prediction is
# right, and larger if the prediction is further away. We take the square of the difference:
#
# $$\text{loss}(w) = (w x - \text{target})^2$$

# %%


def loss(w):
    """How wrong the model is: 0 is right."""
    difference = predict(w) - target
    return difference * difference


print(loss(0.0), loss(1.0), loss(2.0))

# %% [markdown]
# ## Which way is down?
#
# Now learning means: find the $w$ with the smallest loss. Go a tiny step to the right and a tiny
# step to the left of $w$, and look how much the loss changes. The change of the loss, divided by
# the change of $w$, is the **slope** of the loss at $w$:
#
# $$\text{slope} \approx \frac{\text{loss}(w + \epsilon) - \text{loss}(w - \epsilon)}{2 \epsilon}$$
#
# Here $\epsilon$ ("epsilon") is a tiny number, in the code `1e-6`: so Python writes $10^{-6}$, or
# 0.000001. This way to find a slope is called **finite differences**. If the slope is positive, the
# loss falls to the left. If it is negative, the loss falls to the right.

# %%


def slope(f, w):
    """The slope of the function f at w, by finite differences."""
    epsilon = 1e-6
    return (f(w + epsilon) - f(w - epsilon)) / (2 * epsilon)


print(slope(loss, 0.0), slope(loss, 1.0), slope(loss, 2.0))

# %% [markdown]
# (Computers round, so the slopes are not exact. The last is nearly 0: `e-15` means $10^{-15}$.)
#
# School mathematics has an exact rule for this slope, the **derivative**:
#
# $$\frac{d\,\text{loss}}{dw} = 2 (w x - \text{target}) \cdot x$$
#
# (The derivative of a square $u^2$ is $2u$, times the derivative of $u$ itself. Here $u$ is
# $w x - \text{target}$, and its derivative is $x$.)
#
# Let us see whether the two agree. In the whole book we check every derivative in this way. A wrong
# derivative gives no error message; the model only learns badly. (`assert` stops the program, with
# the text behind it, if what it says is not true.)


# %%
def derivative(w):
    """The slope of the loss at w, by the rule."""
    return 2 * (predict(w) - target) * x


for w in (-1.0, 0.0, 1.0, 2.0, 5.0):
    by_rule, by_differences = derivative(w), slope(loss, w)
    assert abs(by_rule - by_differences) < 1e-4, (
        f"at w = {w} the rule gives {by_rule}, but finite differences give {by_differences:.4f}"
    )

# %% [markdown]
# ## Downhill
#
# Now we can learn. Start somewhere. Again and again, go a little way in the direction in which the
# loss falls, that is, against the slope:
#
# $$w \leftarrow w - \text{learning rate} \cdot \text{slope}$$
#
# (The arrow means: becomes.) The **learning rate** says how far we go. This is called **gradient
# descent**, and to do it is called **training**.
#
# **The number of this step:** `w = 1.9769`

# %%
learning_rate = 0.02
steps = 10

w = 0.0
for step in range(steps):
    print(f"step {step:2}   w = {w:.4f}   loss = {loss(w):.4f}")
    w = w - learning_rate * derivative(w)
print(f"w = {w:.4f}")

# %% [markdown]
# ## Change it
#
# On the left is what stands on the page now, and on the right what to write in its place. Change
# one thing at a time, run the whole page again, and see whether it ends as told. Then change it
# back.
#
# - `learning_rate = 0.02` → `learning_rate = 0.1`: each step is too long. w jumps over 2 and back
#   again, but it comes nearer. It ends in `w = 1.7853`.
# - `learning_rate = 0.02` → `learning_rate = 0.12`: each jump is longer than the one before, and
#   the loss grows. A learning rate can be too large. It ends in `w = -6.8229`.
# - `2 * (predict(w) - target) * x` → `2 * (predict(w) - target)`: a wrong derivative. The check
#   finds it. It ends in
#   `AssertionError: at w = -1.0 the rule gives -18.0, but finite differences give -54.0000`.
#
# **Exercise.** Learn $w$ for the model $w \cdot w \cdot x$ and the target 27. First find the
# derivative of $(w^2 x - 27)^2$. Start at $w = 1$, with a learning rate of 0.001 and 100 steps.
#
# :::{admonition} Solution
# :collapsible: closed
#
# The derivative of $w^2 x$ is $2 w x$, so the derivative of the loss is
# $2 (w^2 x - 27) \cdot 2 w x$.
#
# ```python
# w = 1.0
# for step in range(100):
#     w = w - 0.001 * 2 * (w * w * x - 27) * 2 * w * x
# assert abs(w - 3) < 1e-6
# ```
# :::
#
# Each page ends with the place where you find the same in the real minigrad, the framework that
# this book belongs to. You may pass it over until you have built your own.
#
# **In minigrad:** `minigrad/optim/sgd.py` is this step downhill, for any number of parameters.
# `minigrad/testing/differences.py` is the check by finite differences.
