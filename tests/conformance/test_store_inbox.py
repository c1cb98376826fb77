"""The inbox, over both stores: duplicates, leases, dead letters."""

import asyncio
from typing import Any

from bridge.storage.memory import MemoryStore
from bridge.storage.queries import Queries
from tests.support.builders import NOW, Scene, after, provider_event


def replaying(store: Any) -> Any:
    """Replay is a person's act: on PostgreSQL it belongs to the queries."""
    return store if isinstance(store, MemoryStore) else Queries(store.pool)


async def test_two_deliveries_at_the_same_moment_are_one_event(scene: Scene) -> None:
    """Both succeed; one stored it."""
    events = [provider_event(f"evt_{n}") for n in range(6)]
    deliveries = (scene.store.receive(events[:: 1 if n % 2 else -1], NOW) for n in range(6))
    assert sum(await asyncio.gather(*deliveries)) == 6
    assert len(await scene.store.claim_inbox(NOW, limit=100, lease_ms=1_000)) == 6


async def test_a_delivery_after_the_effect_is_ignored(scene: Scene) -> None:
    """Known by its id for ever."""
    await scene.store.receive([provider_event("evt_1")], NOW)
    await scene.store.settle_inbox(["evt_1"], NOW)
    assert await scene.store.receive([provider_event("evt_1", type="other")], NOW) == 0
    assert await scene.store.claim_inbox(after(9), limit=9, lease_ms=1) == []


async def test_two_workers_never_hold_the_same_event(scene: Scene) -> None:
    """Claims pass over what another holds."""
    await scene.store.receive([provider_event(f"evt_{n}") for n in range(20)], NOW)
    claims = (scene.store.claim_inbox(NOW, limit=6, lease_ms=9_000) for _ in range(4))
    taken = [item.event.id for items in await asyncio.gather(*claims) for item in items]
    assert len(taken) == len(set(taken))


async def test_an_event_whose_worker_died_is_claimed_again_after_the_lease(
    scene: Scene,
) -> None:
    """The lease is ``due_at``; the body survives as sent."""
    event = provider_event("evt_1", order_id="ord_1")
    await scene.store.receive([event], NOW)
    assert len(await scene.store.claim_inbox(NOW, limit=1, lease_ms=5_000)) == 1
    assert await scene.store.claim_inbox(after(4), limit=1, lease_ms=5_000) == []
    [item] = await scene.store.claim_inbox(after(5), limit=1, lease_ms=5_000)
    assert (item.event, item.attempts) == (event, 0)


async def test_a_failed_event_counts_its_attempts_and_a_waiting_one_does_not(
    scene: Scene,
) -> None:
    """``error`` is what counts."""
    await scene.store.receive([provider_event("evt_1")], NOW)
    await scene.store.defer_inbox("evt_1", after(1), error=None)
    await scene.store.defer_inbox("evt_1", after(2), error="boom")
    assert await scene.store.claim_inbox(after(1), limit=1, lease_ms=1) == []
    [item] = await scene.store.claim_inbox(after(2), limit=1, lease_ms=1)
    assert item.attempts == 1


async def test_a_dead_event_waits_for_a_person_and_can_be_replayed(scene: Scene) -> None:
    """Given up is not lost."""
    await scene.store.receive([provider_event("evt_1"), provider_event("evt_2")], NOW)
    for event_id in ("evt_1", "evt_2"):
        await scene.store.defer_inbox(event_id, after(1), error="boom", dead=True)
    assert await scene.store.claim_inbox(after(99), limit=9, lease_ms=1) == []
    assert await scene.store.receive([provider_event("evt_1")], NOW) == 0
    person = replaying(scene.store)
    assert await person.replay_inbox(["evt_2", "evt_unknown"], after(100)) == 1
    [item] = await scene.store.claim_inbox(after(100), limit=9, lease_ms=1_000)
    assert (item.event.id, item.attempts) == ("evt_2", 0)
    assert await person.replay_inbox(None, after(100)) == 1


async def test_the_newest_event_is_by_the_providers_own_time(scene: Scene) -> None:
    """The sweep asks the provider for everything since then."""
    assert await scene.store.newest_event_at() is None
    events = [
        provider_event("evt_1", created_at=after(9)),
        provider_event("evt_2", created_at=after(3)),
    ]
    await scene.store.receive(events, after(20))
    assert await scene.store.newest_event_at() == after(9)
