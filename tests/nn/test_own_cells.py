"""`nn.Recurrent`: a cell of one's own over sequences, and the example in docs/cells.md."""

import ast
import copy
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn.recurrent.equations import gru_step, lstm_step, rnn_step
from minigrad.testing import GradientError, check_layer
from minigrad.training import truncated_bptt

PAGE = (Path(__file__).parents[2] / "docs" / "cells.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)


def from_the_page(name):
    """The source of a class in docs/cells.md, and the class."""
    (source,) = [
        ast.get_source_segment(block, node)
        for block in BLOCKS
        for node in ast.parse(block).body
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    namespace = {"mg": mg, "nn": nn, "np": np}
    exec(source, namespace)
    return source, namespace[name]


SOURCE, MGUCell = from_the_page("MGUCell")
_, ProjectedLSTMCell = from_the_page("ProjectedLSTMCell")


# ------------------------------------------- the same equations as minigrad's own layers

STEPS = {"RNN": (nn.RNN, rnn_step), "LSTM": (nn.LSTM, lstm_step), "GRU": (nn.GRU, gru_step)}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


class StepCell(nn.Module):
    """One of the steps of `minigrad.nn.recurrent.equations`, with zeros for weights."""

    def __init__(self, input_size, hidden_size, kind):
        rows, self.kind = GATES[kind] * hidden_size, kind
        self.weight_ih = nn.Parameter(np.zeros((rows, input_size)))
        self.weight_hh = nn.Parameter(np.zeros((rows, hidden_size)))
        self.bias_ih, self.bias_hh = (nn.Parameter(np.zeros(rows)) for _ in range(2))
        if kind == "LSTM":
            self.state_sizes = (hidden_size, hidden_size)

    def forward(self, x, state):
        parts = state if self.kind == "LSTM" else (state,)
        Wx = mg.linear(x, self.weight_ih, self.bias_ih)
        parts = STEPS[self.kind][1](Wx, parts, self.weight_hh, self.bias_hh)
        return parts[0], parts if self.kind == "LSTM" else parts[0]


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


def everything(layer, x, parts, lengths):
    """Output, final state, and the gradients of x, of the initial state and of the parameters."""
    x = mg.tensor(x, requires_grad=True)
    parts = [mg.tensor(part, requires_grad=True) for part in parts]
    state = None if not parts else tuple(parts) if len(parts) > 1 else parts[0]
    output, final = layer(x, state, lengths)
    results = [output, *as_list(final)]
    rng = np.random.default_rng(0)
    total = sum((y * rng.normal(size=y.shape)).sum() for y in results)
    inputs = [x, *parts]
    gradients = mg.grad(total, [*inputs, *layer.parameters()], allow_unused=True)
    return [y.numpy() for y in results], [None if g is None else g.numpy() for g in gradients]


@pytest.mark.parametrize("kind", STEPS)
@settings(max_examples=settings.default.max_examples // 2)
@given(
    seed=st.integers(0, 2**32 - 1),
    T=st.integers(1, 5),
    shares=st.none() | st.lists(st.floats(0, 1), min_size=1, max_size=4),
    N=st.integers(0, 3),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    batched=st.booleans(),
    stateful=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)
def test_a_cell_with_the_same_equations_is_the_same_layer(
    kind, seed, T, shares, N, num_layers, batched, stateful, **options
):
    rng = np.random.default_rng(seed)
    fused = STEPS[kind][0](2, 3, num_layers, rng=rng, dtype="float64", **options)
    own = nn.Recurrent(partial(StepCell, kind=kind), 2, 3, num_layers, **options)
    renamed = {
        re.sub(r"(\w+?)(_l\d.*)", r"cell\2.\1", name): value
        for name, value in fused.state_dict().items()
    }
    own.load_state_dict(renamed)
    fused.rng, own.rng = (np.random.default_rng(seed) for _ in range(2))
    lengths = None if shares is None else [round(share * T) for share in shares]
    N = N if lengths is None else len(lengths)
    shape = ((N, T, 2) if options["batch_first"] else (T, N, 2)) if batched else (T, 2)
    lengths = lengths if lengths is None or batched else lengths[0]
    x, rows = rng.normal(size=shape), num_layers * (1 + options["bidirectional"])
    start = (rows, N, 3) if batched else (rows, 3)
    parts = [rng.normal(size=start) for _ in range(1 + (kind == "LSTM")) if stateful]
    expected, expected_gradients = everything(fused, x, parts, lengths)
    results, gradients = everything(own, x, parts, lengths)
    for one, other in zip(results, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    for one, other in zip(gradients, expected_gradients, strict=True):
        one = np.zeros_like(other) if one is None else one
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ the examples of the page


def test_the_example_is_at_most_fifteen_lines_and_proved_by_one_call():
    body = [line for line in SOURCE.splitlines() if line.strip() and '"""' not in line]
    assert body[0] == "class MGUCell(nn.Module):"
    assert len(body) <= 15
    (call,) = [line for block in BLOCKS for line in block.splitlines() if "check_layer(" in line]
    assert call in next(block for block in BLOCKS if "nn.Recurrent(MGUCell" in block)


def test_the_minimal_gated_unit_as_the_paper_writes_it():
    rng = np.random.default_rng(0)
    layer = nn.Recurrent(MGUCell, 3, 4).to(dtype="float64")
    x, h = rng.normal(size=(6, 2, 3)), rng.normal(size=(1, 2, 4))
    output, final = layer(x, h)
    W_f, b_f, W_h, b_h = layer.state_dict().values()
    for n in range(2):
        state = h[0, n]
        for t in range(6):
            f = 1 / (1 + np.exp(-(W_f @ np.concatenate([state, x[t, n]]) + b_f)))
            candidate = np.tanh(W_h @ np.concatenate([f * state, x[t, n]]) + b_h)
            state = (1 - f) * state + f * candidate
            np.testing.assert_allclose(output.numpy()[t, n], state, rtol=1e-12)
        np.testing.assert_allclose(final.numpy()[0, n], state, rtol=1e-12)


def test_its_second_derivatives():
    check_layer(nn.Recurrent(MGUCell, 1, 2), np.linspace(-1, 1, 4).reshape(2, 2, 1), order=2)


def test_parts_of_two_sizes_and_a_projection():
    layer = nn.Recurrent(partial(ProjectedLSTMCell, memory_size=3), 2, 1, 2, bidirectional=True)
    rng = np.random.default_rng(0)
    state = (rng.normal(size=(4, 3, 1)), rng.normal(size=(4, 3, 3)))
    small = nn.Recurrent(partial(ProjectedLSTMCell, memory_size=3), 2, 1)
    check_layer(small, rng.normal(size=(3, 3, 2)), tuple(s[:1] for s in state), (2, 3, 0))
    x = mg.tensor(rng.normal(size=(3, 3, 2)))
    output, (r, c) = layer(x, state, (2, 3, 0))
    assert (output.shape, r.shape, c.shape) == ((3, 3, 2), (4, 3, 1), (4, 3, 3))
    assert np.array_equal(c.numpy()[:, 2], state[1][:, 2])  # a sequence without a time step
    assert not np.array_equal(c.numpy()[:, 1], state[1][:, 1])
    one, (r, c) = layer(x[:, 1], tuple(part[:, 1] for part in state))
    assert (one.shape, r.shape, c.shape) == ((3, 2), (4, 1), (4, 3))
    np.testing.assert_allclose(one.numpy(), output.numpy()[:, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "make", [partial(nn.Recurrent, MGUCell), lambda *sizes: projected(*sizes), nn.LSTM]
)
def test_windows_by_hand_and_by_truncated_bptt(make):
    layer, rng = make(2, 3).to(dtype="float64"), np.random.default_rng(0)
    x, targets = rng.normal(size=(7, 2, 2)), rng.normal(size=(7, 2, 3))
    state, by_hand = None, []
    for start in range(0, 7, 3):
        output, state = layer(x[start : start + 3], state)
        state = tuple(p.detach() for p in state) if isinstance(state, tuple) else state.detach()
        loss = mg.mse_loss(output, mg.tensor(targets[start : start + 3]))
        loss.backward()
        by_hand.append(loss.item())
    gradients = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    windows = truncated_bptt(layer, mg.mse_loss, x, targets, k1=3)
    assert [window.loss.item() for window in windows] == by_hand
    for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
        assert gradient.any()
        np.testing.assert_allclose(parameter.grad.numpy(), gradient, rtol=1e-12)


def projected(input_size, hidden_size):
    return nn.Recurrent(partial(ProjectedLSTMCell, memory_size=4), input_size, hidden_size)


def test_the_language_model_takes_it_as_one_of_its_cells(monkeypatch):
    from models import rnnlm

    monkeypatch.setitem(rnnlm.CELLS, "mgu", partial(nn.Recurrent, MGUCell))
    model = rnnlm.RNNLM(5, 3, 4, "mgu", num_layers=2, dropout=0.1)
    again = rnnlm.RNNLM(**model.settings())
    again.load_state_dict(model.state_dict())
    ids = np.array([[0, 1], [2, 3], [4, 0]])
    logits, state = model.eval()(ids)
    assert [part.shape for part in state] == [(1, 2, 4)] * 2
    assert np.array_equal(again.eval()(ids)[0].numpy(), logits.numpy())
    loss, _ = model.loss(ids, ids)
    loss.backward()
    assert all(p.grad is not None and p.grad.numpy().any() for p in model.parameters())


# -------------------------------------------------------------------------- what a layer does


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 3, 2)).astype(np.float32)


class Spy(nn.Module):
    """Remembers what it was given."""

    def __init__(self, input_size, hidden_size):
        self.seen, self.hidden_size = [], hidden_size

    def forward(self, x, h):
        self.seen.append((x, h))
        return h + 1, h * 2


@pytest.mark.parametrize("given", [np.asarray, mg.tensor])
def test_a_cell_gets_tensors_of_the_sequences_that_run(given, x):
    layer = nn.Recurrent(Spy, 2, 5)
    layer(given(x), given(np.ones((1, 3, 5), np.float32)), [2, 4, 0])
    assert all(isinstance(value, mg.Tensor) for pair in layer.cell_l0.seen for value in pair)
    shapes = [(x.shape, h.shape) for x, h in layer.cell_l0.seen]
    assert shapes == [((n, 2), (n, 5)) for n in (2, 2, 1, 1)]
    layer.cell_l0.seen.clear()
    layer(given(x))
    assert all(isinstance(value, mg.Tensor) for pair in layer.cell_l0.seen for value in pair)


def test_output_and_state_are_not_mixed_up(x):
    output, state = nn.Recurrent(Spy, 2, 5)(x, np.ones((1, 3, 5), np.float32), [2, 4, 0])
    assert output.numpy()[:, :, 0].T.tolist() == [[2, 3, 0, 0], [2, 3, 5, 9], [0] * 4]
    assert state.numpy()[0, :, 0].tolist() == [4, 16, 1]


def test_empty_batch_and_nothing_but_padding(x):
    layer = nn.Recurrent(MGUCell, 2, 5, 2, bidirectional=True)
    output, state = layer(x[:, :0])
    assert (output.shape, state.shape) == ((4, 0, 10), (4, 0, 5))
    start = np.ones((4, 3, 5), np.float32)
    output, state = layer(x, start, [0, 0, 0])
    assert not output.numpy().any()
    assert np.array_equal(state.numpy(), start)


def test_padding_of_nan_stays_where_it_is(x):
    layer, lengths = nn.Recurrent(MGUCell, 2, 5, 2, bidirectional=True), [3, 4, 1]
    results = []
    for filler in (0, np.nan):
        for n, length in enumerate(lengths):
            x[length:, n] = filler
        layer.zero_grad()
        output, state = layer(x, None, lengths)
        (output.sum() + state.sum()).backward()
        gradients = [p.grad.numpy() for p in layer.parameters()]
        results.append([output.numpy(), state.numpy(), *gradients])
    for one, other in zip(*results, strict=True):
        assert np.isfinite(one).all()
        assert np.array_equal(one, other)


def test_names_saving_loading_and_copies(x):
    layer = nn.Recurrent(MGUCell, 2, 5, 2, bidirectional=True)
    cells = ["cell_l0", "cell_l0_reverse", "cell_l1", "cell_l1_reverse"]
    ends = ["forget.weight", "forget.bias", "candidate.weight", "candidate.bias"]
    assert list(layer.state_dict()) == [f"{cell}.{end}" for cell in cells for end in ends]
    assert layer.cell_l1_reverse.forget.weight.shape == (5, 5 + 10)
    other = nn.Recurrent(MGUCell, 2, 5, 2, bidirectional=True)
    expected = layer(x)[0].numpy()
    assert not np.array_equal(other(x)[0].numpy(), expected)
    other.load_state_dict(layer.state_dict())
    for same in (other, copy.deepcopy(layer)):
        assert np.array_equal(same(x)[0].numpy(), expected)
    with pytest.raises(ValueError, match=r"(?s)fits Recurrent:.*unexpected: cell_l0_reverse"):
        nn.Recurrent(MGUCell, 2, 5, 2).load_state_dict(layer.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(dtype, x):
    layer = nn.Recurrent(MGUCell, 2, 5, 2).to(dtype=dtype)
    output, state = layer(x.astype(dtype), lengths=[1, 4, 2])
    assert output.dtype == state.dtype == dtype


def test_how_it_looks():
    text = repr(nn.Recurrent(MGUCell, 2, 5, 2, dropout=0.25))
    assert text.startswith("Recurrent(2, 5, num_layers=2, dropout=0.25,")
    assert re.findall(r"\((cell\w+)\): (\w+)", text) == [
        ("cell_l0", "MGUCell"),
        ("cell_l1", "MGUCell"),
    ]


def test_a_cell_that_the_layers_share():
    shared = MGUCell(5, 5)
    layer = nn.Recurrent(lambda *sizes: shared, 5, 5, num_layers=3)
    assert layer.num_parameters() == shared.num_parameters()
    assert all(name.startswith("cell_l0.") for name in layer.state_dict())
    twin = copy.deepcopy(layer)
    assert twin.cell_l2 is twin.cell_l0
    assert twin.cell_l0 is not shared
    tied = MGUCell(1, 1)
    check_layer(nn.Recurrent(lambda *sizes: tied, 1, 1, 2), np.ones((2, 2, 1)))


class DroppingCell(MGUCell):
    def __init__(self, input_size, hidden_size, p):
        super().__init__(input_size, hidden_size)
        self.dropout = nn.Dropout(p)

    def forward(self, x, h):
        output, h = super().forward(x, h)
        return self.dropout(output), h


def test_dropout_in_a_cell_follows_train_and_eval(x):
    layer = nn.Recurrent(partial(DroppingCell, p=0.5), 2, 5, 2)
    plain = nn.Recurrent(MGUCell, 2, 5, 2)
    plain.load_state_dict(layer.state_dict())
    assert (layer(x)[0].numpy() == 0).any()
    expected = plain(x)[0].numpy()
    assert np.array_equal(layer.eval()(x)[0].numpy(), expected)
    assert not np.array_equal(layer.train()(x)[0].numpy(), expected)
    check_layer(nn.Recurrent(partial(DroppingCell, p=0.5), 1, 2), np.ones((2, 2, 1)))


def test_dropout_between_the_layers_is_drawn_from_the_generator_that_is_given():
    shared, results = MGUCell(5, 5), []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        layer = nn.Recurrent(lambda *sizes: shared, 5, 5, 2, dropout=0.5, rng=rng)
        results.append(layer(np.ones((4, 3, 5), np.float32))[0].numpy())
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


class GivenCell(MGUCell):
    """Draws from what it is given alone."""

    def __init__(self, input_size, hidden_size, *, rng):
        super().__init__(input_size, hidden_size)
        for parameter in self.parameters():
            parameter.data = rng.normal(size=parameter.shape)
        self.own = rng

    def forward(self, x, h):
        return super().forward(x, h * self.own.uniform())


@pytest.mark.parametrize("cell", [MGUCell, partial(DroppingCell, p=0.5), GivenCell])
def test_all_that_cells_draw_comes_from_the_generator_that_is_given(cell):
    """When they are made, and at each call; minigrad's own generator stays where it is."""

    def drawn(seed):
        mg.manual_seed(0)
        layer = nn.Recurrent(cell, 5, 5, 2, rng=np.random.default_rng(seed))
        outputs = [layer(np.ones((4, 3, 5), np.float32))[0].numpy() for _ in range(2)]
        return [*(p.numpy() for p in layer.parameters()), *outputs, mg.rand(3).numpy()]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(map(np.array_equal, first, again))
    assert np.array_equal(first[-1], other[-1])
    assert not any(map(np.array_equal, first[:-1], other[:-1]))
    mg.manual_seed(0)
    assert np.array_equal(first[-1], mg.rand(3).numpy())


def test_a_generator_that_a_cell_has_already_stays():
    cell, other = partial(GivenCell, rng=np.random.default_rng(3)), np.random.default_rng(3)
    layer = nn.Recurrent(cell, 5, 5, rng=np.random.default_rng(1))
    expected = GivenCell(5, 5, rng=other)
    assert np.array_equal(layer.cell_l0.forget.weight.numpy(), expected.forget.weight.numpy())


class NumPyCell(nn.Module):
    """In NumPy's functions; the state is the last `factor` outputs side by side."""

    def __init__(self, input_size, hidden_size, factor):
        self.W = nn.Parameter(np.full((input_size, hidden_size), 0.5, np.float32))
        self.U = nn.Parameter(np.full((hidden_size * factor, hidden_size), 0.25, np.float32))
        self.state_sizes = [np.int64(hidden_size * factor)]

    def forward(self, x, h):
        new = np.tanh(np.matmul(x, self.W) + np.matmul(h, self.U))
        return new, np.concatenate([new, h], axis=-1)[:, : h.shape[-1]]


def test_numpy_functions_and_one_part_of_another_size(x):
    cell = partial(NumPyCell, factor=2)
    check_layer(nn.Recurrent(cell, 2, 3), x, None, (2, 4, 1))
    layer = nn.Recurrent(cell, 2, 3, 2, bidirectional=True)
    output, state = layer(x)
    assert (output.shape, state.shape) == ((4, 3, 6), (4, 3, 6))
    last, before = output.numpy()[-1, :, :3], output.numpy()[-2, :, :3]
    assert np.array_equal(state.numpy()[2], np.concatenate([last, before], axis=-1))


class InheritedLSTMCell(nn.LSTMCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.state_sizes = (hidden_size, hidden_size)

    def forward(self, x, state):
        h, c = super().forward(x, state)
        return h, (h, c)


def test_a_cell_may_inherit_from_minigrads(x):
    own, lstm = nn.Recurrent(InheritedLSTMCell, 2, 5), nn.LSTM(2, 5, dtype="float64")
    own.to(dtype="float64")
    weights = {name.removeprefix("cell_l0."): v for name, v in own.state_dict().items()}
    lstm.load_state_dict({f"{name}_l0": value for name, value in weights.items()})
    for one, other in zip(own(x)[1], lstm(x)[1], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9)


# ------------------------------------------------------------------------------------- errors


class OffTheTape(MGUCell):
    def forward(self, x, h):
        return super().forward(x, mg.tensor(h.data))


def test_the_proof_finds_a_cell_that_forgets_its_past_on_the_tape():
    with pytest.raises(GradientError, match="Recurrent"):
        check_layer(nn.Recurrent(OffTheTape, 2, 2), np.random.default_rng(0).normal(size=(3, 2, 2)))


def returning(result, state_sizes=None):
    """A cell that returns `result`, a function of x and state."""

    class Odd(nn.Module):
        def __init__(self, input_size, hidden_size):
            if state_sizes is not None:
                self.state_sizes = state_sizes

        def forward(self, x, state):
            return result(x, state)

    return Odd


ODD = r"^Recurrent: cell_l0 \(Odd\) must return "
TWO = (2, 3)


@pytest.mark.parametrize(
    ("result", "state_sizes", "message"),
    [
        (lambda x, h: h, None, r"\(output, state\), not float32 \(2, 2\)"),
        (lambda x, h: None, None, r"\(output, state\), not None"),
        (
            lambda x, h: (h, h, h),
            None,
            r"\(output, state\), not \(float32 \(2, 2\), float32 \(2, 2\), float",
        ),
        (
            lambda x, h: (h, (h, h)),
            None,
            r"one Tensor as its state, not \(float32 \(2, 2\), float32 \(2, 2\)\); .*state_sizes",
        ),
        (lambda x, h: (h, (h,)), None, r"one Tensor as its state, not \(float32 \(2, 2\),\)"),
        (
            lambda x, h: (h.numpy(), h),
            None,
            r"a Tensor as its output, not a ndarray: float32 \(2, 2\)",
        ),
        (lambda x, h: (h, None), None, "a Tensor as its state, not a NoneType"),
        (
            lambda x, s: (s[0], s[0]),
            TWO,
            r"a tuple of 2 .*\(2, 3\), not float32 \(2, 2\)",
        ),
        (lambda x, s: (s[0], (s[0],)), TWO, r"a tuple of 2 Tensors .* not \(float32 \(2, 2\),\)"),
        (lambda x, s: (s[0], (s[0], 1.0)), TWO, r"a Tensor as its state\[1\], not a float"),
    ],
)
def test_something_else_than_a_cell_should_return(result, state_sizes, message):
    layer = nn.Recurrent(returning(result, state_sizes), 2, 2)
    with pytest.raises(TypeError, match=ODD + message):
        layer(np.ones((3, 2, 2), np.float32))


@pytest.mark.parametrize(
    ("result", "state_sizes", "message"),
    [
        (lambda x, h: (h[:, :1], h), None, r"\(2, 1\) as its output, expected \(2, 2\)"),
        (lambda x, h: (h[:1], h), None, r"\(1, 2\) as its output, expected \(2, 2\)"),
        (lambda x, h: (h, h[0]), None, r"\(2,\) as its state, expected \(2, 2\)"),
        (lambda x, h: (h, h), (3,), r"\(2, 3\) as its output, expected \(2, 2\)"),
        (lambda x, s: (s[0], s[::-1]), TWO, r"\(2, 3\) as its state\[0\], expected \(2, 2\)"),
        (lambda x, s: (s[0], (s[0], s[0])), TWO, r"\(2, 2\) as its state\[1\], expected \(2, 3\)"),
    ],
)
def test_another_shape_than_a_cell_should_return(result, state_sizes, message):
    layer = nn.Recurrent(returning(result, state_sizes), 2, 2)
    prefix = r"^Recurrent: cell_l0 \(Odd\) returned a Tensor of shape "
    with pytest.raises(ValueError, match=prefix + message):
        layer(np.ones((3, 2, 2), np.float32))


def test_the_error_names_the_layer_and_direction():
    def make(input_size, hidden_size):
        return MGUCell(2, 2) if input_size == 2 else returning(lambda x, h: h)(4, 2)

    layer = nn.Recurrent(make, 2, 2, 2, bidirectional=True)
    with pytest.raises(TypeError, match=r"^Recurrent: cell_l1 \(Odd\) must"):
        layer(np.ones((3, 1, 2), np.float32))


def test_every_time_step_is_checked():
    layer = nn.Recurrent(returning(lambda x, h: (h, h[:1]) if len(x) == 2 else (h, h)), 2, 2)
    with pytest.raises(ValueError, match=r"of shape \(1, 2\) as its state, expected \(2, 2\)"):
        layer(np.ones((3, 3, 2), np.float32), None, [3, 3, 1])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (MGUCell(2, 2), "cell must be a class or function that makes cells .*, not a MGUCell"),
        ("mgu", "cell must be a class or function that makes cells .*, not a str"),
        (lambda *sizes: mg.tanh, "cell must make an nn.Module, not a function"),
        (nn.RNNCell, r"RNNCell does not return \(output, state\); use nn.RNN,"),
        (nn.LSTMCell, r"LSTMCell does not return \(output, state\); use nn.LSTM,"),
        (partial(nn.GRUCell, bias=False), "GRUCell .* use nn.GRU,"),
        (type("Mine", (nn.LSTMCell,), {}), "Mine .* use nn.LSTM,"),
    ],
)
def test_what_makes_no_cells(cell, message):
    with pytest.raises(TypeError, match=f"^Recurrent: {message}"):
        nn.Recurrent(cell, 2, 2)


@pytest.mark.parametrize("sizes", [5, (), "ab", {2: 3}])
def test_state_sizes_are_a_tuple(sizes):
    with pytest.raises(TypeError, match=r"Odd: state_sizes must be a tuple with the size of each"):
        nn.Recurrent(returning(None, sizes), 2, 2)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_state_sizes_are_sizes(size):
    message = rf"Odd: state_sizes\[1\] must be an integer of at least 1, not {size!r}"
    with pytest.raises(ValueError, match=message):
        nn.Recurrent(returning(None, (2, size)), 2, 2)


def test_state_sizes_are_the_same_in_all_layers():
    message = r"cell_l1 has state_sizes \(5,\), but cell_l0 \(3,\)"
    with pytest.raises(ValueError, match=message):
        nn.Recurrent(lambda i, h: returning(None, (i,))(i, h), 3, 5, 2)


def test_other_wrong_arguments(x):
    layer = nn.Recurrent(MGUCell, 2, 5)
    with pytest.raises(ValueError, match=r"Recurrent: h_0 has shape \(1, 2, 5\), expected \(1, 3,"):
        layer(x, np.ones((1, 2, 5), np.float32))
    with pytest.raises(TypeError, match=r"Recurrent: the state must be h_0, not \(float32 \("):
        layer(x, (x, x))
    two = projected(2, 5)
    with pytest.raises(
        TypeError, match=r"the state must be \(state\[0\], state\[1\]\), not float32 \("
    ):
        two(x, np.ones((1, 3, 5), np.float32))
    parts = [np.ones((1, 3, size), np.float32) for size in (5, 3)]
    with pytest.raises(ValueError, match=r"state\[1\] has shape \(1, 3, 3\), expected \(1, 3, 4\)"):
        two(x, parts)
    with pytest.raises(ValueError, match="Recurrent: hidden_size must be an integer"):
        nn.Recurrent(MGUCell, 2, 0)
    with pytest.raises(ValueError, match="Recurrent: dropout must be from 0 to 1"):
        nn.Recurrent(MGUCell, 2, 2, dropout=2)
    with pytest.raises(ValueError, match=r"Recurrent: x has shape \(4, 3, 2\), expected \(T, N, 3"):
        nn.Recurrent(MGUCell, 3, 5)(x)
