"""The tape drawn, as the textbooks draw an unrolled network: time runs to the right, layers up.

`graph.py` says what is drawn as a node, `recurrence.py` finds the time steps and layers in it,
`folding.py` makes one node of many, `placement.py` gives each its place, `routes.py` leads the
edges around the others. `notes.py` says what is written on each, and `scene.py` puts together what
is to be painted: by `svg.py`, by matplotlib in `picture.py`, or on a page.
`notations.py` writes DOT and Mermaid, `terminal.py` plain text.
"""
