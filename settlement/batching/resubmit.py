"""sent, and in no block yet: say it again with the same bytes, and after a while bid more.

Every attempt has the batch's own nonce, so that at most one of them is ever mined. A batch that
is to be cancelled is outbid by a self-transfer; which of them wins, only a final block says.
"""

from datetime import datetime

from settlement.batch import Batch, Lane, newest, sealed_call
from settlement.errors import ChainError, NetworkStopped
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Head
from settlement.schedule import Policy, after


async def remind(
    ports: Ports, chain: ChainPort, lane: Lane, batch: Batch, head: Head, now: datetime
) -> None:
    """Send again what is due; an attempt never marked as sent (a crash, a refusal) is due at once.

    Raises :class:`~settlement.errors.NetworkStopped` when somebody else used the nonce.
    """
    last = newest(batch)
    wanted = _is_wanted(batch, now)
    if not is_due(batch, now, ports.policy) and not wanted:
        return
    await _check_nonce_is_ours(ports, chain, lane, batch, head)
    bump = wanted or (last.sent_at is not None and _should_bump(batch, now, ports.policy))
    if bump and await _outbid(ports, chain, lane, batch, now):
        return
    await rebroadcast(ports, chain, batch)
    await ports.store.mark_sent(lane, batch, last.transaction, now)


async def rebroadcast(ports: Ports, chain: ChainPort, batch: Batch) -> None:
    """Hand the stored bytes to the network again, the highest bid first."""
    for attempt in reversed(batch.attempts):
        try:
            await chain.send(attempt.transaction.raw)
        except ChainError as error:
            ports.log.warning("rebroadcast_failed", batch_id=batch.id, error=str(error))
        else:
            return


def is_due(batch: Batch, now: datetime, policy: Policy) -> bool:
    """Bytes that were never handed over are due at once, others some time after the last time."""
    said_at = batch.reminded_at
    if newest(batch).sent_at is None or said_at is None:
        return True
    return after(said_at, policy.rebroadcast_ms) <= now


def _is_wanted(batch: Batch, now: datetime) -> bool:
    """A cancellation or a bump that was asked for and has no attempt yet.

    A bump asked for in our future (the clocks of two machines) waits until then, or it would be
    made again and again until our clock has caught up.
    """
    asked_at = batch.bump_asked_at
    cancel = batch.cancel_asked_at is not None and not any(a.cancels for a in batch.attempts)
    return cancel or (asked_at is not None and newest(batch).signed_at < asked_at <= now)


def _should_bump(batch: Batch, now: datetime, policy: Policy) -> bool:
    waited = after(newest(batch).signed_at, policy.bump_ms) <= now
    return waited and len(batch.attempts) < policy.attempts_max


async def _outbid(ports: Ports, chain: ChainPort, lane: Lane, batch: Batch, now: datetime) -> bool:
    """Replace the newest attempt; ``False`` when that failed and the old bytes must do for now."""
    call = sealed_call(chain, batch, await ports.store.payouts(batch.id))
    fees = newest(batch).transaction.fees
    cancels = batch.cancel_asked_at is not None
    cap = ports.policy.fee_caps_wei.get(lane.network)
    try:
        raised = await chain.sign(lane.address, call, batch.nonce, fees, cap)
        await ports.store.store_attempt(lane, batch, raised, now, cancels=cancels)
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

    That nobody has a receipt of ours stops nothing, since nodes lag; what is in the chain in its
    place does.
    """
    if head.final_number < 0:
        return
    try:
        if await chain.nonce(lane.address, head.final_number) <= batch.nonce:
            return
        refs = [a.transaction.ref for a in batch.attempts]
        if await chain.inclusions(refs, complete=True):
            return
        user = await chain.used_by(lane.address, batch.nonce, head.final_number)
        if user in refs:
            return
    except ChainError as error:
        ports.log.warning("nonce_unknown", batch_id=batch.id, error=str(error))
        return
    reason = f"lane {lane.address}: nonce {batch.nonce} of batch {batch.id} was used by another"
    reason += f" ({user})" if user else ""
    await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
    ports.log.error("network_stopped", network=lane.network, reason=reason)
    raise NetworkStopped(reason)
