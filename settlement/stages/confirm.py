"""submitted → confirming → completed: watch the chain until a final block decides.

A receipt is what one node says now; a block can still be reorganised away. So ``mined`` only
shows progress, and goes back to ``sent`` when the block is gone. Nothing is completed, refunded
or planned again before the block that decides is final and still canonical.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from settlement.batch import Batch, BatchStatus, Lane, newest, sealed_call
from settlement.errors import ChainError, InvariantBroken, NetworkStopped, TidegateError
from settlement.events import REORGANIZED, REQUEUED, Event
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.money import Money
from settlement.order import Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Head, Inclusion
from settlement.ports.store import BatchChange
from settlement.schedule import Policy, after
from settlement.transitions import Change, move, stay


async def tick(ports: Ports, lane: Lane) -> int:
    """Follow the lane's sent batches; returns how many changed."""
    chain = ports.chains[lane.network]
    batches = [
        batch
        for batch in await ports.store.open_batches(lane)
        if batch.status in (BatchStatus.SENT, BatchStatus.MINED)
    ]
    if not batches:
        return 0
    head = await chain.head()
    refs = [a.transaction.ref for batch in batches for a in batch.attempts]
    found = {inclusion.ref: inclusion for inclusion in await chain.inclusions(refs)}
    changed = 0
    for batch in batches:
        inclusion = _inclusion_of(batch, found)
        try:
            changed += await _follow(ports, chain, lane, batch, inclusion, head)
        except NetworkStopped:
            raise
        except TidegateError as error:
            # One batch that cannot be followed must not hide what became of the others.
            ports.log.error("batch_not_followed", batch_id=batch.id, error=repr(error))
    return changed


def _inclusion_of(batch: Batch, found: dict[str, Inclusion]) -> Inclusion | None:
    for attempt in batch.attempts:
        if attempt.transaction.ref in found:
            return found[attempt.transaction.ref]
    return None


async def _follow(
    ports: Ports,
    chain: ChainPort,
    lane: Lane,
    batch: Batch,
    inclusion: Inclusion | None,
    head: Head,
) -> int:
    now = ports.clock.now()
    if inclusion is None:
        if batch.status is BatchStatus.MINED:
            return await _unmine(ports, lane, batch, now)
        await _remind(ports, chain, lane, batch, head, now)
        return 0
    is_news = batch.status is BatchStatus.SENT or batch.block_hash != inclusion.block_hash
    if is_news:
        batch = await _mine(ports, lane, batch, inclusion, now)
    if not await _is_final(chain, inclusion, head):
        return int(is_news)
    if not inclusion.succeeded and await chain.batch_recorded(batch.id):
        # Asked before anything is written: its orders may be paid, so they must not be requeued.
        reason = f"batch {batch.id} reverted, yet the vault holds its id: paid by somebody else"
        await _stop(ports, lane, reason)
    orders = await ports.store.in_batch(batch.id)
    await ports.store.apply_batch(lane, conclude(batch, orders, inclusion, chain, now), now)
    ports.log.info("batch_final", batch_id=batch.id, succeeded=inclusion.succeeded)
    return 1


async def _stop(ports: Ports, lane: Lane, reason: str) -> NoReturn:
    await ports.store.stop_network(lane.network, reason, ports.clock.now())
    ports.log.error("network_stopped", network=lane.network, reason=reason)
    raise NetworkStopped(reason)


async def _is_final(chain: ChainPort, inclusion: Inclusion, head: Head) -> bool:
    """Deep enough, and the block that holds it is still the canonical one at its height."""
    if inclusion.block_number > head.final_number:
        return False
    return await chain.block_hash(inclusion.block_number) == inclusion.block_hash


async def _mine(
    ports: Ports, lane: Lane, batch: Batch, inclusion: Inclusion, now: datetime
) -> Batch:
    """In a block for now: orders show ``confirming`` (once; a new block changes only the batch)."""
    patch = {
        "mined_ref": inclusion.ref,
        "block_number": inclusion.block_number,
        "block_hash": inclusion.block_hash,
    }
    orders = await ports.store.in_batch(batch.id) if inclusion.succeeded else []
    moved = tuple(
        replace(_confirming(order, now), epoch=None)
        for order in orders
        if order.status is Status.SUBMITTED
    )
    change = BatchChange(batch, BatchStatus.MINED, patch, moved)
    await ports.store.apply_batch(lane, change, now)
    return replace(
        batch,
        status=BatchStatus.MINED,
        mined_ref=inclusion.ref,
        block_number=inclusion.block_number,
        block_hash=inclusion.block_hash,
    )


async def _unmine(ports: Ports, lane: Lane, batch: Batch, now: datetime) -> int:
    """A reorganisation took the block, and perhaps the mempool's copy with it: send again.

    Only another block in its place proves that: a node that lags behind knows neither.
    """
    assert batch.block_number is not None
    chain = ports.chains[lane.network]
    if await chain.block_hash(batch.block_number) in (None, batch.block_hash):
        return 0
    fact = Event(REORGANIZED, {"block_number": batch.block_number, "transaction": batch.mined_ref})
    orders = tuple(
        replace(stay(order, now, events=(fact,)), epoch=None)
        for order in await ports.store.in_batch(batch.id)
    )
    patch = {"mined_ref": None, "block_number": None, "block_hash": None}
    await ports.store.apply_batch(lane, BatchChange(batch, BatchStatus.SENT, patch, orders), now)
    ports.log.warning("batch_reorganized", batch_id=batch.id, block_number=batch.block_number)
    await _rebroadcast(ports, chain, batch)
    return 1


def _confirming(order: Order, now: datetime) -> Change:
    """A refund or dispute noticed on the way stays on the order: the batch may yet revert."""
    return move(order, Status.CONFIRMING, now, patch={"hold_reason": order.hold_reason})


async def _remind(
    ports: Ports, chain: ChainPort, lane: Lane, batch: Batch, head: Head, now: datetime
) -> None:
    """Not in a block: say it again, with the same bytes; after a while bid more, same nonce.

    An attempt that was stored and never marked as sent (a crash, a refusal) is due at once.
    """
    last = newest(batch)
    if last.sent_at is not None and now < after(last.sent_at, ports.policy.rebroadcast_ms):
        return
    await _check_nonce_is_ours(ports, chain, lane, batch, head)
    bump = last.sent_at is not None and _should_bump(batch, now, ports.policy)
    if bump and await _outbid(ports, chain, lane, batch, now):
        return
    await _rebroadcast(ports, chain, batch)
    await ports.store.mark_sent(lane, batch, last.transaction, now)


async def _outbid(ports: Ports, chain: ChainPort, lane: Lane, batch: Batch, now: datetime) -> bool:
    """Replace the newest attempt; ``False`` when that failed and the old bytes must do for now."""
    call = sealed_call(chain, batch, await ports.store.in_batch(batch.id))
    fees = newest(batch).transaction.fees
    try:
        raised = await chain.sign(lane.address, call, batch.nonce, fees)
        await ports.store.store_attempt(lane, batch, raised, now)
        await chain.send(raised.raw)
    except ChainError as error:
        ports.log.warning("replacement_failed", batch_id=batch.id, error=str(error))
        return False
    await ports.store.mark_sent(lane, batch, raised, now)
    return True


async def _check_nonce_is_ours(
    ports: Ports, chain: ChainPort, lane: Lane, batch: Batch, head: Head
) -> None:
    """A nonce that a final block used up, and not for us: these bytes can never be mined.

    The receipts are read again after the nonce, so that our own inclusion in between is no theft.
    """
    if head.final_number < 0:
        return
    try:
        if await chain.nonce(lane.address, head.final_number) <= batch.nonce:
            return
        if await chain.inclusions([a.transaction.ref for a in batch.attempts]):
            return
    except ChainError as error:
        ports.log.warning("nonce_unknown", batch_id=batch.id, error=str(error))
        return
    reason = f"lane {lane.address}: nonce {batch.nonce} of batch {batch.id} was used by another"
    await _stop(ports, lane, reason)


def _should_bump(batch: Batch, now: datetime, policy: Policy) -> bool:
    waited = after(newest(batch).signed_at, policy.bump_ms) <= now
    return waited and len(batch.attempts) < policy.attempts_max


async def _rebroadcast(ports: Ports, chain: ChainPort, batch: Batch) -> None:
    for attempt in reversed(batch.attempts):
        try:
            await chain.send(attempt.transaction.raw)
        except ChainError as error:
            ports.log.warning("rebroadcast_failed", batch_id=batch.id, error=str(error))
        else:
            return


def conclude(
    batch: Batch,
    orders: Sequence[Order],
    inclusion: Inclusion,
    chain: ChainPort,
    now: datetime,
) -> BatchChange:
    """A final block decided: paid, skipped, or (reverted) nobody was paid."""
    if len(orders) != batch.order_count:
        raise InvariantBroken(f"batch {batch.id} paid {batch.order_count}, we know {len(orders)}")
    gas: tuple[Booking, ...] = ()
    if inclusion.fee_paid_wei > 0:
        gas = (journal.gas_spent(Money(inclusion.fee_paid_wei, chain.native)),)
    if not inclusion.succeeded:
        requeued = tuple(replace(_requeue(o, batch, now), epoch=None) for o in orders)
        return BatchChange(batch, BatchStatus.REVERTED, {}, requeued, gas)
    settled = tuple(
        replace(_settle(order, order.batch_index in inclusion.skipped, now), epoch=None)
        for order in orders
    )
    return BatchChange(batch, BatchStatus.FINAL, {}, settled, gas)


def _settle(order: Order, skipped: bool, now: datetime) -> Change:
    if skipped:
        patch = {"reason": "recipient_refused"}
        books = (journal.unreserved(order),)
        return move(order, Status.REFUND_PENDING, now, patch=patch, bookings=books)
    patch = {"hold_reason": order.hold_reason}  # what happened outside stays to be seen
    return move(order, Status.COMPLETED, now, patch=patch, bookings=(journal.completed(order),))


def _requeue(order: Order, batch: Batch, now: datetime) -> Change:
    fact = Event(REQUEUED, {"batch_id": batch.id})
    return stay(order, now, patch={"batch_id": None, "batch_index": None}, events=(fact,))
