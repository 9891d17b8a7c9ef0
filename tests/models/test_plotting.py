import struct

import pytest

from models.plotting import loss_curve
from models.units import UNITS

RECORDS = [
    {"step": 0, "split": "valid", "loss": 4.6},
    {"step": 10, "split": "train", "loss": 3.1},
    {"step": 20, "split": "train", "loss": 2.1},
    {"step": 20, "split": "valid", "loss": 2.2},
]


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("records", [[], RECORDS[:1], RECORDS[1:2], RECORDS])
def test_is_a_png(level, records):
    picture = loss_curve(records, UNITS[level], "a title with $x and 한글")
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (1200, 750)


def test_units():
    assert UNITS["char"].told(1.3862943611) == "2.000 bpc"
    assert UNITS["word"].told(4.605170186) == "perplexity 100.0"
    assert UNITS["word"].told(20.0) == "perplexity 4.9e+08"
