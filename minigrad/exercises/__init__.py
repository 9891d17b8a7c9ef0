"""Twenty programs with a fault in each: find it, mend it, and have it checked.

::

    python -m minigrad.exercises                  # the list
    python -m minigrad.exercises start mask       # writes mask.py here: change it
    python -m minigrad.exercises check mask       # is it mended?
    python -m minigrad.exercises hint mask        # the first hint; `hint mask 2` is the second
    python -m minigrad.exercises solution mask

The programs are in `programs/`, just as a learner gets them. The other files here say how each is
checked, its hints, and what mends it.
"""
