"""Training: backpropagation through time, window by window, and what every run needs besides.

To read it, begin with `bptt`; then `inference` (evaluate without changing a model), `metrics`,
`checkpoint` and `whole_models` (files), `interrupts` (stop between two steps) and `products` (what
a step computes).
"""

from minigrad.files import write_atomically
from minigrad.training.bptt import Window, detach_state, full_bptt, truncated_bptt
from minigrad.training.checkpoint import load_checkpoint, save_checkpoint
from minigrad.training.inference import evaluating
from minigrad.training.interrupts import Interrupts, deferred_interrupts
from minigrad.training.metrics import MetricsLog, bits, perplexity
from minigrad.training.products import linear_products, recurrent_products
from minigrad.training.whole_models import load_model, save_model

__all__ = [
    "Interrupts",
    "MetricsLog",
    "Window",
    "bits",
    "deferred_interrupts",
    "detach_state",
    "evaluating",
    "full_bptt",
    "linear_products",
    "load_checkpoint",
    "load_model",
    "perplexity",
    "recurrent_products",
    "save_checkpoint",
    "save_model",
    "truncated_bptt",
    "write_atomically",
]
