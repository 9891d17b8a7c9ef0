# %% [markdown]
# # 2. The language model
#
# **Question.** "The cat sits on the mat" is good English, "mat the on sits cat the" is not. How can
# a network say how good a text is, and write one?
#
# ## The idea
#
# A **language model** gives each text a probability. It does so one **token** at a time: a token is
# a letter or a word. After each token it says how likely each token is to come next. The
# probability of the whole text is the product of these.
#
# A model that can say what comes next can also write: it takes a likely token, reads it, and goes
# on. And nobody has to write down the right answers for it. Every text is its own answer: the
# target of each time step is the next token.
#
# ## The formula
#
# $$P(w_1 \dots w_T) = \prod_{t=1}^{T} P(w_t \mid w_1 \dots w_{t-1})$$
#
# This is true of any text. (To look back at all tokens is hard if you count: most long beginnings
# were never seen before.) An RNN has the state to help. It puts all that was read into $h_t$:
#
# $$x_t = E[w_t] \qquad h_t = \tanh(W_{xh}\, x_t + W_{hh}\, h_{t-1} + b_h) \qquad
# y_t = W_{hy}\, h_t + b_y$$
#
# $$p_t = \mathrm{softmax}(y_t) \qquad L_t = -\log p_t[w_{t+1}] \qquad
# \mathrm{perplexity} = e^{\frac{1}{T} \sum_t L_t}$$
#
# | letter | what it is |
# | --- | --- |
# | $P(a \mid b)$ | the probability of $a$, if $b$ came before |
# | $\prod, \sum$ | the product, and the sum, of what stands behind it, for each $t$ |
# | $w_t$ | the token at time step $t$, as a number: its **id** |
# | $E$ | the **embedding**: a matrix of shape $(V, D)$ with a row for each of the $V$ tokens |
# | $E[w]$ | row $w$ of it |
# | $y_t$ | the logits: a score for each token that may come next |
# | $p_t$ | the probability of each token. $\mathrm{softmax}(y)[i] = e^{y[i]} / \sum_j e^{y[j]}$ makes scores positive, with the sum 1 |
# | $L_t$ | the **loss** of step $t$: how surprised the model is by the true next token. 0 if it was sure |
#
# The mean of the $L_t$ is called the **cross-entropy**. The **perplexity** makes it easy to read:
# a perplexity of 4 means that the model is as unsure as if it chose among 4 tokens at random.
#
# ## Run it: "ybigta"
#
# The six letters of "ybigta" all differ. The model reads y, b, i, g, t and learns to say b, i, g,
# t, a.

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import Vocabulary


class CharRNN(nn.Module):
    """Ids of letters in; at each time step the logits of the next letter out."""

    def __init__(self, vocab_size, hidden_size, rng):
        options = {"rng": rng, "dtype": "float64"}
        self.embedding = nn.Embedding(vocab_size, hidden_size, **options)  # E
        self.rnn = nn.RNN(hidden_size, hidden_size, **options)  # W_xh, W_hh, b_h
        self.output = nn.Linear(hidden_size, vocab_size, **options)  # W_hy, b_y

    def forward(self, w, state=None):  # model(w) calls it
        h, state = self.rnn(self.embedding(w), state)
        return self.output(h), state


word, steps = "ybigta", 100
vocabulary = Vocabulary(dict.fromkeys(word))  # each letter once
w = vocabulary.encode(word)
inputs, targets = w[:-1], w[1:]
model = CharRNN(len(vocabulary), 8, np.random.default_rng(0))

# %% [markdown]
# ## One-hot, or a lookup
#
# In lectures a letter enters the network as a **one-hot** vector: 1 at its id, 0 elsewhere. Such a
# vector times the matrix $E$ is a row of $E$, as all other rows are multiplied by 0. So a lookup
# of the row gives the same, without the multiplications.

# %%
one_hot = np.eye(len(vocabulary))[inputs]  # row i of np.eye has its 1 at place i
E = model.embedding.weight.numpy()
assert np.array_equal(one_hot @ E, model.embedding(inputs).numpy())
print(one_hot.astype(int))

# %% [markdown]
# ![One-hot and embedding, and the time steps of "ybigta"](../pictures/ybigta.png)
#
# At the top: the product that is a lookup. Only the rows that were looked up have a gradient. (The
# picture has random numbers of its own. It writes $z_t$ for the logits, and $y_t$ for the target.)
#
# ## Train it
#
# To **train** is to make the loss smaller. The **gradient** of the loss says for each weight how
# the loss changes if the weight grows a little. A step of training moves all weights a little way
# against it: downhill. The **learning rate** `lr` says how far. `optimizer.zero_grad()` forgets the
# old gradient, `loss.backward()` computes the new one, and `optimizer.step()` moves the weights.

# %%
optimizer = optim.SGD(model.parameters(), lr=0.5)
for step in range(steps + 1):
    y, _ = model(inputs)
    loss = mg.cross_entropy(y, targets)  # the mean of the L_t
    if step in (0, 10, steps):
        perplexity = np.exp(loss.item())
        print(f"step {step:3}   loss {loss.item():.3f}   perplexity {perplexity:.2f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# At first the model is as unsure as among five of the six letters: it knows nothing. In the end it
# is nearly sure. Now the chain of probabilities, from the first y on:

# %%
with mg.no_grad():  # no gradient is needed here
    p = mg.softmax(model(inputs)[0]).numpy()
    loss = mg.cross_entropy(model(inputs)[0], targets).item()
of_targets = p[np.arange(len(targets)), targets]
for before, after, of_target in zip(word[:-1], word[1:], of_targets, strict=True):
    print(f"it reads {before}, and {after} has the probability {of_target:.3f}")
product = of_targets.prod()
assert np.isclose(product, np.exp(-len(targets) * loss))

# %% [markdown]
# The product of the probabilities and the sum of the losses say the same thing, as
# $\log(a b) = \log a + \log b$. Sums are used in practice: the product of a million
# probabilities is too small for a computer.
#
# **The number of this page:** `P(bigta | y) = 0.934, perplexity 1.01`

# %%
print(f"P({word[1:]} | {word[0]}) = {product:.3f}, perplexity {np.exp(loss):.2f}")

# %% [markdown]
# And now "hello", where the state is needed: the third and the fourth input are both l, and the
# targets are l and o.
#
# ![The time steps of "hello"](../pictures/hello.png)
#
# ## Change it
#
# - `word, steps = "ybigta", 100` → `word, steps = "hello", 100`: the model needs its state, and
#   learns to use it. It ends in `P(ello | h) = 0.972, perplexity 1.01`.
# - `word, steps = "ybigta", 100` → `word, steps = "ybigta", 0`: one single step of training. The
#   model still guesses. It ends in `P(bigta | y) = 0.001, perplexity 3.95`.
# - `y, _ = model(inputs)` → `y, _ = model(inputs[None])[0][0], None`: each letter is a text of its
#   own. For "ybigta" little is lost, as each letter has one successor. It ends in
#   `P(bigta | y) = 0.872, perplexity 1.03`.
#
# ## Read on
#
# - In the code: `minigrad/ops/softmax.py` and `minigrad/ops/cross_entropy.py`. `models/rnnlm.py` is
#   the language model for real texts. `examples/hello.py` and `examples/ybigta.py` make the
#   pictures.
# - Build it yourself: [softmax and cross-entropy](../steps/07_softmax.py),
#   [one-hot and embedding](../steps/08_embedding.py), and
#   [a language model](../steps/15_language_model.py).
# - On real text: [training](../training.md).
