"""What lanes do besides paying, on a real node: calling back, waiting for gas and for coins."""

import pytest

from settlement.batch import BatchStatus
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from tests.chain.world import fresh_address
from tests.flows.conftest import needs_anvil
from tests.flows.disturbing import in_flight
from tests.flows.test_settlement import captured


async def batch_of(bridge, batch_id):
    return (await bridge.queries.settlement(bridge.tenant, batch_id)).batch


async def test_a_batch_that_is_called_back_pays_nobody_and_the_next_one_pays_once(bridge):
    """A self-transfer with the same nonce is mined in its place; its gas is booked."""
    wallet = fresh_address()
    order_id = await in_flight(bridge, wallet)
    batch_id = (await bridge.order(order_id)).batch_id
    assert await bridge.store.ask(batch_id, bridge.clock.now(), cancel=True)
    order = await bridge.until(order_id, lambda order: order.batch_id != batch_id)
    assert "order.requeued" in await bridge.event_types(order_id)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert order.batch_id > batch_id
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_a_batch_that_was_mined_when_it_was_called_back_completes_its_orders(bridge):
    """The payment won the race for the nonce."""
    wallet = fresh_address()
    order_id = await captured(bridge, wallet=wallet)
    await settle(bridge.ports)
    batch_id = (await bridge.order(order_id)).batch_id
    bridge.world.rpc("evm_mine")
    await bridge.store.ask(batch_id, bridge.clock.now(), cancel=True)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert (await batch_of(bridge, batch_id)).status is BatchStatus.FINAL
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


@needs_anvil
async def test_an_account_without_coins_holds_orders_until_it_has_some(bridge):
    """No nonce is spent, nothing fails; funding it is enough."""
    lane = bridge.world.settler.address
    had = bridge.world.rpc("eth_getBalance", lane, "latest")
    bridge.world.rpc("anvil_setBalance", lane, "0x1")
    order_id = await captured(bridge)
    held = await bridge.until(order_id, lambda o: o.hold_reason is HoldReason.LIQUIDITY)
    assert (held.status, held.batch_id) == (Status.CAPTURED, None)
    [state] = await bridge.store.lanes("local")
    assert state.lane.low_since is not None
    bridge.world.rpc("anvil_setBalance", lane, had)
    await bridge.reach(order_id, Status.COMPLETED)
    await bridge.check_books()


async def test_above_the_cap_nothing_is_signed_and_below_it_everything_goes_on(bridge):
    """The cap is the deployment's own setting."""
    bridge.with_policy(fee_caps_wei={"local": 1})
    order_id = await captured(bridge)
    held = await bridge.until(order_id, lambda o: o.hold_reason is HoldReason.FEE_CAP)
    assert held.batch_id is None
    bridge.with_policy(fee_caps_wei={"local": 10**12})
    await bridge.reach(order_id, Status.COMPLETED)
    await bridge.check_books()


@pytest.mark.parametrize("what", ["network", "lane"])
async def test_a_pause_holds_what_waits_and_ends_with_everybody_paid(bridge, what):
    """By the operator's own hand, without touching the vault."""
    where = ("local",) if what == "network" else ("local", bridge.world.settler.address)
    now = bridge.clock.now()
    assert await getattr(bridge.store, f"pause_{what}")(*where, now, by="op_1")
    order_id = await captured(bridge)
    held = await bridge.until(order_id, lambda o: o.hold_reason is HoldReason.PAUSED)
    assert held.batch_id is None
    assert await getattr(bridge.store, f"resume_{what}")(*where, bridge.clock.now())
    await bridge.reach(order_id, Status.COMPLETED)
    await bridge.check_books()


async def test_a_counter_that_ran_ahead_is_brought_back(bridge):
    """Otherwise every later transaction would wait behind a hole for ever."""
    await bridge.store.pool.execute("UPDATE lanes SET next_nonce = next_nonce + 3")
    order_id = await captured(bridge)
    order = await bridge.reach(order_id, Status.COMPLETED)
    on_chain = await bridge.chain.nonce(bridge.world.settler.address)
    assert (await batch_of(bridge, order.batch_id)).nonce == on_chain - 1


@needs_anvil
async def test_a_hole_below_a_sent_batch_is_filled(bridge):
    """By a transaction that does nothing; the batch above it is mined then."""
    wallet = fresh_address()
    order_id = await in_flight(bridge, wallet)
    # Our books gave the nonce below to nobody: as after a repair by hand.
    await bridge.store.pool.execute("UPDATE lanes SET next_nonce = next_nonce + 1")
    batch_id = (await bridge.order(order_id)).batch_id
    await bridge.store.pool.execute(
        "UPDATE batches SET nonce = nonce + 1, status = 'planned' WHERE id = $1", batch_id
    )
    await bridge.store.pool.execute("DELETE FROM batch_attempts WHERE batch_id = $1", batch_id)
    bridge.with_policy(rebroadcast_ms=0)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor
    rows = await bridge.store.pool.fetch("SELECT order_count, status FROM batches ORDER BY nonce")
    assert [tuple(row) for row in rows] == [(0, "cancelled"), (1, "final")]
    await bridge.check_books()
