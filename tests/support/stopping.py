"""Ports that stop the process, or make it wait, right at one of their calls."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import Any, get_args, get_origin, get_type_hints

from bridge.storage.memory import MemoryStore
from settlement.ports.bundle import Ports

REACHES_NOTHING: Mapping[str, str] = {
    "clock": "is asked for the time",
    "policy": "numbers",
    "log": "nothing is decided by what was logged",
    "worker": "a name",
    "unseen": "this process alone has it, and begins with all networks",
}
"""Fields of :class:`Ports` through which nothing outside is changed, and why not."""


def effect_ports() -> dict[str, tuple[str, Any]]:
    """By field of :class:`Ports`: the prefix of its methods in the tables of effects, and its
    protocol. Of a mapping from networks, that of one network: ``chains`` is ``chain``."""
    hints = get_type_hints(Ports)
    found = {}
    for field in fields(Ports):
        if field.name not in REACHES_NOTHING:
            hint, prefix = hints[field.name], field.name
            if get_origin(hint) is not None:
                hint, prefix = get_args(hint)[1], prefix.removesuffix("s")
            found[field.name] = (prefix, hint)
    return found


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

    def around(port: Any, prefix: str) -> Any:
        if isinstance(port, Mapping):
            return {name: Watched(one, prefix, watch) for name, one in port.items()}
        return Watched(port, prefix, watch)

    named = effect_ports().items()
    return replace(ports, **{name: around(getattr(ports, name), p) for name, (p, _) in named})


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
