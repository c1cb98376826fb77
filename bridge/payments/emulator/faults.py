"""Faults that tests order for coming requests: before their effect, or after it.

A lost answer is the hard case of every payment system, so it can be had on demand: the effect
stands, its answer is kept for the idempotency key, and the connection breaks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .errors import internal, rate_limited

BEFORE = ("http_500", "http_429", "drop_before", "hold_before")
AFTER = ("drop_after", "hold_after")
KINDS = (*BEFORE, *AFTER)


class ConnectionDropped(Exception):
    """The answer must not reach the client."""


@dataclass
class Fault:
    """One order: what to do with the next ``times`` requests that match.

    ``path`` is a pattern such as ``/v1/payment_intents/*/capture``. A ``hold`` waits until it is
    released, longer than any client's timeout if need be.
    """

    id: str
    kind: str
    method: str = "*"
    path: str = "*"
    times: int = 1
    holding: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, path: str) -> bool:
        """Return whether this request is one of those ordered."""
        return self.times > 0 and self.method in ("*", method) and fnmatchcase(path, self.path)


class Faults:
    """All orders that are not used up."""

    def __init__(self) -> None:
        self.orders: dict[str, Fault] = {}

    def add(self, fault: Fault) -> None:
        """Take an order."""
        self.orders[fault.id] = fault

    def clear(self) -> None:
        """Release what is held and forget all orders."""
        for fault in self.orders.values():
            fault.released.set()
        self.orders.clear()

    async def before(self, method: str, path: str) -> None:
        """Apply a fault that comes before the effect.

        Raises ApiError (500 or 429) or ConnectionDropped.
        """
        fault = self._take(method, path, BEFORE)
        if fault is None:
            return
        if fault.kind == "hold_before":
            await self._hold(fault)
        elif fault.kind == "drop_before":
            raise ConnectionDropped
        else:
            raise _ERRORS[fault.kind]()

    async def after(self, method: str, path: str) -> None:
        """Apply a fault that comes after the effect.

        Raises ConnectionDropped.
        """
        fault = self._take(method, path, AFTER)
        if fault is None:
            return
        if fault.kind == "drop_after":
            raise ConnectionDropped
        await self._hold(fault)

    def _take(self, method: str, path: str, kinds: tuple[str, ...]) -> Fault | None:
        for fault in self.orders.values():
            if fault.kind in kinds and fault.matches(method, path):
                fault.times -= 1
                return fault
        return None

    async def _hold(self, fault: Fault) -> None:
        fault.holding += 1
        try:
            await fault.released.wait()
        finally:
            fault.holding -= 1


_ERRORS = {"http_500": internal, "http_429": rate_limited}
