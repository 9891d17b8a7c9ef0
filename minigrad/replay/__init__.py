"""A step recorded once, and replayed without Python's costs: `minigrad.capture`.

Read `recorded.py` and `recorder.py` first, then `program.py` and `binding.py`, and `captured.py`
last.
"""

from minigrad.replay.captured import Captured, capture
from minigrad.replay.places import CaptureError

__all__ = ["CaptureError", "Captured", "capture"]
