"""An officer's case: one order in review, or held for a list, and who may say what about it.

Pure rules: they take the case, the officer and the clock, and return the case as it then is. The
order moves only through :mod:`settlement.transitions`, in the same transaction.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from settlement.errors import CaseClaimed, CaseDecided, SecondOfficerNeeded
from settlement.ids import OrderId, TenantId
from settlement.ledger import journal
from settlement.money import Money
from settlement.order import HoldReason, Order, Status
from settlement.transitions import Change, lift_hold, move, void

CaseId = str
OfficerId = str
"""The id of an API key, or ``console:NAME``: one per person."""

REJECTED = "review_rejected"
"""The order's reason when an officer refused it."""


class CaseStatus(StrEnum):
    """``second``: one officer has approved, another has to. ``closed``: the order left by itself
    (it expired, or the customer canceled it)."""

    OPEN = "open"
    SECOND = "second"
    APPROVED = "approved"
    REJECTED = "rejected"
    CLOSED = "closed"


STANDING = frozenset({CaseStatus.OPEN, CaseStatus.SECOND})
"""Somebody still has to decide."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case as stored. ``risk_ppm`` ranks it: the verdict's, or all of a million where a list
    holds a paid order; ``rank`` is that times the amount in minor units, whatever the currency."""

    id: CaseId
    tenant_id: TenantId
    order_id: OrderId
    screening_id: str | None
    customer: str
    network: str
    wallet: str
    amount: Money
    status: CaseStatus
    risk_ppm: int
    rank: int
    opened_at: datetime
    score_ppm: int | None = None
    claimed_by: OfficerId | None = None
    claimed_at: datetime | None = None
    approved_by: OfficerId | None = None
    approved_at: datetime | None = None
    decided_by: OfficerId | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    closed_because: str | None = None
    evidence_digest: str | None = None


def claim(case: Case, officer: OfficerId, now: datetime) -> Case:
    """Take the case for oneself; claiming it again changes nothing.

    Raises :class:`~settlement.errors.CaseDecided` and :class:`~settlement.errors.CaseClaimed`.
    """
    _check_free(case, officer)
    if case.claimed_by == officer:
        return case
    return replace(case, claimed_by=officer, claimed_at=now)


def release(case: Case, officer: OfficerId, *, any_claim: bool = False) -> Case:
    """Give it back to the queue; ``any_claim``: an administrator takes it from whoever has it."""
    if case.status not in STANDING:
        raise CaseDecided(f"the case is {case.status}")
    if not any_claim:
        _check_free(case, officer)
    return replace(case, claimed_by=None, claimed_at=None)


def approve(
    case: Case, officer: OfficerId, reason: str, now: datetime, *, alone_up_to_minor: int
) -> Case:
    """Approve it, or, above ``alone_up_to_minor``, be the first of two officers to.

    Raises :class:`~settlement.errors.SecondOfficerNeeded` for the officer who approved it first.
    """
    _check_free(case, officer)
    if case.approved_by == officer:
        raise SecondOfficerNeeded("you have approved this case; another officer has to, too")
    free = replace(case, claimed_by=None, claimed_at=None)
    if case.status is CaseStatus.OPEN and case.amount.amount_minor > alone_up_to_minor:
        return replace(
            free, status=CaseStatus.SECOND, approved_by=officer, approved_at=now, reason=reason
        )
    done = replace(free, status=CaseStatus.APPROVED, decided_by=officer, decided_at=now)
    return replace(done, reason=reason)


def reject(case: Case, officer: OfficerId, reason: str, now: datetime) -> Case:
    """Refuse it. One officer suffices, whatever the amount: nobody loses money by it."""
    _check_free(case, officer)
    free = replace(case, claimed_by=None, claimed_at=None)
    done = replace(free, status=CaseStatus.REJECTED, decided_by=officer, decided_at=now)
    return replace(done, reason=reason)


def order_change(case: Case, order: Order, now: datetime) -> Change | None:
    """What the decision does to the order; ``None`` while there is none yet.

    A paid order that was held goes on (lists are read again before it is planned), or is refunded.
    Raises :class:`~settlement.errors.CaseDecided` when the order has left the review or the hold.
    """
    if case.status in STANDING:
        return None
    if order.hold_reason is HoldReason.SANCTIONS and order.batch_id is None:
        if case.status is CaseStatus.APPROVED:
            return lift_hold(order, now)
        books, patch = (journal.unreserved(order),), {"reason": REJECTED}
        return move(
            order, Status.REFUND_PENDING, now, patch=patch, bookings=books, under_lease=False
        )
    if order.status is not Status.IN_REVIEW:
        raise CaseDecided(f"the order is {order.status}: there is nothing left to decide")
    if case.status is CaseStatus.APPROVED:
        return move(order, Status.CLEARED, now, under_lease=False)
    return void(order, Status.REJECTED, REJECTED, now, under_lease=False)


def _check_free(case: Case, officer: OfficerId) -> None:
    if case.status not in STANDING:
        raise CaseDecided(f"the case is {case.status}")
    if case.claimed_by not in (None, officer):
        raise CaseClaimed(f"the case is claimed by {case.claimed_by}")
