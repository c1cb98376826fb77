"""What each stage decides from the facts: pure functions, refusals first."""

from dataclasses import replace
from datetime import timedelta

import pytest

from settlement.ledger import journal
from settlement.order import HoldReason, Status
from settlement.ports.payment import Intent, IntentStatus, Refund, RefundStatus
from settlement.ports.screening import Outcome, Reason, Verdict
from settlement.schedule import Policy, retry_at
from settlement.stages import capture, charge, inbox, refund, release, screen
from tests.spec.strategies import DUSD, NOW, an_order

POLICY = Policy()
I = IntentStatus  # noqa: E741


def an_intent(status=I.REQUIRES_CAPTURE, **changes) -> Intent:
    intent = Intent(
        id="pi_1",
        status=status,
        amount_minor=10_000,
        currency="USD",
        order_id="ord_1",
        charge_id="ch_1",
        authorized_at=NOW,
        capture_before=NOW + timedelta(days=7),
        received_minor=10_000 if status is I.SUCCEEDED else 0,
    )
    return replace(intent, **changes)


@pytest.mark.parametrize(
    "tampered",
    [{"amount_minor": 9_999}, {"amount_minor": 10_001}, {"currency": "EUR"}, {"order_id": "ord_2"}],
)
def test_an_intent_that_is_not_what_was_quoted_is_rejected(tampered):
    """Another amount, currency or order on the intent voids the order."""
    change = charge.decide(an_order(), an_intent(**tampered), NOW, POLICY)
    assert (change.to, change.patch["exit_to"]) == (Status.VOIDING, Status.REJECTED)
    assert change.patch["reason"] == "amount_mismatch"


def test_an_authorisation_after_the_quote_expired_is_voided():
    """What counts is when the card was authorised, not when we look."""
    order = an_order()
    late = an_intent(authorized_at=order.expires_at + timedelta(seconds=1))
    change = charge.decide(order, late, NOW, POLICY)
    assert (change.to, change.patch["exit_to"]) == (Status.VOIDING, Status.EXPIRED)


def test_an_authorisation_in_time_that_is_noticed_late_counts():
    """A worker that was down for an hour does not cost the customer the order."""
    order = an_order()
    in_time = an_intent(authorized_at=order.expires_at)
    change = charge.decide(order, in_time, order.expires_at + timedelta(hours=1), POLICY)
    assert change.to is Status.AUTHORIZED
    assert change.bookings == (journal.authorized(order),)


@pytest.mark.parametrize("status", [s for s in I if s not in (I.REQUIRES_CAPTURE, I.SUCCEEDED)])
def test_an_unpaid_order_expires_with_its_quote(status):
    """Unknown statuses are pending, and pending ends with the quote."""
    order = an_order()
    change = charge.decide(order, an_intent(status), order.expires_at, POLICY)
    assert (change.to, change.patch["exit_to"]) == (Status.VOIDING, Status.EXPIRED)


@pytest.mark.parametrize(
    "status", [I.REQUIRES_PAYMENT_METHOD, I.REQUIRES_ACTION, I.PROCESSING, I.UNKNOWN]
)
def test_an_open_intent_is_looked_at_again_before_the_quote_expires(status):
    """Nothing unknown is a success or a failure."""
    change = charge.decide(an_order(), an_intent(status), NOW, POLICY)
    assert change.to is Status.AWAITING_PAYMENT
    assert NOW < change.due_at <= an_order().expires_at


def test_a_decline_is_told_once_and_the_customer_may_try_again():
    """The order keeps waiting with the decline code; the same decline makes no second event."""
    intent = an_intent(I.REQUIRES_PAYMENT_METHOD, decline_code="insufficient_funds")
    first = charge.decide(an_order(), intent, NOW, POLICY)
    assert first.to is Status.AWAITING_PAYMENT
    assert [e.type for e in first.events] == ["order.payment_failed"]
    again = charge.decide(an_order(decline_code="insufficient_funds"), intent, NOW, POLICY)
    assert again.events == ()


def test_money_captured_behind_our_back_goes_back():
    """Nobody screened that wallet: the order is voided, and what was taken is refunded."""
    order = an_order()
    change = charge.decide(order, an_intent(I.SUCCEEDED), NOW, POLICY)
    assert change.to is Status.VOIDING
    voiding = an_order(Status.VOIDING, exit_to=Status.REJECTED)
    settled = release.decide(voiding, an_intent(I.SUCCEEDED), NOW, POLICY)
    assert settled.to is Status.REFUND_PENDING
    assert settled.bookings == (journal.captured_outside(voiding),)


def test_a_blocked_wallet_is_voided_before_any_capture():
    """The reason is the first list that names it."""
    verdict = Verdict(Outcome.BLOCK, (Reason("list.ofac", "…"),), {"ofac": "1"})
    change = screen.decide(an_order(Status.AUTHORIZED), verdict, "scr_1", NOW, POLICY)
    assert change.to is Status.VOIDING
    assert change.patch["exit_to"] is Status.REJECTED
    assert change.patch["reason"] == "list.ofac"


def test_a_review_ends_before_the_hold_on_the_card_does():
    """Twelve hours before the charge's own capture_before."""
    order = an_order(Status.AUTHORIZED, capture_before=NOW + timedelta(days=7))
    change = screen.decide(order, Verdict(Outcome.REVIEW, (), {}), "scr_1", NOW, POLICY)
    assert change.to is Status.IN_REVIEW
    assert change.patch["hold_reason"] is HoldReason.REVIEW
    assert change.due_at == NOW + timedelta(days=7) - timedelta(hours=12)


def _cleared(name="ord_1", **changes):
    fields = {"capture_before": NOW + timedelta(days=7), "id": name, **changes}
    return an_order(Status.CLEARED, **fields)


def test_no_reservation_no_capture():
    """The last tokens go to the first in line; the next waits with a reason, once told."""
    first, second = _cleared(), _cleared("ord_2")
    pair = (first.tenant_id, DUSD)
    have = {pair: first.token.amount_minor}
    one, two = capture.reserve([first, second], have, frozenset(), NOW, POLICY)
    assert one.to is Status.CAPTURING
    assert one.bookings == (journal.reserved(first),)
    assert (two.to, two.patch["hold_reason"]) == (Status.CLEARED, HoldReason.LIQUIDITY)
    assert [e.type for e in two.events] == ["order.held"]
    held = _cleared("ord_2", hold_reason=HoldReason.LIQUIDITY)
    (again,) = capture.reserve([held], {}, frozenset(), NOW, POLICY)
    assert again.events == ()


def test_an_order_that_waited_too_long_for_tokens_is_voided():
    """Patience ends some time after the quote; the hold is given back."""
    order = _cleared()
    late = order.expires_at + timedelta(milliseconds=POLICY.liquidity_patience_ms)
    (change,) = capture.reserve([order], {}, frozenset(), late, POLICY)
    assert (change.to, change.patch["reason"]) == (Status.VOIDING, "no_inventory")


def test_a_wallet_listed_after_its_screening_is_not_captured():
    """The veto lists are read again before the money is taken."""
    order = _cleared()
    have = {(order.tenant_id, DUSD): order.token.amount_minor}
    (change,) = capture.reserve([order], have, frozenset({order.id}), NOW, POLICY)
    assert (change.to, change.patch["exit_to"]) == (Status.VOIDING, Status.REJECTED)


def test_a_hold_about_to_lapse_is_not_captured():
    """A capture that could fail half-way is not begun."""
    change = capture.out_of_time(_cleared(capture_before=NOW + timedelta(minutes=1)), NOW, POLICY)
    assert change is not None
    assert (change.to, change.patch["reason"]) == (Status.VOIDING, "authorization_lapsed")


@pytest.mark.parametrize("status", [I.PROCESSING, I.UNKNOWN, I.REQUIRES_CAPTURE])
def test_an_unsettled_capture_is_neither_success_nor_failure(status):
    """It stays announced and is looked at again."""
    change = capture.decide(an_order(Status.CAPTURING), an_intent(status), NOW, POLICY)
    assert change.to is Status.CAPTURING
    assert change.due_at > NOW


def test_a_capture_of_another_amount_goes_back():
    """Somebody captured in the dashboard: refund it all, release the tokens."""
    intent = an_intent(I.SUCCEEDED, received_minor=5_000)
    order = an_order(Status.CAPTURING)
    change = capture.decide(order, intent, NOW, POLICY)
    assert change.to is Status.REFUND_PENDING
    assert journal.unreserved(order) in change.bookings


def test_a_hold_that_lapsed_before_the_capture_releases_the_tokens():
    """Nothing was taken, nothing is owed."""
    order = an_order(Status.CAPTURING)
    change = capture.decide(order, an_intent(I.CANCELED), NOW, POLICY)
    assert (change.to, change.patch["exit_to"]) == (Status.VOIDING, Status.EXPIRED)
    assert change.bookings == (journal.unreserved(order),)


def test_an_exit_is_only_taken_once_the_provider_confirms():
    """Until the intent is canceled the order is voiding."""
    order = an_order(Status.VOIDING, exit_to=Status.EXPIRED, authorized_at=NOW)
    assert release.decide(order, an_intent(), NOW, POLICY).to is Status.VOIDING
    done = release.decide(order, an_intent(I.CANCELED), NOW, POLICY)
    assert (done.to, done.gives_back_limit) == (Status.EXPIRED, True)


def _refund(status=RefundStatus.SUCCEEDED, amount=10_000, name="re_1"):
    return Refund(name, status, amount)


def test_refunds_made_by_anybody_count():
    """A dashboard refund of everything leaves nothing to refund."""
    order = an_order(Status.REFUND_PENDING)
    refunds = [_refund(amount=4_000), _refund(amount=6_000, name="re_2")]
    change = refund.decide(order, an_intent(I.SUCCEEDED), refunds, NOW, POLICY)
    assert change.to is Status.REFUNDED
    assert journal.refunded(order) in change.bookings


def test_a_pending_refund_is_not_yet_a_refund():
    """It counts as covered, so that none is added, and is looked at again."""
    order = an_order(Status.REFUND_PENDING)
    change = refund.decide(
        order, an_intent(I.SUCCEEDED), [_refund(RefundStatus.PENDING)], NOW, POLICY
    )
    assert (change.to, change.patch["refund_id"]) == (Status.REFUND_PENDING, "re_1")


def test_a_failed_refund_is_left_to_a_person():
    """The bank sent it back: the payable stays open."""
    order = an_order(Status.REFUND_PENDING, refund_id="re_1")
    change = refund.decide(
        order, an_intent(I.SUCCEEDED), [_refund(RefundStatus.FAILED)], NOW, POLICY
    )
    assert change.to is Status.REFUND_FAILED
    assert journal.refunded(order) not in change.bookings


def test_a_refund_made_outside_stops_an_order_that_has_not_left():
    """It goes straight to where the rest of the money is given back; the tokens are released."""
    order = an_order(Status.CAPTURED)
    change = inbox.decide(order, an_intent(I.SUCCEEDED, refunded_minor=10_000), NOW)
    assert (change.to, change.epoch) == (Status.REFUND_PENDING, order.epoch)
    assert change.bookings == (journal.unreserved(order),)


def test_a_dispute_holds_an_order_that_has_not_left_until_it_is_won():
    """Held, told once, and released when the dispute is closed in our favour."""
    disputed = an_intent(I.SUCCEEDED, disputed=True)
    order = an_order(Status.CAPTURED)
    change = inbox.decide(order, disputed, NOW)
    assert change.patch["hold_reason"] is HoldReason.DISPUTED
    held = an_order(Status.CAPTURED, hold_reason=HoldReason.DISPUTED)
    assert inbox.decide(held, disputed, NOW) is None
    released = inbox.decide(held, an_intent(I.SUCCEEDED), NOW)
    assert released.patch["hold_reason"] is HoldReason.NONE


def test_retries_back_off_to_a_limit():
    """A quarter of a second, doubling, never beyond a minute."""
    waits = [retry_at(NOW, n, POLICY) - NOW for n in (0, 1, 2, 50)]
    assert waits[:3] == [timedelta(milliseconds=250 * 2**n) for n in range(3)]
    assert waits[3] == timedelta(minutes=1)
