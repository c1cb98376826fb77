"""When to act: retries, deadlines, and whether a batch leaves now. Pure, integers and instants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from settlement.order import HoldReason, Order


@dataclass(frozen=True, slots=True)
class Policy:
    """The engine's own numbers; nothing here depends on a provider or a chain.

    ``lease_ms`` bounds how long a frozen worker can hold an order: everything between claim and
    apply must usually fit. ``lane_lease_ms`` bounds how long it can hold a lane; a live one
    renews. ``lane_depth`` is how many open batches a lane may have: pools keep only so many of an
    account. ``sign_patience_ms`` is how long a planned batch that the chain refuses may hold up
    its lane before it is cancelled. ``gather_ms`` is how long an order may wait for company,
    ``settle_within_ms`` how long for a better fee: after that it leaves at any fee within the
    cap. ``fee_caps_wei`` is the most that is bid per unit of gas, by network; one that is not
    named has no cap. ``review_margin_ms`` is how long before the card's own ``capture_before`` a
    review ends. ``liquidity_patience_ms`` is how long after the quote's expiry an authorised
    order may wait for tokens. ``escrow_poll_ms`` is how often the chain is asked what others did
    to an escrow.
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
    gather_ms: int = 0
    settle_within_ms: int = 15 * 60_000
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


def deadline(waiting: Sequence[Order], policy: Policy) -> datetime:
    """When the most urgent of them must leave, whatever gas costs."""
    return after(min(order.created_at for order in waiting), policy.settle_within_ms)


def blocks_left(waiting: Sequence[Order], now: datetime, *, block_ms: int, policy: Policy) -> int:
    """Blocks until the nearest deadline, rounded down."""
    left_ms = (deadline(waiting, policy) - now) // timedelta(milliseconds=1)
    return max(0, left_ms // block_ms)


def decide(
    waiting: Sequence[Order],
    now: datetime,
    *,
    batch_max: int,
    fee_wei: int,
    reservation_fee_wei: int | None,
    policy: Policy,
    fee_cap_wei: int | None = None,
) -> SendNow | Wait:
    """Never above the cap; at the nearest deadline, now; at a fee that the forecast would wait
    for, a full batch or one whose oldest order has gathered long enough.

    ``fee_wei`` is what a unit of gas costs now, ``reservation_fee_wei`` what the gas port would
    wait for at most (``None``: no opinion), ``fee_cap_wei`` what we ever bid (``None``: no cap).
    """
    soon = after(now, policy.poll_ms)
    if fee_cap_wei is not None and fee_wei > fee_cap_wei:
        return Wait(soon, HoldReason.FEE_CAP)
    last = deadline(waiting, policy)
    if last <= now:
        return SendNow()
    if reservation_fee_wei is not None and fee_wei > reservation_fee_wei:
        return Wait(min(soon, last), HoldReason.FEE_CAP)
    if len(waiting) >= batch_max or policy.gather_ms == 0:
        return SendNow()
    ready = min(after(min(order.created_at for order in waiting), policy.gather_ms), last)
    return SendNow() if ready <= now else Wait(ready)
