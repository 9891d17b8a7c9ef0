"""The reference: a page for each public module of minigrad, made of its docstrings."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

MODULES = {
    "minigrad": "Tensors and ops",
    "minigrad.nn": "Layers",
    "minigrad.nn.init": "First values of weights",
    "minigrad.optim": "Optimisers",
    "minigrad.data": "Texts, tokens and batches",
    "minigrad.training": "Backpropagation through time, and what a training run needs",
    "minigrad.distributed": "Several processes that train one model",
    "minigrad.testing": "Checks of gradients",
    "minigrad.viz": "Pictures of the tape and of gradients",
    "minigrad.replay": "Captured steps",
    "minigrad.files": "Files and programs",
}


def kind(thing: Any) -> str:
    """What autodoc calls it."""
    if inspect.isclass(thing):
        return "exception" if issubclass(thing, BaseException) else "class"
    return "function" if inspect.isroutine(thing) or callable(thing) else "data"


def page(module: str, title: str) -> str:
    """The page of a module, in reStructuredText."""
    found = import_module(module)
    things = {name: getattr(found, name) for name in sorted(found.__all__, key=str.lower)}
    things = {name: each for name, each in things.items() if not isinstance(each, ModuleType)}
    lines = [f"{module}: {title}", "=" * 80, "", f".. automodule:: {module}", "   :no-members:", ""]
    for name, each in things.items():
        lines += [f".. auto{kind(each)}:: {module}.{name}"]
        lines += ["   :members:"] * (kind(each) == "class")
        lines += [""]
    return "\n".join(lines)


def write(app: Sphinx) -> None:
    """Write the pages that have changed."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    names = "\n".join(f"   {module}" for module in MODULES)
    pages = {module: page(module, title) for module, title in MODULES.items()}
    pages["index"] = f"Reference\n=========\n\n.. toctree::\n   :maxdepth: 1\n\n{names}\n"
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def signature_of(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returned: str
) -> tuple[str, str | None] | None:
    """What a layer is made with: the function that makes it on the way takes anything."""
    if what != "class" or signature != "(*args, **options)":
        return None
    found = inspect.signature(thing.__init__)
    found = found.replace(parameters=list(found.parameters.values())[1:])  # without self
    return stringify_signature(found, show_annotation=False), None


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx wants it."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-signature", signature_of)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
