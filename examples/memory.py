"""What gates are for: a network is to say the first of many symbols at the end.

    RNN    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)      made anew at each step
    LSTM   c_t = f_t c_{t-1} + i_t g_t                  kept if f_t is near 1
    GRU    h_t = z_t h_{t-1} + (1 - z_t) n_t            likewise
    y = W h_T + b                                       one answer, at the end

The first symbol is A, B, C or D. The T - 1 after it are a, b, c or d at random,
and say nothing. So the gradient of the answer must come back over T steps.
"""

import numpy as np

import minigrad as mg
from minigrad import nn, optim, training

SYMBOLS, HIDDEN, T = "ABCDabcd", 32, 60
CELLS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def sequences(count, rng):
    """One-hot inputs of shape (T, count, 8), and which symbol comes first."""
    first = rng.integers(4, size=count)
    symbols = np.concatenate([first[None], rng.integers(4, 8, size=(T - 1, count))])
    return np.eye(8, dtype=np.float32)[symbols], first


class Rememberer(nn.Module):
    def __init__(self, cell):
        self.recurrent = CELLS[cell](len(SYMBOLS), HIDDEN)
        self.output = nn.Linear(HIDDEN, 4)
        if cell != "RNN":  # the second gate is f of an LSTM and z of a GRU: at first 0.99
            self.recurrent.bias_ih_l0.data[HIDDEN : 2 * HIDDEN] += 5

    def forward(self, x):
        h, _ = self.recurrent(x)
        return self.output(h[-1])


def train(cell, steps=200):
    """A network with this cell, trained on new sequences in each step; and the losses."""
    mg.manual_seed(0)
    rng, model, losses = np.random.default_rng(0), Rememberer(cell), []
    optimizer = optim.Adam(model.parameters(), lr=0.003)
    for _ in range(steps):
        x, first = sequences(32, rng)
        loss = mg.cross_entropy(model(x), first)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def main():
    print(__doc__)
    x, first = sequences(500, np.random.default_rng(1))
    print(f"T = {T}; a guess is right in 25%, and its loss is log 4 = {np.log(4):.2f}\n")
    print("                 loss after 50     100     150     200 steps   new sequences")
    for cell in CELLS:
        model, losses = train(cell)
        with training.evaluating(model):
            right = np.mean(model(x).numpy().argmax(1) == first)
        means = "".join(f"{np.mean(losses[i : i + 10]):8.3f}" for i in (40, 90, 140, 190))
        verdict = "remembers" if right > 0.9 else "forgets"
        print(f"{cell:4} {verdict:15} {means} {right:18.0%} right")


if __name__ == "__main__":
    main()
