"""Several lanes, several workers: nobody waits for a slow one, nobody keeps what it leaves."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bridge.worker import Lanes
from settlement.batch import BatchStatus
from settlement.errors import ChainUnknown
from settlement.order import Status
from settlement.pipeline import settle, take_lanes, work_lane
from settlement.ports.bundle import Ports
from settlement.stages import submit
from tests.support.engine import Engine, an_engine
from tests.support.waiting import eventually


@dataclass
class Held:
    """A chain whose ``method`` waits for ``go`` where ``wanted`` says so."""

    chain: Any
    method: str
    wanted: str = "0xlane0"
    go: asyncio.Event = field(default_factory=asyncio.Event)
    reached: int = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.chain, name)
        if name != self.method:
            return real

        async def call(lane: str, *rest: Any) -> Any:
            if lane == self.wanted:
                self.reached += 1
                await self.go.wait()
            return await real(lane, *rest)

        return call


def held(engine: Engine, method: str) -> Held:
    gate = Held(engine.chain, method)
    engine.ports = replace(engine.ports, chains={"local": gate})
    return gate


async def test_a_lane_whose_lease_cannot_be_renewed_is_left_at_once():
    """Its work is cancelled before the lease ends; nothing of it is stored or sent."""
    engine = await an_engine()
    order = await engine.order()
    engine.with_policy(lane_lease_ms=200)
    gate = held(engine, "sign")
    [lane] = await take_lanes(engine.ports, "local")
    work = asyncio.ensure_future(work_lane(engine.ports, lane))
    await eventually(lambda: gate.reached, what="the signature")
    engine.clock.pass_s(1)
    [taken] = await take_lanes(engine.another_worker(), "local")
    assert await asyncio.wait_for(work, 5) == 0
    [batch] = await engine.store.open_batches(taken)
    assert (batch.status, batch.attempts) == (BatchStatus.PLANNED, ())
    assert engine.chain.mempool == {}
    assert (await engine.now(order)).status is Status.SUBMITTED


async def test_a_long_look_at_a_slow_node_keeps_its_lease():
    """It is renewed while the work goes on; another worker gets nothing meanwhile."""
    engine = await an_engine()
    await engine.order()
    engine.with_policy(lane_lease_ms=200)
    gate = held(engine, "sign")
    [lane] = await take_lanes(engine.ports, "local")
    work = asyncio.ensure_future(work_lane(engine.ports, lane))
    await eventually(lambda: gate.reached, what="the signature")
    before = (await engine.store.lanes("local"))[0].leased_until
    engine.clock.moment = before

    async def renewed():
        [state] = await engine.store.lanes("local")
        return state.leased_until > before

    await eventually(renewed, what="the renewal")
    assert await take_lanes(engine.another_worker(), "local") == []
    gate.go.set()
    assert await work > 0


async def test_a_slow_lane_holds_up_no_other():
    """The worker's other lanes go round and round while one waits for its node."""
    engine = await an_engine(lanes=3)
    gate = held(engine, "sign")
    tasks: set[asyncio.Task[None]] = set()
    lanes = Lanes(engine.ports, lambda: None, lambda work: tasks.add(asyncio.ensure_future(work)))
    orders = [await engine.order() for _ in range(30)]

    async def most_are_done():
        await lanes.beat()
        engine.chain.mine()
        engine.clock.pass_s(2)
        done = [(await engine.now(o)).status is Status.COMPLETED for o in orders]
        return sum(done) == 25 and (await engine.now(orders[0])).status is not Status.COMPLETED

    await eventually(most_are_done, what="the others")
    gate.go.set()

    async def all_are_done():
        await lanes.beat()
        engine.chain.mine()
        engine.clock.pass_s(2)
        return all([(await engine.now(o)).status is Status.COMPLETED for o in orders])

    await eventually(all_are_done, what="all")
    await asyncio.gather(*tasks)
    await engine.check()


async def test_a_lane_in_trouble_does_not_keep_the_others_from_being_settled():
    """The first trouble is raised when all are done."""
    engine = await an_engine(lanes=2)
    orders = [await engine.order() for _ in range(10)]

    class Broken(Held):
        def __getattr__(self, name: str) -> Any:
            real = getattr(self.chain, name)

            async def call(lane: str, *rest: Any) -> Any:
                if lane == self.wanted:
                    raise ChainUnknown("no answer")
                return await real(lane, *rest)

            return call if name == "sign" else real

    engine.ports = replace(engine.ports, chains={"local": Broken(engine.chain, "sign")})
    with pytest.raises(ChainUnknown):
        await settle(engine.ports)
    sent = [batch for batch in engine.batches() if batch.status is BatchStatus.SENT]
    assert [(batch.lane_address, batch.order_count) for batch in sent] == [("0xlane1", 5)]
    assert len(orders) == 10


async def test_orders_are_spread_over_the_lanes():
    """Twenty orders in batches of five: each of four lanes sends one in the first round."""
    engine = await an_engine(lanes=4)
    for _ in range(20):
        await engine.order()
    await settle(engine.ports)
    assert sorted(batch.lane_id for batch in engine.batches()) == [1, 2, 3, 4]
    await engine.until_quiet()
    await engine.check()


async def test_two_workers_and_four_lanes_share_the_work_evenly():
    """Each works two lanes, and about half of the batches are its own."""
    engine = await an_engine(lanes=4)
    workers = [engine.ports, engine.another_worker()]
    sent = [0, 0]
    for _ in range(12):
        for _ in range(20):
            await engine.order()
        await asyncio.gather(*(_share(ports, sent, n) for n, ports in enumerate(workers)))
        engine.chain.mine()
        engine.clock.pass_s(2)
    assert sum(sent) == 48
    assert min(sent) >= 20, sent
    await engine.until_quiet()
    await engine.check()


async def _share(ports: Ports, sent: list[int], number: int) -> None:
    known = {batch.id for batch in ports.store.tables.batches.values()}
    lanes = await take_lanes(ports, "local")
    await asyncio.sleep(0)
    await asyncio.gather(*(work_lane(ports, lane) for lane in lanes))
    mine = {lane.id for lane in lanes}
    batches = ports.store.tables.batches.values()
    sent[number] += sum(b.id not in known and b.lane_id in mine for b in batches)


async def test_a_worker_takes_no_lane_whose_key_it_does_not_hold():
    """It could not sign, and whoever can would find the lane leased."""
    engine = await an_engine(lanes=3)
    engine.chain.signs_for = {"0xlane1"}
    lanes = await take_lanes(engine.ports, "local")
    assert [lane.address for lane in lanes] == ["0xlane1"]


async def test_a_lane_plans_no_more_than_a_pool_keeps():
    """Its open batches are bounded; the rest waits for other lanes or for blocks."""
    engine = await an_engine()
    engine.with_policy(lane_depth=3)
    for _ in range(30):
        await engine.order()
    for _ in range(6):
        await settle(engine.ports)
    assert len(engine.batches()) == 3
    await engine.until_quiet()
    await engine.check()


async def test_a_dead_workers_lane_is_worked_on_within_seconds():
    """What it had planned is signed by whoever takes over, with the same id and nonce."""
    engine = await an_engine()
    order = await engine.order()
    dead = held(engine, "sign")
    [lane] = await take_lanes(engine.ports, "local")
    task = asyncio.ensure_future(submit.tick(engine.ports, lane))
    await eventually(lambda: dead.reached, what="the signature")
    task.cancel()  # without giving its lane back
    await asyncio.gather(task, return_exceptions=True)
    living = replace(engine.another_worker(), chains={"local": engine.chain})
    assert await take_lanes(living, "local") == []
    engine.clock.pass_s(10)
    await settle(living)
    [batch] = engine.batches()
    assert (batch.status, batch.nonce) == (BatchStatus.SENT, 0)
    engine.ports = living
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()
