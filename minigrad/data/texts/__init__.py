"""Where a text comes from.

To read it, begin with `utf8` (one file), then `text` (what all texts can do), `excerpts` (parts of
a text) and `corpora` (from a name, path or address to a text). The rest is for texts from the
network: `downloads` and `network` fetch a file, `archives` unpacks it, and `limits` says how much
is accepted.
"""
