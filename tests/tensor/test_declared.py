"""What `tensor.py` declares for type checkers is what `minigrad.names` gives to Tensor."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import minigrad as mg
from minigrad.names.methods import METHODS
from minigrad.names.pytorch_methods import SECOND_NAMES

GIVEN = METHODS | SECOND_NAMES


def declared():
    """By name the `ast.arguments` of the methods of `Given`, and None for what is no method."""
    tree = ast.parse(Path(inspect.getfile(mg.Tensor)).read_text("utf-8"))
    (given,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Given"]
    (block,) = [n for n in given.body if isinstance(n, ast.If)]
    found = {}
    for statement in block.body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = statement.args
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                found[target.id] = found[statement.value.id]
        elif isinstance(statement, ast.AnnAssign):
            found[statement.target.id] = None
    return found


def test_all_names_are_declared_and_no_others():
    assert declared().keys() == GIVEN.keys()


def test_the_declared_arguments_are_those_of_the_op():
    for name, arguments in declared().items():
        if arguments is None:
            assert isinstance(GIVEN[name], property), name
            continue
        names = [a.arg for a in arguments.args] + [f"*{a.arg}" for a in [arguments.vararg] if a]
        defaults = [ast.literal_eval(d) for d in arguments.defaults]
        taken = list(inspect.signature(GIVEN[name]).parameters.values())
        if name.startswith("__") and taken[0].kind is inspect.Parameter.VAR_POSITIONAL:
            continue  # a comparison, whose function is made
        assert [str(p.default) for p in taken if p.default is not p.empty] == [
            str(d) for d in defaults
        ], name
        told = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in taken]
        if not name.startswith("__"):
            assert told[1:] == names[1:], name
        else:
            assert len(told) == len(names), name
