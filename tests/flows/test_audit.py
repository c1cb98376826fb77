"""Ways to pay twice or get stuck on the chain's side, each closed by a guard."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from settlement.errors import ChainUnknown, NetworkStopped
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, screen
from tests.chain.world import fresh_address, word
from tests.flows.bridge import STOCK
from tests.flows.disturbing import (
    Silent,
    disturb_chain,
    in_flight,
    restore_chain,
    unanswered,
)
from tests.flows.test_settlement import BeforeSending, captured
from tests.support.waiting import eventually


async def test_a_replacement_that_was_stored_and_never_sent_is_sent_later(bridge):
    """A crash or a silent node between the two must not end the reminders for ever."""
    wallet = fresh_address()
    order_id = await in_flight(bridge, wallet)
    bridge.with_policy(rebroadcast_ms=0, bump_ms=0)
    disturb_chain(bridge, "send", unanswered)
    with suppress(ChainUnknown):
        await settle(bridge.ports)
    bridge.with_policy(bump_ms=3_600_000)
    restore_chain(bridge)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_a_first_sending_that_fails_is_outbid_like_any_other(bridge):
    """Bytes that no node takes any more (the base fee has left them behind) are replaced."""
    order_id = await captured(bridge)
    disturb_chain(bridge, "send", unanswered)
    await bridge.until(order_id, lambda order: order.status is Status.SUBMITTED)
    bridge.with_policy(rebroadcast_ms=0, bump_ms=0)
    await settle(bridge.ports)
    restore_chain(bridge)
    batch_id = (await bridge.order(order_id)).batch_id
    await bridge.reach(order_id, Status.COMPLETED)
    settled = await bridge.queries.settlement(bridge.tenant, batch_id)
    assert len(settled.batch.attempts) > 1
    await bridge.check_books()


async def test_a_replacement_that_cannot_be_priced_leaves_the_old_bytes_going(bridge):
    """A failing estimate is no reason to stop saying what is signed already."""
    order_id = await in_flight(bridge)
    bridge.with_policy(rebroadcast_ms=0, bump_ms=0)
    disturb_chain(bridge, "sign", unanswered)
    await bridge.reach(order_id, Status.COMPLETED)


async def test_a_nonce_that_somebody_else_used_up_stops_the_network(bridge):
    """Our bytes can never be mined: that must be said, not waited for in silence."""
    order_id = await in_flight(bridge)
    bridge.with_policy(rebroadcast_ms=0)
    theft = bridge.world.send(bridge.world.settler, fresh_address(), "0x", value=1)

    async def stopped():
        bridge.world.rpc("evm_mine")
        try:
            await settle(bridge.ports)
        except NetworkStopped:
            return True
        return False

    await eventually(stopped, what="the stop")
    state = await bridge.store.network("local")
    assert f"was used by another ({theft['transactionHash']})" in state.stop_reason
    assert (await bridge.order(order_id)).batch_id is not None


def paid_by_a_stranger(world, batch_id):
    """Another settler pays somebody under the batch id that is ours."""
    paid = world.do(world.pay(batch_id, [word(fresh_address(), 1)]), world.second)
    assert paid.succeeded


async def test_orders_of_a_batch_that_the_vault_holds_are_never_requeued(bridge):
    """Ours reverted because the id was paid before: whoever did it, nobody is paid again."""
    order_id = await captured(bridge)
    world = bridge.world
    thief = BeforeSending(bridge.chain, lambda: paid_by_a_stranger(world, 1))
    bridge.ports = replace(bridge.ports, chains={"local": thief})
    await bridge.until(order_id, lambda order: order.batch_id == 1)

    async def stopped():
        world.rpc("evm_mine")
        try:
            await settle(bridge.ports)
        except NetworkStopped:
            return True
        return False

    await eventually(stopped, what="the stop")
    order = await bridge.order(order_id)
    assert order.batch_id == 1
    assert "order.requeued" not in await bridge.event_types(order_id)


async def test_a_batch_id_that_a_restored_backup_gives_out_again_stops_the_network(bridge):
    """The vault knows it and we don't: nothing is signed before a person has looked."""
    order_id = await captured(bridge)
    paid_by_a_stranger(bridge.world, 1)
    with pytest.raises(NetworkStopped):
        await settle(bridge.ports)
    assert "batch 1" in (await bridge.store.network("local")).stop_reason
    assert (await bridge.order(order_id)).status is Status.SUBMITTED


async def test_rows_that_changed_after_the_plan_are_never_signed(bridge):
    """A wallet altered in the database does not give the root that was planned."""
    order_id = await captured(bridge)
    disturb_chain(bridge, "sign", unanswered)
    with pytest.raises(ChainUnknown):
        await settle(bridge.ports)
    restore_chain(bridge)
    thief = fresh_address()
    await bridge.store.pool.execute("UPDATE orders SET wallet = $2 WHERE id = $1", order_id, thief)
    for _ in range(3):
        bridge.clock.ahead += timedelta(seconds=31)
        with pytest.raises(Exception, match="planned"):
            await settle(bridge.ports)
    assert bridge.world.balance(thief) == 0


async def test_one_order_that_the_vault_cannot_pay_does_not_hold_up_the_others(bridge):
    """The large one waits for tokens, the small ones before and behind it are paid."""
    amounts = ["100.00", "2000.00", "100.00"]
    orders = [await bridge.place(a, customer=f"cus_{n}") for n, a in enumerate(amounts)]
    for order_id in orders:
        await bridge.pay(order_id)
        await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    world = bridge.world
    left = 300 * 10**6
    world.drain(STOCK - left)
    await bridge.reach(orders[0], Status.COMPLETED)
    await bridge.reach(orders[2], Status.COMPLETED)
    assert (await bridge.order(orders[1])).status is Status.CAPTURED
    world.stock(STOCK - left)
    await bridge.reach(orders[1], Status.COMPLETED)
    await bridge.check_books()


async def test_a_network_in_trouble_does_not_keep_the_others_from_being_settled(bridge):
    """Its node is silent; the next network's orders complete."""
    state = await bridge.store.network("local")
    await bridge.store.register_network("dark", state.identity, bridge.clock.now())
    await bridge.store.register_lane("dark", fresh_address(), 0)
    order_id = await captured(bridge)
    chains = {"dark": Silent(), "local": bridge.chain}
    bridge.ports = replace(bridge.ports, chains=chains)
    with pytest.raises(ChainUnknown):
        await settle(bridge.ports)
    assert (await bridge.order(order_id)).status is Status.SUBMITTED


async def test_nothing_is_captured_for_a_network_that_is_stopped(bridge):
    """No money is taken for what cannot be delivered; the hold is given back in time."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    await bridge.store.stop_network("local", "a person decides", bridge.clock.now())
    bridge.with_policy(liquidity_patience_ms=60_000)
    order = await bridge.until(order_id, lambda o: o.hold_reason is HoldReason.PAUSED)
    assert order.status is Status.CLEARED
    bridge.clock.ahead += timedelta(minutes=17)
    order = await bridge.reach(order_id, Status.EXPIRED)
    assert order.reason == "network_stopped"
    assert (await bridge.intent(order_id))["amount_received"] == 0


async def test_a_reason_to_wait_that_is_gone_is_not_shown_any_more(bridge):
    """Paused, then unpaused while the node cannot be asked: no longer shown as paused."""
    world = bridge.world
    world.do(world.vault.functions.pause(), world.owner)
    order_id = await captured(bridge)
    await bridge.until(order_id, lambda order: order.hold_reason is HoldReason.PAUSED)
    world.do(world.vault.functions.unpause(), world.owner)
    disturb_chain(bridge, "preflight", unanswered)
    order = await bridge.until(order_id, lambda order: order.hold_reason is HoldReason.NONE)
    assert order.status is Status.CAPTURED
