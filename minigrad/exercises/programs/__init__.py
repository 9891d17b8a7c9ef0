"""The programs, each with its fault."""
