"""What a training run says about itself before it begins, and when it has ended."""

from __future__ import annotations

import shlex
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigrad import cuda
from minigrad.distributed import launched
from minigrad.files import printable
from models.corpus import Corpus
from models.measuring.units import Unit, incomparable
from models.runs.directory import RunDirectory
from models.runs.new_model import Model
from models.runs.recipes import RECIPES
from models.runs.schedule import expected_steps
from models.runs.settings import Settings
from models.runs.shared_settings import RunSettings
from models.runs.stepper import Stepper
from models.runs.trainer import Trainer
from models.showing.output import in_one_line


def introduction(s: Settings, corpus: Corpus, model: Model, trainer: Trainer) -> list[str]:
    """What is about to be trained, on what, how, and for how long."""
    parts = [f"{len(corpus.train):,} to train on", f"{len(corpus.valid):,} to validate"]
    parts += [] if corpus.test is None else [f"{len(corpus.test):,} to test"]
    unknown = corpus.unknown(corpus.valid)
    also = f"; {unknown:.1%} of those to validate on are not in it" if unknown > 0.001 else ""
    layers = "1 layer" if s.layers == 1 else f"{s.layers} layers"
    layers = layers if s.recurrent else f"{s.tokens_seen} {s.unit} seen, 1 layer"
    shards = f", in {s.shards} shards" if s.shard_count > 1 else ""
    lines = [
        f"text        {', '.join(map(printable, s.text))}",
        f"{s.unit:<11} {', '.join(parts)}",
        f"vocabulary  {len(corpus.tokenizer):,} {s.unit}{also}",
        f"model       {printable(s.cell_name)}, {layers} of {s.hidden_size} units, "
        f"{model.num_parameters():,} parameters",
        f"training    {length(s, trainer)} of {s.batch_size} × {s.bptt} {s.unit}{shards}",
        f"optimiser   {s.optimizer}, learning rate {s.learning_rate:g}",
    ]
    if s.device != "cpu":
        lines.append(f"device      {s.device}: {cuda.device_name(s.device)}")
    if s.recipe is not None:
        recipe = RECIPES[s.recipe]
        lines += [
            f"recipe      {s.recipe}: {recipe.source}",
            f"            {recipe.expected}",
            f"            {recipe.conversion}",
        ]
    return lines


def goes_on(trainer: Stepper) -> list[str]:
    """A line that says where a run goes on; none for one that begins."""
    if not trainer.step:
        return []
    return [f"goes on     after step {trainer.step:,}, epoch {trainer.epochs:.2f}"]


def letters_in_parts(word: str) -> str:
    """A warning about a text in which `word` has letters in parts."""
    one = len(unicodedata.normalize("NFC", word))
    return (
        f"the text has letters in parts (Unicode's form NFD, as macOS writes names): {word!r} is "
        f"{len(word)} characters, where {one} would do. --normalize nfc puts them together"
    )


def not_captured(error: Exception) -> str:
    """A warning that the steps of a run can't be replayed."""
    return (
        f"a step can't be recorded, so each is computed anew, which may take longer: "
        f"{in_one_line(error)}. The run is the same; --no-capture doesn't try"
    )


def length(s: RunSettings, trainer: Stepper) -> str:
    """How long a run is."""
    total = expected_steps(s, trainer.steps_per_epoch)
    minutes = f"{s.minutes:g} minutes" if s.minutes is not None else ""
    if total is None:
        return f"{minutes} of steps"
    steps = f"{total:,} steps ({total / trainer.steps_per_epoch:.1f} epochs)"
    return f"{steps} or {minutes}" if minutes else steps


def title(s: Settings) -> str:
    """What stands above the curves of a run."""
    layers = "" if s.layers == 1 else f", {s.layers} layers"
    texts = Path(s.text[0]).name + (" …" if len(s.text) > 1 else "")
    return f"{s.cell_name} of {s.hidden_size} units{layers}, on {texts}"


def results(
    records: Sequence[Mapping[str, Any]],
    unit: Unit,
    seconds: float,
    test: float | None,
    worse: int,
) -> str:
    """What a run that has ended has reached.

    `worse`: the run was ended early, after so many validations without a better one; 0: it was not.
    """
    valid = [record for record in records if record["split"] == "valid"]
    best, last = min(valid, key=lambda record: float(record["loss"])), valid[-1]
    minutes, rest = divmod(round(seconds), 60)
    lines = [
        f"Trained in {minutes} min {rest} s.",
        f"best validation loss {best['loss']:.3f} · {unit.told(best['loss'])}, after step "
        f"{best['step']:,}; its weights are kept",
    ]
    if test is not None:
        told = f"test loss {test:.3f} · {unit.told(test)}"
        lines.append(f"{told}, of the same weights, on text never looked at before")
    if worse:
        lines.insert(0, f"Stopped early: {worse} validations without a better one.")
    unknown = max(r.get("unk", 0.0) for r in records if r["split"] in ("valid", "test"))
    if note := incomparable(unknown):
        lines.append(f"{note[0].upper()}{note[1:]}.")
    if best["step"] == 0 and last["step"]:
        lines.append("The validation is no better than before training; a lower --lr may help.")
    elif last["loss"] > 1.03 * best["loss"]:
        lines.append(
            f"From there on the model learnt the text by heart: the last validation was "
            f"{unit.told(last['loss'])}. A shorter training or more --dropout may help."
        )
    return "\n".join(lines)


def command(*words: str | Path) -> str:
    """A command of this program, as it is typed."""
    return f"{_python()} {_program(*words)}"


def resume_command(directory: RunDirectory, s: Settings) -> str:
    """How to go on with a run that was stopped, with as many processes as it has."""
    size = launched()[1]
    start = _python() if size == 1 else f"mpiexec -n {size} {_python()} -m mpi4py"
    return f"{start} {_program('train', '--resume', directory.path)}{s.cell_option}"


def _program(*words: str | Path) -> str:
    return " ".join(["-m models", *(shlex.quote(str(word)) for word in words)])


def after_interruption(resume: str, s: RunSettings) -> str:
    """What to do with a run that was stopped, and that the command `resume` goes on with."""
    others = "Predict" if s.task else "Sample"
    return (
        f"Go on with:\n  {resume}\n"
        f"{others} and evaluate take the best weights so far; the last ones with\n--weights last."
    )


def after_divergence(directory: RunDirectory, resume: str, step: int) -> str:
    """What to do with a run that diverged, whose last checkpoint is of `step`."""
    if not directory.checkpoint.is_file():
        return "There is nothing to go on from: begin anew, with other settings and --overwrite."
    told = f"The last checkpoint is of step {step:,}. To go on from there:\n"
    told += f"  {resume} --lr LOWER"
    if directory.previous.is_file():
        told += (
            f"\nTo go on from the one before that, remove {directory.checkpoint.name} first. If "
            "the loss was\nhigh there already, begin anew, with a lower --lr and --overwrite."
        )
    return told


def whats_next(directory: RunDirectory, s: Settings, corpus: Corpus) -> str:
    """Where the results lie, and what to do with them."""
    prompted = command("sample", directory.path, "--prompt", _prompt(corpus))
    events = shlex.quote(str(directory.events))
    viewer = [f"events      tensorboard --logdir {events}"] if directory.events.is_dir() else []
    return "\n".join(
        [
            f"weights     {shlex.quote(str(directory.model))}",
            f"curves      {shlex.quote(str(directory.curves))}",
            *viewer,
            "",
            "Try next:",
            f"  {prompted} --temperature 0.8{s.cell_option}",
            f"  {command('evaluate', directory.path)}{s.cell_option}",
            f"  {command('look', directory.path)}{s.cell_option}",
            f"  {command('train', '--text', 'YOUR.txt', '--out', 'runs/yours')}",
            f"  {command('train', '--help')}",
        ]
    )


def _python() -> str:
    """The command that calls this Python from here."""
    executable = Path(sys.executable)
    try:
        return shlex.quote(str(executable.relative_to(Path.cwd())))
    except ValueError:
        return "python"


def _prompt(corpus: Corpus) -> str:
    """A prompt that the model knows: the first word of the text."""
    tokenizer = corpus.tokenizer
    beginning = corpus.train[:200]
    known = beginning if tokenizer.unk_id is None else beginning[beginning != tokenizer.unk_id]
    words = tokenizer.decode(known).replace("\ufffd", " ").split()
    return next((word for word in words if word.isalpha()), "".join(words[:1]))[:20]
