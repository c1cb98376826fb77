"""The two state machines as tables, and the one function that changes a status.

An unlisted edge raises: it is our bug, not the world's. The database repeats the guard with
``UPDATE … WHERE status = …``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from settlement.errors import InvariantBroken
from settlement.events import RELEASED, Event
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.order import HoldReason, Order, Status

S = Status

ON_RAMP: dict[Status, frozenset[Status]] = {
    S.AWAITING_PAYMENT: frozenset({S.AUTHORIZED, S.VOIDING}),
    S.AUTHORIZED: frozenset({S.CLEARED, S.IN_REVIEW, S.VOIDING}),
    S.IN_REVIEW: frozenset({S.CLEARED, S.VOIDING}),
    S.CLEARED: frozenset({S.CAPTURING, S.VOIDING}),
    S.CAPTURING: frozenset({S.CAPTURED, S.VOIDING, S.REFUND_PENDING}),
    S.CAPTURED: frozenset({S.SUBMITTED, S.REFUND_PENDING}),
    S.SUBMITTED: frozenset({S.CONFIRMING, S.COMPLETED, S.REFUND_PENDING}),
    S.CONFIRMING: frozenset({S.COMPLETED, S.REFUND_PENDING}),
    S.VOIDING: frozenset({S.EXPIRED, S.CANCELED, S.REJECTED, S.REFUND_PENDING}),
    S.REFUND_PENDING: frozenset({S.REFUNDED, S.REFUND_FAILED}),
    S.COMPLETED: frozenset(),
    S.EXPIRED: frozenset(),
    S.CANCELED: frozenset(),
    S.REJECTED: frozenset(),
    S.REFUNDED: frozenset({S.REFUND_FAILED}),  # a bank may send a refund back, days later
    S.REFUND_FAILED: frozenset(),
}

CANCELABLE = frozenset({S.AWAITING_PAYMENT, S.AUTHORIZED, S.IN_REVIEW})
"""Until here a customer may still say no; afterwards the answer is 409."""

EXITS = frozenset({S.EXPIRED, S.CANCELED, S.REJECTED})
"""Where ``voiding`` may lead: nothing was captured, nothing is owed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision does to one order, all of it in one transaction or nothing.

    ``patch`` holds new values of :class:`~settlement.order.Order` fields; ``bookings`` and
    ``events`` are written only if the guarded update matches: id, status, and the epoch that the
    order had when it was read (``None``: whatever it is by now, as for a customer's cancel).
    Every applied change raises the stored epoch, so that nobody writes on an older reading.
    ``gives_back_limit`` returns the order's share of the customer's daily limit.
    """

    order: Order
    to: Status
    epoch: int | None
    due_at: datetime
    patch: dict[str, Any] = field(default_factory=dict)
    bookings: tuple[Booking, ...] = ()
    events: tuple[Event, ...] = ()
    gives_back_limit: bool = False


def move(
    order: Order,
    to: Status,
    now: datetime,
    *,
    patch: dict[str, Any] | None = None,
    bookings: tuple[Booking, ...] = (),
    events: tuple[Event, ...] = (),
    under_lease: bool = True,
    gives_back_limit: bool = False,
    keeps_hold: bool = False,
) -> Change:
    """Change the status: the only way there is. Due at once for the next stage.

    A hold ends with the status, unless ``keeps_hold``: then it stays whatever it is by now.
    Raises :class:`InvariantBroken` for an edge that the table does not list.
    """
    if to not in ON_RAMP[order.status]:
        raise InvariantBroken(f"{order.id}: {order.status} → {to} is not an edge")
    values = {"attempts": 0, **(patch or {})}
    held = order.hold_reason is not HoldReason.NONE
    if held and not keeps_hold and "hold_reason" not in values:
        values["hold_reason"] = HoldReason.NONE
    fact = Event(f"order.{to}", {"from": order.status, "reason": values.get("reason")})
    return Change(
        order=order,
        to=to,
        epoch=order.epoch if under_lease else None,
        due_at=now,
        patch=values,
        bookings=bookings,
        events=(fact, *events),
        gives_back_limit=gives_back_limit,
    )


def stay(
    order: Order,
    due_at: datetime,
    *,
    patch: dict[str, Any] | None = None,
    events: tuple[Event, ...] = (),
) -> Change:
    """Leave the status, look again at ``due_at``; may record facts (a decline, a hold)."""
    return Change(
        order=order,
        to=order.status,
        epoch=order.epoch,
        due_at=due_at,
        patch={"attempts": order.attempts + 1, **(patch or {})},
        events=events,
    )


def lift_hold(order: Order, now: datetime) -> Change:
    """Take a person's hold off: due at once where it stands, whoever looked at it meanwhile."""
    patch = {"hold_reason": HoldReason.NONE, "attempts": 0}
    return Change(order, order.status, None, now, patch, events=(Event(RELEASED),))


@dataclass(frozen=True, slots=True)
class Advance:
    """One step of all orders of a batch that are in ``was``, whoever else has looked at them.

    Nothing is booked and no hold is touched. For what concerns the batch as a whole: no order
    has to be read for it.
    """

    was: Status
    to: Status

    @property
    def event(self) -> Event:
        return Event(f"order.{self.to}", {"from": self.was, "reason": None})


def advance(was: Status, to: Status) -> Advance:
    """Raises :class:`InvariantBroken` for an edge that the table does not list."""
    if to not in ON_RAMP[was]:
        raise InvariantBroken(f"{was} → {to} is not an edge")
    return Advance(was, to)


@dataclass(frozen=True, slots=True)
class Completion:
    """All ``count`` orders of a batch are paid: each is ``completed`` from the status it is in, and
    booked (:func:`settlement.ledger.journal.completed`), by the store itself.

    A hold stays: what happened outside is still to be seen. No order has to be read for it, and
    it happens to all of them or to none.
    """

    count: int


COMPLETABLE = frozenset(status for status, ways in ON_RAMP.items() if S.COMPLETED in ways)


def completed(order: Order, now: datetime) -> Change:
    """What a :class:`Completion` does to one order, whoever has looked at it meanwhile."""
    books = (journal.completed(order),)
    return move(order, S.COMPLETED, now, bookings=books, under_lease=False, keeps_hold=True)


def void(order: Order, exit_to: Status, reason: str, now: datetime, **options: Any) -> Change:
    """Start to release the authorisation; ``exit_to`` is reached once the provider confirms."""
    if exit_to not in EXITS:
        raise InvariantBroken(f"{order.id}: voiding cannot lead to {exit_to}")
    return move(order, S.VOIDING, now, patch={"exit_to": exit_to, "reason": reason}, **options)
