"""Faults that a review found, one test each."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import GradientError, check_gradients


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


@pytest.mark.parametrize(
    "pick",
    [
        lambda w, i: w[i],
        lambda w, i: mg.take(w, i),
        lambda w, i: mg.embedding(i, w[:, None]),
        lambda w, i: mg.take_along_axis(w, i, 0),
        lambda w, i: w.at[i].set(0.0) * -1 + w,
    ],
)
def test_an_index_that_changes_later_does_not_matter(pick):
    w, i = leaf([1.0, 2.0, 3.0]), mg.tensor(np.array([0, 1]))
    y = pick(w, i).sum()
    i[0] = 2
    y.backward()
    assert w.grad.tolist() == [1.0, 1.0, 0.0]


def test_threads_add_to_one_gradient():
    w = leaf(np.zeros(500))

    def work():
        for _ in range(300):
            (w * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(w.grad.tolist()) == {1200.0}


def test_retain_grad_twice_and_with_a_hook_after_it():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0, 10.0]


def test_tensors_of_one_array_share_their_changes():
    c, w = mg.tensor([1.0, 2.0]), leaf([1.0, 1.0], np.float32)
    y = (w * c).sum()
    mg.Tensor(c)[0] = 100.0
    with pytest.raises(mg.TapeError, match="changed in place"):
        y.backward()
    c, other = mg.tensor([1.0, 2.0]), mg.zeros(2)
    other.data = c
    y = (w * c).sum()
    other[0] = 100.0
    with pytest.raises(mg.TapeError, match="changed in place"):
        y.backward()


def test_a_hook_that_changes_the_dtype():
    x = leaf([1.0], np.float32)
    x.register_hook(lambda g: g.astype(np.float64))
    with pytest.raises(TypeError, match=r"hook returned float64.*float32"):
        (x * 2).sum().backward()


def test_what_was_frozen_since_gets_no_gradient_and_no_step():
    a, b = (mg.nn.Parameter(np.ones(2, np.float32)) for _ in "ab")
    y = (a * b).sum()
    a.requires_grad_(False)
    y.backward()
    assert a.grad is None
    a.requires_grad_(True)
    (a * b).sum().backward()
    a.requires_grad_(False)
    mg.optim.SGD([a, b], lr=1.0).step()
    assert a.tolist() == [1.0, 1.0]
    assert b.tolist() != [1.0, 1.0]


def test_what_was_frozen_since_is_no_trouble_to_a_twin():
    z, other = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    y = mg.cross_entropy(z, np.array([0, 1])) + (other * other).sum()
    z.requires_grad_(False)
    y.backward(create_graph=True)
    assert z.grad is None
    assert other.grad.tolist() == [[2.0] * 3] * 2


def test_a_bad_gradient_stops_the_step_before_anything_moved():
    a, b = (mg.nn.Parameter(np.ones(2, np.float32)) for _ in "ab")
    (a * b).sum().backward()
    b.grad = mg.tensor(np.ones(2))
    with pytest.raises(ValueError, match="float64"):
        mg.optim.Adam([a, b]).step()
    assert a.tolist() == [1.0, 1.0]


def test_hooks_survive_a_change_of_dtype():
    layer, seen = mg.nn.Linear(1, 1), []
    layer.weight.register_hook(seen.append)
    layer.to(dtype=np.float64)
    layer(np.ones((1, 1))).sum().backward()
    assert len(seen) == 1


@pytest.mark.parametrize("order", [3, 1.5])
def test_p_norm_of_zeros(order):
    x = leaf([0.0, 0.0])
    y = mg.norm(x, order)
    y.backward()
    assert (y.item(), x.grad.tolist()) == (0.0, [0.0, 0.0])


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_as_incoming_gradient():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    (x * x).backward(np.matrix(np.ones((2, 2))))
    assert x.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ignored_rows_may_hold_anything(smoothing):
    z = np.array([[-1e30, 0, 0], [1, 2, 3]], np.float32)
    z[0, 0] = -np.inf
    with np.errstate(invalid="ignore"):
        loss = mg.cross_entropy(mg.tensor(z), np.array([-100, 1]), label_smoothing=smoothing)
    alone = mg.cross_entropy(mg.tensor(z[1:]), np.array([1]), label_smoothing=smoothing)
    assert loss.item() == pytest.approx(alone.item())
    log_probs = mg.tensor(np.array([[-np.inf, 0.0], [-1.0, -2.0]]))
    with np.errstate(invalid="ignore"):
        assert mg.nll_loss(log_probs, np.array([-100, 1])).item() == 2.0


def test_small_integers_do_not_wrap_or_overflow():
    small = mg.tensor(np.array([1, 12], np.uint8))
    for op in (mg.softplus, mg.exp, mg.softmax, mg.log_softmax, mg.erf):
        expected = op(mg.tensor([1.0, 12.0]))
        with np.errstate(all="ignore"):  # NumPy tries float16 first
            y = op(small)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-6)


def test_an_explicit_dtype_is_exact():
    assert mg.sum(mg.tensor(np.array([16777217])), dtype=np.float64).item() == 16777217.0


def test_tuples_and_options_do_not_decide_the_dtype():
    x = leaf([1.0, 2.0], np.float32)
    for y in (
        x + (1.0, 2.0),  # noqa: RUF005
        mg.clip(x, [0.0, 0.0], 1),
        mg.clip(x, np.array(0.0), 1),
        mg.clip(x, np.zeros(2)),
        mg.leaky_relu(x, np.array(0.1)),
        mg.elu(x, np.float64(0.1)),
    ):
        assert y.dtype == np.float32
    (x ** (1.0, 2.0)).sum().backward()
    assert x.grad.tolist() == [1.0, 4.0]


def test_float16_sigmoid():
    assert mg.sigmoid(mg.tensor([-16.0], dtype=np.float16)).item() == pytest.approx(
        1.19e-7, rel=0.1
    )


def test_integer_results_are_constants():
    assert not leaf([1.5, 2.5]).sum(dtype=np.int64).requires_grad
    assert not mg.tensor(np.zeros(2, int)).at[0].set(leaf(1.7)).requires_grad


def test_take_counts_with_bools_as_numpy_does():
    x = np.array([10.0, 20.0, 30.0])
    ids = np.array([True, False, True])
    assert mg.take(mg.tensor(x), ids).tolist() == np.take(x, ids.astype(int)).tolist()


def test_grad_keeps_off_branches_that_do_not_lead_to_its_inputs():
    w, x = leaf(3.0), leaf(2.0)
    h = w * w
    out = h * x
    w.data = 5.0
    assert mg.grad(out, x, retain_graph=True)[0].item() == 9.0
    w, x = leaf(3.0), leaf(2.0)
    h = w * w
    out = h * x
    h.backward()
    assert mg.grad(out, x)[0].item() == 9.0
    w, x = leaf(3.0), leaf(2.0)
    h = w * w
    assert mg.grad(h * x, x)[0].item() == 9.0
    h.backward()
    assert w.grad.item() == 6.0


def test_a_single_id_is_embedded():
    w = leaf(np.ones((3, 2)))
    for i in (2, np.int64(2), np.array(2), mg.tensor(np.array(2))):
        w.grad = None
        y = mg.embedding(i, w)
        assert y.shape == (2,)
        y.sum().backward()
        assert w.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_einsum_and_setting_broadcast_lengths_of_one():
    check_gradients(
        lambda a, b: mg.einsum("ij,jk->ik", a, b), np.ones((2, 1)), np.ones((3, 4)), order=2
    )
    check_gradients(lambda a, v: a.at[0].set(v), np.zeros((2, 3)), np.ones((1, 3)), order=2)


def test_numbers_can_be_stacked_and_generators_concatenated():
    x = leaf(1.0)
    assert mg.stack([x, 0.0]).tolist() == [1.0, 0.0]
    assert np.stack([x, np.float32(2)]).dtype == np.float64
    assert mg.concatenate(leaf([k]) for k in (1.0, 2.0)).tolist() == [1.0, 2.0]


def test_numpy_integers_are_integers():
    t = leaf(np.ones((2, 2)))
    assert np.tile(t, np.int64(2)).shape == (2, 4)
    assert len(np.split(t, np.int64(2))) == 2
    assert np.tensordot(t, t, np.int64(2)).shape == ()
    assert t.transpose(np.int64(1), np.int64(0)).shape == (2, 2)
    assert np.linalg.norm(t, np.int64(2), axis=0).shape == (2,)


def test_a_mode_can_be_entered_again():
    off = mg.no_grad()
    x = leaf(1.0)
    for _ in range(2):
        with off, off:
            assert not (x * 2).requires_grad
        assert (x * 2).requires_grad


def test_rules_and_joint_ops_that_give_bare_numbers():
    @mg.differentiable(x=lambda g, x_shape: mg.ones(x_shape, dtype=np.float64).data)
    def total(x):
        return x.sum()

    x = leaf([1.0, 2.0])
    assert isinstance(mg.grad(total(x), x, create_graph=True)[0], mg.Tensor)

    @mg.joint(backward=lambda g, x: [g[0] + g[1]], inputs=["x"])
    def sums(x):
        return (x.sum(), x.max()), None

    assert all(type(y.data) is type(x.data) for y in sums(x))


@mg.differentiable(x=lambda g: g * 0.0 + 7.0)
def wrong(x):
    return x * x


@pytest.mark.parametrize("f", [lambda x: wrong(x).numpy(), lambda x: None, lambda x: x > 0])
def test_the_checker_does_not_pass_what_it_cannot_check(f):
    with pytest.raises(GradientError, match="nothing to check"):
        check_gradients(f, np.ones(2))


def test_the_checker_looks_into_dicts_and_refuses_lists_of_arrays():
    with pytest.raises(GradientError, match="not linear in g"):
        check_gradients(lambda x: {"y": wrong(x)}, np.ones(2))
    with pytest.raises(TypeError, match="one by one"):
        check_gradients(lambda xs: wrong(xs[0]), [np.ones(2), np.ones(2)])
    with pytest.raises(GradientError, match="nothing to check: no argument"):
        check_gradients(lambda n: mg.ones(n), 3)


def test_the_checker_tries_each_argument_alone_and_walks_twice():
    def partly(g, needs, a, b):
        return [g * b, g * a] if all(needs) else [g * b, g * b]

    @mg.fused(twin=lambda a, b: a * b, backward=partly, inputs=["a", "b"])
    def product(a, b):
        return a * b, None

    with pytest.raises(GradientError, match=r"'b'.*alone"):
        check_gradients(product, np.array([2.0, 3.0]), np.array([4.0, 5.0]))

    def spoils(g, kept):
        kept *= g
        return [kept]

    @mg.fused(twin=lambda x: mg.square(x), backward=spoils, inputs=["x"])
    def squared(x):
        return x * x, x * 2

    with pytest.raises(GradientError, match="second walk"):
        check_gradients(squared, np.array([2.0, 3.0]))
