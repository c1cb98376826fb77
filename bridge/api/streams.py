"""Following one order: each process listens once, and wakes whoever waits for any order.

A hint carries no facts. Whoever is woken reads the order's events from the database, and reads
them anyway every :data:`POLL_S`, so that a lost notification costs time and nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec

from bridge.api.auth import Caller
from bridge.api.schemas.orders import FRONTEND_SKIPS, event_view
from bridge.api.services import Services
from bridge.storage.wake import EVENTS, Wake
from settlement.events import StoredEvent
from settlement.order import FINAL, Order

POLL_S = 2.0
"""How often a reader looks by itself."""

KEEP_ALIVE_S = 15.0
"""A comment at least this often, so that proxies keep the connection open."""

STREAMS_PER_ORDER_MAX = 10
"""A customer's tabs and devices; each one reads the database again and again."""

STREAMS_MAX = 1000
"""Per process. Whoever is refused may still ask for the plain list of events."""

_encode = msgspec.json.Encoder().encode
_FINAL_EVENTS = frozenset(f"order.{status}" for status in FINAL)


class Hub:
    """One listener per process, any number of readers."""

    def __init__(self, wake: Wake) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._streams: Counter[str] = Counter()
        wake.listen([EVENTS], self._hint)

    def _hint(self, _channel: str) -> None:
        for event in self._waiting:
            event.set()

    def has_room(self, order_id: str) -> bool:
        """Whether one more stream may follow this order."""
        if self._streams[order_id] >= STREAMS_PER_ORDER_MAX:
            return False
        return self._streams.total() < STREAMS_MAX

    @contextmanager
    def stream(self, order_id: str) -> Iterator[asyncio.Event]:
        """One stream's place, and its event as :meth:`watch` gives it."""
        self._streams[order_id] += 1
        try:
            with self.watch() as event:
                yield event
        finally:
            self._streams[order_id] -= 1
            if not self._streams[order_id]:
                del self._streams[order_id]

    def close(self) -> None:
        """Wake everyone one last time (the server is stopping)."""
        self._hint(EVENTS)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that is set on every hint; the reader clears it before it reads."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for a hint, at most ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def wait_for_intent(services: Services, hub: Hub, order: Order, seconds: float) -> Order:
    """The order once its payment intent exists, or as it is after ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with hub.watch() as hint:
        while order.payment_client_secret is None and order.status not in FINAL:
            left = deadline - loop.time()
            if left <= 0:
                break
            hint.clear()
            fresh = await services.store.get(order.id)
            if fresh is not None:
                order = fresh
            if order.payment_client_secret is None:
                await pause(hint, min(left, POLL_S))
    return order


async def follow(
    services: Services, hub: Hub, caller: Caller, order_id: str, after_id: int
) -> AsyncIterator[bytes]:
    """The order's events after ``after_id`` as Server-Sent Events, until a final status.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    loop = asyncio.get_running_loop()
    if not hub.has_room(order_id):
        return  # many came at the same moment, and the handler saw none of the others yet
    spoken, checked = loop.time(), False
    with hub.stream(order_id) as hint, services.metrics.streams.track_inprogress():
        yield b"retry: 1000\n\n"
        while True:
            hint.clear()
            events = await services.queries.order_events(caller.tenant_id, order_id, after_id)
            for event in events:
                after_id = event.id
                if not (caller.is_frontend and event.type in FRONTEND_SKIPS):
                    yield encode_event(event, caller)
            if events:
                spoken = loop.time()
                if any(event.type in _FINAL_EVENTS for event in events):
                    return  # its escrow's history goes on, and has its own place
                continue
            if not checked and await _is_over(services, order_id):
                return  # resumed after the last event
            checked = True
            if loop.time() - spoken >= KEEP_ALIVE_S:
                spoken = loop.time()
                yield b": keep-alive\n\n"
            await pause(hint, POLL_S)


async def _is_over(services: Services, order_id: str) -> bool:
    order = await services.store.get(order_id)
    return order is None or order.status in FINAL


def encode_event(event: StoredEvent, caller: Caller) -> bytes:
    """One event as ``id``, ``event`` and one line of JSON ``data``."""
    data = _encode(event_view(event, frontend=caller.is_frontend))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), data)
