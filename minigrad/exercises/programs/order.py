"""Too early.

y = a * a, and z = y * y + y, so dz/da = (2 y + 1) * 2 a: at a = 1 that is 6. This program says 14.
"""


class Value:
    """A number that remembers what it was made of."""

    def __init__(self, number, parents=()):
        self.number, self.parents = number, parents  # parents: pairs (value, slope)
        self.grad = 0.0

    def __add__(self, other):
        return Value(self.number + other.number, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        pairs = [(self, other.number), (other, self.number)]
        return Value(self.number * other.number, pairs)


def sorted_from(value):
    """All values below `value`, each after those that it was made of."""
    order = []

    def visit(each):
        if each not in order:
            for parent, _ in each.parents:
                visit(parent)
            order.append(each)

    visit(value)
    return order


def backward(value):
    """Put the slope of `value` into the `grad` of each value that it was made of."""
    value.grad = 1.0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        for parent, slope in each.parents:
            parent.grad += slope * each.grad
            waiting.append(parent)


def slope(number):
    """dz/da."""
    a = Value(number)
    y = a * a
    z = y * y + y
    backward(z)
    return a.grad


if __name__ == "__main__":
    print("dz/da at 1:", slope(1.0), "and it should be 6")
