"""``python -m models sample``: let a trained model write."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from minigrad.data import Vocabulary, decomposed
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.shared import CELL, DEVICE, Weights, loaded, option, path
from models.devices import using
from models.runs.loaded_run import LoadedRun
from models.showing.output import say, say_json
from models.writing.beam import beam_search
from models.writing.prompts import as_trained, named, read_prompt, unknown_symbols
from models.writing.sampling import ROWS, generate_many

TEMPERATURE = 0.8
TEXT, CHOICE, OUTPUT = "The text", "How the tokens are chosen", "What comes out"


def sample(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The directory that a training run left.", parser=path),
    ],
    *,
    prompt: Annotated[
        str, option("The text to go on from; empty: from the start of a line.", TEXT)
    ] = "",
    length: Annotated[int, option("How many tokens to write, at most.", TEXT, min=0)] = 500,
    stop: Annotated[
        list[str] | None,
        option(
            r"End before this text, in which `\n` is a line end; may be given several times.", TEXT
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        option(
            "Below 1 the text is more careful, above 1 more daring; 0 is --greedy. "
            f"(default: {TEMPERATURE})",
            CHOICE,
        ),
    ] = None,
    top_k: Annotated[
        int | None, option("Choose among the k likeliest tokens only.", CHOICE)
    ] = None,
    top_p: Annotated[
        float | None,
        option("Choose among the likeliest tokens that together have probability p.", CHOICE),
    ] = None,
    greedy: Annotated[bool, option("Always the likeliest token.", CHOICE, "--greedy")] = False,
    beam: Annotated[
        int | None,
        option("Search for the likeliest text, with so many at a time.", CHOICE, min=1),
    ] = None,
    length_penalty: Annotated[
        float | None,
        option(
            "With --beam: how far longer texts are favoured (alpha of Wu et al. 2016). "
            "(default: 0)",
            CHOICE,
        ),
    ] = None,
    seed: Annotated[
        int | None, option("The same seed, the same text. (default: chance)", CHOICE, min=0)
    ] = None,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", OUTPUT)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, OUTPUT, metavar="DEVICE")] = "cpu",
    cell: Annotated[str | None, option(CELL, OUTPUT, metavar="FILE.py:CELL")] = None,
    samples: Annotated[int, option("How many texts; of --beam, the best ones.", OUTPUT, min=1)] = 1,
    as_json: Annotated[
        bool, option("A JSON object for each text, one a line.", OUTPUT, "--json")
    ] = False,
) -> None:
    """Let a trained model write.

    The text goes to the standard output, and nothing else does. Of several, each stands below a
    line `── sample 1 ──`, and number i is the same however many there are with one `--seed`.
    Control characters are spelled out; --json has each text exactly as it is.
    """
    with told_in_one_line(), using(device):
        drawing = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
        _check_combinations(drawing, greedy, seed, samples, beam, length_penalty)
        run = loaded("sample", directory, weights, device, cell)
        prompt = _as_trained(run, prompt)
        read_prompt(run.tokenizer, prompt, run.saw_unknown)  # finds what is wrong with it
    _tell_unknown(run, prompt)
    stops = [text.replace(r"\n", "\n") for text in stop or []]
    where = (run.model, run.tokenizer, prompt, length)
    how: dict[str, Any] = {"stop": stops, "knows_unknown": run.saw_unknown}
    with told_in_one_line(), ended_by_ctrl_c(err=False), using(device):
        if beam is not None:
            found = beam_search(*where, width=beam, alpha=length_penalty or 0.0, **how)
            output = _Output(samples, as_json)
            for number, each in enumerate(found[:samples]):
                output.whole(number, **each._asdict())
            return
        temperature = TEMPERATURE if temperature is None else temperature
        how |= {"temperature": 0.0 if greedy else temperature, "top_k": top_k, "top_p": top_p}
        seed = secrets.randbits(32) if seed is None else seed
        output = _Output(samples, as_json, seed=seed)
        for first in range(0, samples, ROWS):
            numbers = range(first, min(first + ROWS, samples))
            rngs = [np.random.default_rng([seed, number]) for number in numbers]
            output.pieces(numbers, generate_many(*where, rngs=rngs, **how))


def _check_combinations(
    drawing: dict[str, Any],
    greedy: bool,
    seed: int | None,
    samples: int,
    beam: int | None,
    length_penalty: float | None,
) -> None:
    """Raise a ValueError for options that exclude each other."""
    given = [name for name, value in drawing.items() if value is not None]
    if greedy and given:
        raise ValueError(f"--greedy and {given[0]}: where nothing is drawn, only one can be given")
    if beam is None:
        if length_penalty is not None:
            raise ValueError("--length-penalty needs --beam, which it is for")
        if samples > 1 and (greedy or drawing["--temperature"] == 0):
            raise ValueError(f"--samples {samples}: without chance they would all be the same text")
        return
    given += ["--greedy"] * greedy + ["--seed"] * (seed is not None)
    if given:
        raise ValueError(
            f"--beam and {given[0]}: beam search draws nothing, it takes the likeliest"
        )
    if samples > beam:
        raise ValueError(f"--samples {samples} needs a --beam of at least as many, got {beam}")


def _as_trained(run: LoadedRun, prompt: str) -> str:
    """The prompt with its letters as the run's text had them; a note says so where it matters."""
    s, note = run.settings, ""
    read = as_trained(prompt, run.tokenizer, not s.lowercase, s.normalize)
    in_parts = decomposed(read)
    if bool(in_parts) != bool(decomposed(prompt)):
        how = "in parts (Unicode's form NFD)" if in_parts else "put together (Unicode's form NFC)"
        note = f"the letters of the prompt are {how}, as the model knows them"
    elif in_parts and not isinstance(run.tokenizer, Vocabulary) and s.normalize is None:
        note = f"{in_parts!r} has letters in parts (Unicode's form NFD): to bytes, they are others"
    if note:
        say(f"Note: {note}", "yellow", err=True)
    return read


def _tell_unknown(run: LoadedRun, prompt: str) -> None:
    unknown = unknown_symbols(run.tokenizer, prompt)
    if unknown:
        what = "characters" if run.tokenizer.level == "char" else "words"
        note = f"Note: the model has no token for these {what}, and reads <unk>: {named(unknown)}"
        say(note, "yellow", err=True)


class _Output:
    """Writes texts to the standard output, each piece as soon as it is there."""

    def __init__(self, samples: int, as_json: bool, **about: Any) -> None:
        self.samples, self.as_json, self.about = samples, as_json, about

    def pieces(self, numbers: range, pieces: Iterator[tuple[int, str]]) -> None:
        """Write texts that come in pieces, side by side: the first as it grows, then the others."""
        texts = [""] * len(numbers)
        if not self.as_json:
            self._begin(numbers[0])
        for n, piece in pieces:
            if n == 0 and not self.as_json:
                say(piece, end=False)
            else:
                texts[n] += piece
        if not self.as_json:
            say()
        for number, text in zip(numbers, texts, strict=True):
            if self.as_json or number > numbers[0]:
                self.whole(number, text=text)

    def whole(self, number: int, *, text: str, **about: Any) -> None:
        """Write a whole text."""
        if self.as_json:
            say_json({"sample": number + 1, "text": text, **self.about, **about})
        else:
            self._begin(number)
            say(text)

    def _begin(self, number: int) -> None:
        if self.samples > 1:
            say(f"── sample {number + 1} ──")
