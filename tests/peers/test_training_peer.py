"""A whole training run, step by step beside PyTorch.

In float64, since a large learning rate makes training chaotic: in float32 the last bits of the
matrix products decide within tens of steps which way it goes, and two BLAS kernels differ as much
as two frameworks.
"""

import math

import numpy as np
import pytest

from minigrad.data import batchify
from models.measuring.evaluation import evaluate
from models.runs.new_model import make_model
from models.runs.schedule import rate
from models.runs.settings import Settings
from models.runs.trainer import Trainer

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

SMALL = {"hidden_size": 16, "embedding_size": 16, "batch_size": 4, "bptt": 9, "epochs": 4}


class Model(torch.nn.Module):
    def __init__(self, s, V):
        super().__init__()
        self.embedding = torch.nn.Embedding(V, s.vector_size)
        self.recurrent = torch.nn.LSTM(s.vector_size, s.hidden_size, s.layers)
        self.output = torch.nn.Linear(s.hidden_size, V)

    def loss(self, ids, targets, state):
        hidden, state = self.recurrent(self.embedding(torch.from_numpy(ids)), state)
        logits = self.output(hidden.flatten(0, 1))
        targets = torch.from_numpy(targets).flatten()
        return torch.nn.functional.cross_entropy(logits, targets), state


def copied(ours, s, V):
    """The same model in PyTorch."""
    theirs, values = Model(s, V).double(), dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            kind, _, layer = name.rpartition("_l")
            if name.startswith("recurrent."):
                name = f"recurrent.{layer}.{kind.removeprefix('recurrent.')}_l0"
            parameter.copy_(torch.from_numpy(values[name].numpy()))
    return theirs


@pytest.mark.parametrize("V", [60, 1200])  # from 1,000 on the gradient of the embedding is sparse
def test_zaremba_small_takes_the_same_steps(V):
    s = Settings.combined({"recipe": "zaremba-small"}, {**SMALL, "decay_after": 2})
    rng = np.random.default_rng(0)
    ids = rng.zipf(1.4, 1000) % V
    ours = make_model(s, V, rng)
    ours.to(dtype=np.float64)
    theirs = copied(ours, s, V)
    run = Trainer(ours, s, batchify(ids, s.batch_size), rng)
    optimizer, state = torch.optim.SGD(theirs.parameters(), lr=1.0), None
    start, before = ours.output.weight.numpy().copy(), 0
    while run.epoch < s.epochs:
        lr = rate(s, run.step, run.epoch, 0.0, None)
        length = min(s.bptt, run.windows.time_steps - run.at)
        inputs, targets = (np.array(part) for part in run.windows.at(run.at, length))
        state = None if run.at == 0 else state
        step = run.advance(lr)
        optimizer.param_groups[0]["lr"] = lr
        loss, state = theirs.loss(inputs, targets, state)
        state = tuple(part.detach() for part in state)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), s.clip)
        optimizer.step()
        assert step.loss == pytest.approx(loss.item(), rel=1e-7)
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-6)
        before += step.grad_norm > step.grad_norm_clipped
    assert before > 3  # clipping had something to do
    assert np.abs(ours.output.weight.numpy() - start).max() > 0.1
    with torch.no_grad():
        expected, _ = theirs.loss(ids[:-1, None], ids[1:, None], None)
    assert evaluate(ours, ids).nats == pytest.approx(float(expected), rel=1e-7)
    assert math.isfinite(float(expected))
