"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.optim.checks import check_number
from minigrad.optim.optimizer import Optimizer, Parameters, descended


class RMSprop(Optimizer):
    """Gradient descent with each element's gradient divided by its root mean square of late.

    For the gradient g of the parameter p::

        g = g + weight_decay p
        v = alpha v + (1 - alpha) g²
        d = g / (√v + eps)                  (centered: √(v - m²), where m = alpha m + (1 - alpha) g)
        p = p - lr d                        (with momentum: p = p - lr b, where b = momentum b + d)

    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning" (2012); centered:
    Graves, "Generating sequences with recurrent neural networks" (2013). The eps is outside the
    root, as in PyTorch and in Torch's rmsprop, by which char-rnn trains; TensorFlow's is inside.

    Parameters
    ----------
    params
        the parameters, or groups of them; see `Optimizer`, also for what is raised.
    lr
        the learning rate.
    alpha
        how much of the mean square stays from one step to the next; below 1.
    eps
        keeps the denominator from 0.
    weight_decay
        the strength of L2 regularisation: adds this times the parameter to the gradient.
    momentum
        how much of the velocity stays from one step to the next; 0: no velocity is kept.
    centered
        divide by the standard deviation of the gradient instead.
    maximize
        go up instead of down.
    """

    remembered = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, options: Mapping[str, Any], where: str) -> None:
        """See `Optimizer.check_options`."""
        super().check_options(options, where)
        check_number(options["alpha"], f"{where}: alpha", high=1.0)

    def _update(
        self, parameter: Array, gradient: Array, state: dict[str, Any], o: SimpleNamespace
    ) -> None:
        xp = array_module(parameter)
        wanted = {"square_avg": True, "grad_avg": o.centered, "momentum_buffer": o.momentum > 0}
        for name, want in wanted.items():
            if want and name not in state:
                state[name] = xp.zeros_like(parameter)
        arrays = [state[name] if want else None for name, want in wanted.items()]
        for p, g, v, m, b, s, t in self._pieces(2, parameter, gradient, *arrays):
            g = descended(p, g, o.weight_decay, o.maximize, out=s)
            v *= o.alpha
            xp.multiply(g, g, out=t)
            t *= 1 - o.alpha
            v += t
            if m is None:
                xp.sqrt(v, out=t)
            else:
                xp.subtract(g, m, out=t)
                t *= 1 - o.alpha
                m += t
                xp.multiply(m, m, out=t)
                xp.subtract(v, t, out=t)
                xp.maximum(t, 0, out=t)  # rounding can make v - m² a little less than 0
                xp.sqrt(t, out=t)
            t += o.eps
            d = xp.divide(g, t, out=t)
            if b is not None:
                b *= o.momentum
                b += d
                d = b
            p -= xp.multiply(d, o.lr, out=t)
