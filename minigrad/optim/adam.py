"""Adam, and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from types import SimpleNamespace
from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.errors.values import told
from minigrad.optim.arguments import check_number
from minigrad.optim.groups import Parameters
from minigrad.optim.kernels import UpdateKernel
from minigrad.optim.optimizer import Optimizer, descended


class Adam(Optimizer):
    """Momentum, with each element divided by the root mean square of its gradients.

    In step k, counted from 1, for the gradient g of the parameter p::

        g = g + weight_decay p
        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        p = p - lr m̂ / (√v̂ + eps)           where m̂ = m / (1 - β1ᵏ) and v̂ = v / (1 - β2ᵏ)

    Kingma and Ba, "Adam: a method for stochastic optimization" (2015), computed in the order that
    the end of their section 2 gives. `amsgrad` uses the largest v so far instead of v: Reddi, Kale
    and Kumar, "On the convergence of Adam and beyond" (2018). Rows that a row-sparse gradient
    leaves out keep their m and v, but k counts all steps of the parameter, as in PyTorch's
    SparseAdam.

    Parameters
    ----------
    params
        the parameters, or groups of them; see `Optimizer`, also for what is raised.
    lr
        the learning rate: about how far an element moves in a step.
    betas
        (β1, β2): how much of m and of v stays from one step to the next; both below 1.
    eps
        keeps the denominator from 0.
    weight_decay
        the strength of L2 regularisation: adds this times the parameter to the gradient.
    amsgrad
        never let the denominator get smaller.
    maximize
        go up instead of down.
    """

    remembered = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    takes_sparse = True
    _decoupled = False  # whether weight decay leaves out m and v

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, options: Mapping[str, Any], where: str) -> None:
        """See `Optimizer.check_options`."""
        super().check_options(options, where)
        betas = options["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"{where}: betas must be a pair of numbers, got {told(betas)}")
        for i, beta in enumerate(betas):
            check_number(beta, f"{where}: betas[{i}]", high=1.0)

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        return "exp_avg", "exp_avg_sq", "max_exp_avg_sq" if o.amsgrad else None

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        k, (beta1, beta2) = state.get("step", 0) + 1, o.betas
        added, shrink = o.weight_decay, 1.0
        if self._decoupled:
            added, shrink = 0.0, 1 - o.lr * o.weight_decay
        # lr m̂ / (√v̂ + eps) = rate m / (√v + eps root)
        root = sqrt(1 - beta2**k)
        rate = o.lr * root / (1 - beta1**k)
        return rate, beta1, beta2, o.eps * root, shrink, added, o.maximize

    @staticmethod
    def _change(
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        w: Array | None,
        s: Array | None,
        t: Array | None,
        rate: float,
        beta1: float,
        beta2: float,
        eps: float,
        shrink: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        xp = array_module(p)
        g = descended(p, g, weight_decay, maximize, out=s)
        if shrink != 1:
            p *= shrink
        t = xp.subtract(g, m, out=t)
        t *= 1 - beta1
        m += t
        v *= beta2
        xp.multiply(g, g, out=t)
        t *= 1 - beta2
        v += t
        xp.sqrt(v if w is None else xp.maximum(w, v, out=w), out=t)
        t += eps
        xp.divide(m, t, out=t)
        t *= rate
        p -= t

    kernel = UpdateKernel(
        "adam",
        _change,
        scratch=2,
        states="exp_avg exp_avg_sq max_exp_avg_sq",
        numbers="double rate, double beta1, double beta2, double eps, double shrink, "
        "double weight_decay, bool maximize",
        code="""
        g = descended(p, g, weight_decay, maximize);
        T m = *exp_avg += (g - *exp_avg) * T(1 - beta1);
        T v = *exp_avg_sq = *exp_avg_sq * T(beta2) + g * g * T(1 - beta2);
        if (max_exp_avg_sq) v = *max_exp_avg_sq = larger(*max_exp_avg_sq, v);
        p = p * T(shrink) - m / (sqrt(v) + T(eps)) * T(rate);
        """,
    )


class AdamW(Adam):
    """`Adam` with weight decay that acts on the parameter directly, and not through m and v.

    Each step begins with ``p = p - lr weight_decay p``; the rest is `Adam` without weight decay.
    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019). A parameter with a
    row-sparse gradient needs a group with a weight decay of 0.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize
        as in `Adam`.
    weight_decay
        times the learning rate, the share of the parameter that each step takes away.
    """

    _decoupled = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
