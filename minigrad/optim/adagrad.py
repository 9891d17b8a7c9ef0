"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.optim.groups import Parameters
from minigrad.optim.kernels import UpdateKernel
from minigrad.optim.optimizer import Optimizer, descended


class Adagrad(Optimizer):
    """A learning rate for each element, which falls with the squares of all its gradients so far.

    In step k, counted from 1, for the gradient g of the parameter p::

        g = g + weight_decay p
        v = v + g²
        p = p - lr / (1 + (k - 1) lr_decay) g / (√v + eps)

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011). With eps = 0 and an initial accumulator value e, it divides by √(v + e),
    as min-char-rnn does with e = 1e-8.

    Parameters
    ----------
    params
        the parameters, or groups of them; see `Optimizer`, also for what is raised.
    lr
        the learning rate.
    lr_decay
        how fast the learning rate falls with the number of steps.
    weight_decay
        the strength of L2 regularisation: adds this times the parameter to the gradient.
    initial_accumulator_value
        the first v.
    eps
        keeps the denominator from 0.
    maximize
        go up instead of down.
    """

    remembered = ("step", "sum")
    takes_sparse = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        return ("sum",)

    def _first(self, parameter: Array, o: SimpleNamespace) -> Array:
        v = super()._first(parameter, o)
        v += o.initial_accumulator_value
        return v

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        lr = o.lr / (1 + state.get("step", 0) * o.lr_decay)
        return lr, o.eps, o.weight_decay, o.maximize

    @staticmethod
    def _change(
        p: Array,
        g: Array,
        v: Array,
        s: Array | None,
        t: Array | None,
        lr: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        xp = array_module(p)
        g = descended(p, g, weight_decay, maximize, out=s)
        v += xp.multiply(g, g, out=t)
        t = xp.sqrt(v, out=t)
        t += eps
        xp.divide(g, t, out=t)
        t *= lr
        p -= t

    kernel = UpdateKernel(
        "adagrad",
        _change,
        scratch=2,
        states="sum",
        numbers="double lr, double eps, double weight_decay, bool maximize",
        code="""
        g = descended(p, g, weight_decay, maximize);
        T v = *sum += g * g;
        p -= g / (sqrt(v) + T(eps)) * T(lr);
        """,
    )
