"""Ways to lose money or make the books lie on the card's side, each closed by a guard."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from settlement.errors import PaymentRefused
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from settlement.ports.payment import ProviderEvent
from settlement.stages import capture, charge, inbox, refund, release, screen
from tests.chain.world import fresh_address
from tests.flows.bridge import STOCK
from tests.flows.disturbing import disturb_payment, hear, refund_outside
from tests.flows.test_settlement import BeforeSending, captured
from tests.support.waiting import eventually


async def lose_capture(bridge, order_id):
    """The money is taken, and the worker dies before it can write that down."""
    await bridge.tick_until(order_id, Status.CLEARED, charge.tick, screen.tick)
    ports = bridge.ports

    async def die(real, *arguments):
        await real(*arguments)
        raise RuntimeError("the worker is gone")

    disturb_payment(bridge, "capture", die)
    await bridge.tick_until(order_id, Status.CAPTURING, capture.tick)
    bridge.ports = ports
    bridge.clock.ahead += timedelta(milliseconds=bridge.ports.policy.lease_ms + 1)


async def test_a_refund_made_while_a_capture_was_unrecorded_is_not_overlooked(bridge):
    """The key would repeat the answer from before the refund; what is true now is read."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await lose_capture(bridge, order_id)
    await refund_outside(bridge, order_id)
    await bridge.reach(order_id, Status.REFUNDED)
    assert bridge.world.balance(wallet) == 0
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def test_a_dispute_opened_while_a_capture_was_unrecorded_holds_the_order(bridge):
    """Held until the dispute is won, then paid: a charge stays marked as disputed for ever."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await lose_capture(bridge, order_id)
    charge_id = (await bridge.order(order_id)).charge_id
    answer = await bridge.emulator.post(f"/_emulator/charges/{charge_id}/dispute", json={})
    assert answer.status_code == 200, answer.text
    order = await bridge.tick_until(order_id, Status.CAPTURED, inbox.tick, capture.tick)
    assert order.hold_reason is HoldReason.DISPUTED
    for _ in range(3):
        await bridge.step()
    assert bridge.world.balance(wallet) == 0
    evidence: Any = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
    await bridge.stripe.v1.disputes.update_async(answer.json()["id"], evidence)
    await hear(bridge, order_id)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor


async def test_a_refund_made_while_a_batch_that_then_reverts_was_on_its_way(bridge):
    """The order joins no other batch: the customer has the money back already."""
    wallet = fresh_address()
    order_id = await captured(bridge, wallet=wallet)
    world = bridge.world

    thief = BeforeSending(bridge.chain, lambda: world.drain(world.balance(world.vault.address)))
    bridge.ports = replace(bridge.ports, chains={"local": thief})
    await settle(bridge.ports)
    assert (await bridge.order(order_id)).batch_id is not None
    await refund_outside(bridge, order_id)
    await hear(bridge, order_id)
    world.stock(STOCK)

    async def requeued():
        world.rpc("evm_mine")
        await settle(bridge.ports)
        return "order.requeued" in await bridge.event_types(order_id)

    await eventually(requeued, what="the revert to be final")
    for _ in range(3):
        await settle(bridge.ports)
        bridge.clock.ahead += timedelta(seconds=1)
        world.rpc("evm_mine")
    assert world.balance(wallet) == 0
    bridge.clock.ahead += timedelta(seconds=5)
    await bridge.tick_until(order_id, Status.REFUNDED, inbox.tick, refund.tick)
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def bank_returns(bridge, refund_id):
    answer = await bridge.emulator.post(
        f"/_emulator/refunds/{refund_id}/settle", json={"succeeded": False}
    )
    assert answer.status_code == 200, answer.text


async def test_a_refund_that_the_bank_sends_back_later_is_owed_again(bridge):
    """Refunded is not the end of it: the payable opens again, and a person is told."""
    blocked = fresh_address()
    bridge.world.do(bridge.world.dollar.functions.setBlocked(blocked, True), bridge.world.owner)
    order_id = await captured(bridge, wallet=blocked)
    order = await bridge.reach(order_id, Status.REFUNDED)
    await bank_returns(bridge, order.refund_id)
    for _ in range(2):
        await hear(bridge, order_id)
    order = await bridge.order(order_id)
    assert (order.status, order.reason) == (Status.REFUND_FAILED, "refund_failed")
    assert await bridge.balance(Account.STRIPE, "USD") == 10_000
    assert await bridge.balance(Account.CUSTOMER, "USD") == -10_000
    await bridge.check_books()


async def test_a_dashboard_refund_that_comes_back_is_no_longer_our_loss(bridge):
    """Booked out as it was booked in, however often the events come."""
    order_id = await captured(bridge)
    await bridge.reach(order_id, Status.COMPLETED)
    refund_id = await refund_outside(bridge, order_id, 2_500)
    await hear(bridge, order_id)
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == 2_500
    await bank_returns(bridge, refund_id)
    for _ in range(2):
        await hear(bridge, order_id)
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == 0
    assert (await bridge.order(order_id)).hold_reason is HoldReason.NONE
    await bridge.check_books()


async def test_an_intent_that_nobody_will_ever_make_does_not_keep_the_order_open(bridge):
    """The provider refuses for good: the order expires and the customer's limit comes back."""

    async def refuse(_real, _order):
        raise PaymentRefused("the amount is too large", reason="amount_too_large")

    async def remaining():
        answer = (await bridge.api.get("/v1/limits", params={"customer": "cus_big"})).json()
        return answer["data"]

    before = await remaining()
    disturb_payment(bridge, "create_intent", refuse)
    quote = await bridge.quote()
    wallet = {"network": "local", "address": fresh_address()}
    body = {"quote_id": quote["id"], "wallet": wallet, "customer": "cus_big"}
    order_id = (await bridge.post("/v1/orders", body)).json()["id"]
    assert await remaining() != before
    bridge.clock.ahead += timedelta(minutes=16)
    await bridge.tick_until(order_id, Status.EXPIRED, charge.tick, release.tick)
    assert await remaining() == before


async def test_one_order_that_the_database_refuses_does_not_undo_the_others(bridge):
    """Its booking exists already; the order beside it in the same statement is authorised."""
    odd, fine = await bridge.place(), await bridge.place(customer="cus_2")
    for order_id in (odd, fine):
        await bridge.pay(order_id)
    booking = journal.authorized(await bridge.order(odd))
    await bridge.store.book(bridge.tenant, odd, booking, bridge.clock.now())
    bridge.clock.ahead += timedelta(seconds=61)
    await bridge.tick_until(fine, Status.AUTHORIZED, charge.tick)
    assert (await bridge.order(odd)).status is Status.AWAITING_PAYMENT


async def test_an_event_is_swept_although_a_newer_one_was_delivered(bridge):
    """One delivery that arrived says nothing about those before it that were lost."""
    order_id = await captured(bridge)
    later = bridge.clock.now() + timedelta(hours=1)
    newer = ProviderEvent("evt_newer", "charge.captured", later, None, None, {})
    await bridge.store.receive([newer], bridge.clock.now())
    await refund_outside(bridge, order_id)
    await hear(bridge, order_id)
    assert (await bridge.order(order_id)).status is Status.REFUND_PENDING


async def test_a_list_that_somebody_emptied_clears_nobody(bridge):
    """A file without its header is a mistake, not a list without entries."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    content = bridge.lists.read_text()
    await bridge.tick_until(order_id, Status.AUTHORIZED, charge.tick)
    for broken in ("", "asset,address\nETH\n"):
        bridge.lists.write_text(broken)
        for _ in range(3):
            await bridge.step()
        assert (await bridge.order(order_id)).status is Status.AUTHORIZED
    bridge.lists.write_text(content)
    await bridge.reach(order_id, Status.COMPLETED)
