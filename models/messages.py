"""What a training run says about itself before it begins, and when it has ended."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from minigrad.data import Vocabulary
from models.corpus import Corpus
from models.rnnlm import RNNLM
from models.run_directory import RunDirectory
from models.settings import Settings


def introduction(s: Settings, corpus: Corpus, model: RNNLM, total: int, epochs: float) -> str:
    """What is about to be trained, on what, and for how long: `total` steps."""
    train, valid, test = (f"{len(part):,}" for part in (corpus.train, corpus.valid, corpus.test))
    unknown = corpus.unknown(corpus.valid)
    also = f"; {unknown:.1%} of those to validate on are not in it" if unknown > 0.001 else ""
    layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
    return "\n".join(
        [
            f"text        {s.text}",
            f"{s.unit:<11} {train} to train on, {valid} to validate, {test} to test",
            f"vocabulary  {len(corpus.vocabulary):,} {s.unit}{also}",
            f"model       {s.cell.upper()}, {layers} of {s.hidden_size} units, "
            f"{model.num_parameters():,} parameters",
            f"training    {total:,} steps of {s.batch_size} × {s.bptt} {s.unit} "
            f"({epochs:.1f} epochs)",
            f"optimiser   {s.optimizer}, learning rate {s.learning_rate:g}",
        ]
    )


def whats_next(directory: RunDirectory, vocabulary: Vocabulary) -> str:
    """Where the results lie, and what to do with them."""
    python, where = _python(), shlex.quote(str(directory.path))
    prompt = shlex.quote(_prompt(vocabulary))
    return "\n".join(
        [
            f"weights     {shlex.quote(str(directory.weights))}",
            f"loss curve  {shlex.quote(str(directory.curve))}",
            "",
            "Try next:",
            f"  {python} -m models sample {where} --prompt {prompt} --temperature 0.8",
            f"  {python} -m models train --text YOUR.txt --out runs/yours",
            f"  {python} -m models train --help",
        ]
    )


def _python() -> str:
    """How this Python can be called from here."""
    executable = Path(sys.executable)
    try:
        return shlex.quote(str(executable.relative_to(Path.cwd())))
    except ValueError:
        return "python"


def _prompt(vocabulary: Vocabulary) -> str:
    """Something that the model can go on from."""
    prompt = "The "
    if vocabulary.level == "char" and all(character in vocabulary for character in prompt):
        return prompt
    special = (vocabulary.unk, vocabulary.eos)
    return next(token for token in vocabulary if token not in special and token.strip())
