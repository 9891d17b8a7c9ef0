"""Words of PyTorch and NumPy for which minigrad has another word: an AttributeError tells it.

The rule: an op has NumPy's name. If a word of PyTorch means exactly the same, with the same
arguments, it is a second name (`minigrad.names.pytorch_methods`). For other words an error tells
what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_SHAPE = "x.shape, or x.shape[i]"
_INPLACE = "x += v, or x[...] = v, within `with mg.no_grad():`"
_COMPARE = "x == y, x < y and the like"
_STACKED = "mg.concatenate([a, b], axis), or mg.stack([a, b], axis)"
_INDEXED = "x.at[i].set(v), or x.at[i].add(v)"
_NO_MATRICES = "a function of x.numpy(), off the tape; minigrad has no decompositions of matrices"

FUNCTIONS = {
    "absolute": "mg.abs(x)",
    "acos": "mg.arccos(x)",
    "amax": "mg.max(x, axis)",
    "amin": "mg.min(x, axis)",
    "argwhere": "x.numpy().nonzero()",
    "array": "mg.tensor(data)",
    "as_tensor": "mg.tensor(data), or mg.Tensor(array) without a copy",
    "asarray": "mg.tensor(data), or mg.Tensor(array) without a copy",
    "asin": "mg.arcsin(x)",
    "atan": "mg.arctan(x)",
    "atanh": "mg.arctanh(x)",
    "baddbmm": "a + b @ c",
    "bernoulli": "mg.rand(*p.shape) < p",
    "bfloat16": "mg.float32, or mg.float16",
    "bmm": "mg.matmul(a, b), or a @ b",
    "bool": "Python's own: dtype=bool",
    "broadcast_tensors": "mg.broadcast_to(x, shape)",
    "cat": "mg.concatenate([a, b], axis)",
    "chunk": "mg.split(x, n, axis)",
    "clamp": "mg.clip(x, low, high)",
    "clamp_max": "mg.minimum(x, high)",
    "clamp_min": "mg.maximum(x, low)",
    "compile": "the function itself; there is nothing to compile",
    "concat": "mg.concatenate([a, b], axis)",
    "count_nonzero": "(x != 0).sum()",
    "cross": "mg.stack of its components",
    "device": 'a string: device="cuda"',
    "div": "mg.divide(a, b), or a / b",
    "double": "mg.float64",
    "empty": "mg.zeros(shape)",
    "empty_like": "mg.zeros_like(x)",
    "eq": _COMPARE,
    "equal": "mg.array_equal(x, y) for both as a whole, x == y for each element",
    "flatten": "x.flatten(), or mg.ravel(x)",
    "float": "mg.float32",
    "FloatTensor": "mg.tensor(data)",
    "fmod": "mg.remainder(a, b), with the sign of b",
    "full_like": "mg.full(x.shape, value)",
    "func": "mg.grad, mg.jacobian, mg.hessian",
    "functional": "minigrad's functions themselves: mg.relu(x), mg.softmax(x), "
    "mg.cross_entropy(logits, targets)",
    "gather": "mg.take_along_axis(x, i, axis)",
    "ge": _COMPARE,
    "Generator": "numpy.random.default_rng(seed), passed as rng=",
    "greater": _COMPARE,
    "greater_equal": _COMPARE,
    "gt": _COMPARE,
    "half": "mg.float16",
    "histc": "numpy.histogram(x.numpy())",
    "hstack": _STACKED,
    "dstack": _STACKED,
    "vstack": _STACKED,
    "column_stack": _STACKED,
    "index_add": _INDEXED,
    "index_put": _INDEXED,
    "index_select": "mg.take(x, i, axis)",
    "inf": "math.inf",
    "inference_mode": "mg.no_grad()",
    "int": "mg.int32",
    "is_grad_enabled": "(x * 1).requires_grad",
    "is_tensor": "isinstance(x, mg.Tensor)",
    "kron": "mg.einsum",
    "le": _COMPARE,
    "lerp": "a + w * (b - a)",
    "less": _COMPARE,
    "less_equal": _COMPARE,
    "linalg": "mg.norm(x), mg.matmul(a, b); " + _NO_MATRICES,
    "logspace": "base ** mg.linspace(start, stop, num)",
    "long": "mg.int64",
    "LongTensor": "mg.tensor(data, dtype=int)",
    "lt": _COMPARE,
    "masked_select": "x[mask]",
    "median": "mg.sort(x, axis), and its middle",
    "meshgrid": "x[:, None] and y[None, :], which broadcast",
    "mm": "mg.matmul(a, b), or a @ b",
    "movedim": "mg.moveaxis(x, source, destination)",
    "mul": "mg.multiply(a, b), or a * b",
    "multinomial": "numpy.random.default_rng().choice(p.size, p=p.numpy()), with p in float64",
    "mv": "mg.matmul(a, b), or a @ b",
    "nan": "math.nan",
    "nan_to_num": "mg.where(mg.isnan(x), 0, x)",
    "narrow": "x[start : start + length]",
    "ndarray": "mg.Tensor",
    "ne": _COMPARE,
    "neg": "mg.negative(x), or -x",
    "newaxis": "None: x[:, None]",
    "nonzero": "x.numpy().nonzero()",
    "normal": "mean + std * mg.randn(*shape)",
    "not_equal": _COMPARE,
    "numel": "x.size",
    "permute": "mg.transpose(x, axes)",
    "permute_dims": "mg.transpose(x, axes)",
    "pi": "math.pi",
    "pow": "mg.power(x, n), or x ** n",
    "put_along_axis": _INDEXED,
    "quantile": "numpy.quantile(x.numpy(), q)",
    "rand_like": "mg.rand(*x.shape)",
    "randint_like": "mg.randint(low, high, x.shape)",
    "randn_like": "mg.randn(*x.shape)",
    "range": "mg.arange(start, stop)",
    "reciprocal": "1 / x",
    "relu_": "mg.relu(x)",
    "repeat_interleave": "mg.repeat(x, n, axis)",
    "rsqrt": "1 / mg.sqrt(x)",
    "save_state_dict": "model.state_dict()",
    "scatter": _INDEXED,
    "seed": "mg.manual_seed(seed)",
    "select": "x[i]",
    "set_grad_enabled": "mg.no_grad(), or mg.enable_grad()",
    "Size": "a tuple: x.shape",
    "sub": "mg.subtract(a, b), or a - b",
    "swapdims": "mg.swapaxes(x, a, b)",
    "t": "x.T",
    "true_divide": "mg.divide(a, b), or a / b",
    "unbind": "mg.unstack(x, axis)",
    "unflatten": "x.reshape(shape)",
    "unique": "numpy.unique(x.numpy())",
    "unsqueeze": "mg.expand_dims(x, axis)",
    "utils": "mg.data.DataLoader(...), mg.data.pad_sequences(...); for clipping mg.optim",
    "var_mean": "mg.var(x, axis) and mg.mean(x, axis)",
    "view_as_real": "two Tensors; minigrad has no complex numbers",
    "vmap": "an axis in front: ops broadcast",
}
"""By the name of a function that `minigrad` does not have: what to write in its place."""

METHODS = FUNCTIONS | {
    "add": "x + y",
    "apply_": "mg's functions, which take all elements at once",
    "data_ptr": "x.data, the array itself",
    "expand": "mg.broadcast_to(x, shape)",
    "expand_as": "mg.broadcast_to(x, y.shape)",
    "get_device": "x.device",
    "grad_fn": "x.is_leaf; repr(x) tells which op made it",
    "index_fill": "mg.where(mask, value, x)",
    "is_cuda": 'x.device != "cpu"',
    "is_contiguous": "x.data, an array, to look at its memory",
    "item_size": "x.dtype.itemsize",
    "element_size": "x.dtype.itemsize",
    "itemsize": "x.dtype.itemsize",
    "itemset": _INPLACE,
    "fill": _INPLACE,
    "map": "mg's functions, which take all elements at once",
    "names": _SHAPE,
    "nelement": "x.size",
    "new": "mg.tensor(data)",
    "new_full": "mg.full(shape, value, dtype=x.dtype)",
    "new_ones": "mg.ones(shape, dtype=x.dtype)",
    "new_tensor": "mg.tensor(data, dtype=x.dtype)",
    "new_zeros": "mg.zeros(shape, dtype=x.dtype)",
    "ndimension": "x.ndim",
    "nonzero": "x.numpy().nonzero()",
    "requires_gradient": "x.requires_grad",
    "reshape_as": "x.reshape(y.shape)",
    "resize": "x.reshape(shape)",
    "retains_grad": "x.retain_grad()",
    "strides": "x.data.strides",
    "stride": "x.data.strides",
    "sum_to_size": "x.sum(axis)",
    "to_dense": "x itself",
    "tobytes": "x.numpy().tobytes()",
    "type": "x.astype(dtype), or x.dtype",
    "type_as": "x.astype(y.dtype)",
    "view_as": "x.reshape(y.shape)",
    "values": "x itself, or x.data for its array; v, i = mg.topk(x, k)",
    "indices": "x.argmax(axis), or v, i = mg.topk(x, k)",
    **dict.fromkeys(
        [
            *("add_", "sub_", "mul_", "div_", "pow_", "neg_", "fill_", "copy_", "clamp_", "exp_"),
            *("normal_", "uniform_", "random_", "masked_fill_", "index_add_", "index_fill_"),
            *("scatter_", "scatter_add_", "index_copy_", "addcmul_", "addcdiv_", "lerp_", "abs_"),
            *("relu_", "sqrt_", "sigmoid_", "tanh_", "round_", "floor_", "unsqueeze_", "squeeze_"),
            *("t_", "transpose_", "bernoulli_", "exponential_", "fill_diagonal_", "set_"),
        ],
        _INPLACE,
    ),
    "detach_": "x = x.detach()",
    "resize_": "x = x.reshape(shape)",
}
"""By the name of an attribute that a Tensor does not have: what to write in its place."""

AUTOGRAD = {
    "Function": "@mg.differentiable, or @mg.joint, above a function on arrays",
    "Variable": "mg.tensor(data, requires_grad=True)",
    "backward": "y.backward()",
    "functional": "mg.jacobian(f, x), mg.hessian(f, x)",
    "grad": "mg.grad(y, x)",
    "gradcheck": "mg.testing.check_gradients(f, x)",
    "set_grad_enabled": "mg.no_grad(), or mg.enable_grad()",
    **{name: f"mg.{name}()" for name in ("detect_anomaly", "enable_grad", "no_grad")},
}
"""By the name that `minigrad.autograd` does not have: what to write in its place."""

OPTIMISERS = {
    "lr_scheduler": "optim.StepLR(optimizer, step_size) itself, and the others beside it",
    "swa_utils": "optim.ASGD, which averages the weights",
    **dict.fromkeys(
        [
            "Adadelta",
            "Adafactor",
            "Adamax",
            "LBFGS",
            "Lion",
            "NAdam",
            "RAdam",
            "Rprop",
            "SparseAdam",
        ],
        "optim.Adam, optim.RMSprop, optim.Adagrad or optim.SGD",
    ),
    **dict.fromkeys(["OneCycleLR", "CyclicLR", "PolynomialLR"], "optim.LambdaLR(optimizer, f)"),
    "CosineAnnealingWarmRestarts": "optim.CosineAnnealingLR(optimizer, T_max)",
    "ChainedScheduler": "optim.SequentialLR(optimizer, schedulers, milestones)",
    "ConstantLR": "optim.LinearLR(optimizer, start_factor, end_factor)",
}
"""By the name that `minigrad.optim` does not have: what to write in its place."""

KEYWORDS = {
    "correction": "ddof=",
    "diagonal": "k= (mg.diagonal: offset=)",
    "dim": "axis=",
    "dims": "axis=",
    "dim0": "axis1=",
    "dim1": "axis2=",
    "end": "stop=",
    "input": "what is given first, without a name",
    "keepdim": "keepdims=",
    "max": "a_max=",
    "min": "a_min=",
    "other": "what is given second, without a name",
    "sorted": "the values are always sorted",
    "stable": "equal elements always keep their order",
    "steps": "num=",
    "tensors": "what is given first, without a name",
    "unbiased": "ddof= (1 for PyTorch's default)",
}
"""By the name of an argument that no function of minigrad has: what to write in its place."""


def refuse_keywords(function: str, names: Iterable[str]) -> None:
    """Raise a TypeError that tells minigrad's word if one of `names` is PyTorch's word."""
    for name in names:
        if name in KEYWORDS:
            raise TypeError(f"{function}: minigrad's word for {name}= is {KEYWORDS[name]}")


def worded(function: F) -> F:
    """`function`, with errors that tell the words for arguments that it does not have."""

    @wraps(function)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            refuse_keywords(function.__name__, kwargs)
        return function(*args, **kwargs)

    return apply  # type: ignore[return-value]


def unknown(
    owner: str, name: str, words: Mapping[str, str], known: Iterable[str] = ()
) -> AttributeError:
    """The error for an attribute that is missing, with minigrad's word or a name spelt like it.

    Parameters
    ----------
    owner
        what has no such attribute: "module 'minigrad'".
    name
        the name of the attribute.
    words
        by name, what to write instead.
    known
        the names that exist.
    """
    message = f"{owner} has no attribute {name!r}"
    if name in words:
        message += f"; in minigrad: {words[name]}"
    else:
        from difflib import get_close_matches

        near = get_close_matches(name, known, cutoff=0.75)
        near.sort(key=lambda other: sorted(other) != sorted(name))  # tahn: tanh before tan
        if near:
            message += f"; did you mean {near[0]!r}?"
    return AttributeError(message, name=name)
