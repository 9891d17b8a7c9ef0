"""Texts: where they come from, how they are read in pieces, and what is taken from strangers."""
