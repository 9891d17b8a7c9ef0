"""Several processes that train one model together: each takes a part of the batch.

``mpiexec -n 4 python train.py`` starts four processes, the *ranks* 0 to 3. Each runs the same
program, and `world` tells it which rank it is. `average_gradients` then makes the gradients of all
ranks their mean, so that every rank takes the same step. `GradientAverage` does the same for a
batch that is cut into a fixed number of shards: the weights are then equal bit for bit, whatever
the number of ranks.

To read it, begin with `communicator`; then `shard_tree` (the order of the sum), `averaging`,
`launching` (what mpiexec says, and how a job ends), `mpi_communicator` and `nccl_communicator`. MPI
is the standard of the field: MPI Forum, "MPI: A Message-Passing Interface Standard", version 4.1
(2023). NCCL is NVIDIA's library for what GPUs tell each other.
"""

from minigrad.distributed.averaging import GradientAverage, average_gradients
from minigrad.distributed.communicator import Communicator
from minigrad.distributed.launching import launched, world

__all__ = ["Communicator", "GradientAverage", "average_gradients", "launched", "world"]
