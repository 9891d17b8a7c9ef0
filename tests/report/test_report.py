"""``python -m minigrad``, as it is seen in a terminal."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import __main__
from minigrad.__main__ import OPTIONAL
from minigrad.arrays import blas
from minigrad.arrays.blas import speeds_with

ROOT = Path(__file__).parents[2]
openblas = pytest.mark.skipif(blas.in_use().name != "openblas", reason="needs a known OpenBLAS")
needs_avx512 = pytest.mark.skipif(
    "AVX-512" not in blas.vector_instructions(), reason="needs AVX-512"
)
HIDE = """\
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, *more):
        return None if name in ("cupy", "threadpoolctl") else super().find_spec(name, *more)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def call(*arguments, path=(), **environment):
    """The finished process, with no variable of BLAS or threads but the given ones."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not re.search(r"_NUM_THREADS$|_CORETYPE$|MAXIMUM_THREADS$", name)
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=inherited
        | {"PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)]), "OPENBLAS_NUM_THREADS": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def report(*arguments, **more):
    """The rows by their labels, and the other lines; a report always ends well and fits."""
    process = call(*(arguments or ["-m", "minigrad"]), **more)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    lines = process.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80, process.stdout
    rows, end = lines[:7], lines[7:]
    assert end[0] == ""
    return {row[:11].strip(): row[11:] for row in rows}, end[1:]


def test_tells_what_is_here():
    rows, _ = report()
    assert list(rows) == ["minigrad", "processor", "BLAS", "kernels", "threads", "GPU", "packages"]
    assert rows["minigrad"].startswith(f"{mg.__version__}, NumPy {np.__version__}, Python 3.")
    assert rows["BLAS"].startswith(blas.in_use().name)
    assert rows["packages"] == ", ".join(OPTIONAL)  # all of them come with the extra "dev"


@openblas
def test_tells_the_threads_and_who_set_them():
    rows, _ = report(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    assert rows["threads"] == "1 (OPENBLAS_NUM_THREADS=1, OMP_NUM_THREADS=1)"


def test_measures_both_shapes():
    _, lines = report()
    assert lines[0].startswith("GFLOP/s, kernels x threads")
    for line, (rows, inner, columns) in zip(lines[1:3], blas.SHAPES, strict=True):
        product = rf"\({rows} x {inner}\) @ \({inner} x {columns}\) +[\d,]+"
        assert re.fullmatch(product, line)


@openblas
@needs_avx512
class TestKernels:
    def test_measures_the_newer_ones_beside_the_older(self):
        """Whether they are faster is the machine's affair; `TestAdvice` has what is said then."""
        rows, lines = report(OPENBLAS_CORETYPE="Haswell")
        assert rows["kernels"] == "Haswell (OPENBLAS_CORETYPE=Haswell)"
        assert lines[0].endswith(" Haswell x 1     SkylakeX x 1")
        assert [len(line.split()) for line in lines[1:3]] == [9, 9]

    def test_all_is_well_with_the_right_ones(self):
        rows, lines = report(OPENBLAS_CORETYPE="SkylakeX")
        assert rows["kernels"] == "SkylakeX (OPENBLAS_CORETYPE=SkylakeX)"
        assert lines[0].split()[4:] == ["SkylakeX", "x", "1"]
        assert lines[3:] == ["", "Nothing to set: all is well."]


class TestAdvice:
    """By invented speeds: of one thread, of two, of one with better kernels."""

    @pytest.fixture
    def lines(self, monkeypatch, capsys):
        def lines(alone, together, better, name="openblas", again=None):
            again = together if again is None else again
            measured = iter([[alone, 100.0], [together, 100.0], [again, 100.0]])
            used = blas.Blas(name, "0.3", "Haswell", 2)
            monkeypatch.setattr(sys, "argv", ["minigrad"])
            monkeypatch.setattr(blas, "in_use", lambda: used)
            monkeypatch.setattr(blas, "vector_instructions", lambda: {"AVX2", "AVX-512"})
            monkeypatch.setattr(blas, "speeds", lambda: next(measured))
            monkeypatch.setattr(blas, "speeds_with", lambda kernel: [better(), 100.0])
            monkeypatch.setattr(__main__, "THREADS", ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
            monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
            monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
            __main__.main()
            return capsys.readouterr().out.splitlines()[8:]

        return lines

    def test_on_both(self, lines):
        table, advice = lines(100.0, 1.0, lambda: 400.0)[:3], lines(100.0, 1.0, lambda: 400.0)[4:]
        assert table == [
            "GFLOP/s, kernels x threads         Haswell x 1      Haswell x 2     SkylakeX x 1",
            "(1024 x 1024) @ (1024 x 1024)              100                1              400",
            "(20 x 650) @ (650 x 2600)                  100              100              100",
        ]
        assert advice == [
            "export OPENBLAS_NUM_THREADS=1  makes products 10.0 times as fast here.",
            "export OPENBLAS_CORETYPE=SkylakeX  makes products 2.0 times as fast here.",
        ]

    def test_not_from_a_moment_in_which_others_were_in_the_way(self, lines):
        assert lines(100.0, 1.0, lambda: 100.0, again=190.0)[4:] == ["Nothing to set: all is well."]

    def test_not_for_a_small_gain(self, lines):
        assert lines(100.0, 90.0, lambda: 120.0)[4:] == ["Nothing to set: all is well."]

    def test_where_the_better_kernels_cannot_be_tried(self, lines):
        def fail():
            raise RuntimeError("this openblas has none")

        advice = "SkylakeX kernels fit this processor, but this openblas has none."
        assert lines(100.0, 200.0, fail)[4:] == [advice]

    @pytest.mark.parametrize(("name", "variable"), [("mkl", "MKL"), ("flexiblas", "OMP")])
    def test_by_the_variable_of_the_library(self, lines, name, variable):
        advice = lines(100.0, 1.0, None, name)[4:]
        assert advice == [
            f"export {variable}_NUM_THREADS=1  makes products 10.0 times as fast here."
        ]


def test_a_kernel_that_there_is_none_of():
    rows, _ = report(OPENBLAS_CORETYPE="nonsense")
    if not rows["kernels"].startswith("unknown"):
        assert rows["kernels"].endswith("(OPENBLAS_CORETYPE=nonsense does not exist here)")


def test_who_has_read_enough_may_stop():
    command = f"{shlex.quote(sys.executable)} -m minigrad | head -1"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.startswith("minigrad ")
    assert ran.stderr == ""


def test_more_threads_than_cores():
    _, lines = report(OMP_NUM_THREADS="4096", MKL_NUM_THREADS="all")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    advice = [line for line in lines if "_THREADS" in line]
    assert advice == [f"export OMP_NUM_THREADS={cores}  as this process has no more cores."]


def test_the_widest_report_still_fits():
    names = ["GOTO", "OMP", "MKL", "BLIS"]
    rows, _ = report(
        OPENBLAS_CORETYPE="a" * 100, **{f"{name}_NUM_THREADS": "4096" for name in names}
    )
    assert rows["threads"].endswith(" ...")


def test_without_threadpoolctl_and_cupy(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    rows, lines = report(path=[tmp_path], OPENBLAS_CORETYPE="Haswell")
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    assert rows["BLAS"] == f"{built['name']} {built['version']}"
    assert rows["kernels"] == "unknown (OPENBLAS_CORETYPE=Haswell)"
    assert rows["threads"] == "unknown (OPENBLAS_NUM_THREADS=1)"
    assert rows["GPU"] == 'none: CuPy is not installed (pip install "minigrad-rnn[gpu]")'
    assert rows["packages"].endswith("; no threadpoolctl")
    assert lines[-1] == "pip install threadpoolctl  shows the kernels and the threads in use."


@pytest.mark.parametrize(
    ("cupy", "expected"),
    [
        (
            "raise ImportError('no libcuda\\nanywhere')",
            r"none: .*\(ImportError: no libcuda anywhere\)",
        ),
        ("class Odd(Exception): ...\nraise Odd('\u00e4 ' * 99)", r"none: .*\(Odd: \? .* \.\.\."),
        (
            "import warnings; warnings.warn('no CUDA path')\n1 / 0",
            r"none: .*\(ZeroDivisionError: .*",
        ),
        ("", r"none: .*\(AttributeError: .*"),
        ("__version__ = '14'\nclass cuda: from fake_cuda import runtime", "CuPy 14: GPU 0, GPU 1"),
    ],
)
def test_the_line_on_the_gpu(tmp_path, cupy, expected):
    (tmp_path / "cupy.py").write_text(cupy, "utf-8")
    (tmp_path / "fake_cuda.py").write_text(
        "class runtime:\n"
        "    getDeviceCount = lambda: 2\n"
        "    getDeviceProperties = lambda i: {'name': b'GPU %d' % i}\n"
    )
    rows, _ = report(path=[tmp_path])
    assert re.fullmatch(expected, rows["GPU"]), rows["GPU"]


def test_a_trial_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeError, match=r"trying them failed \(FileNotFoundError\)"):
        speeds_with("SkylakeX")


@openblas
def test_kernels_that_this_openblas_does_not_have():
    with pytest.raises(RuntimeError, match="this openblas has none"):
        speeds_with("Fantasy")


def test_help_and_what_it_does_not_know():
    process = call("-m", "minigrad", "--help")
    assert process.returncode == 0
    assert "Report what minigrad runs on here" in process.stdout
    process = call("-m", "minigrad", "--fast")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.splitlines()[-1].endswith("error: unrecognized arguments: --fast")
