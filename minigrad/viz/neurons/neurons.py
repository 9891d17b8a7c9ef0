"""What the units of a recurrent network look at, and what the network expects.

::

    seen = viz.watch_neurons(model, text, tokenizer)
    print(seen)                     # the unit that follows each feature best
    seen.save("neurons.html")       # the text coloured by any unit, and by the surprise

The idea is Karpathy, Johnson and Li's, "Visualizing and understanding recurrent networks" (2015):
they found units that are on inside quotes, or that count the characters of a line, by looking.
Here the looking is sorted by figures, and a figure is quoted on text that did not choose the unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minigrad.data import Tokenizer
from minigrad.nn import Module
from minigrad.viz.extra import extra
from minigrad.viz.neurons.measured import Measured
from minigrad.viz.neurons.neurons_page import view
from minigrad.viz.neurons.running import read
from minigrad.viz.page import View
from minigrad.viz.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def watch_neurons(
    model: Module,
    text: str,
    tokenizer: Tokenizer,
    *,
    features: Mapping[str, Any] | None = None,
    window: int = 256,
) -> Neurons:
    """Lets a model read a text, and shows what its units follow and what it expects.

    The model is in eval mode meanwhile, nothing is recorded, and afterwards it is as before.

    Parameters
    ----------
    model
        gives the logits of each next token: ``logits, state = model(ids, state)``, or
        ``logits = model(ids)``. The ids have the shape (T, 1), or (1, T) if a layer in it has
        `batch_first`. The states that are seen are those of each layer of nn.RNN, LSTM, GRU and
        Recurrent in it, and of nn.RNNCell, LSTMCell and GRUCell, which it calls in a loop of its
        own. A model with none of these runs one token at a time, and the state that it returns is
        taken. Of a bidirectional layer, only the output is seen.
    text
        a few thousand tokens; better of a text that it was not trained on.
    tokenizer
        makes tokens of the text.
    features
        features of your own, beside those of the text: see `Neurons`.
    window
        how many tokens the model runs over at once. The state is carried on to the next window.

    Raises
    ------
    TypeError, ValueError
        if the model is none of these, the text has less than four tokens, or activations are NaN
        or infinite.

    Examples
    --------
    >>> import minigrad as mg
    >>> from minigrad import data, nn, viz
    >>> class Model(nn.Module):
    ...     def __init__(self, vocab_size):
    ...         self.embedding = nn.Embedding(vocab_size, 8)
    ...         self.recurrent = nn.LSTM(8, 16)
    ...         self.output = nn.Linear(16, vocab_size)
    ...
    ...     def forward(self, ids, state=None):
    ...         h, state = self.recurrent(self.embedding(ids), state)
    ...         return self.output(h), state
    >>> text = 'He said "no". '
    >>> vocabulary = data.Vocabulary.from_text(text)
    >>> seen = viz.watch_neurons(Model(len(vocabulary)), text * 20, vocabulary)
    >>> list(seen.activations)
    ['layer 1 h', 'layer 1 c']
    >>> seen.activations["layer 1 h"].shape
    (280, 16)
    """
    reading = read(model, text, tokenizer, window)
    return Neurons(
        reading.tokens, reading.activations, predictions=reading.predictions, features=features
    )


class Neurons(Measured, Shown):
    """The units of a network over a text, how well each follows something, and what is expected.

    `watch_neurons` makes one from a model. Made by hand, it shows whatever you have computed.

    Parameters
    ----------
    tokens
        the T tokens of the text as strings, at least four; together they are the text.
    activations
        of H units after each token, shape (T, H); or several such arrays by name, such as
        ``{"layer 1 h": h, "layer 1 c": c}``.
    predictions
        what the network expects after each token, from `minigrad.viz.predictions`.
    features
        by name, what else may be followed: T values, bool for a yes or no, or numbers.

    Attributes
    ----------
    tokens, predictions
        as given.
    activations : dict of arrays
        by name, of shape (T, H).
    units : list of str
        the name of each unit: "layer 1 h 17" is column 17 of ``activations["layer 1 h"]``.
    constant : list of str
        the units that never change in a half of the text. They have no correlation.
    features : dict of Feature
        those of `minigrad.viz.neurons.features` that change in both halves, and your own.
    left_out : dict of str
        why the others are left out.
    scores : dict of Scores
        by feature, how well each of `units` follows it.
    best : list of Follower
        for each feature the unit that follows it best. First come the features that take memory,
        then those of the last character alone; of each kind, the one that is followed best.

    Raises
    ------
    TypeError, ValueError
        for fewer than four tokens, shapes that do not fit, values that are NaN or infinite, or a
        feature of your own that has the name of another.
    """

    title = "What the neurons look at"

    def figure(self) -> Figure:
        """Some lines of the text for each of the best followers, coloured by the unit."""
        with extra():
            from minigrad.viz.neurons.coloured_text import picture
        return picture(self)

    def views(self) -> list[View]:
        """The page to go through the units."""
        return [view(self)]
