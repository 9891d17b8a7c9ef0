"""NumPy by hand, without autograd: the floor, for a model that nobody has to be able to change.

Every array and every view of it is made once. What does not depend on the recurrence is done for
all time steps at once: the products with the input, the derivatives of the gates, and the gradients
of the weights. All gates go through one tanh, as sigmoid(x) = (1 + tanh(x / 2)) / 2. The softmax is
made, and becomes its own gradient, piece by piece in the processor's cache. The gradient of the
embedding has rows for the tokens of the batch alone.

Weights are laid out as in PyTorch, (rows, columns) = (out, in).
"""

from __future__ import annotations

import numpy as np
from configurations import Configuration

from minigrad.arrays.threads import share
from steps import Training

VARIANTS = {"floor": {"rnn", "lstm"}, "sgemm": {"rnn", "lstm", "gru", "classifier"}}
SIDE = 1024  # of the matrices of the yardstick
PIECE = 160_000  # numbers that one core works on at a time
HALF = np.float32(0.5)


def empty(*shape):
    """A new array in float32."""
    return np.empty(shape, np.float32)


def pieces(length: int, width: int = 1) -> list[slice]:
    """Slices that cut up `length` rows of `width` numbers."""
    step = max(1, PIECE // width)
    return [slice(i, min(i + step, length)) for i in range(0, length, step)]


class Layer:
    """What an RNN and an LSTM share."""

    def __init__(self, T: int, N: int, W_ih, W_hh, b) -> None:
        self.parameters = [W_ih, W_hh, b]
        self.gradients = [np.empty_like(p) for p in self.parameters]
        (rows, size), H = W_ih.shape, W_hh.shape[1]
        self.z, self.dz, self.dx = empty(T, N, rows), empty(T, N, rows), empty(T, N, size)
        self.h = np.zeros((T + 1, N, H), np.float32)  # before and after each time step
        self.W, self.product, self.dproduct = empty(H, rows), empty(N, rows), empty(N, H)
        self.ones = np.ones(T * N, np.float32)

    def of_input(self, x, W_ih, b) -> None:
        """From the input of all time steps, z = W_ih x + b."""
        self.x = x.reshape(len(self.ones), -1)
        self.h[0] = self.h[-1]
        z = self.z.reshape(len(self.ones), -1)
        np.dot(self.x, W_ih.T, out=z)
        z += b

    def of_weights(self):
        """From dz the gradients of the parameters, and that of the input, which is returned."""
        dz, h = self.dz.reshape(len(self.ones), -1), self.h[:-1].reshape(len(self.ones), -1)
        dW_ih, dW_hh, db = self.gradients
        np.dot(dz.T, self.x, out=dW_ih)
        np.dot(dz.T, h, out=dW_hh)
        np.dot(self.ones, dz, out=db)
        np.dot(dz, self.parameters[0], out=self.dx.reshape(self.x.shape))
        return self.dx

    def current(self):
        """The parameters, laid out as they were given."""
        return self.parameters


class RNN(Layer):
    """h' = tanh(W_ih x + b + W_hh h)."""

    def __init__(self, T: int, N: int, *parameters) -> None:
        super().__init__(T, N, *parameters)
        self.steps = list(zip(self.z, self.h[:-1], self.h[1:], strict=True))
        self.steps_back = list(self.dz[::-1])

    def forward(self, x):
        """The h of all time steps."""
        W_ih, W_hh, b = self.parameters
        self.of_input(x, W_ih, b)
        np.copyto(self.W, W_hh.T)
        for z, h, after in self.steps:
            np.dot(h, self.W, out=after)
            after += z
            np.tanh(after, out=after)
        return self.h[1:]

    def backward(self, dh):
        """The gradient of the input, from that of all h, which is overwritten."""
        W_hh, product = self.parameters[1], self.dproduct
        np.multiply(self.h[1:], self.h[1:], out=self.dz)
        np.subtract(1, self.dz, out=self.dz)
        product[...] = 0
        for d, dz in zip(dh[::-1], self.steps_back, strict=True):
            d += product
            dz *= d
            np.dot(dz, W_hh, out=product)
        return self.of_weights()


class LSTM(Layer):
    """Its gates stand in the order o, i, f, g: side by side are the sigmoids, and what makes c."""

    def __init__(self, T: int, N: int, *parameters) -> None:
        H = parameters[1].shape[1]
        super().__init__(T, N, *(np.roll(p, H, axis=0) for p in parameters))
        self.half = np.ones(4 * H, np.float32)  # of the z of sigmoids
        self.half[: 3 * H] = HALF
        self.halved = [np.empty_like(p) for p in self.parameters]
        self.c, self.tanh_c = np.zeros((T + 1, N, H), np.float32), empty(T, N, H)
        self.dc_dh, self.part, self.dc = empty(T, N, H), empty(N, H), empty(N, H)
        o, i, f, g = self.gates = [self.z[..., k * H : (k + 1) * H] for k in range(4)]
        sigmoids = self.z[..., : 3 * H]
        h, c = self.h, self.c
        ahead = (self.z, sigmoids, o, i, f, g, h[:-1], h[1:], c[:-1], c[1:], self.tanh_c)
        self.steps = list(zip(*ahead, strict=True))
        through_c = self.dz[..., H:].reshape(T, N, 3, H)
        back = (self.dz, self.dz[..., :H], through_c, self.dc_dh, f)
        self.steps_back = list(zip(*(a[::-1] for a in back), strict=True))

    def forward(self, x):
        """The h of all time steps."""
        for parameter, halved in zip(self.parameters, self.halved, strict=True):
            np.multiply(parameter.T, self.half, out=halved.T)
        W_ih, W_hh, b = self.halved
        self.c[0] = self.c[-1]
        self.of_input(x, W_ih, b)
        np.copyto(self.W, W_hh.T)
        W, product, part = self.W, self.product, self.part
        dot, tanh, multiply = np.dot, np.tanh, np.multiply
        for z, sigmoids, o, i, f, g, h, h_after, c, c_after, tanh_c in self.steps:
            dot(h, W, out=product)
            z += product
            tanh(z, out=z)
            sigmoids *= HALF
            sigmoids += HALF
            multiply(f, c, out=c_after)
            multiply(i, g, out=part)
            c_after += part
            tanh(c_after, out=tanh_c)
            multiply(o, tanh_c, out=h_after)
        return self.h[1:]

    def backward(self, dh):
        """The gradient of the input, from that of all h, which is overwritten."""
        (o, i, f, g), H = self.gates, self.dc.shape[1]
        do, di, df, dg = (self.dz[..., k * H : (k + 1) * H] for k in range(4))
        for s, ds, factor in ((o, do, self.tanh_c), (i, di, g), (f, df, self.c[:-1])):
            np.multiply(s, s, out=ds)
            np.subtract(s, ds, out=ds)
            ds *= factor
        for tanh, dtanh, factor in ((g, dg, i), (self.tanh_c, self.dc_dh, o)):
            np.multiply(tanh, tanh, out=dtanh)
            np.subtract(1, dtanh, out=dtanh)
            dtanh *= factor
        W_hh, product, part, dc = self.parameters[1], self.dproduct, self.part, self.dc
        dc_for_each, dot, multiply = dc[:, None], np.dot, np.multiply
        product[...], dc[...] = 0, 0
        for d, (dz, do, through_c, dc_dh, f) in zip(dh[::-1], self.steps_back, strict=True):
            d += product
            do *= d
            multiply(d, dc_dh, out=part)
            dc += part
            through_c *= dc_for_each
            dc *= f
            dot(dz, W_hh, out=product)
        return self.of_weights()

    def current(self):
        """The parameters with their gates in PyTorch's order."""
        return [np.roll(p, -self.dc.shape[1], axis=0) for p in self.parameters]


class Output:
    """A linear layer and its cross-entropy."""

    def __init__(self, rows: int, W, b) -> None:
        self.parameters = [W, b]
        self.gradients = [np.empty_like(W), np.empty_like(b)]
        self.logits, self.dh = empty(rows, len(W)), empty(rows, W.shape[1])
        self.scaled = np.empty_like(self.dh)
        self.losses, self.sums = empty(rows), empty(rows)

    def __call__(self, h, targets):
        """The loss, and the gradient of `h`."""
        (W, b), (dW, db), z = self.parameters, self.gradients, self.logits

        def softmax(piece: slice) -> None:  # times its sum; less 1, times the sum, at the target
            z, target = self.logits[piece], (np.arange(piece.stop - piece.start), targets[piece])
            z += b
            z -= z.max(1, keepdims=True)
            at_target = z[target]
            np.exp(z, out=z)
            sums = z.sum(1, out=self.sums[piece])
            np.subtract(np.log(sums), at_target, out=self.losses[piece])
            z[target] -= sums

        np.dot(h, W.T, out=z)
        share(softmax, pieces(*z.shape))
        scale = 1 / (self.sums * np.float32(len(z)))
        np.dot(z, W, out=self.dh)
        self.dh *= scale[:, None]
        np.multiply(h, scale[:, None], out=self.scaled)
        np.dot(z.T, self.scaled, out=dW)
        np.dot(scale, z, out=db)
        return float(self.losses.mean()), self.dh


def summed(ids, rows):
    """The different `ids`, and for each the sum of its `rows`."""
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    return ids[first], np.add.reduceat(rows[order], first, axis=0)


def descend(p, g, rate) -> None:
    """Lower p by rate g, in one pass over memory; `g` is overwritten."""
    p, g = p.reshape(-1), g.reshape(-1)

    def update(piece: slice) -> None:
        g[piece] *= rate
        p[piece] -= g[piece]

    share(update, pieces(len(p)))


def large_product() -> Training:
    """The yardstick of `steps`."""
    a, b, out = (np.ones((SIDE, SIDE), np.float32) for _ in range(3))

    def step(*batch):
        np.dot(a, b, out=out)
        return SIDE

    return Training(step, dict)


def make(c: Configuration, variant: str, parameters) -> Training:
    """See `steps`."""
    if variant == "sgemm":
        return large_product()
    E, M = parameters["embedding.weight"], c.T * c.N
    names = [
        [f"recurrent.{kind}_l{layer}" for kind in ("weight_ih", "weight_hh", "bias_ih")]
        for layer in range(c.L)
    ]
    kind = {"rnn": RNN, "lstm": LSTM}[c.cell]
    layers = [kind(c.T, c.N, *(parameters[name] for name in of_layer)) for of_layer in names]
    output = Output(M, parameters["output.weight"], parameters["output.bias"])
    parts, embedded = [*layers, output], empty(M, c.D)

    def step(x, y):
        ids = x.ravel()
        np.take(E, ids, axis=0, out=embedded, mode="clip")
        h = embedded
        for layer in layers:
            h = layer.forward(h)
        loss, d = output(h.reshape(M, -1), y.ravel())
        for layer in reversed(layers):
            d = layer.backward(d.reshape(c.T, c.N, -1))
        tokens, dE = summed(ids, d.reshape(M, -1))
        gradients = [dE, *(g for part in parts for g in part.gradients)]
        norm = sum(float(np.vdot(g, g)) for g in gradients) ** 0.5
        rate = np.float32(c.lr * min(1, c.clip / (norm + 1e-6)))
        for part in parts:
            for p, g in zip(part.parameters, part.gradients, strict=True):
                descend(p, g, rate)
        dE *= rate
        E[tokens] -= dE
        return loss

    def current():
        named = {"embedding.weight": E}
        for layer, of_layer in zip(layers, names, strict=True):
            named |= zip(of_layer, layer.current(), strict=True)
        named |= zip(("output.weight", "output.bias"), output.parameters, strict=True)
        return {name: value.copy() for name, value in named.items()}

    return Training(step, current)
