"""How treescope shows Tensors and Modules."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

treescope = pytest.importorskip("treescope")

pytestmark = [
    pytest.mark.host(reason="values are shown from the computer's memory"),
    pytest.mark.filterwarnings("ignore:The chararray class:DeprecationWarning"),  # treescope's own
]


def test_a_tensor_with_its_values_gradient_and_place_on_the_tape():
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    y = mg.tanh(x)
    y.sum().backward()
    told = treescope.render_to_text(x)
    assert told.startswith("Tensor(")
    assert "1.5" in told
    assert "requires_grad=True" in told
    assert "grad=Tensor(" in told
    assert "made_by='tanh'" in treescope.render_to_text(y)


def test_a_module_with_what_is_in_it():
    rng = np.random.default_rng(0)

    class Model(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList([nn.Linear(2, 3, rng=rng), nn.Tanh()])
            self.heads = nn.ModuleDict({"a": nn.GRU(3, 4, rng=rng)})

    told = treescope.render_to_text(Model())
    assert "Model(" in told
    assert "weight=Parameter(" in told
    assert "Tanh(" in told
    assert "'a': GRU(" in told
    assert "hidden_size=4" in told
    assert "_names" not in told
    assert "GRU" in treescope.render_to_html(Model(), compressed=False)
