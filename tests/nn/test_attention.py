"""Attention against loops written by hand, and masks that select.

What a mask hides is NaN and infinity throughout, so that any use of it shows.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn.attention import masked_softmax
from minigrad.testing import check_gradients, check_layer

KINDS = {
    "additive": lambda **options: nn.AdditiveAttention(3, 3, 2, **options),
    "without bias": lambda **options: nn.AdditiveAttention(3, 3, 2, bias=False, **options),
    "general": lambda **options: nn.MultiplicativeAttention(3, 3, **options),
    "dot": lambda **options: nn.MultiplicativeAttention(3, 3, "dot", **options),
    "scaled_dot": lambda **options: nn.MultiplicativeAttention(3, 3, "scaled_dot", **options),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def layer_of(kind, rng=None, **options):
    layer = KINDS[kind](rng=rng, dtype="float64", **options)
    if kind == "additive":
        layer.bias.data = np.array([0.5, -0.3])  # 0 at first, which would hide a mistake
    return layer


def score(layer, q, k):
    """As the papers write it, for one query and one key."""
    if isinstance(layer, nn.AdditiveAttention):
        b = 0 if layer.bias is None else layer.bias.numpy()
        return layer.v.numpy() @ np.tanh(
            layer.weight_q.numpy() @ q + layer.weight_k.numpy() @ k + b
        )
    if layer.score == "general":
        return q @ layer.weight.numpy() @ k
    return q @ k / (math.sqrt(len(k)) if layer.score == "scaled_dot" else 1)


def by_hand(layer, query, keys, values, seen):
    """Context and weights, with `query` (T, N, 3), keys and values (S, N, any), `seen` (S, N)."""
    (T, N, _), S = query.shape, len(keys)
    context, weights = np.zeros((T, N, values.shape[-1])), np.zeros((T, N, S))
    for t in range(T):
        for n in range(N):
            places = [s for s in range(S) if seen[s, n]]
            e = [math.exp(score(layer, query[t, n], keys[s, n])) for s in places]
            for s, e_s in zip(places, e, strict=True):
                weights[t, n, s] = e_s / sum(e)
                context[t, n] += weights[t, n, s] * values[s, n]
    return context, weights


def hidden(array, seen):
    """`array` (S, N, features) with NaN and infinities where it is not seen."""
    array = array.copy()
    array[~seen] = np.resize([np.nan, np.inf, -np.inf], array[~seen].shape)
    return array


@st.composite
def calls(draw):
    """Numbers of a call in the layout (T, N, ...), and how it is made."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    T, S, N = draw(st.integers(0, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 3))
    given_lengths, given_mask = draw(st.booleans()), draw(st.booleans())
    batched, one = draw(st.booleans()), draw(st.booleans())
    N, T = N if batched else 1, 1 if one else T
    lengths, mask = rng.integers(0, S + 1, N), rng.random((S, N)) < 0.7
    seen = np.ones((S, N), bool)
    if given_lengths:
        seen &= np.arange(S)[:, None] < lengths
    if given_mask:
        seen &= mask
    return {
        "arrays": [rng.normal(size=size) for size in ((T, N, 3), (S, N, 3), (S, N, 2))],
        "with_values": draw(st.booleans()),
        "lengths": lengths if given_lengths else None,
        "mask": mask if given_mask else None,
        "seen": seen,
        "batched": batched,
        "one": one,
        "prepared": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "rng": rng,
    }


def called(layer, arrays, call):
    """The layer on `arrays` in the layout that `call` says; the results in (T, N, ...) again."""

    def there(x):
        if not call["batched"]:
            return x[:, 0]
        return x.swapaxes(0, 1) if call["batch_first"] else x

    query, keys, values = arrays
    query = (query[0] if call["batched"] else query[0, 0]) if call["one"] else there(query)
    lengths, mask = call["lengths"], call["mask"]
    if lengths is not None and not call["batched"]:
        lengths = lengths[0]
    values = there(values) if call["with_values"] else None
    others = [there(keys), values, lengths, None if mask is None else there(mask)]
    results = layer(query, *([layer.prepare(*others)] if call["prepared"] else others))
    back = []
    for y in results:
        if call["one"]:
            y = mg.expand_dims(y, 0 if call["batched"] else (0, 1))
        elif not call["batched"]:
            y = mg.expand_dims(y, 1)
        elif call["batch_first"]:
            y = y.swapaxes(0, 1)
        back.append(y)
    return back


def gradients(results, inputs):
    rng = np.random.default_rng(0)
    total = sum((y * rng.normal(size=y.shape)).sum() for y in results)
    if not total.requires_grad:
        return [np.zeros(x.shape) for x in inputs]
    found = mg.grad(total, inputs, allow_unused=True)
    return [
        np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(found, inputs, strict=True)
    ]


@every_kind
@settings(max_examples=settings.default.max_examples // 2)
@given(call=calls())
def test_values_and_gradients_are_those_of_what_is_seen(kind, call):
    layer = layer_of(kind, call["rng"], batch_first=call["batch_first"])
    query, keys, values = call["arrays"]
    seen, (T, N, _), S = call["seen"], query.shape, len(keys)
    given_arrays = [query, hidden(keys, seen), hidden(values, seen)]
    inputs = [mg.tensor(x, requires_grad=True) for x in given_arrays]
    results = called(layer, inputs, call)
    expected = by_hand(layer, query, keys, values if call["with_values"] else keys, seen)
    for y, wanted in zip(results, expected, strict=True):
        assert y.shape == wanted.shape
        np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-9, atol=1e-12)
    weights = results[1].numpy()
    assert not weights[:, ~seen.T].any()

    alone = [mg.tensor(x, requires_grad=True) for x in call["arrays"]]
    apart = []
    for n in range(N):  # each sequence by itself, without what is hidden
        places = np.flatnonzero(seen[:, n])
        q, k, v = alone[0][:, n], alone[1][places, n], alone[2][places, n]
        context, some = layer(q, k, v if call["with_values"] else None)
        whole = mg.zeros((T, S), "float64").at[:, places].set(some)
        apart.append((context, whole))
    if apart:
        apart = [mg.stack(ys, 1) for ys in zip(*apart, strict=True)]
    parameters = layer.parameters()
    found = gradients(results, [*inputs, *parameters])
    wanted = (
        gradients(apart, [*alone, *parameters]) if apart else [np.zeros(g.shape) for g in found]
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert not found[1][~seen].any()
    assert not found[2][~seen].any()


@pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
@every_kind
@pytest.mark.parametrize("batch_first", [False, True])
def test_derivatives(kind, batch_first):
    rng, layer = np.random.default_rng(0), layer_of(kind, batch_first=batch_first)
    query, keys, values = (rng.normal(size=size) for size in ((2, 3, 3), (4, 3, 3), (4, 3, 2)))
    mask, lengths = rng.random((4, 3)) < 0.7, np.array([4, 0, 2])
    assert mask.sum() not in (0, 12)
    if batch_first:
        query, keys, values, mask = (x.swapaxes(0, 1) for x in (query, keys, values, mask))
    check_layer(layer, query, keys, values, lengths, mask, order=1 if batch_first else 2)
    if not batch_first:
        check_layer(layer, query[0], keys, None, lengths)
        check_layer(layer, query[0, 0], keys[0])


@every_kind
def test_what_was_prepared_serves_many_steps(kind):
    rng, layer = np.random.default_rng(0), layer_of(kind)
    arrays = [rng.normal(size=size) for size in ((3, 2, 3), (4, 2, 3), (4, 2, 2))]
    results = []
    for steps in (False, True):
        layer.zero_grad()
        query, keys, values = (mg.tensor(x, requires_grad=True) for x in arrays)
        if steps:
            memory = layer.prepare(keys, values, lengths=[2, 4])
            pairs = [layer(q, memory) for q in mg.unstack(query)]
            context, weights = (mg.stack(list(parts)) for parts in zip(*pairs, strict=True))
        else:
            context, weights = layer(query, keys, values, [2, 4])
        ((context * context).sum() + (weights**3).sum()).backward()
        inputs = [query, keys, values, *layer.parameters()]
        results.append([context.numpy(), weights.numpy(), *(x.grad.numpy() for x in inputs)])
    for one, other in zip(*results, strict=True):
        assert one.any()
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@every_kind
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_where_nothing_is_seen_all_is_zero(kind, dtype):
    layer = KINDS[kind](dtype=dtype)
    query = mg.tensor(np.ones((2, 3, 3)), dtype=dtype, requires_grad=True)
    keys = mg.tensor(np.full((4, 3, 3), np.nan), dtype=dtype, requires_grad=True)
    with mg.detect_anomaly():
        for hiding in ({"lengths": [0, 0, 0]}, {"mask": np.zeros((4, 3), bool)}):
            context, weights = layer(query, keys, **hiding)
            assert context.dtype == weights.dtype == np.dtype(dtype)
            assert not context.numpy().any()
            assert not weights.numpy().any()
            (context.sum() + weights.sum()).backward()
    for x in (query, keys, *layer.parameters()):
        assert x.grad is not None
        assert x.grad.dtype == np.dtype(dtype)
        assert not x.grad.numpy().any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_scores(dtype):
    layer, size = nn.MultiplicativeAttention(1, 1, "dot"), np.finfo(dtype).max / 4
    query, keys = np.array([1], dtype), np.array([[size], [-size], [size]], dtype)
    context, weights = layer(query, keys)
    assert weights.numpy().tolist() == [0.5, 0, 0.5]
    np.testing.assert_allclose(context.numpy(), [size], rtol=1e-3)
    _, weights = layer(query, keys, mask=[False, True, False])  # the smallest, alone
    assert weights.numpy().tolist() == [0, 1, 0]


def test_masked_softmax():
    rng = np.random.default_rng(0)
    scores, mask = rng.normal(size=(3, 2, 4)), rng.random((3, 1, 4)) < 0.5
    mask[0] = False
    found = masked_softmax(mg.tensor(scores), mask).numpy()
    e = np.where(mask, np.exp(scores), 0)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(e / e.sum(-1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    check_gradients(lambda x: masked_softmax(x, mask), scores, order=2)


@pytest.mark.parametrize(
    "mask",
    [
        [[True, False], [True, True], [False, False]],
        np.array([[1, 0], [1, 1], [0, 0]], bool),
        mg.tensor(np.array([[1, 0], [1, 1], [0, 0]], bool)),
    ],
    ids=lambda mask: type(mask).__name__,
)
def test_masks_may_be_lists_arrays_and_tensors(mask):
    layer, x = nn.MultiplicativeAttention(2, 2, "dot"), np.ones((3, 2, 2), np.float32)
    assert layer(x[0], x, mask=mask)[1].numpy().tolist() == [[0.5, 0.5, 0], [0, 1, 0]]


def test_a_repr_tells_what_was_given():
    assert repr(nn.AdditiveAttention(2, 3, 4)) == (
        "AdditiveAttention(query_size=2, key_size=3, hidden_size=4)  # 28 parameters"
    )
    assert repr(nn.AdditiveAttention(2, 3, 4, False, True)) == (
        "AdditiveAttention(query_size=2, key_size=3, hidden_size=4, batch_first=True, bias=False)"
        "  # 24 parameters"
    )
    assert repr(nn.MultiplicativeAttention(2, 2, "dot")) == (
        "MultiplicativeAttention(query_size=2, key_size=2, score='dot')"
    )


# ------------------------------------------------------------------------------- what is refused

Q, K = np.ones((4, 2, 3), np.float32), np.ones((5, 2, 3), np.float32)


@pytest.mark.parametrize("make", [KINDS["additive"], KINDS["general"]])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (Q[0, :, :2], K),
            ValueError,
            r"query has shape \(2, 2\), expected \(T, 2, 3\), or \(2, 3\)",
        ),
        ((Q[:, :1], K), ValueError, r"query has shape \(4, 1, 3\), expected \(T, 2, 3\), or"),
        ((Q[0, 0], K), ValueError, r"query has shape \(3,\), expected \(T, 2, 3\), or \(2, 3\)"),
        ((Q, K[:, 0]), ValueError, r"query has shape \(4, 2, 3\), expected \(T, 3\), or \(3,\)"),
        (
            (Q, K[..., :2]),
            ValueError,
            r"keys has shape \(5, 2, 2\), expected \(S, N, 3\), or \(S, 3",
        ),
        ((Q, K[0, 0]), ValueError, r"keys has shape \(3,\), expected \(S, N, 3\)"),
        ((Q, K, K[:4]), ValueError, r"values has shape \(4, 2, 3\), expected \(5, 2, any\)"),
        ((Q, K, K[:, 0]), ValueError, r"values has shape \(5, 3\), expected \(5, 2, any\)"),
        ((Q.astype(int), K), TypeError, "query must be floating-point, not int64"),
        ((Q, K.astype(int)), TypeError, "keys must be floating-point, not int64"),
        ((Q, K, K > 0), TypeError, "values must be floating-point, not bool"),
        ((None, K), TypeError, "query must be a Tensor or an array, not a NoneType"),
        ((Q, None), TypeError, "keys must be a Tensor or an array, not a NoneType"),
        ((Q, K, "abc"), TypeError, "values must be a Tensor or an array, not a str"),
        ((Q, K, None, [5]), ValueError, r"lengths has shape \(1,\), expected \(2,\)"),
        ((Q, K, None, [5, 6]), ValueError, "length 6 is not from 0 to 5, the time steps of keys"),
        ((Q, K, None, [1.0, 2.0]), TypeError, "lengths must be integers, not float64"),
        ((Q, K, None, None, K[..., 0]), TypeError, r"mask must be bools, not float32 \(5, 2\)"),
        ((Q, K, None, None, "abc"), TypeError, "mask must be a Tensor or an array, not a str"),
        ((Q, K, None, None, True), TypeError, "mask must be bools, not True"),
        ((Q, K, None, None, K > 0), ValueError, r"mask has shape \(5, 2, 3\), expected \(5, 2\)"),
    ],
    ids=str,
)
def test_wrong_arguments(make, arguments, error, message):
    layer = make()
    with pytest.raises(error, match=f"^{type(layer).__name__}: {message}"):
        layer(*arguments)


def test_wrong_arguments_with_the_batch_first():
    layer, x = nn.AdditiveAttention(3, 3, 2, batch_first=True), np.ones((2, 5, 3), np.float32)
    with pytest.raises(ValueError, match=r"expected \(2, T, 3\), or \(2, 3\) for one step"):
        layer(np.ones((5, 2, 3), np.float32), x)
    with pytest.raises(ValueError, match=r"keys has shape \(2, 5, 2\), expected \(N, S, 3\)"):
        layer(x, x[..., :2])
    with pytest.raises(ValueError, match=r"\(5,\), expected \(2,\); keys is .* batch_first=False"):
        layer(x, x, lengths=[1] * 5)


def test_what_a_recurrent_layer_returns_is_not_taken_for_one_tensor():
    layer, returned = nn.AdditiveAttention(3, 3, 2), nn.GRU(3, 3)(mg.ones((5, 2, 3)))
    for arguments in ((returned, K), (Q, returned)):
        with pytest.raises(TypeError, match=r"got a tuple \(output, state\)"):
            layer(*arguments)


def test_what_was_prepared_comes_alone_and_from_such_a_layer():
    layer = nn.AdditiveAttention(3, 3, 2)
    memory = layer.prepare(K)
    for more in ({"values": K}, {"lengths": [1, 1]}, {"mask": K[..., 0] > 0}):
        with pytest.raises(TypeError, match="values, lengths and mask are given to prepare"):
            layer(Q, memory, **more)
    with pytest.raises(ValueError, match=r"prepared by another layer.* 2 long, expected 3"):
        nn.MultiplicativeAttention(3, 3)(Q, memory)


def test_wrong_settings():
    for name in ("dot", "scaled_dot"):
        with pytest.raises(
            ValueError, match=f'score="{name}" needs .* query_size=2 and key_size=3'
        ):
            nn.MultiplicativeAttention(2, 3, name)
        with pytest.raises(TypeError, match=r"rng must be a .*Generator or None"):
            nn.MultiplicativeAttention(3, 3, name, rng=0)
    assert nn.MultiplicativeAttention(2, 3).weight.shape == (2, 3)
    with pytest.raises(AttributeError, match=r"MultiplicativeAttention or nn\.AdditiveAttention"):
        _ = nn.MultiheadAttention
