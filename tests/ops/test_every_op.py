"""What holds for every op, found by introspection: no op without a case, no case skipped."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import check_gradients
from minigrad.testing.gradients import flatten

sys.path.insert(0, str(Path(__file__).parent))
import cases_arrays  # noqa: F401 (registers its cases)
import cases_networks  # noqa: F401
from cases import CASES

every_op = pytest.mark.parametrize("name", sorted(mg.ops.__all__))
thorough = settings(
    max_examples=settings.default.max_examples // 4, suppress_health_check=[HealthCheck.too_slow]
)


def draw_case(data, name):
    assert name in CASES, f"{name} has no case: write one in cases.py, or beside it"
    return data.draw(CASES[name], label=name)


def as_list(outputs):
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def test_every_op_has_a_case():
    public = {name for name, op in vars(mg.ops).items() if inspect.isfunction(op)}
    assert public == set(mg.ops.__all__)
    assert set(CASES) == set(mg.ops.__all__)


@every_op
@thorough
@given(data=st.data())
def test_what_holds_for_every_op(name, data, device):
    """All of it on each case, since to draw one takes as long as to compute with it."""
    case = draw_case(data, name)
    check_gradients(case.call, *case.inputs, order=case.order)
    values_are_numpys(case)
    float32_stays_float32(case)
    inputs_are_not_changed_and_need_not_be_contiguous(case)
    if device == "cpu":  # where NumPy's arrays are; to a device they are copied
        arrays_in_arrays_out_as_the_rules_need_it(case)
        arrays_that_are_handed_in_may_be_filled_anew(case)


def values_are_numpys(case):
    outputs = as_list(case.call(*[mg.tensor(x) for x in case.inputs]))
    expected = as_list(case.expected(*case.inputs))
    assert len(outputs) == len(expected)
    for y, e in zip(outputs, expected, strict=True):
        assert isinstance(y, mg.Tensor)
        assert y.shape == np.shape(e)
        np.testing.assert_allclose(y.numpy(), e, rtol=1e-10, atol=1e-12)


def float32_stays_float32(case):
    inputs = [mg.tensor(x, dtype=np.float32, requires_grad=True) for x in case.inputs]
    outputs = flatten(case.call(*inputs))
    assert all(y.dtype == np.float32 for y in outputs)
    total = sum(y.sum() for y in outputs)
    if getattr(total, "requires_grad", False):
        total.backward()
    for x in inputs:
        assert x.grad is None or (x.grad.dtype == np.float32 and x.grad.shape == x.shape)


def inputs_are_not_changed_and_need_not_be_contiguous(case):
    strided = [np.repeat(x[..., None], 2, -1)[..., 0] if x.ndim else x for x in case.inputs]
    strided = [np.asfortranarray(x.T).T if x.ndim > 1 else x for x in strided]
    read_only = [x.copy() for x in case.inputs]
    for x in (*strided, *read_only):
        x.flags.writeable = False
    results = []
    for xs in (strided, read_only):
        inputs = [mg.Tensor(x, requires_grad=True) for x in xs]
        outputs = flatten(case.call(*inputs))
        used = [y for y in outputs if y.requires_grad]
        gs = (
            mg.grad(used, inputs, [mg.ones_like(y) for y in used], allow_unused=True)
            if used
            else []
        )
        results.append([y.numpy() for y in outputs] + [g.numpy() for g in gs if g is not None])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def arrays_in_arrays_out_as_the_rules_need_it(case):
    """Off the tape, an op gives the values that it gives on it."""
    bare = as_list(case.call(*case.inputs))
    recorded = as_list(case.call(*[mg.tensor(x) for x in case.inputs]))
    for a, t in zip(bare, recorded, strict=True):
        assert not isinstance(a, mg.Tensor)
        np.testing.assert_allclose(a, t.numpy(), rtol=1e-14, atol=1e-15)


def arrays_that_are_handed_in_may_be_filled_anew(case):
    """Before the walk back: operands, indices, masks, targets. The tape has its own copies."""
    cells = case.call.__closure__ or ()
    options = [array for cell in cells for array in arrays_in(cell.cell_contents)]
    for i, x in enumerate(case.inputs):
        gradients = []
        for filled in (False, True):
            others = [value.copy() for value in case.inputs]
            leaf = others[i] = mg.tensor(x, requires_grad=True)
            mg.manual_seed(0)
            outputs = [y for y in flatten(case.call(*others)) if y.requires_grad]
            before = [array.copy() for array in options]
            if filled:
                for array in [*arrays_in(others), *options]:
                    fill_anew(array)
            weights = [np.arange(1.0, y.size + 1).reshape(y.shape) for y in outputs]
            if outputs:
                gradients.append(mg.grad(outputs, leaf, weights, allow_unused=True)[0])
            for array, old in zip(options, before, strict=True):
                array[...] = old
        if gradients and gradients[0] is not None:
            np.testing.assert_array_equal(gradients[1].numpy(), gradients[0].numpy())


def arrays_in(value):
    """The NumPy arrays in a value, or in lists and tuples of them."""
    if isinstance(value, list | tuple):
        return [array for item in value for array in arrays_in(item)]
    return [value] if isinstance(value, np.ndarray) else []


def fill_anew(array):
    array[...] = ~array if array.dtype.kind == "b" else 0


@every_op
def test_signature_and_docstring_are_kept(name):
    op = getattr(mg, name)
    assert op.__name__ == name
    assert op.__doc__
    parameters = inspect.signature(op).parameters.values()
    assert all(p.annotation is not p.empty for p in parameters)


def fused_ops():
    """All of the package, wherever they are."""
    for found in pkgutil.walk_packages(mg.__path__, "minigrad."):
        if found.name == "minigrad.__main__":
            continue
        module = importlib.import_module(found.name)
        for op in vars(module).values():
            if hasattr(op, "op") and getattr(op, "__module__", "") == module.__name__:
                yield op


def test_every_fused_op_has_a_twin_with_the_same_parameters():
    fused = [op for op in fused_ops() if getattr(op, "twin", None) is not None]
    names = {op.op.name for op in fused}
    losses = {"cross_entropy", "linear_cross_entropy"}
    assert names == {*losses, "additive_scores", "layer_norm", "rnn", "lstm", "gru"}
    for op in fused:
        assert list(inspect.signature(op.twin).parameters) == op.op.parameters


@pytest.mark.parametrize("name", ["cross_entropy", "linear_cross_entropy", "layer_norm"])
@thorough
@given(data=st.data())
def test_fused_ops_equal_their_twins(name, data):
    """The first-order walk runs the hand-written backward, create_graph the twin: they agree."""
    case = draw_case(data, name)
    inputs = [mg.tensor(x, requires_grad=True) for x in case.inputs]
    ys = flatten(case.call(*inputs))
    seeds = [mg.ones_like(y) for y in ys]
    by_hand = mg.grad(ys, inputs, seeds, retain_graph=True)
    by_twin = mg.grad(ys, inputs, seeds, create_graph=True)
    for a, b in zip(by_hand, by_twin, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)
