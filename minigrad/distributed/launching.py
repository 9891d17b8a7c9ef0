"""Which process of how many this one is, and how a job ends when one of them fails."""

from __future__ import annotations

import faulthandler
import os
import sys
from types import TracebackType
from typing import Any

from minigrad.arrays.devices import take_gpu
from minigrad.distributed.communicator import Communicator
from minigrad.distributed.nccl_communicator import NcclCommunicator

_VARIABLES = {
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "PMI_RANK": "PMI_SIZE",  # MPICH and what came from it, and srun --mpi=pmi2
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",  # MVAPICH
    "PMIX_RANK": "SLURM_STEP_NUM_TASKS",  # srun --mpi=pmix; others that speak PMIx tell no size
}
"""In which variables mpiexec tells a process its rank and the number of ranks. (Slurm's
SLURM_NTASKS is none of them: a process that sbatch starts once has it too.)"""

_world: Communicator | None = None


def launched() -> tuple[int, int]:
    """The rank of this process and the number of ranks, by what mpiexec says; 0 and 1: no mpiexec.

    Unlike `world`, it starts nothing: MPI can't be started twice in a process, so whoever starts
    itself again (see `minigrad.cpu`) has to do that before.
    """
    for rank, size in _VARIABLES.items():
        if os.environ.get(rank, "").isdecimal() and os.environ.get(size, "").isdecimal():
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def world(timeout: float | None = 600.0) -> Communicator:
    """The line to all processes that mpiexec has started together with this one.

    MPI is used (and mpi4py imported) if mpiexec has started this process, or if the program has
    imported ``mpi4py.MPI``. Else the process is alone. Later calls return the same object.

    Each rank is given the GPU of its number on its machine, among those in CUDA_VISIBLE_DEVICES or
    among all: ``"cuda"`` is then this one, and arrays on it go to other GPUs by NCCL. So call it
    before anything asks for a GPU.

    With several ranks, an exception that nobody catches ends the whole job: it is told once, after
    ``rank 2 of 4``, and mpiexec returns a status that is not 0. So no rank waits for ever for one
    that has failed.

    Parameters
    ----------
    timeout
        the seconds that a rank waits for others (see `Communicator`); None: for ever.

    Raises
    ------
    ModuleNotFoundError
        if mpiexec has started this process, and mpi4py is not installed.
    RuntimeError
        if mpiexec belongs to another MPI than the one that mpi4py uses. Each process would believe
        that it is alone, and all would do the same work. Or if this rank, one of several, has used
        a GPU before.
    TimeoutError
        if not all ranks call this within `timeout`. If one has not even started MPI until then (it
        may have ended before), this process ends, after a traceback: MPI cannot be interrupted.
    ValueError
        if `timeout` is not above 0.
    """
    global _world
    if timeout is not None and not timeout > 0:
        raise ValueError(f"world: timeout must be a number above 0 or None, got {timeout!r}")
    if _world is None:
        _world = _found(timeout)
    return _world


def _found(timeout: float | None) -> Communicator:
    told = _told_by_mpiexec()
    if "mpi4py.MPI" not in sys.modules and all(size == "1" for size in told.values()):
        return Communicator()
    try:
        MPI = _started_by_all_ranks(timeout)
    except ModuleNotFoundError as error:
        if error.name != "mpi4py":
            raise
        raise ModuleNotFoundError(
            "world: mpiexec has started this process, and to speak with the others it needs "
            'mpi4py: python -m pip install "minigrad-rnn[mpi]"',
            name="mpi4py",
        ) from None
    size = MPI.COMM_WORLD.Get_size()
    library = MPI.Get_library_version().replace(",", "\n").splitlines()[0]
    if told and not any(said in ("", str(size)) for said in told.values()):
        raise RuntimeError(
            f"world: mpiexec has started {' or '.join(sorted({*told.values()}))} processes, but "
            f"mpi4py sees {size}; its MPI is {library}, "
            "and mpiexec belongs to another: use the mpiexec that came with mpi4py's MPI, or "
            "install mpi4py for the MPI of this mpiexec"
        )
    if size == 1:
        return Communicator()
    from minigrad.distributed.mpi_communicator import MpiCommunicator

    communicator = MpiCommunicator(MPI.COMM_WORLD, timeout)
    end_the_job_on_errors(communicator)
    communicator.meet()
    take_gpu(communicator.local_rank, communicator.local_size)
    return NcclCommunicator(communicator)


def _started_by_all_ranks(timeout: float | None) -> Any:
    """The module ``mpi4py.MPI``, whose import waits for all ranks, and would do so for ever.

    Python can do nothing meanwhile, so another thread than one of Python's has to end it.
    """
    if timeout is not None:
        faulthandler.dump_traceback_later(timeout, exit=True, file=2)  # 2: standard error
    try:
        from mpi4py import MPI
    finally:
        faulthandler.cancel_dump_traceback_later()
    return MPI


def _told_by_mpiexec() -> dict[str, str]:
    """For each MPI that has set its variables, the number of ranks; "" if it does not tell it."""
    there = os.environ
    return {rank: there.get(size, "") for rank, size in _VARIABLES.items() if rank in there}


def end_the_job_on_errors(communicator: Communicator) -> None:
    """From now on, an exception that nobody catches is told and ends the whole job."""
    before = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        def tell() -> None:
            print(f"{communicator!r}:", file=sys.stderr)
            before(kind, error, traceback)

        communicator.abort(130 if issubclass(kind, KeyboardInterrupt) else 1, tell)

    sys.excepthook = hook
