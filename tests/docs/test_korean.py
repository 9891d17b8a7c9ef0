"""The Korean pages are as new as the English ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KOREAN = ROOT / "docs/locale/ko/LC_MESSAGES"
PAGES = sorted(path.relative_to(KOREAN).with_suffix("") for path in KOREAN.rglob("*.po"))

pytestmark = pytest.mark.host(reason="pages of the book")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """What there is to be translated: a folder with a file .pot for each page."""
    folder = tmp_path_factory.mktemp("gettext")
    named = [f"{page}{suffix}" for page in PAGES for suffix in (".py", ".md")]
    pages = ["index.md", *(name for name in named if (ROOT / "docs" / name).exists())]
    options = ["extensions=myst_nb", "nb_execution_mode=off", f"include_patterns={','.join(pages)}"]
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext"]
    command += [part for option in options for part in ("-D", option)]
    subprocess.run([*command, str(ROOT / "docs"), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_translation_has_all_that_its_page_says_and_nothing_else(texts, page):
    babel = pytest.importorskip("babel.messages.pofile")
    with (texts / page).with_suffix(".pot").open("rb") as file:
        says = {each.id for each in babel.read_po(file) if each.id}
    with (KOREAN / page).with_suffix(".po").open("rb") as file:
        catalogue = babel.read_po(file)
    translated = {each.id for each in catalogue if each.id and each.string and not each.fuzzy}
    assert says - translated == set(), "not translated, or changed since"
    assert translated - says == set(), "no longer in the page"
    assert not catalogue.obsolete
    for each in catalogue:  # MyST reads these as something else, and says nothing
        assert not re.match(r"\d+\. ", each.string), f"a list, and no title: {each.string!r}"
        if "\\" in each.id and not set("$`") & set(each.id):
            assert each.string == each.id, f"a formula in a line of its own stays: {each.id!r}"
