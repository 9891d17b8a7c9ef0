"""A language model that is too good.

Its loss falls to 0 at once, and then it writes "hhhhhh". It should learn to say what comes next in
"hello".
"""

import numpy as np


def inputs_and_targets(ids):
    """What a language model reads, and what it should say at each place."""
    return ids[:-1], ids[:-1]


if __name__ == "__main__":
    hello = np.array(list("hello"))
    read, said = inputs_and_targets(hello)
    print("reads", "".join(read), "and should say ello, not", "".join(said))
