"""What a final block says about an escrow, turned into states, books and history. Pure.

Whoever did it: our own calls and, once the operator's time is over, anybody's are read in one way.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from settlement.batch import OPEN, BatchStatus
from settlement.errors import InvariantBroken
from settlement.escrow import (
    Action,
    ActionStatus,
    CallOutcome,
    Escrow,
    EscrowChange,
    EscrowStatus,
    Hold,
    OnChain,
    change,
)
from settlement.events import (
    ESCROW_DISPUTE_LAPSED,
    ESCROW_DISPUTED,
    ESCROW_ENDED,
    ESCROW_FAILED,
    ESCROW_FUNDED,
    ESCROW_HELD,
    ESCROW_REFUNDED,
    ESCROW_RELEASED,
    ESCROW_VOIDED,
    Event,
)
from settlement.ids import TxRef
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.money import Money
from settlement.order import Order, Status

E = EscrowStatus

WITHDRAWN = "withdrawn"
"""Why a call was refused that no lane had planned when its recipient was listed."""
WITHDRAWN_FOR: Mapping[str, tuple[Hold, str]] = {
    WITHDRAWN: (Hold.SANCTIONS, "list_veto"),
    f"{WITHDRAWN}: {Hold.REFUNDED}": (Hold.REFUNDED, "payment_refunded"),
    f"{WITHDRAWN}: {Hold.DISPUTED}": (Hold.DISPUTED, "payment_disputed"),
}
"""What such a refusal means for the action: it waits, for the reason that it was withdrawn for."""


def funded(escrow: Escrow, order: Order, ref: TxRef | None, now: datetime) -> EscrowChange:
    """The order has ended: its payment filled the purse for good, or there will never be one."""
    if order.status is not Status.COMPLETED:
        fact = Event(ESCROW_VOIDED, {"escrow": escrow.id, "reason": order.status})
        return change(escrow, now, to=E.VOID, patch={"ended_at": now}, events=(fact,))
    terms = escrow.terms
    if order.token != terms.amount or order.wallet != escrow.purse:
        raise InvariantBroken(f"{escrow.id}: {order.id} paid something else than its purse")
    fact = _moved(ESCROW_FUNDED, escrow, terms.amount_minor, terms.amount_minor, ref)
    patch = {"funded_at": now, "funding_ref": ref, "last_ref": ref}
    books = (journal.escrow_funded(terms.amount),)
    return change(escrow, now, to=E.FUNDED, patch=patch, bookings=books, events=(fact,))


def chain_gone(escrow: Escrow, now: datetime) -> EscrowChange:
    """Demo only: the chain that held the purse is gone, and what was asked for with it."""
    actions = tuple(
        replace(a, status=ActionStatus.FAILED, reason="chain_replaced", changed_at=now)
        for a in escrow.actions
        if a.status not in (ActionStatus.FINAL, ActionStatus.FAILED)
    )
    left = Money(escrow.left_minor, escrow.terms.asset)
    books = (journal.escrow_lost(left),) if escrow.left_minor else ()
    fact = Event(ESCROW_VOIDED, {"escrow": escrow.id, "reason": "chain_replaced"})
    return change(
        escrow,
        now,
        to=E.VOID,
        patch={"ended_at": now},
        actions=actions,
        bookings=books,
        events=(fact,),
    )


def observe(
    escrow: Escrow, seen: OnChain, outcome: CallOutcome | None, now: datetime
) -> EscrowChange | None:
    """What is new since the last look; ``None``: nothing that could be told for sure.

    ``outcome`` is that of the submitted action. While its fate is open, or the block that decided
    it is newer than what was read, nothing is concluded: it would be taken for somebody else's.
    Raises :class:`InvariantBroken` when a newer final block takes back what an older one said.
    """
    if seen.block_number < (escrow.read_block or 0):
        return None  # a node that lags behind
    _never_back(escrow, seen)
    action = escrow.submitted
    if action is not None and not _is_decided(outcome, seen):
        return None
    changed = () if action is None or outcome is None else (_settled(action, outcome, now),)
    ref = changed[0].ref if changed else None
    books, events = _payments(escrow, seen, ref)
    to, more = _status(escrow, seen, ref)
    news = tuple(event for action in changed for event in _news(action))
    if not changed and not events and not more:
        return None
    patch: dict[str, Any] = {"read_block": seen.block_number}
    if events or more:
        patch |= {"disputed_at": seen.disputed_at, "last_ref": ref or escrow.last_ref}
    if books:
        patch |= {"released_minor": seen.released_minor, "refunded_minor": seen.refunded_minor}
    if seen.ended:
        patch["ended_at"] = now
    return change(
        escrow,
        now,
        to=to,
        patch=patch,
        actions=changed,
        bookings=books,
        events=(*events, *more, *news),
    )


def _never_back(escrow: Escrow, seen: OnChain) -> None:
    less = (
        seen.released_minor < escrow.released_minor or seen.refunded_minor < escrow.refunded_minor
    )
    more = seen.released_minor + seen.refunded_minor > escrow.terms.amount_minor
    if less or more:
        raise InvariantBroken(
            f"{escrow.id}: block {seen.block_number} says {seen.released_minor} released and "
            f"{seen.refunded_minor} refunded, which cannot follow from what was read before"
        )


def _is_decided(outcome: CallOutcome | None, seen: OnChain) -> bool:
    if outcome is None:
        return False
    if outcome.refused_reason is not None:
        return True
    if outcome.status is None or outcome.status in OPEN:
        return False
    return outcome.block_number is None or outcome.block_number <= seen.block_number


def _settled(action: Action, outcome: CallOutcome, now: datetime) -> Action:
    if outcome.status is BatchStatus.FINAL:
        return replace(action, status=ActionStatus.FINAL, ref=outcome.ref, changed_at=now)
    withdrawn = WITHDRAWN_FOR.get(outcome.refused_reason or "")
    if withdrawn is not None:
        hold, why = withdrawn
        return replace(action, status=ActionStatus.HELD, hold=hold, reason=why, changed_at=now)
    reason = outcome.refused_reason or str(outcome.status)
    return replace(
        action, status=ActionStatus.FAILED, reason=reason, ref=outcome.ref, changed_at=now
    )


def _news(action: Action) -> tuple[Event, ...]:
    """What is to be told of an action that came to nothing; its success is told by the payments."""
    data = {"action": action.id, "kind": action.kind, "reason": action.reason}
    if action.status is ActionStatus.HELD:
        return (Event(ESCROW_HELD, {**data, "hold_reason": action.hold}),)
    return (Event(ESCROW_FAILED, data),) if action.status is ActionStatus.FAILED else ()


def _payments(
    escrow: Escrow, seen: OnChain, ref: TxRef | None
) -> tuple[tuple[Booking, ...], tuple[Event, ...]]:
    books: list[Booking] = []
    events: list[Event] = []
    asset = escrow.terms.asset
    released = seen.released_minor - escrow.released_minor
    refunded = seen.refunded_minor - escrow.refunded_minor
    if released:
        books.append(journal.escrow_released(Money(released, asset), seen.released_minor))
        events.append(_moved(ESCROW_RELEASED, escrow, released, seen.released_minor, ref))
    if refunded:
        books.append(journal.escrow_refunded(Money(refunded, asset), seen.refunded_minor))
        events.append(_moved(ESCROW_REFUNDED, escrow, refunded, seen.refunded_minor, ref))
    return tuple(books), tuple(events)


def _moved(
    type_: str, escrow: Escrow, amount_minor: int, total_minor: int, ref: TxRef | None
) -> Event:
    data = {
        "escrow": escrow.id,
        "amount_minor": str(amount_minor),
        "total_minor": str(total_minor),
        "transaction": ref,
    }
    return Event(type_, data)


def _status(
    escrow: Escrow, seen: OnChain, ref: TxRef | None
) -> tuple[EscrowStatus, tuple[Event, ...]]:
    """The status that the chain's word means, and what is to be told of it."""
    if seen.ended:
        to = _end(seen)
        data = {"escrow": escrow.id, "status": to, "transaction": ref}
        return to, (Event(ESCROW_ENDED, data),)
    if seen.dispute_open and escrow.status is not E.DISPUTED:
        return E.DISPUTED, (Event(ESCROW_DISPUTED, {"escrow": escrow.id, "transaction": ref}),)
    if not seen.dispute_open and escrow.status is E.DISPUTED:
        return E.FUNDED, (Event(ESCROW_DISPUTE_LAPSED, {"escrow": escrow.id}),)
    return escrow.status, ()


def _end(seen: OnChain) -> EscrowStatus:
    if seen.released_minor and seen.refunded_minor:
        return E.SPLIT
    return E.RELEASED if seen.released_minor else E.REFUNDED
