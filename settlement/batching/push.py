"""planned → signed → sent: sign what was planned, store the bytes, send them.

A crash is possible between any two of these effects. What is planned is signed later with the
same nonce; what is stored is sent again as the same bytes; nothing is ever signed for a second
nonce.
"""

from dataclasses import replace

from settlement.batch import Attempt, Batch, BatchKind, BatchStatus, Lane, newest, sealed_call
from settlement.batching.anchor import check_anchor
from settlement.errors import (
    ChainError,
    ChainPaused,
    ChainRefused,
    FeeCapReached,
    NetworkStopped,
    ScreeningUnavailable,
)
from settlement.order import HoldReason
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, SignedTransaction
from settlement.schedule import after, is_over
from settlement.screening import vetoed_orders


async def push(ports: Ports, lane: Lane, batch: Batch) -> Batch | None:
    """Sign if that is not done, store the bytes, send them. Each step survives a crash.

    A refused or unanswered sending is not the end: the batch counts as sent from then on, and is
    said again, outbid or found in a block by whoever follows it. Returns the batch as it then is;
    ``None``: it cannot be signed now, and what comes after it on the lane has to wait.
    """
    chain = ports.chains[lane.network]
    if not batch.attempts:
        try:
            batch = await _still_wanted(ports, lane, batch)
        except ScreeningUnavailable as error:
            ports.log.warning("not_signed", batch_id=batch.id, error=str(error))
            return None
        transaction = await _signed(ports, chain, lane, batch)
        if transaction is None:
            return None
        now = ports.clock.now()
        cancels = batch.cancel_asked_at is not None
        await ports.store.store_attempt(lane, batch, transaction, now, cancels=cancels)
        attempt = Attempt(transaction, now, None, cancels)
        batch = replace(batch, status=BatchStatus.SIGNED, attempts=(attempt,))
    bytes_ = newest(batch).transaction
    try:
        await chain.send(bytes_.raw)
    except ChainError as error:
        ports.log.warning("send_failed", batch_id=batch.id, error=str(error))
    await ports.store.mark_sent(lane, batch, bytes_, ports.clock.now())
    ports.log.info("batch_sent", batch_id=batch.id, transaction=bytes_.ref, nonce=batch.nonce)
    return replace(batch, status=BatchStatus.SENT)


async def _still_wanted(ports: Ports, lane: Lane, batch: Batch) -> Batch:
    """What was planned a while ago (a crash, a pause, a fee above the cap) is looked at again
    before it is signed: a wallet listed since, a payment given back or disputed, an escrow that
    is over. Then the batch is called back, and its orders go the way of all that wait. And
    the chain: it may have taken back what the plan relied on.

    Raises :class:`~settlement.errors.ScreeningUnavailable`, and what :func:`check_anchor` does.
    """
    now = ports.clock.now()
    is_fresh = now <= after(batch.planned_at, ports.policy.lane_lease_ms)
    if is_fresh or batch.cancel_asked_at is not None:
        return batch
    await check_anchor(ports, ports.chains[lane.network], lane)
    orders = await ports.store.in_batch(batch.id)
    unwanted = await vetoed_orders(ports.screening, orders) | {
        order.id
        for order in orders
        if order.hold_reason is not HoldReason.NONE or is_over(order, now)
    }
    if not unwanted or not await ports.store.ask(batch.id, now, cancel=True, lane=lane):
        return batch
    ports.log.warning("batch_called_back", batch_id=batch.id, orders=sorted(unwanted))
    return replace(batch, cancel_asked_at=now)


async def _signed(
    ports: Ports, chain: ChainPort, lane: Lane, batch: Batch
) -> SignedTransaction | None:
    """``None``: a pause, a cap or a refusal stands in the way; one that lasts ends the batch."""
    try:
        return await _sign(ports, chain, lane, batch)
    except (ChainPaused, FeeCapReached) as error:
        ports.log.warning("not_signed", batch_id=batch.id, error=str(error))
    except ChainRefused as error:
        ports.log.warning("not_signed", batch_id=batch.id, error=str(error))
        await _give_up_in_time(ports, lane, batch, error)
    return None


async def _give_up_in_time(ports: Ports, lane: Lane, batch: Batch, error: ChainRefused) -> None:
    """What the chain refuses for good must not hold up its lane: it is cancelled by itself."""
    now = ports.clock.now()
    out_of_patience = after(batch.planned_at, ports.policy.sign_patience_ms) <= now
    if error.transient or batch.cancel_asked_at is not None or not out_of_patience:
        return
    if await ports.store.ask(batch.id, now, cancel=True, lane=lane):
        ports.log.error("batch_given_up", batch_id=batch.id, error=str(error))


async def _sign(ports: Ports, chain: ChainPort, lane: Lane, batch: Batch) -> SignedTransaction:
    """Sign what was planned. A batch id that the vault knows and we don't stops the network."""
    call = sealed_call(chain, batch, await ports.store.payouts(batch.id))
    cap = ports.policy.fee_caps_wei.get(lane.network)
    try:
        return await chain.sign(lane.address, call, batch.nonce, None, cap)
    except ChainRefused:
        if batch.kind is BatchKind.PAYOUT and await chain.batch_recorded(batch.id):
            reason = f"the vault holds batch {batch.id}, which we never signed"
            await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
            raise NetworkStopped(reason) from None
        raise
