"""A whole training run of a recipe, by the training command and by PyTorch: how good, how long.

    python benchmarks/language_model.py --text train.txt --valid valid.txt --tokens 600000

Both begin with the same weights, read the same tokens in the same order, and go down by the same
SGD with the same clipping and learning rates (see `models/runs/recipes.py`). The time is that of
reading the text, training, and validating after each epoch; of the command it is that of the whole
process. Of the training command the speed is also told as a part of that of the bare training step,
captured and uncaptured: the same windows through the same model and optimiser in a loop that does
nothing else.

While the learning rate is high the perplexity jumps by several per cent between validations, and
the last bits of the matrix products decide which way: two runs of one program with different
kernels differ as much as two programs. ``--decay-after 1`` has it fall as in a whole run. That both
do the same is proved in float64, by `tests/peers/test_training_peer.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

import minigrad as mg
from minigrad.data import batchify
from minigrad.optim import clip_grad_norm_
from minigrad.training import detach_state
from models.runs.new_model import make_model
from models.runs.own_text import corpus_of
from models.runs.schedule import rate
from models.runs.settings import Settings
from models.runs.trainer import Trainer

ROOT = Path(__file__).parents[1]
STREAMS = 16  # that PyTorch evaluates on, side by side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="zaremba-small")
    parser.add_argument("--text", required=True, help="to train on")
    parser.add_argument("--valid", required=True, help="to validate on")
    parser.add_argument("--tokens", type=int, help="of the text to train on (default: all)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--decay-after", type=int, help="epochs (default: as the recipe)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results too")
    parser.add_argument("--part", choices=["bare", "pytorch"], help=argparse.SUPPRESS)
    a = parser.parse_args()
    given = {
        "recipe": a.recipe,
        "text": a.text,
        "valid": a.valid,
        "epochs": a.epochs,
        "seed": a.seed,
    }
    given |= {} if a.decay_after is None else {"decay_after": a.decay_after}
    settings = Settings.combined(given, {"samples": 0, "max_tokens": a.tokens})
    if a.part is not None:
        print(json.dumps({"bare": bare, "pytorch": pytorch}[a.part](settings)))
        return
    variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(a.threads))}
    environment["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = {"minigrad": command(settings, Path(folder), environment)}
    here = [sys.executable, __file__, *sys.argv[1:], "--part"]
    for part in ("bare", "pytorch"):
        began = time.monotonic()
        done = subprocess.run([*here, part], env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"{part} failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        results[part] = json.loads(done.stdout)
        results[part].setdefault("seconds", time.monotonic() - began)
    peers = [name for name in ("pytorch",) if name in results]
    results["machine"] = describe([*peers, "minigrad"], a.threads).replace("CPU", "wall")
    tell(results)
    if a.json is not None:
        a.json.parent.mkdir(parents=True, exist_ok=True)
        a.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def tell(results: dict[str, Any]) -> None:
    print(results["machine"], "\n")
    ours, bare_step = results["minigrad"], results.get("bare")
    for name in ("minigrad", "pytorch"):
        if name in results:
            r = results[name]
            told = ", ".join(f"{math.exp(loss):.2f}" for loss in r["valid"])
            print(f"{name:<9} validation perplexity {told}; {r['seconds']:.1f} s in all")
    if "pytorch" in results:
        theirs = results["pytorch"]
        ratio = math.exp(ours["valid"][-1] - theirs["valid"][-1])
        print(
            f"\nperplexity over PyTorch's: {ratio:.4f}; "
            f"PyTorch's time over ours: {theirs['seconds'] / ours['seconds']:.2f}"
        )
    if bare_step is not None:
        ours, eager = ours["tokens per second"], bare_step["tokens per second"]
        captured = bare_step["tokens per second, captured"]
        print(
            f"tokens per second while training: {ours:,.0f}; of the bare step: {eager:,.0f} "
            f"({ours / eager:.1%}), captured {captured:,.0f} ({ours / captured:.1%})"
        )


def command(s: Settings, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """What the training command does."""
    streams = len(corpus_of(s).train) // s.batch_size
    epoch = math.ceil((streams - 1) / s.bptt)  # in steps, after each of which it validates
    options = ["--recipe", s.recipe, "--text", s.text[0], "--valid", s.valid, "--samples", "0"]
    options += ["--epochs", str(s.epochs), "--eval-every", str(epoch)]
    options += ["--decay-after", str(s.decay_after), "--seed", str(s.seed)]
    options += [] if s.max_tokens is None else ["--max-tokens", str(s.max_tokens)]
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "models", "train", *options, "--out", str(folder / "run")],
        check=True,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.monotonic() - began
    lines = (folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    valid = [r["loss"] for r in records if r["split"] == "valid"]
    return {"seconds": seconds, "valid": valid, "tokens per second": speed(records)}


def speed(records: list[dict[str, Any]]) -> float:
    """Tokens a second between records of training that follow on each other; the median."""
    speeds = [
        (b["tokens"] - a["tokens"]) / (b["seconds"] - a["seconds"])
        for a, b in pairwise(records)
        if a["split"] == b["split"] == "train"
    ]
    return float(np.median(speeds))


def bare(s: Settings) -> dict[str, Any]:
    """The training step alone, over and over, uncaptured and captured."""
    return {
        "tokens per second": speed_of_steps(s, lambda step: step),
        "tokens per second, captured": speed_of_steps(s, mg.capture),
    }


def speed_of_steps(s: Settings, wrap: Callable[..., Any]) -> float:
    """Tokens a second of the training step, which `wrap` is given; the median."""
    corpus, rng = corpus_of(s), np.random.default_rng(s.seed)
    model = make_model(s, len(corpus.tokenizer), rng)
    trainer = Trainer(model, s, batchify(corpus.train, s.batch_size), rng)
    windows, optimizer, state = trainer.windows, trainer.optimizer, None
    optimizer.param_groups[0]["lr"], speeds = s.learning_rate, []

    @wrap
    def step(ids: Any, targets: Any, state: Any) -> Any:
        objective = model.objective(ids, targets, state)
        optimizer.zero_grad()
        objective.total.backward()
        clip_grad_norm_(trainer.parameters, s.clip)
        optimizer.step()
        return detach_state(objective.state)

    steps = min(50, len(windows))
    for first in range(0, min(1000, len(windows) - steps + 1), steps):
        began = time.monotonic()
        for k in range(first, first + steps):
            state = step(*windows[k], state)
        speeds.append(steps * s.batch_size * s.bptt / (time.monotonic() - began))
    return float(np.median(speeds))


def pytorch(s: Settings) -> dict[str, Any]:
    """The same in PyTorch: an LSTM of several layers, without dropout, by SGD."""
    import torch
    from torch import nn

    began = time.monotonic()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    corpus = corpus_of(s)
    ours = make_model(s, len(corpus.tokenizer), np.random.default_rng(s.seed))
    names = dict(ours.named_parameters())

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(corpus.tokenizer), s.vector_size)
            self.recurrent = nn.LSTM(s.vector_size, s.hidden_size, s.layers)
            self.output = nn.Linear(s.hidden_size, len(corpus.tokenizer))

        def loss(self, ids, targets, state):
            hidden, state = self.recurrent(self.embedding(ids), state)
            logits = self.output(hidden.flatten(0, 1))
            return nn.functional.cross_entropy(logits, targets.flatten()), state

    model = Model()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind, _, layer = name.rpartition("_l")
            if name.startswith("recurrent."):
                name = f"recurrent.{layer}.{kind.removeprefix('recurrent.')}_l0"
            parameter.copy_(torch.from_numpy(names[name].numpy()))

    def streams_of(ids, count):
        return torch.from_numpy(np.array(batchify(ids, count), np.int64))

    def windows_of(streams, bptt):
        for start in range(0, len(streams) - 1, bptt):
            stop = min(start + bptt, len(streams) - 1)
            yield streams[start:stop], streams[start + 1 : stop + 1]

    def evaluated(streams, bptt) -> float:
        total, count, state = 0.0, 0, None
        with torch.no_grad():
            for ids, targets in windows_of(streams, bptt):
                loss, state = model.loss(ids, targets, state)
                total, count = total + float(loss) * targets.numel(), count + targets.numel()
        return total / count

    train, valid = streams_of(corpus.train, s.batch_size), streams_of(corpus.valid, STREAMS)
    losses, step = [evaluated(valid, 256)], 0
    optimizer = torch.optim.SGD(model.parameters(), lr=s.learning_rate)
    for epoch in range(s.epochs):
        state = None
        for ids, targets in windows_of(train, s.bptt):
            optimizer.param_groups[0]["lr"] = rate(s, step, epoch, 0.0, None)
            loss, state = model.loss(ids, targets, state)
            state = tuple(part.detach() for part in state)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), s.clip)
            optimizer.step()
            step += 1
        losses.append(evaluated(valid, 256))
    seconds = time.monotonic() - began
    exact = evaluated(streams_of(corpus.valid, 1), 1024)  # not timed
    return {"seconds": seconds, "valid": losses, "exact": exact}


if __name__ == "__main__":
    main()
