"""Many-to-many, in step: a network puts the spaces back into a text.

    x_t = E[c_t]                             each character that is no space
    h_t = LSTM forwards ; LSTM backwards     what is before it and after it
    y_t = W h_t + b                          is there a space behind it?

"together" or "to get her"? "nowhere" or "now here"? That depends on a word that
is further away than the characters around, so counting those can't tell.
"""

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training

ENDS = {"together": "sang danced lived", "to get her": "came went ran"}
ENDS |= {"nowhere": "led got drove", "now here": "sat stood slept"}
BETWEEN = ["again", "today", "later", "once more", "for a day", "at noon", "in the rain"]


def sentence(rng):
    end = rng.choice(list(ENDS))
    who, did = rng.choice(["we", "you", "they", "both"]), rng.choice(ENDS[end].split())
    return f"{who} {did} {rng.choice(BETWEEN)} {end}"


def read(text):
    """The characters of a text without its spaces, and 1 where one follows."""
    labels = [int(after == " ") for c, after in zip(text, text[1:] + "_", strict=True) if c != " "]
    return text.replace(" ", ""), np.array(labels)


class Tagger(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(len(vocabulary), 16)
        self.recurrent = nn.LSTM(16, 32, bidirectional=True)
        self.output = nn.Linear(2 * 32, 2)

    def forward(self, texts):
        ids, lengths = data.pad_sequences([vocabulary.encode(text) for text in texts])
        h, _ = self.recurrent(self.embedding(ids), lengths=lengths)
        return self.output(h)  # of each character: shape (T, N, 2)


def around(text):
    """Each character with two before and two behind it."""
    return [f"__{text}__"[k : k + 5] for k in range(len(text))]


mg.manual_seed(0)
rng = np.random.default_rng(0)
pairs = [read(each) for each in dict.fromkeys(sentence(rng) for _ in range(900))]
train, new = pairs[:200], pairs[200:]  # each sentence once
vocabulary = data.Vocabulary(sorted(set("".join(text for text, _ in pairs))), level="char")
model = Tagger()
optimizer = optim.Adam(model.parameters(), lr=0.01)
print(__doc__)
for step in range(201):
    texts, labels = zip(*(train[i] for i in rng.integers(len(train), size=16)), strict=True)
    targets, _ = data.pad_sequences(labels, value=-100)  # -100: behind the end, not counted
    loss = mg.cross_entropy(model(texts), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.3f}")
texts, truth = zip(*new, strict=True)
with training.evaluating(model):
    best = model(texts).numpy().argmax(-1)
said = [best[: len(text), n] for n, text in enumerate(texts)]
counts = {}  # of the labels of a character, by the characters around it
for text, labels in train:
    for piece, label in zip(around(text), labels, strict=True):
        counts.setdefault(piece, [0, 0])[label] += 1
guess = [np.array([np.argmax(counts.get(each, [1, 0])) for each in around(t)]) for t in texts]
right = [[(a == b).all() for a, b in zip(x, truth, strict=True)] for x in (said, guess)]
print(f"\nof {len(new)} new sentences the LSTM has {np.mean(right[0]):.0%} right, ", end="")
print(f"5 characters around {np.mean(right[1]):.0%}")
for text, labels in zip(texts[:4], said, strict=False):
    print(f"  {text}\n    " + "".join(c + " " * k for c, k in zip(text, labels, strict=True)))
