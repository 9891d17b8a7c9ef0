"""Training recurrent language models, unrolled and fused, against PyTorch's cells and layers.

    python benchmarks/recurrent.py

One training step: embedding, one recurrent layer, linear, cross-entropy, backward, clipping to norm
0.25, SGD. Unrolled, the cell runs step by step (in PyTorch: `nn.RNNCell`, `nn.LSTMCell` in a loop);
fused, the layer is one op (in PyTorch: `nn.RNN`, `nn.LSTM`). One thread, float32, the same sizes
and tokens in both; CPU seconds.
"""

from __future__ import annotations

from turns import left_out, ratio, take_turns  # isort: skip (sets the threads before NumPy loads)

import numpy as np

import minigrad as mg

SIZES = {
    "character RNN, V=65 D=64 H=128 T=25 N=1": ("RNN", 65, 64, 128, 25, 1),
    "character RNN, V=65 D=64 H=256 T=64 N=32": ("RNN", 65, 64, 256, 64, 32),
    "character LSTM, V=65 D=64 H=128 T=64 N=32": ("LSTM", 65, 64, 128, 64, 32),
    "word LSTM, V=10,000 D=100 H=100 T=35 N=20": ("LSTM", 10_000, 100, 100, 35, 20),
}


def tokens(V, T, N):
    """Inputs and targets, by Zipf's law."""
    rng = np.random.default_rng(0)
    p = 1 / np.arange(1, V + 1)
    stream = rng.choice(V, (T + 1, N), p=p / p.sum())
    return stream[:-1], stream[1:]


def minigrad_step(unroll, kind, V, D, H, T, N):
    """A function that does one training step in minigrad."""
    nn = mg.nn
    embed, rnn, out = nn.Embedding(V, D), getattr(nn, kind)(D, H, unroll=unroll), nn.Linear(H, V)
    parameters = [p for layer in (embed, rnn, out) for p in layer.parameters()]
    optimizer = mg.optim.SGD(parameters, lr=0.1)
    x, y = tokens(V, T, N)

    def step():
        output, _ = rnn(embed(x))
        loss = mg.cross_entropy(out(output).reshape(T * N, V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm_(parameters, 0.25)
        optimizer.step()
        return loss.item()

    return step


def torch_step(unroll, kind, V, D, H, T, N):
    """The same in PyTorch."""
    import torch
    from torch import nn

    embed, out = nn.Embedding(V, D), nn.Linear(H, V)
    rnn = getattr(nn, kind + "Cell" if unroll else kind)(D, H)
    parameters = [p for layer in (embed, rnn, out) for p in layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    x, y = (torch.from_numpy(np.ascontiguousarray(ids)) for ids in tokens(V, T, N))

    def step():
        if unroll:
            state, outputs = None, []
            for x_t in embed(x).unbind(0):
                state = rnn(x_t, state)
                outputs.append(state[0] if kind == "LSTM" else state)
            output = torch.stack(outputs)
        else:
            output, _ = rnn(embed(x))
        loss = nn.functional.cross_entropy(out(output).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.25)
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    """Print the table."""
    makers = {"minigrad": minigrad_step}
    try:
        import torch

        torch.set_num_threads(1)
        makers["torch"] = torch_step
    except ImportError:
        left_out("torch")
    for unroll in (True, False):
        columns = [f"{name}, tokens/s" for name in makers] + ["minigrad / torch"]
        print(f"\n| {'unrolled' if unroll else 'fused'} | {' | '.join(columns)} |")
        print("| --- " * (len(columns) + 1) + "|")
        for what, sizes in SIZES.items():
            steps = {name: make(unroll, *sizes) for name, make in makers.items()}
            turns = take_turns(steps, rounds=11, seconds=0.4)
            speeds = [f"{sizes[4] * sizes[5] / min(turns[name]):,.0f}" for name in makers]
            times = f"{ratio(turns, 'minigrad', 'torch'):.2f}" if "torch" in turns else "-"
            print(f"| {what} | {' | '.join(speeds)} | {times} |", flush=True)


if __name__ == "__main__":
    main()
