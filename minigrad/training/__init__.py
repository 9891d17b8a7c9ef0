"""Training: backpropagation through time, window by window, and what every run needs besides.

To read it, begin with `bptt`; then `inference` (evaluate without changing a model), `metrics`,
`checkpoint`, and `interrupts` (stop between two steps).
"""

from minigrad.files import write_atomically
from minigrad.training.bptt import Window, detach_state, full_bptt, truncated_bptt
from minigrad.training.checkpoint import load_checkpoint, save_checkpoint
from minigrad.training.inference import evaluating
from minigrad.training.interrupts import Interrupts, deferred_interrupts
from minigrad.training.metrics import MetricsLog, bits, perplexity

__all__ = [
    "Interrupts",
    "MetricsLog",
    "Window",
    "bits",
    "deferred_interrupts",
    "detach_state",
    "evaluating",
    "full_bptt",
    "load_checkpoint",
    "perplexity",
    "save_checkpoint",
    "truncated_bptt",
    "write_atomically",
]
