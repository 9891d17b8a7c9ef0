"""Adagrad."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.optim.optimizer import Optimizer, Parameters, descended


class Adagrad(Optimizer):
    """A learning rate for each element, which falls with the squares of all its gradients so far.

    In step k, counted from 1, for the gradient g of the parameter p::

        g = g + weight_decay p
        v = v + g²
        p = p - lr / (1 + (k - 1) lr_decay) g / (√v + eps)

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011). With eps = 0 and an initial accumulator value e it is the form that
    divides by √(v + e), as min-char-rnn does with e = 1e-8.

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

    def _update(
        self, parameter: Array, gradient: Array, state: dict[str, Any], o: SimpleNamespace
    ) -> None:
        xp = array_module(parameter)
        if not state:
            state["step"] = 0
            state["sum"] = xp.full_like(parameter, o.initial_accumulator_value)
        lr = o.lr / (1 + state["step"] * o.lr_decay)
        state["step"] += 1
        for p, g, v, s, t in self._pieces(2, parameter, gradient, state["sum"]):
            g = descended(p, g, o.weight_decay, o.maximize, out=s)
            v += xp.multiply(g, g, out=t)
            xp.sqrt(v, out=t)
            t += o.eps
            xp.divide(g, t, out=t)
            t *= lr
            p -= t
