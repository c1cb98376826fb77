"""refund_pending → refunded | refund_failed: give captured money back, once.

The existing refunds are read before every try, whoever made them, so that neither a lost answer
nor a key older than the provider's window (Stripe: 24 h,
https://docs.stripe.com/api/idempotent_requests) can refund twice.
"""

from collections.abc import Sequence
from datetime import datetime

from settlement.errors import PaymentError, PaymentRefused
from settlement.ids import payment_key
from settlement.ledger import journal
from settlement.order import Order, Status
from settlement.ports.bundle import Ports, apply, each, stopped
from settlement.ports.payment import Intent, IntentStatus, Refund, RefundStatus
from settlement.schedule import Policy, retry_at
from settlement.transitions import Change, move, stay


async def tick(ports: Ports) -> int:
    """Refund what is owed and read what became of refunds that are under way."""
    now = ports.clock.now()
    orders = await ports.store.claim(
        Status.REFUND_PENDING,
        now,
        limit=ports.policy.claim_limit,
        lease_ms=ports.policy.lease_ms,
    )

    still = await stopped(ports, {order.network for order in orders})

    async def give_back(order: Order) -> Change:
        if order.network in still:
            # Whether its tokens have left is what the person who looks has to find out first.
            return stay(order, retry_at(now, order.attempts, ports.policy))
        try:
            return await _settle(ports, order, now)
        except PaymentError as error:
            ports.log.warning("refund_unsettled", order_id=order.id, error=str(error))
            if isinstance(error, PaymentRefused) and (
                order.attempts >= ports.policy.refund_attempts_max
            ):
                return _failed(order, error.reason or "refund_refused", now)
            return stay(order, retry_at(now, order.attempts, ports.policy))

    changes = await each(ports, orders, give_back)
    await apply(ports, changes)
    return len(orders)


async def _settle(ports: Ports, order: Order, now: datetime) -> Change:
    assert order.payment_intent_id is not None
    intent = await ports.payment.retrieve_intent(order.payment_intent_id)
    if intent.status is IntentStatus.REQUIRES_CAPTURE:
        key = payment_key(order.id, "cancel")
        intent = await ports.payment.cancel(order.payment_intent_id, key)
    if intent.status is IntentStatus.CANCELED:
        # It was never captured after all: releasing the hold gives everything back.
        books = (journal.voided(order), journal.unreserved(order))
        return move(order, Status.REFUNDED, now, patch={"reason": order.reason}, bookings=books)
    if intent.status is not IntentStatus.SUCCEEDED:
        # Neither captured nor canceled, as far as we can tell: not "nothing to give back".
        return stay(order, retry_at(now, order.attempts, ports.policy))
    refunds = await ports.payment.refunds_of(intent.id)
    owed = intent.received_minor - covered(refunds)
    if owed > 0 and order.refund_id is None:
        # The amount is part of the effect: when somebody refunded a part meanwhile, the rest is
        # another effect, and the provider itself never gives back more than was taken.
        key = payment_key(order.id, f"refund:{owed}")
        made = await ports.payment.refund(intent.id, owed, order.id, key)
        refunds = [*[r for r in refunds if r.id != made.id], made]
    return decide(order, intent, refunds, now, ports.policy)


def covered(refunds: Sequence[Refund]) -> int:
    """Minor units given back or on their way."""
    return sum(r.amount_minor for r in refunds if r.status is not RefundStatus.FAILED)


def decide(
    order: Order, intent: Intent, refunds: Sequence[Refund], now: datetime, policy: Policy
) -> Change:
    """Done when everything received has gone back; failed when the bank sent it back to us."""
    newest = refunds[-1].id if refunds else order.refund_id
    if covered(refunds) >= intent.received_minor:
        if any(r.status is RefundStatus.PENDING for r in refunds):
            return stay(order, retry_at(now, order.attempts, policy), patch={"refund_id": newest})
        books = (journal.captured(order), journal.unreserved(order), journal.refunded(order))
        patch = {"refund_id": newest, "reason": order.reason}
        return move(order, Status.REFUNDED, now, patch=patch, bookings=books)
    if any(r.status is RefundStatus.FAILED for r in refunds):
        return _failed(order, "refund_failed", now)
    return stay(order, retry_at(now, order.attempts, policy))


def _failed(order: Order, reason: str, now: datetime) -> Change:
    """The money is still ours to give back: the payable stays open for an operator."""
    books = (journal.captured(order), journal.unreserved(order))
    return move(order, Status.REFUND_FAILED, now, patch={"reason": reason}, bookings=books)
