"""Training steps in several frameworks, and by hand: a module each, all with one interface.

::

    VARIANTS = {"layer": {"rnn", "lstm", "gru", "classifier"}}      # and the tasks that each can do

    def make(c, variant, parameters):
        ...
        return Training(step, current)

`c` is a `Configuration`, and `parameters` what `initial_parameters` gives: the arrays may be kept
and changed. ``step(*batch)`` does one training step on one of the `batches` and returns the loss
before the update as a float. In it the model runs forward, the cross-entropy is the mean over all
targets, the gradients of everything but the second biases are multiplied by
min(1, clip / (norm + 1e-6)), and SGD changes the parameters. The hidden state of a language model
starts as zeros and goes on from one call to the next, cut off from its past; that of a classifier,
whose logits are a linear layer over the mean of the last layer's two final h, always starts as
zeros. ``current()`` gives the parameters as `initial_parameters` lays them out, without the second
biases.

Modules in `ON_GPUS` take a fourth argument, the device: ``"cpu"`` or ``"cuda"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from configurations import Configuration
from turns import left_out

PACKAGES = {
    "pytorch": "torch",
    "numpy": "numpy",
    "minigrad": "minigrad",
    "jax": "jax",
    "autograd": "autograd",
    "mygrad": "mygrad",
}
PEERS = (  # the first one that can do a task is what the others are compared with
    "pytorch:layer",
    "numpy:floor",
    "minigrad:captured",
    "minigrad:fused",
    "minigrad:unrolled-captured",
    "minigrad:unrolled",
    "pytorch:cells",
    "jax:scan",
    "autograd:cells",
    "mygrad:cells",
)
YARDSTICK = "numpy:sgemm"
"""No peer: its step is a large matrix product, the fastest that the machine's BLAS has."""

ON_GPUS = ("pytorch", "minigrad")


@dataclass(frozen=True)
class Training:
    """One model in training.

    On a GPU ``step(*batch)`` copies the batch there and waits for the loss. What can be without is
    in two: ``issue(*placed(*batch))`` gives the loss where it is, and waits for nothing.
    """

    step: Callable[..., float]
    current: Callable[[], dict[str, np.ndarray]]
    placed: Callable[..., tuple[Any, ...]] | None = None
    issue: Callable[..., Any] | None = None


def package(peer: str) -> str:
    """What has to be installed for `peer`."""
    return PACKAGES[peer.partition(":")[0]]


def installed(peers: Iterable[str]) -> list[str]:
    """Those of `peers` whose packages are here; the others are left out by name."""
    here, missing = [], []
    for peer in peers:
        (here if find_spec(package(peer)) else missing).append(peer)
    for peer in missing:
        left_out(peer)
    if missing:
        names = dict.fromkeys(map(package, missing))
        print(f"(to have them take part: pip install {' '.join(names)})", file=sys.stderr)
    return here


def load(peer: str, c: Configuration, device: str = "cpu") -> Callable[..., Training]:
    """Import what `peer` needs, and return its ``make(c, parameters)``, for any `c` of the task.

    Raises
    ------
    NotImplementedError
        if it cannot do the task, or not on that device.
    """
    framework, _, variant = peer.partition(":")
    module = import_module(f"steps.with_{framework}")
    if c.task not in module.VARIANTS[variant]:
        raise NotImplementedError(f"has no {c.task}")
    if framework in ON_GPUS:
        return lambda c, parameters: module.make(c, variant, parameters, device)
    if device != "cpu":
        raise NotImplementedError(f"runs on the CPU only, not on {device}")
    return lambda c, parameters: module.make(c, variant, parameters)
