"""A word-level RNN language model: teacher forcing, free-running, and what the state is for.

**Teacher forcing** is how it learns: at each step the input is the true word, whatever the model
predicted before. **Free-running** is how it is used: its own prediction is the next input, so one
wrong word can spoil the rest. Both start from a zero state and carry h_t from word to word::

    e_t = E[word_t]                E          = embedding.weight
    h_t = tanh(W_xh e_t + b_xh     W_xh, b_xh = rnn.weight_ih_l0, rnn.bias_ih_l0
          + W_hh h_{t-1} + b_hh)   W_hh, b_hh = rnn.weight_hh_l0, rnn.bias_hh_l0
    p_t = softmax(W_hy h_t + b_y)  W_hy, b_y  = decoder.weight, decoder.bias
        = p(word_{t+1} | word_1 ... word_t)

The three Korean sentences contain 말이 ("the horse", or "the words") four times, and each time
another word follows. Without h_{t-1} the best guess is 1/4 for each of the four.
"""

from __future__ import annotations

import math
import signal
import unicodedata
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, arrow, box, canvas, cells, run

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import Vocabulary
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENGLISH = ["what will the fat cat sit on"]
KOREAN = {
    "경마장에 있는 말이 뛰고 있다": "the horse at the racetrack runs",
    "그의 말이 법이다": "his word is law",
    "가는 말이 고와야 오는 말이 곱다": "kind words bring kind words",
}


class RNNLM(nn.Module):
    """Ids of words in; at each time step the logits of the next word out."""

    def __init__(self, sentences: list[str], hidden_size: int = 16, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.vocabulary = Vocabulary.from_text("\n".join(sentences), level="word", unk=None)
        self.embedding = nn.Embedding(len(self.vocabulary), hidden_size, rng=rng)
        self.rnn = nn.RNN(hidden_size, hidden_size, rng=rng)
        self.decoder = nn.Linear(hidden_size, len(self.vocabulary), rng=rng)

    def forward(
        self, ids: np.ndarray, state: mg.Tensor | None = None
    ) -> tuple[mg.Tensor, mg.Tensor]:
        """Logits and the state to go on from; `ids` of shape (T,), or (T, N) for N sentences."""
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state


def train(model: RNNLM, sentences: list[str], steps: int, carry_state: bool = True) -> list[float]:
    """Train with teacher forcing; returns the loss of each step, in nats per word.

    Without `carry_state` each word is a sequence of its own, which starts from a zero state.
    """
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses = []
        for sentence in sentences:
            ids = model.vocabulary.encode(sentence + "\n")  # the line end is <eos>
            if not carry_state:
                ids = ids[None]  # a batch of words, each one step long
            logits, _ = model(ids[..., :-1])
            losses.append(mg.cross_entropy(logits, ids[..., 1:], reduction="sum"))
        loss = sum(losses) / sum(len(sentence.split()) for sentence in sentences)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


def forced(model: RNNLM, sentence: str) -> tuple[list[str], list[float]]:
    """After each word of `sentence` but the last: the likeliest word, and the true one's p."""
    ids = model.vocabulary.encode(sentence)
    with mg.no_grad():
        p = mg.softmax(model(ids[:-1])[0]).numpy()
    words = [model.vocabulary.tokens[id] for id in p.argmax(-1)]
    return words, p[np.arange(len(p)), ids[1:]].tolist()


def free_run(model: RNNLM, start: str, length: int = 10, carry_state: bool = True) -> str:
    """`start`, and what the model says after it, up to <eos> or `length` words in all."""
    words, state = start.split(), None
    ids = model.vocabulary.encode(start)
    with mg.no_grad():
        while len(words) < length:
            logits, state = model(ids, state if carry_state else None)
            ids = logits[-1:].argmax(-1).numpy()
            if ids[0] == model.vocabulary.eos_id:
                break
            words.append(model.vocabulary.tokens[ids[0]])
    return " ".join(words)


def next_word(model: RNNLM, context: str, carry_state: bool = True) -> dict[str, float]:
    """The probability of each next word; without a state only the end of `context` counts."""
    ids = model.vocabulary.encode(context)
    with mg.no_grad():
        logits, _ = model(ids if carry_state else ids[-1:])
        return dict(zip(model.vocabulary, mg.softmax(logits[-1]).tolist(), strict=True))


def contexts(word: str = "말이") -> list[tuple[str, str]]:
    """Each way in which the sentences come to `word`, and the word that follows there."""
    split = [sentence.split() for sentence in KOREAN]
    places = [(words, i + 1) for words in split for i, w in enumerate(words) if w == word]
    return [(" ".join(words[:i]), words[i]) for words, i in places]


def padded(text: str, width: int = 9) -> str:
    """`text`, and spaces up to `width` columns of a terminal; a Korean syllable takes two."""
    return text + " " * (width - sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text))


def show_english() -> None:
    """Print forced and free-running predictions as training goes on."""
    words = ENGLISH[0].split()
    true = words[1:]
    print("Forced: it reads the true words. Free: it reads its own words. (Wrong) words")
    print("are in brackets; p(true) is p_t of the true next word, when forced.\n")
    print(" steps   reads     " + "".join(map(padded, words[:-1])).rstrip())
    print("         true next " + "".join(map(padded, true)).rstrip())
    for steps in (0, 2, 4, 50):
        model = RNNLM(ENGLISH)
        train(model, ENGLISH, steps)
        says, p = forced(model, ENGLISH[0])
        free = free_run(model, "what", len(words)).split()[1:]
        print()
        for name, row in (("forced   ", says), ("free     ", free)):
            marked = [w if w == y else f"({w})" for w, y in zip(row, true, strict=False)]
            print(f"{steps:6d}   {name} " + "".join(map(padded, marked)).rstrip())
        print("         p(true)   " + "".join(f"{value:<9.2f}" for value in p).rstrip())


def show_korean() -> None:
    """Print the completions, and the word after 말이, with and without the carried state."""
    for carry_state in (True, False):
        model = RNNLM([*KOREAN])
        loss = train(model, [*KOREAN], 150, carry_state)[-1]
        title = (
            "p_t = p(next word | all words so far)"
            if carry_state
            else ("p_t = p(next word | this word alone), h_{t-1} = 0")
        )
        print(f"\n{title}\nloss {loss:.3f}; completed from the first word:\n")
        for sentence, english in KOREAN.items():
            said = free_run(model, sentence.split()[0], len(sentence.split()), carry_state)
            verdict = "right" if said == sentence else "wrong"
            print(f"   {padded(said, 34)}{verdict}   {english}")
        print(
            "\n   the next word:                 "
            + "".join(padded(y) for _, y in contexts()).rstrip()
        )
        for context, true in contexts():
            p = next_word(model, context, carry_state)
            cells = [f"[{p[y]:.2f}]" if y == true else f" {p[y]:.2f}" for _, y in contexts()]
            print(f"   {padded(context, 31)}" + "".join(map(padded, cells)).rstrip())
    print("\nWithout a state no model is better: 4 of the 14 next words cost log 4 each.")
    print(f"4 log 4 / 14 = {4 * math.log(4) / 14:.3f} per word.")


def draw_run(axes: Axes, says: list[str], true: list[str], p: list[float] | None, say: Say) -> None:
    """Draw the network over the time steps; without `p` it reads its own words."""
    first, wide = true[0], 1.6
    canvas(axes, wide * len(says) + 0.9, 3.1 if p is None else 3.4)
    h, said = 1.5, 2.6
    axes.text(0.0, 0.4, say("reads", "입력"), color=FAINT, va="center")
    axes.text(0.0, said, say("says", "출력"), color=FAINT, va="center")
    for t, (word, target) in enumerate(zip(says, true[1:], strict=True)):
        x = wide * t + 1.55
        reads = first if t == 0 else true[t] if p else says[t - 1]
        spoilt = reads != true[t]
        box(axes, x, 0.4, f"({reads})" if spoilt else reads, strong=spoilt, width=1.1)
        box(axes, x, h, f"$h_{t + 1}$", fill="#eeeeee", width=0.8)
        wrong = word != target
        box(axes, x, said, f"({word})" if wrong else word, COLOURS[2], strong=wrong, width=1.1)
        arrow(axes, (x, 0.65), (x, h - 0.25))
        arrow(axes, (x, h + 0.25), (x, said - 0.25))
        if t:
            arrow(axes, (x - wide + 0.4, h), (x - 0.4, h))
            if p is None:
                start, end = (x - wide + 0.5, said - 0.25), (x - 0.35, 0.67)
                arrow(axes, start, end, COLOURS[0], curve=-0.1, dashed=True)
        if p:
            axes.text(x, said + 0.45, f"p = {p[t]:.2f}", color=TEXT, ha="center", fontsize=8.5)


def figure(say: Say) -> Figure:
    """Draw the forced and the free run of a half-trained model, and what the state is for."""
    from minigrad.viz.figures import head, new_figure

    model, words = RNNLM(ENGLISH), ENGLISH[0].split()
    train(model, ENGLISH, 2)
    says, p = forced(model, ENGLISH[0])
    free = free_run(model, words[0], len(words)).split()[1:]

    picture = new_figure(9, 8.4, layout="constrained")
    ratios = [3.3, 3.1, 2.4]
    top, middle, bottom = picture.subfigures(3, 1, height_ratios=ratios)
    axes = top.subplots()
    draw_run(axes, says, words, p, say)
    head(axes, say(
        "Teacher forcing, after 2 steps: it reads the true words.  p: of the true next word",
        "교사 강요(teacher forcing), 2번 학습한 뒤: 정답 단어를 읽는다.  p: 다음 정답 단어의 확률",
    ))  # fmt: skip
    axes = middle.subplots()
    draw_run(axes, free, words, None, say)
    head(axes, say(
        "Free running: it reads its own words, so one (wrong) word spoils the next ones",
        "자유 실행(free running): 자기가 말한 단어를 읽는다. (틀린) 단어 하나가 그 뒤를 망친다",
    ))  # fmt: skip
    panels = bottom.subplots(1, 2, sharey=True)
    followers = [word for _, word in contexts()]
    for axes, carry_state in zip(panels, (True, False), strict=True):
        model = RNNLM([*KOREAN])
        train(model, [*KOREAN], 150, carry_state)
        said = [next_word(model, context, carry_state) for context, _ in contexts()]
        values = np.array([[p[word] for word in followers] for p in said])
        marked = [(i, i) for i in range(len(followers))]
        cells(axes, values, followers, [context for context, _ in contexts()], marked=marked)
    head(panels[0], say("p(next word) with the state", "다음 단어의 확률: 은닉 상태가 있을 때"))
    head(
        panels[1], say("without it: h = 0 before each word", "은닉 상태가 없을 때: 단어마다 h = 0")
    )
    return picture


def main() -> None:
    """Print the equations, and what the models for English and Korean say."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    show_english()
    show_korean()


if __name__ == "__main__":
    with program():
        run(main, figure)
