"""What an explanation is made of."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.files import printable
from minigrad.viz.observing import Line

MOST = 4
"""Of a kind of reason, how many are told."""


class Finding(NamedTuple):
    """A reason, and the line of the program where it is, if that is known."""

    text: str
    line: Line | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.text
        source = f": {self.line.text}" if self.line.text else ""
        return f"{self.text}\n      at {self.line}{source}"


class Explanation:
    """What `explain` gives; printed, it is the text.

    Attributes
    ----------
    gradient
        what is explained, in a sentence: ``"The gradient of w is None."``
    findings
        the reasons, the most likely first.
    """

    def __init__(self, gradient: str, findings: list[Finding]) -> None:
        self.gradient, self.findings = gradient, findings

    def __str__(self) -> str:
        lines = [self.gradient, *(f"  - {finding}" for finding in self.findings)]
        return printable("\n".join(lines), keep="\n")  # names and lines may hold anything

    __repr__ = __str__


def shortened(findings: list[Finding]) -> list[Finding]:
    """Each once, and of many the first few."""
    each = list(dict.fromkeys(findings))
    more = len(each) - MOST
    return [*each[:MOST], *([Finding(f"and {more} more like it")] if more > 0 else [])]
