"""Carry what each step of docs/steps/ has built into the next: python docs/carry_steps.py.

A step is a file of cells, each of which begins with a line ``# %%``. The cell with the tag "so-far"
holds what the steps before have built, and the cells with the tag "keep" what this step adds. What
is built again under the same name takes the place of the old, and imports come first. So change a
cell that is kept, run this, and all later steps follow.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

STEPS = sorted((Path(__file__).parent / "steps").glob("[0-9]*.py"))


def cells(page: str) -> list[tuple[str, str]]:
    """The cells of a step: each one's first line, and the rest."""
    parts = re.split(r"^(# %%.*\n)", page, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def _key(statement: ast.stmt) -> str:
    """What a later statement must have in common with this one to take its place."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=targets):
            return ", ".join(map(ast.unparse, targets))
    return ast.unparse(statement)


def built(page: str) -> str:
    """What there is after a step: the code of its cells "so-far" and "keep", each name once."""
    found: dict[str, tuple[bool, str]] = {}
    for header, body in cells(page):
        if '"so-far"' in header or '"keep"' in header:
            lines, end = body.splitlines(), 0
            for statement in ast.parse(body).body:
                large = isinstance(statement, ast.FunctionDef | ast.ClassDef)
                text = "\n".join(lines[end : statement.end_lineno]).strip("\n")
                found[_key(statement)] = large, text
                end = statement.end_lineno or end
    code, after_large = "", False
    for large, text in sorted(found.values(), key=lambda part: not part[1].startswith("import")):
        gap = "\n\n\n" if code and (large or after_large) else "\n" if code else ""
        code, after_large = code + gap + text, large
    return code + "\n"


def carried(before: str, page: str) -> str:
    """The step `page` with what the step `before` has built in its cell "so-far"."""
    code = built(before)
    return "".join(
        header + (code + body[len(body.rstrip()) + 1 :] if '"so-far"' in header else body)
        for header, body in cells(page)
    )


def main() -> None:
    """Carry from the first step to the last."""
    before = ""
    for path in STEPS:
        page = path.read_text("utf-8")
        if before:
            page = carried(before, page)
            path.write_text(page, "utf-8")
        before = page


if __name__ == "__main__":
    main()
