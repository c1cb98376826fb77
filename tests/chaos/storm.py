"""The storm itself: customers, the killer, the freezer and the reorganiser, side by side.

They keep step by count: the n-th kill comes when its share of the orders has been placed, and
orders wait when the kills fall behind. So the same seed gives the same schedule on any machine.
"""

import asyncio
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bridge.payments.stripe import EVENT_TYPES
from tests.chaos.customers import Buying, Customer, Lists, draw
from tests.chaos.options import LEASE_MS, REORG_DEPTH_MAX
from tests.chaos.shop import Shop
from tests.chaos.system import System
from tests.chaos.world import stripe_client
from tests.support.waiting import eventually

AHEAD = 12
"""How many orders may be placed before the next kill that is due has happened."""
AT_ONCE = 16
ORDER_PAUSE_S = 0.1
REORG_WAIT_S = 20.0
_LOOK_S = 0.03


@dataclass
class Storm:
    """One run. ``done`` counts what has happened so far."""

    system: System
    customers: list[Customer]
    lists: Lists
    placed: int = 0
    kills: int = 0
    reorgs: int = 0
    depths: list[int] = field(default_factory=list)

    async def rage(self) -> None:
        """Everything at once, until all of it has happened; what fails ends the rest."""
        shop = Shop(self.system)
        actors = (self._customers(shop), self._killer(), self._freezer(), self._reorganiser())
        try:
            async with asyncio.TaskGroup() as group:
                for actor in actors:
                    group.create_task(actor)
        finally:
            await shop.close()

    # The actors --------------------------------------------------------------------------------

    async def _customers(self, shop: Shop) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        total, kills = len(self.customers), self.system.options.kills

        async def one(customer: Customer) -> None:
            try:
                await Buying(self.system, shop, self.lists, customer).go()
            finally:
                gate.release()

        async with asyncio.TaskGroup() as group:
            for customer in self.customers:
                await gate.acquire()
                while kills and (self.kills + 1) * total / kills + AHEAD < self.placed:
                    await self.system.pause(_LOOK_S)
                self.placed += 1
                group.create_task(one(customer))
                await self.system.pause(ORDER_PAUSE_S)

    async def _killer(self) -> None:
        rng = self._rng("killer")
        for number, target in enumerate(victims(self.system, rng)):
            await self._share_placed(number, self.system.options.kills)
            if target not in ("postgres", "backend"):
                await self.system.ready(target)
            await self.system.pause(rng.random() * 0.8)
            await self.system.kill(target, rng)
            self.kills += 1

    async def _freezer(self) -> None:
        rng = self._rng("freezer")
        times = max(1, self.system.options.kills // 8)
        for number in range(times if self.system.options.kills else 0):
            await self._share_placed(number, times)
            target = rng.choice(self.system.workers())
            await self.system.ready(target)
            await self.system.freeze(target, LEASE_MS / 1000 * (1.2 + rng.random()))

    async def _reorganiser(self) -> None:
        """Waits a while for a block worth taking; an empty one will do if none comes."""
        rng = self._rng("reorganiser")
        for number in range(self.system.options.reorgs):
            await self._share_placed(number + 1, self.system.options.reorgs + 1)
            depth = rng.randint(1, REORG_DEPTH_MAX)
            limit = time.monotonic() + REORG_WAIT_S
            while not await self.system.chain.recent_transactions(depth):
                if time.monotonic() > limit:
                    break
                await self.system.pause(_LOOK_S)
            await self.system.chain.reorganise(depth, rng)
            self.reorgs += 1
            self.depths.append(depth)

    async def _share_placed(self, number: int, of: int) -> None:
        wanted = number * len(self.customers) // max(of, 1)
        while self.placed < wanted:
            await self.system.pause(_LOOK_S)

    def _rng(self, actor: str) -> Random:
        return Random(f"{self.system.options.seed}:{actor}")


def victims(system: System, rng: Random) -> list[str]:
    """Who is killed, in order: mostly workers, and now and then each of the others."""
    kills, workers = system.options.kills, system.workers()
    others = ["postgres", "api", "backend", "api", "postgres"]
    found = [
        others[(number // 2) % len(others)] if number % 2 else workers[number % len(workers)]
        for number in range(kills)
    ]
    if kills > 20:  # 3 of 10 that are not workers are plenty
        found = [
            rng.choice(others) if number % 10 in (1, 4, 8) else rng.choice(workers)
            for number in range(kills)
        ]
    return found


def drawn(seed: int, orders: int) -> list[Customer]:
    return [draw(seed, number, orders) for number in range(orders)]


async def drain(system: System, limit_s: float) -> float | None:
    """Lift everything and wait until nothing is under way; the seconds it took, or ``None``."""
    begun = time.monotonic()
    system.lift_faults()
    for name in list(system.children):
        await system.ready(name)

    async def quiet() -> bool:
        if await system.ask(_BUSY) == 0 and await _everything_heard(system):
            return await system.ask(_BUSY) == 0
        await system.pause(0.2)
        return False

    try:
        await eventually(quiet, limit_s=limit_s, what="quiet")
    except AssertionError:
        return None
    return time.monotonic() - begun


async def _everything_heard(system: System) -> bool:
    """Whether our inbox has every event that Stripe has: by webhook, or by the sweep."""
    client, told = stripe_client(system.emulator.url).v1, set()
    params: Any = {"limit": 100, "types": list(EVENT_TYPES)}
    async for event in (await client.events.list_async(params)).auto_paging_iter():
        told.add(event.id)
    return bool(await system.ask(_UNHEARD, sorted(told)) == 0)


_UNHEARD = "SELECT count(*) FROM unnest($1::text[]) AS t(id) WHERE id NOT IN (SELECT id FROM inbox)"

_BUSY = """
    SELECT (SELECT count(*) FROM orders WHERE status NOT IN
               ('completed', 'expired', 'canceled', 'rejected', 'refunded', 'refund_failed'))
         + (SELECT count(*) FROM batches WHERE status NOT IN ('final', 'reverted', 'cancelled'))
         + (SELECT count(*) FROM inbox WHERE state = 'pending')
"""
