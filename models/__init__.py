"""Recurrent networks for real tasks on minigrad's public API alone, and a command line for them.

::

    python -m models train --out runs/first
    python -m models sample runs/first --prompt "The "
    python -m models evaluate runs/first
    python -m models classify train --data messages.tsv --out runs/spam

From Python, ``load_run("runs/first")`` gives the trained model, its tokens and its settings.

The files and rooms, in the order in which to read them; each imports from those before it alone:

1. `rnnlm`: the model. `corpus`: from the name of a text to ids. `devices`: the CPU or a GPU.
   `kneser_ney`, `nnlm`: what came before it, n-grams and the fixed window. `text_classifier`: a
   model that reads a text; `labelled_texts`: its data; `naive_bayes`: what came before it.
2. `measuring`: how well a model predicts a text, also with dynamic evaluation and a cache.
3. `writing`: prompts, sampling, beam search.
4. `showing`: what people see: the terminal, curves, TensorBoard.
5. `runs`: a training run, its settings and its files. Begin with `runs.trainer`, a step of
   training, and `runs.run`, the loop around it.
6. `tasks`: the tasks beside the language model, on the same runs.
7. `commands`: ``python -m models``, a file for each command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from minigrad import nn
    from models.rnnlm import RNNLM
    from models.runs.loaded_run import LoadedRun

__all__ = ["RNNLM", "load_run"]


def __getattr__(name: str) -> Any:
    """`RNNLM`, imported when it is first asked for, so that `models.__main__` begins at once."""
    if name == "RNNLM":
        from models.rnnlm import RNNLM

        return RNNLM
    raise AttributeError(f"module 'models' has no attribute {name!r}")


def load_run(
    path: str | os.PathLike[str],
    which: str = "best",
    device: str | None = None,
    cell: Callable[..., nn.Module] | None = None,
) -> LoadedRun:
    """The model that a training run left in a directory, its tokens and its settings.

    ::

        run = load_run("runs/first")
        logits, state = run.model(run.tokenizer.encode("The "))
        pieces = generate(run.model, run.tokenizer, "The ", 100, rng=np.random.default_rng())

    (`generate` is in `models.writing.sampling`.)

    Parameters
    ----------
    path
        the directory.
    which
        ``"best"``: the weights that were best in validation; ``"last"``: those at the end.
    device
        where to put the model, wherever it was trained; None: on the default device.
    cell
        of a run with a cell of your own, its class, which you have imported: no Python file is run
        because a run names it.

    Raises
    ------
    FileNotFoundError
        if there is no run there, or a file of it is missing.
    ValueError
        if a file is damaged, or is not of this run (the message names it); or if the run has a
        cell of your own, and `cell` is not given.
    ModuleNotFoundError
        if a package of the extra `models` is missing.
    """
    from models.runs.directory import RunDirectory  # needs more than a model alone does
    from models.runs.loaded_run import load_from

    return load_from(RunDirectory(path), which, device, cell)
