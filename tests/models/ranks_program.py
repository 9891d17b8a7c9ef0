"""Trainings by 1, 2 and 4 ranks, all in the same four processes: to start Python takes longest.

It is started by mpiexec, with a directory and a text. Each training is the command ``train`` as it
is started on each rank, and leaves what it shows on the terminal in ``NAME.txt``, and its exit
status there, in the last line.
"""

import atexit
import dataclasses
import os
import signal
import sys
import time
from types import SimpleNamespace

import typer
from mpi4py import MPI

from minigrad.distributed import Communicator
from minigrad.distributed.mpi_communicator import MpiCommunicator
from minigrad.files import program

FOLDER, TEXT = sys.argv[1:]
OPTIONS = ["train", "--text", TEXT, "--batch-size", "8", "--hidden-size", "16", "--bptt", "8"]
OPTIONS += ["--embedding-size", "8", "--dropout", "0.2", "--shards", "4", "--steps", "24"]
OPTIONS += ["--eval-every", "8", "--samples", "0"]

# what draws the curves takes longer than all the rest
sys.modules["models.showing.curves"] = SimpleNamespace(curves=lambda *arguments: b"a picture")

from models.commands import training  # noqa: E402
from models.commands.train import train  # noqa: E402
from models.runs import ranks  # noqa: E402
from models.runs.trainer import Trainer  # noqa: E402

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(train)
app.command("other")(lambda: None)  # or `train` would be no word of the command line

everyone = MPI.COMM_WORLD
ranks.ALONE = 0.0
ranks._leave = lambda: None  # MPI goes on
launch = Trainer.launch


def job(name, size, *options, asked=OPTIONS, again=None, stop=(None, None), others=None):
    """Train on the ranks below `size`, with the options `asked` and these.

    `again` names a training that goes on. `stop` is a rank that gets a Ctrl-C, and its step. The
    function `others` changes what is on the ranks but 0, and returns more options for them.
    """
    rank, terminal = everyone.rank, [os.dup(1), os.dup(2)]
    part = everyone.Split(rank < size)
    if rank < size:
        communicator = Communicator()
        if size > 1:
            communicator = MpiCommunicator(part, 60.0)
            communicator.meet()
        ranks.launched = training.launched = lambda: (rank, size)
        ranks.world = lambda: communicator
        ranks._Here.leader = ranks._Here.output = None
        ranks._Here.met = False

        def stopped(self, lr):
            if (rank, self.step) == stop:
                signal.raise_signal(signal.SIGINT)
            launch(self, lr)

        Trainer.launch = stopped
        where = f"{FOLDER}/{again or name}"
        sys.argv = ["models", *(["train", "--resume", where] if again else [*asked, *options])]
        sys.argv += [] if again or "--out" in options else ["--out", where]
        sys.argv[1:] = ["sample", where] if name == "another-command" else sys.argv[1:]
        sys.argv += others() if others and rank else []
        shown = os.open(f"{FOLDER}/{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(shown, 1)
        os.dup2(shown, 2)
        status = 0
        try:
            with ranks.ranks(), program():
                app(prog_name="python -m models")
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        if size > 1:
            atexit.unregister(communicator._leave)
        statuses = part.allgather(status)
        if rank == 0:
            os.write(shown, f"\n{statuses}".encode())
        os.close(shown)
    for number, saved in enumerate(terminal, 1):
        os.dup2(saved, number)
        os.close(saved)
    waiting = everyone.Ibarrier()  # which, unlike Barrier, leaves the processor to others
    while not waiting.Test():
        time.sleep(0.005)


job("one", 1)
job("two", 2, "--no-capture")
job("four", 4, "--capture")

job("stopped", 4, stop=(0, 9))
if everyone.rank == 0:
    os.remove(f"{FOLDER}/stopped/ranks/rank-1.txt")
    os.mkfifo(f"{FOLDER}/stopped/ranks/rank-1.txt")  # nobody reads it
job("stopped-with-2", 2, again="stopped", stop=(1, 14))
job("stopped-with-1", 1, again="stopped")


def another_text():
    corpus_of = ranks.corpus_of

    def other(settings, tokenizer):
        ranks.corpus_of = corpus_of
        return corpus_of(dataclasses.replace(settings, text=(f"{FOLDER}/reversed.txt",)), tokenizer)

    ranks.corpus_of = other
    return []


def other_code():
    hash_of_sources = ranks._hash_of_sources

    def other():
        ranks._hash_of_sources = hash_of_sources
        return "of other files"

    ranks._hash_of_sources = other
    return []


def other_threads():
    used = ranks.cpu.blas()

    def other():
        ranks.cpu.blas = lambda: used
        return dataclasses.replace(used, threads=7)

    ranks.cpu.blas = other
    return []


def other_command():
    sys.argv[1] = "sample"
    return []


def full_disk():
    fsync = os.fsync

    def full(descriptor):
        os.fsync = fsync
        raise OSError(28, "No space left on device")

    os.fsync = full


job("another-rate", 2, others=lambda: ["--lr", "0.5"])
job("wrong-option-on-one", 2, others=lambda: ["--nonsense"])
job("wrong-option", 2, "--nonsense")
job("another-command", 2)
job("no-text", 2, "--text", f"{FOLDER}/missing.txt")
job("other-code", 2, others=other_code)
job("other-threads", 2, others=other_threads)
job("another-text", 2, others=another_text)
job("no-directory", 2, "--out", TEXT)
job("there-already", 2, "--out", f"{FOLDER}/two")
job("too-many", 4, "--shards", "2")
job("no-multiple", 3, asked=[*OPTIONS[:3], "--batch-size", "8"])
job("other-command", 2, others=other_command)
if everyone.rank == 0:
    full_disk()
job("full-disk", 2)
