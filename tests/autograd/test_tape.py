"""The tape: backward, grad, modes, hooks, errors, memory, depth."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.tensor import mark_changed


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values if len(values) != 1 else values[0], dtype), requires_grad=True)


def raises(text):
    return pytest.raises(mg.TapeError, match=text)


# ------------------------------------------------------------------------- backward


def test_gradients_accumulate_over_backwards():
    x = leaf(3.0)
    (x * x).backward()
    (x * x).backward()
    assert x.grad.item() == 12.0


def test_backward_from_a_vector_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with raises(r"shape \(2,\).*single number.*reduce it"):
        (x * x).backward()
    (x * x).backward(mg.tensor([1.0, 10.0], dtype=np.float64))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 40.0])


@pytest.mark.parametrize(
    "gradient", [np.ones(3), np.ones((2, 1)), mg.ones(2), 1.0, [1.0, 1.0, 1.0]]
)
def test_backward_rejects_a_gradient_that_does_not_fit(gradient):
    with raises(r"gradient is .*; expected an array or Tensor of shape \(2,\) and dtype float64"):
        (leaf(1.0, 2.0) * 2).backward(gradient)


def test_backward_from_a_constant():
    with raises("constant.*requires_grad=True"):
        mg.tensor(1.0).backward()
    x = leaf(1.0)
    with mg.no_grad():
        y = x * 2
    with raises("constant"):
        y.backward()


def test_second_backward_through_a_freed_tape():
    x = leaf(3.0)
    y = x * x
    y.backward()
    with raises("second walk.*retain_graph=True"):
        y.backward()


def test_second_backward_through_a_freed_output_of_several():
    a, b = mg.split(leaf(1.0, 2.0), 2)
    a.sum().backward()
    with raises("freed|already used"):
        b.sum().backward()
    with raises("second walk"):
        a.backward(mg.ones(1, dtype=np.float64))


def test_a_gradient_by_way_of_a_freed_part_is_no_half_of_itself():
    x = leaf(2.0)
    h = mg.tanh(x)
    (h * 2).backward()
    for y in (h * h + 5 * x, h * h):
        with raises("reached a tanh.*used and freed"):
            mg.grad(y, x, allow_unused=True)
    assert mg.grad(5 * x + h.detach(), x)[0].item() == 5.0


def test_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0


def test_backward_into_the_previous_bptt_window_says_detach():
    w, h = leaf(0.5), leaf(1.0)
    h = mg.tanh(h * w)
    (h * h).backward()  # the first window
    h = mg.tanh(h * w)  # its state is carried on without detach()
    with raises(r"previous BPTT window.*state = state\.detach\(\)"):
        (h * h).backward()
    h = mg.tanh(h.detach() * w)
    (h * h).backward()


def test_an_integer_tensor_has_no_gradient():
    with pytest.raises(TypeError, match=r"only floating-point.*not int64.*astype"):
        mg.tensor(np.arange(3), requires_grad=True)
    with pytest.raises(TypeError, match="not bool"):
        mg.tensor([True, False]).requires_grad_()


def test_a_leaf_that_nobody_holds_needs_no_gradient():
    x = leaf(2.0)
    y = mg.tensor(np.array(3.0), requires_grad=True) * x
    y.backward()
    assert x.grad.item() == 3.0


def test_gradient_of_a_leaf_itself():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_requires_grad_can_be_switched_off_and_results_cannot():
    x = leaf(2.0)
    y = x * 2
    with raises(r"detach\(\)"):
        y.requires_grad_(False)
    x.requires_grad = False
    assert not (x * 2).requires_grad


@pytest.mark.parametrize("gradient", [np.ones(2, np.float32), [1.0, 1.0], np.array([1, 1])])
def test_backward_takes_arrays_and_lists_in_the_dtype_of_the_tensor(gradient):
    x = leaf(1.0, 2.0)
    (x * 2).backward(gradient)
    assert (x.grad.dtype, x.grad.tolist()) == (np.float64, [2.0, 2.0])


# ------------------------------------------------------------------------- grad


def test_grad_touches_no_grad():
    x, w = leaf(3.0), leaf(2.0)
    y = x * x * w
    (g,) = mg.grad(y, x)
    assert g.item() == 12.0
    assert x.grad is None
    assert w.grad is None


def test_grad_with_respect_to_a_result_in_between():
    x = leaf(3.0)
    h = x * x
    y = h * h + x
    gh, gx = mg.grad(y, [h, x])
    assert gh.item() == 18.0
    assert gx.item() == 2 * 9 * 6 + 1


def test_grad_of_several_outputs_weighted():
    x = leaf(2.0)
    (g,) = mg.grad([x * x, x * 3], x, [np.float64(10.0), None])
    assert g.item() == 10 * 4 + 3


def test_grad_of_an_unused_input():
    x, z = leaf(1.0), leaf(1.0)
    with raises(r"do not depend on input 1.*allow_unused"):
        mg.grad(x * 2, [x, z])
    assert mg.grad(x * 2, [x, z], allow_unused=True)[1] is None


def test_grad_of_what_is_no_tensor_or_a_constant():
    with pytest.raises(TypeError, match="input 0 is no Tensor"):
        mg.grad(leaf(1.0) * 2, 3.0)
    with raises("input 0 is a constant"):
        mg.grad(leaf(1.0) * 2, mg.tensor(1.0))
    with pytest.raises(ValueError, match="1 outputs, but 2 grad_outputs"):
        mg.grad(leaf(1.0) * 2, leaf(1.0), [1, 2])


def test_grad_asked_twice_for_one_input_gives_two_arrays():
    x = leaf(1.0, 2.0)
    a, b = mg.grad((x * x).sum(), [x, x])
    assert not np.shares_memory(a.data, b.data)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_grad_does_not_walk_to_what_is_older_than_its_inputs():
    """Parameters made before x have their rules skipped, which a rule that fails would show."""

    def fail(g):
        raise AssertionError("the rule of an input that nobody asked for was run")

    @mg.differentiable(a=fail, b=lambda g, a: g * a)
    def product(a, b):
        return a * b

    w, x = leaf(2.0), leaf(3.0)
    assert mg.grad(product(w, x), x)[0].item() == 2.0


# ------------------------------------------------------------------------- higher orders


def test_third_derivative():
    x = leaf(0.3)
    y = mg.tanh(x)
    (d1,) = mg.grad(y, x, create_graph=True)
    (d2,) = mg.grad(d1, x, create_graph=True)
    (d3,) = mg.grad(d2, x)
    t = np.tanh(0.3)
    np.testing.assert_allclose(d1.item(), 1 - t**2)
    np.testing.assert_allclose(d2.item(), -2 * t * (1 - t**2))
    np.testing.assert_allclose(d3.item(), (1 - t**2) * (6 * t**2 - 2))


def test_third_derivative_through_a_fused_op():
    rng = np.random.default_rng(0)
    z0, v = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))

    def along(s):
        return mg.cross_entropy(mg.tensor(z0) + s * mg.tensor(v), np.array([0, 2]))

    s = leaf(0.0)
    d = along(s)
    for _ in range(3):
        (d,) = mg.grad(d, s, create_graph=True)
    # the third cumulant of v under the softmax, averaged over the rows
    p = np.exp(z0) / np.exp(z0).sum(1, keepdims=True)
    centred = v - (p * v).sum(1, keepdims=True)
    np.testing.assert_allclose(d.item(), (p * centred**3).sum(1).mean(), rtol=1e-10)


def test_hessian_vector_product():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(4, 4))
    x, v = leaf(rng.normal(size=4)), rng.normal(size=4)
    y = mg.exp((x @ A) @ x * 0.1)
    (g,) = mg.grad(y, x, create_graph=True)
    (hv,) = mg.grad((g * v).sum(), x)
    S, e = 0.1 * (A + A.T), y.item()
    hessian = e * (np.outer(S @ x.numpy(), S @ x.numpy()) + S)
    np.testing.assert_allclose(hv.numpy(), hessian @ v, rtol=1e-10)


def test_create_graph_backward_puts_a_gradient_with_a_history_into_grad():
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    (second,) = mg.grad(x.grad, x)
    assert second.item() == 18.0


def test_create_graph_works_inside_no_grad():
    x = leaf(3.0)
    y = x * x * x
    with mg.no_grad():
        (g,) = mg.grad(y, x, create_graph=True)
    assert mg.grad(g, x)[0].item() == 18.0


# ------------------------------------------------------------------------- modes, hooks


def test_modes_are_restored_on_any_exit():
    x = leaf(1.0)
    with pytest.raises(KeyError), mg.no_grad():  # noqa: PT012
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_decorates():
    @mg.no_grad()
    def double(x):
        return x * 2

    x = leaf(1.0)
    assert not double(x).requires_grad
    assert not double(x).requires_grad
    assert (x * 2).requires_grad


def test_modes_are_local_to_a_thread():
    x, seen = leaf(1.0), []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
    assert seen == [True]


def test_two_threads_record_and_walk_at_once():
    def work(results, k):
        w = leaf(float(k))
        for _ in range(200):
            w.grad = None
            y = w
            for _ in range(20):
                y = y * 1.0 + w
            y.backward()
        results[k] = w.grad.item()

    results = {}
    threads = [threading.Thread(target=work, args=(results, k)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == dict.fromkeys(range(4), 21.0)


def test_hooks_see_and_replace_the_whole_gradient():
    x = leaf(3.0)
    h = x * 2
    seen = []
    h.register_hook(lambda g: seen.append(g.item()))
    remove = h.register_hook(lambda g: g * 10)
    (h * h + h).backward(retain_graph=True)
    assert seen == [2 * 6 + 1]  # both contributions at once
    assert x.grad.item() == 13 * 10 * 2
    remove()
    x.grad = None
    (h * 1.0).backward()
    assert x.grad.item() == 2.0


def test_hook_on_a_leaf_and_on_a_constant():
    x = leaf(3.0)
    x.register_hook(lambda g: -g)
    (x * 5).backward()
    assert x.grad.item() == -5.0
    with raises("constant"):
        mg.tensor(1.0).register_hook(print)


def test_a_hook_that_returns_nonsense():
    x = leaf(3.0)
    x.register_hook(lambda g: g.reshape(1))
    with pytest.raises(TypeError, match=r"hook returned.*shape \(\)"):
        (x * 5).backward()


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf(3.0)
    h = x * 2
    h.retain_grad()
    (h * h).backward()
    assert h.grad.item() == 12.0


# ------------------------------------------------------------------------- changed values


def test_a_changed_input_is_noticed_and_named():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    w.data -= 0.1
    with raises(r"a tensor of shape \(2,\), which multiply saved.*changed in place"):
        y.backward()


def test_a_changed_result_is_noticed():
    x = leaf(1.0)
    y = mg.exp(x)
    y.data = np.array(0.0)
    y2 = mg.exp(leaf(1.0))
    z = y2 * 1.0
    y2.data += 1.0
    with raises("its own result, which exp saved"):
        z.backward()


def test_a_change_through_a_view_is_noticed_both_ways():
    w, x = leaf(np.ones((2, 2))), leaf(np.ones((2, 2)))
    y = (x @ w.T).sum()
    w.data *= 2.0
    with raises("matmul"):
        y.backward()
    c = mg.tensor(np.ones(3))
    view = c[:2]
    y = (leaf(1.0, 1.0) * view).sum()
    c[0] = 5.0
    with raises("multiply"):
        y.backward()
    d = leaf(np.ones(3))
    y = (d * d).sum()
    d.detach()[0] = 7.0
    with raises("multiply"):
        y.backward()


def test_a_change_that_touches_nothing_saved_is_allowed():
    x, w = leaf(1.0), leaf(2.0)
    y = x + w
    w.data -= 1.0
    y.backward()
    assert w.grad.item() == 1.0
    a = leaf(np.ones(4))
    parts = mg.split(a, 2)
    y = (parts[0] * 2).sum()
    mark_changed(a)
    y.backward()


def test_a_change_after_the_walk_is_allowed():
    w = leaf(2.0)
    for _ in range(3):
        w.grad = None
        (w * w).backward()
        w.data -= 0.1 * w.grad.data
    assert w.item() == pytest.approx(2 * 0.8**3)


# ------------------------------------------------------------------------- rules that break


def test_a_rule_with_a_wrong_shape_is_named():
    @mg.differentiable(x=lambda g: g.reshape(-1)[:2])
    def crooked(x):
        return x * 1

    with raises(r"crooked: a rule gave a gradient of shape \(2,\) for an input of shape \(3,\)"):
        crooked(leaf(1.0, 2.0, 3.0)).sum().backward()


def test_a_rule_that_leaks_float64_is_named():
    @mg.differentiable(x=lambda g: g * np.float64(2.0))
    def leaky(x):
        return x * 2

    x = leaf([1.0, 2.0], dtype=np.float32)
    with raises("leaky: a rule gave a float64 gradient for a float32 input"):
        leaky(x).sum().backward()


def test_a_rule_for_nothing_or_that_names_nothing_fails_where_it_is_declared():
    with pytest.raises(TypeError, match="'y', which is no parameter"):
        mg.differentiable(y=lambda g: g)(lambda x: x)
    with pytest.raises(TypeError, match="names 'y', which is no parameter"):

        @mg.differentiable(x=lambda g, y: g)
        def op(x):
            return x

    with pytest.raises(TypeError, match="backward names 'z'"):
        mg.joint(backward=lambda g, z: [g], inputs=["x"])(lambda x: (x, None))


def test_an_op_without_any_rule_is_refused_where_it_is_declared():
    with pytest.raises(TypeError, match="differentiable: it takes a rule for each input"):
        mg.differentiable(lambda a, b: a * b)
    with pytest.raises(TypeError, match="differentiable: it takes a rule for each input"):
        mg.differentiable()


@pytest.mark.parametrize(
    "result", [None, mg.ones(2), (np.ones(2), None), (np.ones(2), np.ones(2))], ids=repr
)
def test_an_op_whose_function_gives_no_array_is_named(result):
    @mg.differentiable(x=lambda g: g)
    def forgetful(x):
        return result

    with pytest.raises(TypeError, match=r"forgetful: the function gave .*on arrays"):
        forgetful(leaf(1.0, 2.0))


def test_a_rule_that_gives_a_number_is_named():
    @mg.differentiable(x=lambda g: 3.0)
    def steep(x):
        return x * 3

    with raises(r"steep: a rule gave 3\.0 as a gradient; .* uses g"):
        steep(leaf(1.0)).backward()


def test_an_op_of_ones_own_is_recorded_named_and_differentiable_twice():
    @mg.differentiable(x=lambda g, x: g * 3 * x**2)
    def cube(x):
        return x * x * x

    x = leaf(2.0)
    assert "made_by=cube" in repr(cube(x))
    mg.testing.check_gradients(cube, np.array([1.0, -2.0]), order=2)


def test_a_rule_that_has_forgotten_g_is_refused():
    def square(x):
        return x * x

    def product(a, b):
        return a * b

    for rules, function in (
        ({"x": lambda x: x * 2}, square),
        ({"x": lambda out: out * 2}, square),
        ({"x": lambda x_shape: x_shape}, square),
        ({"x": lambda: 1.0}, square),
        ({"a": lambda g, b: g * b, "b": lambda a: a}, product),
    ):
        with pytest.raises(TypeError, match=r"first parameter is g.*write \(g"):
            mg.differentiable(**rules)(function)
    with pytest.raises(TypeError, match=r"write \(g, a, b\)"):
        mg.joint(backward=lambda a, b: [b, a], inputs=["a", "b"])(product)


def test_a_list_as_incoming_gradient_keeps_all_digits():
    x = mg.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True)
    (x * 1.0).backward([0.1, 1 / 3])
    np.testing.assert_array_equal(x.grad.numpy(), [0.1, 1 / 3])
