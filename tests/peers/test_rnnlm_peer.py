"""The language model against the same model in PyTorch: loss, penalties, gradients, training."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad.training import detach_state
from models import RNNLM

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

KINDS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
T, N, V = 6, 3, 11


class Theirs(torch.nn.Module):
    """Layer by layer, as in the program that Merity et al. have published."""

    def __init__(self, ours):
        super().__init__()
        self.ours, s = ours.settings(), ours.settings()
        self.embedding = None
        if ours.embedding is not None:
            self.embedding = torch.nn.Embedding(V, s["embedding_size"])
        kind = KINDS[s["cell"]]
        self.recurrent = torch.nn.ModuleList(
            kind(layer.input_size, layer.hidden_size) for layer in ours.recurrent
        )
        self.output = torch.nn.Linear(ours.output.in_features, V)
        if s["tied"]:
            self.output.weight = self.embedding.weight
        self.double()
        names = {name for name, _ in self.named_parameters()}
        values = ours.state_dict()
        assert names == set(values)
        self.load_state_dict({n: torch.tensor(v) for n, v in values.items()}, strict=False)

    def dropped(self, x, p, shared_axis=None):
        """`x` after dropout, with a mask drawn as minigrad draws it."""
        ones = np.ones(tuple(x.shape))
        return x * torch.tensor(mg.dropout(ones, p, True, self.rng, shared_axis))

    def locked(self, x, place):
        p = self.ours[place]
        p = self.ours["dropout"] if p is None else p
        return self.dropped(x, p, 0 if self.ours["variational"] else None)

    def objective(self, ids, targets, state, rng):
        ids, targets, self.rng = torch.tensor(ids), torch.tensor(targets), rng
        if self.embedding is None:
            x = torch.nn.functional.one_hot(ids, V).double()
        else:
            rows = self.dropped(torch.ones(V, 1), self.ours["embedding_dropout"])
            x = torch.nn.functional.embedding(ids, self.embedding.weight * rows)
            x = self.locked(x, "input_dropout")
        states = []
        for k, layer in enumerate(self.recurrent):
            if k:
                x = self.locked(x, "hidden_dropout")
            weights = dict(layer.named_parameters())
            weights["weight_hh_l0"] = self.dropped(layer.weight_hh_l0, self.ours["weight_drop"])
            before = (x, None if state is None else state[k])
            x, end = torch.func.functional_call(layer, weights, before)
            states.append(end)
        raw, x = x, self.locked(x, "output_dropout")
        logits = self.output(x)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        total = loss + self.ours["activation_penalty"] * x.pow(2).mean()
        total = total + self.ours["temporal_penalty"] * (raw[1:] - raw[:-1]).pow(2).mean()
        return total, loss, states


def cut(states):
    return [tuple(p.detach() for p in s) if isinstance(s, tuple) else s.detach() for s in states]


def windows(count, seed=0):
    rng = np.random.default_rng(seed)
    text = rng.integers(0, V, (count * T + 1, N))
    for start in range(0, count * T, T):
        targets = text[start + 1 : start + T + 1].copy()
        targets[rng.random(targets.shape) < 0.1] = -100
        yield text[start : start + T], targets


OPTIONS = [
    {},
    {"num_layers": 3, "tied": True, "activation_penalty": 2.0, "temporal_penalty": 1.0},
    {"embedding_size": None, "num_layers": 2},
    {"num_layers": 2, "init": "uniform", "init_scale": 0.3, "temporal_penalty": 0.5},
    {"init": "scaled-normal", "dropout": 0.5, "num_layers": 2},
    {  # all that AWD-LSTM has
        "num_layers": 3,
        "dropout": 0.4,
        "hidden_dropout": 0.25,
        "tied": True,
        "variational": True,
        "embedding_dropout": 0.3,
        "weight_drop": 0.5,
        "activation_penalty": 2.0,
        "temporal_penalty": 1.0,
        "init_scale": 0.1,
    },
]


@pytest.mark.parametrize("cell", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options)[:30] or "plain")
def test_loss_penalties_and_gradients_window_by_window(cell, options):
    sizes = {"vocab_size": V, "embedding_size": 5, "hidden_size": 7}
    rng = np.random.default_rng(0)
    ours = RNNLM(**{**sizes, **options}, cell=cell, rng=rng)
    ours.to(dtype="float64")
    theirs, state, their_state = Theirs(ours), None, None
    for ids, targets in windows(3):
        again = copy.deepcopy(rng)
        total, loss, state = ours.objective(ids, targets, state)
        their_total, their_loss, their_state = theirs.objective(ids, targets, their_state, again)
        assert again.bit_generator.state == rng.bit_generator.state
        assert loss.item() == pytest.approx(their_loss.item(), rel=1e-10)
        assert total.item() == pytest.approx(their_total.item(), rel=1e-10)
        ours.zero_grad()
        theirs.zero_grad()
        total.backward()
        their_total.backward()
        parameters = dict(theirs.named_parameters())
        for name, p in ours.named_parameters():
            expected = parameters[name].grad.numpy()
            np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-8, atol=1e-12)
        state, their_state = detach_state(state), cut(their_state)


def test_some_steps_of_sgd_and_then_of_its_average():
    """As NT-ASGD does it: SGD, then ASGD with t0 = 0 and no decay, evaluated with the averages."""
    ours = RNNLM(V, 5, 7, num_layers=2, tied=True, rng=np.random.default_rng(0))
    ours.to(dtype="float64")
    theirs = Theirs(ours)
    for library, options in (("SGD", {}), ("ASGD", {"t0": 0, "lambd": 0.0})):
        optimizers = [
            getattr(mg.optim, library)(ours.parameters(), lr=2.0, weight_decay=1e-4, **options),
            getattr(torch.optim, library)(
                theirs.parameters(), lr=2.0, weight_decay=1e-4, **options
            ),
        ]
        state = their_state = None
        for ids, targets in windows(8):
            for optimizer in optimizers:
                optimizer.zero_grad()
            total, _, state = ours.objective(ids, targets, state)
            their_total, _, their_state = theirs.objective(ids, targets, their_state, None)
            total.backward()
            their_total.backward()
            norm = mg.optim.clip_grad_norm_(ours.parameters(), 0.25).item()
            expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.25).item()
            assert norm == pytest.approx(expected, rel=1e-6)
            for optimizer in optimizers:
                optimizer.step()
            state, their_state = detach_state(state), cut(their_state)
    asgd, their_asgd = optimizers
    with asgd.averaged():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            average = their_asgd.state[q]["ax"].numpy()
            np.testing.assert_allclose(p.numpy(), average, rtol=1e-6, atol=1e-9)
