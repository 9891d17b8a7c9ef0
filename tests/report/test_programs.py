"""Where a program can't go on it ends in a line at most: `-m minigrad`, `-m models`, examples."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT, COMMAND, SCRIPT = ["-m", "minigrad"], ["-m", "models"], [str(ROOT / "examples/hello.py")]
RECIPES = [*COMMAND, "recipes"]

INTERRUPT = """\
import signal, sys

class Interrupting:
    @staticmethod
    def find_spec(name, *more):
        if name == {at!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""


def call(arguments, path=(), **options):
    """The finished process."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)]),
        "PYTHONIOENCODING": options.pop("encoding", "utf-8"),
        "OPENBLAS_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Haswell",  # no kernels are looked for
        **options.pop("environment", {}),
    }
    options = {"stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "strict"} | options
    return subprocess.run(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        env=environment,
        timeout=120,
        # a shell may have started us with Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("program", "at"),
    [
        (REPORT, "numpy"),
        (REPORT, "minigrad.autograd.tape"),
        (COMMAND, "numpy"),
        (COMMAND, "typer"),
        (SCRIPT, "numpy"),
        (SCRIPT, "minigrad.nn"),
    ],
)
def test_ctrl_c_while_it_is_imported(program, at, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT.format(at=at))
    ended = call(program, path=[tmp_path])
    assert ended.returncode in (130, -signal.SIGINT)
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("program", [REPORT, RECIPES, [*COMMAND, "train", "--help"], SCRIPT])
def test_a_full_disk(program):
    with open("/dev/full", "w") as full:
        ended = call(program, stdout=full)
    assert ended.returncode in (1, 2)
    assert re.fullmatch(r"Error: .*No space left on device\n", ended.stderr)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("program", [RECIPES, SCRIPT])
def test_whoever_has_read_enough_may_stop(program):
    command = shlex.join([sys.executable, *program])
    ended = call(["-c", f"import os; os.execvp('sh', ['sh', '-c', {command + ' | :'!r}])"])
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_without_a_standard_output():
    command = shlex.join([sys.executable, *RECIPES]) + " >&-"
    ended = call(["-c", f"import os; os.execvp('sh', ['sh', '-c', {command!r}])"])
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_korean_letters():
    ended = call([*RECIPES, "말"], encoding="ascii")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: there is no recipe '?'; there are ")


def test_a_backend_of_matplotlib_that_there_is_none_of(tmp_path):
    (tmp_path / "config.toml").write_text('level = "char"\n')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "valid", "loss": 1.0}\n')
    arguments = ["compare", str(tmp_path), "--out", str(tmp_path / "a.png")]
    ended = call([*COMMAND, *arguments], environment={"MPLBACKEND": "nonsense"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "a.png").is_file()


def test_arguments_are_told_in_what_can_be_seen():
    ended = call([*REPORT, "--\x1b[2J"])
    assert ended.returncode == 2
    assert ended.stderr.endswith("unrecognized arguments: --\\x1b[2J\n")
