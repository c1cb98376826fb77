"""Refunds, disputes and the balance that must agree with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.emulator.conftest import Bench, refusal


async def test_a_refund_of_nothing_named_is_refused(bench: Bench) -> None:
    """Without a charge or a payment intent there is nothing to refund."""
    error = await refusal(bench.v1.refunds.create_async({"amount": 1}))
    assert error.code == "parameter_missing"


async def test_a_payment_that_was_not_captured_is_not_refunded(bench: Bench) -> None:
    """A hold is released by cancel; a refund is refused."""
    intent = await bench.authorised()
    error = await refusal(bench.v1.refunds.create_async({"payment_intent": intent.id}))
    assert error.code == "charge_not_refundable"


async def test_more_than_is_left_is_never_refunded(bench: Bench) -> None:
    """Over-refunds are refused, before and after a partial refund, and a second full one too."""
    intent = await bench.captured(1000)
    create = bench.v1.refunds.create_async
    error = await refusal(create({"payment_intent": intent.id, "amount": 1001}))
    assert (error.code, error.param) == (None, "amount")
    assert "greater than unrefunded amount" in error.user_message
    await create({"payment_intent": intent.id, "amount": 400})
    await refusal(create({"payment_intent": intent.id, "amount": 601}))
    await create({"payment_intent": intent.id})
    error = await refusal(create({"payment_intent": intent.id}))
    assert error.code == "charge_already_refunded"


async def test_racing_refunds_give_back_the_money_once(bench: Bench) -> None:
    """Of many full refunds at the same moment one succeeds."""
    intent = await bench.captured()
    calls = [bench.v1.refunds.create_async({"payment_intent": intent.id}) for _ in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1


async def test_a_released_remainder_is_not_refunded_again(bench: Bench) -> None:
    """After a partial capture only what was captured can be refunded."""
    intent = await bench.authorised(1000)
    await bench.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 300})
    await refusal(bench.v1.refunds.create_async({"payment_intent": intent.id, "amount": 301}))
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.amount == 300


async def test_a_refund_moves_charge_balance_and_events(bench: Bench) -> None:
    """A partial refund shows on the charge, in the balance transaction and in the events."""
    intent = await bench.captured(1000)
    refund = await bench.v1.refunds.create_async(
        {
            "charge": intent.latest_charge,
            "amount": 250,
            "reason": "requested_by_customer",
            "metadata": {"order": "o"},
            "expand": ["balance_transaction", "charge"],
        }
    )
    assert (refund.status, refund.balance_transaction.net) == ("succeeded", -250)
    assert (refund.charge.amount_refunded, refund.charge.refunded) == (250, False)
    changed = await bench.v1.refunds.update_async(refund.id, {"metadata": {"order": ""}})
    assert changed.metadata.to_dict() == {}
    rows = await bench.v1.refunds.list_async({"payment_intent": intent.id})
    assert [row.id for row in rows.data] == [refund.id]
    events = await bench.v1.events.list_async({"types": ["refund.created", "charge.refunded"]})
    assert sorted(event.type for event in events.data) == ["charge.refunded", "refund.created"]


@pytest.mark.parametrize(
    ("card", "first", "last"),
    [
        ("pm_card_pendingRefund", "pending", "succeeded"),
        ("pm_card_refundFail", "succeeded", "failed"),
    ],
)
async def test_a_refund_may_be_decided_later(
    bench: Bench, card: str, first: str, last: str
) -> None:
    """As documented: one card's refund waits, the other's succeeds and then fails."""
    intent = await bench.captured(payment_method=card)
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == first
    bench.control("clock", advance_seconds=3600)
    later = await bench.v1.refunds.retrieve_async(refund.id, {"expand": ["charge"]})
    assert later.status == last
    failed = last == "failed"
    assert later.charge.refunded is not failed
    assert later.charge.amount_refunded == (0 if failed else intent.amount)
    if failed:
        assert later.failure_reason == "expired_or_canceled_card"
        assert later.failure_balance_transaction is not None
        again = await bench.v1.refunds.create_async({"payment_intent": intent.id})
        assert again.amount == intent.amount


async def test_a_disputed_charge_is_not_refunded(bench: Bench) -> None:
    """A captured createDispute card has its money withdrawn with a fee, and no refund."""
    intent = await bench.captured(payment_method="pm_card_createDispute", expand=["latest_charge"])
    listed = await bench.v1.disputes.list_async({"payment_intent": intent.id})
    dispute = listed.data[0]
    assert (dispute.status, dispute.reason) == ("needs_response", "fraudulent")
    assert [money.net for money in dispute.balance_transactions] == [-11_500]
    charge = await bench.v1.charges.retrieve_async(dispute.charge)
    assert charge.disputed
    error = await refusal(bench.v1.refunds.create_async({"charge": charge.id}))
    assert error.code == "charge_disputed"
    closed = await bench.v1.disputes.close_async(dispute.id)
    assert closed.status == "lost"
    await refusal(bench.v1.disputes.close_async(dispute.id))


async def test_a_hold_is_not_disputed(bench: Bench) -> None:
    """An uncaptured createDispute card has no dispute yet, and none can be opened by hand."""
    intent = await bench.authorised(payment_method="pm_card_createDispute")
    assert not (await bench.v1.disputes.list_async()).data
    answer = bench.http.post(f"/_emulator/charges/{intent.latest_charge}/dispute", json={})
    assert answer.status_code == 400


async def test_winning_evidence_brings_the_money_back(bench: Bench) -> None:
    """Stripe's test evidence wins a dispute that was opened by hand."""
    intent = await bench.captured(1000)
    opened = bench.control(f"charges/{intent.latest_charge}/dispute", reason="general")
    won = await bench.v1.disputes.update_async(
        opened["id"], {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert won.status == "won"
    assert sum(money.amount for money in won.balance_transactions) == 0
    types = {event.type for event in (await bench.v1.events.list_async({"limit": 100})).data}
    assert {"charge.dispute.funds_reinstated", "charge.dispute.closed"} <= types


async def test_the_balance_is_the_sum_of_its_transactions(bench: Bench) -> None:
    """Charges with fees, a refund, a failed refund and a dispute add up to the balance."""
    await bench.captured(1000)
    refunded = await bench.captured(2000, payment_method="pm_card_refundFail")
    await bench.v1.refunds.create_async({"payment_intent": refunded.id, "amount": 500})
    await bench.captured(3000, payment_method="pm_card_createDispute")
    bench.control("clock", advance_seconds=3 * 86_400)
    rows: list[Any] = (await bench.v1.balance_transactions.list_async({"limit": 100})).data
    assert all(row.net == row.amount - row.fee for row in rows)
    assert {row.status for row in rows} == {"available"}
    assert sum(row.net for row in rows) == 1000 - 59 + 2000 - 88 - 4500 + 3000 - 117
    balance = await bench.v1.balance.retrieve_async()
    assert balance.available[0].amount == sum(row.net for row in rows)
    assert balance.pending[0].amount == 0
    one = await bench.v1.balance_transactions.retrieve_async(rows[0].id, {"expand": ["source"]})
    assert one.source.object in ("charge", "refund", "dispute")
