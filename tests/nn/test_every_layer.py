"""What holds for every layer, found by introspection: no layer without a case."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing import check_layer
from minigrad.testing.gradients import flatten

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3))  # no number of it is near an edge of a ReLU
SEQUENCE = RNG.normal(size=(4, 2, 3))
IDS = np.array([[0, 3, 1], [3, 3, 2]])
CLASSES, SHARES = np.array([2, 0]), RNG.random((2, 3))


class Cell(nn.Module):
    """Of one's own: a leaky sum."""

    def __init__(self, input_size, hidden_size):
        self.inside = nn.Linear(input_size, hidden_size)

    def forward(self, x, state):
        state = 0.5 * state + mg.tanh(self.inside(x))
        return state, state


class Holding(nn.Module):
    """A container, which computes nothing by itself, at work."""

    def __init__(self, held):
        self.held = held

    def forward(self, x):
        held = self.held.values() if hasattr(self.held, "values") else self.held
        for item in held:
            x = item(x) if callable(item) else x * item
        return x


ROW = [1.0, 0.5, 2.0]
KEYS = RNG.normal(size=(5, 2, 3))
CASES = {
    "AdditiveAttention": (lambda: nn.AdditiveAttention(3, 3, 2), SEQUENCE, KEYS, None, (5, 3)),
    "BCEWithLogitsLoss": (lambda: nn.BCEWithLogitsLoss(ROW, "sum", ROW), X, SHARES),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(ROW, label_smoothing=0.1), X, CLASSES),
    "Dropout": (lambda: nn.Dropout(0.4), X),
    "ELU": (lambda: nn.ELU(0.7), X),
    "Embedding": (lambda: nn.Embedding(4, 2, dropout=0.3), IDS),
    "Flatten": (lambda: nn.Flatten(1, 2), RNG.normal(size=(2, 3, 2, 1))),
    "GELU": (lambda: nn.GELU("tanh"), X),
    "GRU": (lambda: nn.GRU(3, 2, 2, dropout=0.3), SEQUENCE[:2], None, (2, 1)),
    "GRUCell": (lambda: nn.GRUCell(3, 2), X),
    "Identity": (lambda: nn.Identity(), X),
    "LSTM": (lambda: nn.LSTM(3, 2, bidirectional=True), SEQUENCE[:2], None, (1, 2)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 2), X, (RNG.normal(size=(2, 2)), RNG.normal(size=(2, 2)))),
    "LayerNorm": (lambda: nn.LayerNorm(3), X),
    "LayerNormLSTM": (lambda: nn.LayerNormLSTM(3, 2), SEQUENCE[:2], None, (2, 1)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), X),
    "Linear": (lambda: nn.Linear(3, 2), X),
    "LockedDropout": (lambda: nn.LockedDropout(0.4), SEQUENCE),
    "LogSoftmax": (lambda: nn.LogSoftmax(0), X),
    "MSELoss": (lambda: nn.MSELoss("sum"), X, SHARES),
    "ModuleDict": (lambda: Holding(nn.ModuleDict({"a": nn.Linear(3, 3), "b": mg.tanh})), X),
    "ModuleList": (lambda: Holding(nn.ModuleList([nn.Linear(3, 3), mg.tanh])), X),
    "MultiplicativeAttention": (
        lambda: nn.MultiplicativeAttention(3, 3),
        *(SEQUENCE, KEYS, KEYS[..., :2], None, np.arange(10).reshape(5, 2) > 2),
    ),
    "NLLLoss": (lambda: nn.NLLLoss(ROW), X, CLASSES),
    "ParameterDict": (lambda: Holding(nn.ParameterDict({"a": ROW, "b": ROW})), X),
    "ParameterList": (lambda: Holding(nn.ParameterList([ROW, ROW])), X),
    "RNN": (lambda: nn.RNN(3, 2, batch_first=True), SEQUENCE, RNG.normal(size=(1, 4, 2))),
    "RNNCell": (lambda: nn.RNNCell(3, 2), X),
    "ReLU": (lambda: nn.ReLU(), X),
    "Recurrent": (lambda: nn.Recurrent(Cell, 3, 2), SEQUENCE, None, (4, 2)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 2), mg.tanh, nn.Linear(2, 2)), X),
    "SiLU": (lambda: nn.SiLU(), X),
    "Sigmoid": (lambda: nn.Sigmoid(), X),
    "Softmax": (lambda: nn.Softmax(0), X),
    "Softplus": (lambda: nn.Softplus(2.0), X),
    "Tanh": (lambda: nn.Tanh(), X),
}
"""By the name of the layer: what makes one, and what to call it with."""

every_layer = pytest.mark.parametrize("name", CASES)


def public_layers():
    return {
        name
        for name, kind in vars(nn).items()
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind is not nn.Module
    }


def tensors(inputs, dtype):
    """The floats among the inputs as Tensors, also in states."""
    if isinstance(inputs, tuple):
        return tuple(tensors(x, dtype) for x in inputs)
    is_floats = isinstance(inputs, np.ndarray) and inputs.dtype.kind == "f"
    return mg.tensor(inputs, dtype=dtype, requires_grad=True) if is_floats else inputs


def numbers(outputs):
    return [y.numpy() for y in flatten(outputs)]


def test_every_layer_has_a_case():
    assert public_layers() == set(CASES)
    assert public_layers() <= set(nn.__all__)


@every_layer
def test_derivatives_and_manners(name, device):
    make, *inputs = CASES[name]
    order = 2 if device == "cpu" else 1  # there the second derivatives of the ops are checked
    check_layer(make(), *tensors(tuple(inputs), "float64"), order=order)
    if re.search(r"ropout\w*\(p=|dropout=0\.[1-9]", repr(make())):  # another one in evaluation
        check_layer(make().eval(), *tensors(tuple(inputs), "float64"))


@every_layer
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_comes_out_is_a_tensor_of_the_dtype(name, dtype):
    make, *inputs = CASES[name]
    layer = make().to(dtype=dtype)
    outputs = layer(*tensors(tuple(inputs), dtype))
    assert flatten(outputs)
    assert all(type(y) is mg.Tensor and y.dtype == np.dtype(dtype) for y in flatten(outputs))


@every_layer
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_loaded_ones_compute_the_same(name, copied):
    make, *inputs = CASES[name]
    layer, inputs = make().eval(), tensors(tuple(inputs), "float32")
    expected = numbers(layer(*inputs))
    other = make().eval()
    assert other.load_state_dict(layer.state_dict()) == ([], [])
    for one in (copied(layer), other):
        found = numbers(one(*inputs))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert repr(copied(layer)) == repr(layer)
    assert list(layer.state_dict()) == [n for n, _ in layer.named_parameters()]


@pytest.mark.parametrize(
    "name", [name for name in CASES if not name.endswith(("Loss", "List", "Dict", "Attention"))]
)
def test_what_a_recurrent_layer_returns_is_not_taken_for_one_tensor(name):
    """nn.Sequential(embedding, lstm, linear): the tuple meets the next layer."""
    layer = CASES[name][0]()
    for pair in (nn.LSTM(3, 3)(mg.ones((1, 2, 3))), nn.GRU(3, 3)(mg.ones((1, 2, 3)))):
        with pytest.raises(TypeError, match=r"\w+ got a tuple \(output, state\).*output, state = "):
            layer(pair)
    with pytest.raises(TypeError, match=r"got a list of 3 Tensors, not one; mg\.stack"):
        layer([mg.ones(3)] * 3)
    for wrong in (None, "abc", {"x": 1}):
        with pytest.raises(TypeError, match=r"\w+: x must be a Tensor or an array, not a"):
            layer(wrong)


# ------------------------------------------------------------------------- what constructors take

SIZES = {
    "AdditiveAttention": ("query_size", "key_size", "hidden_size"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "GRU": ("input_size", "hidden_size", "num_layers"),
    "GRUCell": ("input_size", "hidden_size"),
    "LSTM": ("input_size", "hidden_size", "num_layers"),
    "LSTMCell": ("input_size", "hidden_size"),
    "LayerNorm": ("normalized_shape",),
    "LayerNormLSTM": ("input_size", "hidden_size", "num_layers"),
    "Linear": ("in_features", "out_features"),
    "MultiplicativeAttention": ("query_size", "key_size"),
    "RNN": ("input_size", "hidden_size", "num_layers"),
    "RNNCell": ("input_size", "hidden_size"),
    "Recurrent": ("input_size", "hidden_size", "num_layers"),
}
FIXED = {"Recurrent": {"cell": Cell}}
KINDS = {
    "whole": ({"axis", "start_axis", "end_axis", "padding_idx", "ignore_index"}, 1, np.int16(1)),
    "real": ({"negative_slope", "alpha", "beta", "eps"}, 0.5, np.float32(0.5)),
    "share": ({"p", "dropout", "weight_dropout", "label_smoothing"}, 0.5, np.float32(0.5)),
    "flag": (
        {
            *("bias", "batch_first", "bidirectional", "elementwise_affine"),
            *("unroll", "one_hot", "sparse"),
        },
        True,
        np.True_,
    ),
    "choice": ({"reduction", "approximate", "nonlinearity", "score"}, None, None),
    "else": (
        {"weight", "pos_weight", "rng", "dtype", "cell"}
        | {"modules", "layers", "parameters", "items", "more"},
        None,
        None,
    ),
}
WRONG = {
    "whole": [1.5, "1", None, True, [1], np.float32(1)],
    "real": ["0.5", None, True, [0.5], np.array([0.5]), 1j],
    "share": [-0.1, 1.5, float("nan"), "0.5", None, True, np.array([0.5])],
    "flag": ["True", None, 0.5, 2, [True]],
    "choice": ["no such", None, 1, True],
}


def arguments(name):
    parameters = inspect.signature(getattr(nn, name)).parameters.values()
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def made(name, **options):
    sizes = dict.fromkeys(SIZES.get(name, ()), 3)
    return getattr(nn, name)(**{**FIXED.get(name, {}), **sizes, **options})


OPTIONS = [
    (name, argument, kind)
    for name in CASES
    for argument in arguments(name)
    for kind, (names, *_) in KINDS.items()
    if argument in names
]


def test_every_argument_of_a_layer_is_looked_at():
    known = set().union(*(names for names, *_ in KINDS.values()))
    for name in CASES:
        assert set(arguments(name)) - set(SIZES.get(name, ())) <= known, name


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, sizes in SIZES.items() for a in sizes]
)
def test_sizes(name, argument):
    plain = made(name, **{argument: 2})
    for size in (np.int64(2), np.uint8(2), np.array(2)):
        layer = made(name, **{argument: size})
        assert repr(layer) == repr(plain)
        value = getattr(layer, argument)
        assert type(value) is int or type(value[0]) is int
        shapes = [p.shape for p in layer.parameters()]
        assert shapes == [p.shape for p in plain.parameters()]
    for size in (0, -1, 1.5, 2.0, "2", True, None, np.float64(2), np.int64(0)):
        with pytest.raises(ValueError, match=rf"{name}: {argument} must be an integer of at least"):
            made(name, **{argument: size})


@pytest.mark.parametrize(
    ("name", "argument", "kind"), [option for option in OPTIONS if option[2] != "else"]
)
def test_options(name, argument, kind):
    _, value, numpys = KINDS[kind]
    if value is not None:
        plain, layer = made(name, **{argument: value}), made(name, **{argument: numpys})
        assert repr(plain) == repr(layer)
        held = vars(layer).get(argument, value)
        if not isinstance(held, mg.Tensor):  # of bias=True
            assert held == value
            assert type(held) is type(value)
    for wrong in WRONG[kind]:
        if wrong is None and argument == "padding_idx":
            continue
        with pytest.raises((TypeError, ValueError), match=rf"{name}: {argument} must be"):
            made(name, **{argument: wrong})


@pytest.mark.parametrize("name", [name for name in CASES if "rng" in arguments(name)])
@pytest.mark.parametrize("rng", [0, True, np.random.RandomState(0)])
def test_a_seed_is_no_generator(name, rng):
    with pytest.raises(TypeError, match=r"rng\b.* numpy.random.Generator or None"):
        made(name, rng=rng)


@pytest.mark.parametrize("name", [name for name in CASES if "dtype" in arguments(name)])
@pytest.mark.parametrize("dtype", ["int64", bool, complex])
def test_parameters_are_floats(name, dtype):
    with pytest.raises(TypeError, match="dtype must be a floating-point one"):
        made(name, dtype=dtype)


@pytest.mark.parametrize("eps", [-1e-5, float("nan")])
def test_numbers_out_of_range(eps):
    with pytest.raises(ValueError, match="LayerNorm: eps must not be negative"):
        nn.LayerNorm(3, eps)
    with pytest.raises(ValueError, match="Softplus: beta must be positive"):
        nn.Softplus(eps)


def test_flatten_wants_the_axes():
    assert nn.Flatten()(mg.ones((2, 0, 3))).shape == (2, 0)
    assert nn.Flatten(0, -1)(mg.ones((2, 3))).shape == (6,)
    for axes, shape in (((1, -1), (2,)), ((2, 1), (2, 3, 4)), ((-4, -1), (2, 3))):
        with pytest.raises(ValueError, match=r"Flatten: x has shape .* no axes from"):
            nn.Flatten(*axes)(mg.ones(shape))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: nn.Softmax(dim=1), "Softmax has no argument dim; write axis="),
        (lambda: nn.Linear(2, 2, device="cpu"), r"Linear has no argument device; write layer\.to"),
        (lambda: nn.ReLU(inplace=True), "ReLU has no argument inplace; leave it out"),
        (lambda: nn.LSTM(2, 2, proj_size=1), "LSTM has no argument proj_size; write a cell"),
        (lambda: nn.MSELoss(size_average=True), "MSELoss has no argument size_average; write red"),
        (lambda: nn.Tanh(1), r"Tanh\(\) takes no arguments"),
        (lambda: nn.Linear(2, 2, no=1), "unexpected keyword argument 'no'"),
    ],
)
def test_arguments_of_pytorchs_are_told(call, word):
    with pytest.raises(TypeError, match=word):
        call()


def test_an_argument_that_a_layer_has_is_its_own():
    class Mine(nn.Module):
        def __init__(self, dim, **options):
            self.dim, self.options = dim, options

    mine = Mine(dim=1, device="here")
    assert (mine.dim, mine.options) == (1, {"device": "here"})
