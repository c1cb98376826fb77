"""Wake-ups: coalesced, out of every transaction, and back after a broken connection."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bridge.storage.store import PostgresStore
from bridge.storage.wake import EVENTS, WORK, Wake, announce
from settlement.ports.payment import ProviderEvent
from tests.support.builders import NOW, Scene
from tests.support.waiting import eventually


@pytest.fixture
async def wake(database_dsn: str) -> AsyncIterator[Wake]:
    """A running one on the module's database."""
    wake = Wake(database_dsn)
    await wake.start()
    yield wake
    await wake.stop()


async def test_a_hint_reaches_every_listener_of_its_channel(wake: Wake, database_dsn: str) -> None:
    """And no listener of another."""
    work: list[str] = []
    events: list[str] = []
    other = Wake(database_dsn)
    wake.listen([WORK], work.append)
    other.listen([EVENTS], events.append)
    try:
        await eventually(lambda: work and events, what="both to listen")
        wake.notify(WORK)
        await eventually(lambda: len(work) > 1, what="the hint")
        assert set(work) == {WORK}
        assert set(events) == {EVENTS}
        assert len(events) == 1
    finally:
        await other.stop()


async def test_a_thousand_requests_at_once_become_few_hints(wake: Wake) -> None:
    """At most one on its way and one after it."""
    heard: list[str] = []
    wake.listen([WORK], heard.append)
    await eventually(lambda: heard, what="the listener")
    for _ in range(1_000):
        wake.notify(WORK)
    await eventually(lambda: len(heard) >= 2, what="the first hint")
    wake.notify(EVENTS)
    wake.notify(WORK)
    await eventually(lambda: len(heard) >= 3, what="the hint after")
    assert len(heard) <= 4


async def test_both_ends_come_back_after_their_connections_were_cut(
    wake: Wake, module_store: PostgresStore
) -> None:
    """The listener hints itself on reconnecting, since something may have been missed."""
    heard: list[str] = []
    wake.listen([WORK], heard.append)
    await eventually(lambda: heard, what="the listener")
    before = len(heard)
    await module_store.pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'tidegate-%' AND datname = current_database()"
    )
    await eventually(lambda: len(heard) > before, what="the listener's return")
    now = len(heard)
    wake.notify(WORK)
    await eventually(lambda: len(heard) > now, what="a hint after the cut")


async def test_notifying_without_a_server_neither_blocks_nor_raises() -> None:
    """A hint that cannot be sent is only late."""
    wake = Wake("postgresql://nobody@127.0.0.1:1/none")
    await wake.start()
    wake.notify(WORK)
    await asyncio.wait_for(wake.stop(), 5)


async def test_neither_accepting_nor_moving_an_order_notifies(
    postgres_store: PostgresStore, database_dsn: str
) -> None:
    """Hints come in the order of commits, and the first one that is heard is the one sent last."""
    heard: list[str] = []
    listener = await asyncpg.connect(database_dsn)
    try:
        for channel in (WORK, EVENTS):
            await listener.add_listener(channel, lambda *told: heard.append(told[2]))
        order = await Scene(postgres_store).captured()
        event = ProviderEvent("evt_1", "charge.updated", NOW, order.payment_intent_id, None, {})
        assert await postgres_store.receive([event], NOW) == 1
        await announce(postgres_store.pool, EVENTS)
        await eventually(lambda: heard, what="the one hint")
        assert heard == [EVENTS]
    finally:
        await listener.close()
