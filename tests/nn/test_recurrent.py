import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

CELLS = {"RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell}
LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
KINDS = list(CELLS)


# ------------------------------------------------- the equations again, one example at a time


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rows(array, gates):
    """The part of a weight or bias that belongs to each gate."""
    size = len(array) // gates
    return [array[k * size : (k + 1) * size] for k in range(gates)]


def rnn_by_hand(x, h, W_ih, W_hh, b_ih, b_hh, activation=np.tanh):
    return (activation(W_ih @ x + b_ih + W_hh @ h + b_hh),)


def lstm_by_hand(x, h, c, *weights):
    pre = [
        W_x @ x + b_x + W_h @ h + b_h
        for W_x, W_h, b_x, b_h in zip(*(rows(w, 4) for w in weights), strict=True)
    ]
    i, f, g, o = sigmoid(pre[0]), sigmoid(pre[1]), np.tanh(pre[2]), sigmoid(pre[3])
    c = f * c + i * g
    return o * np.tanh(c), c


def gru_by_hand(x, h, *weights):
    W_x, W_h, b_x, b_h = (rows(w, 3) for w in weights)
    r = sigmoid(W_x[0] @ x + b_x[0] + W_h[0] @ h + b_h[0])
    z = sigmoid(W_x[1] @ x + b_x[1] + W_h[1] @ h + b_h[1])
    n = np.tanh(W_x[2] @ x + b_x[2] + r * (W_h[2] @ h + b_h[2]))
    return ((1 - z) * n + z * h,)


BY_HAND = {"RNN": rnn_by_hand, "LSTM": lstm_by_hand, "GRU": gru_by_hand}


def weights_of(module, suffix=""):
    """weight_ih, weight_hh, bias_ih, bias_hh as arrays; zeros for biases that are not there."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    found = [getattr(module, name + suffix) for name in names]
    length = found[0].shape[0]
    return [np.zeros(length) if p is None else p.numpy() for p in found]


def layer_by_hand(kind, layer, x, parts):
    """All layers and directions of x (T, N, input), from parts [h_0] or [h_0, c_0]."""
    T, N, _ = x.shape
    finals = [part.copy() for part in parts]
    row = 0
    for k in range(layer.num_layers):
        outputs = []
        for direction in ("", "_reverse")[: 1 + layer.bidirectional]:
            weights = weights_of(layer, f"_l{k}{direction}")
            output = np.zeros((T, N, layer.hidden_size))
            for n in range(N):
                state = tuple(part[row, n] for part in parts)
                for t in range(T)[:: -1 if direction else 1]:
                    state = BY_HAND[kind](x[t, n], *state, *weights)
                    output[t, n] = state[0]
                for final, part in zip(finals, state, strict=True):
                    final[row, n] = part
            outputs.append(output)
            row += 1
        x = np.concatenate(outputs, axis=-1)
    return x, finals


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


def as_state(parts):
    return tuple(parts) if len(parts) > 1 else parts[0]


def parts_for(kind, draw, *shape):
    return [draw(*shape) for _ in range(1 + (kind == "LSTM"))]


# ------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize("kind", KINDS)
class TestCells:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("lead", [(), (4,), (0,)])
    def test_one_step(self, kind, bias, lead, draw):
        cell = CELLS[kind](3, 5, bias, dtype="float64")
        x, parts = draw(*lead, 3), parts_for(kind, draw, *lead, 5)
        result = as_list(cell(x, as_state(parts)))
        assert [part.shape for part in result] == [(*lead, 5)] * len(parts)
        for n in np.ndindex(lead):
            state = [part.numpy()[n] for part in parts]
            expected = BY_HAND[kind](x.numpy()[n], *state, *weights_of(cell))
            for part, wanted in zip(result, expected, strict=True):
                np.testing.assert_allclose(part.numpy()[n], wanted, rtol=1e-11)

    @pytest.mark.parametrize("lead", [(), (2,)])
    def test_gradients(self, kind, lead, draw, check_gradients):
        cell = CELLS[kind](3, 2, dtype="float64")
        x, parts = draw(*lead, 3), parts_for(kind, draw, *lead, 2)
        states = {f"state_{k}": part for k, part in enumerate(parts)}
        parameters = dict(cell.named_parameters())
        assert len(parameters) == 4
        check_gradients(lambda: cell(x, as_state(parts)), x=x, **states, **parameters)

    def test_no_state_is_zeros(self, kind, draw):
        cell, x = CELLS[kind](3, 2, dtype="float64"), draw(4, 3)
        zeros = as_state([mg.tensor(np.zeros((4, 2)))] * (1 + (kind == "LSTM")))
        for one, other in zip(as_list(cell(x)), as_list(cell(x, zeros)), strict=True):
            assert np.array_equal(one.numpy(), other.numpy())

    def test_a_loop_over_the_cell_is_the_layer(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, dtype="float64"), draw(6, 2, 3)
        cell = CELLS[kind](3, 4, dtype="float64")
        cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
        output, final = layer(x)
        state = None
        for t in range(6):
            state = cell(x[t], state)
            np.testing.assert_allclose(as_list(state)[0].numpy(), output.numpy()[t], rtol=1e-12)
        for one, other in zip(as_list(state), as_list(final), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy()[0], rtol=1e-12)

    def test_parameters_are_pytorchs(self, kind):
        gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
        shapes = [(name, p.shape) for name, p in CELLS[kind](3, 5).named_parameters()]
        assert shapes == [
            ("weight_ih", (gates * 5, 3)),
            ("weight_hh", (gates * 5, 5)),
            ("bias_ih", (gates * 5,)),
            ("bias_hh", (gates * 5,)),
        ]

    def test_wrong_shapes(self, kind):
        cell, name = CELLS[kind](3, 5), f"{kind}Cell"
        x = np.ones((2, 3), np.float32)
        with pytest.raises(ValueError, match=rf"{name}: x has shape \(2, 4\), expected \(..., 3\)"):
            cell(np.ones((2, 4), np.float32))
        state = as_state([np.ones((1, 5), np.float32)] * (1 + (kind == "LSTM")))
        with pytest.raises(ValueError, match=rf"{name}: h has shape \(1, 5\), expected \(2, 5\)"):
            cell(x, state)
        with pytest.raises(TypeError, match=f"{name}: x must be floating-point, not int64"):
            cell(np.ones((2, 3), np.int64))
        with pytest.raises(ValueError, match=f"{name}: hidden_size must be an integer"):
            CELLS[kind](3, 0)


class TestStates:
    @pytest.mark.parametrize("layer", [nn.LSTMCell(1, 1), nn.LSTM(1, 1)])
    @pytest.mark.parametrize("state", [np.ones((1, 1)), (np.ones((1, 1)),), [np.ones((1, 1))] * 3])
    def test_of_an_lstm_is_a_pair(self, layer, state):
        with pytest.raises(
            TypeError, match=r"LSTM.*: the state must be \(h(_0)?, c(_0)?\), not [(\[]?float64 "
        ):
            layer(np.ones((1, 1)), state)

    @pytest.mark.parametrize("layer", [nn.RNNCell(1, 1), nn.RNN(1, 1), nn.GRUCell(1, 1)])
    def test_of_the_others_is_one_tensor(self, layer):
        with pytest.raises(TypeError, match=r"must be h(_0)?, not \(float64 \(1, 1\), float64"):
            layer(np.ones((1, 1)), (np.ones((1, 1)), np.ones((1, 1))))

    def test_the_c_of_an_lstm_is_checked_too(self):
        with pytest.raises(ValueError, match=r"c_0 has shape \(1, 2\), expected \(1, 1\)"):
            nn.LSTM(1, 1)(np.ones((3, 1)), (np.ones((1, 1)), np.ones((1, 2))))


# ------------------------------------------------------------------------------------ layers


SETTINGS = [
    {},
    {"bias": False},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True},
]


@pytest.mark.parametrize("kind", KINDS)
class TestLayers:
    @pytest.mark.parametrize("T", [1, 5])
    @pytest.mark.parametrize("settings", SETTINGS, ids=str)
    def test_forward(self, kind, settings, T, draw):
        layer = LAYERS[kind](3, 4, dtype="float64", **settings)
        L, D = layer.num_layers, 1 + layer.bidirectional
        x, parts = draw(T, 2, 3), parts_for(kind, draw, L * D, 2, 4)
        output, final = layer(x, as_state(parts))
        expected, finals = layer_by_hand(kind, layer, x.numpy(), [p.numpy() for p in parts])
        assert output.shape == (T, 2, 4 * D)
        np.testing.assert_allclose(output.numpy(), expected, rtol=1e-10)
        for part, wanted in zip(as_list(final), finals, strict=True):
            assert part.shape == (L * D, 2, 4)
            np.testing.assert_allclose(part.numpy(), wanted, rtol=1e-10)

    @pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
    @pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
    def test_gradients(self, kind, settings, draw, check_gradients):
        layer = LAYERS[kind](2, 2, dtype="float64", **settings)
        rows = layer.num_layers * (1 + layer.bidirectional)
        x, parts = draw(3, 2, 2), parts_for(kind, draw, rows, 2, 2)
        states = {f"state_{k}": part for k, part in enumerate(parts)}
        parameters = dict(layer.named_parameters())
        assert len(parameters) == 4 * rows
        check_gradients(lambda: layer(x, as_state(parts)), x=x, **states, **parameters)

    @pytest.mark.parametrize("which", ["output", "last step", "h_n"])
    def test_gradients_of_only_a_part_of_what_comes_out(self, kind, which, draw, check_gradients):
        layer, x = LAYERS[kind](2, 2, dtype="float64"), draw(3, 1, 2)

        def part():
            output, state = layer(x)
            return {"output": output, "last step": output[-1], "h_n": as_list(state)[0]}[which]

        check_gradients(part, x=x, **dict(layer.named_parameters()))

    def test_batch_first_is_the_same_in_other_axes(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, 2, dtype="float64"), draw(5, 2, 3)
        other = LAYERS[kind](3, 4, 2, dtype="float64", batch_first=True)
        other.load_state_dict(layer.state_dict())
        parts = parts_for(kind, draw, 2, 2, 4)
        output, final = layer(x, as_state(parts))
        output_2, final_2 = other(x.swapaxes(0, 1), as_state(parts))
        np.testing.assert_allclose(output_2.numpy(), output.numpy().swapaxes(0, 1), rtol=1e-12)
        for one, two in zip(as_list(final), as_list(final_2), strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-12)

    @pytest.mark.parametrize("batch_first", [True, False])
    def test_one_sequence_without_a_batch(self, kind, batch_first, draw):
        layer = LAYERS[kind](3, 4, 2, batch_first=batch_first, dtype="float64")
        x, parts = draw(5, 3), parts_for(kind, draw, 2, 4)
        output, final = layer(x, as_state(parts))
        batched = x[None] if batch_first else x[:, None]
        output_2, final_2 = layer(batched, as_state([part[:, None] for part in parts]))
        assert output.shape == (5, 4)
        np.testing.assert_allclose(output.numpy(), output_2.numpy().reshape(5, 4), rtol=1e-12)
        for one, two in zip(as_list(final), as_list(final_2), strict=True):
            assert one.shape == (2, 4)
            np.testing.assert_allclose(one.numpy(), two.numpy()[:, 0], rtol=1e-12)

    def test_no_state_is_zeros(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, 2, dtype="float64"), draw(5, 2, 3)
        zeros = as_state([np.zeros((2, 2, 4))] * (1 + (kind == "LSTM")))
        assert np.array_equal(layer(x)[0].numpy(), layer(x, zeros)[0].numpy())

    def test_a_sequence_in_two_parts_is_the_sequence(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, 2, dtype="float64"), draw(7, 2, 3)
        whole, final = layer(x)
        first, state = layer(x[:3])
        second, end = layer(x[3:], state)
        np.testing.assert_allclose(mg.concatenate([first, second]).numpy(), whole.numpy(), 1e-12)
        for one, two in zip(as_list(final), as_list(end), strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-12)

    def test_the_edge_of_a_bptt_window(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, dtype="float64"), draw(4, 2, 3)
        output, state = layer(x)
        output.sum().backward()
        with pytest.raises(mg.TapeError, match=r"state\.detach\(\)"):
            layer(x, state)[0].sum().backward()
        detached = as_state([part.detach() for part in as_list(state)])
        layer.zero_grad()
        layer(x, detached)[0].sum().backward()
        assert layer.weight_hh_l0.grad is not None

    def test_empty_batch(self, kind):
        layer = LAYERS[kind](3, 4, 2)
        x = mg.tensor(np.ones((5, 0, 3), np.float32), requires_grad=True)
        output, state = layer(x)
        assert output.shape == (5, 0, 4)
        assert as_list(state)[0].shape == (2, 0, 4)
        output.sum().backward()
        assert x.grad.shape == x.shape
        assert not layer.weight_hh_l0.grad.numpy().any()

    def test_parameters_are_pytorchs(self, kind):
        gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
        layer = LAYERS[kind](3, 5, 2, bidirectional=True)
        shapes = {name: p.shape for name, p in layer.named_parameters()}
        ends = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
        kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        assert list(shapes) == [kind + end for end in ends for kind in kinds]
        assert shapes["weight_ih_l0_reverse"] == (gates * 5, 3)
        assert shapes["weight_ih_l1"] == (gates * 5, 10)
        assert shapes["weight_hh_l1_reverse"] == (gates * 5, 5)
        assert shapes["bias_hh_l0"] == (gates * 5,)
        assert len(LAYERS[kind](3, 5, 2, bias=False).parameters()) == 4

    def test_initial_values(self, kind):
        layer = LAYERS[kind](40, 100, rng=np.random.default_rng(0))
        for values in layer.state_dict().values():
            assert np.abs(values).max() <= 0.1
            assert np.abs(values).max() > 0.095
            assert values.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)

    def test_dropout_is_between_the_layers_in_training_only(self, kind, draw):
        x = draw(4, 2, 3)

        def layer(dropout, num_layers=2):
            rng, draws = np.random.default_rng(1), np.random.default_rng(2)
            made = LAYERS[kind](3, 4, num_layers, dropout=dropout, rng=rng, dtype="float64")
            made.rng = draws
            return made

        plain = layer(0.0)(x)[0].numpy()
        assert np.array_equal(layer(0.5).eval()(x)[0].numpy(), plain)
        assert not np.array_equal(layer(0.5)(x)[0].numpy(), plain)
        assert np.array_equal(layer(0.5)(x)[0].numpy(), layer(0.5)(x)[0].numpy())
        one = layer(0.5, 1)
        assert np.array_equal(one(x)[0].numpy(), one.eval()(x)[0].numpy())
        # With p = 1 the second layer sees zeros: only the first one's h depends on x.
        states = [as_list(layer(1.0)(x * scale)[1])[0].numpy() for scale in (1, 2)]
        assert np.array_equal(states[0][1], states[1][1])
        assert not np.array_equal(states[0][0], states[1][0])

    def test_tape_entries_of_other_time_steps_do_not_share_memory_with_the_output(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, dtype="float64"), draw(5, 2, 3)
        output, state = layer(x)
        kept = output.numpy()
        layer(x * 2)
        assert np.array_equal(output.numpy(), kept)
        assert not np.shares_memory(output.data, as_list(state)[0].data)

    @pytest.mark.parametrize(
        ("shape", "options", "message"),
        [
            ((2, 1, 4), {}, r"x has shape \(2, 1, 4\), expected \(T, N, 3\), or \(T, 3\) for one"),
            ((2, 1, 4), {"batch_first": True}, r"expected \(N, T, 3\), or \(T, 3\)"),
            ((3,), {}, r"x has shape \(3,\), expected"),
            ((0, 1, 3), {}, r"x has shape \(0, 1, 3\); the sequence needs at least one time step"),
            ((0, 3), {"batch_first": True}, "at least one time step"),
            ((1, 0, 3), {"batch_first": True}, "at least one time step"),
        ],
    )
    def test_wrong_input(self, kind, shape, options, message):
        with pytest.raises(ValueError, match=f"{kind}: .*{message}"):
            LAYERS[kind](3, 5, **options)(np.ones(shape, np.float32))

    def test_other_wrong_arguments(self, kind):
        layer = LAYERS[kind](3, 5, 2)
        x = np.ones((4, 2, 3), np.float32)
        state = as_state([np.ones((1, 2, 5), np.float32)] * (1 + (kind == "LSTM")))
        message = rf"{kind}: h_0 has shape \(1, 2, 5\), expected \(2, 2, 5\)"
        with pytest.raises(ValueError, match=message):
            layer(x, state)
        with pytest.raises(TypeError, match=f"{kind}: x must be floating-point, not int64"):
            layer(np.ones((4, 2, 3), np.int64))
        with pytest.raises(ValueError, match=f"{kind}: dropout must be from 0 to 1"):
            LAYERS[kind](3, 5, dropout=2)
        with pytest.raises(ValueError, match=f"{kind}: num_layers must be an integer"):
            LAYERS[kind](3, 5, num_layers=0)

    def test_copies_compute_the_same(self, kind, draw):
        layer, x = LAYERS[kind](3, 4, 2, dtype="float64"), draw(4, 2, 3)
        assert np.array_equal(copy.deepcopy(layer)(x)[0].numpy(), layer(x)[0].numpy())

    def test_second_order(self, kind, draw, check_gradients):
        layer, x = LAYERS[kind](2, 2, dtype="float64"), draw(2, 1, 2)
        W_hh, W_ih = layer.weight_hh_l0, layer.weight_ih_l0

        def gradient():
            return mg.grad((layer(x)[0] ** 2).sum(), [x, W_hh], create_graph=True)

        check_gradients(gradient, x=x, W_ih=W_ih, W_hh=W_hh)


class TestNonlinearity:
    def test_relu(self, draw, check_gradients):
        x = draw(4, 2, 3)
        layer = nn.RNN(3, 4, nonlinearity="relu", dtype="float64")
        cell = nn.RNNCell(3, 4, nonlinearity="relu", dtype="float64")
        cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
        output, _ = layer(x)
        state = None
        h = np.zeros((2, 4))
        W_ih, W_hh, b_ih, b_hh = layer.state_dict().values()
        for t in range(4):
            state = cell(x[t], state)
            h = np.maximum(x.numpy()[t] @ W_ih.T + b_ih + h @ W_hh.T + b_hh, 0)
            np.testing.assert_allclose(state.numpy(), h, rtol=1e-12)
            np.testing.assert_allclose(output.numpy()[t], h, rtol=1e-12)
        assert (h > 0).any()
        check_gradients(lambda: layer(x), x=x, **dict(layer.named_parameters()))

    @pytest.mark.parametrize("make", [nn.RNN, nn.RNNCell])
    def test_others_are_refused(self, make):
        with pytest.raises(ValueError, match='must be "tanh" or "relu", not \'gelu\''):
            make(3, 4, nonlinearity="gelu")
