"""TensorBoard's event files of a run."""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.measuring.units import Unit

PREFIX = "events.out.tfevents."
"""How the name of an event file begins; then come the time in seconds and the machine."""

FIELDS = {
    "grad_norm": "gradient_norm/before_clipping",
    "grad_norm_clipped": "gradient_norm/after_clipping",
    "lr": "learning_rate",
    "tokens_per_second": "tokens_per_second",
    "memory": "memory",
}
"""The tag of each field of a record except the loss."""


def library() -> tuple[Any, Any, Any]:
    """The parts of tensorboardX that are needed.

    Raises
    ------
    ModuleNotFoundError
        if it is not installed.
    """
    try:
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import masked_crc32c
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "tensorboardX":
            raise
        raise ModuleNotFoundError(
            "TensorBoardLog: TensorBoard's event files need tensorboardX: in the checkout of "
            'minigrad, python -m pip install ".[tensorboard]"'
        ) from None
    return event_pb2, summary_pb2, masked_crc32c


class TensorBoardLog:
    """Event files that ``tensorboard --logdir`` shows, also while the run goes on.

    Each record is in the file before `write` returns, so a run that is killed loses none. (The
    usual writer, `tensorboardX.SummaryWriter`, hands its records to a thread; when that can't write
    any more, because the disk is full, the program waits for it for ever.)

    Parameters
    ----------
    directory
        where the files go. It is made if it is missing; files in it stay.
    purge_step
        the first step that a resumed run will take again: TensorBoard then forgets this step and
        all later ones of earlier files. None: nothing is forgotten.
    unit
        a unit to write losses in, besides nats.

    Raises
    ------
    ModuleNotFoundError
        without tensorboardX.
    OSError
        if a file can't be made there.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        purge_step: int | None = None,
        unit: Unit | None = None,
    ) -> None:
        event_pb2, summary_pb2, masked_crc32c = library()
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._checksum = masked_crc32c
        self.unit, folder = unit, Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / _next_name(folder)
        self._file = self.path.open("xb")
        self._put(file_version="brain.Event:2")
        if purge_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._put(step=purge_step, session_log=start)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a record as in `metrics.jsonl`, without what is not finite.

        Raises
        ------
        OSError
            if it can't be written.
        """
        split, scalars = record["split"], {}
        if (loss := record.get("loss")) is not None:
            scalars[f"loss/{split}"] = loss
            if self.unit is not None:
                scalars[f"{self.unit.short}/{split}"] = self.unit.of(loss)
        scalars |= {tag: record[key] for key, tag in FIELDS.items() if record.get(key) is not None}
        values = [
            self._summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
            if abs(value) < 3.4e38 and not math.isnan(value)  # they are stored in 32 bits
        ]
        self._put(step=int(record["step"]), summary=self._summary(value=values))

    def close(self) -> None:
        """Close the file. Doing so again does nothing."""
        self._file.close()

    def _put(self, **content: Any) -> None:
        """Write an event as a TFRecord: its length, the event, and a checksum of each."""
        event: bytes = self._event(wall_time=time.time(), **content).SerializeToString()
        length = struct.pack("<Q", len(event))
        pieces = (length, self._sum(length), event, self._sum(event))
        self._file.write(b"".join(pieces))
        self._file.flush()

    def _sum(self, data: bytes) -> bytes:
        return struct.pack("<I", self._checksum(data))


def _next_name(folder: Path) -> str:
    """A name after all those in `folder`: TensorBoard reads event files in the order of names.

    So a run that is resumed within a second, or with the clock set back, comes after itself.
    """
    seconds = [file.name.removeprefix(PREFIX)[:10] for file in folder.glob(f"{PREFIX}*")]
    latest = max((int(s) for s in seconds if s.isdecimal()), default=0)
    return f"{PREFIX}{max(int(time.time()), latest + 1):010}.{socket.gethostname()}"
