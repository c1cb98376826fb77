"""captured → submitted: gather waiting orders into a batch, if the chain would take it now.

The plan is one transaction: batch id, the lane's next nonce and its orders, or nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from settlement.batch import Batch, BatchKind, BatchStatus, Lane, RequestedCall, batch_call
from settlement.errors import (
    ChainError,
    ChainPaused,
    ChainRefused,
    InvariantBroken,
    NetworkStopped,
    ScreeningUnavailable,
    StaleLease,
    TidegateError,
)
from settlement.events import HELD, RELEASED, Event
from settlement.money import Asset
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort
from settlement.schedule import SendNow, Wait, after, decide, retry_at
from settlement.screening import all_screened, is_vetoed
from settlement.transitions import Change, move, stay


async def plan_waiting(ports: Ports, lane: Lane) -> tuple[Lane, int]:
    """Bind what waits on the lane's network to new batches.

    Returns the lane with its nonce as it then is, and how many orders and calls were looked at.
    """
    chain = ports.chains[lane.network]
    now, policy = ports.clock.now(), ports.policy
    calls = await ports.store.requested_calls(lane, limit=policy.claim_limit)
    waiting = await ports.store.claim_for_batch(
        lane.network, now, limit=chain.max_batch, lease_ms=policy.lease_ms
    )
    if not waiting and not calls:
        return lane, 0
    await _check_nonce(ports, chain, lane)
    for call in calls:
        lane = await _plan_call(ports, chain, lane, call)
    payable = await _without_vetoed(ports, lane.network, waiting)
    for asset, orders in _by_asset(payable).items():
        lane = await _plan(ports, chain, lane, asset, orders)
    return lane, len(waiting) + len(calls)


async def _plan_call(ports: Ports, chain: ChainPort, lane: Lane, requested: RequestedCall) -> Lane:
    """One call, one batch; a call that the chain refuses for good is given back with the reason."""
    now = ports.clock.now()
    try:
        await chain.preflight(lane.address, requested.call)
    except ChainError as error:
        ports.log.warning("call_not_planned", call_id=requested.id, error=str(error))
        if isinstance(error, ChainRefused) and not error.transient:
            await ports.store.refuse_call(lane, requested.id, str(error), now)
        return lane
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
    return replace(lane, next_nonce=lane.next_nonce + 1)


async def _check_nonce(ports: Ports, chain: ChainPort, lane: Lane) -> None:
    """A nonce that the chain knows and we don't: somebody else signs, or a backup came back."""
    on_chain = await chain.nonce(lane.address)
    if on_chain > lane.next_nonce:
        reason = f"lane {lane.address}: the chain is at nonce {on_chain}, we at {lane.next_nonce}"
        await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
        raise NetworkStopped(reason)


async def _without_vetoed(ports: Ports, network: str, orders: Sequence[Order]) -> list[Order]:
    """Read the veto lists once more; a wallet that was listed meanwhile is held for a person."""
    now = ports.clock.now()
    try:
        vetoed = await ports.screening.vetoed(network, all_screened(orders))
    except ScreeningUnavailable as error:
        ports.log.warning("screening_unavailable", orders=len(orders), error=str(error))
        await ports.store.apply_many(
            [stay(o, retry_at(now, o.attempts, ports.policy)) for o in orders]
        )
        return []
    held = [order for order in orders if is_vetoed(order, vetoed)]
    await ports.store.apply_many([_hold(o, HoldReason.SANCTIONS, now) for o in held])
    return [order for order in orders if not is_vetoed(order, vetoed)]


def _hold(order: Order, reason: HoldReason, due_at: datetime) -> Change:
    """Wait, and show why; a reason that is gone is taken back."""
    if reason is order.hold_reason:
        return stay(order, due_at)
    gone = reason is HoldReason.NONE
    fact = Event(RELEASED) if gone else Event(HELD, {"hold_reason": reason})
    return stay(order, due_at, patch={"hold_reason": reason}, events=(fact,))


def _by_asset(orders: Sequence[Order]) -> dict[Asset, list[Order]]:
    groups: dict[Asset, list[Order]] = defaultdict(list)
    for order in orders:
        groups[order.token.asset].append(order)
    return groups


async def _plan(
    ports: Ports, chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> Lane:
    """Bind the orders to a new batch if this is the moment; returns the lane as it then is."""
    verdict = await _moment(ports, chain, lane, orders)
    if isinstance(verdict, SendNow):
        verdict, orders = await _preflight(ports, chain, lane, asset, orders)
    now = ports.clock.now()
    if isinstance(verdict, Wait):
        await ports.store.apply_many([_hold(o, verdict.hold, verdict.until) for o in orders])
        return lane
    batch_id = await ports.store.new_batch_id()
    call = batch_call(batch_id, asset, orders)
    batch = Batch(
        id=batch_id,
        network=lane.network,
        asset=asset,
        lane_id=lane.id,
        lane_address=lane.address,
        nonce=lane.next_nonce,
        status=BatchStatus.PLANNED,
        root=chain.batch_root(call),
        order_count=len(orders),
        planned_at=now,
    )
    try:
        await ports.store.plan(lane, batch, [_bind(o, batch, i) for i, o in enumerate(orders)])
    except StaleLease as error:
        # One of them moved meanwhile (a refund, a hold): the others come again in a moment.
        ports.log.warning("plan_dropped", network=lane.network, error=str(error))
        soon = retry_at(now, 0, ports.policy)
        await ports.store.apply_many([stay(order, soon) for order in orders])
        return lane
    return replace(lane, next_nonce=lane.next_nonce + 1)


def _bind(order: Order, batch: Batch, index: int) -> Change:
    patch = {"batch_id": batch.id, "batch_index": index}
    if order.status is Status.CAPTURED:
        return move(order, Status.SUBMITTED, batch.planned_at, patch=patch)
    # Its earlier batch ended without paying it; the public status does not go backwards.
    return stay(order, batch.planned_at, patch={**patch, "hold_reason": HoldReason.NONE})


async def _moment(
    ports: Ports, chain: ChainPort, lane: Lane, orders: list[Order]
) -> SendNow | Wait:
    now = ports.clock.now()
    fees = await chain.fees()
    return decide(
        orders,
        now,
        batch_max=chain.max_batch,
        fee_wei=fees.max_fee_wei,
        reservation_fee_wei=await ports.gas.reservation_fee_wei(lane.network, 0),
        policy=ports.policy,
    )


async def _preflight(
    ports: Ports, chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> tuple[SendNow | Wait, list[Order]]:
    """Ask the chain before a nonce is spent: a paused vault must not cost a reverted batch.

    Returns the verdict and the orders it is about. One order that makes the vault refuse a whole
    batch is put off by itself; those before it leave now, those behind it come again at once.
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
    culprit, behind = orders[place], orders[place + 1 :]
    ports.log.error("order_refused_by_vault", order_id=culprit.id, error=str(reason))
    # Longer than the others, so that it does not lead the next batch as well.
    put_off = [stay(culprit, retry_at(now, culprit.attempts + _REFUSED_LONGER, policy))]
    put_off += [stay(order, retry_at(now, order.attempts, policy)) for order in behind]
    await ports.store.apply_many(put_off)
    return SendNow() if place else Wait(now), orders[:place]


_REFUSED_LONGER = 4


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
