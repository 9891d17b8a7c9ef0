"""Steps that grow.

y = w x should learn w = 2. After 20 steps it is somewhere else, and after 200 it still swings.
"""

import minigrad as mg
from minigrad import optim
from minigrad.nn import Parameter


def learnt(steps):
    """The weight after so many steps; it begins at 0, and 2 is right."""
    w = Parameter([0.0])
    x = mg.tensor([1.0, 2.0, 3.0])
    optimizer = optim.SGD([w], lr=0.05)
    for _ in range(steps):
        loss = ((w * x - 2 * x) ** 2).mean()
        loss.backward()
        optimizer.step()
    return w.item()


if __name__ == "__main__":
    print("after 20 steps:", learnt(20), "after 200:", learnt(200))
