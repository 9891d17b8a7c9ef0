"""Tokenisers: between a text and the ids of its tokens, in memory and in files."""
