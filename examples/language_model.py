"""A character language model on one screen.

    x_t      = E[w_t]                        E    = embedding.weight
    h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})   W_xh = recurrent.weight_ih_l0
                                             W_hh = recurrent.weight_hh_l0
    y_t      = W_hy h_t + b_y                W_hy = output.weight

w_t is character t of the text; softmax(y_t) says how likely each is to be next.
"""

import sys

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training


class LanguageModel(nn.Module):
    def __init__(self, vocab_size, embedding_size=64, hidden_size=128):
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.recurrent = nn.LSTM(embedding_size, hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, w, state=None):
        x = self.embedding(w)  # x_t = E[w_t]
        h, state = self.recurrent(x, state)  # h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})
        return self.output(h), state  # y_t = W_hy h_t + b_y


text, held_out = data.split(data.load_text(*sys.argv[1:]), (0.9, 0.1))
vocabulary = data.Vocabulary.from_text(text)
mg.manual_seed(0)
model = LanguageModel(len(vocabulary))
optimizer = optim.Adam(model.parameters(), lr=0.01)
print(__doc__)

streams = data.batchify(vocabulary.encode(text), batch_size=32)  # 32 parts, read side by side
for epoch in range(2):
    state = None
    for step, (w, w_next) in enumerate(data.windows(streams, bptt=32)):
        y, state = model(w, training.detach_state(state))  # the gradient ends here
        loss = mg.cross_entropy(y, w_next)  # the mean of -log softmax(y_t)[w_{t+1}]
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"epoch {epoch} step {step:3}  {training.bits(loss):.2f} bits per character")

with training.evaluating(model):
    w = vocabulary.encode(held_out)
    loss = mg.cross_entropy(model(w[:-1])[0], w[1:])
    print(f"held-out text     {training.bits(loss):.2f} bits per character\n")
    w, state, rng = vocabulary.encode(text[:4]), None, np.random.default_rng(0)
    for _ in range(300):  # what it writes is what it reads next
        print(vocabulary.decode(w), end="", flush=True)
        y, state = model(w, state)
        w = rng.choice(len(vocabulary), 1, p=mg.softmax(y[-1] / 0.5).numpy())  # temperature 0.5
    print()
