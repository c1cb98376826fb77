"""planned → signed → sent: sign what was planned, store the bytes, send them.

A crash is possible between any two of these effects. What is planned is signed later with the
same nonce; what is stored is sent again as the same bytes; nothing is ever signed for a second
nonce.
"""

from dataclasses import replace

from settlement.batch import Attempt, Batch, BatchKind, BatchStatus, Lane, newest, sealed_call
from settlement.errors import ChainError, ChainRefused, NetworkStopped
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, SignedTransaction


async def push(ports: Ports, lane: Lane, batch: Batch) -> None:
    """Sign if that is not done, store the bytes, send them. Each step survives a crash.

    A refused or unanswered sending is not the end: the batch counts as sent from then on, and is
    said again, outbid or found in a block by whoever follows it.
    """
    chain = ports.chains[lane.network]
    if not batch.attempts:
        transaction = await _sign(ports, chain, lane, batch)
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


async def _sign(ports: Ports, chain: ChainPort, lane: Lane, batch: Batch) -> SignedTransaction:
    """Sign what was planned. A batch id that the vault knows and we don't stops the network."""
    call = sealed_call(chain, batch, await ports.store.in_batch(batch.id))
    try:
        return await chain.sign(lane.address, call, batch.nonce, None)
    except ChainRefused:
        if batch.kind is BatchKind.PAYOUT and await chain.batch_recorded(batch.id):
            reason = f"the vault holds batch {batch.id}, which we never signed"
            await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
            raise NetworkStopped(reason) from None
        raise
