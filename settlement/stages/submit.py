"""captured → submitted: gather waiting orders into a batch, sign it, store the bytes, send them.

Four effects with a crash possible between any two: the plan (batch id, nonce and orders in one
transaction), the signature, the stored bytes, the sending. What is planned is signed later with
the same nonce; what is stored is sent again as the same bytes; nothing is ever signed for a
second nonce.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from settlement.batch import Attempt, Batch, BatchStatus, Lane, batch_call
from settlement.errors import (
    ChainError,
    ChainPaused,
    NetworkStopped,
    ScreeningUnavailable,
    StaleLease,
)
from settlement.events import HELD, Event
from settlement.money import Asset
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort
from settlement.schedule import SendNow, Wait, after, decide, retry_at
from settlement.transitions import Change, move, stay


async def tick(ports: Ports, lane: Lane) -> int:
    """Plan what waits on the lane's network, then push every batch that is not sent yet."""
    chain = ports.chains[lane.network]
    waiting = await ports.store.claim_for_batch(
        lane.network,
        ports.clock.now(),
        limit=chain.max_batch,
        lease_ms=ports.policy.lease_ms,
    )
    if waiting:
        await _check_nonce(ports, chain, lane)
        payable = await _without_vetoed(ports, lane.network, waiting)
        for asset, orders in _by_asset(payable).items():
            lane = await _plan(ports, chain, lane, asset, orders)
    pushed = 0
    for batch in await ports.store.open_batches(lane):
        if batch.status in (BatchStatus.PLANNED, BatchStatus.SIGNED):
            await push(ports, lane, batch)
            pushed += 1
    return len(waiting) + pushed


async def push(ports: Ports, lane: Lane, batch: Batch) -> None:
    """Sign if that is not done, store the bytes, send them. Each step survives a crash."""
    chain = ports.chains[lane.network]
    if not batch.attempts:
        orders = await ports.store.in_batch(batch.id)
        call = batch_call(batch.id, batch.asset, orders)
        transaction = await chain.sign(lane.address, call, batch.nonce, None)
        now = ports.clock.now()
        await ports.store.store_attempt(lane, batch, transaction, now)
        batch = replace(
            batch,
            status=BatchStatus.SIGNED,
            attempts=(Attempt(transaction, now, None),),
        )
    newest = batch.attempts[-1].transaction
    await chain.send(newest.raw)
    await ports.store.mark_sent(lane, batch, newest, ports.clock.now())
    ports.log.info("batch_sent", batch_id=batch.id, transaction=newest.ref, nonce=batch.nonce)


async def _check_nonce(ports: Ports, chain: ChainPort, lane: Lane) -> None:
    """A nonce that the chain knows and we don't: somebody else signs, or a backup came back."""
    on_chain = await chain.nonce(lane.address)
    if on_chain > lane.next_nonce:
        reason = f"lane {lane.address}: the chain is at nonce {on_chain}, we at {lane.next_nonce}"
        await ports.store.stop_network(lane.network, reason, ports.clock.now())
        raise NetworkStopped(reason)


async def _without_vetoed(ports: Ports, network: str, orders: Sequence[Order]) -> list[Order]:
    """Read the veto lists once more; a wallet that was listed meanwhile is held for a person."""
    now = ports.clock.now()
    try:
        vetoed = await ports.screening.vetoed(network, [order.wallet for order in orders])
    except ScreeningUnavailable as error:
        ports.log.warning("screening_unavailable", orders=len(orders), error=str(error))
        await ports.store.apply_many(
            [stay(o, retry_at(now, o.attempts, ports.policy)) for o in orders]
        )
        return []
    held = [order for order in orders if order.wallet in vetoed]
    await ports.store.apply_many([_hold(o, HoldReason.SANCTIONS, now) for o in held])
    return [order for order in orders if order.wallet not in vetoed]


def _hold(order: Order, reason: HoldReason, due_at: datetime) -> Change:
    if reason in (HoldReason.NONE, order.hold_reason):
        return stay(order, due_at)
    fact = Event(HELD, {"hold_reason": reason})
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
    verdict = await _moment(ports, chain, lane, asset, orders)
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
    ports: Ports, chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> SendNow | Wait:
    now = ports.clock.now()
    fees = await chain.fees()
    verdict = decide(
        orders,
        now,
        batch_max=chain.max_batch,
        fee_wei=fees.max_fee_wei,
        reservation_fee_wei=await ports.gas.reservation_fee_wei(lane.network, 0),
        policy=ports.policy,
    )
    if isinstance(verdict, Wait):
        return verdict
    return await _preflight(ports, chain, lane, asset, orders)


async def _preflight(
    ports: Ports, chain: ChainPort, lane: Lane, asset: Asset, orders: list[Order]
) -> SendNow | Wait:
    """Ask the chain before a nonce is spent: a paused vault must not cost a reverted batch."""
    now = ports.clock.now()
    try:
        await chain.preflight(lane.address, batch_call(0, asset, orders))
    except ChainPaused:
        return Wait(after(now, ports.policy.poll_ms), HoldReason.PAUSED)
    except ChainError as error:
        ports.log.warning("preflight_failed", network=lane.network, error=str(error))
        return Wait(retry_at(now, min(o.attempts for o in orders), ports.policy))
    return SendNow()
