"""Reads the examples of the tasks: from files, in parts, and what is to be known about them."""
