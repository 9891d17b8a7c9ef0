"""What a reader's hands write from habit runs, or tells what to write."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import words as habits

sys.path.insert(0, str(Path(__file__).parent))
from snippets import SNIPPETS, run


@pytest.mark.host(reason="the default device is the CPU in these")
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_it_runs_or_tells_the_word(snippet):
    told = "in minigrad"
    try:
        run(snippet)
    except (AttributeError, TypeError) as error:
        told = str(error)
    assert re.search("in minigrad|; |write|word for", told)


ROOMS = [
    (mg, habits.FUNCTIONS),
    (mg.Tensor, habits.METHODS),
    (mg.autograd, habits.AUTOGRAD),
    (optim, habits.OPTIMISERS),
]


def test_a_word_is_told_only_for_what_is_not_there():
    for room, words in ROOMS:
        missing = {name for name in words if not hasattr(room, name)}
        # A method of Tensor may be what is no function of minigrad's.
        there = set(words) - missing - (set(habits.FUNCTIONS) if room is mg.Tensor else set())
        assert there == set(), room


def test_the_words_that_are_told_are_there():
    for _, words in ROOMS:
        for word in words.values():
            for room, name in re.findall(r"\b(mg|optim|x)\.(\w+)", word):
                room = {"mg": mg, "optim": optim, "x": mg.Tensor}[room]
                assert hasattr(room, name), word


def test_arguments_of_pytorchs_are_no_arguments_of_minigrads():
    for name in (*mg.ops.__all__, *mg.ops.discrete.__all__, "zeros", "arange", "linspace", "eye"):
        parameters = inspect.signature(getattr(mg, name)).parameters
        assert habits.KEYWORDS.keys().isdisjoint(parameters), name


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: x.sum(dim=0), "sum: .* dim= is axis="),
        (lambda x: mg.concatenate([x, x], dim=0), "concatenate: .* dim= is axis="),
        (lambda x: mg.stack([x, x], dim=0), "stack: .* dim= is axis="),
        (lambda x: x.argmax(keepdim=True), "argmax: .* keepdim= is keepdims="),
        (lambda x: x.std(unbiased=False), "std: .* unbiased= is ddof="),
        (lambda x: mg.linspace(0, 1, steps=3), "linspace: .* steps= is num="),
    ],
)
def test_arguments(call, word):
    with pytest.raises(TypeError, match=word):
        call(mg.ones(2, 3))


def test_near_misses_and_what_nobody_knows():
    with pytest.raises(AttributeError, match=r"'concatenat'; did you mean 'concatenate'\?"):
        mg.concatenat
    with pytest.raises(AttributeError, match=r"minigrad.optim.*'Adan'; did you mean 'Adam'\?"):
        optim.Adan
    with pytest.raises(AttributeError, match=r"'tahn'; did you mean 'tanh'\?"):  # not 'tan'
        mg.tahn
    with pytest.raises(AttributeError, match=r"module 'minigrad' has no attribute 'qqqq'$"):
        mg.qqqq


def test_what_is_not_there_is_not_there():
    x = mg.ones(2)
    assert not hasattr(x, "gather")
    assert "gather" not in dir(x)
    assert "sum" in dir(x)
    assert getattr(x, "values", None) is None
    with pytest.raises(AttributeError, match=r"'Tensor' object .*'sinh'; .* mg\.sinh"):
        x.sinh
    with pytest.raises(AttributeError, match=r"'Parameter' object .*'gather'; .* mg\.take_along"):
        nn.Linear(2, 2).weight.gather


def test_second_names_are_the_first_ones():
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    mask = np.array([True, False, True])
    for second, first in [
        (x.view(3, 2), x.reshape(3, 2)),
        (x.view((-1,)), x.reshape(-1)),
        (x.permute(1, 0), x.transpose()),
        (x.permute((1, 0)), x.transpose()),
        (x.t(), x.T),
        (x.unsqueeze(1), mg.expand_dims(x, 1)),
        (x.flatten(), x.reshape(6)),
        (x[None].flatten(1), x.reshape(1, 6)),
        (x[None].flatten(0, 1), x),
        (x.clone(), x),
        (x.T.contiguous(), x.T),
        (x.pow(2), x * x),
        (x.masked_fill(mask, 9.0), mg.where(mask, 9.0, x)),
        (x.float(), x.astype("float32")),
        (x.double(), x),
        (x.half(), x.astype("float16")),
        (x.long(), x.astype("int64")),
        (x.int(), x.astype("int32")),
        (x.bool(), x.astype("bool")),
        (x.to(mg.float32), x.astype("float32")),
    ]:
        assert (second.dtype, second.requires_grad) == (first.dtype, first.requires_grad)
        np.testing.assert_array_equal(second.numpy(), first.numpy())
    assert (x.numel(), x.dim()) == (x.size, x.ndim) == (6, 2)
    assert x.cpu().device == "cpu"
    assert x.contiguous() is x
    with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
        x[None].t()


def test_a_gradient_is_set_to_zero_in_place():
    w = mg.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    assert w.grad.zero_() is w.grad
    assert w.grad.tolist() == [0, 0]


def test_two_axes_are_not_exchanged_by_transpose():
    with pytest.raises(ValueError, match=r"swapaxes\(a, b\)"):
        mg.ones(2, 3, 4).transpose(0, 1)
