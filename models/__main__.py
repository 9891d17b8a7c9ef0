"""``python -m models``."""

import os
import signal
import sys
from importlib.util import find_spec

interruption = signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it starts, Ctrl-C ends it

NEEDED = (
    *("filelock", "matplotlib", "numpy", "psutil", "requests", "rich", "safetensors"),
    *("tomli_w", "typer"),
)
missing = [name for name in NEEDED if not find_spec(name)]
if missing:
    sys.exit(
        f"The command line needs {', '.join(missing)}. Install what it needs from the checkout of "
        'minigrad with:\n\n    python -m pip install --editable ".[models]"\n'
    )


def _share_cores(processes: int) -> None:
    """Let each of the processes that mpiexec has started on this machine use its part of the cores.

    mpiexec may bind each to some cores, or leave that; whoever has started this one is not bound.
    """
    everywhere, own = (
        len(os.sched_getaffinity(p)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for p in (os.getppid(), 0)
    )
    os.environ["OMP_NUM_THREADS"] = str(max(1, min(everywhere // processes, own)))


here = os.environ.get("MPI_LOCALNRANKS") or os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or "1"
if int(here) > 1 and not any(name.endswith("_NUM_THREADS") for name in os.environ):
    _share_cores(int(here))  # before NumPy is loaded, which reads it

from minigrad import cpu  # noqa: E402

if "train" not in sys.argv[1:3]:  # which knows only later what it is going to compute
    cpu.restart_with_better_kernel()

from models.commands.cli import main  # noqa: E402

os.environ.pop("MPLBACKEND", None)  # pictures go into files: matplotlib needs no screen
signal.signal(signal.SIGINT, interruption)
main()
