"""What a training step costs when several processes share it: a model of a few numbers.

A step on R ranks takes the time that one rank computes, and that of the exchange. The dense
gradients have B bytes in k arrays that are exchanged one by one (large gradients; small ones are
put together). For their exact mean, each rank sends a piece of B / R bytes to each other rank, adds
up what it got, and sends the result to all others:

    2 (R - 1) (k latency + B / R / bandwidth) + B (R - 1) / R / memory

Of a row-sparse gradient each rank has b bytes, of W that all rows have. It sends each row once, and
gets each row of the mean once, of which there are at most those of all ranks:

    4 (R - 1) latency + (b + min(R b, W)) / bandwidth

Besides, the ranks tell each other a few numbers, by messages to all that take log2(R) latencies
each. This is the usual model of latency and bandwidth: Thakur, Rabenseifner and Gropp,
"Optimization of collective communication operations in MPICH" (2005). It leaves out what happens
when many messages meet in a network, and that ranks wait for the slowest of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from report import table

AGREEMENTS = 4
"""Small exchanges in a step: the order to take it, the kinds of gradients, the numbers of rows."""


class Exchange(NamedTuple):
    """What the ranks exchange in a step."""

    dense: float
    """bytes of all dense gradients"""

    arrays: int
    """that are exchanged one by one"""

    sparse: float
    """bytes of the row-sparse gradient of one rank"""

    rows: float
    """bytes that it would have with all rows"""


class Network(NamedTuple):
    """What lies between the ranks."""

    name: str

    latency: float
    """seconds that a small message takes, with what MPI adds"""

    bandwidth: float
    """bytes a second that a rank can send while it receives as many"""

    memory: float = 5e9
    """bytes a second at which a core adds two arrays"""


NETWORKS = (
    Network("10 Gbit/s (TCP, 30 us)", 30e-6, 10e9 / 8),
    Network("100 Gbit/s (RDMA, 3 us)", 3e-6, 100e9 / 8),
)


def seconds(what: Exchange, ranks: int, network: Network) -> float:
    """The seconds that the exchange of a step takes."""
    others = ranks - 1
    dense = 2 * others * (what.arrays * network.latency + what.dense / ranks / network.bandwidth)
    rows = what.sparse + min(ranks * what.sparse, what.rows)
    sparse = 4 * others * network.latency + rows / network.bandwidth if rows else 0
    agree = AGREEMENTS * math.log2(ranks) * network.latency
    return dense + what.dense * others / ranks / network.memory + sparse + agree


def predictions(computing: Mapping[str, tuple[float, Exchange]]) -> str:
    """A table: how many times as fast 8, 64 and 512 ranks are as one, each with its own batch.

    Parameters
    ----------
    computing
        for each configuration, the seconds that a rank computes, and what it exchanges.
    """
    sizes = (8, 64, 512)
    rows = [
        [name, network.name]
        + [f"{ranks * time / (time + seconds(what, ranks, network)):.1f}" for ranks in sizes]
        for name, (time, what) in computing.items()
        for network in NETWORKS
    ]
    return table(["configuration", "network", *(f"{ranks} ranks" for ranks in sizes)], rows)
