"""What tutorials of PyTorch write, as they write it: blocks of a few lines, parted by blank lines.

``torch`` is minigrad here, or PyTorch itself, where all of them run.
"""

import math

import numpy as np

import minigrad as mg

SNIPPETS = """
x = torch.tensor([[1, 2], [3, 4]])
assert x.shape == (2, 2)

x = torch.from_numpy(np.array([1.0, 2.0]))
assert x.dtype == torch.float64

x = torch.ones_like(torch.tensor([1.0, 2.0]))
y = torch.rand_like(x)

x = torch.rand(2, 3)
y = torch.ones(2, 3)
z = torch.zeros(2, 3)
assert x.shape == y.shape == z.shape

x = torch.zeros((2, 3))
y = torch.full((2, 3), 7.0)
z = torch.eye(3)

x = torch.zeros(5, 3, dtype=torch.float64)

x = torch.zeros(3, dtype=torch.long)

x = torch.ones(4, 4)
print(x[0], x[:, 0], x[..., -1])
x[:, 1] = 0

x = torch.ones(2, 2)
y = torch.cat([x, x, x], dim=1)

x = torch.ones(2, 2)
y = torch.cat([x, x], 0)

x = torch.ones(2, 2)
y = x.matmul(x.T)
z = torch.matmul(x, x)

x = torch.ones(2, 2)
y = x.mul(x)

x = torch.ones(2, 2)
y = x.mm(x)

a = torch.ones(3, 2, 4)
b = torch.ones(3, 4, 5)
c = torch.bmm(a, b)

x = torch.ones(2, 2)
total = x.sum().item()
assert total == 4

x = torch.ones(5)
x.add_(1)

x = torch.ones(5)
n = x.numpy()
assert n.sum() == 5

x = torch.ones(5, 2)
print(x.dim(), x.numel(), x.nelement())

x = torch.arange(10)
assert x.dtype == torch.int64 and x[3] == 3

x = torch.arange(0, 1, 0.25)
y = torch.linspace(0, 1, 5)
assert x.dtype == y.dtype == torch.float32

x = torch.arange(6).view(2, 3)
y = x.view(-1)
assert y.shape == (6,)

x = torch.arange(6).reshape(2, 3).permute(1, 0)
assert x.shape == (3, 2)

x = torch.ones(3).unsqueeze(0)
y = x.squeeze(0)
z = torch.unsqueeze(y, 1)

x = torch.ones(2, 3).transpose(0, 1).contiguous().view(-1)

x = torch.ones(1, 3).expand(2, 3)

x = torch.randn(3, requires_grad=True)
y = x.clone()
z = x.detach().clone()

device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.ones(2).to(device)

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x = torch.ones(2, device=device)

x = torch.ones(2).cpu().detach().numpy()

x = torch.tensor([1, 2, 3]).float()
y = x.long()
z = x.double()
w = x.int()
b = (x > 1).float()

x = torch.tensor([1.0, 2.0]).type(torch.float64)

x = torch.ones(2).to(torch.float64)

a = torch.tensor([2., 3.], requires_grad=True)
b = torch.tensor([6., 4.], requires_grad=True)
Q = 3*a**3 - b**2
Q.backward(gradient=torch.tensor([1., 1.]))
assert (9*a**2 == a.grad).all() and (-2*b == b.grad).all()

x = torch.ones(2, requires_grad=True)
y = x + 2
print(y.grad_fn)

x = torch.ones(2, requires_grad=True)
y = (x * 2).detach()
assert y.requires_grad == False

inp = torch.eye(4, 5, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
inp.grad.zero_()
out.backward(torch.ones_like(out))

x = torch.tensor(3.0, requires_grad=True)
(g,) = torch.autograd.grad(x ** 2, x, create_graph=True)

J = torch.autograd.functional.jacobian(lambda x: x ** 2, torch.ones(3))

x = torch.ones(3, requires_grad=True)
x.register_hook(lambda g: print(g))
x.sum().backward()

with torch.set_grad_enabled(False):
    y = torch.ones(2) * 2

with torch.inference_mode():
    y = torch.ones(2) * 2

torch.manual_seed(0)
x = torch.randint(0, 10, (3,))
y = torch.randint(10, (3, 2))
p = torch.randperm(5)

x = torch.rand(4, 10)
predicted = torch.argmax(x, dim=1)

x = torch.rand(4, 10)
predicted = x.argmax(1)
correct = (predicted == torch.zeros(4)).type(torch.float).sum().item()

x = torch.rand(4, 10)
y = torch.zeros(4, dtype=torch.int64)
accuracy = (x.argmax(1) == y).float().mean()

topv, topi = torch.rand(1, 10).topk(1)
i = topi[0].item()

v, i = torch.topk(torch.tensor([1.0, 3.0, 2.0]), 2)
assert v.tolist() == [3, 2]

i = torch.argsort(torch.tensor([3.0, 1.0, 2.0]))
assert i.tolist() == [1, 2, 0]

x = torch.tensor([1.0, float("nan")])
assert torch.isnan(x).any() and not torch.isfinite(x).all()

assert torch.allclose(torch.ones(3), torch.ones(3)) and torch.equal(torch.ones(2), torch.ones(2))

m = torch.logical_and(torch.tensor([True, False]), torch.tensor([True, True]))
assert m.any()

x = torch.cumsum(torch.ones(3), dim=0)
y = torch.cumprod(torch.ones(3), dim=0)

x = torch.ones(2, 3).sum(dim=1, keepdim=True)

x = torch.ones(2, 3).mean(1)
y = x.std()
z = x.var()

x = torch.where(torch.ones(3) > 0, torch.zeros(3), torch.ones(3))
y = x.masked_fill(x == 0, -1e9)

mask = torch.tril(torch.ones(3, 3))
scores = torch.zeros(3, 3).masked_fill(mask == 0, float("-inf"))

p = torch.softmax(torch.ones(2, 3), dim=-1)
q = torch.ones(2, 3).softmax(-1)

x = torch.clamp(torch.randn(3), min=0)
y = torch.randn(3).clamp(0, 1)

x = torch.floor(torch.tensor([1.5]))
y = torch.ceil(torch.tensor([1.5]))
z = torch.round(torch.tensor([1.7]))

x = torch.exp(torch.zeros(2)).log()
y = torch.log2(torch.ones(2))
z = torch.sqrt(x + 1)
w = torch.abs(-z)

g = torch.gather(torch.ones(2, 3), 1, torch.zeros(2, 1, dtype=torch.int64))

x = torch.index_select(torch.ones(3, 2), 0, torch.tensor([0, 2], dtype=torch.int64))

parts = torch.chunk(torch.ones(4, 2), 2)
rows = torch.unbind(torch.ones(4, 2))
s = torch.stack(rows)

x = torch.empty(3, 2)
y = torch.Tensor([1.0, 2.0])

a, b = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")

x = torch.multinomial(torch.tensor([0.5, 0.5]), 1)

x = F.one_hot(torch.tensor([0, 2], dtype=torch.int64), num_classes=3)

x = F.relu(torch.ones(2))
y = F.softmax(torch.ones(2), dim=0)

x = torch.outer(torch.ones(2), torch.ones(3))
y = torch.dot(torch.ones(2), torch.ones(2))
n = torch.norm(x)

x = torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(3, 2))
y = torch.flatten(torch.ones(2, 2))
u = torch.unique(y)

x = torch.maximum(torch.ones(2), torch.zeros(2))
y = torch.add(x, 1)
z = torch.pow(x, 2)
w = torch.neg(x)
v = torch.sub(x, 1)

lstm = nn.LSTM(10, 20, 2)
output, (hn, cn) = lstm(torch.randn(5, 3, 10), (torch.randn(2, 3, 20), torch.randn(2, 3, 20)))
assert output.shape == (5, 3, 20)

embeds = nn.Embedding(2, 5)
lookup = torch.tensor([1], dtype=torch.long)
e = embeds(lookup).view((1, -1))

def prepare_sequence(seq, to_ix):
    return torch.tensor([to_ix[w] for w in seq], dtype=torch.long)
ids = prepare_sequence(["a", "b"], {"a": 0, "b": 1})

tensor = torch.zeros(3, 1, 5)
for li, i in enumerate([0, 2, 4]):
    tensor[li][0][i] = 1
assert tensor.sum() == 3

optimizer = optim.LBFGS([torch.ones(2, requires_grad=True)])

optimizer = torch.optim.Adam([torch.ones(2, requires_grad=True)], lr=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)

net = nn.Linear(2, 2)
print(net.weight.data.shape, net.bias.grad)
nn.init.xavier_uniform_(net.weight)

x = torch.LongTensor([1, 2])
y = torch.FloatTensor([1.0])

batch = torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2)

x = torch.ones(2, 2)
x.fill_(3)
assert torch.is_tensor(x)

x = torch.ones(2)
y = torch.as_tensor([1.0])
z = torch.hstack([x, y])
w = torch.vstack([x, x])

x = torch.ones(2, 2)
print(x.is_cuda, x.device, x.dtype, x.requires_grad, x.is_leaf)

x = torch.ones(2, 3)
y = x.new_zeros(2, 3)
z = x.view_as(y)
w = x.type_as(y)

x = torch.ones(2, 3)
loss = ((x - 1) ** 2).mean()
print(loss.data, float(loss))

x = torch.linspace(-math.pi, math.pi, 20)
y = torch.sin(x)
a = torch.randn((), requires_grad=True)
b = torch.randn((), requires_grad=True)
for t in range(3):
    loss = (a + b * x - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        a -= 1e-3 * a.grad
        b -= 1e-3 * b.grad
        a.grad = None
        b.grad = None

w = torch.ones(2, requires_grad=True)
loss = (w * 3).sum()
loss.backward()
with torch.no_grad():
    w -= 0.1 * w.grad
    w.grad.zero_()

x = torch.ones(5)
y = torch.zeros(3)
w = torch.randn(5, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
loss.backward()

class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.stack = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    def forward(self, x):
        return self.stack(self.flatten(x))
model = NeuralNetwork().to("cpu")
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
X, y = torch.rand(3, 2, 2), torch.zeros(3, dtype=torch.int64)
for epoch in range(2):
    loss = loss_fn(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(RNN, self).__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)
    def forward(self, input, hidden):
        hidden = torch.tanh(self.i2h(torch.cat((input, hidden), 1)))
        return self.softmax(self.h2o(hidden)), hidden
    def initHidden(self):
        return torch.zeros(1, self.hidden_size)
rnn = RNN(3, 4, 2)
output, hidden = rnn(torch.zeros(1, 3), rnn.initHidden())

m = nn.MultiheadAttention(4, 2)

c = nn.Conv2d(1, 6, 5)

nn.utils.clip_grad_norm_(nn.Linear(2, 2).parameters(), 1.0)
""".strip().split("\n\n")

# What means something else here, or is of NumPy, so that nobody can be told: see docs/pytorch.md.
OTHERWISE = """
x = torch.ones(2, 3).t()
y = torch.ones(2, 3).transpose(0, 1)
assert x.shape == y.shape

x = torch.ones(2).repeat(4, 2)

x = torch.rand(4, 10)
_, predicted = torch.max(x, 1)

values, indices = torch.sort(torch.tensor([3.0, 1.0, 2.0]))

net = nn.Linear(2, 2)
for f in net.parameters():
    f.data.sub_(f.data * 0.1)

x = torch.ones(5)
print(x.size(0), x.size())
""".strip().split("\n\n")


def run(snippet, torch=mg):
    """Run a block, with minigrad or PyTorch under the names of PyTorch."""
    names = {"torch": torch, "nn": torch.nn, "optim": torch.optim, "np": np, "math": math}
    names["F"] = torch if torch is mg else torch.nn.functional
    exec(snippet, names)
