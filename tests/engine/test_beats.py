"""When answers are slow, a worker must get less done, not nothing."""

import asyncio
from dataclasses import replace

from bridge.storage.wake import Wake
from bridge.worker import Worker
from settlement.ports.bundle import each
from tests.support.engine import an_engine


async def test_items_that_would_outlast_the_lease_are_not_begun():
    """What was done in time is returned and can be stored; the rest is claimed again later."""
    engine = await an_engine()
    engine.ports = replace(
        engine.ports, policy=replace(engine.ports.policy, lease_ms=8_000, concurrency=1)
    )

    async def slowly(item: int) -> int:
        engine.clock.pass_s(1)
        return item

    assert await each(engine.ports, range(200), slowly) == [0, 1, 2]
    assert engine.log.count("item_failed") == 0


class Slow:
    """A provider whose event list takes for ever."""

    def __init__(self) -> None:
        self.asked = 0
        self.answering = asyncio.Event()

    async def events_since(self, _created_at: object) -> list[object]:
        self.asked += 1
        await self.answering.wait()
        return []


async def test_sweeps_do_not_pile_up_while_the_provider_is_slow():
    """The next begins when the last has ended."""
    engine = await an_engine()
    slow = Slow()
    ports = replace(engine.ports, payment=slow)
    worker = Worker(ports, Wake("postgresql://nobody"), tick_ms=100, sweep_s=1)
    first = asyncio.ensure_future(worker.sweep())
    await asyncio.sleep(0)
    await asyncio.gather(*(worker.sweep() for _ in range(5)))
    assert slow.asked == 1
    slow.answering.set()
    await first
    await worker.sweep()
    assert slow.asked == 2
