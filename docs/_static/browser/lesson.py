"""What the pages run in the browser: a cell of Python, or a small language model that learns."""

import ast
import base64
import io
import json
import sys
import time

import numpy as np

NAMES = {"__name__": "__main__"}
"""What the cells of a page have defined."""


def run(code):
    """Run a cell; the repr of its last expression, its HTML, and a figure as a PNG in base64."""
    tree = ast.parse(code, "<cell>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), NAMES)
    value = None
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), NAMES)
    html = value._repr_html_() if hasattr(value, "_repr_html_") else None
    shown = None if value is None or html is not None else repr(value)
    return [shown, html, _figure()]


def _figure():
    """The figure that the cell has drawn with pyplot; None: none."""
    if "matplotlib.pyplot" not in sys.modules:
        return None
    plt = sys.modules["matplotlib.pyplot"]
    if not plt.get_fignums():
        return None
    picture = io.BytesIO()
    plt.gcf().savefig(picture, format="png", dpi=110, bbox_inches="tight")
    plt.close("all")
    return base64.b64encode(picture.getvalue()).decode()


class Lesson:
    """A language model of characters that learns a text: an embedding, an LSTM, a linear layer.

    Parameters
    ----------
    text
        what it learns; at least `SHORTEST` characters.
    units
        the hidden units.
    rate
        the learning rate of Adam.
    """

    SHORTEST = 40
    BATCH, STEPS = 8, 25  # parts of the text side by side, and characters of each in a step

    def __init__(self, text, units, rate):
        import minigrad as mg
        from minigrad import data, nn, optim

        if len(text.strip()) < self.SHORTEST:
            raise ValueError(
                f"the text has {len(text.strip())} characters; {self.SHORTEST} or more are needed"
            )
        mg.manual_seed(0)
        self.mg, self.text = mg, text
        self.vocabulary = data.Vocabulary.from_text(text)
        ids = self.vocabulary.encode(text)
        batch = max(1, min(self.BATCH, len(ids) // (2 * self.STEPS)))
        self.windows = list(data.windows(data.batchify(ids, batch), self.STEPS))
        V = len(self.vocabulary)
        self.embedding, self.lstm = nn.Embedding(V, 24), nn.LSTM(24, units)
        self.output = nn.Linear(units, V)
        layers = (self.embedding, self.lstm, self.output)
        self.parameters = [each for layer in layers for each in layer.parameters()]
        self.optimizer = optim.Adam(self.parameters, lr=rate)
        self.step, self.tokens, self.seconds, self.state = 0, 0, 0.0, None

    def loss(self, w, w_next, state):
        """The mean loss of a window in nats, and the state at its end."""
        h, state = self.lstm(self.embedding(w), state)
        return self.mg.cross_entropy(self.output(h), w_next), state

    def go_on(self, seconds):
        """Learn for so long; what has come of it, as JSON."""
        from minigrad import optim, training

        began, losses = time.perf_counter(), []
        while time.perf_counter() - began < seconds:
            at = self.step % len(self.windows)
            before = None if at == 0 else training.detach_state(self.state)
            loss, self.state = self.loss(*self.windows[at], before)
            self.optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_(self.parameters, max_norm=1.0)
            self.optimizer.step()
            self.step += 1
            self.tokens += self.windows[at][0].size
            losses.append(training.bits(loss))
        self.seconds += time.perf_counter() - began
        return json.dumps(
            {
                "step": self.step,
                "bits": float(np.mean(losses)),
                "tokensPerSecond": round(self.tokens / self.seconds),
                "vocabulary": len(self.vocabulary),
                "sample": self.sample(160),
            }
        )

    def sample(self, length):
        """What the model writes now, from the first character of the text on."""
        mg, rng = self.mg, np.random.default_rng(self.step)
        ids, state = self.vocabulary.encode(self.text[:1]).tolist(), None
        unknown = self.vocabulary.unk_id
        with mg.no_grad():
            for _ in range(length):
                h, state = self.lstm(self.embedding(np.array([[ids[-1]]])), state)
                p = mg.softmax(self.output(h[0, 0]) / 0.7, -1).numpy().astype(float)
                if unknown is not None:
                    p[unknown] = 0.0  # what the text does not have
                ids.append(int(rng.choice(len(p), p=p / p.sum())))
        return self.vocabulary.decode(ids)

    def tape(self):
        """A page with the tape of one step, at the first characters of the text."""
        w, w_next = self.windows[0]
        with self.mg.viz.watch():
            loss, _ = self.loss(w[:6, :1], w_next[:6, :1], None)
            loss.backward()
        return self.mg.viz.explore(loss).page().html()
