"""Stored provider events: each one only points at an order that should be looked at again.

Before an order leaves, a refund or dispute made in the provider's dashboard stops it. Once it
has left, the books record the loss. Events are fed by webhooks and by a sweep over the
provider's own event list, so that a lost delivery is late, not lost.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from settlement.errors import TidegateError
from settlement.events import DISPUTED, REFUNDED_OUTSIDE, RELEASED, Event
from settlement.ledger import journal
from settlement.money import Money
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports, each
from settlement.ports.payment import Intent, Refund, RefundStatus
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
    """Ask the provider for events that no webhook brought; returns how many were new.

    ``since`` must reach back to the last sweep: that a newer event was delivered says nothing
    about the older ones.
    """
    events = await ports.payment.events_since(since)
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
    if order.payment_intent_id is None:
        return event.id
    if order.status is Status.CAPTURING or _leaving(order):
        await _hold_in_flight(ports, order, order.payment_intent_id, now)
        await ports.store.defer_inbox(event.id, after(now, ports.policy.poll_ms), error=None)
        return None
    intent = await ports.payment.retrieve_intent(order.payment_intent_id)
    if order.status in (Status.COMPLETED, Status.REFUNDED):
        refunds = await ports.payment.refunds_of(intent.id)
        if order.status is Status.COMPLETED:
            await _book_losses(ports, order, refunds, now)
        change = decide(order, intent, now) or returned(order, intent, refunds, now)
    else:
        change = decide(order, intent, now)
    if change is None:
        await ports.store.nudge([order.id], now)
        return event.id
    if await ports.store.apply_many([change]):
        # The order moved meanwhile: look at it again as it is now.
        await ports.store.defer_inbox(event.id, retry_at(now, 0, ports.policy), error=None)
        return None
    return event.id


def _leaving(order: Order) -> bool:
    """A batch may pay it. One whose batch ended without paying waits here like a captured one."""
    return order.status in LEAVING and order.batch_id is not None


async def _hold_in_flight(ports: Ports, order: Order, intent_id: str, now: datetime) -> None:
    """The batch cannot be called back, but if it pays nobody, the order must not join another."""
    if not _leaving(order) or order.hold_reason in (HoldReason.REFUNDED, HoldReason.DISPUTED):
        return
    intent = await ports.payment.retrieve_intent(intent_id)
    if intent.refunded_minor > 0:
        await ports.store.apply_many([_mark(order, HoldReason.REFUNDED, _refund_fact(intent), now)])
    elif intent.disputed:
        await ports.store.apply_many([_mark(order, HoldReason.DISPUTED, Event(DISPUTED), now)])


def _refund_fact(intent: Intent) -> Event:
    return Event(REFUNDED_OUTSIDE, {"amount_minor": str(intent.refunded_minor)})


def returned(
    order: Order, intent: Intent, refunds: Sequence[Refund], now: datetime
) -> Change | None:
    """A refund that had succeeded came back from the bank: the customer is still owed it."""
    kept = sum(r.amount_minor for r in refunds if r.status is not RefundStatus.FAILED)
    owed = intent.received_minor - kept
    if order.status is not Status.REFUNDED or owed <= 0:
        return None
    books = (journal.refund_returned(Money(owed, order.gross.asset)),)
    patch = {"reason": "refund_failed"}
    return move(order, Status.REFUND_FAILED, now, patch=patch, bookings=books)


def decide(order: Order, intent: Intent, now: datetime) -> Change | None:
    """What a refund or dispute made outside means; ``None``: nothing (more) for this status."""
    fact = _refund_fact(intent)
    waits = order.status is Status.CAPTURED or (order.status in LEAVING and order.batch_id is None)
    if waits and intent.refunded_minor > 0:
        patch = {"reason": "refunded_outside"}
        books = (journal.unreserved(order),)
        return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=books, events=(fact,))
    if not waits and order.status is not Status.COMPLETED:
        return None
    if intent.refunded_minor > 0 and order.hold_reason is not HoldReason.REFUNDED:
        return _mark(order, HoldReason.REFUNDED, fact, now)
    if intent.disputed and order.hold_reason is not HoldReason.DISPUTED:
        return _mark(order, HoldReason.DISPUTED, Event(DISPUTED), now)
    over = {
        HoldReason.DISPUTED: not intent.disputed,
        HoldReason.REFUNDED: not intent.refunded_minor,
    }
    if over.get(order.hold_reason):
        return _mark(order, HoldReason.NONE, Event(RELEASED), now)
    return None


def _mark(order: Order, hold_reason: HoldReason, fact: Event, now: datetime) -> Change:
    return stay(order, now, patch={"hold_reason": hold_reason}, events=(fact,))


async def _book_losses(
    ports: Ports, order: Order, refunds: Sequence[Refund], now: datetime
) -> None:
    """One entry per refund that somebody made after the tokens had left, keyed by the refund.

    One that failed is booked in and out again: whether we had seen it before does not matter.
    """
    for refund in refunds:
        amount, key = Money(refund.amount_minor, order.gross.asset), f"refund:{refund.id}"
        await ports.store.book(order.tenant_id, key, journal.refunded_outside(amount), now)
        if refund.status is RefundStatus.FAILED:
            await ports.store.book(order.tenant_id, key, journal.loss_returned(amount), now)
