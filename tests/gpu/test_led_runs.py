"""A run of several ranks with a GPU each, on the strict double: rank 0 leads, the other follows."""

import io
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from double import cupy
from ranks_in_threads import on_ranks
from rich.console import Console

from minigrad.distributed import Communicator
from minigrad.training import Interrupts
from models.measuring.units import UNITS
from models.runs import ranks
from models.runs.directory import RunDirectory
from models.runs.language_modelling import new_run
from models.runs.leading import Leader
from models.runs.settings import Settings
from models.showing import curves
from models.showing.reporter import Reporter

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from kills import TEXT, final, same

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(
        sys.modules.get("cupy") is not cupy, reason="ranks that are threads need the strict double"
    ),
]


def test_two_gpus_give_the_bits_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "curves", lambda *arguments: b"a picture")
    text = tmp_path / "text.txt"
    text.write_text(TEXT[:4000], "utf-8")
    sizes = {"batch_size": 4, "bptt": 8, "hidden_size": 8, "embedding_size": 4, "shards": 2}
    length = {"steps": 6, "eval_every": 3, "samples": 0}
    settings = Settings(text=(str(text),), device="cuda", dropout=0.2, **sizes, **length)

    def led(communicator):
        name, leader = f"of-{communicator.size}", Leader(communicator)
        directory = RunDirectory(tmp_path / name)
        reporter = Reporter(Console(file=io.StringIO()), UNITS["char"])
        run = new_run(settings, directory, reporter, None, leader)
        with directory.locked():
            run.begin()
            run.train()
        if communicator.size > 1:
            leader.end(0)

    def followed(communicator):
        with ExitStack() as stack:
            return ranks._Follower(communicator, {}, False, Interrupts(), stack).obey()

    opened = []
    monkeypatch.setattr(ranks._Here, "output", SimpleNamespace(go_on_in=opened.append))
    led(Communicator())
    ended = on_ranks(2, lambda line: followed(line) if line.rank else led(line))
    assert ended == [None, 0]
    assert opened == [tmp_path / "of-2" / "ranks" / "rank-1.txt"]
    assert len(final(tmp_path / "of-1")["records"]) >= 4
    assert same(final(tmp_path / "of-2"), final(tmp_path / "of-1"))
