"""Spectral radii against NumPy's, and their record in training."""

import numpy as np
import pytest

from minigrad import nn, optim, viz


def largest(W):
    return abs(np.linalg.eigvals(np.asarray(W, np.float64))).max()


def test_the_radii_of_known_matrices():
    rnn = nn.RNN(2, 2)
    rnn.weight_hh_l0.data = [[0.0, -0.5], [0.5, 0.0]]  # eigenvalues +-0.5i: none is real
    assert viz.spectral_radii(rnn) == pytest.approx({"W_hh": 0.5})


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", "ifgo"), ("GRU", "rzn")])
def test_each_gate_has_its_own(kind, gates):
    layer = getattr(nn, kind)(3, 4, rng=np.random.default_rng(0))
    parts = np.split(layer.weight_hh_l0.numpy(), len(gates))
    expected = {f"W_h{gate}": largest(W) for gate, W in zip(gates, parts, strict=True)}
    assert viz.spectral_radii(layer) == pytest.approx(expected, rel=1e-6)


def test_layers_directions_and_cells_are_told_apart():
    class Model(nn.Module):
        def __init__(self):
            self.rnn = nn.RNN(2, 3, num_layers=2, bidirectional=True)
            self.cells = nn.ModuleList([nn.RNNCell(3, 3), nn.GRUCell(3, 3)])

    model = Model()
    found = viz.spectral_radii(model)
    assert list(found) == [
        *("rnn l0 W_hh", "rnn l0_reverse W_hh", "rnn l1 W_hh", "rnn l1_reverse W_hh"),
        *("cells.0 W_hh", "cells.1 W_hr", "cells.1 W_hz", "cells.1 W_hn"),
    ]
    both = nn.RNN(2, 3, bidirectional=True)
    assert list(viz.spectral_radii(both)) == ["l0 W_hh", "l0_reverse W_hh"]
    assert found["rnn l1 W_hh"] == pytest.approx(largest(model.rnn.weight_hh_l1.numpy()))
    assert found["cells.0 W_hh"] == pytest.approx(largest(model.cells[0].weight_hh.numpy()))


def test_the_record_follows_the_weights(tmp_path):
    rnn = nn.RNN(2, 3, rng=np.random.default_rng(1))
    optimizer = optim.SGD([rnn.weight_hh_l0], lr=0.1)
    record, expected = viz.SpectralRadii(), []
    for step in (0, 5, 10):
        record.note(rnn, step)
        expected.append(largest(rnn.weight_hh_l0.numpy()))
        rnn(np.ones((4, 1, 2), np.float32))[0].sum().backward()
        optimizer.step()
    record.note(rnn)
    assert record.steps == [0, 5, 10, 11]
    assert record.radii["W_hh"][:3] == pytest.approx(expected, rel=1e-6)
    assert len(set(record.radii["W_hh"])) == 4
    record.save(tmp_path / "radii.png")
    (line,) = [line for line in record.figure().axes[0].lines if line.get_label() == "W_hh"]
    assert line.get_ydata().tolist() == record.radii["W_hh"]
    with pytest.raises(ValueError, match="the model has W_hi, W_hf, W_hg, W_ho; those noted"):
        record.note(nn.LSTM(2, 3))


def test_what_has_no_radius_is_told():
    broken = nn.RNN(2, 3)
    broken.weight_hh_l0.data = np.full((3, 3), np.inf)
    with pytest.raises(ValueError, match="not finite"):
        viz.spectral_radii(broken)
    with pytest.raises(ValueError, match="Linear has no RNN, LSTM, GRU"):
        viz.spectral_radii(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="model must be an nn"):
        viz.spectral_radii(np.eye(2))
    with pytest.raises(ValueError, match="nothing has been noted"):
        viz.SpectralRadii().figure()
