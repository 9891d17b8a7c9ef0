"""A program for several ranks, of which one has a fault: the last one, in most cases."""

import os
import signal
import sys
import time
from contextlib import suppress

import numpy as np

import minigrad as mg
from minigrad.distributed import average_gradients, world

fault, timeout = sys.argv[1], float(sys.argv[2])
if fault.startswith("no ") and "1" in (os.environ.get("PMI_RANK"), os.environ.get("PMIX_RANK")):
    if fault == "no MPI":
        sys.exit(1)
    import mpi4py.MPI  # noqa: F401 (a rank, but it never asks for the others)

    time.sleep(60)
ranks = world(timeout if fault.startswith("no ") else 60)
ranks.timeout = timeout
at_fault = ranks.rank == ranks.size - 1
assert ranks.gather(ranks.rank) == [*range(ranks.size)]
if at_fault and fault == "raises":
    raise ValueError("the text is empty")
if at_fault and fault == "memory":
    np.ones(1 << 50)
if at_fault and fault == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if at_fault and fault.startswith("exits"):
    sys.exit(int(fault.removeprefix("exits ")))
if at_fault and fault == "aborts":
    ranks.abort(7, lambda: print("cannot write", file=sys.stderr))
if at_fault and fault == "hangs":
    time.sleep(60)
if fault == "interrupted":
    if not at_fault:
        time.sleep(60)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with suppress(KeyboardInterrupt):
        ranks.barrier()
if fault == "all raise":
    raise ValueError("the text is empty")
if fault in ("other parameters", "none"):
    w = mg.zeros(3 + (at_fault and fault != "none")).requires_grad_()
    (w * w).sum().backward()
    average_gradients([w], ranks)
ranks.barrier()
print(f"rank {ranks.rank} has done its work")
