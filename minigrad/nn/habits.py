"""PyTorch's words for which minigrad has others: what an error tells a newcomer."""

import inspect
from typing import Any

_MOVE = 'write model.to("cuda"), model.to("cpu")'
_CAST = 'write model.to(dtype="float64"), or "float32", "float16"'
_HOOK = "write what is to happen into forward; x.register_hook(f) sees the gradient of a tensor"
_PART = "write dict(model.named_parameters())[name], or dict(model.named_modules())[name]"
_DRAW = "make the layer anew, or fill its parameters by nn.init"
_INIT = "call super().__init__(...) before anything is put in"

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
    "_parameters": "its parameters are its attributes: vars(model), or model.named_parameters()",
    "_modules": "its modules are its attributes: vars(model), or model.named_children()",
    "device": "write model.parameters()[0].device",
    "dtype": "write model.parameters()[0].dtype",
    "flatten_parameters": "nothing is gained by it here; leave the call out",
    "compile": "there is nothing to compile; leave the call out",
    "share_memory": "each process has a model of its own",
    "forward": "give its class a method forward(self, x), which is what a call runs",
    "_held": _INIT,
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


_FUNCTION = "the functions are in minigrad itself: mg.relu, mg.softmax, mg.cross_entropy ..."
_NO_IMAGES = "minigrad has no convolutions; its layers are for sequences and vectors"
_NO_BATCH_NORM = "minigrad has nn.LayerNorm, which works on sequences of any length"

OF_NN = {
    "functional": _FUNCTION,
    "utils": "clipping is in minigrad.optim (optim.clip_grad_norm_), padding in minigrad.data "
    "(data.pad_sequences), and recurrent layers take lengths=",
    **dict.fromkeys(["Conv1d", "Conv2d", "MaxPool1d", "MaxPool2d"], _NO_IMAGES),
    **dict.fromkeys(["BatchNorm1d", "BatchNorm2d"], _NO_BATCH_NORM),
    "BCELoss": "write nn.BCEWithLogitsLoss(), which takes logits, before the sigmoid",
    "L1Loss": "write mg.abs(predictions - targets).mean()",
    "Buffer": "write self.register_buffer(name, tensor)",
}
"""By the name that `minigrad.nn` does not have: what to write in its place."""
