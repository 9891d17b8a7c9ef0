import math
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from models.measuring.units import UNITS
from models.showing.tensorboard import TensorBoardLog

pytest.importorskip("tensorboardX")
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

ROOT = Path(__file__).parents[2]


def events(path):
    """All whole events of a file, in order, their checksums verified."""
    content, at, found = path.read_bytes(), 0, []
    while at + 12 <= len(content):
        (length,) = struct.unpack("<Q", content[at : at + 8])
        end = at + 12 + length
        if end + 4 > len(content):
            break
        checksums = struct.unpack("<I", content[at + 8 : at + 12])
        checksums += struct.unpack("<I", content[end : end + 4])
        assert checksums == tuple(
            map(masked_crc32c, (content[at : at + 8], content[at + 12 : end]))
        )
        found.append(Event.FromString(content[at + 12 : end]))
        at = end + 4
    return found


def shown(directory):
    """The scalars by tag, as TensorBoard shows them: a restart purges all from its step on."""
    series = {}
    for path in sorted(directory.iterdir()):
        for event in events(path):
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                series = {
                    tag: [(step, value) for step, value in points if step < event.step]
                    for tag, points in series.items()
                }
            for value in event.summary.value:
                series.setdefault(value.tag, []).append((event.step, value.simple_value))
    return series


def train(step, loss=2.0, **more):
    return {"step": step, "epoch": step / 10, "split": "train", "loss": loss, **more}


def test_tags_and_values(tmp_path):
    log = TensorBoardLog(tmp_path / "a" / "b", unit=UNITS["char"])
    log.write(
        train(5, math.log(2), lr=0.5, grad_norm=3.0, grad_norm_clipped=1.0, tokens_per_second=100)
    )
    log.write({"step": 6, "split": "valid", "loss": 2 * math.log(2), "seconds": 1.0})
    log.close()
    log.close()
    values = shown(tmp_path / "a" / "b")
    assert values.keys() == {
        "loss/train", "loss/valid", "bpc/train", "bpc/valid", "learning_rate", "tokens_per_second",
        "gradient_norm/before_clipping", "gradient_norm/after_clipping",
    }  # fmt: skip
    assert values["bpc/train"] == [(5, 1.0)]
    assert values["bpc/valid"] == [(6, 2.0)]
    assert values["gradient_norm/before_clipping"] == [(5, 3.0)]
    assert values["loss/train"] == [(5, pytest.approx(math.log(2)))]


def test_without_a_unit_losses_are_in_nats(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.write(train(1, 3.0))
    log.close()
    assert shown(tmp_path) == {"loss/train": [(1, 3.0)]}


def test_begins_with_the_version_of_the_format(tmp_path):
    log = TensorBoardLog(tmp_path)
    assert [event.file_version for event in events(log.path)] == ["brain.Event:2"]
    log.close()


def test_what_is_not_finite_in_32_bits_is_left_out(tmp_path):
    log = TensorBoardLog(tmp_path, unit=UNITS["word"])
    log.write(train(1, 1000.0, grad_norm=1e300, lr=math.nan, memory=None))
    log.write(train(2, math.log(50)))
    log.close()
    values = shown(tmp_path)
    assert values["perplexity/train"] == [(2, pytest.approx(50))]
    assert values["loss/train"] == [(1, 1000.0), (2, pytest.approx(math.log(50)))]
    assert values.keys() == {"loss/train", "perplexity/train"}


def test_resuming_shows_no_step_twice(tmp_path):
    killed = TensorBoardLog(tmp_path)
    for step in range(10, 60, 10):
        killed.write(train(step, 1.0))
    killed.close()
    resumed = TensorBoardLog(tmp_path, purge_step=31)  # all within one second
    for step in range(40, 80, 10):
        resumed.write(train(step, 2.0))
    resumed.close()
    again = TensorBoardLog(tmp_path, purge_step=61)
    again.write(train(70, 4.0))
    again.close()
    assert len(list(tmp_path.iterdir())) == 3
    assert shown(tmp_path)["loss/train"] == [
        (10, 1.0), (20, 1.0), (30, 1.0), (40, 2.0), (50, 2.0), (60, 2.0), (70, 4.0),
    ]  # fmt: skip


def test_tensorboard_itself_shows_the_same(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    for purge_step, steps in ((None, (10, 20, 30, 40)), (21, (30, 40, 50))):
        log = TensorBoardLog(tmp_path, purge_step)
        for step in steps:
            log.write(train(step, float(len(steps))))
        log.close()
    read = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss/train")] == [
        (10, 4.0), (20, 4.0), (30, 3.0), (40, 3.0), (50, 3.0),
    ]  # fmt: skip


def test_names_rise_though_the_clock_is_set_back(tmp_path, monkeypatch):
    names = []
    for now in (1_700_000_000, 1_700_000_000, 1_600_000_000, 1_800_000_000):
        monkeypatch.setattr("time.time", lambda now=now: float(now))
        log = TensorBoardLog(tmp_path)
        names.append(log.path.name)
        log.close()
    assert names == sorted(names)
    assert len(set(names)) == 4
    assert re.fullmatch(r"events\.out\.tfevents\.1800000000\..+", names[-1])


def test_a_kill_loses_no_record(tmp_path):
    program = (
        "import sys, time\n"
        "from models.showing.tensorboard import TensorBoardLog\n"
        "log = TensorBoardLog(sys.argv[1])\n"
        "for step in range(100): log.write({'step': step, 'split': 'train', 'loss': 1.0})\n"
        "print('written', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [step for step, _ in shown(tmp_path)["loss/train"]] == list(range(100))


def test_a_torn_last_record_leaves_the_rest(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.write(train(1))
    log.write(train(2))
    log.close()
    log.path.write_bytes(log.path.read_bytes()[:-5])
    resumed = TensorBoardLog(tmp_path, purge_step=2)
    resumed.write(train(2, 3.0))
    resumed.close()
    assert shown(tmp_path)["loss/train"] == [(1, 2.0), (2, 3.0)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told_and_does_not_hang(tmp_path):
    log = TensorBoardLog(tmp_path)
    log._file.close()
    log._file = open("/dev/full", "wb", buffering=4096)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        log.write(train(1))
    with pytest.raises(OSError, match="No space left"):
        log.close()


def test_where_no_file_can_be_made(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(FileExistsError):
        TensorBoardLog(tmp_path / "file")


def test_without_tensorboardx(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "\.\[tensorboard\]"'):
        TensorBoardLog(tmp_path / "tb")
    assert not (tmp_path / "tb").exists()
