"""What a type checker knows of a program that uses minigrad: checked by mypy, and run by a test.

Where an error is wanted, the comment that silences it would be an error itself without it.
"""

from typing import Any, assert_type

import numpy as np

import minigrad as mg
from minigrad import nn, optim

x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
assert_type(x, mg.Tensor)
assert_type(x.shape, tuple[int, ...])
assert_type(x.ndim, int)
assert_type(x.size, int)
assert_type(x.dtype, np.dtype[Any])
assert_type(x.device, str)
assert_type(x.requires_grad, bool)
assert_type(x.is_leaf, bool)
assert_type(x.numpy(), np.ndarray[Any, Any])
assert_type(len(x), int)
assert_type(float(x.sum()), float)

# ------------------------------------------------------------------ operators, methods, functions

assert_type(x + 1, mg.Tensor)
assert_type(2 * x, mg.Tensor)
assert_type(x @ x, mg.Tensor)
assert_type(-x, mg.Tensor)
assert_type(x**2, mg.Tensor)
assert_type(x[0], mg.Tensor)
assert_type(x > 1, mg.Tensor)
assert_type(~(x > 1), mg.Tensor)
assert_type(x.at[0].set(1.0), mg.Tensor)
assert_type(x.T, mg.Tensor)
assert_type(x.mT, mg.Tensor)
assert_type(x.sum(), mg.Tensor)
assert_type(x.mean(0, keepdims=True), mg.Tensor)
assert_type(x.argmax(-1), mg.Tensor)
assert_type(x.reshape(4), mg.Tensor)
assert_type(x.view(-1).unsqueeze(0), mg.Tensor)
assert_type(x.float(), mg.Tensor)
assert_type(x.numel(), int)
assert_type(x.topk(1), tuple[mg.Tensor, mg.Tensor])
assert_type(x.detach(), mg.Tensor)
assert_type(mg.tanh(x), mg.Tensor)
assert_type(mg.concatenate([x, x]), mg.Tensor)
assert_type(mg.split(x, 2), tuple[mg.Tensor, ...])
assert_type(mg.isnan(x), mg.Tensor)
assert_type(mg.allclose(x, x), bool)
assert_type(mg.zeros(2, 3), mg.Tensor)
assert_type(mg.zeros((2, 3), dtype=mg.float64), mg.Tensor)
assert_type(mg.randn(2), mg.Tensor)

# ------------------------------------------------------------------------------- layers, training


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return mg.relu(self.layer(x))


model = Net()
assert_type(model.layer(x), mg.Tensor)
assert_type(model(x), mg.Tensor)
assert_type(model.layer.weight, nn.Parameter)
assert_type(model.parameters(), list[nn.Parameter])
optimizer = optim.SGD(model.parameters(), lr=0.1)
loss = mg.cross_entropy(model(x), np.array([0, 1]))
assert_type(loss, mg.Tensor)
loss.backward()
optimizer.step()
with mg.no_grad():
    value: float = loss.item()
output, state = nn.GRU(2, 3)(mg.zeros(4, 1, 2))

# ------------------------------------------------------------------- what is not there is an error


def wrong() -> None:
    """Never called."""
    mg.nosuch  # type: ignore[attr-defined]
    optim.Adan  # type: ignore[attr-defined]
    x.gather  # type: ignore[attr-defined]
    x.shpe  # type: ignore[attr-defined]
    model(x, x)  # type: ignore[call-arg]
    mg.zeros(2, requires_gradient=True)  # type: ignore[call-arg]
