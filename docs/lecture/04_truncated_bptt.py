# %% [markdown]
# # 4. Truncated backpropagation through time
#
# **Question.** A book has a million letters. BPTT would unroll it into a network with a million
# layers, keep all of them in memory, and then take one single step of training. How does one learn
# from a long text?
#
# ## The idea
#
# Cut the text into **windows** of, say, 35 time steps. Go forward and back through one window, take
# a step of training, and go on to the next window. At the edge between two windows,
#
# - **the state goes on**: the new window begins with the last state of the old one, so the network
#   still knows what it has read long ago;
# - **the gradient ends**: it does not go back over the edge.
#
# This is **truncated BPTT** ("truncated": cut off). It is the way in which language models are
# trained.
#
# ## The formula
#
# On [page 3](03_bptt.py) the gradient was a sum over pairs: $t$ is the step of the loss, and $k$
# the step where $W_{hh}$ was used. Truncation keeps the pairs within one window, and drops the
# others:
#
# $$\frac{dL}{dW_{hh}} = \sum_{t=1}^{T} \sum_{k=1}^{t} \frac{\partial L_t}{\partial W^{(k)}}
# \qquad \approx \qquad \sum_{t=1}^{T} \ \sum_{k = s(t)}^{t} \frac{\partial L_t}{\partial W^{(k)}}$$
#
# | letter | what it is | its name in the code |
# | --- | --- | --- |
# | $T$ | the length of the text, in time steps | |
# | $\tau$ ("tau") | the length of a window | `k1`, `bptt` |
# | $s(t)$ | the first step of the window that $t$ is in: $\tau \lfloor (t - 1) / \tau \rfloor + 1$ ($\lfloor \ \rfloor$ rounds down) | |
# | $\partial L_t / \partial W^{(k)}$ | what the use of $W_{hh}$ at step $k$ gives to the gradient of $L_t$ | |
#
# It is an approximation, but not a bad one if the far pairs are small. The losses are the same
# numbers as before, because the state goes on. And the memory now depends on $\tau$, not on $T$.
#
# ![Truncated backpropagation through time](../pictures/truncation.png)
#
# (The picture calls the length of a window $k$.)
#
# ## Run it: 경마장에 있는 말이 뛰고 있다
#
# "The horse at the racetrack runs": the sentence of the lecture, syllable by syllable. First the
# whole gradient, then that of windows of 4 steps, which `training.truncated_bptt` adds up window by
# window.

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, training, viz
from minigrad.data import Vocabulary


class CharRNN(nn.Module):
    """Ids of letters in; at each time step the logits of the next letter out."""

    def __init__(self, vocab_size, hidden_size, rng):
        options = {"rng": rng, "dtype": "float64"}
        self.embedding = nn.Embedding(vocab_size, hidden_size, **options)
        self.rnn = nn.RNN(hidden_size, hidden_size, **options)
        self.output = nn.Linear(hidden_size, vocab_size, **options)

    def forward(self, w, state=None):
        h, state = self.rnn(self.embedding(w), state)
        return self.output(h), state


sentence, window = "경마장에 있는 말이 뛰고 있다", 4
vocabulary = Vocabulary(dict.fromkeys(sentence))
w = vocabulary.encode(sentence)
inputs, targets = w[:-1], w[1:]
T = len(inputs)
model = CharRNN(len(vocabulary), 16, np.random.default_rng(0))


def total(y, targets):
    return mg.cross_entropy(y, targets, reduction="sum")


def gradient(k1):
    """dL/dW_hh by windows of k1 steps, and the losses of the windows."""
    model.zero_grad()
    windows = training.truncated_bptt(model, total, inputs, targets, k1=k1)
    losses = [each.loss.item() for each in windows]  # each window adds to .grad
    return model.rnn.weight_hh_l0.grad.numpy(), losses


full, whole = gradient(T)
cut, parts = gradient(window)
print(f"{T} steps, loss {sum(whole):.4f}")
print(f"{len(parts)} windows of {window} steps, loss {sum(parts):.4f}")
assert np.isclose(sum(parts), sum(whole)), "cut into windows, the loss has changed"

# %% [markdown]
# The losses agree: truncation changes nothing on the way forward. Now the formula. `mg.grad` gives
# the gradient of one loss for one copy of $W_{hh}$. So we unroll the network by hand, with a copy
# for each step, and take only the pairs within a window. (`retain_graph` keeps what `mg.grad` needs
# to go back once more.)

# %%
cell = nn.RNNCell(16, 16, dtype="float64")
# the weights of the model; the layer has their names with _l0 behind
cell.load_state_dict({k.removesuffix("_l0"): v for k, v in model.rnn.state_dict().items()})
copies = [cell.weight_hh.copy() for _ in range(T)]
x = model.embedding(inputs)
h, losses = mg.zeros(16, dtype="float64"), []
for t in range(T):
    from_input = mg.linear(x[t], cell.weight_ih, cell.bias_ih)
    h = mg.tanh(from_input + mg.linear(h, copies[t], cell.bias_hh))
    losses.append(mg.cross_entropy(model.output(h), targets[t]))

kept = np.zeros((16, 16))
pairs = 0
for t in range(T):
    first = window * (t // window)  # s(t), counted from 0
    for term in mg.grad(losses[t], copies[first : t + 1], retain_graph=True):
        kept += term.numpy()
        pairs += 1
assert np.allclose(kept, cut, rtol=0, atol=1e-12), "these pairs are not what the windows keep"
print(f"{pairs} of {T * (T + 1) // 2} pairs are within a window")

# %% [markdown]
# The truncated gradient is exactly this smaller sum. How far is it from the whole one? The error is
# the norm of the difference, divided by the norm of the whole gradient. (The **norm** of a matrix
# or a vector is its length: the square root of the sum of all squares.)

# %%
for k1 in (1, 2, 4, 8, T):
    g, _ = gradient(k1)
    print(f"windows of {k1:2}: error {np.linalg.norm(g - full) / np.linalg.norm(full):.3f}")

# %% [markdown]
# On the whole, longer windows have smaller errors. (Where the edges fall matters too.)
# `viz.gradient_through_time` shows why: the bright part of the triangle is what the windows keep,
# and the pale one what they drop. Move the slider of the window.

# %%
seen = viz.gradient_through_time(model, w, labels=sentence, window=window)
seen

# %% [markdown]
# **The number of this page:** `36 of 120 pairs, and the gradient is off by 0.241`

# %%
error = np.linalg.norm(cut - full) / np.linalg.norm(full)
assert np.isclose(error, seen.flows["rnn"].bias.errors[window - 1])  # as viz says
print(f"{pairs} of {T * (T + 1) // 2} pairs, and the gradient is off by {error:.3f}")

# %% [markdown]
# ## In training
#
# The loop of a language model on a long text is this. `data.windows` cuts, `detach_state` lets the
# state go on and the gradient end:
#
# ```py
# state = None
# for w, w_next in data.windows(streams, bptt=35):
#     y, state = model(w, training.detach_state(state))
#     loss = mg.cross_entropy(y, w_next)
#     optimizer.zero_grad()
#     loss.backward()
#     optimizer.step()
# ```
#
# If the state were set to zero at each edge, the network would know nothing at the start of each
# window. The right curves of the picture above show what that costs.
#
# ## Change it
#
# - `있다", 4` → `있다", 1`: windows of one step. The gradient goes back through one tanh and no
#   further, so the network does not learn *what* to remember. It ends in
#   `15 of 120 pairs, and the gradient is off by 0.402`.
# - `있다", 4` → `있다", 8`: twice as long. It ends in
#   `64 of 120 pairs, and the gradient is off by 0.078`.
# - `있다", 4` → `있다", 15`: one window of the whole text. This is full BPTT. It ends in
#   `120 of 120 pairs, and the gradient is off by 0.000`.
#
# ## Read on
#
# - In the code: `minigrad/training/bptt.py`, with a drawing of windows that overlap: there the
#   gradient of each step goes back some steps at least. `minigrad/data/batches.py` cuts the
#   windows. `examples/truncation.py` makes the picture.
# - Build it yourself: [truncation](../steps/12_truncation.py).
# - R. J. Williams and J. Peng (1990), An efficient gradient-based algorithm for on-line training of
#   recurrent network trajectories.
