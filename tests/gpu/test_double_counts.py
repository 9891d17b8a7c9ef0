"""What the strict double counts: copies, waiting, float64, kernels; and the budgets."""

import double
import numpy as np
import pytest
from double import cupy as xp

pytestmark = pytest.mark.host("it asks the double itself")

FREE = [
    *(
        "x + 1",
        "x * 2.0",
        "x.sum()",
        "x[0, 0]",
        "x[:, 1:]",
        "x[None]",
        "x.T",
        "x @ x.T",
        "x.copy()",
    ),
    *("x[i]", "x[i, i]", "x[i[0]]", "x[np.int64(1)]", "x.take(i, 1)", "x.reshape(6)", "len(x)"),
    *("xp.where(m, x, 0)", "xp.concatenate([x] * 8)", "xp.zeros(3, 'f')", "xp.arange(3)"),
    *("xp.copyto(x, np.array(1.0))", "x.__setitem__(0, 1.0)", "x.__setitem__(i, 1.0)"),
    *("xp.add.at(x, i, 1.0)", "cupyx.scatter_add(x, i, 1.0)", "xp.allclose(x, x)"),
    *("xp.asarray(x)", "xp.asarray([x, x])", "xp.linalg.norm(x)", "x.fill(1.0)", "[r for r in x]"),
    *("x.astype('e')", "xp.repeat(x, 2, axis=0)", "xp.from_dlpack(x)", "xp.asarray(1)", "x.device"),
]
COSTLY = [  # expression, synchronisations (each with a copy to the host), copies to the device
    ("float(x[0, 0])", 1, 0),
    ("int(x[0, 0])", 1, 0),
    ("bool(x[0, 0])", 1, 0),
    ("complex(x[0, 0])", 1, 0),
    ("x[0, 0].item()", 1, 0),
    ("x.tolist()", 1, 0),
    ("x.tobytes()", 1, 0),
    ("x.get()", 1, 0),
    ("xp.asnumpy(x)", 1, 0),
    ("repr(x)", 1, 0),
    ("str(x)", 1, 0),
    ("f'{x[0, 0]:.3f}'", 1, 0),
    ("x[x > 1]", 1, 0),
    ("x.__setitem__(x > 1, 1.0)", 1, 0),
    ("xp.add.at(x[0], m, 1.0)", 1, 0),
    ("x[0][np.array([True, False, True])]", 1, 1),
    ("x[[0, 1]]", 0, 1),
    ("x[[0, 1], [1, 2]]", 0, 2),
    ("x[np.array([0, 1])]", 0, 1),
    ("x.__setitem__([0, 1], 1.0)", 0, 1),
    ("x[:i[1]]", 1, 0),
    ("x[True]", 1, 0),
    ("xp.add.at(x, [0, 0], 1.0)", 0, 1),
    ("xp.add.at(x, i, np.ones(3))", 0, 1),
    ("xp.take(x, [0, 1], axis=1)", 0, 1),
    ("xp.concatenate([x] * 9)", 0, 1),
    ("xp.stack([x] * 9)", 0, 1),
    ("xp.asarray(np.ones(3, 'f'))", 0, 1),
    ("xp.asarray([1, 2])", 0, 1),
    ("x.set(np.ones((2, 3), 'f'))", 0, 1),
    ("xp.nonzero(x)", 1, 0),
    ("xp.where(m)", 1, 0),
    ("xp.argwhere(x)", 1, 0),
    ("xp.unique(x)", 1, 0),
    ("xp.bincount(i)", 2, 0),
    ("xp.nanmax(x)", 1, 0),
    ("xp.argpartition(x[0], 1)", 2, 0),
    ("xp.repeat(x, [1, 2], axis=0)", 2, 1),
    ("xp.repeat(x, i[:2], axis=0)", 2, 0),
    ("xp.arange(x[1, 0])", 1, 0),
    ("x.fill(x[0, 0])", 1, 0),
    ("xp.lib.stride_tricks.sliding_window_view(x, 2, axis=1)", 1, 1),
]


def counted(expression):
    x = xp.arange(6, dtype="f").reshape(2, 3)
    i = xp.asarray(np.array([0, 1, 1]))
    names = {"np": np, "xp": xp, "cupyx": double.cupyx, "x": x, "i": i, "m": x[0] > 1}
    before = dict(double.stats)
    eval(expression, names)
    return {kind: n - before.get(kind, 0) for kind, n in double.stats.items()}


@pytest.mark.parametrize(
    ("expression", "sync", "h2d"), [*((expression, 0, 0) for expression in FREE), *COSTLY]
)
def test_copies_and_waiting(expression, sync, h2d):
    """Recorded from CuPy 14.2's own front end."""
    seen = counted(expression)
    assert (seen["sync"], seen["d2h"], seen["h2d"]) == (sync, sync, h2d)


@pytest.mark.parametrize(
    "expression",
    [
        "xp.cuda.Device().synchronize()",
        "xp.cuda.Stream.null.synchronize()",
        "xp.cuda.get_current_stream().synchronize()",
        "xp.cuda.runtime.deviceSynchronize()",
        "xp.cuda.Event().synchronize()",
    ],
)
def test_waiting_alone(expression):
    seen = counted(expression)
    assert (seen["sync"], seen["d2h"]) == (1, 0)


@pytest.mark.parametrize(
    ("expression", "n"),
    [
        ("x + 1", 1),
        ("x.sum(axis=0)", 1),
        ("x @ x.T", 1),
        ("x.T", 0),
        ("x[0]", 0),
        ("x[i]", 1),
        ("x.reshape(3, 2)", 0),
        ("x.T.reshape(6)", 1),
        ("x.__setitem__(0, 1.0)", 1),
        ("xp.empty(3)", 0),
        ("x.astype('f', copy=False)", 0),
    ],
)
def test_kernels(expression, n):
    assert counted(expression)["kernels"] == n


@pytest.mark.parametrize(
    ("expression", "n"),
    [
        ("x * np.float64(2)", 1),
        ("x + i", 1),
        ("xp.zeros(3)", 1),
        ("x.astype('d')", 1),
        ("xp.asarray(1.0)", 1),
        ("xp.ones(3, 'd')[1:]", 1),
        ("x * 2.0", 0),
        ("x.mean()", 0),
        ("xp.tanh(x) / 3", 0),
    ],
)
def test_float64(expression, n):
    assert counted(expression)["float64"] == n


class TestBudget:
    def test_within_it_nothing_happens(self):
        x = xp.ones(3, "f")
        with double.budget():
            x * 2 + x.sum()
        with double.budget(sync=2, d2h=2):
            float(x[0]), float(x[1])

    def test_it_tells_what_was_too_much_and_where(self):
        x = xp.ones(3, "f")

        def careless():
            return [float(x.sum()) for _ in range(3)]

        with pytest.raises(AssertionError) as caught, double.budget(d2h=None):
            careless()
        told = str(caught.value)
        assert "sync: 3, allowed are 0" in told
        assert "3 x sync: float in " in told
        assert "careless" in told
        assert "tests/gpu/test_double_counts.py:" in told
        assert "d2h" not in told

    def test_it_points_into_the_library(self):
        """A call from here into a file that lies in minigrad/, and from there to the device."""
        x = xp.ones(3, "f")
        path = double.counts.ROOT / "minigrad" / "nowhere.py"
        code = compile("def helper(x):\n    return x.item()\n\n", path, "exec")
        names = {}
        exec(code, names)
        place = r"item in helper \(minigrad/nowhere.py:2\)"
        with pytest.raises(AssertionError, match=place), double.budget():
            names["helper"](x[0])

    @pytest.mark.parametrize(
        ("limits", "expression"),
        [
            ({"sync": 0, "d2h": None}, "x[0].item()"),
            ({"d2h": 0, "sync": None}, "x[0].item()"),
            ({"h2d": 0}, "x[[0, 1]]"),
            ({"float64": 0}, "x.astype('d')"),
            ({"kernels": 1}, "x + x + x"),
        ],
    )
    def test_each_kind(self, limits, expression):
        x = xp.ones(3, "f")
        with pytest.raises(AssertionError, match="device budget exceeded"), double.budget(**limits):
            eval(expression, {"x": x})

    def test_an_error_inside_goes_out_as_it_is(self):
        with pytest.raises(KeyError), double.budget():
            {}[xp.ones(3).get().size]

    def test_they_nest(self):
        with double.budget(sync=1, d2h=1, float64=1) as outer, double.budget(kernels=1) as inner:
            xp.ones(3, "f")
        assert len(outer) == len(inner) == 1
        with double.budget() as later:
            pass
        assert later == []
