# %% [markdown]
# # 3. Backpropagation through time
#
# **Question.** All time steps share one matrix $W_{hh}$. A loss at step 4 depends on it through
# step 4, and through the states of steps 3, 2 and 1 as well. What is the gradient of such a
# matrix?
#
# ## The idea
#
# Unroll the network: now it is a deep network, with one layer for each time step, and ordinary
# **backpropagation** does the rest: it goes from the loss back to the weights, layer by layer, and
# multiplies by the derivative of each layer (the chain rule). Only one thing is special: the
# weights of all layers are the same ones. So the gradient is a sum: one part for each place where
# $W_{hh}$ was used. This is **backpropagation through time**, or **BPTT**.
#
# In words: *for each loss, and for each earlier use of the matrix, follow the path from the loss
# back to that use. Multiply along the path, and add up all paths.*
#
# ![Backpropagation through time as a sum over paths](../pictures/bptt_paths.png)
#
# Here the state is a single number, so each factor is a number too. The orange path goes from the
# loss $L_4$ back to the use of W at step 2.
#
# ## The derivation
#
# **What is given.** The network reads $x_1 \dots x_T$, and each step has a loss:
#
# $$a_t = W_{xh}\, x_t + W_{hh}\, h_{t-1} + b_h \qquad h_t = \tanh(a_t) \qquad
# y_t = W_{hy}\, h_t + b_y$$
#
# $$L_t = -\log \mathrm{softmax}(y_t)[w_{t+1}] \qquad L = \sum_{t=1}^{T} L_t$$
#
# $a_t$ is what goes into the tanh. All other letters are those of pages
# [1](01_rnn.py) and [2](02_language_model.py). We look for the gradient $dL/dW_{hh}$: a matrix of
# the shape of $W_{hh}$.
#
# **First: one copy for each step.** Suppose that step $k$ had a matrix of its own, $W^{(k)}$. Then
# $L$ would depend on $T$ matrices. In truth they are all the same one, $W^{(k)} = W_{hh}$. When
# $W_{hh}$ moves, all copies move, and their effects add up:
#
# $$\frac{dL}{dW_{hh}} = \sum_{k=1}^{T} \frac{\partial L}{\partial W^{(k)}}$$
#
# ($\partial$ is read as $d$: the derivative if $W^{(k)}$ alone moves.)
#
# **Second: one loss at a time.** $L$ is the sum of the $L_t$. And no loss depends on a step that
# comes after it: $W^{(k)}$ with $k > t$ has no influence on $L_t$. So we get a sum over **pairs of
# time steps**:
#
# $$\frac{dL}{dW_{hh}} = \sum_{t=1}^{T} \sum_{k=1}^{t} \frac{\partial L_t}{\partial W^{(k)}}$$
#
# $t$ is the step of the loss, and $k \le t$ the step where the matrix was used. There are
# $T (T + 1) / 2$ pairs.
#
# **Third: one pair.** $W^{(k)}$ acts on $L_t$ in one way alone: it makes $a_k$, that makes $h_k$,
# that makes $h_{k+1}$, and so on up to $h_t$ and $L_t$. We go this way back, from right to left.
#
# *From the loss to the last state.* The gradient of the cross-entropy for the logits is
# $p_t - \mathrm{onehot}(w_{t+1})$, and $y_t = W_{hy} h_t + b_y$, so
#
# $$g_t = \frac{\partial L_t}{\partial h_t} = W_{hy}^\top \big(p_t - \mathrm{onehot}(w_{t+1})\big)$$
#
# ($W_{hy}^\top$ is the **transpose** of $W_{hy}$: rows and columns are swapped.)
#
# *From each state to the one before.* The slope of $\tanh$ at $a$ is $1 - \tanh(a)^2$. So with the
# matrix $D_s = \mathrm{diag}(1 - h_s^2)$, which has these slopes on its diagonal and else zeros,
# the derivative of one state by the one before, its **Jacobian**, is
#
# $$J_s = \frac{\partial h_s}{\partial h_{s-1}} = D_s W_{hh}$$
#
# and a gradient goes back through it by a product with the transpose, $J_s^\top = W_{hh}^\top D_s$.
# From $h_t$ to $h_k$ there are $t - k$ such products:
#
# $$\frac{\partial L_t}{\partial h_k} = J_{k+1}^\top J_{k+2}^\top \cdots J_t^\top \, g_t$$
#
# *From the state to the matrix.* Through the tanh of step $k$ the gradient is multiplied by $D_k$.
# Then element $i$ of $a_k$ is $\sum_j W^{(k)}_{ij}\, h_{k-1,j}$ and more that does not depend on
# $W^{(k)}$. So the derivative for $W^{(k)}_{ij}$ is the gradient of $a_{k,i}$ times $h_{k-1,j}$.
# For all $i$ and $j$ at once, this is a column times a row:
#
# $$\frac{\partial L_t}{\partial W^{(k)}} = \delta_{t,k}\, h_{k-1}^\top \qquad
# \delta_{t,k} = D_k\, J_{k+1}^\top \cdots J_t^\top\, g_t$$
#
# $\delta_{t,k}$ ("delta") is the gradient of $L_t$ for $a_k$, a vector of $H$ numbers.
#
# **Together:**
#
# $$\boxed{\frac{dL}{dW_{hh}} = \sum_{t=1}^{T} \sum_{k=1}^{t}
# \Big(D_k\, J_{k+1}^\top \cdots J_t^\top\, g_t\Big)\, h_{k-1}^\top}$$
#
# **Fourth: how it is computed.** Nobody walks along all $T (T+1) / 2$ paths. All paths that come
# through step $k$ go the same way from there on. So we add them up first, and go on with the sum
# $\delta_k = \sum_{t \ge k} \delta_{t,k}$. It comes from the step after it:
#
# $$\delta_k = D_k \big(g_k + W_{hh}^\top\, \delta_{k+1}\big) \qquad \delta_{T+1} = 0 \qquad
# \frac{dL}{dW_{hh}} = \sum_{k=1}^{T} \delta_k\, h_{k-1}^\top$$
#
# One walk from the last step to the first, with one product each: this is what `backward()` does.
# The other weights go the same way. For $W_{xh}$ the row is $x_k^\top$ instead of $h_{k-1}^\top$,
# and for $b_h$ it is 1.
#
# ## Run it: "hello"
#
# A small model of "hello" with random weights, and one walk back by minigrad:

# %%
import numpy as np

import minigrad as mg
from minigrad import nn, viz
from minigrad.data import Vocabulary


class CharRNN(nn.Module):
    """Ids of letters in; at each time step the logits of the next letter out."""

    def __init__(self, vocab_size, hidden_size, rng):
        options = {"rng": rng, "dtype": "float64"}
        self.embedding = nn.Embedding(vocab_size, hidden_size, **options)
        self.rnn = nn.RNN(hidden_size, hidden_size, **options)
        self.output = nn.Linear(hidden_size, vocab_size, **options)

    def forward(self, w, state=None):
        h, state = self.rnn(self.embedding(w), state)
        return self.output(h), state


word = "hello"
vocabulary = Vocabulary(dict.fromkeys(word))
w = vocabulary.encode(word)
inputs, targets = w[:-1], w[1:]
T = len(inputs)
model = CharRNN(len(vocabulary), 6, np.random.default_rng(0))

y, _ = model(inputs)
mg.cross_entropy(y, targets, reduction="sum").backward()  # L, the sum of the L_t
by_minigrad = model.rnn.weight_hh_l0.grad.numpy()

# %% [markdown]
# Now the sum over all pairs, in NumPy alone. Each line is a formula from above:

# %%
with mg.no_grad():
    h, _ = model.rnn(model.embedding(inputs))
    p = mg.softmax(model.output(h)).numpy()
h = np.concatenate([np.zeros((1, 6)), h.numpy()])  # h[0] is the first state, all zeros
W_hh, W_hy = model.rnn.weight_hh_l0.numpy(), model.output.weight.numpy()
D = [np.diag(1 - h_s**2) for h_s in h]
J = [D_s @ W_hh for D_s in D]

terms = np.zeros((T + 1, T + 1, 6, 6))  # [t, k]: a matrix of the shape of W_hh
for t in range(1, T + 1):
    gradient = W_hy.T @ (p[t - 1] - np.eye(len(vocabulary))[targets[t - 1]])  # g_t
    for k in range(t, 0, -1):
        terms[t, k] = np.outer(D[k] @ gradient, h[k - 1])  # a column times a row
        gradient = J[k].T @ gradient  # one step back, from h_k to h_{k-1}
by_pairs = terms.sum(axis=(0, 1))

print("the size of each term: row t is the loss, column k is the use of W_hh")
print(np.round(np.linalg.norm(terms, axis=(2, 3))[1:, 1:], 4))

# %% [markdown]
# Row 4 has all four paths of the last loss. Column 1 is zero, as $h_0$ is zero: what is multiplied
# by zero has no gradient. And to the left the terms get smaller. That is the subject of
# [page 5](05_vanishing_exploding.py).
#
# minigrad's gradient must be the sum of these ten matrices. And the single walk of the fourth part
# must give the same:

# %%
assert np.allclose(by_pairs, by_minigrad, rtol=0, atol=1e-14), "this is not the gradient"

delta, by_one_walk = np.zeros(6), np.zeros((6, 6))
for k in range(T, 0, -1):
    g_k = W_hy.T @ (p[k - 1] - np.eye(len(vocabulary))[targets[k - 1]])
    delta = D[k] @ (g_k + W_hh.T @ delta)
    by_one_walk += np.outer(delta, h[k - 1])
assert np.allclose(by_one_walk, by_minigrad, rtol=0, atol=1e-14), "one walk gives another sum"

# %% [markdown]
# The same triangle by `viz.gradient_through_time`, which measures any recurrent model. In the
# colours stands $|\partial L_t / \partial h_k|$: how much the loss of step $t$ depends on the state
# of step $k$.

# %%
seen = viz.gradient_through_time(model, w, labels=word)
seen

# %% [markdown]
# **The number of this page:** `|sum of 10 pairs| = 0.9561, |minigrad's gradient| = 0.9561`

# %%
sizes = [np.linalg.norm(gradient) for gradient in (by_pairs, by_minigrad)]
pairs = T * (T + 1) // 2
print(f"|sum of {pairs} pairs| = {sizes[0]:.4f}, |minigrad's gradient| = {sizes[1]:.4f}")

# %% [markdown]
# ## Change it
#
# - `word = "hello"` → `word = "ybigta"`: five steps, and 15 pairs. It ends in
#   `|sum of 15 pairs| = 0.7189, |minigrad's gradient| = 0.7189`.
# - `for k in range(t, 0, -1):` → `for k in range(t, t - 1, -1):`: only the pairs with $k = t$, as
#   if each step knew nothing of how its old state was made. The sum is wrong. It ends in
#   `AssertionError: this is not the gradient`.
#
# ## Read on
#
# - In the code: `minigrad/autograd/tape.py` has the walk back. The layer does all its time steps in
#   one op: its walk is in `minigrad/nn/recurrent/fused.py`. `examples/bptt_paths.py` makes the
#   picture.
# - Build it yourself: [backward by hand](../steps/03_backward_by_hand.py), and [the gradient on its
#   way back](../steps/11_bptt.py).
# - P. J. Werbos (1990), Backpropagation through time: what it does and how to do it.
