"""``python -m models evaluate``: how well a trained model predicts a text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from minigrad.data import tokenized
from minigrad.files import printable
from minigrad.training import bits, perplexity
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.shared import CELL, DEVICE, Weights, loaded, option, path
from models.corpus import Corpus, Form, Ids, Size, find_part, in_parts, spans
from models.devices import using
from models.measuring.dynamic_evaluation import dynamic_evaluate, gradient_mean_squares
from models.measuring.evaluation import Evaluation
from models.measuring.evaluation import evaluate as plain_evaluate
from models.measuring.neural_cache import cache_evaluate
from models.measuring.units import bits_per, incomparable
from models.runs.loaded_run import LoadedRun
from models.runs.messages import letters_in_parts
from models.runs.own_text import check_at_hand, corpus_of, own_sources
from models.showing.output import Terminal, say, say_json, warn

Evaluator = Callable[[Ids, Callable[[Evaluation], object]], Evaluation | None]
"""Evaluates ids, and calls a function with the evaluation so far."""


SEGMENT, THETA, WEIGHT = 20, 0.3, 0.1
"""The defaults of dynamic evaluation, and of the cache."""

DYNAMIC, CACHE = "Dynamic evaluation", "Neural cache"


class Part(NamedTuple):
    """A text to evaluate on."""

    name: str
    ids: Ids
    size: Size


def evaluate(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The directory that a training run left.", parser=path),
    ],
    *,
    text: Annotated[
        str | None,
        option("A file in UTF-8. (default: what the run validates and tests on)", None),
    ] = None,
    normalize: Annotated[
        Form | None,
        option("Unicode's form of the letters in --text. (default: that of the run)", None),
    ] = None,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", None)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, None, metavar="DEVICE")] = "cpu",
    cell: Annotated[str | None, option(CELL, None, metavar="FILE.py:CELL")] = None,
    streams: Annotated[
        int,
        option(
            "Read the text in so many pieces side by side: faster, and nearly exact.", None, min=1
        ),
    ] = 1,
    as_json: Annotated[bool, option("Print one JSON object.", None, "--json")] = False,
    dynamic: Annotated[
        float | None,
        option(
            "Go on learning from what has been predicted, with this learning rate: about 0.2, or "
            "0.001 with --rms.",
            DYNAMIC,
            metavar="LR",
            min=0,
        ),
    ] = None,
    dynamic_decay: Annotated[
        float | None,
        option("How fast it is forgotten again, from 0 to 1. (default: 0)", DYNAMIC, min=0, max=1),
    ] = None,
    dynamic_segment: Annotated[
        int | None, option(f"Tokens between two steps. (default: {SEGMENT})", DYNAMIC, min=1)
    ] = None,
    rms: Annotated[
        bool,
        option("Scale the steps by the gradients in training, as Krause et al. (2018).", DYNAMIC),
    ] = False,
    cache: Annotated[
        int | None,
        option("Look up what came next among so many last tokens.", CACHE, metavar="SIZE", min=1),
    ] = None,
    cache_theta: Annotated[
        float | None,
        option(f"How much similar moments are preferred. (default: {THETA})", CACHE),
    ] = None,
    cache_weight: Annotated[
        float | None,
        option(f"The part that it has in the result. (default: {WEIGHT})", CACHE, min=0, max=1),
    ] = None,
) -> None:
    """Measure how well a trained model predicts a text.

    As papers do it: each token but the first is predicted from all before it, in one pass with one
    state; `<unk>` and `<eos>` are tokens like any other. The options of dynamic evaluation (Krause
    et al. 2018) and of the neural cache (Grave et al. 2017) are to be chosen on the validation
    text, not on the one to report.
    """
    with told_in_one_line(), ended_by_ctrl_c(), using(device):
        _check_combinations(
            streams,
            {
                "--dynamic": dynamic,
                "--dynamic-decay": dynamic_decay,
                "--dynamic-segment": dynamic_segment,
                "--rms": rms or None,
            },
            {"--cache": cache, "--cache-theta": cache_theta, "--cache-weight": cache_weight},
        )
        if normalize and text is None:
            raise ValueError("--normalize needs --text: the run's own texts are as it had them")
        run = loaded("evaluate", directory, weights, device, cell)
        parts = own_parts(run) if text is None else [read_part(run, text, normalize)]
        method = "plain"
        options: dict[str, Any] = {"streams": streams}
        if dynamic is not None:
            method, options = (
                "dynamic",
                {
                    "lr": dynamic,
                    "decay": dynamic_decay or 0.0,
                    "segment": dynamic_segment or SEGMENT,
                    "rms": rms,
                },
            )
        elif cache is not None:
            method, options = (
                "cache",
                {
                    "size": cache,
                    "theta": THETA if cache_theta is None else cache_theta,
                    "weight": WEIGHT if cache_weight is None else cache_weight,
                },
            )
        if not as_json:
            what = f"{printable(directory)}: {weights.value} weights, those of step {run.step:,}"
            say(f"{what}\n{_told_method(method, options)}")
        evaluator, results = _evaluator(run, method, options), []
        for part in parts:
            began = time.perf_counter()
            evaluation = watched(evaluator, part)
            result = figures(run, part, evaluation, time.perf_counter() - began)
            results.append(finite(result))
            if note := incomparable((result["unk"] or 0) / result["tokens"]):
                warn(f"{part.name}: {note}")
            if not as_json:
                say("\n" + _told(result))
        if as_json:
            model = {"directory": str(directory), "weights": weights.value, "step": run.step}
            say_json({**model, "method": method, **options, "texts": results})


def own_corpus(run: LoadedRun) -> Corpus:
    """The text of a run, as its settings name it.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if it is not to be had any more.
    """
    check_at_hand(run.settings)
    corpus = corpus_of(run.settings, run.tokenizer)
    if corpus.fingerprint != run.corpus:
        told = f"{', '.join(run.settings.text)} is not the text that the run was trained on"
        if own_sources(run.settings):
            raise ValueError(f"{told}; --text says what to evaluate on")
        warn(f"{told} any more: part of what is measured here may have been learnt")
    return corpus


def own_parts(run: LoadedRun) -> list[Part]:
    """What a run validates and tests on; raises what `own_corpus` does."""
    return parts_of(own_corpus(run))


def parts_of(corpus: Corpus) -> list[Part]:
    """What a run on this text validates and tests on."""
    parts = [("valid", corpus.valid), ("test", corpus.test)]
    return [Part(name, ids, corpus.sizes[name]) for name, ids in parts if ids is not None]


def read_part(run: LoadedRun, text: str, normalize: Form | None) -> Part:
    """A text to evaluate on, with the letters as the run had them, or in the form `normalize`."""
    s = run.settings
    form = normalize or s.normalize
    found = find_part(text, keep_case=not s.lowercase, normalize=form)
    if form is None and (word := in_parts(found)):
        warn(letters_in_parts(word))
    tokens = tokenized(run.tokenizer, found)
    return Part(text, tokens.ids, Size(tokens.characters, tokens.bytes))


def _check_combinations(streams: int, dynamic: dict[str, Any], cache: dict[str, Any]) -> None:
    """Raise a ValueError for options that exclude each other."""
    for name, options in (("--dynamic", dynamic), ("--cache", cache)):
        given = [option for option, value in options.items() if value is not None]
        if given and options[name] is None:
            raise ValueError(f"{given[0]} needs {name}, which it is for")
        if given and streams > 1:
            raise ValueError(f"{name} needs the text in one piece, got --streams {streams}")
    if dynamic["--dynamic"] is not None and cache["--cache"] is not None:
        raise ValueError("--dynamic and --cache: give one of them, they are not combined")


def _evaluator(run: LoadedRun, method: str, options: dict[str, Any]) -> Evaluator:
    """The evaluation that the options ask for."""
    if method == "plain":
        return lambda ids, progress: plain_evaluate(run.model, ids, progress=progress, **options)
    if method == "cache":
        return lambda ids, progress: cache_evaluate(run.model, ids, progress=progress, **options)
    statistics = None
    if options["rms"]:
        train = own_corpus(run).train
        statistics = gradient_mean_squares(run.model, train, options["segment"])
    others = {**options, "rms": statistics}
    return lambda ids, progress: dynamic_evaluate(run.model, ids, progress=progress, **others)


def watched(evaluator: Evaluator, part: Part) -> Evaluation:
    """Evaluate, with a bar on the terminal while it goes on."""
    console = Terminal(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(None),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    with bar:
        task = bar.add_task("", total=len(part.ids) - 1)

        def progress(so_far: Evaluation) -> None:
            told = f"{part.name} · {so_far.tokens:,} tokens · loss {so_far.nats:.3f}"
            bar.update(task, completed=so_far.tokens, description=told)

        evaluation = evaluator(part.ids, progress)
    assert evaluation is not None  # it was not stopped
    return evaluation


def figures(run: LoadedRun, part: Part, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """All figures of an evaluation, in the order in which they are told."""
    nats, count = evaluation.nats, len(part.ids)
    return {
        "text": part.name,
        "tokens": evaluation.tokens,
        "unk": _occurrences(part.ids, run.tokenizer.unk_id),
        "eos": _occurrences(part.ids, run.tokenizer.eos_id),
        "nats_per_token": nats,
        "perplexity_per_token": perplexity(nats),
        "bits_per_token": bits(nats),
        "bits_per_character": bits_per(nats, count, part.size.characters),
        "bits_per_byte": bits_per(nats, count, part.size.bytes),
        "seconds": round(seconds, 3),
    }


def _occurrences(ids: Ids, id: int | None) -> int | None:
    """How many of the tokens that are predicted are `id`; None if there is no such token."""
    if id is None:
        return None
    return sum(int(np.count_nonzero(span == id)) for span in spans(ids[1:]))


def _told_method(method: str, options: dict[str, Any]) -> str:
    if method == "plain":
        one, more = "in one pass, with one state", f"in {options['streams']} pieces side by side"
        return one if options["streams"] == 1 else more
    name = {"dynamic": "dynamic evaluation", "cache": "neural cache"}[method]
    return f"{name}: " + ", ".join(f"{option} {value}" for option, value in options.items())


def _told(figures: dict[str, Any]) -> str:
    special = [f"{figures[name]:,} <{name}>" for name in ("unk", "eos") if figures[name]]
    among = f", {' and '.join(special)} among them counted as in the papers" if special else ""
    spelled = ", <unk> not spelled out" if figures["unk"] else ""
    speed = figures["tokens"] / max(figures["seconds"], 1e-3)
    return "\n".join(
        [
            printable(figures["text"]),
            f"  predicted    {figures['tokens']:,} tokens{among}",
            f"  loss         {figures['nats_per_token']:.4f} nats per token",
            f"  perplexity   {_short(figures['perplexity_per_token'])} per token",
            f"  bits         {figures['bits_per_character']:.4f} per character, "
            f"{figures['bits_per_byte']:.4f} per byte{spelled}",
            f"  time         {figures['seconds']:.1f} s, {speed:,.0f} tokens/s",
        ]
    )


def finite(figures: dict[str, Any]) -> dict[str, Any]:
    """The same for JSON, which has no word for NaN and infinity: null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _short(value: float) -> str:
    """A perplexity: `1,234.56`, or `2.2e+232`."""
    return f"{value:,.2f}" if value < 1e9 else f"{value:.1e}"
