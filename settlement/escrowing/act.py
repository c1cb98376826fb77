"""What is done next with an escrow: one call at a time, and nobody is paid unscreened. Pure.

What is held up does not stand in the way of the rest: a release to a listed payee waits, or one of
funds whose card payment was given back, while a refund that both parties or the arbiter signed goes
ahead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from settlement.batch import RequestedCall
from settlement.escrow import (
    WAITING,
    Action,
    ActionKind,
    ActionStatus,
    Escrow,
    EscrowChange,
    Expiry,
    Hold,
    OnChain,
    What,
    acting_for,
    change,
)
from settlement.events import ESCROW_HELD, Event
from settlement.order import HoldReason
from settlement.ports.chain import ContractCall
from settlement.ports.screening import Outcome, Verdict
from settlement.schedule import Policy, after, retry_at

Encode = Callable[[What], ContractCall]


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions to look at, in the order of their being done, and whom each would pay."""

    actions: tuple[Action, ...]

    def parties(self, escrow: Escrow) -> frozenset[str]:
        return frozenset(p for action in self.actions for p in acting_for(escrow, action.what))


def plan(escrow: Escrow, seen: OnChain, now: datetime, policy: Policy) -> Plan:
    """What waits, oldest first; when the date has come and nothing else waits, the expiry."""
    if escrow.submitted is not None:
        return Plan(())
    waiting = sorted((a for a in escrow.actions if a.status in WAITING), key=lambda a: a.sequence)
    if _expires(escrow, seen, now, policy):
        waiting.append(_expiry(escrow, now))
    return Plan(tuple(waiting))


def _expires(escrow: Escrow, seen: OnChain, now: datetime, policy: Policy) -> bool:
    """By the chain's clock, not ours; after a failure only in a while."""
    if seen.ended or seen.dispute_open or seen.time < escrow.terms.expires_at:
        return False
    waits = (a for a in escrow.actions if a.status in WAITING)
    if any(a.kind is ActionKind.EXPIRY or a.hold is not Hold.SANCTIONS for a in waits):
        return False  # what was signed comes first; what a person has to look at, too
    failed = [a for a in escrow.actions if a.kind is ActionKind.EXPIRY]
    if not failed:
        return True
    return now >= retry_at(failed[-1].changed_at, len(failed) + _EXPIRY_SLOWER, policy)


_EXPIRY_SLOWER = 4


def _expiry(escrow: Escrow, now: datetime) -> Action:
    number = escrow.next_sequence
    return Action(escrow.id, number, Expiry(), f"expiry:{number}", now, now)


def act(
    escrow: Escrow,
    planned: Plan,
    verdicts: Mapping[str, Verdict],
    encode: Encode,
    now: datetime,
    policy: Policy,
    payment: HoldReason = HoldReason.NONE,
) -> EscrowChange:
    """Hold what screening holds, and have the first of the others called.

    ``payment`` is why the order behind the escrow is held: what was refunded to the card, or is
    disputed, is not released to the payee.
    """
    held: list[Action] = []
    events: list[Event] = []
    for action in planned.actions:
        hold, reason = _hold([verdicts[p] for p in acting_for(escrow, action.what)])
        if hold is None:
            hold, reason = unpaid(escrow, action.what, payment)
        if hold is None:
            return _call(escrow, action, tuple(held), tuple(events), encode, now, policy)
        if (hold, reason) != (action.hold, action.reason):
            action = replace(
                action, status=ActionStatus.HELD, hold=hold, reason=reason, changed_at=now
            )
            held.append(action)
            events.append(_held_fact(action))
    due = after(now, policy.escrow_poll_ms)
    return change(escrow, due, actions=tuple(held), events=tuple(events))


def unpaid(escrow: Escrow, what: What, payment: HoldReason) -> tuple[Hold, str] | tuple[None, None]:
    """Why nothing is released for an order that nobody has paid for any more; what goes back to the
    payer is not held up by it."""
    hold = _UNPAID.get(payment)
    if hold is None or escrow.terms.payee not in acting_for(escrow, what):
        return None, None
    return hold, f"payment_{hold}"


_UNPAID = {HoldReason.REFUNDED: Hold.REFUNDED, HoldReason.DISPUTED: Hold.DISPUTED}


def _call(
    escrow: Escrow,
    action: Action,
    held: tuple[Action, ...],
    events: tuple[Event, ...],
    encode: Encode,
    now: datetime,
    policy: Policy,
) -> EscrowChange:
    """The call is stored with the action that announces it, in one transaction."""
    submitted = replace(
        action,
        status=ActionStatus.SUBMITTED,
        hold=None,
        reason=None,
        tries=action.tries + 1,
        changed_at=now,
    )
    call = RequestedCall(
        submitted.call_id, escrow.network, escrow.terms.operator, encode(action.what)
    )
    due = after(now, policy.poll_ms)
    return change(escrow, due, actions=(*held, submitted), events=events, call=call)


def _held_fact(action: Action) -> Event:
    data = {"action": action.id, "kind": action.kind, "hold_reason": action.hold}
    return Event(ESCROW_HELD, {**data, "reason": action.reason})


def _hold(verdicts: Sequence[Verdict]) -> tuple[Hold | None, str | None]:
    """The worst verdict decides."""
    for outcome, hold in ((Outcome.BLOCK, Hold.SANCTIONS), (Outcome.REVIEW, Hold.REVIEW)):
        for verdict in verdicts:
            if verdict.outcome is outcome:
                reason = verdict.reasons[0] if verdict.reasons else None
                return hold, "screening" if reason is None else f"{reason.code}: {reason.detail}"
    return None, None
