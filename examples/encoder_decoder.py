"""Many-to-many: one network reads the letters of 한국, another writes "hangug".

    k_s = encoder(x)_s                  its letters ㅎㅏㄴㄱㅜㄱ, read both ways
    h_t = decoder(E[y_{t-1}], h_{t-1})  begins with what the encoder ends with
    a_t = softmax over s of v^T tanh(W_q h_t + W_k k_s + b)     where to look
    y_t : W [sum_s a_ts k_s; h_t] + b
The test words are of syllables that it has never seen; it knows their letters.
"""

from unicodedata import name, normalize

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training

hangul = data.Vocabulary(map(chr, range(0x1100, 0x1200)))  # a syllable's letters: its form NFD
latin = data.Vocabulary("\nabcdeghijklmnoprstuwy")  # "\n" begins and ends a word


def pairs(syllables, count):
    """Words of 1 to 3 syllables, and their names in Unicode: HANGUL SYLLABLE HAN, and so on."""
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(count)]
    return words, ["".join(name(s).split()[-1].lower() for s in word) for word in words]


class Translator(nn.Module):
    def __init__(self, E=24, H=64):
        self.E_x, self.E_y = nn.Embedding(len(hangul), E), nn.Embedding(len(latin), E)
        self.encoder = nn.GRU(E, H // 2, bidirectional=True)
        self.decoder = nn.GRU(E, H)
        self.attention = nn.AdditiveAttention(H, H, H)
        self.output = nn.Linear(2 * H, len(latin))

    def encode(self, words):
        x, lengths = data.pad_sequences([hangul.encode(normalize("NFD", w)) for w in words])
        k, h = self.encoder(self.E_x(x), lengths=lengths)
        return self.attention.prepare(k, lengths=lengths), mg.concatenate([h[:1], h[1:]], axis=-1)

    def decode(self, y, memory, h):
        h_t, h = self.decoder(self.E_y(y), h)  # all h_t at once, if all y are known
        context, a = self.attention(h_t, memory)
        return self.output(mg.concatenate([context, h_t], axis=-1)), a, h


def translate(words):
    """The likeliest letter each time, and the letter of Hangul that was looked at most."""
    y, looked = [np.zeros((1, len(words)), int)], []
    with training.evaluating(model):
        memory, h = model.encode(words)
        for _ in range(16):
            logits, a, h = model.decode(y[-1], memory, h)
            y.append(logits.numpy().argmax(-1))
            looked.append(a.numpy()[0].argmax(-1))
    return [latin.decode(ids).split("\n")[0] for ids in np.concatenate(y[1:]).T], np.array(looked).T


mg.manual_seed(0)
rng = np.random.default_rng(0)
syllables = rng.permutation(list(map(chr, range(0xAC00, 0xD7A4))))
(new, names), model = pairs(syllables[:1000], 200), Translator()
optimizer = optim.Adam(model.parameters())
print(__doc__)
for step in range(301):
    sources, targets = pairs(syllables[1000:], 32)
    y, _ = data.pad_sequences([latin.encode(f"\n{t}") for t in targets])  # teacher forcing
    wanted, _ = data.pad_sequences([latin.encode(f"{t}\n") for t in targets], value=-100)
    loss = mg.cross_entropy(model.decode(y, *model.encode(sources))[0], wanted)
    optimizer.param_groups[0]["lr"] = 0.015 * (1 - step / 301)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.3f}")

right = np.mean([a == b for a, b in zip(translate(new)[0], names, strict=True)])
print(f"\n{len(new)} words of new syllables: {right:.0%} are right")
(said,), (looked,) = translate(["한국말"])
print(f"한국말 is {said}; to write each letter it looked at")
print("".join(f"  {y}{'ㅎㅏㄴㄱㅜㄱㅁㅏㄹ'[s]}" for y, s in zip(said, looked, strict=False)))
