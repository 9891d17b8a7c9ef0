from functools import cache

import pytest
import typer.testing

from models.showing import curves, looking

# to build the commands takes thirty times as long as most calls
typer.testing._get_command = cache(typer.testing._get_command)

RHYME = """\
The north wind and the sun were disputing which was the stronger, when a
traveller came along wrapped in a warm cloak. They agreed that the one who
first made the traveller take his cloak off should be considered stronger.
"""


@pytest.fixture
def rhyme():
    return RHYME


@pytest.fixture
def text_file(tmp_path):
    """A file of 2,300 characters, in lines."""
    path = tmp_path / "fable.txt"
    path.write_text(RHYME * 10, encoding="utf-8")
    return path


@pytest.fixture(autouse=True, scope="module")
def _no_pictures():
    """Runs do not draw their curves, which takes longer than all the rest; see `pictures`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "curves", lambda *arguments: b"a picture")
        yield


@pytest.fixture
def pictures(monkeypatch):
    """Runs draw their curves."""
    monkeypatch.setattr(curves, "curves", looking.curves)
