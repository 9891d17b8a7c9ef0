"""Division on a GPU gives what it gives on the CPU, where CuPy's own does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg

pytestmark = pytest.mark.device

NUMBERS = st.sampled_from([0.1, 0.3, 1 / 3, 0.5, 1.0, 1.1, 3.0, 7.5, 1e-3, 1e5, np.inf, 0.0])
SIGNED = st.builds(lambda x, sign: sign * x, NUMBERS, st.sampled_from([-1, 1])) | st.just(np.nan)
DTYPES = st.sampled_from(["float16", "float32", "float64"])


@settings(deadline=None, max_examples=300)
@given(x1=st.lists(SIGNED, min_size=1, max_size=5), x2=SIGNED, dtype=DTYPES, scalar=st.booleans())
def test_floor_divide_and_remainder(x1, x2, dtype, scalar):
    with np.errstate(all="ignore"):
        a, b = np.array(x1).astype(dtype), np.array([x2]).astype(dtype)
        quotient, rest = a // b, a % b
    scalar = scalar and not (b[0] == 0 and np.signbit(b[0]))  # for CuPy the number -0.0 is 0.0
    other = float(b[0]) if scalar else mg.tensor(b)
    on_gpu = mg.tensor(a)
    for found, expected in ((on_gpu // other, quotient), (on_gpu % other, rest)):
        assert found.dtype == dtype
        assert found.device != "cpu"
        np.testing.assert_array_equal(found.numpy(), expected)


def test_one_divided_by_a_tenth():
    x = mg.tensor([1.0, -1.0, 7.5])
    assert (x // 0.1).tolist() == [9.0, -10.0, 74.0]
    assert (x % 0.1).numpy().min() > 0
    assert (mg.tensor([7, -7]) // 2).tolist() == [3, -4]
    assert (mg.tensor([7, -7]) % -2).tolist() == [-1, -1]
    assert (2.0 // mg.tensor([0.3, -0.3])).tolist() == [6.0, -7.0]
