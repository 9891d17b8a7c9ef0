"""The rules of an op as they are written: the text of the source, for each argument."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """How the gradient of one argument, or of all at once, is computed.

    Attributes
    ----------
    argument
        the parameter of the op; empty if the rule is for all inputs at once.
    name
        of the function that is the rule; empty if it is written in the declaration itself.
    text
        its source, with the remark behind it; empty if the source is not at hand.
    """

    argument: str
    name: str
    text: str


class Rules(NamedTuple):
    """All rules of an op.

    Attributes
    ----------
    kind
        ``"rules"``, one for each input; ``"joint"``, one backward for all inputs; ``"fused"``, the
        same, written by hand, beside a twin.
    rules
        in the order in which they are declared.
    twin
        of a fused op, the name of the same function composed of plain ops; else empty.
    """

    kind: str
    rules: tuple[Rule, ...]
    twin: str


def rules_of(plan: Any) -> Rules:
    """The rules of the op of a node, from the node's plan."""
    if not hasattr(plan, "op"):
        # a plan holds the rules that it runs, and the names of the inputs that they are for
        written = [
            _rule(name, rule) for name, (rule, _) in zip(plan.active, plan.rules, strict=True)
        ]
        return Rules("rules", tuple(written), "")
    twin = plan.twin
    kind = "joint" if twin is None else "fused"
    return Rules(kind, (_rule("", plan.op.backward),), "" if twin is None else twin.__name__)


def _rule(argument: str, function: Callable[..., Any]) -> Rule:
    name = function.__name__
    if name == "<lambda>":
        return Rule(argument, "", _text_of_lambda(function.__code__))
    try:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
    except (OSError, TypeError):
        text = ""
    return Rule(argument, name, text)


def _text_of_lambda(code: CodeType) -> str:
    lines = linecache.getlines(code.co_filename)
    for node in _lambdas("".join(lines)):
        if node.lineno == code.co_firstlineno and _is_of(node, code):
            segment = ast.get_source_segment("".join(lines), node) or ""
            line = lines[node.lineno - 1]
            indent = line[: len(line) - len(line.lstrip())]
            return segment.replace(f"\n{indent}", "\n") + _remark(node, lines)
    return ""


def _is_of(node: ast.Lambda, code: CodeType) -> bool:
    """Whether `node` is what `code` was compiled from: it has its parameters, and its place."""
    names = tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args))
    body = node.body
    start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    places = [place for place in code.co_positions() if None not in place and place[3]]
    return names == code.co_varnames[: code.co_argcount] and all(
        start <= (line, column) and (end_line, end_column) <= end
        for line, end_line, column, end_column in places
    )


def _remark(node: ast.Lambda, lines: list[str]) -> str:
    """The remark behind a lambda, if it ends its line."""
    rest = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset :].decode()
    code, mark, remark = rest.partition("#")
    return f"  # {remark.strip()}" if mark and code.strip(" ),") == "" else ""


@lru_cache(maxsize=32)
def _lambdas(source: str) -> tuple[ast.Lambda, ...]:
    return tuple(_found(source))


def _found(source: str) -> Iterator[ast.Lambda]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell of a notebook with a line that is not Python
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            yield node
