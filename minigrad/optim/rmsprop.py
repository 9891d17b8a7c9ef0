"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.optim.arguments import check_number
from minigrad.optim.groups import Parameters
from minigrad.optim.kernels import UpdateKernel
from minigrad.optim.optimizer import Optimizer, descended


class RMSprop(Optimizer):
    """Gradient descent that divides each element's gradient by its recent root mean square.

    For the gradient g of the parameter p::

        g = g + weight_decay p
        v = alpha v + (1 - alpha) g²
        d = g / (√v + eps)                  (centered: √(v - m²), where m = alpha m + (1 - alpha) g)
        p = p - lr d                        (with momentum: p = p - lr b, where b = momentum b + d)

    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning" (2012); centered:
    Graves, "Generating sequences with recurrent neural networks" (2013). The eps is outside the
    root, as in PyTorch and in Torch's rmsprop, which char-rnn uses; in TensorFlow it is inside.

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
        divide by the standard deviation of the gradient instead of its root mean square.
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

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        centered, moving = o.centered, o.momentum > 0
        return "square_avg", "grad_avg" if centered else None, "momentum_buffer" if moving else None

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        return o.lr, o.alpha, o.eps, o.momentum, o.weight_decay, o.maximize

    @staticmethod
    def _change(
        p: Array,
        g: Array,
        v: Array,
        m: Array | None,
        b: Array | None,
        s: Array | None,
        t: Array | None,
        lr: float,
        alpha: float,
        eps: float,
        momentum: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        xp = array_module(p)
        g = descended(p, g, weight_decay, maximize, out=s)
        v *= alpha
        t = xp.multiply(g, g, out=t)
        t *= 1 - alpha
        v += t
        if m is None:
            xp.sqrt(v, out=t)
        else:
            xp.subtract(g, m, out=t)
            t *= 1 - alpha
            m += t
            xp.multiply(m, m, out=t)
            xp.subtract(v, t, out=t)
            xp.maximum(t, 0, out=t)  # rounding can make v - m² slightly negative
            xp.sqrt(t, out=t)
        t += eps
        d = xp.divide(g, t, out=t)
        if b is not None:
            b *= momentum
            b += d
            d = b
        p -= xp.multiply(d, lr, out=t)

    kernel = UpdateKernel(
        "rmsprop",
        _change,
        scratch=2,
        states="square_avg grad_avg velocity",
        numbers="double lr, double alpha, double eps, double momentum, double weight_decay, "
        "bool maximize",
        code="""
        g = descended(p, g, weight_decay, maximize);
        T v = *square_avg = *square_avg * T(alpha) + g * g * T(1 - alpha);
        if (grad_avg) {
            T m = *grad_avg += (g - *grad_avg) * T(1 - alpha);
            v = larger(v - m * m, 0);
        }
        T d = g / (sqrt(v) + T(eps));
        if (velocity) d = *velocity = *velocity * T(momentum) + d;
        p -= d * T(lr);
        """,
    )
