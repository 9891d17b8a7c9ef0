"""The exercises of the book: each fails before its mend, passes after it, and names real files."""

import re
from pathlib import Path

import pytest

from minigrad.exercises.__main__ import EXERCISES, main
from minigrad.exercises.exercise import told

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.host(reason="the programs compute on the CPU")


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_it_fails_before_and_passes_after_its_solution(exercise):
    wrong, right = exercise.mend
    assert exercise.program.count(wrong) == 1
    said = told(exercise, exercise.program.encode(), "a.py")
    assert said is not None
    assert re.search(r"\b(is|times|reaches|measured)\b", said), said  # what it does, not an error
    assert told(exercise, exercise.solution.encode(), "a.py") is None
    assert len(exercise.hints) == 3
    assert right.strip() not in exercise.hints[0]
    where = re.findall(r"`(\w+)` in `(\w+/[\w/.]+)`", exercise.why)
    assert where, exercise.why
    for named, path in where:
        assert re.search(rf"\b{named}\b", (ROOT / path).read_text("utf-8")), (named, path)


def test_every_program_is_an_exercise():
    programs = (ROOT / "minigrad/exercises/programs").glob("*.py")
    assert {path.stem for path in programs} - {"__init__"} == set(EXERCISES)
    assert len(EXERCISES) == 20


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXERCISES)
    assert main(["start", "mask"]) == 0
    assert main(["start", "mask"]) == 2  # what a learner has written is never replaced
    assert main(["check", "mask"]) == 1
    assert "the attention is [0.207" in capsys.readouterr().out
    path = tmp_path / "mask.py"
    path.write_text(EXERCISES["mask"].solution, "utf-8")
    assert main(["check", "mask"]) == 0
    path.write_text("def attention(scores, real):\n    return 1 / 0\n", "utf-8")
    assert main(["check", "mask"]) == 1
    assert "line 2: ZeroDivisionError" in capsys.readouterr().out
    path.write_text("def attention(:\n", "utf-8")
    assert main(["check", "mask"]) == 1
    assert "line 1: SyntaxError" in capsys.readouterr().out
    assert main(["check", "mask", "none.py"]) == 2
    assert [main(["hint", "mask", number]) for number in "1234"] == [0, 0, 0, 2]
    assert main(["solution", "mask"]) == 0
    assert "np.where" in capsys.readouterr().out
