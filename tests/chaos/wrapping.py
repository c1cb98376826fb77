"""A port with some of its methods replaced; everything else is the real one's."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any


class Instead:
    """``methods[name](real port, *arguments)`` instead of ``port.name(*arguments)``."""

    def __init__(self, port: Any, methods: Mapping[str, Callable[..., Any]]) -> None:
        self._port = port
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            return partial(self._methods[name], self._port)
        return getattr(self._port, name)
