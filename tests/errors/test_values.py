"""What an error shows of a value fits in a line, whatever the value is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors.values import LENGTH, told
from minigrad.files import printable

VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_a_value_is_the_beginning_of_its_repr(value):
    text = told(value)
    assert len(text) <= LENGTH
    assert printable(repr(value)).startswith(text)


@given(st.text())
def test_what_a_repr_says_does_not_steer_a_terminal(text):
    value = type("Speaking", (), {"__repr__": lambda self: text})()
    assert told(value) == printable(told(value))


def test_an_array_is_its_dtype_and_shape():
    x = np.zeros((2, 3), np.float32)
    assert told(x) == told(mg.tensor(x)) == "float32 (2, 3)"
    assert told((x, None, 2)) == "(float32 (2, 3), None, 2)"
    assert told((x,)) == "(float32 (2, 3),)"
    assert told([[x], x]) == "[[float32 (2, 3)], float32 (2, 3)]"
    assert told([x[0, 0]] * 9) == "[float32 (), float32 (), float32 (), float32 (), ...]"
