"""One-to-one: the next character from the current one alone, as well as can be.

    y = W x + b                      x: the current character, one-hot
    P(next | current) = softmax(y)   y: a logit for each character

Whatever is computed of x alone, its loss on a text is never below the entropy

    H(next | current) = - sum over pairs a, b of P(a, b) log2 P(b | a)

which counting the pairs gives. A linear layer reaches it: it has a weight for
each pair, so it can learn the counted shares. Only more context goes below.
"""

from collections import Counter
from itertools import pairwise

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training

TEXT = """\
how much wood would a woodchuck chuck
if a woodchuck could chuck wood?
he would chuck, he would, as much as he could,
and chuck as much wood as a woodchuck would
if a woodchuck could chuck wood.
"""
vocabulary = data.Vocabulary.from_text(TEXT)


def floor(text, context):
    """H(next | the last `context` characters) in bits, by counting."""
    places = range(context, len(text))
    before = Counter(text[i - context : i] for i in places)
    both = Counter(text[i - context : i + 1] for i in places)
    return -sum(n * np.log2(n / before[piece[:-1]]) for piece, n in both.items()) / len(places)


def train(model, steps=400):
    """The loss after each step, in bits; a step is on all pairs of the text."""
    optimizer, losses = optim.Adam(model.parameters(), lr=0.3), []
    w = vocabulary.encode(TEXT)
    x = mg.one_hot(w, len(vocabulary))
    for _ in range(steps):
        loss = mg.cross_entropy(model(x[:-1]), w[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(training.bits(loss))
    return losses


def next_after(model, character):
    """The probability of each character after this one, by the layer."""
    x = mg.one_hot(vocabulary.encode(character), len(vocabulary))
    return mg.softmax(model(x)[0]).numpy()


if __name__ == "__main__":
    print(__doc__)
    mg.manual_seed(0)
    model = nn.Linear(len(vocabulary), len(vocabulary))
    losses = train(model)
    for step in (0, 10, 100, len(losses) - 1):
        print(f"step {step:3}  loss {losses[step]:.4f} bits")
    print("\nthe floor, by counting, with")
    for context in range(4):
        print(f"  {context} characters  {floor(TEXT, context):.4f} bits")
    follows = Counter(b for a, b in pairwise(TEXT) if a == "c")
    print("\nafter 'c'   layer  counted")
    for letter, n in follows.most_common():
        p = next_after(model, "c")[vocabulary.encode(letter)[0]]
        print(f"        {letter}   {p:.3f}    {n / follows.total():.3f}")
