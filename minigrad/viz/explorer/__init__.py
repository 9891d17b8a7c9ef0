"""The whole walk along a tape, step by step as in a debugger: `minigrad.viz.explore`.

Read `exploration.py` first.
"""
