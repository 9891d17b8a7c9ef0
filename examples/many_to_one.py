"""Many-to-one: a network reads a sentence and says whether it is praise.

    x_t      = E[w_t]                       each word of "the film is not bad"
    h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})
    y        = W h_T + b                    one answer, of the last state alone

Each "not" turns the meaning round, and "but" ends what a "not" reaches. So the
order of the words matters, which Naive Bayes (words in a bag) can't see.
"""

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training

WORDS = ["the film is", "the story is", "not", "very", "good", "great", "bad", "dull", "but"]
vocabulary = data.Vocabulary(sorted(set(" ".join(WORDS).split())), level="word")


def sentence(rng):
    """A sentence, and 1 if its last part is praise."""
    parts = []
    for _ in range(rng.integers(1, 3)):
        nots, word = int(rng.integers(3)), rng.choice(["good", "great", "bad", "dull"])
        parts.append(" ".join([*["not"] * nots, *["very"] * int(rng.integers(2)), word]))
        praise = (word in ("good", "great")) != (nots % 2 == 1)
    return f"{rng.choice(WORDS[:2])} {' but '.join(parts)}", int(praise)


class Reader(nn.Module):
    def __init__(self, vocab_size, embedding_size=8, hidden_size=24):
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.recurrent = nn.LSTM(embedding_size, hidden_size)
        self.output = nn.Linear(hidden_size, 2)

    def forward(self, texts):
        w, lengths = data.pad_sequences([vocabulary.encode(text) for text in texts])
        _, (h, _) = self.recurrent(self.embedding(w), lengths=lengths)  # h: the last real h_T
        return self.output(h[0])


def naive_bayes(train, labels, texts):
    """P(class | words) from counts plus 1, as if words did not depend on each other."""
    counts = np.ones((2, len(vocabulary)))
    for text, label in zip(train, labels, strict=True):
        np.add.at(counts[label], vocabulary.encode(text), 1)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    prior = np.log(np.bincount(labels) / len(labels))
    return np.array([(prior + log_p[:, vocabulary.encode(t)].sum(1)).argmax() for t in texts])


mg.manual_seed(0)
rng = np.random.default_rng(0)
texts, labels = (list(x) for x in zip(*(sentence(rng) for _ in range(2000)), strict=True))
labels = np.array(labels)
seen = set(texts[:1500])
new = [i for i in range(1500, 2000) if texts[i] not in seen]  # sentences that it never sees
model = Reader(len(vocabulary))
optimizer = optim.Adam(model.parameters(), lr=0.01)
print(__doc__)
for step in range(301):
    batch = rng.integers(1500, size=32)
    loss = mg.cross_entropy(model([texts[i] for i in batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.3f}")

with training.evaluating(model):
    said = model([texts[i] for i in new]).numpy().argmax(1)
guess = naive_bayes(texts[:1500], labels[:1500], [texts[i] for i in new])
print(f"\n{len(new)} new sentences: LSTM {np.mean(said == labels[new]):.0%} right, ", end="")
print(f"Naive Bayes {np.mean(guess == labels[new]):.0%}")
for i, answer in zip(new[:3], said, strict=False):
    print(f"  {'praise' if answer else 'blame ':6}  {texts[i]}")
