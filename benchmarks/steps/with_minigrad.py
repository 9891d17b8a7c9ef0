"""minigrad: recurrent layers as one op each, or unrolled on the tape; each also as a captured step.

A large vocabulary gets row-sparse gradients, on the CPU: how many rows they have is a number that
a GPU would have to be waited for. The output layer of a language model and its loss are one op.
"""

from __future__ import annotations

from configurations import Configuration

import minigrad as mg
from minigrad import nn
from minigrad.training import detach_state
from steps import Training

TASKS = {"rnn", "lstm", "gru", "classifier"}
VARIANTS = dict.fromkeys(("fused", "unrolled", "captured", "unrolled-captured"), TASKS)
LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
SPARSE_FROM = 1000  # tokens in the vocabulary


class Model(nn.Module):
    """Embedding, recurrent layers and a linear layer."""

    def __init__(self, c: Configuration, unroll: bool, sparse: bool) -> None:
        self.embedding = nn.Embedding(c.V, c.D, sparse=sparse)
        both = bool(c.classes)
        self.recurrent = LAYERS[c.cell](c.D, c.H, c.L, bidirectional=both, unroll=unroll)
        self.output = nn.Linear(c.H, c.classes or c.V)

    def of_tokens(self, state, x, y):
        """The loss of a language model, and its state after the batch."""
        h, state = self.recurrent(self.embedding(x), state)
        return mg.linear_cross_entropy(h, self.output.weight, self.output.bias, y), state

    def of_sequences(self, state, x, y, lengths):
        """The loss of a classifier, whose state is None."""
        _, (h, _) = self.recurrent(self.embedding(x), lengths=lengths)
        return mg.cross_entropy(self.output((h[-2] + h[-1]) / 2), y), state


def make(c: Configuration, variant: str, parameters, device: str = "cpu") -> Training:
    """See `steps`."""
    sparse = c.V >= SPARSE_FROM and device == "cpu"
    model = Model(c, unroll="unrolled" in variant, sparse=sparse)
    if device != "cpu":
        model.to(device)
    model.load_state_dict(parameters)
    trained = {name: p for name, p in model.named_parameters() if "bias_hh" not in name}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    optimizer = mg.optim.SGD(trained.values(), lr=c.lr)
    loss_of = model.of_sequences if c.classes else model.of_tokens
    state = None

    def placed(x, y, *lengths):
        if device == "cpu":
            return (x, y, *lengths)
        return (mg.tensor(x, device=device), mg.tensor(y, device=device), *lengths)

    def train(state, *batch):
        loss, state = loss_of(state, *batch)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm_(trained.values(), c.clip)
        optimizer.step()
        return loss.detach(), detach_state(state)

    if "captured" in variant:
        train = mg.capture(train)

    def issue(*batch):
        nonlocal state
        loss, state = train(state, *batch)
        return loss

    def step(*batch):
        return issue(*placed(*batch)).item()

    def current():
        return {name: p.numpy().copy() for name, p in trained.items()}

    return Training(step, current, placed, issue)
