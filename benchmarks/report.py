"""The results that `compare` and `growth` have written as JSON, as tables in Markdown.

python benchmarks/report.py runs/bench/speed.json runs/bench/growth.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def in_digits(time: float) -> str:
    """A positive number with three digits or more, never with an exponent."""
    return f"{time:,.0f}" if time >= 100 else f"{time:.3g}"


def of_steps(results: dict) -> str:
    """A table of speeds and one of memory, a row for each configuration."""
    measured = results["configurations"]
    peers = list(dict.fromkeys(peer for r in measured.values() for peer in r["peers"]))
    speeds, shares, memory = [], [], []
    for name, result in measured.items():
        reference, *_ = of = result["peers"]
        speed = f"{of[reference]['tokens per second']:,.0f} ({reference})"
        ratios = [f"{of[peer]['ratio'][1]:.2f}" if peer in of else "-" for peer in peers]
        of_best = [f"{of[p]['share']:.2f}" if "share" in of.get(p, ()) else "-" for p in peers]
        kernel = result.get("kernel") or "-"  # unknown to results from before there were several
        speeds.append([f"{name}: {result['model']}", kernel, speed, *ratios])
        shares.append([name, *of_best])
        memory.append([name, *(f"{of[p]['memory']:,.0f}" if p in of else "-" for p in peers)])
    return "\n\n".join(
        [
            f"Measured on {results['machine']}.",
            "Tokens per second of the reference, and how many times as fast the others are:",
            table(["configuration", "kernels", "tokens/s", *peers], speeds),
            "A step's matrix products over its whole time, as a share of the speed of a large one "
            "in NumPy:",
            table(["configuration", *peers], shares),
            "Peak memory in MB, beyond that of training a tiny model:",
            table(["configuration", *peers], memory),
        ]
    )


def of_growth(results: dict) -> str:
    """For each size that grows a table of the microseconds per token, a row for each peer."""
    parts = [f"Measured on {results['machine']}.", f"Microseconds per token; {results['base']}:"]
    for size, of in results["sizes"].items():
        values = sorted({value for points in of.values() for value, _ in points})
        rows = []
        for peer, points in of.items():
            times = dict(points)
            rows.append([peer, *(in_digits(times[v]) if v in times else "-" for v in values)])
        parts.append(table([size, *(f"{value:,}" for value in values)], rows))
    return "\n\n".join(parts)


def main() -> None:
    """Print what is in the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    texts = {"steps": of_steps, "growth": of_growth}
    for file in parser.parse_args().files:
        results = json.loads(file.read_text("utf-8"))
        print(texts[results["what"]](results) + "\n")


if __name__ == "__main__":
    main()
