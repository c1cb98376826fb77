"""A port with some of its methods replaced; everything else is the real one's."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Instead:
    """``methods[name](real port, *arguments)`` instead of ``port.name(*arguments)``.

    Raises ``LookupError`` for a method that the port does not have, and ``TypeError`` for one that
    could not be called as the port's own: it would replace nothing, or fail as nothing does.
    """

    def __init__(self, port: Any, methods: Mapping[str, Callable[..., Any]]) -> None:
        for name, method in methods.items():
            if not hasattr(port, name):
                raise LookupError(f"{port!r} has no {name} any more")
            _check_takes_the_same(getattr(port, name), method)
        self._port = port
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            return partial(self._methods[name], self._port)
        return getattr(self._port, name)


def _check_takes_the_same(original: Callable[..., Any], method: Callable[..., Any]) -> None:
    """With as few arguments as the original takes, and with all of them."""
    asked = inspect.signature(original).parameters.values()
    for parameters in ([p for p in asked if p.default is p.empty], list(asked)):
        by_place = [p.name for p in parameters if p.kind in _BY_PLACE]
        by_name = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
        inspect.signature(method).bind("the port", *by_place, **by_name)
