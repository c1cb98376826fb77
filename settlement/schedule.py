"""When to act: retries, deadlines, and which orders leave now. Pure, integers and instants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from settlement.order import HoldReason, Order
from settlement.ports.gas import Bounds, Outlook
from settlement.quote import Speed

SETTLE_WITHIN_MS: Mapping[Speed, int] = {
    Speed.INSTANT: 0,
    Speed.STANDARD: 10 * 60_000,
    Speed.ECONOMY: 60 * 60_000,
}
"""From the payment's authorisation until the order's transaction must be in a block."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The engine's own numbers; nothing here depends on a provider or a chain.

    ``lease_ms`` bounds how long a frozen worker can hold an order: everything between claim and
    apply must usually fit. ``lane_lease_ms`` bounds how long it can hold a lane; a live one
    renews. ``lane_depth`` is how many open batches a lane may have: pools keep only so many of an
    account. ``sign_patience_ms`` is how long a planned batch that the chain refuses may hold up
    its lane before it is cancelled. ``gather_ms`` is how long an order may wait for company,
    ``settle_within_ms`` how long for a better fee, by speed: ``inclusion_blocks`` before that, and
    ``inclusion_ms`` at least, it leaves at any fee within the cap. ``batch_gas`` is what a batch
    costs before its first row, ``payout_gas`` what a row adds. ``fee_caps_wei`` is the most that is
    bid per unit of gas, by network; one that is not named has no cap. ``review_margin_ms`` is how
    long before the card's own ``capture_before`` a review ends. ``liquidity_patience_ms`` is how
    long after the quote's expiry an authorised order may wait for tokens. ``price_tolerance_bps``
    is how far the price may have moved, either way, when money is captured after the quote's
    expiry. ``escrow_poll_ms`` is how often the chain is asked what others did to an escrow.
    """

    claim_limit: int = 200
    concurrency: int = 16
    lease_ms: int = 30_000
    lane_lease_ms: int = 10_000
    lane_depth: int = 16
    sign_patience_ms: int = 10 * 60_000
    poll_ms: int = 2_000
    retry_ms_max: int = 60_000
    review_margin_ms: int = 12 * 3_600_000
    capture_margin_ms: int = 3_600_000
    liquidity_patience_ms: int = 10 * 60_000
    price_tolerance_bps: int = 200
    gather_ms: int = 0
    settle_within_ms: Mapping[Speed, int] = field(default_factory=lambda: SETTLE_WITHIN_MS)
    inclusion_blocks: int = 2
    inclusion_ms: int = 10_000
    batch_gas: int = 60_000
    payout_gas: int = 27_000
    rebroadcast_ms: int = 5_000
    bump_ms: int = 60_000
    attempts_max: int = 20
    inbox_attempts_max: int = 10
    refund_attempts_max: int = 10
    escrow_poll_ms: int = 60_000
    fee_caps_wei: Mapping[str, int] = field(default_factory=dict)


def after(now: datetime, delay_ms: int) -> datetime:
    return now + timedelta(milliseconds=delay_ms)


def retry_at(now: datetime, attempts: int, policy: Policy) -> datetime:
    """Exponential backoff: 0.25 s doubling to ``retry_ms_max``."""
    return after(now, min(250 << min(attempts, 20), policy.retry_ms_max))


def poll_at(now: datetime, attempts: int, policy: Policy) -> datetime:
    """Next look at something that a notification usually announces first."""
    return after(now, min(policy.poll_ms << min(attempts, 20), policy.retry_ms_max))


def review_deadline(order: Order, policy: Policy) -> datetime | None:
    """When an unfinished review must void the hold; ``None`` while the hold's end is unknown."""
    if order.capture_before is None:
        return None
    return after(order.capture_before, -policy.review_margin_ms)


@dataclass(frozen=True, slots=True)
class SendNow:
    """This batch leaves now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet; look again at ``until``. ``hold``: the reason to show, if there is one."""

    until: datetime
    hold: HoldReason = HoldReason.NONE


class Why(StrEnum):
    """Why orders leave, or wait. One word per decision, stored with it."""

    NO_OPINION = "no_opinion"
    DEADLINE = "deadline"
    FEE_ROSE = "fee_rose"
    FEE_IS_LOW = "fee_is_low"
    FEE_MAY_FALL = "fee_may_fall"
    GATHERING = "gathering"
    FEE_CAP = "fee_cap"


@dataclass(frozen=True, slots=True)
class Moment:
    """Which orders leave now, and until when the others wait, or until the fee is below."""

    sends: tuple[Order, ...]
    waits: tuple[Order, ...]
    why: Why
    until: datetime
    hold: HoldReason = HoldReason.NONE
    below_wei: int | None = None


class Timed(Protocol):
    """What a deadline is made of: an order's own times, or the earliest of several."""

    @property
    def speed(self) -> Speed: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def authorized_at(self) -> datetime | None: ...
    @property
    def settle_by(self) -> datetime | None: ...


def waiting_since(order: Timed) -> datetime:
    """The clock of its speed starts when the card's hold is there."""
    return order.authorized_at or order.created_at


def deadline(order: Timed, policy: Policy) -> datetime:
    """When its transaction must be in a block, whatever gas costs."""
    last = after(waiting_since(order), policy.settle_within_ms[order.speed])
    return last if order.settle_by is None else min(last, order.settle_by)


def is_over(order: Order, now: datetime) -> bool:
    """Whether it is too late to fill its escrow's purse."""
    return order.settle_by is not None and now >= order.settle_by


def blocks_left(order: Timed, now: datetime, *, block_ms: int, policy: Policy) -> int:
    """Blocks it may let pass before it leaves; 0: it has to leave now."""
    left_ms = (deadline(order, policy) - now) // timedelta(milliseconds=1)
    return max(0, left_ms // block_ms - blocks_to_include(block_ms, policy))


def blocks_to_include(block_ms: int, policy: Policy) -> int:
    """Kept free at the end: blocks for the network to take it in, and time for us to plan, sign
    and send, which on a fast chain is many blocks."""
    return max(policy.inclusion_blocks, -(-policy.inclusion_ms // block_ms))


def decide(
    waiting: Sequence[Order],
    now: datetime,
    *,
    batch_max: int,
    block_ms: int,
    bid_wei: int,
    policy: Policy,
    outlook: Outlook | None,
    fee_cap_wei: int | None = None,
) -> Moment:
    """Never above the cap; at its deadline, or when waiting has failed, any order; below its
    reservation fee, each; and with those that leave, whoever loses less by it than by waiting.

    ``bid_wei`` is what would be bid per unit of gas and is held against ``fee_cap_wei`` (``None``:
    no cap); ``outlook`` is the gas port's, one bound per order (``None``: no opinion).
    """
    everyone = tuple(waiting)
    soon = after(now, policy.poll_ms)
    if fee_cap_wei is not None and bid_wei > fee_cap_wei:
        return Moment((), everyone, Why.FEE_CAP, soon, HoldReason.FEE_CAP)
    is_due = [blocks_left(o, now, block_ms=block_ms, policy=policy) == 0 for o in waiting]
    ready_at = _gathered_at(waiting, batch_max, policy)
    if outlook is None:
        if any(is_due) or ready_at <= now:
            return Moment(everyone, (), Why.DEADLINE if any(is_due) else Why.NO_OPINION, now)
        return Moment((), everyone, Why.GATHERING, min(ready_at, _last(waiting, policy)))
    until = max(outlook.next_head_at, after(now, 1))
    share = _company_share(waiting, now, batch_max, policy)
    fee = outlook.fee_wei
    whys = [
        Why.DEADLINE if due else _why(bound, fee, share)
        for due, bound in zip(is_due, outlook.bounds, strict=True)
    ]
    urgent = [why for why in whys if why in (Why.DEADLINE, Why.FEE_ROSE)]
    leaving = [why is not Why.FEE_MAY_FALL for why in whys]
    below = [bound.below_wei or 0 for bound in outlook.bounds]
    if not any(leaving):
        return Moment((), everyone, Why.FEE_MAY_FALL, until, below_wei=max(below, default=None))
    if not urgent and ready_at > now:
        return Moment((), everyone, Why.GATHERING, min(until, ready_at))
    leaving = _with_riders(leaving, below, fee, policy)
    sends = tuple(o for o, leaves in zip(waiting, leaving, strict=True) if leaves)
    waits = tuple(o for o, leaves in zip(waiting, leaving, strict=True) if not leaves)
    rest = [fee for fee, leaves in zip(below, leaving, strict=True) if not leaves]
    why = urgent[0] if urgent else next(w for w in whys if w is not Why.FEE_MAY_FALL)
    return Moment(sends, waits, why, until, below_wei=max(rest, default=None))


def _why(bound: Bounds, fee_wei: int, share: tuple[int, int]) -> Why:
    if bound.below_wei is None:
        return Why.NO_OPINION
    if bound.stop_wei is not None and fee_wei >= bound.stop_wei:
        return Why.FEE_ROSE
    alone, together = share
    is_low = fee_wei * alone <= bound.below_wei * together
    return Why.FEE_IS_LOW if is_low else Why.FEE_MAY_FALL


def _company_share(
    waiting: Sequence[Order], now: datetime, batch_max: int, policy: Policy
) -> tuple[int, int]:
    """Gas per order in a batch that leaves now, to that in one that waits for more orders.

    As many again as came since the oldest waits are expected in as much time, and twice as many
    as now at most: nobody is counted on who has shown no sign of coming.
    """
    count = len(waiting)
    since = min(waiting_since(order) for order in waiting)
    waited_ms = max((now - since) // timedelta(milliseconds=1), 1)
    left_ms = max((_last(waiting, policy) - now) // timedelta(milliseconds=1), 0)
    more = min((count - 1) * left_ms // (2 * waited_ms), count)
    crowd = min(count + more, max(batch_max, count))
    now_gas = policy.payout_gas * count + policy.batch_gas
    later_gas = policy.payout_gas * crowd + policy.batch_gas
    return now_gas * crowd, later_gas * count


def _with_riders(
    leaving: list[bool], below_wei: Sequence[int], fee_wei: int, policy: Policy
) -> list[bool]:
    """Whoever would wait goes along if its share of another batch costs more than the fee's fall.

    Its own row costs ``payout_gas`` here and there; a later batch of the ``rest`` costs each of
    them its part of ``batch_gas`` once more.
    """
    rest = leaving.count(False)
    return [
        leaves or policy.payout_gas * (fee_wei - below) * rest <= policy.batch_gas * below
        for leaves, below in zip(leaving, below_wei, strict=True)
    ]


def _gathered_at(waiting: Sequence[Order], batch_max: int, policy: Policy) -> datetime:
    """When they have waited long enough for company; a full batch has all it can have."""
    since = min(waiting_since(order) for order in waiting)
    return since if len(waiting) >= batch_max else after(since, policy.gather_ms)


def _last(waiting: Sequence[Order], policy: Policy) -> datetime:
    return min(deadline(order, policy) for order in waiting)
