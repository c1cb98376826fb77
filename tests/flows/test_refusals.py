"""What must not happen, end to end: no capture, no tokens, no double effect; books as before."""

from datetime import timedelta

import pytest
import stripe

from settlement.ledger.accounts import Account
from settlement.order import HoldReason, Status
from settlement.stages import capture, charge, inbox, refund, release, screen
from tests.chain.world import fresh_address
from tests.flows.bridge import DOUBTFUL, SANCTIONED, STOCK
from tests.support.waiting import eventually


async def nothing_happened(bridge, order_id, wallet=None):
    """The hold was released, nothing was taken, no token moved, the books are as they were."""
    intent = await bridge.intent(order_id)
    assert (intent["status"], intent["amount_received"]) == ("canceled", 0)
    if wallet:
        assert bridge.world.balance(wallet) == 0
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    for row in await bridge.store.balances(bridge.tenant):
        assert (row.debits_pending, row.credits_pending) == (0, 0)
    await bridge.check_books()


async def test_a_declined_card_leaves_the_order_open_and_says_why(bridge):
    """The decline code is shown; another card completes the same order."""
    order_id = await bridge.place()
    with pytest.raises(stripe.CardError):
        await bridge.pay(order_id, "pm_card_chargeDeclinedInsufficientFunds")
    order = await bridge.until(order_id, lambda order: order.decline_code)
    assert (order.status, order.decline_code) == (Status.AWAITING_PAYMENT, "insufficient_funds")
    shown = (await bridge.api.get(f"/v1/orders/{order_id}")).json()
    assert shown["decline_code"] == "insufficient_funds"
    await bridge.pay(order_id)
    await bridge.reach(order_id, Status.COMPLETED)


@pytest.mark.parametrize(
    ("action", "status", "decline"),
    [
        ("fail", Status.AWAITING_PAYMENT, "payment_intent_authentication_failure"),
        ("complete", Status.AUTHORIZED, None),
    ],
)
async def test_three_d_secure_decides(bridge, action, status, decline):
    """Nothing happens before the customer has proven who they are; a failure is a decline."""
    order_id = await bridge.place()
    intent = await bridge.pay(order_id, "pm_card_threeDSecure2Required")
    assert intent.status == "requires_action"
    await bridge.step()
    assert (await bridge.order(order_id)).status is Status.AWAITING_PAYMENT
    page = intent.to_dict()["next_action"]["redirect_to_url"]["url"]
    answer = await bridge.emulator.post(page, data={"outcome": action})
    assert answer.status_code in (200, 302, 303), answer.text

    async def moved():
        await charge.tick(bridge.ports)
        order = await bridge.order(order_id)
        return order if (order.decline_code, order.status) == (decline, status) else None

    bridge.clock.ahead += timedelta(seconds=5)
    assert await eventually(moved)


async def test_an_unpaid_order_expires_and_its_intent_is_canceled(bridge):
    """After the quote's life the order is expired, and says so only once Stripe confirmed."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    bridge.clock.ahead += timedelta(minutes=16)
    order = await bridge.reach(order_id, Status.EXPIRED)
    assert order.reason == "quote_expired"
    await nothing_happened(bridge, order_id, wallet)


async def test_a_card_authorised_after_the_quote_expired_is_not_charged(bridge):
    """Stripe's own time of the charge decides."""
    order_id = await bridge.place()
    await bridge.emulator.post("/_emulator/clock", json={"advance_seconds": 16 * 60})
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.EXPIRED)
    assert order.reason == "authorized_too_late"
    await nothing_happened(bridge, order_id)
    await bridge.emulator.post("/_emulator/clock", json={"advance_seconds": -16 * 60})


async def test_a_sanctioned_wallet_is_never_captured(bridge):
    """The authorisation is voided; the screening says which list and version."""
    order_id = await bridge.place(wallet=SANCTIONED)
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.REJECTED)
    assert order.reason == "list.sanctions"
    await nothing_happened(bridge, order_id)
    shown = (await bridge.api.get(f"/v1/screenings/{order.screening_id}")).json()
    assert shown["outcome"] == "block"
    assert shown["reasons"][0]["code"] == "list.sanctions"
    assert shown["versions"]["sanctions"]


async def test_a_wallet_listed_after_its_screening_is_not_captured(bridge):
    """The lists are read again before the money is taken."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CLEARED, charge.tick, screen.tick)
    with bridge.lists.open("a") as lists:
        lists.write(f"ETH,{wallet},block\n")
    order = await bridge.reach(order_id, Status.REJECTED)
    assert order.reason == "list_veto"
    await nothing_happened(bridge, order_id, wallet)


async def test_a_wallet_listed_after_the_capture_is_held_for_a_person(bridge):
    """The money is here, the tokens stay: nobody is paid and nothing is refunded by itself."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    with bridge.lists.open("a") as lists:
        lists.write(f"ETH,{wallet},block\n")
    order = await bridge.until(order_id, lambda order: order.hold_reason is not HoldReason.NONE)
    assert (order.status, order.hold_reason) == (Status.CAPTURED, HoldReason.SANCTIONS)
    for _ in range(5):
        await bridge.step()
    assert (await bridge.order(order_id)).status is Status.CAPTURED
    assert bridge.world.balance(wallet) == 0


async def test_orders_wait_while_screening_is_down(bridge):
    """A list that cannot be read is not an empty list."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    content = bridge.lists.read_text()
    bridge.lists.write_text("asset;address\nnonsense")
    await bridge.tick_until(order_id, Status.AUTHORIZED, charge.tick)
    for _ in range(5):
        await bridge.step()
    assert (await bridge.order(order_id)).status is Status.AUTHORIZED
    bridge.lists.write_text(content)
    await bridge.reach(order_id, Status.COMPLETED)


async def test_without_tokens_an_order_waits_with_a_reason_and_is_then_voided(bridge):
    """No reservation, no capture; the customer's hold is given back."""
    await bridge.place()  # the tenant exists in the books
    bridge.with_policy(liquidity_patience_ms=60_000)
    big = [await bridge.place("2000.00", customer=f"cus_{n}") for n in range(6)]
    for order_id in big:
        await bridge.pay(order_id)
    waiting = [
        order_id
        for order_id in big
        if (await bridge.until(order_id, _settled_or_held)).status is Status.CLEARED
    ]
    assert len(waiting) == 1  # 10,000 tokens are enough for five of these
    held = await bridge.order(waiting[0])
    assert held.hold_reason is HoldReason.LIQUIDITY
    assert "order.held" in await bridge.event_types(waiting[0])
    bridge.clock.ahead += timedelta(minutes=17)
    order = await bridge.reach(waiting[0], Status.EXPIRED)
    assert order.reason == "no_inventory"
    intent = await bridge.intent(waiting[0])
    assert (intent["status"], intent["amount_received"]) == ("canceled", 0)
    await bridge.check_books()


def _settled_or_held(order):
    return order.status is Status.COMPLETED or order.hold_reason is HoldReason.LIQUIDITY


async def test_an_amount_changed_on_the_intent_is_noticed(bridge):
    """Whoever lowered it in the dashboard gets no tokens for it."""
    order_id = await bridge.place("100.00")
    order = await bridge.order(order_id)
    params = {"amount": 100}
    await bridge.stripe.v1.payment_intents.update_async(str(order.payment_intent_id), params)
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.REJECTED)
    assert order.reason == "amount_mismatch"
    await nothing_happened(bridge, order_id)


async def test_a_capture_in_the_dashboard_is_given_back(bridge):
    """Money that came before the wallet was screened is refunded, not used."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    order = await bridge.order(order_id)
    await bridge.stripe.v1.payment_intents.capture_async(str(order.payment_intent_id))
    await bridge.reach(order_id, Status.REFUNDED)
    charge_ = (await bridge.intent(order_id))["latest_charge"]
    assert charge_["amount_refunded"] == 10_000
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def test_a_partial_capture_in_the_dashboard_is_given_back_and_no_more(bridge):
    """What the capture released is no refund: exactly what was taken goes back."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    order = await bridge.order(order_id)
    params = {"amount_to_capture": 4_000}
    await bridge.stripe.v1.payment_intents.capture_async(str(order.payment_intent_id), params)
    await bridge.reach(order_id, Status.REFUNDED)
    refunds = await bridge.ports.payment.refunds_of(str(order.payment_intent_id))
    assert [refund.amount_minor for refund in refunds] == [4_000]
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def test_a_dashboard_refund_before_sending_stops_the_tokens(bridge):
    """Seen through the event list alone; refunded once, tokens back in the inventory."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    order = await bridge.tick_until(
        order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick
    )
    params = {"payment_intent": str(order.payment_intent_id)}
    await bridge.stripe.v1.refunds.create_async(params)
    await inbox.sweep(bridge.ports, order.created_at)
    await bridge.tick_until(order_id, Status.REFUNDED, inbox.tick, refund.tick)
    for _ in range(3):
        await bridge.step()
    assert bridge.world.balance(wallet) == 0
    assert (await bridge.intent(order_id))["latest_charge"]["amount_refunded"] == 10_000
    assert await bridge.balance(Account.VAULT, "local:DUSD") == STOCK
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def test_a_dashboard_refund_after_the_tokens_left_is_booked_as_our_loss(bridge):
    """Once, however often the event is swept."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.COMPLETED)
    params = {"payment_intent": str(order.payment_intent_id), "amount": 2_500}
    await bridge.stripe.v1.refunds.create_async(params)
    for _ in range(3):
        await inbox.sweep(bridge.ports, order.created_at)
        await bridge.step()
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == 2_500
    assert (await bridge.event_types(order_id)).count("order.refunded_outside") == 1
    assert (await bridge.order(order_id)).status is Status.COMPLETED
    await bridge.check_books()


async def test_a_dispute_before_sending_holds_the_order(bridge):
    """The bank has taken the money back for now: the tokens stay."""
    wallet = fresh_address()
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    order = await bridge.tick_until(
        order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick
    )
    answer = await bridge.emulator.post(
        f"/_emulator/charges/{order.charge_id}/dispute", json={"reason": "fraudulent"}
    )
    assert answer.status_code == 200, answer.text
    await inbox.sweep(bridge.ports, order.created_at)
    for _ in range(4):
        await bridge.step()
    order = await bridge.order(order_id)
    assert (order.status, order.hold_reason) == (Status.CAPTURED, HoldReason.DISPUTED)
    assert bridge.world.balance(wallet) == 0


STEPS = {
    Status.AWAITING_PAYMENT: (charge.tick,),
    Status.AUTHORIZED: (charge.tick,),
    Status.IN_REVIEW: (charge.tick, screen.tick),
    Status.CLEARED: (charge.tick, screen.tick),
    Status.CAPTURED: (charge.tick, screen.tick, capture.tick),
}


@pytest.mark.parametrize("status", [Status.AWAITING_PAYMENT, Status.AUTHORIZED, Status.IN_REVIEW])
async def test_a_customer_may_cancel_until_review_ends(bridge, status):
    """The answer is at once; canceled is said when Stripe has released the hold. Twice is fine."""
    wallet = DOUBTFUL if status is Status.IN_REVIEW else fresh_address()
    order_id = await bridge.place(wallet=wallet)
    if status is not Status.AWAITING_PAYMENT:
        await bridge.pay(order_id)
    await bridge.tick_until(order_id, status, *STEPS[status])
    answer = await bridge.cancel(order_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "voiding")
    assert (await bridge.cancel(order_id)).status_code == 200
    await bridge.reach(order_id, Status.CANCELED)
    assert (await bridge.cancel(order_id)).json()["status"] == "canceled"
    await nothing_happened(bridge, order_id, None if wallet == DOUBTFUL else wallet)


@pytest.mark.parametrize("status", [Status.CLEARED, Status.CAPTURED, Status.COMPLETED])
async def test_a_cancel_after_review_comes_too_late(bridge, status):
    """409, and the order goes on."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    if status is Status.COMPLETED:
        await bridge.reach(order_id, status)
    else:
        await bridge.tick_until(order_id, status, *STEPS[status])
    answer = await bridge.cancel(order_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "order_not_cancelable")
    await bridge.reach(order_id, Status.COMPLETED)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.REJECTED])
async def test_an_order_that_ended_otherwise_cannot_be_canceled(bridge, status):
    """What ended stays ended."""
    order_id = await bridge.place(wallet=SANCTIONED)
    if status is Status.REJECTED:
        await bridge.pay(order_id)
    else:
        bridge.clock.ahead += timedelta(minutes=16)
    await bridge.reach(order_id, status)
    assert (await bridge.cancel(order_id)).status_code == 409


async def test_a_review_that_nobody_ends_gives_the_hold_back_in_time(bridge):
    """Twelve hours before the card's own deadline, by that deadline and not by a constant."""
    order_id = await bridge.place(wallet=DOUBTFUL)
    await bridge.pay(order_id)
    order = await bridge.reach(order_id, Status.IN_REVIEW)
    bridge.clock.ahead += order.capture_before - timedelta(hours=13) - bridge.clock.now()
    await screen.tick(bridge.ports)
    assert (await bridge.order(order_id)).status is Status.IN_REVIEW
    bridge.clock.ahead += timedelta(hours=2)
    await bridge.tick_until(order_id, Status.EXPIRED, screen.tick, release.tick)
    assert (await bridge.order(order_id)).reason == "review_timeout"
    await nothing_happened(bridge, order_id)


async def test_an_order_that_ends_unpaid_gives_its_share_of_the_limit_back(bridge):
    """What was not spent may be spent again the same day."""

    async def remaining():
        answer = await bridge.api.get("/v1/limits", params={"customer": "cus_1"})
        return answer.json()["data"][0]["customer_day_remaining"]["amount"]

    order_id = await bridge.place("2000.00")
    assert await remaining() == "3000.00"
    await bridge.cancel(order_id)
    await bridge.reach(order_id, Status.CANCELED)
    assert await remaining() == "5000.00"
