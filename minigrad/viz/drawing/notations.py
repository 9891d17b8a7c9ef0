"""The graph in the languages of other tools: DOT for Graphviz, and Mermaid for Markdown."""

from __future__ import annotations

from collections import defaultdict

from minigrad.files import printable
from minigrad.viz.drawing.folding import Body
from minigrad.viz.drawing.notes import Notes, node_name

SHAPES = {
    "root": "doubleoctagon",
    "input": "ellipse",
    "constant": "ellipse",
    "freed": "box",
    "fold": "box3d",
    "op": "box",
}
"""In DOT."""

BRACKETS = {
    "root": ("{{", "}}"),
    "input": ("([", "])"),
    "constant": ("([", "])"),
    "fold": ("[[", "]]"),
}
"""In Mermaid; all else is in [ ]."""


def dot(notes: Notes, heading: str) -> str:
    """The graph in DOT, from the bottom up; the nodes of a time step are a cluster."""
    lines = [
        "digraph tape {",
        f"  label={_quoted([heading])};",
        "  rankdir=BT;",
        '  node [shape=box, fontname="sans-serif", fontsize=10];',
    ]
    for cluster, (name, bodies) in enumerate(_clusters(notes)):
        inset = "    " if name else "  "
        if name:
            lines += [f"  subgraph cluster_{cluster} {{", f"    label={_quoted([name])};"]
        for body in bodies:
            note = notes.notes[body.index]
            label = _quoted([note.name, *note.details, *_chips(notes, body)])
            tooltip = _quoted(notes.tooltip(body).split("\n"))
            style = ", style=dashed" if note.kind in ("constant", "freed") else ""
            shape = SHAPES[note.kind]
            form = f"label={label}, shape={shape}{style}, tooltip={tooltip}"
            lines.append(f"{inset}{node_name(body)} [{form}];")
        lines += ["  }"] if name else []
    for source, target in notes.folded.edges:
        lines.append(f"  {node_name(source)} -> {node_name(target)};")
    return "\n".join([*lines, "}", ""])


def mermaid(notes: Notes) -> str:
    """The graph in Mermaid, from the bottom up; the nodes of a time step are a subgraph."""
    lines = ["flowchart BT"]
    for cluster, (name, bodies) in enumerate(_clusters(notes)):
        inset = "    " if name else "  "
        if name:
            lines.append(f'  subgraph step{cluster}["{_plain(name)}"]')
        for body in bodies:
            note = notes.notes[body.index]
            left, right = BRACKETS.get(note.kind, ("[", "]"))
            label = "<br/>".join(map(_plain, [note.name, *note.details, *_chips(notes, body)]))
            lines.append(f'{inset}{node_name(body)}{left}"{label}"{right}')
        lines += ["  end"] if name else []
    for source, target in notes.folded.edges:
        lines.append(f"  {node_name(source)} --> {node_name(target)}")
    root = next(b for b in notes.folded.bodies if notes.notes[b.index].kind == "root")
    return "\n".join([*lines, f"  style {node_name(root)} stroke-width:3px", ""])


def _chips(notes: Notes, body: Body) -> list[str]:
    texts = notes.chip_texts(notes.notes[body.index])
    return [", ".join(texts)] if texts else []


def _clusters(notes: Notes) -> list[tuple[str, list[Body]]]:
    """The bodies by time step; those of several, or of none, under the empty name."""
    found: dict[str, list[Body]] = defaultdict(list)
    columns = notes.folded.columns
    for body in notes.folded.bodies:
        steps = columns[body.first].steps
        one = not body.wide and len(columns) > 1 and len(steps) == 1
        found[f"t = {steps[0] + 1}" if one else ""].append(body)
    return sorted(found.items(), key=lambda item: item[1][0].first if item[0] else -1)


def _quoted(lines: list[str]) -> str:
    r"""A string of DOT: in it only quotes and backslashes are special, and \n begins a line."""
    texts = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(texts) + '"'


def _plain(text: str) -> str:
    """Text in Mermaid's quotes, where Markdown and HTML would be read: signs become entities."""
    known = " .,:=()-+_×…/"
    return "".join(c if c.isalnum() or c in known else f"#{ord(c)};" for c in printable(text))
