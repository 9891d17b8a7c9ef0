"""Words of PyTorch for layers for which minigrad has another word; see `minigrad.errors.words`."""

import inspect
from typing import Any

_MOVE = 'model.to("cuda"), model.to("cpu")'
_CAST = 'model.to(dtype="float64"), or "float32", "float16"'
_HOOK = "a line in forward; x.register_hook(f) sees the gradient of a tensor"
_PART = "dict(model.named_parameters())[name], or dict(model.named_modules())[name]"
_DRAW = "a new layer, or nn.init for its parameters"

OF_MODULES = {
    **dict.fromkeys(["cuda", "cpu"], _MOVE),
    **dict.fromkeys(["float", "double", "half", "bfloat16", "type"], _CAST),
    **dict.fromkeys(
        [
            *("register_forward_hook", "register_forward_pre_hook"),
            *("register_full_backward_hook", "register_backward_hook"),
        ],
        _HOOK,
    ),
    **dict.fromkeys(["get_parameter", "get_submodule", "get_buffer"], _PART),
    **dict.fromkeys(["reset_parameters", "_reset_parameters"], _DRAW),
    "_parameters": "vars(model), or model.named_parameters()",
    "_modules": "vars(model), or model.named_children()",
    "device": "model.parameters()[0].device",
    "dtype": "model.parameters()[0].dtype",
    "flatten_parameters": "leave the call out, since nothing is gained by it here",
    "compile": "leave the call out, since there is nothing to compile",
    "share_memory": "each process has a model of its own",
    "forward": "a method forward(self, x) of its class, which is what a call runs",
    "_held": "super().__init__(...), called before anything is put in",
}
"""By the name of an attribute that a module does not have: what to write in its place."""

_REDUCTION = 'write reduction="mean", "sum" or "none"'

OF_ARGUMENTS = {
    "dim": "write axis=",
    "start_dim": "write start_axis=",
    "end_dim": "write end_axis=",
    "device": "write layer.to(device), or mg.set_default_device(device) before",
    "inplace": "leave it out; no layer changes what it is given",
    "proj_size": "write a cell of your own for nn.Recurrent: docs/cells.md has one that projects",
    "max_norm": "clip its gradients: optim.clip_grad_norm_",
    **dict.fromkeys(["size_average", "reduce"], _REDUCTION),
}
"""By the name of an argument that a layer does not have: what to write in its place."""


def refuse_arguments(cls: type, options: dict[str, Any]) -> None:
    """Raise a TypeError if `options` has an argument of PyTorch's that `cls` does not have."""
    for name in options.keys() & OF_ARGUMENTS.keys():
        init = cls.__init__  # type: ignore[misc]
        taken = {} if init is object.__init__ else inspect.signature(init).parameters
        if name not in taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            raise TypeError(f"{cls.__name__} has no argument {name}; {OF_ARGUMENTS[name]}")


_FUNCTION = "mg itself, where the functions are: mg.relu, mg.softmax, mg.cross_entropy ..."
_NO_IMAGES = "there are no convolutions, only layers for sequences and vectors"
_ATTENTION = "nn.MultiplicativeAttention or nn.AdditiveAttention; there are no transformers"
_NO_BATCH_NORM = "nn.LayerNorm, which works on sequences of any length"

OF_NN = {
    "functional": _FUNCTION,
    "utils": "optim.clip_grad_norm_ for clipping, minigrad.data.pad_sequences for padding",
    **dict.fromkeys(["Conv1d", "Conv2d", "MaxPool1d", "MaxPool2d"], _NO_IMAGES),
    **dict.fromkeys(["BatchNorm1d", "BatchNorm2d"], _NO_BATCH_NORM),
    **dict.fromkeys(
        [
            "Attention",
            "MultiheadAttention",
            "Transformer",
            "TransformerEncoder",
            "TransformerEncoderLayer",
        ],
        _ATTENTION,
    ),
    "BCELoss": "nn.BCEWithLogitsLoss(), which takes logits, before the sigmoid",
    "L1Loss": "mg.abs(predictions - targets).mean()",
    "Buffer": "self.register_buffer(name, tensor)",
}
"""By the name that `minigrad.nn` does not have: what to write in its place."""
