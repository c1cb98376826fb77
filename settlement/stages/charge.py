"""awaiting_payment → authorized: create the payment intent, then watch it until it is held.

One path for every cause. A webhook only makes the order due; what is true is always read from
the provider, so lost, duplicated, reordered and forged notifications change nothing.
"""

from datetime import datetime

from settlement.errors import PaymentError
from settlement.events import PAYMENT_FAILED, PAYMENT_INTENT_CREATED, Event
from settlement.ledger import journal
from settlement.order import Order, Status
from settlement.ports.bundle import Ports, apply, each, stopped
from settlement.ports.payment import Intent, IntentStatus
from settlement.schedule import Policy, poll_at, retry_at
from settlement.transitions import Change, move, stay, void


async def tick(ports: Ports) -> int:
    """Advance due orders; returns how many were claimed."""
    now = ports.clock.now()
    orders = await ports.store.claim(
        Status.AWAITING_PAYMENT,
        now,
        limit=ports.policy.claim_limit,
        lease_ms=ports.policy.lease_ms,
    )

    still = await stopped(ports, {order.network for order in orders})

    async def look(order: Order) -> Change:
        try:
            if order.payment_intent_id is None:
                if ports.clock.now() >= order.expires_at:
                    return void(order, Status.EXPIRED, "quote_expired", now)
                return created(order, await ports.payment.create_intent(order), now, ports.policy)
            intent = await ports.payment.retrieve_intent(order.payment_intent_id)
        except PaymentError as error:
            ports.log.warning("charge_failed", order_id=order.id, error=str(error))
            return stay(order, retry_at(now, order.attempts, ports.policy))
        if intent.status is IntentStatus.SUCCEEDED and order.network in still:
            # Perhaps we captured it ourselves, and a backup has forgotten that it was paid out.
            return stay(order, retry_at(now, order.attempts, ports.policy))
        return decide(order, intent, ports.clock.now(), ports.policy)

    changes = await each(ports, orders, look)
    await apply(ports, changes)
    return len(orders)


def created(order: Order, intent: Intent, now: datetime, policy: Policy) -> Change:
    """Remember the intent; its secret is what the customer's browser confirms with."""
    patch = {"payment_intent_id": intent.id, "payment_client_secret": intent.client_secret}
    fact = Event(PAYMENT_INTENT_CREATED, {"payment_intent": intent.id})
    return stay(order, poll_at(now, 0, policy), patch={**patch, "attempts": 0}, events=(fact,))


def decide(order: Order, intent: Intent, now: datetime, policy: Policy) -> Change:
    """What the provider's report means for an order that waits for its payment."""
    if not matches(order, intent):
        return void(order, Status.REJECTED, "amount_mismatch", now)
    match intent.status:
        case IntentStatus.REQUIRES_CAPTURE:
            return _held(order, intent, now)
        case IntentStatus.CANCELED:
            late = now >= order.expires_at
            exit_to = Status.EXPIRED if late else Status.CANCELED
            return void(order, exit_to, "intent_canceled", now)
        case IntentStatus.SUCCEEDED:
            # Captured by somebody else before the wallet was screened: give it back.
            return void(order, Status.REJECTED, "captured_outside", now)
        case _ if now >= order.expires_at:
            return void(order, Status.EXPIRED, "quote_expired", now)
    return _waiting(order, intent, now, policy)


def matches(order: Order, intent: Intent) -> bool:
    """Whether the intent still asks for exactly what was quoted, for exactly this order."""
    return (
        intent.order_id == order.id
        and intent.amount_minor == order.gross.amount_minor
        and intent.currency == order.gross.asset.code
    )


def _held(order: Order, intent: Intent, now: datetime) -> Change:
    patch = {
        "charge_id": intent.charge_id,
        "authorized_at": intent.authorized_at,
        "capture_before": intent.capture_before,
        "decline_code": None,
    }
    if intent.authorized_at is None or intent.authorized_at > order.expires_at:
        return void(order, Status.EXPIRED, "authorized_too_late", now)
    return move(order, Status.AUTHORIZED, now, patch=patch, bookings=(journal.authorized(order),))


def _waiting(order: Order, intent: Intent, now: datetime, policy: Policy) -> Change:
    due = min(poll_at(now, order.attempts, policy), order.expires_at)
    if intent.decline_code is None or intent.decline_code == order.decline_code:
        return stay(order, due)
    fact = Event(PAYMENT_FAILED, {"decline_code": intent.decline_code})
    return stay(order, due, patch={"decline_code": intent.decline_code}, events=(fact,))
