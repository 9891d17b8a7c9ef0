"""Use a model without changing it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ContextDecorator, ExitStack
from typing import Any

from minigrad.autograd.modes import no_grad
from minigrad.nn import Module


class evaluating(ContextDecorator):  # noqa: N801 (used like a function)
    """Within ``with evaluating(module):`` it is not in training mode, and nothing is recorded.

    At the end, also after an exception, every module inside `module` has the mode that it had
    before.

    Raises
    ------
    TypeError
        if `module` is not an nn.Module; if it decorates a generator or coroutine function, which
        runs only after the decorator has ended.
    """

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"evaluating: expected an nn.Module, not a {type(module).__name__}")
        self.module = module
        self._entered: list[ExitStack] = []  # one object may be entered twice

    def __call__(self, function: Callable[..., Any]) -> Any:
        runs_later = (
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
            inspect.iscoroutinefunction,
        )
        if any(is_one(function) for is_one in runs_later):
            raise TypeError(
                f"evaluating: {function.__name__} runs after the decorator has ended; write "
                "`with evaluating(module):` in it instead"
            )
        return super().__call__(function)

    def __enter__(self) -> None:
        with ExitStack() as undo:
            for part in self.module.modules():
                undo.callback(setattr, part, "training", part.training)
            undo.enter_context(no_grad())
            self.module.eval()
            self._entered.append(undo.pop_all())

    def __exit__(self, *error: object) -> None:
        self._entered.pop().close()
