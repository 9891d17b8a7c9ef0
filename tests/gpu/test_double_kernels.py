"""The strict double's RawKernel, with a kernel registry of its own."""

import sys
import types

import numpy as np
import pytest
from double import budget
from double import cupy as xp

pytestmark = pytest.mark.host("it asks the double itself")

TABLE = np.dtype([("pointers", "u8", (5, 64)), ("ends", "i8", (64,)), ("count", "i8")])


@pytest.fixture
def calls(monkeypatch):
    """The arguments that the oracles of two kernels get; "double" doubles its first."""
    seen = []

    def doubling(x, *others):
        seen.append((x, *others))
        x *= 2

    def collecting(*args):
        seen.append(args)

    kernels = {
        "double": types.SimpleNamespace(oracle=doubling),
        "collect": types.SimpleNamespace(oracle=collecting),
    }
    launch = types.SimpleNamespace(KERNELS=kernels)
    monkeypatch.setitem(sys.modules, "minigrad.arrays.kernel", launch)
    return seen


def kernel(name, short="f4"):
    function = f"minigrad_{name}_{short}"
    return xp.RawKernel(f"void {function}() {{}}", function, ("-std=c++17",))


def test_the_oracle_changes_the_array_in_place(calls):
    x = xp.arange(3, dtype="f")
    with budget(kernels=1):
        kernel("double")((1,), (32,), (x, 7, 0.5, True, None))
    assert x.tolist() == [0, 2, 4]
    (given,) = calls
    assert isinstance(given[0], np.ndarray)
    assert given[1:] == (7, 0.5, True, None)


def test_the_oracle_divides_by_zero_without_a_warning(calls, monkeypatch):
    registry = sys.modules["minigrad.arrays.kernel"].KERNELS
    registry["double"].oracle = lambda x: np.divide(x, 0, out=x)
    x = xp.ones(3, "f")
    kernel("double")((1,), (32,), (x,))
    assert x.tolist() == [np.inf] * 3


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (lambda: np.ones(3, "f"), TypeError, "argument 0 is a <class 'numpy.ndarray'>"),
        (lambda: np.array(1.0), TypeError, "argument 0 is a <class 'numpy.ndarray'>"),
        (lambda: np.float32(1), TypeError, "argument 0 is a <class 'numpy.float32'>"),
        (lambda: np.int64(1), TypeError, "argument 0 is a <class 'numpy.int64'>"),
        (lambda: [1], TypeError, "argument 0 is a <class 'list'>"),
        (lambda: 2**63, OverflowError, "does not fit into 64 bits"),
        (lambda: xp.ones((2, 3), "f").T, ValueError, "argument 0 is not contiguous"),
        (lambda: xp.ones(6, "f")[::2], ValueError, "argument 0 is not contiguous"),
        (lambda: xp.ones(3, "d"), TypeError, "argument 0 has the dtype float64"),
        (lambda: xp.ones(3, "i"), TypeError, "argument 0 has the dtype int32"),
        (lambda: np.zeros(2, TABLE), ValueError, "expected one table"),
    ],
)
def test_arguments_are_checked(calls, argument, error, message):
    with pytest.raises(error, match=message):
        kernel("collect")((1,), (32,), (argument(),))
    assert not calls


@pytest.mark.parametrize(
    ("grid", "block", "error"),
    [
        (1, (32,), TypeError),
        ((1,), 32, TypeError),
        ((1,), [32], TypeError),
        ((0,), (32,), ValueError),
        ((1,), (0,), ValueError),
        ((1,), (1025,), ValueError),
        ((1,), (32, 64), ValueError),
        ((1.0,), (32,), ValueError),
        ((np.int64(1),), (32,), ValueError),
        ((1, 1, 1, 1), (32,), TypeError),
    ],
)
def test_sizes_are_checked(calls, grid, block, error):
    with pytest.raises(error):
        kernel("collect")(grid, block, ())
    assert not calls


def test_arrays_of_another_device_are_refused(calls):
    with xp.cuda.Device(1):
        x = xp.ones(3, "f")
    with pytest.raises(ValueError, match="device 1"):
        kernel("double")((1,), (32,), (x,))
    with pytest.raises(ValueError, match="device 1"):
        kernel("collect")((1,), (32,), (table_of([x]),))


@pytest.mark.parametrize(
    ("code", "name", "options", "error"),
    [
        ("void minigrad_double_f4() {}", "minigrad_double_f4", ["-std=c++17"], TypeError),
        ("void minigrad_double_f4() {}", "minigrad_double_f8", (), ValueError),
        ("void double_f4() {}", "double_f4", (), ValueError),
        (b"void minigrad_double_f4() {}", "minigrad_double_f4", (), TypeError),
    ],
)
def test_code_and_name_are_checked(code, name, options, error):
    with pytest.raises(error):
        xp.RawKernel(code, name, options)


def table_of(*columns):
    table = np.zeros((), TABLE)
    for column, arrays in enumerate(columns):
        for row, x in enumerate(arrays):
            table["pointers"][column, row] = 0 if x is None else x.data.ptr
    table["ends"][: len(columns[0])] = np.cumsum([x.size for x in columns[0]])
    table["count"] = len(columns[0])
    return table


def test_a_table_becomes_flat_arrays(calls):
    x, y = xp.ones((2, 3), "f"), xp.arange(8, dtype="f")
    kernel("collect")((1,), (32,), (table_of([x, y[2:6]], [None, y[:4]]), 3))
    (columns, number), *_ = calls
    assert number == 3
    assert [part.tolist() for part in columns[0]] == [[1] * 6, [2, 3, 4, 5]]
    assert columns[1][0] is None
    assert columns[1][1].tolist() == [0, 1, 2, 3]
    assert columns[2:] == [[None, None]] * 3
    columns[0][0][1] = 7
    columns[0][1][0] = 8
    assert (x[0, 1].item(), y[2].item()) == (7, 8)


def test_a_table_of_transposed_memory_is_read_as_it_lies(calls):
    x = xp.asarray(np.asfortranarray(np.arange(6, dtype="f").reshape(2, 3)))
    kernel("collect")((1,), (32,), (table_of([x]),))
    assert calls[0][0][0][0].tolist() == [0, 3, 1, 4, 2, 5]


def test_an_empty_table_is_fine(calls):
    kernel("collect")((1,), (32,), (table_of([]),))
    assert calls == [([[], [], [], [], []],)]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda t: t["pointers"].__setitem__((0, 0), 8), ValueError, "no array of the double"),
        (lambda t: t["ends"].__setitem__(0, 4), ValueError, "beyond the end"),
        (lambda t: t["ends"].__setitem__(0, -1), ValueError, "ends fall"),
    ],
)
def test_pointers_are_checked(calls, spoil, error, message):
    x = xp.ones(3, "f")
    table = table_of([x])
    spoil(table)
    with pytest.raises(error, match=message):
        kernel("collect")((1,), (32,), (table,))


def test_memory_that_is_gone_is_noticed(calls):
    x = xp.ones(3, "f")
    table = table_of([x])
    del x
    with pytest.raises(ValueError, match="no array of the double"):
        kernel("collect")((1,), (32,), (table,))


def test_memory_of_another_dtype_is_noticed(calls):
    x = xp.ones(3, "d")
    with pytest.raises(TypeError, match="a pointer to float64 where float32"):
        kernel("collect")((1,), (32,), (table_of([x]),))
    kernel("collect", "f8")((1,), (32,), (table_of([x]),))


@pytest.mark.parametrize(
    ("declared", "given"),
    [("bool yes", 1.0), ("bool yes", 1), ("double x", 1), ("double x", True), ("long long n", 1.0)],
)
def test_scalars_are_of_the_declared_types(calls, declared, given):
    """CuPy hands them over as they are, and the kernel reads other bytes."""
    name = "minigrad_collect_f4"
    function = xp.RawKernel(f"void {name}(const T* a, {declared}) {{}}", name)
    with pytest.raises(TypeError, match=f"argument 1 is declared as {declared}, got {given}"):
        function((1,), (1,), (xp.ones(1, "f"), given))
    assert not calls
