"""A number that is used twice.

y = x * x + x, so dy/dx = 2 x + 1, and at x = 3 that is 7. This program says 3.
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

    def backward(self):
        """Put the slope of this value into the `grad` of each value that it was made of."""
        order = []

        def visit(value):
            if value not in order:
                for parent, _ in value.parents:
                    visit(parent)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            for parent, slope in value.parents:
                parent.grad = slope * value.grad


def slope(number):
    """dy/dx of y = x * x + x."""
    x = Value(number)
    y = x * x + x
    y.backward()
    return x.grad


if __name__ == "__main__":
    print("dy/dx at 3:", slope(3.0), "and it should be 7")
