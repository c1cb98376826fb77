"""What the fault-injecting proxies share: which fault comes next, and how a connection goes wrong.

A fault comes because a test ordered it (:meth:`Faults.order`) or by a seeded draw. One draw is
made per request, so that the same seed gives the same faults by count of requests.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

HELD_LIMIT_S = 30.0
"""No answer is held back longer, should a client never give up."""


@dataclass
class Order:
    """``times`` requests whose subject matches the pattern get this fault."""

    kind: str
    subject: str
    times: int


@dataclass
class Faults:
    """``rates``: kind → probability per request to which that kind can apply."""

    rng: Random
    rates: Mapping[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)
    lifted: bool = False
    _outage: int = 0

    def order(self, kind: str, subject: str = "*", times: int = 1) -> None:
        """Disturb the next ``times`` requests about ``subject`` (a pattern: ``eth_send*``)."""
        self.orders.append(Order(kind, subject, times))

    def lift(self) -> None:
        """No faults any more; what is held back goes on."""
        self.lifted = True
        self.rates = {}
        self.orders.clear()
        self._outage = 0

    def pending(self, kind: str) -> int:
        """How many ordered faults of this kind have not happened yet."""
        return sum(order.times for order in self.orders if order.kind == kind)

    def take(self, subjects: Collection[str], possible: Collection[str]) -> str | None:
        """The fault of this request, counted; ``None``: it is served as it should be."""
        kind = self._ordered(subjects, possible) or self._drawn(possible)
        if kind is not None:
            self.counts[kind] += 1
        return kind

    def _ordered(self, subjects: Collection[str], possible: Collection[str]) -> str | None:
        for order in self.orders:
            hit = any(fnmatchcase(subject, order.subject) for subject in subjects)
            if order.times > 0 and order.kind in possible and hit:
                order.times -= 1
                return order.kind
        return None

    def _drawn(self, possible: Collection[str]) -> str | None:
        point, kind = self.rng.random(), None
        if self._outage > 0:
            self._outage -= 1
            return "outage"
        for name, rate in self.rates.items():
            point -= rate if name in possible else 0
            if point < 0:
                kind = name
                break
        if kind == "outage":
            self._outage = self.rng.randrange(5, 25)
        return kind


async def read_body(receive: Any) -> bytes | None:
    """``None``: the caller went away in the middle. No server acts upon half a request."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Any, status: int, body: bytes, content_type: str, **headers: str) -> None:
    fields = {"content-type": content_type, "content-length": str(len(body)), **headers}
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def drop(send: Any) -> None:
    """Break the connection: an answer is begun whose body never comes."""
    headers = [(b"content-length", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def hold(receive: Any, faults: Faults) -> None:
    """Say nothing until the client gives up (or the faults are lifted)."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(gone())
    try:
        for _ in range(int(HELD_LIMIT_S * 5)):
            if (await asyncio.wait([task], timeout=0.2))[0] or faults.lifted:
                return
    finally:
        task.cancel()


async def lifespan(receive: Any, send: Any) -> None:
    """Answer a server that announces its start and its end."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
