# %% [markdown]
# # 1. The RNN: a network with a memory
#
# **Question.** A network reads "hell" letter by letter, and after each letter it is to say the
# next one. After the first l it should say l, and after the second one o. Both times it reads the
# same letter. How can it give two different answers?
#
# ## The idea
#
# The network gets a **state**: a list of numbers that it writes when it reads a letter, and sees
# again when it reads the next one. So its answer depends on the letter, and on what the state has
# kept of all letters before.
#
# One letter is one **time step**. At each time step the network does the same thing with the same
# **weights**: the numbers in it that training sets. A network that does so is called an **RNN**, a
# recurrent neural network ("recurrent": it comes back to itself).
#
# ## The formula
#
# $$h_t = \tanh(W_{xh}\, x_t + W_{hh}\, h_{t-1} + b_h) \qquad y_t = W_{hy}\, h_t + b_y$$
#
# | letter | what it is | its name in the code |
# | --- | --- | --- |
# | $t$ | the time step: 1, 2, ... $T$ | |
# | $x_t$ | the input of step $t$: a vector of $D$ numbers that stands for a letter | a row of `x` |
# | $h_t$ | the state after step $t$: a vector of $H$ numbers; $h_0$ is all zeros | a row of `h` |
# | $y_t$ | the output of step $t$: a score, or **logit**, for each of the $V$ letters | |
# | $W_{xh}$ | the matrix from the input to the state, of shape $(H, D)$ | `weight_ih_l0` |
# | $W_{hh}$ | the matrix from the old state to the new one, of shape $(H, H)$ | `weight_hh_l0` |
# | $b_h$ | the **bias** of the state: $H$ numbers that are added | the sum of `bias_ih_l0` and `bias_hh_l0` |
# | $W_{hy}, b_y$ | the matrix from the state to the logits, $(V, H)$, and its bias | `weight`, `bias` |
# | $\tanh$ | a function that squeezes each number into the range from -1 to 1 | `mg.tanh` |
#
# (The shape $(H, D)$ means $H$ rows and $D$ columns. RNNs can be put on top of each other, and each
# is then a **layer**: `_l0` is the first.) [All letters of the lecture](../letters.md) are on one
# page.
#
# ![The unrolled RNN](../pictures/unrolled_rnn.png)
#
# At the left there is the network as a loop. At the right the loop is **unrolled**: one copy of
# the network for each time step, side by side. All copies have the same weights. (What the picture
# says of gradients comes on [page 3](03_bptt.py).)
#
# ## Run it
#
# minigrad's `nn.RNN` does the first half of the formula, for all time steps at once. We let it
# read "hell", with random weights:

# %%
import numpy as np

from minigrad import nn
from minigrad.data import Vocabulary

word, memory = "hell", 1.0
vocabulary = Vocabulary("helo")  # V = 4 letters
rng = np.random.default_rng(0)
embedding = nn.Embedding(4, 3, rng=rng, dtype="float64")  # D = 3 numbers for each letter
rnn = nn.RNN(3, 5, rng=rng, dtype="float64")  # H = 5
rnn.weight_hh_l0.data = memory * rnn.weight_hh_l0.data

x = embedding(vocabulary.encode(word))  # shape (T, D)
h, _ = rnn(x)  # shape (T, H)
print("x:", x.shape, " h:", h.shape)

# %% [markdown]
# The same by hand, in NumPy. Each line is the formula:

# %%
W_xh, W_hh = rnn.weight_ih_l0.numpy(), rnn.weight_hh_l0.numpy()
b_h = rnn.bias_ih_l0.numpy() + rnn.bias_hh_l0.numpy()

state, states = np.zeros(5), []
for x_t in x.numpy():
    state = np.tanh(W_xh @ x_t + W_hh @ state + b_h)
    states.append(state)
assert np.allclose(states, h.numpy(), rtol=0, atol=1e-12), "by hand the states are others"
print(np.round(states, 2))

# %% [markdown]
# Look at the last two rows: the states after the two l's. They differ, though the input was the
# same. So an output that is made from the state can tell the two apart. Nobody has trained this
# network: any state keeps some trace of the past. Training decides *what* it keeps.
#
# How many weights does it take? That does not depend on the length of the text, as all time steps
# share them: $H D + H H + 2 H$, here 50.

# %%
print(sum(p.size for p in rnn.parameters()), "weights")

# %% [markdown]
# **The number of this page:** `the inputs of the two l differ by 0.00, the states by 0.11`

# %%
# the length of the difference between the last two rows
inputs, outputs = (np.linalg.norm(a.numpy()[-1] - a.numpy()[-2]) for a in (x, h))
print(f"the inputs of the two l differ by {inputs:.2f}, the states by {outputs:.2f}")

# %% [markdown]
# ## Change it
#
# - `memory = "hell", 1.0` → `memory = "hell", 0.0`: $W_{hh}$ is zero, and nothing comes from the
#   old state. Then the same letter always gives the same state. It ends in
#   `the inputs of the two l differ by 0.00, the states by 0.00`.
# - `word, memory = "hell", 1.0` → `word, memory = "hell" + 20 * "l", 1.0`: after many l's the
#   state hardly changes any more: it can't count that far. It ends in
#   `the inputs of the two l differ by 0.00, the states by 0.00`.
#
# ## Read on
#
# - In the code: `minigrad/nn/recurrent/equations.py` has the formula as it stands here, and
#   `minigrad/nn/recurrent/layers.py` has `nn.RNN`. `examples/unrolled_rnn.py` makes the picture.
# - Build it yourself: [an RNN cell](../steps/09_rnn_cell.py), and
#   [its unrolled network](../steps/10_unrolling.py).
