"""Files that are there whole or not at all: what `minigrad.files` has for training."""

from minigrad.files import write_atomically

__all__ = ["write_atomically"]
