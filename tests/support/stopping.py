"""Ports that stop the process, or make it wait, right at one of their calls."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from bridge.storage.memory import MemoryStore
from settlement.ports.bundle import Ports


class Stopped(BaseException):
    """The process is dead: nothing that it would still do is done."""


class Watched:
    """A port whose every call goes through ``watch(name, call)``."""

    def __init__(self, port: Any, prefix: str, watch: Callable[..., Awaitable[Any]]) -> None:
        self._port = port
        self._prefix = prefix
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._watch(f"{self._prefix}.{name}", lambda: attribute(*args, **kwargs))

        return call


def watched(ports: Ports, watch: Callable[..., Awaitable[Any]]) -> Ports:
    """The ports, each call of which goes through ``watch``."""
    return replace(
        ports,
        store=Watched(ports.store, "store", watch),
        payment=Watched(ports.payment, "payment", watch),
        screening=Watched(ports.screening, "screening", watch),
        chains={name: Watched(chain, "chain", watch) for name, chain in ports.chains.items()},
    )


class Doomed:
    """Counts effects, and stops everything after the ``last``-th of them.

    A call of the store that changed nothing (there was nothing to claim) is no effect.
    """

    def __init__(self, store: MemoryStore, effects: frozenset[str], last: int | None) -> None:
        self.store = store
        self.effects = effects
        self.last = last
        self.trace: list[str] = []
        self.dead = False

    async def watch(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise Stopped(name)
        effect, outside = name in self.effects, not name.startswith("store.")
        before = {k: rows.copy() for k, rows in self._rows().items()} if effect else {}
        answer = await call()
        if effect and (outside or self._rows() != before):
            self.trace.append(name)
            if len(self.trace) - 1 == self.last:
                self.dead = True
                raise Stopped(name)
        return answer

    def _rows(self) -> dict[str, Any]:
        """The tables themselves, by name."""
        tables = self.store.tables
        seen = set(tables.lane_workers)  # not when each was
        return {**vars(tables), "lane_workers": seen, "batch_ids": [self.store.batch_ids]}


class Frozen:
    """Waits before the ``at``-th call until ``wake`` is set."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0
        self.name = ""
        self.wake = asyncio.Event()
        self.asleep = asyncio.Event()

    async def watch(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls += 1
        if self.calls - 1 == self.at:
            self.name = name
            self.asleep.set()
            await self.wake.wait()
        return await call()
