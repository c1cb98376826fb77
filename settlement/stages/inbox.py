"""Stored provider events: each one only points at an order that should be looked at again.

Before an order leaves, a refund or dispute made in the provider's dashboard stops it. Once it
has left, the books record the loss. Events are fed by webhooks and by a sweep over the
provider's own event list, so that a lost delivery is late, not lost.
"""

from datetime import datetime, timedelta

from settlement.errors import TidegateError
from settlement.events import DISPUTED, REFUNDED_OUTSIDE, RELEASED, Event
from settlement.ledger import journal
from settlement.money import Money
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports, each
from settlement.ports.payment import Intent, RefundStatus
from settlement.ports.store import InboxItem
from settlement.schedule import after, retry_at
from settlement.transitions import Change, move, stay

LEAVING = frozenset({Status.SUBMITTED, Status.CONFIRMING})
"""On the way through the chain: what happened outside is judged once the block is final."""

SWEEP_OVERLAP = timedelta(minutes=5)
"""Event times have second precision and arrive unordered: look back a little further."""


async def tick(ports: Ports) -> int:
    """Work stored events; returns how many were claimed."""
    now = ports.clock.now()
    items = await ports.store.claim_inbox(
        now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )

    async def work(item: InboxItem) -> str | None:
        try:
            return await _work(ports, item, now)
        except TidegateError as error:
            dead = item.attempts + 1 >= ports.policy.inbox_attempts_max
            due = retry_at(now, item.attempts, ports.policy)
            await ports.store.defer_inbox(item.event.id, due, error=str(error), dead=dead)
            ports.log.warning("event_failed", event_id=item.event.id, dead=dead, error=str(error))
            return None

    done = await each(ports, items, work)
    await ports.store.settle_inbox([event_id for event_id in done if event_id], now)
    return len(items)


async def sweep(ports: Ports, since: datetime) -> int:
    """Ask the provider for events that no webhook brought; returns how many were new."""
    newest = await ports.store.newest_event_at()
    start = max(since, newest - SWEEP_OVERLAP) if newest else since
    events = await ports.payment.events_since(start)
    return await ports.store.receive(events, ports.clock.now())


async def _work(ports: Ports, item: InboxItem, now: datetime) -> str | None:
    """Returns the event's id when its effect is stored, ``None`` when it was put off."""
    event = item.event
    order = await ports.store.find(order_id=event.order_id, intent_id=event.intent_id)
    if order is None:
        return event.id  # an object of the same account that is none of ours
    if not event.type.startswith(("charge.refund", "charge.dispute", "refund.")):
        await ports.store.nudge([order.id], now)
        return event.id
    if order.status in LEAVING:
        await ports.store.defer_inbox(event.id, after(now, ports.policy.poll_ms), error=None)
        return None
    if order.payment_intent_id is None:
        return event.id
    intent = await ports.payment.retrieve_intent(order.payment_intent_id)
    if order.status is Status.COMPLETED and intent.refunded_minor > 0:
        await _book_losses(ports, order, intent, now)
    change = decide(order, intent, now)
    if change is None:
        await ports.store.nudge([order.id], now)
        return event.id
    if await ports.store.apply_many([change]):
        # The order moved meanwhile: look at it again as it is now.
        await ports.store.defer_inbox(event.id, retry_at(now, 0, ports.policy), error=None)
        return None
    return event.id


def decide(order: Order, intent: Intent, now: datetime) -> Change | None:
    """What a refund or dispute made outside means; ``None``: nothing (more) for this status."""
    fact = Event(REFUNDED_OUTSIDE, {"amount_minor": str(intent.refunded_minor)})
    if order.status is Status.CAPTURED and intent.refunded_minor > 0:
        patch = {"reason": "refunded_outside"}
        books = (journal.unreserved(order),)
        return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=books, events=(fact,))
    if order.status not in (Status.CAPTURED, Status.COMPLETED):
        return None
    if intent.refunded_minor > 0 and order.hold_reason is not HoldReason.REFUNDED:
        return _mark(order, HoldReason.REFUNDED, fact, now)
    if intent.disputed and order.hold_reason is not HoldReason.DISPUTED:
        return _mark(order, HoldReason.DISPUTED, Event(DISPUTED), now)
    if not intent.disputed and order.hold_reason is HoldReason.DISPUTED:
        return _mark(order, HoldReason.NONE, Event(RELEASED), now)
    return None


def _mark(order: Order, hold_reason: HoldReason, fact: Event, now: datetime) -> Change:
    return stay(order, now, patch={"hold_reason": hold_reason}, events=(fact,))


async def _book_losses(ports: Ports, order: Order, intent: Intent, now: datetime) -> None:
    """One entry per refund that somebody made after the tokens had left, keyed by the refund."""
    for refund in await ports.payment.refunds_of(intent.id):
        if refund.status is not RefundStatus.FAILED:
            amount = Money(refund.amount_minor, order.gross.asset)
            booking = journal.refunded_outside(amount)
            await ports.store.book(order.tenant_id, f"refund:{refund.id}", booking, now)
