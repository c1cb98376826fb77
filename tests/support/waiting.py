"""Wait for a condition, with a limit: the only place where tests may pause."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, limit_s: float = 20, what: str = "the condition"
) -> T:
    """Ask until the answer is truthy, and return it; fail after ``limit_s``."""
    end = time.monotonic() + limit_s
    while True:
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {limit_s} s (last: {value!r})")
        await asyncio.sleep(_PAUSE_S)


def eventually_sync(
    condition: Callable[[], T], *, limit_s: float = 20, what: str = "the condition"
) -> T:
    """The same for tests without an event loop."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {limit_s} s (last: {value!r})")
        time.sleep(_PAUSE_S)
