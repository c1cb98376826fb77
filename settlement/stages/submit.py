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

from settlement.batch import Attempt, Batch, BatchStatus, Lane, batch_call, newest, sealed_call
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
from settlement.ports.chain import ChainPort, SignedTransaction
from settlement.schedule import SendNow, Wait, after, decide, retry_at
from settlement.transitions import Change, move, stay


async def tick(ports: Ports, lane: Lane) -> int:
    """Push every batch that is not sent yet, then plan what waits on the lane's network.

    In this order, so that nothing more is bound to a lane that cannot sign what it holds.
    """
    chain = ports.chains[lane.network]
    pushed = await _push_open(ports, lane)
    waiting = await ports.store.claim_for_batch(
        lane.network,
        ports.clock.now(),
        limit=chain.max_batch,
        lease_ms=ports.policy.lease_ms,
    )
    if not waiting:
        return pushed
    await _check_nonce(ports, chain, lane)
    payable = await _without_vetoed(ports, lane.network, waiting)
    for asset, orders in _by_asset(payable).items():
        lane = await _plan(ports, chain, lane, asset, orders)
    return len(waiting) + pushed + await _push_open(ports, lane)


async def _push_open(ports: Ports, lane: Lane) -> int:
    pushed = 0
    for batch in await ports.store.open_batches(lane):
        if batch.status in (BatchStatus.PLANNED, BatchStatus.SIGNED):
            await push(ports, lane, batch)
            pushed += 1
    return pushed


async def push(ports: Ports, lane: Lane, batch: Batch) -> None:
    """Sign if that is not done, store the bytes, send them. Each step survives a crash.

    A refused or unanswered sending is not the end: the batch counts as sent from then on, and is
    said again, outbid or found in a block by whoever follows it.
    """
    chain = ports.chains[lane.network]
    if not batch.attempts:
        transaction = await _sign(ports, chain, lane, batch)
        now = ports.clock.now()
        await ports.store.store_attempt(lane, batch, transaction, now)
        batch = replace(
            batch,
            status=BatchStatus.SIGNED,
            attempts=(Attempt(transaction, now, None),),
        )
    bytes_ = newest(batch).transaction
    try:
        await chain.send(bytes_.raw)
    except ChainError as error:
        ports.log.warning("send_failed", batch_id=batch.id, error=str(error))
    await ports.store.mark_sent(lane, batch, bytes_, ports.clock.now())
    ports.log.info("batch_sent", batch_id=batch.id, transaction=bytes_.ref, nonce=batch.nonce)


async def _sign(ports: Ports, chain: ChainPort, lane: Lane, batch: Batch) -> SignedTransaction:
    """Sign what was planned. A batch id that the vault knows and we don't stops the network."""
    call = sealed_call(chain, batch, await ports.store.in_batch(batch.id))
    try:
        return await chain.sign(lane.address, call, batch.nonce, None)
    except ChainRefused:
        if await chain.batch_recorded(batch.id):
            reason = f"the vault holds batch {batch.id}, which we never signed"
            await ports.store.stop_network(lane.network, reason, ports.clock.now())
            raise NetworkStopped(reason) from None
        raise


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
