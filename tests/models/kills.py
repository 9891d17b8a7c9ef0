"""Kills training runs at random moments, resumes them, and compares with runs never stopped.

::

    python tests/models/kills.py --kills 50

Some runs save a checkpoint after every step, so that many kills fall into the writing of one;
others now and then, so that much is done again. After each kill the checkpoint must be whole, and
its records those of the run that was never stopped, as far as they go; in the end the records and
all weights must be the same, bit for bit.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from minigrad.training import MetricsLog, load_checkpoint

ROOT = Path(__file__).parents[2]
TEXT = "".join(
    f"{n} bottles of beer on the wall, take one down: {n - 1}.\n" for n in range(900, 0, -1)
)
EXAMPLES = "".join(
    f"{n} {'beer' if n % 3 else 'wine'} {'x' * (n % 7)}\t{'yes' if n % 3 else 'no'}\n"
    for n in range(400)
)
WORDS = "".join(
    f"{n}\tN\n{'beer' if n % 3 else 'wine'}\tX\n{'x' * (n % 7 + 1)}\t{n % 3}\n\n"
    for n in range(300)
)
SHARED = ["--batch-size", "4", "--hidden-size", "24", "--embedding-size", "12"]
SHARED += ["--samples", "0", "--eval-every", "40"]
CELL = ["--cell", f"{Path(__file__).parent / 'drawing_cell.py'}:DrawingCell"]


def images() -> bytes:
    """Noise with a bright row, whose number is the label: a file .npz."""
    labels, file = np.arange(400) % 4, io.BytesIO()
    pixels = np.random.default_rng(0).random((400, 4, 3)) + np.eye(4)[labels][:, :, None]
    np.savez(file, images=pixels, labels=labels)
    return file.getvalue()


def captioned() -> bytes:
    """Noise in two colours, which the caption names: a file .npz."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    pixels, which = rng.integers(100, size=(300, 4, 4, 3)), np.arange(300) % 2
    pixels[np.arange(300), :, :, which] += 150
    captions = [f"{n} {'green' if n % 2 else 'red'}{'!' * (n % 5)}" for n in range(300)]
    np.savez(file, images=pixels.astype(np.uint8), en=np.array(captions))
    return file.getvalue()


class Kind(NamedTuple):
    """Runs of one kind."""

    options: list[str]
    command: tuple[str, ...] = ("train",)
    data: str | bytes = TEXT
    """What is in the file to learn from."""
    file: tuple[str, ...] = ("--bptt", "8", "--text")
    """What stands before the name of this file; empty: there is none."""
    again: tuple[str, ...] = ()
    """What a run that goes on is to be told again."""
    ranks: tuple[int, ...] = (0,)
    """With how many processes a run begins, goes on, and so on in turn; 0: without mpiexec."""


CONFIGURATIONS = {
    "adam": Kind([*SHARED, "--cell", "gru", "--dropout", "0.2", "--save-every", "0"]),
    "awd": Kind(
        [
            *SHARED,
            *("--cell", "lstm", "--layers", "2", "--tied", "--variational", "--dropout", "0.2"),
            *("--weight-drop", "0.2", "--embedding-dropout", "0.1", "--activation-penalty", "1"),
            *("--temporal-penalty", "1", "--vary-bptt", "--optimizer", "nt-asgd", "--nonmono", "1"),
            *("--lr", "5", "--schedule", "constant", "--clip", "0.25"),
            *("--save-every", "0.002", "--tensorboard"),
        ]
    ),
    "words": Kind(
        [
            *SHARED,
            *("--level", "word", "--min-count", "1", "--cell", "rnn", "--optimizer", "sgd"),
            *("--schedule", "plateau", "--lr", "2", "--max-vocab", "1500"),
            *("--save-every", "0.01", "--patience", "1000"),
        ]
    ),
    "own": Kind(
        [*SHARED, *CELL, "--layers", "2", "--dropout", "0.2", "--save-every", "0"],
        again=tuple(CELL),
    ),
    "nnlm": Kind(
        [*SHARED, "--cell", "nnlm", "--context", "4", "--dropout", "0.2", "--save-every", "0"]
    ),
    "caption": Kind(
        [*SHARED, "--thing-size", "12", "--dropout", "0.2", "--save-every", "0"],
        ("caption", "train"),
        captioned(),
        ("--data",),
    ),
    "names": Kind(
        [*SHARED, "--cell", "lstm", "--layers", "2", "--dropout", "0.2", "--save-every", "0.002"],
        ("caption", "train"),
        EXAMPLES,
        ("--data",),
    ),
    "classify": Kind(
        [*SHARED, "--dropout", "0.2", "--embedding-dropout", "0.1", "--save-every", "0"],
        ("classify", "train"),
        EXAMPLES,
        ("--data",),
    ),
    "digits": Kind(
        [
            *("--batch-size", "4", "--hidden-size", "24", "--samples", "0", "--eval-every", "40"),
            *("--read", "rows", "--cell", "gru", "--layers", "2", "--save-every", "0"),
        ],
        ("digits", "train"),
        images(),
        ("--data",),
    ),
    "tag": Kind(
        [*SHARED, "--character-size", "6", "--dropout", "0.2", "--save-every", "0"],
        ("tag", "train"),
        WORDS,
        ("--data",),
    ),
    "spaces": Kind(
        [*SHARED, "--spaces", "--max-length", "16", "--dropout", "0.2", "--save-every", "0"],
        ("tag", "train"),
        file=("--data",),
    ),
    "memory": Kind(
        [
            *("--problem", "order", "--length", "20", "--cell", "gru", "--hidden-size", "16"),
            *("--batch-size", "4", "--samples", "0", "--eval-every", "100", "--save-every", "0"),
        ],
        ("memory", "train"),
        file=(),
    ),
    "translate": Kind(
        [
            *SHARED,
            *("--dropout", "0.2", "--embedding-dropout", "0.1", "--scheduled-sampling", "40"),
            *("--save-every", "0"),
        ],
        ("translate", "train"),
        "".join(f"{n} bottles of beer\t{n // 10}-{n % 10} wine\n" for n in range(400)),
        ("--data",),
    ),
}
WITH_RANKS = {
    "ranks": Kind(
        [*SHARED, "--shards", "4", "--dropout", "0.2", "--save-every", "0.002"], ranks=(4, 2, 1)
    )
}
"""The same, by mpiexec, which takes long: they run only if asked for."""

TIMED = ("seconds", "tokens_per_second", "memory")
"""What in a record is another time each time."""


def start(*arguments: str, ranks: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "models", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if ranks:
        mpiexec = Path(sys.executable).with_name("mpiexec")
        command[1:1] = ["-m", "mpi4py"]
        command = [str(mpiexec) if mpiexec.exists() else "mpiexec", "-n", str(ranks), *command]
        environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def hit(process: subprocess.Popen[bytes], number: signal.Signals, chance: random.Random) -> None:
    """Send a signal to a run; of several processes, one is killed, or all are told to stop."""
    of_ranks = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            of_ranks += [each] * ("-m mpi4py" in " ".join(each.cmdline()))
    if number == signal.SIGKILL and of_ranks:
        with suppress(psutil.Error):
            chance.choice(of_ranks).send_signal(number)
    else:
        process.send_signal(number)


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate()
    # a signal that comes while the program is still being loaded ends it as it ends any other
    ends = (0, 1, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
    if "mpiexec" in str(process.args):  # it has a status of its own for a rank that was killed
        ends += (signal.SIGKILL, 128 + signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    if process.returncode not in (*ends, 128 + signal.SIGTERM, 128 + signal.SIGINT):
        raise SystemExit(f"ended with {process.returncode}:\n{errors.decode()}")
    return process.returncode


def timeless(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: v for k, v in record.items() if k not in TIMED} for record in records]


def check_prefix(directory: Path, reference: list[dict[str, object]]) -> int:
    """The step of the checkpoint, which must be whole; -1: there is none yet."""
    if not (directory / "checkpoint.safetensors").exists():
        return -1
    saved = load_checkpoint(directory / "checkpoint.safetensors")
    records = timeless(saved["history"]["records"])
    assert records == reference[: len(records)], "the records have changed"
    if (directory / "model.safetensors").exists():
        load_checkpoint(directory / "model.safetensors")
    return int(saved["trainer"]["step"])


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


def final(directory: Path) -> dict[str, object]:
    """All that a run has come to, without what is another time each time."""
    saved = load_checkpoint(directory / "checkpoint.safetensors")
    del saved["standing"]["seconds"], saved["history"]
    best = load_checkpoint(directory / "model.safetensors")
    records = timeless(MetricsLog(directory / "metrics.jsonl").read())
    return {"checkpoint": saved, "best": best, "records": records}


def torment(
    name: str, kills: int, steps: int, chance: random.Random, longest: float | None = None
) -> int:
    """Train once in peace, and then with kills, until there were so many; returns of how many runs.

    A kill comes after `longest` seconds at most; None: as many as the run in peace took. A run that
    ends before there were enough is compared, and another one is begun.
    """
    with tempfile.TemporaryDirectory() as folder:
        peace, kind = Path(folder) / "peace", (CONFIGURATIONS | WITH_RANKS)[name]
        file = Path(folder) / ("data.npz" if isinstance(kind.data, bytes) else "data.txt")
        file.write_bytes(kind.data if isinstance(kind.data, bytes) else kind.data.encode())
        train, data = kind.command, [*kind.file, str(file)] if kind.file else []
        options = [*data, *kind.options, "--steps", str(steps)]
        began = time.monotonic()
        assert finish(start(*train, *options, "--out", str(peace), ranks=kind.ranks[-1])) == 0
        longest = longest or time.monotonic() - began
        expected = final(peace)
        done = runs = 0
        ranks = cycle(kind.ranks)
        while done < kills:
            runs, war, before, alive = runs + 1, Path(folder) / f"war{runs}", -1, True
            while alive:
                begun = (war / "config.toml").exists()
                again = ["--resume", str(war), *kind.again]
                command = [*train, *(again if begun else [*options, "--out", str(war)])]
                process = start(*command, ranks=next(ranks))
                if done < kills:
                    alive = not ended_within(process, chance.uniform(0, longest))
                else:
                    alive = process.wait() != 0
                if not alive:
                    assert finish(process) == 0
                    break
                number = chance.choice([signal.SIGKILL] * 8 + [signal.SIGTERM, signal.SIGINT])
                hit(process, number, chance)
                finish(process)
                done += 1
                step = check_prefix(war, expected["records"])
                assert step >= before, f"it went back from step {before} to {step}"
                before = step
                print(f"{name}: kill {done} of {kills}, at step {step} of {steps}", flush=True)
            assert same(final(war), expected), "the run has ended otherwise"
            assert not [file for file in war.iterdir() if file.suffix == ".tmp"], "rubbish is left"
            print(f"{name}: the same, bit for bit, as the run that was never stopped", flush=True)
        return runs


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many, in all")
    parser.add_argument("--steps", type=int, default=6000, help="steps of each run")
    parser.add_argument("--longest", type=float, default=6.0, help="seconds until a kill, at most")
    parser.add_argument("--only", choices=CONFIGURATIONS | WITH_RANKS, help="runs of one kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, began = random.Random(arguments.seed), time.monotonic()
    kills, runs = 0, 0
    names = [arguments.only] if arguments.only else list(CONFIGURATIONS)
    for left, name in zip(range(len(names), 0, -1), names, strict=True):
        share = (arguments.kills - kills) // left
        runs += torment(name, share, arguments.steps, chance, arguments.longest)
        kills += share
    seconds = round(time.monotonic() - began)
    print(
        f"{kills} kills of {runs} runs, all of which ended bit for bit as if they had never been "
        f"stopped; no checkpoint was damaged; {seconds} s"
    )


if __name__ == "__main__":
    main()
