"""Orders that wait for a person or for funds: with a reason, without harm, and not for ever."""

import pytest

from settlement.batch import BatchStatus
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from tests.support.engine import RICH_WEI, Engine, an_engine

B = BatchStatus


async def drain(engine: Engine, lane: str) -> None:
    engine.chain.give(lane, coins=-engine.chain.state.coins[lane])


async def test_a_lane_without_funds_leaves_orders_waiting_and_says_so_once():
    """None fails; one alert; it goes on by itself once the account is funded."""
    engine = await an_engine()
    await drain(engine, "0xlane0")
    orders = [await engine.order() for _ in range(7)]
    for _ in range(5):
        await engine.step(seconds=70)
    for order in orders:
        stored = await engine.now(order)
        assert (stored.status, stored.hold_reason) == (Status.CAPTURED, HoldReason.LIQUIDITY)
    assert engine.log.count("lane_low") == 1
    [state] = await engine.store.lanes("local")
    assert state.lane.low_since is not None
    engine.chain.give("0xlane0", coins=RICH_WEI)
    await engine.until_quiet(limit=20)
    assert engine.log.count("lane_funded") == 1
    assert all(engine.paid(order) for order in orders)
    await engine.check()


async def test_a_lane_without_funds_leaves_its_orders_to_those_with_funds():
    """Nobody is told to wait."""
    engine = await an_engine(lanes=3)
    await drain(engine, "0xlane0")
    await drain(engine, "0xlane2")
    orders = [await engine.order() for _ in range(12)]
    await engine.until_quiet()
    assert {batch.lane_address for batch in engine.batches()} == {"0xlane1"}
    for order in orders:
        events = [event.type for event in await engine.store.events(order.id)]
        assert "order.held" not in events
    await engine.check()


async def test_a_lane_plans_only_what_it_can_pay_for_beside_its_open_bids():
    """The worst case of what is on its way is set aside first."""
    engine = await an_engine()
    await drain(engine, "0xlane0")
    worst = 2_100_000_000 * (50_000 + 30_000 * 3)
    engine.chain.give("0xlane0", coins=worst)
    for _ in range(10):
        await engine.order()
    for _ in range(3):
        await settle(engine.ports)
    assert [batch.order_count for batch in engine.batches()] == [3]
    assert engine.log.count("lane_low") == 1
    engine.chain.mine()
    engine.chain.give("0xlane0", coins=RICH_WEI)
    await engine.until_quiet()
    await engine.check()


@pytest.mark.parametrize("what", ["network", "lane"])
async def test_a_pause_holds_new_orders_and_follows_what_was_sent(what: str):
    """What is on its way is finished; what waits says why; resuming goes on at once."""
    engine = await an_engine()
    sent = [await engine.order() for _ in range(2)]
    await settle(engine.ports)
    where = ("local",) if what == "network" else ("local", "0xlane0")
    await getattr(engine.store, f"pause_{what}")(*where, engine.clock.now(), by="op_1")
    waiting = await engine.order()
    for _ in range(6):
        await engine.step()
    assert [(await engine.now(o)).status for o in sent] == [Status.COMPLETED] * 2
    held = await engine.now(waiting)
    assert (held.status, held.hold_reason) == (Status.CAPTURED, HoldReason.PAUSED)
    assert len(engine.batches()) == 1
    await getattr(engine.store, f"resume_{what}")(*where, engine.clock.now())
    await settle(engine.ports)
    assert len(engine.batches()) == 2
    await engine.until_quiet()
    events = [event.type for event in await engine.store.events(waiting.id)]
    assert events.count("order.held") == 1
    await engine.check()


async def test_a_paused_lane_leaves_new_orders_to_the_others():
    """Only when all are paused does anybody wait."""
    engine = await an_engine(lanes=2)
    await engine.store.pause_lane("local", "0xlane0", engine.clock.now(), by="op_1")
    order = await engine.order()
    await engine.until_quiet()
    assert {batch.lane_address for batch in engine.batches()} == {"0xlane1"}
    events = [event.type for event in await engine.store.events(order.id)]
    assert "order.held" not in events
    await engine.store.pause_lane("local", "0xlane1", engine.clock.now(), by="op_1")
    waiting = await engine.order()
    await engine.step()
    assert (await engine.now(waiting)).hold_reason is HoldReason.PAUSED


async def test_a_cancellation_goes_through_while_the_network_is_paused():
    """That may be just why it was paused; the orders then wait."""
    engine = await an_engine()
    order = await engine.order()
    await settle(engine.ports)
    [batch] = engine.batches()
    now = engine.clock.now()
    await engine.store.pause_network("local", now, by="op_1")
    await engine.store.ask(batch.id, now, cancel=True)
    for _ in range(8):
        await engine.step()
    assert engine.batches()[0].status is B.CANCELLED
    stored = await engine.now(order)
    assert (stored.batch_id, stored.hold_reason) == (None, HoldReason.PAUSED)
    await engine.check()
