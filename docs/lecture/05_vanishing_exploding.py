# %% [markdown]
# # 5. Vanishing and exploding gradients
#
# **Question.** $3 \cdot 3 = 9$. And $3^{100}$ has 48 digits, while $0.5^{100}$ has 30 zeros behind
# the point. A gradient that goes back over 100 time steps is multiplied 100 times. What becomes of
# it?
#
# ## The idea
#
# On its way back a gradient is multiplied at each step by nearly the same matrix. If that makes it
# a little smaller, it is soon gone: the gradient **vanishes**. Then the network can't learn that
# something at the beginning of the text matters at the end. If it makes it a little larger, it soon
# becomes enormous: the gradient **explodes**. Then one step of training throws all weights far
# away.
#
# ## The formula
#
# $$\frac{\partial h_t}{\partial h_k} = J_t\, J_{t-1} \cdots J_{k+1} \qquad
# J_s = D_s W_{hh} \qquad D_s = \mathrm{diag}(1 - h_s^2)$$
#
# | letter | what it is |
# | --- | --- |
# | $\partial h_t / \partial h_k$ | how the state at step $t$ moves if the state at step $k$ moves: a matrix |
# | $J_s$ | the **Jacobian** of one step, see [page 3](03_bptt.py) |
# | $D_s$ | the slopes of tanh: numbers between 0 and 1, near 1 if the state is near 0 |
# | $\rho$ ("rho") | the **spectral radius** of $W_{hh}$: the largest $\lvert \lambda_i \rvert$ |
# | $\lambda_i$ ("lambda") | the **eigenvalues** of $W_{hh}$: numbers, real or complex, by which it stretches its own special directions |
# | $\sigma_1$ ("sigma") | the largest **singular value** of $W_{hh}$: the most by which it stretches any vector |
#
# Without the tanh, $J_s$ is $W_{hh}$ at each step, and the product of $n = t - k$ of them is a
# power. For a large $n$ a power follows the largest eigenvalue:
#
# $$\lVert W_{hh}^{\,n} \rVert \approx C \rho^{\,n} \qquad \text{and for all } n: \quad
# \Big\lVert \frac{\partial h_t}{\partial h_k} \Big\rVert \le
# \prod_{s=k+1}^{t} \lVert D_s \rVert \lVert W_{hh} \rVert \le \sigma_1^{\,n}$$
#
# ($\lVert A \rVert$ is the most by which the matrix $A$ stretches a vector. $C$ hardly depends on
# $n$.) This tells us three things:
#
# - $\rho < 1$: near $h = 0$, the gradient vanishes as $\rho^n$.
# - $\sigma_1 < 1$: it vanishes for certain. It can explode only if $\sigma_1 > 1$.
# - The tanh never makes it larger: $D_s$ is at most 1. A state far from 0 makes it much smaller.
#
# ![Vanishing and exploding gradients](../pictures/vanishing_exploding.png)
#
# (The picture writes $r$ for $\rho$, and $k$ for the number of steps back.)
#
# ## Run it: one number
#
# The smallest RNN has one number as its state, and no tanh: $h_t = w\, h_{t-1}$. Then
# $dh_T / dh_0 = w^T$, where $T$ is the number of steps. minigrad's tape says so too (`e-15` means
# $10^{-15}$):

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, viz
from minigrad.data import Vocabulary


def derivative(w, T):
    """dh_T/dh_0 by one walk back."""
    h = h_0 = mg.tensor(1.0, dtype="float64", requires_grad=True)
    for _ in range(T):
        h = w * h
    return mg.grad(h, h_0)[0].item()


for w in (0.5, 0.9, 1.0, 1.1, 3.0):
    print(f"w = {w}   2 steps {derivative(w, 2):5.2f}   50 steps {derivative(w, 50):.1e}")
assert np.isclose(derivative(3.0, 50), 3.0**50)

# %% [markdown]
# ## Run it: a matrix
#
# Now 16 numbers, and a matrix whose spectral radius we choose. We multiply the Jacobians
# of `nn.RNN`, with its tanh, and compare with $\rho^n$.

# %%
H, T, radius = 16, 40, 0.9


def jacobian_norms(weight, rng):
    """The norms of dh_T/dh_{T-n} for n = 0 ... T, with and without the tanh."""
    h, with_tanh, without = 0.1 * rng.normal(size=H), [np.eye(H)], [np.eye(H)]
    for _ in range(T):
        h = np.tanh(weight @ h)
        J = np.diag(1 - h**2) @ weight
        with_tanh.append(J @ with_tanh[-1])
        without.append(weight @ without[-1])
    # norm(P, 2) is the most by which P stretches a vector
    return [[np.linalg.norm(P, 2) for P in products] for products in (with_tanh, without)]


rng = np.random.default_rng(0)
weight = rng.normal(size=(H, H))
weight *= radius / abs(np.linalg.eigvals(weight)).max()
sigma = np.linalg.norm(weight, 2)
with_tanh, without = jacobian_norms(weight, rng)

print(f"rho = {radius}, sigma_1 = {sigma:.2f}")
print(" n    rho^n   without tanh   with tanh   sigma_1^n")
for n in (1, 2, 5, 10, 20, 40):
    row = f"{radius**n:9.1e}{without[n]:14.1e}{with_tanh[n]:12.1e}{sigma**n:12.1e}"
    print(f"{n:2}{row}")

# %% [markdown]
# For the first few steps the norm may even grow, as $\sigma_1$ is above 1. Then it goes down with
# the powers of $\rho$.
#
# ## Run it: a language model
#
# `viz.spectral_radii` reads $\rho$ of any model, and `viz.gradient_through_time` measures how the
# gradient really goes back, with all that is in the way: tanh, other layers, the true text. Here
# are three RNNs that differ in the radius of $W_{hh}$ alone.


# %%
class CharRNN(nn.Module):
    """Ids of letters in; at each time step the logits of the next letter out."""

    def __init__(self, vocab_size, hidden_size, radius, rng):
        options = {"rng": rng, "dtype": "float64"}
        self.embedding = nn.Embedding(vocab_size, hidden_size, **options)
        self.embedding.weight.data *= 0.1  # small inputs, so that tanh is nearly straight
        self.rnn = nn.RNN(hidden_size, hidden_size, **options)
        rotation = np.linalg.qr(rng.normal(size=(hidden_size, hidden_size)))[0]
        self.rnn.weight_hh_l0.data = radius * rotation  # each |eigenvalue| is `radius`
        self.output = nn.Linear(hidden_size, vocab_size, **options)

    def forward(self, w, state=None):
        h, state = self.rnn(self.embedding(w), state)
        return self.output(h), state


text = "what will the fat cat sit on"
vocabulary = Vocabulary(dict.fromkeys(text))
models = {
    f"radius {radius}": CharRNN(len(vocabulary), H, radius, np.random.default_rng(0))
    for radius in (0.5, 1.0, 1.5)
}
seen = viz.gradient_through_time(models, vocabulary.encode(text), labels=text)
for name, model in models.items():
    decay = seen.flows[name].decay
    rho = viz.spectral_radii(model)["W_hh"]
    h, _ = model.rnn(model.embedding(vocabulary.encode(text)))
    slope = np.mean(1 - h.numpy() ** 2)
    print(f"rho {rho:.1f} times the mean slope of tanh {slope:.2f}", end=" ")
    print(f"is {rho * slope:.2f}   20 steps leave {decay[20]:.1e} of the gradient")
seen

# %% [markdown]
# Each row of a triangle is one loss; to the left is the past. (The frame can be scrolled: the third
# network is further down.) With $\rho = 0.5$ only the diagonal
# is bright: each loss sees a few steps, and no more. With $\rho = 1.5$ one would expect an
# explosion. But there the states are larger and the slopes of the tanh smaller, and the two nearly
# cancel: 0.93 for each step. In each line the product to the power of 20 is roughly what is left.
#
# **The number of this page:** `0.9^40 = 1.5e-02, and the gradient has 1.9e-02`

# %%
print(f"{radius}^40 = {radius**40:.1e}, and the gradient has {without[40]:.1e}")

# %% [markdown]
# ## Change it
#
# - `H, T, radius = 16, 40, 0.9` → `H, T, radius = 16, 40, 0.5`: it vanishes within a few steps. It
#   ends in `0.5^40 = 9.1e-13, and the gradient has 1.2e-12`.
# - `H, T, radius = 16, 40, 0.9` → `H, T, radius = 16, 40, 1.5`: it explodes. It ends in
#   `1.5^40 = 1.1e+07, and the gradient has 1.4e+07`.
#
# ## Read on
#
# - What helps: [clipping and gates](06_clipping_and_gates.py), on the next page.
# - In the code: `minigrad/viz/through_time/radii.py` and `minigrad/viz/through_time/gradient.py`.
#   `examples/vanishing_exploding.py` makes the picture.
# - Build it yourself: [why an RNN forgets](../steps/11_bptt.py).
# - Bengio, Simard and Frasconi (1994), Learning long-term dependencies with gradient descent is
#   difficult. Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural
#   networks.
