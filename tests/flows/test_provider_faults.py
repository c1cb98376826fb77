"""Stripe misbehaves: lost answers, lost and doubled events. One effect each, or none."""

import asyncio
import json
import time

import pytest
import stripe

from settlement.ledger.accounts import Account
from settlement.order import Status
from settlement.stages import capture, charge, inbox, release, screen
from tests.chain.world import fresh_address
from tests.flows.bridge import SANCTIONED, WEBHOOK_SECRET


async def fault(bridge, kind, path, times=1, method="POST"):
    """Disturb the next matching request at the emulator."""
    answer = await bridge.emulator.post(
        "/_emulator/faults", json={"kind": kind, "method": method, "path": path, "times": times}
    )
    assert answer.status_code == 200, answer.text


KINDS = ["http_500", "http_429", "drop_before", "drop_after"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_intent_is_created_once_whatever_happens_to_the_answer(bridge, kind):
    """The same key finds it again: the order has one intent, and Stripe has one for it."""
    await fault(bridge, kind, "/v1/payment_intents")
    order_id = await bridge.place()
    listed = await bridge.stripe.v1.payment_intents.list_async({"limit": 100})
    mine = [i for i in listed.to_dict()["data"] if i["metadata"].get("order_id") == order_id]
    assert len(mine) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_capture_whose_answer_is_lost_is_made_once(bridge, kind):
    """The next look asks what became of it; the order completes."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    order = await bridge.order(order_id)
    await fault(bridge, kind, f"/v1/payment_intents/{order.payment_intent_id}/capture")
    await bridge.reach(order_id, Status.COMPLETED)
    assert (await bridge.intent(order_id))["amount_received"] == 10_000
    assert await bridge.balance(Account.STRIPE, "USD") == 10_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancellation_whose_answer_is_lost_ends_the_order_all_the_same(bridge, kind):
    """The exit is taken when Stripe says that the intent is canceled."""
    order_id = await bridge.place(wallet=SANCTIONED)
    await bridge.pay(order_id)
    order = await bridge.order(order_id)
    await fault(bridge, kind, f"/v1/payment_intents/{order.payment_intent_id}/cancel")
    await bridge.reach(order_id, Status.REJECTED)
    assert (await bridge.intent(order_id))["status"] == "canceled"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refund_whose_answer_is_lost_is_made_once(bridge, kind):
    """Existing refunds are read before every try."""
    blocked = fresh_address()
    bridge.world.do(bridge.world.dollar.functions.setBlocked(blocked, True), bridge.world.owner)
    order_id = await bridge.place(wallet=blocked)
    await bridge.pay(order_id)
    await fault(bridge, kind, "/v1/refunds")
    order = await bridge.reach(order_id, Status.REFUNDED)
    refunds = await bridge.stripe.v1.refunds.list_async(
        {"payment_intent": str(order.payment_intent_id)}
    )
    assert [r["amount"] for r in refunds.to_dict()["data"]] == [10_000]
    assert await bridge.balance(Account.STRIPE, "USD") == 0
    await bridge.check_books()


async def test_a_provider_that_is_away_delays_orders_and_fails_none(bridge):
    """Several lost calls in a row, then everything completes."""
    await fault(bridge, "drop_before", "*", times=5, method="*")
    quote = await bridge.quote()
    wallet = {"network": "local", "address": "0x" + "12" * 20}
    answer = await bridge.post(
        "/v1/orders", {"quote_id": quote["id"], "wallet": wallet, "customer": "cus_1"}
    )
    order_id = answer.json()["id"]
    await bridge.until(order_id, lambda order: order.payment_intent_id)
    await bridge.emulator.delete("/_emulator/faults")
    await bridge.pay(order_id)
    await bridge.reach(order_id, Status.COMPLETED)


def signed(event, secret=WEBHOOK_SECRET, age_s=0):
    """A delivery as Stripe makes it: raw body and signature header."""
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(
        body, secret, timestamp=int(time.time()) - age_s
    )
    return body, {"Stripe-Signature": header}


async def provider_events(bridge, order_id):
    """What Stripe has to say about the order, oldest first."""
    listed = (await bridge.stripe.v1.events.list_async({"limit": 100})).to_dict()["data"]
    order = await bridge.order(order_id)
    ids = (order.payment_intent_id,)
    return [
        e
        for e in reversed(listed)
        if e["data"]["object"].get("id") in ids or e["data"]["object"].get("payment_intent") in ids
    ]


async def test_two_deliveries_at_the_same_moment_have_one_effect_and_both_get_2xx(bridge):
    """Twenty of them, in fact, and again after the order completed."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    event = (await provider_events(bridge, order_id))[-1]
    body, headers = signed(event)

    async def deliver():
        return await bridge.api.post("/v1/webhooks/stripe", content=body, headers=headers)

    answers = await asyncio.gather(*(deliver() for _ in range(20)))
    assert {a.status_code for a in answers} == {200}
    await bridge.reach(order_id, Status.COMPLETED)
    assert (await deliver()).status_code == 200
    await bridge.step()
    assert (await bridge.event_types(order_id)).count("order.completed") == 1


async def test_events_in_the_wrong_order_change_nothing(bridge):
    """Everything that Stripe said, delivered backwards at every status."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    for stage in (charge.tick, screen.tick, capture.tick):
        await stage(bridge.ports)
        for event in reversed(await provider_events(bridge, order_id)):
            body, headers = signed(event)
            answer = await bridge.api.post("/v1/webhooks/stripe", content=body, headers=headers)
            assert answer.status_code == 200
        await inbox.tick(bridge.ports)
    await bridge.reach(order_id, Status.COMPLETED)
    assert await bridge.balance(Account.STRIPE, "USD") == 10_000
    await bridge.check_books()


@pytest.mark.parametrize(("secret", "age_s"), [("whsec_wrong", 0), (WEBHOOK_SECRET, 301)])
async def test_a_forged_or_stale_delivery_is_refused_and_leaves_nothing(bridge, secret, age_s):
    """400 before anything is parsed or stored."""
    order_id = await bridge.place()
    event = {
        "id": "evt_forged",
        "object": "event",
        "type": "payment_intent.amount_capturable_updated",
        "created": int(time.time()),
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
    }
    body, headers = signed(event, secret, age_s)
    answer = await bridge.api.post("/v1/webhooks/stripe", content=body, headers=headers)
    assert answer.status_code == 400
    assert await bridge.store.newest_event_at() is None
    assert (await bridge.order(order_id)).status is Status.AWAITING_PAYMENT


async def test_a_genuine_event_about_an_unpaid_intent_pays_nothing(bridge):
    """Even a signed event is only a reason to look."""
    order_id = await bridge.place()
    order = await bridge.order(order_id)
    event = {
        "id": "evt_hint",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(time.time()),
        "data": {"object": {"id": order.payment_intent_id, "object": "payment_intent"}},
    }
    body, headers = signed(event)
    answer = await bridge.api.post("/v1/webhooks/stripe", content=body, headers=headers)
    assert answer.status_code == 200
    await bridge.step()
    assert (await bridge.order(order_id)).status is Status.AWAITING_PAYMENT


async def test_an_event_that_keeps_failing_is_kept_for_a_person_and_can_be_replayed(bridge):
    """Dead after its attempts, listed, and worked once the cause is gone."""
    order_id = await bridge.place()
    await bridge.pay(order_id)
    await bridge.reach(order_id, Status.COMPLETED)
    order = await bridge.order(order_id)
    bridge.with_policy(inbox_attempts_max=2)
    await fault(
        bridge, "http_500", f"/v1/payment_intents/{order.payment_intent_id}", 50, method="GET"
    )
    params = {"payment_intent": str(order.payment_intent_id), "amount": 100}
    await bridge.stripe.v1.refunds.create_async(params)
    await inbox.sweep(bridge.ports, order.created_at)
    for _ in range(6):
        await bridge.step()
    dead = await bridge.queries.dead_letters()
    assert dead
    await bridge.emulator.delete("/_emulator/faults")
    assert await bridge.queries.replay_inbox(None, bridge.clock.now()) == len(dead)
    await bridge.step()
    assert await bridge.queries.dead_letters() == []
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == 100


async def test_the_intent_of_an_order_that_never_learnt_of_it_is_canceled(bridge):
    """A crash between the call and its storing: the same key finds the intent again."""
    quote = await bridge.quote()
    wallet = {"network": "local", "address": "0x" + "13" * 20}
    answer = await bridge.post(
        "/v1/orders", {"quote_id": quote["id"], "wallet": wallet, "customer": "cus_1"}
    )
    order = await bridge.order(answer.json()["id"])
    lost = await bridge.ports.payment.create_intent(order)
    await bridge.cancel(order.id)
    await bridge.tick_until(order.id, Status.CANCELED, release.tick)
    assert (await bridge.ports.payment.retrieve_intent(lost.id)).status == "canceled"
