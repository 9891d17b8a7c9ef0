# %% [markdown]
# # 6. What helps: clipping and gates
#
# **Question.** Gradients explode or vanish. What can be done against each?
#
# ## The idea
#
# - Against the explosion: make the gradient shorter if it is too long. This is **clipping**.
# - Against the vanishing: build a network in which the state is *kept* from step to step, and only
#   changed a little, instead of being made anew. Such networks are the **LSTM** and the **GRU**.
#   What is kept is decided by **gates**: numbers between 0 and 1.
#
# ## Clipping: the formula
#
# $$g \leftarrow g \cdot \min\Big(1, \frac{c}{\lVert g \rVert}\Big)$$
#
# | letter | what it is | its name in the code |
# | --- | --- | --- |
# | $g$ | the gradient of all parameters together, as one long vector | the `.grad` of each |
# | $\lVert g \rVert$ | its norm, which is its length | what `clip_grad_norm_` returns |
# | $c$ | the longest that is allowed | `max_norm` |
#
# A gradient that is short enough stays as it is. A longer one keeps its direction, and gets the
# norm $c$.
#
# ![Clipping](../pictures/clipping.png)
#
# ## Run it: over the cliff
#
# A small RNN with a spectral radius of 1.5 learns to say, at the end of 20 random numbers, the
# first of them. It has no tanh to dampen it, but ReLU ($\max(0, a)$), so its gradient explodes.

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.data import Vocabulary


class Recall(nn.Module):
    """A sequence of numbers in; at its end, one number out."""

    def __init__(self, hidden_size, radius, rng):
        options = {"rng": rng, "dtype": "float64"}
        self.rnn = nn.RNN(1, hidden_size, nonlinearity="relu", **options)
        rotation = np.linalg.qr(rng.normal(size=(hidden_size, hidden_size)))[0]
        self.rnn.weight_hh_l0.data = radius * rotation
        self.output = nn.Linear(hidden_size, 1, **options)

    def forward(self, x):
        return self.output(self.rnn(x)[1][0])  # of the last state


def train(max_norm, steps=100):
    """The loss and the norm of the gradient before clipping, of each step."""
    rng = np.random.default_rng(0)
    model = Recall(16, 1.5, rng)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    losses, norms = [], []
    for _ in range(steps):
        x = rng.normal(size=(20, 32, 1))  # 20 steps, 32 sequences
        loss = mg.mse_loss(model(x), x[0])  # the mean of the squared differences
        optimizer.zero_grad()
        loss.backward()
        norms.append(optim.clip_grad_norm_(model.parameters(), max_norm).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


losses, norms = train(max_norm=1.0)
for step in (0, 1, 2, 10, 50, 99):
    print(f"step {step:2}   norm before {norms[step]:8.1f}   loss {losses[step]:.2f}")
blown_up, _ = train(max_norm=np.inf, steps=2)
print(f"without clipping: loss {blown_up[0]:.1f}, and after one step {blown_up[1]:.1e}")

# %% [markdown]
# The first gradients have norms of about a thousand. Clipped, they all have the norm 1, and the
# network comes back to where it can learn. (One that always says 0 has the loss 1.) Without
# clipping, the first step is a thousand times longer, and the network is gone.
#
# Clipping is no help against the vanishing. There is nothing to cut from a gradient of zero.
#
# ## Gates: the formula
#
# The LSTM has a second state, the **cell** $c_t$. It is not made anew at each step, but kept and
# changed (all products here are element by element):
#
# $$c_t = f_t\, c_{t-1} + i_t\, g_t \qquad h_t = o_t \tanh(c_t)$$
#
# $$f_t = \sigma(W_{xf}\, x_t + W_{hf}\, h_{t-1} + b_f) \qquad \text{and } i_t, o_t \text{ alike; } g_t
# \text{ with } \tanh$$
#
# The GRU does the same with one state, $h_t = z_t\, h_{t-1} + (1 - z_t)\, n_t$.
#
# | letter | what it is |
# | --- | --- |
# | $c_t$ | the cell: what is remembered |
# | $f_t$ | the **forget gate**: how much of the old is kept. 1: all of it, 0: nothing |
# | $i_t, g_t$ | the **input gate**, and the **candidate**: how much of what is written (this $g_t$ is no gradient) |
# | $o_t$ | the **output gate**: how much of the cell is shown |
# | $z_t, n_t$ | the **update gate** of a GRU: how much is kept; and its candidate |
# | $\sigma$ | the **sigmoid**, $1 / (1 + e^{-a})$: it turns any number into one between 0 and 1 |
# | $W_{xf}, W_{hf}, b_f$ | weights and bias of the forget gate: the second quarter of the rows of `weight_ih_l0`, `weight_hh_l0` and the biases |
#
# Compare the way back with that of the RNN. The dots are the longer ways, through $h$ and the
# gates:
#
# $$\text{RNN: } \frac{\partial h_t}{\partial h_{t-1}} = \mathrm{diag}(1 - h_t^2)\, W_{hh} \qquad
# \text{LSTM: } \frac{\partial c_t}{\partial c_{t-1}} = \mathrm{diag}(f_t) + \dots$$
#
# On the direct way there is no matrix and no tanh: only $f_t$. If the gate is near 1, the gradient
# passes, as far as you like. And the network sets its gates itself, for each number of the cell and
# each time step.
#
# ![Why LSTM and GRU keep the gradient](../pictures/gates.png)
#
# ## Run it: how far back does the gradient reach?
#
# The same measurement as on [page 5](05_vanishing_exploding.py), for three untrained
# networks. The bias of the gate that keeps is 3 larger, so that it starts near
# $\sigma(3) = 0.95$.


# %%
class CharModel(nn.Module):
    """Ids of letters in; at each time step the logits of the next letter out."""

    def __init__(self, layer, vocab_size, hidden_size, gate_bias):
        options = {"rng": np.random.default_rng(0), "dtype": "float64"}
        self.embedding = nn.Embedding(vocab_size, hidden_size, **options)
        self.recurrent = layer(hidden_size, hidden_size, **options)
        if layer is not nn.RNN:  # the second gate: f of an LSTM, z of a GRU
            self.recurrent.bias_ih_l0.data[hidden_size : 2 * hidden_size] += gate_bias
        self.output = nn.Linear(hidden_size, vocab_size, **options)

    def forward(self, w, state=None):
        h, state = self.recurrent(self.embedding(w), state)
        return self.output(h), state


text, gate_bias = "what will the fat cat sit on", 3.0
vocabulary = Vocabulary(dict.fromkeys(text))
models = {
    layer.__name__: CharModel(layer, len(vocabulary), 16, gate_bias)
    for layer in (nn.RNN, nn.LSTM, nn.GRU)
}
seen = viz.gradient_through_time(models, vocabulary.encode(text), labels=text)
left = {name: flow.decay[20] for name, flow in seen.flows.items()}
print(f"the gate that keeps starts near {1 / (1 + np.exp(-gate_bias)):.2f}")
for name, share in left.items():
    print(f"{name:4} after 20 steps {share:.1e} of the gradient is left")
seen

# %% [markdown]
# Now compare the triangles of the RNN and the LSTM, and of the GRU further down in the frame: how
# bright is the lower left corner, where the last losses meet the first letters?
#
# **The number of this page:** `RNN 2e-08, LSTM 2e-01, GRU 4e-01`

# %%
print(", ".join(f"{name} {share:.0e}" for name, share in left.items()))

# %% [markdown]
# ## Change it
#
# - `sit on", 3.0` → `sit on", 0.0`: the gates start near 1/2, and the direct way halves the
#   gradient at each step. An LSTM can forget like an RNN. It ends in
#   `RNN 2e-08, LSTM 3e-05, GRU 2e-05`.
# - `sit on", 3.0` → `sit on", 6.0`: gates still nearer to 1. More of it comes back. It ends in
#   `RNN 2e-08, LSTM 4e-01, GRU 9e-01`.
#
# ## Read on
#
# - In the code: `minigrad/optim/clipping.py`. LSTM and GRU as formulas are in
#   `minigrad/nn/recurrent/equations.py`. `examples/clipping.py` and `examples/gates.py` make the
#   pictures, and `examples/memory.py` shows what the gates are for: to say the first of 60 symbols
#   at the end.
# - Build it yourself: [clipping](../steps/13_clipping.py), and [the LSTM](../steps/14_lstm.py).
# - Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks.
#   Hochreiter and Schmidhuber (1997), Long short-term memory. Gers, Schmidhuber and Cummins (2000),
#   Learning to forget. Cho et al. (2014), Learning phrase representations using RNN
#   encoder-decoder.
