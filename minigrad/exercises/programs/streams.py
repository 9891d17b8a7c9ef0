"""A text in pieces.

For truncated BPTT a text is cut into N long parts, which are read side by side: column n is part n,
from its beginning to its end. Here each column jumps over N letters at a time.
"""

import numpy as np


def streams(ids, N):
    """The text as an array of shape (T, N); what does not fill a row is left out."""
    T = len(ids) // N
    return ids[: T * N].reshape(T, N)


if __name__ == "__main__":
    text = np.array(list("the fat cat sat"))
    first = "".join(streams(text, 3)[:, 0])
    print(f"the first column reads {first!r}, and it should read 'the f'")
