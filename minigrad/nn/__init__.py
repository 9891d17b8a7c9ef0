"""Layers, recurrent cells, losses and initialisers, with PyTorch's names, shapes and gate order.

A layer of your own is a class with a ``forward``. The parameters and layers in its attributes are
found there::

    class Highway(nn.Module):
        def __init__(self, features):
            self.transform = nn.Linear(features, features)
            self.gate = nn.Linear(features, features)

        def forward(self, x):
            t = mg.sigmoid(self.gate(x))
            return t * mg.relu(self.transform(x)) + (1 - t) * x

Read `module.py` first, then `layers.py` and `recurrent/`.
"""

from typing import TYPE_CHECKING

from minigrad.errors.layer_words import OF_NN
from minigrad.errors.words import unknown
from minigrad.nn import init
from minigrad.nn.activations import (
    ELU,
    GELU,
    Flatten,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minigrad.nn.attention import AdditiveAttention, MultiplicativeAttention
from minigrad.nn.containers import (
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
)
from minigrad.nn.layers import Dropout, Embedding, LayerNorm, Linear, LockedDropout
from minigrad.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.nn.recurrent.cells import GRUCell, LSTMCell, RNNCell
from minigrad.nn.recurrent.layer_norm_lstm import LayerNormLSTM
from minigrad.nn.recurrent.layers import GRU, LSTM, RNN
from minigrad.nn.recurrent.own_cell import Recurrent

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "LayerNorm",
    "LayerNormLSTM",
    "LeakyReLU",
    "Linear",
    "LockedDropout",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiplicativeAttention",
    "NLLLoss",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RNNCell",
    "ReLU",
    "Recurrent",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "init",
]

if not TYPE_CHECKING:  # or a misspelt name would be none to a type checker

    def __getattr__(name: str) -> object:
        raise unknown("module 'minigrad.nn'", name, OF_NN, __all__)

    def __dir__() -> list[str]:
        return sorted(__all__)
