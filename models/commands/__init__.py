"""The commands of ``python -m models``, one a file."""
