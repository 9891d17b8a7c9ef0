"""One-to-many: a network looks at a flag, and writes what it sees, by letters.

    v   = tanh(W pixels + b)        what it makes of the picture
    h_t = GRU([x_t, v], h_{t-1})    x_t = E[letter t - 1]; at first, a line end
    y_t = V h_t + c                 the logits of letter t, or of a line end

In training it reads the right letters (teacher forcing), then its own. Some
flags are kept for the end: it has seen their colours, but not together.
"""

from itertools import product

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}
COLOURS |= {"yellow": (1, 1, 0), "black": (0, 0, 0), "pink": (1, 0, 1)}
FLAGS = list(product(COLOURS, COLOURS))


def caption(flag):
    return " over ".join(flag) + "\n"


def picture(flag, rng):
    """6 x 6 pixels, two stripes of three rows each, with some noise."""
    rows = np.repeat([COLOURS[colour] for colour in flag], 3, axis=0)
    return (rows[:, None] + rng.normal(0, 0.2, (6, 6, 3))).ravel().astype(np.float32)


letters = data.Vocabulary.from_text("".join(map(caption, FLAGS)), level="char")
END = letters.id_of("\n")


class Captioner(nn.Module):
    def __init__(self, picture_size=64, hidden_size=64):
        self.picture = nn.Linear(6 * 6 * 3, picture_size)
        self.embedding = nn.Embedding(len(letters), 16)
        self.recurrent = nn.GRU(16 + picture_size, hidden_size)
        self.output = nn.Linear(hidden_size, len(letters))

    def forward(self, pixels, ids):
        v = mg.broadcast_to(mg.tanh(self.picture(pixels)), (*ids.shape, 64))  # at all times
        h, _ = self.recurrent(mg.concatenate([self.embedding(ids), v], axis=-1))
        return self.output(h)

    def write(self, pixels):
        ids = [END]  # then the likeliest letter each time, up to a line end
        while len(ids) == 1 or (ids[-1] != END and len(ids) < 40):
            logits = self(pixels[None], np.array(ids)[:, None])
            ids.append(int(logits.numpy()[-1, 0].argmax()))
        return letters.decode(ids[1:])


mg.manual_seed(0)
rng = np.random.default_rng(0)
order = rng.permutation(len(FLAGS))
seen, new = ([FLAGS[i] for i in some] for some in (order[:37], order[37:]))
targets, _ = data.pad_sequences([letters.encode(caption(flag)) for flag in seen], value=END)
ids = np.concatenate([np.full((1, len(seen)), END), targets[:-1]])
model = Captioner()
optimizer = optim.Adam(model.parameters(), lr=0.01)
print(__doc__)
for step in range(201):
    pixels = np.stack([picture(flag, rng) for flag in seen])
    loss = mg.cross_entropy(model(pixels, ids), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.4f}")

with training.evaluating(model):
    written = [model.write(picture(flag, rng)) for flag in new]
print(f"\n{len(new)} flags that it has never seen, and what it writes:")
for flag, text in zip(new, written, strict=True):
    print(f"  {caption(flag).strip():20} {text.strip()}")
print(f"right: {sum(map(str.__eq__, written, map(caption, new)))}")
