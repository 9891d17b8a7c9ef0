"""One training step of recurrent models in minigrad, side by side with other frameworks.

    python benchmarks/compare.py
    python benchmarks/compare.py --configs C3,C5 --peers pytorch:layer,minigrad:fused --rounds 21
    python benchmarks/compare.py --peers minigrad:fused --before ../another-checkout

The peers take turns, each in a process of its own. For each configuration it prints tokens per
second, the speed over that of the first peer that takes part (the median over the rounds, with
quartiles), the speed of its matrix products as a share of that of a large one in NumPy, which takes
turns with the peers, the peak of the memory, beyond that of training a tiny model, and by how much
the first losses differ from those of the first peer: all must compute the same.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from configurations import CONFIGURATIONS, Configuration, batches
from contest import BEFORE, Contestant, contest, environment_for, prepare, speed
from machine import describe
from products import products
from report import table
from steps import PEERS, YARDSTICK, installed
from steps.with_numpy import SIDE

import minigrad as mg

DIFFERENCE = 1e-3  # of losses, over which two peers do not compute the same


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that this has in common with `growth`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=1, help="of each peer (default: 1)")
    parser.add_argument("--rounds", type=positive, help="of turns (default: 11; of growth: 5)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn (default: 0.3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results too")
    parser.add_argument("--quick", action="store_true", help="tiny models: only to see it run")
    return parser


def positive(text: str) -> int:
    """An integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def chosen(parser: argparse.ArgumentParser, text: str, known: Sequence[str]) -> list[str]:
    """The names in `text`, between commas."""
    names = text.split(",")
    for name in names:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    return names


def save(file: Path | None, results: dict[str, object]) -> None:
    """Write `results` as JSON, if they are to be."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def summary(c: Configuration, contestants: Sequence[Contestant]) -> dict[str, object]:
    """What was measured, against the first of `contestants`; one of them is the yardstick."""
    data = batches(c)
    tokens = float(np.mean([batch[2].sum() if c.classes else batch[0].size for batch in data]))
    flop = np.mean([sum(p.flop for p in products(c, batch)) for batch in data])
    yardstick = {peer.peer: peer.seconds for peer in contestants}.get(YARDSTICK, math.nan)
    contestants = [peer for peer in contestants if peer.peer != YARDSTICK]
    reference, peers = contestants[0], {}
    for contestant in contestants:
        ratios = np.divide(reference.seconds, contestant.seconds)
        shares = flop / (2 * SIDE**3) * np.divide(yardstick, contestant.seconds)
        peers[contestant.peer] = {
            "tokens per second": speed(contestant, tokens),
            "ratio": np.percentile(ratios, [25, 50, 75]).tolist(),
            "share": float(np.median(shares)),
            "memory": contestant.memory,
            "difference": difference(contestant.losses, reference.losses),
        }
    kernel = environment_for(c).get("OPENBLAS_CORETYPE") or mg.cpu.blas().kernel
    return {"model": str(c), "kernel": kernel, "peers": peers}


def difference(losses: Sequence[float], expected: Sequence[float]) -> float:
    """The largest relative difference."""
    return float(np.max(np.abs(np.divide(losses, expected) - 1)))


def show(name: str, result: dict) -> None:
    """Print one configuration, and say it loudly if a peer computes something else."""
    reference, *_ = result["peers"]
    kernel = result.get("kernel") or "unknown"
    print(f"### {name}: {result['model']}; {kernel} kernels\n")
    rows = [
        [
            peer,
            f"{r['tokens per second']:,.0f}",
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*r["ratio"]),
            f"{r['share']:.2f}",
            f"{r['memory']:,.0f} MB",
            f"{r['difference']:.0e}",
        ]
        for peer, r in result["peers"].items()
    ]
    head = [
        "peer",
        "tokens/s",
        f"x {reference}",
        "of best sgemm",
        "peak memory",
        "losses differ by",
    ]
    print(table(head, rows))
    for peer, r in result["peers"].items():
        if not r["difference"] <= DIFFERENCE:
            print(f"\n**WRONG: the losses of {peer} are not those of {reference}.**")
    print(flush=True)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument(
        "--configs", default=",".join(CONFIGURATIONS), help="(default: %(default)s)"
    )
    parser.add_argument("--peers", default=",".join(PEERS), help="(default: %(default)s)")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout of minigrad, which comes first: before:fused and before:unrolled",
    )
    args = parser.parse_args()
    names = chosen(parser, args.configs, list(CONFIGURATIONS))
    peers = installed(chosen(parser, args.peers, PEERS))
    if args.before:
        if not (args.before / "minigrad" / "__init__.py").is_file():
            parser.error(f"--before: there is no minigrad in {args.before}")
        earlier = [peer.replace("minigrad", BEFORE) for peer in peers if "minigrad" in peer]
        peers = [*earlier, *peers]
    rounds, seconds = args.rounds or 11, args.seconds
    if args.quick:
        rounds, seconds = args.rounds or 1, 0.001
    prepare(args.threads)
    machine = describe([p for p in peers if not p.startswith(BEFORE)], args.threads)
    print(f"{machine}\n", flush=True)
    results = {"what": "steps", "machine": machine, "configurations": {}}
    for name in names:
        c = CONFIGURATIONS[name]
        c = c.tiny() if args.quick else c
        contestants = contest(c, [*peers, YARDSTICK], rounds, seconds, args.threads, args.before)
        if any(contestant.peer in peers for contestant in contestants):
            results["configurations"][name] = summary(c, contestants)
            show(name, results["configurations"][name])
        save(args.json, results)


if __name__ == "__main__":
    main()
