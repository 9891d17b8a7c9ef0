"""The kernels of the BLAS that a run computes with: they decide its speed, and its last bits.

A new run takes those that are the best for its own matrix products. A run that goes on takes those
that it had. If this process has others, it is started again with them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from minigrad import cpu
from minigrad.training import linear_products, recurrent_products
from models.corpus import BPE_VOCABULARY
from models.rnnlm import layer_sizes
from models.runs.directory import RunDirectory
from models.runs.settings import Settings
from models.runs.shared_settings import RunSettings

GATES = {"rnn": 1, "gru": 3, "lstm": 4}

VOCABULARY = {"char": 100, "byte": 256, "word": 10_000, "bpe": BPE_VOCABULARY}
"""About how many tokens there are, by their level. What there are is known only when the text has
been read; but which kernels are faster hardly depends on it."""


def restart_for(s: RunSettings, products: Sequence[cpu.Product]) -> None:
    """Start the command again if other kernels are better for the products of a run's steps."""
    if _may_restart(s):
        cpu.restart_with_better_kernel(products)


def restart_as_on(machine: Mapping[str, Any], s: RunSettings) -> None:
    """Start the command again if the run had other kernels on `machine` (`models.runs.machine`)."""
    if _may_restart(s):
        cpu.restart_with_kernel(str(machine.get("blas")).rpartition(" ")[2])


def restart_as_in(directory: RunDirectory, s: Settings) -> None:
    """Start the command again if the run in `directory` has, or is to have, other kernels."""
    try:
        machine = directory.load_checkpoint()["machine"]
    except FileNotFoundError:  # it was stopped before the first one, and begins anew
        restart_for(s, products(s))
    except (OSError, ValueError):  # nothing is known
        return
    else:
        restart_as_on(machine, s)


def _may_restart(s: RunSettings) -> bool:
    """Whether it is ``python -m models`` that runs, not another program that calls it."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return s.device == "cpu" and main is not None and main.name == "models.__main__"


def products(s: Settings) -> list[cpu.Product]:
    """The matrix products of a training step, about; of a cell of one's own they are not known."""
    if s.own_cell is not None:
        return []
    vocabulary, batch = s.max_vocab or VOCABULARY[s.level], s.batch_size // s.shard_count
    if not s.recurrent:
        tokens, window = s.bptt * batch, s.tokens_seen * s.vector_size
        inner = linear_products(tokens, window, s.hidden_size)
        return inner + linear_products(tokens, s.hidden_size, vocabulary)
    sizes = layer_sizes(vocabulary, s.vector_size, s.hidden_size, s.layers, s.tied)
    result = linear_products(s.bptt * batch, sizes[-1], vocabulary)
    sizes[0] = s.vector_size  # 0: the tokens come in one-hot
    for below, above in pairwise(sizes):
        result += recurrent_products([batch] * s.bptt, below, above, GATES[s.cell])
    return result
