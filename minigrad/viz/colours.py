"""The colours that all pictures and pages share."""

from __future__ import annotations

__all__ = ["COLOURS", "FAINT", "LINES", "TEXT"]

TEXT, FAINT, LINES = "#333333", "#777777", "#e6e6e6"
"""Letters; letters and lines that stand back; the grid."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c")
"""Things side by side, which differ for any colour vision: the colours of Okabe and Ito (2008),
with grey in place of black, and without yellow."""
