"""How the time of a training step grows with the time steps, the batch, the layer, the vocabulary.

    python benchmarks/growth.py --json runs/bench/growth.json

An LSTM language model, of which one size at a time is changed; microseconds per token.
"""

from __future__ import annotations

from dataclasses import replace

from compare import arguments, chosen, save
from configurations import Configuration
from contest import contest, prepare, speed
from machine import describe
from report import in_digits, of_growth
from steps import PEERS, installed

BASE = Configuration("growth", "lstm", V=1000, D=128, H=128, L=1, T=50, N=8)
SIZES = {
    "T": (10, 30, 100, 300, 1000, 3000, 10_000),
    "N": (1, 4, 16, 64, 256),
    "H": (32, 64, 128, 256, 512, 1024),
    "V": (100, 1000, 10_000, 100_000),
}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__.partition("\n")[0])
    default = "minigrad:fused,pytorch:layer,numpy:floor"
    parser.add_argument("--peers", default=default, help=f"(default: {default})")
    args = parser.parse_args()
    peers = installed(chosen(parser, args.peers, PEERS))
    rounds, seconds, base = args.rounds or 5, args.seconds, BASE
    if args.quick:
        rounds, seconds, base = args.rounds or 1, 0.001, BASE.tiny()
    prepare(args.threads)
    sizes = {name: {peer: [] for peer in peers} for name in SIZES}
    results = {
        "what": "growth",
        "machine": describe(peers, args.threads),
        "base": f"what does not grow is as in {base}; D grows with H",
        "sizes": sizes,
    }
    for name, values in SIZES.items():
        for value in values[:1] if args.quick else values:
            changes = {name: value} | ({"D": value} if name == "H" else {})
            c = replace(base, name=f"{name} = {value:,}", **changes)
            for contestant in contest(c, peers, rounds, seconds, args.threads):
                time = 1e6 / speed(contestant, c.T * c.N)
                sizes[name][contestant.peer].append((value, time))
                print(f"{c.name}: {contestant.peer} {in_digits(time)} us per token", flush=True)
        save(args.json, results)
    print("\n" + of_growth(results))


if __name__ == "__main__":
    main()
