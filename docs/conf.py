"""The site: ``make docs``."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_extensions"), str(Path(__file__).parents[1])]

import minigrad  # noqa: E402

project = "minigrad"
author = copyright = "the minigrad authors"
version = release = minigrad.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx-mathjax-offline",  # formulas without a request elsewhere
    "sphinx_copybutton",
    "browser_files",
    "notebooks",
    "reference_pages",
    "source_pages",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".py": "myst-nb"}
exclude_patterns = [
    "_build",
    "_extensions",
    "_templates",
    "*.py",
    "locale",
]  # the programs of docs/ are no pages
root_doc = "index"

# ---------------------------------------------------------------------- pages with code

nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "cells")  # for both languages
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
IN_KOREAN = "language=ko" in sys.argv  # as `make docs` calls it
nb_code_prompt_show = "지금까지 만든 것" if IN_KOREAN else "What we have so far"
nb_code_prompt_hide = "지금까지 만든 것 접기" if IN_KOREAN else "Hide what we have so far"
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

# ---------------------------------------------------------------------- reference

default_role = "py:obj"
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"

# ---------------------------------------------------------------------- looks

html_theme = "furo"
html_title = "minigrad"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_css_files = ["site.css"]
html_js_files = [("browser/cells.js", {"type": "module"})]
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False

# ---------------------------------------------------------------------- Korean

locale_dirs = ["locale"]
gettext_compact = False
gettext_uuid = False
