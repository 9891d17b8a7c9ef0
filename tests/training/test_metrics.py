import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.training import MetricsLog, bits, perplexity


def test_measures():
    assert bits(math.log(2)) == pytest.approx(1)
    assert bits(math.log(8)) == pytest.approx(3)
    assert perplexity(math.log(50)) == pytest.approx(50)
    assert perplexity(0.0) == 1
    assert perplexity(1e6) == math.inf


@pytest.mark.parametrize("number", [np.float32(2), np.float16(2), np.int64(2), mg.tensor(2.0)])
def test_measures_of_other_numbers_are_plain(number):
    for measure in (bits, perplexity):
        assert type(measure(number)) is float
        assert measure(number) == pytest.approx(measure(2.0))


class TestMetricsLog:
    def test_records_come_back(self, tmp_path):
        log = MetricsLog(tmp_path / "metrics.jsonl")
        records = [{"step": 1, "split": "train", "loss": 2.5}, {"step": 2, "note": "한글\n"}]
        for record in records:
            log.write(record)
        assert log.read() == records
        lines = log.path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == records

    def test_goes_on_with_what_is_there(self, tmp_path):
        MetricsLog(tmp_path / "m").write({"step": 1})
        MetricsLog(tmp_path / "m").write({"step": 2})
        assert MetricsLog(tmp_path / "m").read() == [{"step": 1}, {"step": 2}]

    def test_numbers_of_numpy_and_tensors(self, tmp_path):
        log = MetricsLog(tmp_path / "m")
        log.write({"a": np.float32(0.5), "b": [np.int64(2)], "c": np.True_, "d": mg.tensor(3.0)})
        assert log.read() == [{"a": 0.5, "b": [2], "c": True, "d": 3.0}]
        for value in ({1}, np.ones(2), mg.ones(2), b"x"):
            with pytest.raises(TypeError, match="MetricsLog: a record holds numbers"):
                log.write({"a": value})

    @pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan"), np.float64("inf")])
    def test_nan_is_refused_and_nothing_written(self, tmp_path, value):
        log = MetricsLog(tmp_path / "m")
        log.write({"loss": 1.0})
        with pytest.raises(ValueError, match="JSON"):
            log.write({"loss": value})
        assert log.read() == [{"loss": 1.0}]

    def test_an_unfinished_last_line_is_passed_over(self, tmp_path):
        log = MetricsLog(tmp_path / "m")
        log.write({"step": 1})
        with log.path.open("ab") as file:
            file.write(b'{"step": 2, "lo')
        assert log.read() == [{"step": 1}]

    @pytest.mark.parametrize("line", [b"{]", b"[1]", b"\xff"])
    def test_a_damaged_line_is_named(self, tmp_path, line):
        path = tmp_path / "m"
        path.write_bytes(b'{"step": 1}\n' + line + b"\n")
        with pytest.raises(ValueError, match="line 2"):
            MetricsLog(path).read()

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            MetricsLog(tmp_path / "m").read()
