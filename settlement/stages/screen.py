"""authorized → cleared | in_review | voiding: judge the wallet before any money is captured.

So are those whom an escrow may pay later; the worst verdict decides.

When screening is down, orders wait: none passes unscreened. A review that nobody ends gives the
hold back in time, by the charge's own ``capture_before``.
"""

from dataclasses import replace
from datetime import datetime

from settlement.errors import ScreeningUnavailable
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports, apply, each
from settlement.ports.screening import Outcome, Subject, Verdict
from settlement.schedule import Policy, after, retry_at, review_deadline
from settlement.screening import judge as judge_order
from settlement.transitions import Change, move, stay, void


async def tick(ports: Ports) -> int:
    """Screen authorised orders and end reviews that are out of time."""
    now = ports.clock.now()
    limit, lease_ms = ports.policy.claim_limit, ports.policy.lease_ms
    orders = await ports.store.claim(Status.AUTHORIZED, now, limit=limit, lease_ms=lease_ms)

    async def judge(order: Order) -> Change:
        try:
            verdict = await judge_order(ports.screening, order)
        except ScreeningUnavailable as error:
            ports.log.warning("screening_unavailable", order_id=order.id, error=str(error))
            return stay(order, retry_at(now, order.attempts, ports.policy))
        screening_id = await ports.store.save_screening(Subject.of(order), verdict, now)
        return decide(order, verdict, screening_id, now, ports.policy)

    changes = await each(ports, orders, judge)
    await apply(ports, changes)
    return len(orders) + await _end_reviews(ports, now)


def decide(
    order: Order, verdict: Verdict, screening_id: str, now: datetime, policy: Policy
) -> Change:
    """Turn a verdict into the order's next step."""
    patch: dict[str, object] = {"screening_id": screening_id}
    match verdict.outcome:
        case Outcome.CLEAR:
            return move(order, Status.CLEARED, now, patch=patch)
        case Outcome.REVIEW:
            patch |= {"hold_reason": HoldReason.REVIEW}
            change = move(order, Status.IN_REVIEW, now, patch=patch)
            deadline = review_deadline(order, policy) or after(now, policy.poll_ms)
            return replace(change, due_at=deadline)
        case Outcome.BLOCK:
            reason = verdict.reasons[0].code if verdict.reasons else "screening"
            patch |= {"exit_to": Status.REJECTED, "reason": reason}
            return move(order, Status.VOIDING, now, patch=patch)


async def _end_reviews(ports: Ports, now: datetime) -> int:
    """Orders in review come due at their deadline (or when nudged: then they just go back)."""
    orders = await ports.store.claim(
        Status.IN_REVIEW, now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )
    changes = []
    for order in orders:
        deadline = review_deadline(order, ports.policy)
        if deadline is None or deadline <= now:
            changes.append(void(order, Status.EXPIRED, "review_timeout", now))
        else:
            changes.append(stay(order, deadline))
    await apply(ports, changes)
    return len(orders)
