"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.optim.groups import Parameters
from minigrad.optim.kernels import UpdateKernel
from minigrad.optim.optimizer import Optimizer, descended


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    For the gradient g of the parameter p, with the velocity b (in the first step b = g)::

        g = g + weight_decay p
        b = momentum b + (1 - dampening) g
        p = p - lr b                        (Nesterov: p = p - lr (g + momentum b))

    For the momentum see Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning" (2013). As in PyTorch, the learning rate is not part of the
    velocity.

    Parameters
    ----------
    params
        the parameters, or groups of them; see `Optimizer`, also for what is raised.
    lr
        the learning rate.
    momentum
        how much of the velocity stays from one step to the next; 0: no velocity is kept.
    dampening
        how much of the gradient does not go into the velocity.
    weight_decay
        the strength of L2 regularisation: adds this times the parameter to the gradient.
    nesterov
        look one step ahead along the velocity; needs a momentum above 0 and a dampening of 0.
    maximize
        go up instead of down.
    """

    remembered = ("momentum_buffer",)
    takes_sparse = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, options: Mapping[str, Any], where: str) -> None:
        """See `Optimizer.check_options`."""
        super().check_options(options, where)
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError(
                f"{where}: Nesterov momentum needs a momentum above 0 and a dampening of 0, got "
                f"{options['momentum']!r} and {options['dampening']!r}"
            )

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        return ("momentum_buffer" if o.momentum else None,)

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        is_first = o.momentum and "momentum_buffer" not in state
        kept = 1.0 if is_first else 1 - o.dampening
        return o.lr, o.momentum, kept, o.nesterov, o.weight_decay, o.maximize

    @staticmethod
    def _change(
        p: Array,
        g: Array,
        b: Array | None,
        s: Array | None,
        t: Array | None,
        lr: float,
        momentum: float,
        kept: float,
        nesterov: bool,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        xp = array_module(p)
        g = descended(p, g, weight_decay, maximize, out=s)
        if b is not None:
            b *= momentum
            b += g if kept == 1 else xp.multiply(g, kept, out=t)
            if nesterov:
                t = xp.multiply(b, momentum, out=t)
                g = xp.add(g, t, out=s)
            else:
                g = b
        p -= xp.multiply(g, lr, out=s)

    kernel = UpdateKernel(
        "sgd",
        _change,
        scratch=2,
        states="velocity",
        numbers="double lr, double momentum, double kept, bool nesterov, double weight_decay, "
        "bool maximize",
        code="""
        g = descended(p, g, weight_decay, maximize);
        if (velocity) {
            T b = *velocity = *velocity * T(momentum) + g * T(kept);
            g = nesterov ? g + b * T(momentum) : b;
        }
        p -= g * T(lr);
        """,
    )
