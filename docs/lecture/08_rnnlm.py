# %% [markdown]
# # 8. The RNNLM and teacher forcing
#
# **Question.** A language model that writes reads its own words. What should it read while it
# learns, when most of what it says is still wrong?
#
# ## The idea
#
# While it learns, it reads the **true** words, whatever it has said. It is corrected at once, as by
# a teacher who says each word for the student before asking for the next one. This is **teacher
# forcing**. When it writes, there is no teacher: it reads what it has said itself. This is called
# **free running**.
#
# A language model that is an RNN is called **RNNLM**. Its tokens here are words.
#
# ## The formula
#
# Both times the network is that of [page 2](02_language_model.py), and only its input differs:
#
# $$\text{teacher forcing:} \quad x_{t+1} = E[w_{t+1}]$$
#
# $$\text{free running:} \quad x_{t+1} = E[\hat{w}_{t+1}] \qquad
# \hat{w}_{t+1} = \arg\max_w p_t[w]$$
#
# $$L = -\frac{1}{T} \sum_{t=1}^{T} \log p_t[w_{t+1}] \qquad
# p_t = \mathrm{softmax}(W_{hy}\, h_t + b_y)$$
#
# | letter | what it is |
# | --- | --- |
# | $w_{t+1}$ | the true next word: a number, its id |
# | $\hat{w}_{t+1}$ ("w hat") | the word that the model says: the likeliest one, which is what $\arg\max$ picks. (Instead it may be drawn at random with the probabilities $p_t$: then the model is **sampled**) |
# | $x_{t+1}$ | what goes into the network at the next time step |
# | $E$, $h_t$, $W_{hy}$, $b_y$ | embedding, state, and the output layer, as before |
# | $p_t[w]$ | the probability of word $w$ after the words $w_1 \dots w_t$ |
# | $L$ | the loss, the mean over the $T$ words to predict |
#
# What is good about teacher forcing:
#
# - All inputs are known before. So all time steps of a text are one call of the layer, and many
#   texts run side by side.
# - The loss is exactly the one we want: with the true words as inputs, $p_t[w_{t+1}]$ are the
#   factors of the probability of the text.
# - One wrong word does not spoil what is learned from the words after it.
#
# What is bad about it: the model never sees its own mistakes while it learns. When it writes, one
# wrong word leads to a place where it has never been, and the next word is wrong too. This is
# called **exposure bias**.
#
# ![Teacher forcing and free running](../pictures/rnnlm_sentence.png)
#
# ## Run it: "what will the fat cat sit on"
#
# The model is half trained: it has made two steps of training only. We count how many of the six
# next words are right, both ways.

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import Vocabulary


class RNNLM(nn.Module):
    """Ids of words in; at each time step the logits of the next word out."""

    def __init__(self, sentences, hidden_size=16):
        options = {"rng": np.random.default_rng(0), "dtype": "float64"}
        self.vocabulary = Vocabulary.from_text("\n".join(sentences), level="word", unk=None)
        self.embedding = nn.Embedding(len(self.vocabulary), hidden_size, **options)
        self.rnn = nn.RNN(hidden_size, hidden_size, **options)
        self.output = nn.Linear(hidden_size, len(self.vocabulary), **options)

    def forward(self, w, state=None):
        h, state = self.rnn(self.embedding(w), state)
        return self.output(h), state


def train(model, sentences, steps, carry_state=True):
    """Teacher forcing; returns the last loss. Without a state, each word is read alone."""
    optimizer = optim.Adam(model.parameters(), lr=0.02)  # as SGD, with a step size for each weight
    for _ in range(steps):
        losses, words = [], 0
        for sentence in sentences:
            w = model.vocabulary.encode(sentence + "\n")  # "\n" becomes <eos>, the end
            inputs, targets = w[:-1], w[1:]
            if carry_state:
                y, _ = model(inputs)  # the true words, all at once
            else:
                y = model(inputs[None])[0][0]  # a batch of texts of one word
            losses.append(mg.cross_entropy(y, targets, reduction="sum"))
            words += len(targets)
        loss = sum(losses) / words
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def forced(model, sentence):
    """What it says after each word of the sentence but the last."""
    with mg.no_grad():
        y, _ = model(model.vocabulary.encode(sentence)[:-1])
    return y.numpy().argmax(-1)


def free(model, start, length):
    """What it says after `start`, if it reads its own words."""
    said, state = [], None
    w = model.vocabulary.encode(start)
    with mg.no_grad():
        for _ in range(length):
            y, state = model(w, state)
            w = y.numpy()[-1:].argmax(-1)
            said.append(w[0])
    return np.array(said)


sentence, steps = "what will the fat cat sit on", 2
model = RNNLM([sentence])
train(model, [sentence], steps)
true = model.vocabulary.encode(sentence)[1:]
right = []
for name, said in (
    ("true words ", true),
    ("forced says", forced(model, sentence)),
    ("free says  ", free(model, sentence.split()[0], len(true))),
):
    right.append((said == true).sum())
    words = " ".join(model.vocabulary.tokens[id] for id in said)
    print(f"{name}   {words}   ({right[-1]} right)")

# %% [markdown]
# ## Run it: 말이
#
# The three sentences of the lecture have the word 말이 four times. It means "the horse", or "the
# words", and each time another word follows:
#
# | sentence | meaning | after 말이 |
# | --- | --- | --- |
# | 경마장에 있는 말이 뛰고 있다 | the horse at the racetrack runs | 뛰고 |
# | 그의 말이 법이다 | his word is law | 법이다 |
# | 가는 말이 고와야 오는 말이 곱다 | kind words bring kind words | 고와야, 곱다 |
#
# A model that sees one word alone can only guess among the four. So of the 14 words to predict, 4
# cost it $\log 4$ each, and its loss is never below $4 \log 4 / 14 = 0.396$. The state can do
# better.

# %%
KOREAN = ["경마장에 있는 말이 뛰고 있다", "그의 말이 법이다", "가는 말이 고와야 오는 말이 곱다"]
with_state, without = RNNLM(KOREAN), RNNLM(KOREAN)
loss = train(with_state, KOREAN, 50)
limit = train(without, KOREAN, 50, carry_state=False)
print(f"loss with the state {loss:.3f}, without {limit:.3f}")
print(f"without, never below {4 * np.log(4) / 14:.3f}")

for text in ("경마장에 있는 말이", "그의 말이", "가는 말이", "가는 말이 고와야 오는 말이"):
    w = with_state.vocabulary.encode(text)
    with mg.no_grad():
        p = mg.softmax(with_state(w)[0][-1]).numpy()
        p_without = mg.softmax(without(w[-1:])[0][-1]).numpy()
    word = with_state.vocabulary.tokens[p.argmax()]
    print(f"{text}: {word} {p.max():.2f}, without the state {p_without[p.argmax()]:.2f}")
assert loss < limit, "the state is of no use"

# %% [markdown]
# In all four places the network with a state knows the next word, and the one without gives a
# quarter to each.
#
# **The number of this page:** `forced 5 of 6 right, free 3 of 6; loss 0.005`

# %%
_, of_forced, of_free = right
print(f"forced {of_forced} of 6 right, free {of_free} of 6; loss {loss:.3f}")

# %% [markdown]
# ## Change it
#
# - `sit on", 2` → `sit on", 4`: two more steps of training, and both are right. The mistakes vanish
#   once the model is good. It ends in `forced 6 of 6 right, free 6 of 6; loss 0.005`.
# - `sit on", 2` → `sit on", 1`: one step. It ends in
#   `forced 3 of 6 right, free 0 of 6; loss 0.005`.
# - `loss = train(with_state, KOREAN, 50)` →
#   `loss = train(with_state, KOREAN, 50, carry_state=False)`: it is never asked to use its state.
#   It ends in `AssertionError: the state is of no use`.
#
# ## Read on
#
# - In the code: `models/rnnlm.py` is the RNNLM for real texts, and `models/writing/sampling.py`
#   writes. The decoder of `models/encoder_decoder.py` is trained by teacher forcing too.
#   `examples/rnnlm_sentence.py` makes the picture.
# - Build it yourself: [a language model](../steps/15_language_model.py), and
#   [sampling](../steps/16_sampling.py).
# - Train one on a text of your own: [training](../training.md).
# - Williams and Zipser (1989), A learning algorithm for continually running fully recurrent neural
#   networks: there teacher forcing has its name. Mikolov et al. (2010), Recurrent neural network
#   based language model. Bengio et al. (2015), Scheduled sampling: a way between the two, which
#   [`translate`](../tasks.md#translate) has too.
