"""The rules of ops are told as they are written."""

import dis
import pkgutil
from importlib import import_module

import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd.fused import JointOp
from minigrad.autograd.record import RuleOp, differentiable
from minigrad.viz.explorer.sources import rules_of


def all_ops():
    """Each op that is declared in minigrad, by its place."""
    found = {}
    for info in pkgutil.walk_packages(mg.__path__, "minigrad."):
        if "__main__" in info.name or "viz" in info.name:
            continue
        for name, value in vars(import_module(info.name)).items():
            op = getattr(value, "op", None)
            if isinstance(op, RuleOp | JointOp) and value.__module__ == info.name:
                found[f"{info.name}.{name}"] = op
    return found


OPS = all_ops()


def plan_of(op):
    needs = sum(1 << i for i, is_input in enumerate(op.inputs) if is_input)
    return op.plan(needs)


def compiled(text):
    """The function that a text of a rule is, compiled on its own."""
    code = compile(f"from __future__ import annotations\n{text}", "text", "exec")
    functions = [c for c in code.co_consts if hasattr(c, "co_code")]
    return next(f for f in functions if f.co_name != "__annotate__")  # of Python 3.14


KINDS = {"LOAD_FAST", "LOAD_CONST", "LOAD_GLOBAL", "BINARY_OP", "COMPARE_OP", "UNARY_NEGATIVE"}


def instructions(code):
    """What a function computes with what, in order. (Jumps and calls depend on the whole file.)"""
    found = []
    for step in dis.get_instructions(code):
        if hasattr(step.argval, "co_code"):
            found.append(instructions(step.argval))
        elif step.opname in KINDS:
            found.append((step.opname, step.argrepr.removeprefix("NULL + ")))
    return found


def test_the_public_ops_are_among_them():
    public = {getattr(ops, name).op for name in ops.__all__ if hasattr(getattr(ops, name), "op")}
    assert public <= set(OPS.values())
    assert len(OPS) > 80


@pytest.mark.parametrize("name", OPS)
def test_the_text_compiles_to_the_rule_itself(name):
    """For every op of minigrad: the same instructions."""
    op = OPS[name]
    told = rules_of(plan_of(op))
    functions = op.rules if isinstance(op, RuleOp) else {"": op.backward}
    assert [rule.argument for rule in told.rules] == [
        p for p in (*op.parameters, "") if p in functions
    ]
    for rule in told.rules:
        own, code = functions[rule.argument].__code__, compiled(rule.text)
        assert instructions(code) == instructions(own)
        assert code.co_varnames == own.co_varnames
        assert set(code.co_names) == set(own.co_names)
        assert rule.name == ("" if own.co_name == "<lambda>" else own.co_name)
    twin = getattr(op, "twin", None)
    assert told.twin == ("" if twin is None else twin.__name__)
    assert told.kind == (
        "rules" if isinstance(op, RuleOp) else "joint" if twin is None else "fused"
    )


def test_rules_beside_each_other_on_a_line_are_told_apart():
    @differentiable(a=lambda g, b: g * b, b=lambda g, a: g * a)  # 두 개
    def product(a, b):
        return a * b

    @differentiable(a=lambda g: g, b=lambda g: -g)
    def difference(a, b):
        return a - b

    @differentiable(
        x=lambda g, x: (
            g * mg.ones_like(x) + mg.zeros_like(x) * g + g  # over several lines, with a remark
        )
    )
    def twice(x):
        return x * 2

    told = rules_of(plan_of(product.op))
    assert [rule.text for rule in told.rules] == [
        "lambda g, b: g * b",
        "lambda g, a: g * a  # 두 개",
    ]
    told = rules_of(plan_of(difference.op))
    assert [rule.text for rule in told.rules] == ["lambda g: g", "lambda g: -g"]
    text = rules_of(plan_of(twice.op)).rules[0].text
    assert "# over several lines" in text
    assert instructions(compiled(text)) == instructions(twice.op.rules["x"].__code__)


def test_a_rule_whose_source_is_not_at_hand_has_no_text():
    scope = {"differentiable": differentiable}
    exec("@differentiable(x=lambda g: g)\ndef same(x):\n    return x * 1.0", scope)
    assert rules_of(plan_of(scope["same"].op)).rules[0].text == ""
