"""A program for several ranks, each with a GPU: some training steps, and a hash of the weights.

    python tests/distributed/on_gpus.py                # alone, on one GPU
    mpiexec -n 2 python tests/distributed/on_gpus.py   # must print the same hash

With the argument ``double`` it runs on the strict double of CuPy and NCCL; with ``captured`` the
gradients are those of a captured step.
"""

import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.distributed import GradientAverage, world

SHARDS, STEPS, TIME, COLUMNS, LETTERS = 4, 3, 5, 8, 11


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, 16)
        self.lstm = nn.LSTM(16, 24)
        self.head = nn.Linear(24, LETTERS)

    def forward(self, ids):
        output, _ = self.lstm(self.embedding(ids))
        return self.head(output)


def main(arguments):
    nothing_waits = nullcontext
    if "double" in arguments:
        sys.path.insert(0, str(Path(__file__).parents[1] / "gpu"))
        import double

        double.install()
        nothing_waits = double.budget
    line = world(60)

    mg.manual_seed(0)
    model = Model().to("cuda")
    optimizer = optim.Adam(model.parameters(), 0.01)

    def gradients(x, y):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), y)
        loss.backward()
        return loss.detach()

    if "captured" in arguments:
        gradients = mg.capture(gradients)
    rng = np.random.default_rng(1)
    ids = rng.integers(LETTERS, size=(STEPS, TIME + 1, COLUMNS))
    texts = [mg.tensor(step, device="cuda") for step in ids]
    mean = GradientAverage(model.parameters(), SHARDS, line)
    each, losses = COLUMNS // SHARDS, []
    for i, text in enumerate(texts):
        with nothing_waits() if i else nullcontext():  # in the first step NCCL starts
            for shard in mean.own:
                columns = slice(shard * each, (shard + 1) * each)
                mean.add(gradients(text[:-1, columns], text[1:, columns]))
            [loss] = mean.finish()
            norm = optim.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step(if_finite=norm)
            losses.append(loss)
    weights = b"".join(p.numpy().tobytes() for p in model.parameters())
    told = hashlib.sha256(weights).hexdigest()[:16], [loss.item() for loss in losses]
    assert line.gather(told) == [told] * line.size
    runtime = sys.modules["cupy"].cuda.runtime
    places = line.gather((model.head.weight.device, runtime.deviceGetPCIBusId(0)))
    if line.rank == 0:
        print(f"weights {told[0]} losses {told[1]} on {places}")


if __name__ == "__main__":
    main(sys.argv[1:])
