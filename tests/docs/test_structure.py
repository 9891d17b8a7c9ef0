"""The house: imports go down only, without circles, and each file has one job."""

from __future__ import annotations

import ast
import re
from collections import Counter
from contextlib import suppress
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import minigrad

ROOT = Path(__file__).parents[2]

FLOORS = {
    "minigrad": [
        {"arrays", "errors", "files"},
        {"autograd.node", "autograd.sparse", "autograd.modes"},
        {"tensor"},
        {"autograd"},
        {"ops"},
        {"names"},
        {"creation"},
        {"derivatives"},
        {"nn"},
        {"optim"},
        {"replay"},
        {"distributed"},
        {"data"},
        {"testing"},
        {"training"},
        {"viz"},
        {"exercises"},
        {"__main__"},
    ],
    "models": [
        {
            *("corpus", "devices", "initial_values", "reading", "regularisation", "simpler"),
            *(
                "captioner",
                "emoji_pictures",
                "encoder_decoder",
                "image_classifier",
                "memory_network",
                "nnlm",
            ),
            *("rnnlm", "tagger", "text_classifier"),
        },
        {"measuring"},
        {"writing"},
        {"showing"},
        {"runs"},
        {"tasks"},
        {"commands"},
        {"__main__"},
    ],
}
"""The rooms and files of each package from the ground up. (A Tensor holds a node of the tape.)"""


def modules(package):
    """The files of a package by the names of the modules that they are."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path, known):
    """The modules that a file imports: also within functions, and for type checkers alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: a relative import, which hides where it goes")
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                deep = f"{node.module}.{alias.name}"
                yield deep if deep in known else node.module


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_goes_in_a_circle(package):
    """Neither when the program runs nor for a type checker."""
    known = modules(package)
    graph = {name: set(imports(path, known)) for name, path in known.items()}
    for name, imported in graph.items():
        imported.discard(name)  # a package that imports one of its own modules by its full name
    TopologicalSorter(graph).prepare()  # raises a CycleError that shows the circle


@pytest.mark.parametrize("package", FLOORS)
def test_the_floors_import_downwards_only(package):
    """As docs/architecture.md promises."""
    level = {f"{package}.{name}": i for i, names in enumerate(FLOORS[package]) for name in names}
    known = modules(package)

    def floor(name):
        parts = name.split(".")
        found = [level.get(".".join(parts[:n])) for n in (3, 2)]
        return next((i for i in found if i is not None), None)

    for name, path in known.items():
        if name == package:
            continue
        assert floor(name) is not None, f"{name} is on no floor"
        for imported in imports(path, known):
            if imported == package:
                above = name == f"{package}.__main__" or name.startswith(f"{package}.exercises.")
                assert above, f"{name} imports the package itself"
                continue
            assert floor(imported) <= floor(name), f"{name} imports {imported} from above"


def names_of_minigrad(path):
    """What a file takes from minigrad: pairs of a module, from its root on, and a name in it."""
    tree = ast.parse(path.read_text("utf-8"))
    called = {}  # what a module of minigrad is called in the file
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "minigrad":
                    called[alias.asname or "minigrad"] = "minigrad"
                    yield from [("minigrad", name) for name in alias.name.split(".")[1:]]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minigrad":
            for alias in node.names:
                yield node.module, alias.name
                called[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, *inner = ast.unparse(node.value).split(".")
            if name in called and all(map(str.isidentifier, inner)):
                yield ".".join([called[name], *inner]), node.attr


def test_models_take_from_minigrad_what_is_public_alone():
    """That is what `__all__` lists: of minigrad itself, and of the modules that it lists.

    And of its objects nothing that begins with an underscore.
    """
    public, rooms = {}, {"minigrad": minigrad}
    while rooms:
        room, module = rooms.popitem()
        public[room] = module.__all__
        values = {f"{room}.{name}": getattr(module, name) for name in module.__all__}
        rooms |= {name: value for name, value in values.items() if isinstance(value, ModuleType)}
    public["minigrad"] = [*minigrad.__all__, "__version__"]
    for path in modules("models").values():
        for module, name in names_of_minigrad(path):
            if isinstance(_found(module), ModuleType):
                assert module in public, f"{path}: {module} is not public"
                assert name in public[module], f"{path}: {module} has no public {name}"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and re.match("_(?!_|asdict|replace)", node.attr):
                owner = ast.unparse(node.value)
                assert owner in ("self", "cls"), f"{path}: {owner}.{node.attr} is private"


def _found(module):
    """A module of minigrad, or a name in one, by its dotted name."""
    with suppress(ImportError):
        return import_module(module)
    outer, _, name = module.rpartition(".")
    return getattr(_found(outer), name, None)


def test_few_files_lie_at_the_root():
    assert len(list((ROOT / "minigrad").glob("*.py"))) <= 6


def test_files_of_one_name_do_one_job():
    """Which names occur twice, and what all files of that name have in them."""
    same = {
        "__init__": "what a room is for",
        "__main__": "a command",
        "devices": "of arrays, and of a model that is trained or used",
        "activations": "the function, and the layer that calls it",
        "fused": "ops with a backward pass by hand: how they are declared, and the recurrent ones",
        "kernels": "the CUDA kernels of a room",
        "layers": "layers",
        "losses": "the function, and the layer that calls it",
        "recipes": "settings of published models, and the command that lists them",
    }
    names = Counter(path.stem for room in ("minigrad", "models") for path in modules(room).values())
    assert {name for name, count in names.items() if count > 1} <= set(same)
