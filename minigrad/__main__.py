"""``python -m minigrad``: what is installed, how fast matrix products are, and what to set."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import textwrap
import warnings
from importlib.util import find_spec

import numpy as np

import minigrad as mg
from minigrad.arrays import blas, threads
from minigrad.files import printable, program

OPTIONAL = ("threadpoolctl", "matplotlib", "safetensors", "rich", "typer", "hypothesis")
THREADS = (
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "MINIGRAD_NUM_THREADS",
)


def main() -> None:
    """Print the report."""
    argparse.ArgumentParser(
        prog="python -m minigrad",
        description="Report what minigrad runs on here: versions, processor, BLAS and its kernels, "
        "threads, GPU; measure matrix products for half a second; and say what to set to make them "
        "faster.",
    ).parse_args([printable(argument) for argument in sys.argv[1:]])
    used = blas.in_use()  # before anything else can load a BLAS of its own
    _print_installation(used)

    name = used.kernel or used.name
    with blas.one_thread():
        alone = blas.speeds()
    columns = {f"{name} x 1" if used.threads else name: alone}
    advice = _advice_on_cores()
    if used.threads and used.threads > 1:
        together = blas.speeds()
        own = f"{used.name.upper()}_NUM_THREADS"
        variable = own if own in THREADS else "OMP_NUM_THREADS"
        if _advice(variable, "1", alone, together):  # other work may have disturbed it: again
            together = list(map(max, together, blas.speeds()))
        columns[f"{name} x {used.threads}"] = together
        advice += _advice(variable, "1", alone, together)
    if kernel := blas.newer_kernel(used, blas.vector_instructions()):
        try:
            columns[f"{kernel} x 1"] = better = blas.speeds_with(kernel)
            advice += _advice("OPENBLAS_CORETYPE", kernel, better, alone)
        except RuntimeError as error:
            advice.append(f"{kernel} kernels fit this processor, but {error}.")
    elif used.kernel is None and not find_spec("threadpoolctl"):
        advice.append("pip install threadpoolctl  shows the kernels and the threads in use.")
    _print_speeds(columns)
    print("\n" + "\n".join(advice or ["Nothing to set: all is well."]))


def _print_installation(used: blas.Blas) -> None:
    coretype = os.environ.get("OPENBLAS_CORETYPE")
    set_by = "" if not coretype else f" (OPENBLAS_CORETYPE={coretype})"
    if coretype and used.kernel and coretype.lower() != used.kernel.lower():
        set_by = f" (OPENBLAS_CORETYPE={coretype} does not exist here)"
    pool = ", ".join(f"{name}={os.environ[name]}" for name in THREADS if name in os.environ)
    missing = [name for name in OPTIONAL if not find_spec(name)]
    for label, value in {
        "minigrad": f"{mg.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "processor": ", ".join(
            [
                blas.processor(),
                *sorted(blas.vector_instructions()),
                f"{threads.cores()} cores to use",
            ]
        ),
        "BLAS": f"{used.name} {used.version or ''}",
        "kernels": f"{used.kernel or 'unknown'}{set_by}",
        "threads": f"{used.threads or 'unknown'}{pool and f' ({pool})'}",
        "GPU": _gpu(),
        "packages": "; ".join(
            [", ".join(n for n in OPTIONAL if n not in missing)] * (len(missing) < len(OPTIONAL))
            + [f"no {', '.join(missing)}"] * bool(missing)
        ),
    }.items():
        text = printable(value.encode("ascii", "replace").decode(), keep="\n\t")
        print(f"{label:11}{textwrap.shorten(text, 69, placeholder=' ...')}")


def _gpu() -> str:
    if not find_spec("cupy"):
        return 'none: CuPy is not installed (pip install "minigrad-rnn[gpu]")'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong shows in the next lines
            import cupy

            runtime = cupy.cuda.runtime
            devices = [
                runtime.getDeviceProperties(i)["name"].decode()
                for i in range(runtime.getDeviceCount())
            ]
    except Exception as error:  # a broken driver or installation may raise anything
        return f"none: CuPy cannot be used ({type(error).__name__}: {error})"
    return f"CuPy {cupy.__version__}: {', '.join(devices) or 'no device'}"


def _print_speeds(columns: dict[str, list[float]]) -> None:
    print(f"\n{'GFLOP/s, kernels x threads':29}" + "".join(f"{name:>17}" for name in columns))
    for i, (rows, inner, width) in enumerate(blas.SHAPES):
        product = f"({rows} x {inner}) @ ({inner} x {width})"
        print(f"{product:29}" + "".join(f"{speed[i]:17,.0f}" for speed in columns.values()))


def _advice(variable: str, value: str, then: list[float], now: list[float]) -> list[str]:
    """A line of advice to set `variable`, if the speeds `then` are enough better than `now`."""
    gain = blas.gain(then, now)
    if gain <= blas.GAIN:
        return []
    return [f"{_assignment(variable, value)}  makes products {gain:.1f} times as fast here."]


def _advice_on_cores() -> list[str]:
    cores = threads.cores()
    return [
        f"{_assignment(name, str(cores))}  as this process has no more cores."
        for name in THREADS
        if (value := os.environ.get(name, "")).isdecimal() and int(value) > cores
    ]


def _assignment(name: str, value: str) -> str:
    """The command of the shell that sets a variable."""
    return f"{'set' if os.name == 'nt' else 'export'} {name}={value}"


if __name__ == "__main__":
    with program():
        main()
