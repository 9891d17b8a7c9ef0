"""What the units of a recurrent network look at, and what the network expects.

Begin with `neurons.py`; a model's states come from `running.py`, what they are compared with from
`features.py`, and the figures from `following.py`.
"""
