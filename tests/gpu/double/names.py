"""What the real CuPy has (names.json), and functions that take only the arguments it takes."""

import functools
import inspect
import json
import types
from pathlib import Path

NAMES = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))


def missing(module, name):
    """The error for a name that CuPy does not have, or that the double does not model."""
    if name in NAMES[module] or (module == "cupy" and name in NAMES["ufuncs"]):
        return NotImplementedError(
            f"CuPy has {module}.{name}, but the strict double does not model it: "
            "add it to tests/gpu/double/catalogue.py (docs/add_an_op.md)"
        )
    return AttributeError(f"CuPy {NAMES['version']} has no {module}.{name}")


def signature(words):
    """An inspect.Signature from the form that make_names.py writes."""
    parameters, kind = [], inspect.Parameter.POSITIONAL_OR_KEYWORD
    for word in words.split(", ") if words else []:
        name = word.strip("*=")
        if word == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif word.startswith("**"):
            parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            default = None if word.endswith("=") else inspect.Parameter.empty
            parameters.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature(parameters)


def parameters(owner, name):
    """A function that sorts arguments by the parameters of CuPy's function `owner`.`name`.

    It raises TypeError for those that CuPy's does not take. A method's array is no argument.
    """
    words = NAMES[owner].get(name)
    assert words is not None, (
        f"CuPy has no function {owner}.{name} with names for its arguments; if it is elementwise, "
        "the double has it already"
    )
    methods = ("ndarray", "Generator", "ufunc", "NcclCommunicator")
    expected, is_method = signature(words), owner in methods

    def given(args, kwargs):
        try:
            return expected.bind(*args[is_method:], **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{name}() {error}; CuPy's takes ({words})") from None

    return given


def checked(owner, name, function):
    """`function`, which then takes only the arguments that CuPy's function `owner`.`name` takes."""
    given = parameters(owner, name)

    @functools.wraps(function)
    def call(*args, **kwargs):
        given(args, kwargs)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


class Module(types.ModuleType):
    """A module that says of a missing name whether CuPy has it; `kind` is its key in names.json."""

    def __init__(self, name, kind, **members):
        super().__init__(name)
        self._kind = kind
        for key, value in members.items():
            setattr(self, key, value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing(self._kind, name)
