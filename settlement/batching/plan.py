"""captured → submitted: gather waiting orders into a batch, if the chain would take it now.

The plan is one transaction: batch id, the lane's next nonce and its orders, or nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from settlement.batch import Batch, BatchKind, BatchStatus, Lane, RequestedCall, batch_call
from settlement.batching.anchor import check_anchor
from settlement.batching.bind import bind
from settlement.batching.funds import affordable
from settlement.batching.moment import choose, with_sent
from settlement.batching.nonces import reconcile
from settlement.batching.singles import choose_singles
from settlement.errors import (
    ChainError,
    ChainLimited,
    ChainPaused,
    ChainRefused,
    InvariantBroken,
    ScreeningUnavailable,
    TidegateError,
    is_for_good,
)
from settlement.events import HELD, RELEASED, Event
from settlement.ledger import journal
from settlement.money import Asset
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports, apply
from settlement.ports.chain import ChainPort, Fees
from settlement.schedule import SendNow, Wait, after, is_over, poll_at, retry_at
from settlement.screening import vetoed_orders
from settlement.transitions import Change, move, stay


async def plan_waiting(ports: Ports, lane: Lane, under_way: Sequence[Batch]) -> tuple[Lane, int]:
    """Bind what waits on the lane's network to new batches, beside those that are ``under_way``.

    Returns the lane with its nonce as it then is, how many orders were looked at and how many calls
    were planned or refused: one that has to wait is looked at again by the next beat, no sooner.
    """
    chain = ports.chains[lane.network]
    now, policy = ports.clock.now(), ports.policy
    obstacle = await _obstacle(ports, chain, lane, under_way)
    if obstacle is not None:
        return lane, await _hold_waiting(ports, lane, obstacle)
    calls = await ports.store.requested_calls(lane, limit=policy.claim_limit)
    waiting = await _waiting(ports, lane, chain.max_batch)
    if not waiting and not calls:
        return lane, 0
    await check_anchor(ports, chain, lane)
    lane = await reconcile(ports, chain, lane)
    open_batches = await ports.store.open_batches(lane)  # reconciling may have added some
    fees = await chain.fees()
    room = await _room(ports, chain, lane, open_batches, fees)
    if room == 0:
        await _hold_all(ports, lane, waiting, HoldReason.LIQUIDITY)
        return lane, len(waiting)
    # Never one more: rebuilding counts on it that no later nonce was signed for.
    end = lane.next_nonce + policy.lane_depth - len(open_batches)
    decided = 0
    for call in calls:
        if lane.next_nonce < end:
            lane, is_decided = await _plan_call(ports, chain, lane, call)
            decided += is_decided
    await ports.store.apply_many([stay(order, now) for order in waiting[room:]])
    payable = await _without_vetoed(ports, waiting[:room])
    for asset, orders in _by_asset(payable).items():
        if lane.next_nonce < end:
            lane = await _plan(ports, chain, lane, asset, orders, fees, end)
        else:
            await ports.store.apply_many([stay(order, now) for order in orders])
    return lane, len(waiting) + decided


async def _waiting(ports: Ports, lane: Lane, limit: int) -> list[Order]:
    """Claim what is due on the lane's network. Whoever paid for an escrow that is over by now,
    after a pause or a long wait for a fee, gets the money back instead."""
    now = ports.clock.now()
    orders = await ports.store.claim_for_batch(
        lane.network, now, limit=limit, lease_ms=ports.policy.lease_ms
    )
    await apply(ports, [_refund(order, now) for order in orders if is_over(order, now)])
    return [order for order in orders if not is_over(order, now)]


def _refund(order: Order, now: datetime) -> Change:
    books = (journal.unreserved(order),)
    patch = {"reason": "escrow_expired"}
    return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=books)


async def _obstacle(
    ports: Ports, chain: ChainPort, lane: Lane, under_way: Sequence[Batch]
) -> HoldReason | None:
    """Why nothing at all is planned on this lane now; ``NONE``: it is busy, nothing is wrong."""
    state = await ports.store.network(lane.network)
    if lane.paused_at is not None or state is None or state.paused_at is not None:
        return HoldReason.PAUSED
    if len(under_way) >= ports.policy.lane_depth:
        return HoldReason.NONE
    is_low = lane.low_since is not None
    if is_low and await _room(ports, chain, lane, under_way, await chain.fees()) == 0:
        return HoldReason.LIQUIDITY
    return None


async def _room(
    ports: Ports, chain: ChainPort, lane: Lane, open_batches: Sequence[Batch], fees: Fees
) -> int:
    """How many payouts the lane's account can pay the gas for; says it once when it runs low."""
    room = await affordable(chain, lane, open_batches, fees)
    if await ports.store.mark_low(lane, room == 0, ports.clock.now()):
        tell = ports.log.info if room else ports.log.error
        tell("lane_funded" if room else "lane_low", lane=lane.address, network=lane.network)
    return room


async def _hold_waiting(ports: Ports, lane: Lane, reason: HoldReason) -> int:
    """Show why orders wait, unless another lane can take them; returns how many were told."""
    if reason is HoldReason.NONE or await _others_can(ports, lane):
        return 0
    waiting = await _waiting(ports, lane, ports.policy.claim_limit)
    await _hold_all(ports, lane, waiting, reason)
    return len(waiting)


async def _hold_all(ports: Ports, lane: Lane, waiting: Sequence[Order], reason: HoldReason) -> None:
    """Back to waiting: for the other lanes at once, else with the reason and ever less often."""
    now, policy = ports.clock.now(), ports.policy
    if await _others_can(ports, lane):
        await ports.store.apply_many([stay(order, now) for order in waiting])
        return
    changes = [_hold(order, reason, poll_at(now, order.attempts, policy)) for order in waiting]
    await ports.store.apply_many(changes)


async def _others_can(ports: Ports, lane: Lane) -> bool:
    """Whether another lane of the network plans: neither paused nor without funds."""
    state = await ports.store.network(lane.network)
    if state is None or state.paused_at is not None:
        return False
    return any(
        other.lane.paused_at is None and other.lane.low_since is None
        for other in await ports.store.lanes(lane.network)
        if other.lane.id != lane.id
    )


async def _plan_call(
    ports: Ports, chain: ChainPort, lane: Lane, requested: RequestedCall
) -> tuple[Lane, bool]:
    """One call, one batch; a call that the chain refuses for good is given back with the reason.
    Returns the lane as it then is, and whether the call was planned or refused."""
    now = ports.clock.now()
    try:
        await chain.preflight(lane.address, requested.call)
    except ChainError as error:
        ports.log.warning("call_not_planned", call_id=requested.id, error=str(error))
        reason = await _refused_for_good(ports, chain, lane, requested, error)
        if reason is not None:
            await ports.store.refuse_call(lane, requested.id, reason, now)
        return lane, reason is not None
    batch = Batch(
        id=await ports.store.new_batch_id(),
        network=lane.network,
        asset=chain.native,
        lane_id=lane.id,
        lane_address=lane.address,
        nonce=lane.next_nonce,
        status=BatchStatus.PLANNED,
        root="",
        order_count=0,
        planned_at=now,
        kind=BatchKind.CALL,
        requested=requested,
    )
    await ports.store.plan(lane, batch, [])
    return replace(lane, next_nonce=lane.next_nonce + 1), True


async def _refused_for_good(
    ports: Ports, chain: ChainPort, lane: Lane, requested: RequestedCall, error: ChainError
) -> str | None:
    """Why; ``None`` while it is the word of one node, which may lie or lag, or of a block that may
    yet be another."""
    if not is_for_good(error):
        return None
    try:
        return await chain.refusal(lane.address, requested.call)
    except ChainError as unknown:
        ports.log.warning("refusal_unconfirmed", call_id=requested.id, error=str(unknown))
        return None


async def _without_vetoed(ports: Ports, orders: Sequence[Order]) -> list[Order]:
    """Read the veto lists once more; a wallet that was listed meanwhile is held for a person."""
    now = ports.clock.now()
    try:
        vetoed = await vetoed_orders(ports.screening, orders)
    except ScreeningUnavailable as error:
        ports.log.warning("screening_unavailable", orders=len(orders), error=str(error))
        await ports.store.apply_many(
            [stay(o, retry_at(now, o.attempts, ports.policy)) for o in orders]
        )
        return []
    held = [order for order in orders if order.id in vetoed]
    await ports.store.apply_many([_hold(o, HoldReason.SANCTIONS, now) for o in held])
    return [order for order in orders if order.id not in vetoed]


def _hold(order: Order, reason: HoldReason, due_at: datetime) -> Change:
    """Wait, and show why; a reason that is gone is taken back."""
    if reason is order.hold_reason:
        return stay(order, due_at)
    gone = reason is HoldReason.NONE
    fact = Event(RELEASED) if gone else Event(HELD, {"hold_reason": reason})
    return stay(order, due_at, patch={"hold_reason": reason}, events=(fact,))


def _as_meant(change: Change) -> Change:
    """Waiting for a better moment is no failure: the next one is retried as soon as any first."""
    return replace(change, patch={**change.patch, "attempts": change.order.attempts})


def _by_asset(orders: Sequence[Order]) -> dict[Asset, list[Order]]:
    groups: dict[Asset, list[Order]] = defaultdict(list)
    for order in orders:
        groups[order.token.asset].append(order)
    return groups


async def _plan(
    ports: Ports,
    chain: ChainPort,
    lane: Lane,
    asset: Asset,
    orders: list[Order],
    fees: Fees,
    end: int,
) -> Lane:
    """Bind the orders to new batches, with nonces below ``end``, if this is the moment; returns the
    lane as it then is. What the vault would not pay now, no lane pays singly."""
    note, moment = await choose(ports, chain, lane, orders, fees)
    if moment.waits:
        waits = [_hold(o, moment.hold, moment.until) for o in moment.waits]
        await ports.store.apply_many([_as_meant(change) for change in waits])
    if not moment.sends:
        await ports.gas.decided(note)
        return lane
    verdict, orders = await _preflight(ports, chain, lane, asset, list(moment.sends))
    now = ports.clock.now()
    if isinstance(verdict, Wait):
        await ports.store.apply_many([_hold(o, verdict.hold, verdict.until) for o in orders])
        return lane
    await ports.gas.decided(with_sent(note, orders, ports.policy))
    singles = await choose_singles(ports, chain, lane, orders) if asset == chain.native else []
    together = [order for order in orders if order not in singles]
    if together:
        lane = await bind(ports, chain, lane, asset, together)
    for order in singles:
        if lane.next_nonce < end:
            lane = await bind(ports, chain, lane, asset, [order], BatchKind.SINGLE)
        else:
            await ports.store.apply_many([stay(order, now)])
    return lane


async def _preflight(
    ports: Ports, chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> tuple[SendNow | Wait, list[Order]]:
    """Ask the chain before a nonce is spent: a paused vault must not cost a reverted batch.

    Returns the verdict and the orders it is about. One order that makes the vault refuse a whole
    batch is put off by itself; those before it leave now, those behind it come again at once.
    A vault without room for all of them takes what fits.
    """
    now, policy = ports.clock.now(), ports.policy
    try:
        refused = await _first_refused(chain, lane, asset, orders)
    except ChainPaused:
        return Wait(after(now, policy.poll_ms), HoldReason.PAUSED), orders
    except ChainError as error:
        ports.log.warning("preflight_failed", network=lane.network, error=str(error))
        return Wait(retry_at(now, min(o.attempts for o in orders), policy)), orders
    if refused is None:
        return SendNow(), orders
    place, reason = refused
    if isinstance(reason, ChainLimited):
        return await _fitting(ports, orders, place, reason)
    culprit, behind = orders[place], orders[place + 1 :]
    ports.log.error("order_refused_by_vault", order_id=culprit.id, error=str(reason))
    # Longer than the others, so that it does not lead the next batch as well.
    put_off = [stay(culprit, retry_at(now, culprit.attempts + _REFUSED_LONGER, policy))]
    put_off += [stay(order, retry_at(now, order.attempts, policy)) for order in behind]
    await ports.store.apply_many(put_off)
    return SendNow() if place else Wait(now), orders[:place]


_REFUSED_LONGER = 4


async def _fitting(
    ports: Ports, orders: list[Order], place: int, reason: ChainLimited
) -> tuple[SendNow | Wait, list[Order]]:
    """Those that the vault has room for leave; the others wait, show it, and are tried ever less
    often. The first that does not fit waits longest, so that smaller ones behind it have a turn."""
    now, policy = ports.clock.now(), ports.policy
    ports.log.warning("vault_limited", orders=len(orders) - place, error=str(reason))
    tries = [order.attempts for order in orders[place:]]
    tries[0] += _REFUSED_LONGER
    held = zip(orders[place:], tries, strict=True)
    await ports.store.apply_many(
        [_hold(o, HoldReason.LIQUIDITY, poll_at(now, tried, policy)) for o, tried in held]
    )
    return SendNow() if place else Wait(now), orders[:place]


async def _first_refused(
    chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> tuple[int, TidegateError] | None:
    """Where the shortest refused beginning of ``orders`` ends, by halving; ``None``: all pass."""
    reason = await _refusal(chain, lane, asset, orders)
    if reason is None:
        return None
    paid, refused = 0, len(orders)
    while refused - paid > 1:
        middle = (paid + refused) // 2
        found = await _refusal(chain, lane, asset, orders[:middle])
        if found is None:
            paid = middle
        else:
            refused, reason = middle, found
    return refused - 1, reason


async def _refusal(
    chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> TidegateError | None:
    """Why these orders cannot be paid together; raises what is no answer to that."""
    try:
        await chain.preflight(lane.address, batch_call(0, asset, orders))
    except ChainRefused as error:
        if error.transient:
            raise
        return error
    except InvariantBroken as error:
        return error
    return None
