"""`explain`: each planted fault is named, with its line."""

import inspect
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.viz.observing import watch

RNG = np.random.default_rng


def leaf(*values):
    return mg.tensor(np.array(values), requires_grad=True)


def detached():
    x = leaf(1.0, 2.0)
    h = mg.tanh(x)
    h = h.detach()  # here
    return x, (h * leaf(1.0, 1.0)).sum()


def under_no_grad():
    x = leaf(1.0, 2.0)
    with mg.no_grad():
        h = mg.exp(x)  # here
    return x, (h * leaf(1.0, 1.0)).sum()


def made_integers():
    x = leaf(1.0, 2.0)
    i = mg.astype(x, "int64")  # here
    return x, (i * leaf(1.0, 1.0)).sum()


def chosen_by_argmax():
    x = leaf(1.0, 2.0)
    i = mg.argmax(x)  # here
    return x, leaf(1.0, 1.0)[i].sum()


def values_alone():
    x = leaf(1.0, 2.0)
    h = mg.Tensor(x.numpy())  # here
    return x, (h * leaf(1.0, 1.0)).sum()


def not_used():
    x = leaf(1.0, 3.0)
    return x, leaf(1.0, 1.0).sum()


def a_copy_was_used():
    x = leaf(5.0, 2.0)
    other = leaf(5.0, 2.0)
    return x, (other * 2.0).sum()  # here


def used_for_nothing():
    x = leaf(1.0, 2.0)
    mg.tanh(x)
    return x, leaf(1.0, 1.0).sum()


def saturated():
    x = leaf(50.0, -50.0)
    return x, mg.tanh(x).sum()  # here


def half_saturated():
    x = leaf(0.1, 50.0)
    return x, mg.tanh(x).sum()  # here


def dead():
    x = leaf(-1.0, -2.0)
    return x, mg.relu(x).sum()  # here


def times_zero():
    x = leaf(1.0, 2.0)
    return x, (x * 0.0).sum()  # here


def nan_forward():
    x = leaf(1.0, -1.0)
    return x, mg.log(x).sum()  # here


def overflow():
    x = leaf(1.0, 1000.0)
    return x, mg.exp(x).sum()  # here


def nan_backward():
    x = leaf(0.0, 1.0)
    h = mg.sqrt(x)  # here
    return x, (h * h * 0.0).sum()


def not_finite_itself():
    x = leaf(np.nan, 1.0)
    return x, (x * 2.0).sum()


def vanishing():
    x = leaf(0.1, 0.1)
    h = x
    for _ in range(60):
        h = mg.tanh(h * 0.5)  # here
    return x, h.sum()


def exploding():
    x = leaf(0.1, 0.1)
    h = x
    for _ in range(60):
        h = h * 3.0  # here
    return x, h.sum()


FAULTS = [
    (detached, "is None", r"detach\(\) cuts"),
    (under_no_grad, "is None", r"exp ran within no_grad\(\)"),
    (made_integers, "is None", "astype makes integers"),
    (chosen_by_argmax, "is None", r"argmax\(\) cuts it off"),
    (values_alone, "is None", r"numpy\(\) takes its values"),
    (not_used, "is None", "was not used"),
    (a_copy_was_used, "is None", "another tensor with the same values"),
    (used_for_nothing, "is None", "not used for the loss"),
    (saturated, "is zero", "saturated: .* in 100 % of its 2 elements"),
    (half_saturated, "50 % of its elements are 0", "saturated: .* in 50 % of its 2 elements"),
    (dead, "is zero", "not positive in 100 % of its 2 elements"),
    (times_zero, "is zero", "the other factor is 0"),
    (nan_forward, "has the norm", "log: x is 0 or negative in 1 of 2"),
    (overflow, "is infinite in 1 of 2", "exp: it overflows: float64 ends at 1.8e[+]308"),
    (nan_backward, "is NaN in 1 of 2", "sqrt is the first .* 0 times infinity.* at x = 0"),
    (not_finite_itself, "has the norm", "x is not finite itself"),
    (vanishing, "is small", "multiply, 60 times: a factor of 8.7e-19"),
    (exploding, "is huge", "multiply, 60 times: a factor of 4.2e[+]28"),
]


@pytest.mark.parametrize(
    ("program", "state", "reason"), FAULTS, ids=[program.__name__ for program, _, _ in FAULTS]
)
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_planted_faults_are_named(program, state, reason):
    with watch():
        x, loss = program()
        loss.backward()
    text = str(mg.explain(x))
    first = text.splitlines()[0]
    assert re.search(state, first), text
    found = [f for f in mg.explain(x).findings if reason and re.search(reason, f.text)]
    assert bool(found) == bool(reason), text
    for line in inspect.getsource(program).splitlines():
        if line.endswith("# here"):
            assert found[0].line.text == line.strip()


def test_without_a_watch_it_says_what_the_tape_knows():
    x, loss = saturated()
    assert "saturated" in str(mg.explain(x, loss))
    x, loss = detached()
    assert "viz.watch()" in str(mg.explain(x, loss))
    with watch():
        pass
    assert "loss.backward() was not called" in str(mg.explain(x))
    assert "integers" not in str(mg.explain(mg.ones(2)))
    assert "int64" in str(mg.explain(mg.tensor([1], "int64")))


def test_constants_say_what_made_them():
    with watch():
        h = mg.tanh(leaf(1.0)).detach()
        with mg.no_grad():
            y = mg.exp(leaf(1.0))
        z = mg.exp(mg.ones(2))
    assert "result of detach()" in str(mg.explain(h))
    assert "exp ran within no_grad()" in str(mg.explain(y))
    assert "no argument of that required a gradient" in str(mg.explain(z))
    assert "requires_grad=True" in str(mg.explain(mg.ones(2)))


def test_results_of_ops_keep_no_grad():
    with watch():
        x = leaf(1.0)
        y = x * 2.0
        (y * y).sum().backward()
    assert "only leaves keep one" in str(mg.explain(y))
    assert "has the norm 4" in str(mg.explain(y))


def test_clipping_and_the_optimiser():
    layer = nn.Linear(3, 2, rng=RNG(0))
    other = nn.Linear(3, 2, rng=RNG(0))
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    for parameter in other.parameters():
        parameter.grad = mg.zeros_like(parameter)
    with watch():
        (layer(np.ones((4, 3), np.float32)) ** 2).sum().backward()
        norm = optim.clip_grad_norm_(layer.parameters(), 0.5).item()
        optimizer.step()
    text = str(mg.explain(layer.weight))
    assert f"multiplied its .grad by {0.5 / (norm + 1e-6):.3g}" in text
    assert "SGD has another object with the same values" in text
    assert "is another one" not in text  # .grad is what clipping made of the gradient
    other.weight.data = np.zeros((2, 3), np.float32)
    assert "SGD does not have it" in str(mg.explain(layer.weight, optimizer=optimizer))
    assert "SGD" not in str(mg.explain(other.weight, optimizer=optimizer))


def test_a_grad_that_is_not_of_this_walk():
    w = leaf(1.0, 2.0)
    (w * 3.0).sum().backward()
    with watch():
        (w * w).sum().backward()
    assert "zero_grad() was not called" in str(mg.explain(w))
    w.grad = None
    assert "zero_grad() was called after backward()" in str(mg.explain(w))


def test_fused_layers_and_embeddings_say_what_they_can():
    embedding, rnn = nn.Embedding(9, 4, rng=RNG(0)), nn.RNN(4, 3, rng=RNG(0))
    with watch():
        rnn(embedding(np.array([1, 2, 1])) * 9.0)[0].sum().backward()
    text = str(mg.explain(embedding.weight))
    assert "7 of its 9 rows were not looked up" in text
    with watch():
        rnn(embedding(np.array([1, 2, 1])) * 1e3)[0].sum().backward()
    assert "its outputs are saturated" in str(mg.explain(embedding.weight))


def test_the_rows_of_several_lookups_are_counted_together():
    embedding = nn.Embedding(9, 4, rng=RNG(0))
    with watch():
        mg.stack([embedding(i) for i in (1, 2, 5, 1)]).sum().backward()
    assert "6 of its 9 rows were not looked up" in str(mg.explain(embedding.weight))


def test_zeros_in_the_gradient_of_a_weight_have_their_reason_behind_it():
    layer = nn.Linear(2, 2, rng=RNG(0))
    layer.bias.data[0] = 99.0
    with watch():
        mg.tanh(layer(mg.ones(2))).sum().backward()
    text = str(mg.explain(layer.weight))
    assert "50 % of its elements are 0" in text
    assert "tanh: it is saturated: |tanh| is above 0.99 in 50 %" in text


def test_a_state_that_is_detached_truncates_the_gradient():
    cell = nn.RNNCell(2, 2, rng=RNG(0))
    for cut in (True, False):
        with watch():
            h = mg.zeros(2)
            for _ in range(3):
                h = cell(mg.ones(2), h.detach() if cut else h)
            h.sum().backward()
            h.detach()  # not for the loss
        text = str(mg.explain(cell.weight_hh))
        assert ("a part of it is missing: detach()" in text) == cut


def test_a_number_made_by_item_is_told():
    w = leaf(1.0, 2.0)
    with watch():
        number = (w * w).sum().item()
        (leaf(1.0) * number).sum().backward()
    assert "item() takes its values off the tape here" in str(mg.explain(w))
    with watch():
        leaf((w * w).sum().item()).backward(mg.ones(1, dtype="float64"))
    assert "backward() began at a leaf" in str(mg.explain(w))


def test_zeros_of_a_gated_layer_lead_to_its_gates():
    layer = nn.LSTM(2, 3, rng=RNG(0))
    layer.bias_ih_l0.data[3:6] -= 200.0  # of the forget gate
    with watch():
        layer(mg.ones(4, 2))[0].sum().backward()
    text = str(mg.explain(layer.weight_hh_l0))
    assert "25 % of its elements are 0" in text
    assert "lstm: a layer with unroll=True would show its gates" in text


def test_a_tensor_of_after_the_watch_is_not_looked_for_in_it():
    x = leaf(1.0)
    with watch():
        (x * 2.0).backward()
    text = str(mg.explain(x * 3.0))
    assert "not used" not in text
    assert "run the step within viz.watch()" in text


def test_wrong_arguments():
    with pytest.raises(TypeError, match="tensor must be a Tensor"):
        mg.explain(np.ones(2))
    with pytest.raises(TypeError, match="loss must be a Tensor"):
        mg.explain(mg.ones(2), loss=3.0)
    with pytest.raises(TypeError, match="optimizer must be an optimiser"):
        mg.explain(mg.ones(2), optimizer=[])
    with pytest.raises(TypeError, match=r"must be a Tensor, not a Sequential$"):
        mg.explain(nn.Sequential(nn.Linear(1, 1)))


def frozen_then():
    x = mg.tensor(np.array([1.0, 2.0]))
    y = x * leaf(1.0, 1.0)  # here
    x.requires_grad_()
    return x, y.sum()


def beside_the_way():
    x = leaf(1.0, 2.0)
    mg.tanh(x).detach()
    with mg.no_grad():
        mg.exp(x)
    return x, leaf(1.0, 1.0).sum()


def cancelled():
    x = leaf(1.0, 2.0)
    return x, (x - x).sum()


def hooked():
    x = leaf(1.0, 2.0)
    y = x * 2.0  # here
    y.register_hook(lambda g: g * 0.0)
    return x, y.sum()


@pytest.mark.parametrize(
    ("program", "said", "not_said"),
    [
        (frozen_then, "did not require a gradient when multiply used it", "no_grad"),
        (beside_the_way, "not used for the loss", "detach|no_grad"),
        (cancelled, "not zero, but their sum is", "passes on zero"),
        (hooked, "a hook makes the gradient of multiply zero", "sum is"),
    ],
)
def test_nothing_false_is_said_of(program, said, not_said):
    with watch():
        x, loss = program()
        loss.backward()
    text = str(mg.explain(x))
    assert re.search(said, text), text
    assert not re.search(not_said, text), text


def test_each_loss_of_a_shared_tape_has_its_own_gradient():
    a, b, c = leaf(0.3, -0.2), leaf(1.0, 2.0), leaf(4.0)
    with watch():
        h = mg.tanh(a)
        first, second = (h * 2.0).sum(), (h * h * b).sum()
        first.backward(retain_graph=True)
        second.backward()
        (c * 3.0).sum().backward()
    slope = 1 - np.tanh(a.numpy()) ** 2
    of_first = np.linalg.norm(2 * slope)
    of_second = np.linalg.norm(2 * np.tanh(a.numpy()) * b.numpy() * slope)
    assert f"has the norm {of_first:.3g}." in str(mg.explain(a, first))
    assert f"has the norm {of_second:.3g}." in str(mg.explain(a, second))
    text = str(mg.explain(a))  # of the last walk that came to it
    assert f"has the norm {of_second:.3g}." in text
    assert "2 backward passes within the watch came to it" in text
    assert "passes" not in str(mg.explain(b))


def test_what_grad_was_not_asked_for_is_known_all_the_same():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with watch():
        mg.grad((a * b).sum(), a)
    assert "of b has the norm 2.24." in str(mg.explain(b))


def test_several_steps_within_a_watch():
    w = leaf(1.0, 2.0)
    optimizer = optim.SGD([w], lr=0.1)
    with watch():
        for _ in range(3):
            optimizer.zero_grad()
            (w * 5.0).sum().backward()
            optim.clip_grad_norm_([w], 0.5)
            optimizer.step()
    text = str(mg.explain(w))
    assert text.count("clip_grad_norm_ multiplied") == 1
    assert "another one" not in text


def test_a_grad_whose_walk_is_not_known():
    w = leaf(1.0, 2.0)
    loss = (w * w).sum()
    loss.backward()
    text = str(mg.explain(w, loss))
    assert "is not known" in text
    assert "does not depend" not in text
    with watch():
        loss = (w * w).sum()
    loss.backward()
    assert "is not known" in str(mg.explain(w))
    assert f"has the norm {np.linalg.norm([2.0, 4.0]):.3g}" in str(mg.explain(w, loss))
    w.requires_grad_(False)
    assert "though its .grad is set" in str(mg.explain(w, loss))


def test_a_walk_that_an_error_stopped():
    rnn, state = nn.RNN(2, 3, unroll=True, rng=RNG(0)), None
    with watch():
        for _ in range(2):
            h, state = rnn(np.ones((4, 2), np.float32), state)
            try:
                h.sum().backward()
            except mg.TapeError:
                continue
    text = str(mg.explain(rnn.weight_hh_l0))
    assert "is not known" in text
    assert "the walk back stopped at tanh" in text


def test_zeros_are_not_taken_for_another_object():
    a, b, c = mg.zeros(2, requires_grad=True), leaf(0.0, 0.0), leaf(1.0, 1.0)
    with watch():
        (a * c).sum().backward()
    assert "same values" not in str(mg.explain(b, optimizer=optim.SGD([a, c], lr=0.1)))


def test_frozen_parameters():
    layer = nn.Linear(2, 2, rng=RNG(0))
    layer.weight.requires_grad_(False)
    with watch():
        layer(np.ones((1, 2), np.float32)).sum().backward()
    assert "it is frozen" in str(mg.explain(layer.weight))


def test_names_and_lines_cannot_control_the_terminal():
    class Net(nn.Module):
        pass

    net = Net()
    setattr(net, "\x1b[31m\u202ered", nn.Parameter(np.ones(2)))
    weight = net.parameters()[0]
    with watch(net):
        (weight * 0.0).sum().backward()  # 
    text = str(mg.explain(weight))
    assert "\\x1b[31m" in text
    assert text.replace("\n", "").isprintable()


def test_a_backward_pass_that_was_refused():
    w = leaf(1.0, 2.0)
    with watch():
        with mg.no_grad():
            loss = (w * w).sum()
        with pytest.raises(mg.TapeError):
            loss.backward()
    assert "was not called within it, or ended in an error" in str(mg.explain(w))


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_clipping_by_a_norm_that_is_nan():
    w = leaf(0.0, 1.0)
    with watch():
        (mg.sqrt(w) * 0.0).sum().backward()
        optim.clip_grad_norm_([w], 1.0)
    assert np.isnan(w.grad.numpy()).all()
    assert "clip_grad_norm_ made its .grad NaN" in str(mg.explain(w))


def test_a_walk_that_starts_with_nan():
    w = leaf(1.0, 2.0)
    with watch():
        (w * 2.0).backward(mg.tensor(np.array([0.0, np.nan])))
    assert "at the start of the walk is not finite itself" in str(mg.explain(w))


def test_an_op_that_joins_is_not_to_blame():
    x, rest = leaf(0.1, 0.1), mg.tensor(np.array([1.0, 1.0]))
    with watch():
        joined = mg.concatenate([x, rest])
        (joined * np.array([1e-9, 1e-9, 1.0, 1.0])).sum().backward()
    assert "concatenate: a factor of 1.4e-09 in all; it passes on this part" in str(mg.explain(x))
