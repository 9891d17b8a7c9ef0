"""Averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.optim.groups import Parameters
from minigrad.optim.kernels import UpdateKernel
from minigrad.optim.optimizer import Optimizer, descended
from minigrad.tensor import Tensor, mark_changed


class ASGD(Optimizer):
    """Gradient descent that also keeps the average of where it has been.

    In step k, counted from 1, for the gradient g of the parameter p and the average a::

        g   = g + weight_decay p
        eta = lr / (1 + lambd lr (k - 1))^alpha
        p   = (1 - lambd eta) p - eta g
        a   = a + mu (p - a)                where mu = 1 / max(1, k - 1 - t0)

    So up to step t0 + 2 the average is the parameter itself. Where steps jump from one side of a
    valley to the other, their average lies inside it. `averaged` puts the averages into the
    parameters, to evaluate or to save them. Polyak and Juditsky, "Acceleration of stochastic
    approximation by averaging" (1992). The steps are those of Bottou's svn programs, and of Xu,
    "Towards optimal one pass large scale learning with averaged stochastic gradient descent"
    (2011). With t0 = 0 and lambd = 0 it is plain SGD with the average of all steps, as in NT-ASGD:
    Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models" (2018).

    PyTorch's ASGD gives the same numbers, but follows a changed learning rate one step later.

    Parameters
    ----------
    params
        the parameters, or groups of them; see `Optimizer`, also for what is raised.
    lr
        the learning rate.
    lambd
        how fast the parameters and the learning rate decay.
    alpha
        the power with which the learning rate falls.
    t0
        the number of steps after which the averaging begins.
    weight_decay
        the strength of L2 regularisation: adds this times the parameter to the gradient.
    maximize
        go up instead of down.
    """

    remembered = ("step", "ax")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        self._averages_in = False

    def step(
        self, closure: Callable[[], Any] | None = None, *, if_finite: Tensor | None = None
    ) -> Any:
        """See `Optimizer.step`; within `averaged` it raises a RuntimeError."""
        if self._averages_in:
            raise RuntimeError("ASGD.step: the averages are in the parameters; leave averaged()")
        return super().step(closure, if_finite=if_finite)

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        return ("ax",)

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        steps = state.get("step", 0)
        eta = o.lr / (1 + o.lambd * o.lr * steps) ** o.alpha
        mu = 1 / max(1.0, steps - o.t0)
        return eta, 1 - o.lambd * eta, mu, o.weight_decay, o.maximize

    @staticmethod
    def _change(
        p: Array,
        g: Array,
        ax: Array,
        s: Array | None,
        eta: float,
        shrink: float,
        mu: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        xp = array_module(p)
        g = descended(p, g, weight_decay, maximize, out=s)
        if shrink != 1:
            p *= shrink
        p -= xp.multiply(g, eta, out=s)
        if mu == 1:
            ax[...] = p
        else:
            s = xp.subtract(p, ax, out=s)
            s *= mu
            ax += s

    kernel = UpdateKernel(
        "asgd",
        _change,
        scratch=1,
        states="ax",
        numbers="double eta, double shrink, double mu, double weight_decay, bool maximize",
        code="""
        g = descended(p, g, weight_decay, maximize);
        T changed = p * T(shrink) - g * T(eta);
        *ax = mu == 1 ? changed : *ax + (changed - *ax) * T(mu);
        p = changed;
        """,
    )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within ``with optimizer.averaged():`` the averages are in the parameters.

        At the end of the block, also after an exception, the parameters are what they were before,
        bit for bit. A parameter that has never been stepped stays as it is. A second copy of the
        parameters is kept in memory.

        Raises
        ------
        RuntimeError
            if the averages are in the parameters already.
        """
        if self._averages_in:
            raise RuntimeError("ASGD.averaged: the averages are in the parameters already")
        kept = [(p, _copied(p)) for p in self.state]
        self._averages_in = True
        try:
            for p, state in self.state.items():
                _put(p, state["ax"])
            yield
        finally:
            for p, values in kept:
                _put(p, values)
            self._averages_in = False


def _copied(p: Tensor) -> Array:
    return p._array.copy()


def _put(p: Tensor, values: Array) -> None:
    p._array[...] = values
    mark_changed(p)
