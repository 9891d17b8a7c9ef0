# %% [markdown]
# # 7. The four shapes of an RNN
#
# **Question.** A language model reads a token and says a token, again and again. But a review is to
# be called good or bad, a picture is to be described, a sentence to be translated. Do these need
# other networks?
#
# ## The idea
#
# They need the same network, with its inputs and outputs at other time steps. What goes in may be
# one thing or a sequence; and so may what comes out. This gives four shapes, and the last one comes
# in two forms.
#
# ![The four shapes of an RNN](../pictures/four_shapes.png)
#
# The tables tell how much each output depends on each input. They have the shape of the task: a
# single number, a column, a row, a triangle, a full square.
#
# ## The formula
#
# The cell is always the same, $h_t = \mathrm{RNN}(x_t, h_{t-1})$: any of RNN, LSTM and GRU. So is
# the output layer, $y = W_{hy} h + b_y$. What differs is what the cell reads, and where we read the
# output.
#
# | shape | what the cell reads | where the output is read |
# | --- | --- | --- |
# | one-to-one | $x_1$ | at $h_1$ |
# | one-to-many | $x_1$, then what it has said itself: $y_1, y_2, \dots$ | at each $h_t$ |
# | many-to-one | $x_1 \dots x_T$ | at the last state, $h_T$ |
# | many-to-many, in step | $x_1 \dots x_T$ | at each $h_t$ |
# | many-to-many, encoder and decoder | first $x_1 \dots x_T$; then, with a second cell, what it has said itself | at $h_{T+1}$ and all later ones |
#
# ## Run it: one network, five ways
#
# We measure the tables. An output $y_t$ depends on an input $x_s$ if the gradient of $y_t$ for
# $x_s$ is not zero.

# %%
import numpy as np

import minigrad as mg
from minigrad import nn

T, D, H = 3, 4, 6  # time steps; numbers in an input and an output; numbers in the state
rng = np.random.default_rng(0)
options = {"rng": rng, "dtype": "float64"}
rnn, decoder = nn.GRU(D, H, **options), nn.GRU(D, H, **options)
output = nn.Linear(H, D, **options)
x = mg.tensor(rng.normal(size=(T, D)), requires_grad=True)


def write(layer, token, state):
    """T outputs; each is the next input."""
    outputs = []
    for _ in range(T):
        h, state = layer(token[None], state)
        token = output(h[0])
        outputs.append(token)
    return mg.stack(outputs)


h, state = rnn(x)
shapes = {
    "one-to-one": (output(rnn(x[:1])[0]), 1),
    "one-to-many": (write(rnn, x[0], None), 1),
    "many-to-one": (output(h[-1:]), T),
    "in step": (output(h), T),
    "encoder and decoder": (write(decoder, mg.zeros(D, dtype="float64"), state), T),
}
counts = []
for name, (y, inputs) in shapes.items():
    rows = [mg.grad(y[t].sum(), x, retain_graph=True)[0].numpy() for t in range(len(y))]
    depends = np.array(rows)[:, :inputs].any(axis=-1)  # shape (outputs, inputs)
    counts.append(f"{depends.sum()} of {depends.size}")
    print(f"{name:20} {len(y)} x {inputs}: {depends.astype(int).tolist()}")

# %% [markdown]
# A row for each output: 1 where it depends on an input, 0 where it does not. In step, three of the
# nine are zero: no output can depend on an input that comes later. If it should, let a second layer
# read from the end to the beginning (`bidirectional=True`). Encoder and decoder have no such zeros:
# the decoder starts when all has been read.
#
# **The number of this page:** `1 of 1, 3 of 3, 3 of 3, 6 of 9, 9 of 9`

# %%
print(", ".join(counts))

# %% [markdown]
# ## Where you meet them
#
# Each shape has its smallest example, a file that runs in seconds, and a task on real data with
# `train`, `evaluate` and `predict` ([tasks](../tasks.md)). What was reached, beside simpler
# methods, stands in the [results](../results.md).
#
# | shape | for example | its smallest example | on real data |
# | --- | --- | --- | --- |
# | one-to-one | which digit is in the image? | `examples/one_to_one.py` | [`digits`](../tasks.md#digits) |
# | one-to-many | a picture, and its description | `examples/one_to_many.py` | [`caption`](../tasks.md#caption) |
# | many-to-one | a review: is it praise? | `examples/many_to_one.py` | [`classify`](../tasks.md#classify), [`memory`](../tasks.md#memory) |
# | many-to-many, in step | a text without spaces: where do they go? | `examples/many_to_many.py` | [`tag`](../tasks.md#tag) |
# | many-to-many, encoder and decoder | a sentence, and its translation | `examples/encoder_decoder.py` | [`translate`](../tasks.md#translate) |
#
# A language model is many-to-many, in step, while it learns: each target is known. While it writes,
# it is one-to-many. The [last page](08_rnnlm.py) is about this difference.
#
# ## Change it
#
# - `"in step": (output(h), T)` → `"in step": (output(h + rnn(x[::-1])[0][::-1]), T)`: a second
#   reading, from the end to the beginning. Now each output knows the whole text. It ends in
#   `1 of 1, 3 of 3, 3 of 3, 9 of 9, 9 of 9`.
# - `dtype="float64"), state), T)` → `dtype="float64"), 0 * state), T)`: the decoder does not get
#   the state of the encoder. It writes, but not about what was read. It ends in
#   `1 of 1, 3 of 3, 3 of 3, 6 of 9, 0 of 9`.
# - `"many-to-one": (output(h[-1:]), T)` → `"many-to-one": (output(h[:1]), T)`: the answer is read
#   too early. It ends in `1 of 1, 3 of 3, 1 of 3, 6 of 9, 9 of 9`.
#
# ## Read on
#
# - In the code: `models/image_classifier.py`, `models/captioner.py`, `models/text_classifier.py`,
#   `models/tagger.py` and `models/encoder_decoder.py`. `examples/four_shapes.py` makes the picture.
# - Build it yourself: the cell and the language model are [step 9](../steps/09_rnn_cell.py) and
#   [step 15](../steps/15_language_model.py).
# - A. Karpathy (2015), The unreasonable effectiveness of recurrent neural networks, has drawn the
#   shapes. Cho et al. (2014) and Sutskever, Vinyals and Le (2014) have encoder and decoder.
