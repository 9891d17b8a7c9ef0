"""The steps of the book: each runs by itself, and does what its page says."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, training
from minigrad.data import windows

pytestmark = pytest.mark.host(reason="the steps stand on NumPy alone")

ROOT = Path(__file__).parents[2]
STEPS = sorted((ROOT / "docs" / "steps").glob("[0-9]*.py"))
each_step = pytest.mark.parametrize("path", STEPS, ids=lambda path: path.stem)


def prose(path):
    """The text of a page, without the signs of comments."""
    cells = re.split(r"^# %%", path.read_text("utf-8"), flags=re.M)
    texts = [cell.split("\n", 1)[1] for cell in cells[1:] if cell.startswith(" [markdown]")]
    return re.sub(r"^# ?", "", "".join(texts), flags=re.M)


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("sys.argv", ["step"])
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.switch_backend("agg")
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def run(code, capsys):
    """The names that the code leaves, and its last line: of what it prints, or of its error."""
    names = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, where a change makes numbers overflow
        try:
            exec(code, names)
        except Exception as error:
            capsys.readouterr()
            return names, f"{type(error).__name__}: {error}"
    return names, capsys.readouterr().out.rstrip().rpartition("\n")[2]


@each_step
def test_a_step_ends_in_the_number_of_its_page_and_its_exercise_can_be_solved(path, capsys):
    names, last = run(path.read_text("utf-8"), capsys)
    if path == STEPS[-1]:
        check_against_minigrad(names)
    told = re.search(r"^\*\*The number of this step:\*\* `(.*)`$", prose(path), re.M)
    assert last == told[1]
    solution = re.search(
        r"^\*\*Exercise\.\*\*.*:::\{admonition\} Solution\n.*^```python\n(.*?)^```",
        prose(path),
        re.S | re.M,
    )
    assert re.search(r"^(assert|check_gradients)\b", solution[1], re.M)
    exec(solution[1], names)


CHANGES = [
    (path, *change)
    for path in STEPS
    for change in re.findall(
        r"^- `(.+?)`\s→\s`(.+?)`:.*?It ends in\s`(.+?)`\.$",
        prose(path).replace("\n  ", " "),
        re.M,
    )
]


@each_step
def test_each_step_has_something_to_change(path):
    things = prose(path).partition("\n## Change it\n")[2].partition("**Exercise.**")[0]
    assert things.count("\n- ") == sum(change[0] == path for change in CHANGES) >= 2


@pytest.mark.parametrize(
    ("path", "old", "new", "last"), CHANGES, ids=lambda value: getattr(value, "stem", value)[:30]
)
def test_a_change_does_what_the_page_says(path, old, new, last, capsys):
    cells = re.split(r"^(?=# %%)", path.read_text("utf-8"), flags=re.M)
    code = [cell for cell in cells if not cell.startswith("# %% [markdown]")]
    assert sum(old in cell for cell in code) == 1
    assert run("".join(code).replace(old, new), capsys)[1] == last


def rules():
    """Each rule that a step adds: the step, and its code with twice what the rule gives."""
    for path in STEPS:
        page = path.read_text("utf-8")
        for cell in re.finditer(r'^# %% tags=\["keep"\].*?(?=^# %%)', page, re.S | re.M):
            for rule in re.finditer(r"lambda g: |return (?=gradient$)", cell[0], re.M):
                at = cell.start() + rule.end()
                yield path, page[:at] + "2 * " + page[at:]


def test_each_rule_is_checked_by_the_step_that_adds_it(capsys):
    wrong = list(rules())
    assert len(wrong) > 10
    for path, code in wrong:
        assert run(code, capsys)[1].startswith("AssertionError: "), path.name


def carrying():
    spec = importlib.util.spec_from_file_location("carry_steps", ROOT / "docs" / "carry_steps.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", range(1, len(STEPS)))
def test_a_step_begins_with_what_the_step_before_has_built(n):
    """Else: python docs/carry_steps.py."""
    before, page = (path.read_text("utf-8") for path in STEPS[n - 1 : n + 1])
    tool = carrying()
    assert '"so-far"' in page or not tool.built(before).strip()
    assert tool.carried(before, page) == page


def test_the_cells_of_all_pages_make_one_file(capsys):
    code = "".join(
        body
        for path in STEPS
        for header, body in carrying().cells(path.read_text("utf-8"))
        if "[markdown]" not in header and '"so-far"' not in header
    )
    last = re.search(r"^\*\*The number of this step:\*\* `(.*)`$", prose(STEPS[-1]), re.M)
    assert run(code, capsys)[1] == last[1]


@each_step
def test_the_files_of_minigrad_that_a_step_names_are_there(path):
    files = re.search(r"^\*\*In minigrad:\*\*(.*)", prose(path), re.S | re.M)[1]
    named = re.findall(r"`(minigrad/\S+\.py)`", files)
    assert named
    for file in named:
        assert (ROOT / file).is_file(), file


@each_step
def test_a_step_needs_numpy_alone_but_for_a_figure(path):
    imported = set(re.findall(r"^(?:import|from) (\w+)", path.read_text("utf-8"), re.M))
    assert imported <= {"numpy", "matplotlib"}


def test_the_last_step_is_small():
    lines = STEPS[-1].read_text("utf-8").splitlines()
    assert sum(not re.match(r"\s*(#|$)", line) for line in lines) <= 300


def check_against_minigrad(step):
    """The same model from the same random numbers has the same losses."""
    vocab_size, rng = len(step["vocabulary"]), np.random.default_rng(0)
    embedding = nn.Embedding(vocab_size, 16, rng=rng, dtype="float64")
    recurrent = nn.LSTM(16, 16, rng=rng, dtype="float64")
    output = nn.Linear(16, vocab_size, rng=rng, dtype="float64")
    parameters = [p for part in (embedding, recurrent, output) for p in part.parameters()]
    optimizer = optim.SGD(parameters, lr=1.0)
    losses = []
    for _ in range(40):
        total = count = 0
        for ids in step["texts"]:
            state = None
            for w, w_next in windows(ids, 4):
                h, state = recurrent(embedding(w), training.detach_state(state))
                loss = mg.cross_entropy(output(h), w_next)
                optimizer.zero_grad()
                loss.backward()
                optim.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                total, count = total + loss.item() * len(w), count + len(w)
        losses.append(total / count)
    np.testing.assert_allclose(step["losses"], losses, rtol=0, atol=1e-6)
    assert losses[-1] < 0.2 * losses[0]
