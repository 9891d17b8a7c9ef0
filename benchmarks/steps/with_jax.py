"""JAX: the whole training step compiled, with `lax.scan` over time.

The weights are transposed at the start, so that each product is of rows with columns; the memory of
parameters and states is handed on from step to step.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from configurations import Configuration
from jax import lax
from jax.nn import log_softmax, sigmoid

from steps import Training

VARIANTS = {"scan": {"rnn", "lstm", "gru"}}


def rnn(Wx, state, W_hh):
    """The simple recurrent network."""
    (h,) = state
    return (jnp.tanh(Wx + h @ W_hh),)


def lstm(Wx, state, W_hh):
    """The LSTM, its gates in PyTorch's order."""
    h, c = state
    i, f, g, o = jnp.split(Wx + h @ W_hh, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def gru(Wx, state, W_hh):
    """The GRU, its gates in PyTorch's order."""
    (h,) = state
    Wx_r, Wx_z, Wx_n = jnp.split(Wx, 3, axis=-1)
    Wh_r, Wh_z, Wh_n = jnp.split(h @ W_hh, 3, axis=-1)
    r, z = sigmoid(Wx_r + Wh_r), sigmoid(Wx_z + Wh_z)
    return ((1 - z) * jnp.tanh(Wx_n + r * Wh_n) + z * h,)


CELLS = {"rnn": rnn, "lstm": lstm, "gru": gru}


def make(c: Configuration, variant: str, parameters) -> Training:
    """See `steps`."""
    cell = CELLS[c.cell]

    def loss_of(p, states, x, y):
        h, after = p["embedding.weight"][x], []
        for layer, state in enumerate(states):
            W_hh = p[f"recurrent.weight_hh_l{layer}"]
            Wx = h @ p[f"recurrent.weight_ih_l{layer}"] + p[f"recurrent.bias_ih_l{layer}"]

            def one(state, Wx, W_hh=W_hh):
                state = cell(Wx, state, W_hh)
                return state, state[0]

            state, h = lax.scan(one, state, Wx)
            after.append(state)
        logits = h @ p["output.weight"] + p["output.bias"]
        picked = jnp.take_along_axis(log_softmax(logits), y[..., None], axis=-1)
        return -picked.mean(), after

    @partial(jax.jit, donate_argnums=(0, 1))
    def train(p, states, x, y):
        (loss, states), gradients = jax.value_and_grad(loss_of, has_aux=True)(p, states, x, y)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values()))
        scale = c.lr * jnp.minimum(1, c.clip / (norm + 1e-6))
        return {name: p[name] - scale * g for name, g in gradients.items()}, states, loss

    p = {
        name: jnp.array(value if name.startswith("embedding") else value.T)
        for name, value in parameters.items()
        if "bias_hh" not in name
    }
    zeros = jnp.zeros((c.N, c.H), jnp.float32)
    states = [tuple(zeros.copy() for _ in range(1 + (c.cell == "lstm"))) for _ in range(c.L)]

    def step(x, y):
        nonlocal p, states
        p, states, loss = train(p, states, x.astype(np.int32), y.astype(np.int32))
        return float(loss)

    def current():
        return {
            name: np.array(value if name.startswith("embedding") else value.T)
            for name, value in p.items()
        }

    return Training(step, current)
