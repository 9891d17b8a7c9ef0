"""How the gradient runs back through time: `minigrad.viz.gradient_through_time`.

Read in this order: `stepping.py`, a model one time step at a time; `measuring.py`, the mathematics;
`flow.py`, the numbers of a layer; `radii.py`, spectral radii; `gradient.py`, the function; and
`charts.py`, its figure.
"""
