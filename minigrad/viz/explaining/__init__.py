"""`minigrad.explain`: why a gradient is None, zero, small, huge or NaN, from tape and watch."""
