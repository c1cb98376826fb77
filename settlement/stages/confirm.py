"""submitted → confirming → completed: watch the chain until a final block decides.

A receipt is what one node says now; a block can still be reorganised away. So ``mined`` only
shows progress, and goes back to ``sent`` when the block is gone. Nothing is completed, refunded
or planned again before the block that decides is final and still canonical.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn

from settlement.batch import Batch, BatchKind, BatchStatus, Lane
from settlement.batching.anchor import check_anchor
from settlement.batching.conclude import (
    complete,
    conclude,
    contradiction,
    has_paid,
    pays_all,
)
from settlement.batching.nonces import reconcile
from settlement.batching.resubmit import is_due, rebroadcast, remind
from settlement.errors import NetworkStopped, TidegateError
from settlement.events import REORGANIZED, Event
from settlement.order import Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Head, Inclusion
from settlement.ports.store import BatchChange
from settlement.transitions import Change, advance, stay


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
    await check_anchor(ports, chain, lane)
    head = await chain.head()
    await ports.store.note_head(lane.network, head, ports.clock.now(), lane=lane)
    sight = _Sight(chain, head)
    undecided = await _undecided(sight, batches)
    refs = [a.transaction.ref for batch in undecided for a in batch.attempts]
    found = {inclusion.ref: inclusion for inclusion in await chain.inclusions(refs)}
    changed = 0
    for batch in undecided:
        inclusion = _inclusion_of(batch, found)
        try:
            changed += await _follow(ports, lane, batch, inclusion, sight)
        except NetworkStopped:
            raise
        except TidegateError as error:
            # One batch that cannot be followed must not hide what became of the others.
            ports.log.error("batch_not_followed", batch_id=batch.id, error=repr(error))
    first = batches[0]
    if first.status is BatchStatus.SENT and is_due(first, ports.clock.now(), ports.policy):
        await reconcile(ports, chain, lane)  # perhaps it waits for a nonce that nobody signs
    return changed


@dataclass
class _Sight:
    """The chain as one tick sees it; several batches are in one block, whose hash is asked once."""

    chain: ChainPort
    head: Head
    hashes: dict[int, str | None] = field(default_factory=dict)

    async def waits(self, batch: Batch) -> bool:
        """In a block that is still there, and not final yet."""
        number = batch.block_number
        if number is None or number <= self.head.final_number:
            return False
        return await self._block_hash(number) == batch.block_hash

    async def is_final(self, inclusion: Inclusion) -> bool:
        """Deep enough, and the block that holds it is still the canonical one at its height."""
        if inclusion.block_number > self.head.final_number:
            return False
        return await self._block_hash(inclusion.block_number) == inclusion.block_hash

    async def _block_hash(self, number: int) -> str | None:
        if number not in self.hashes:
            self.hashes[number] = await self.chain.block_hash(number)
        return self.hashes[number]


async def _undecided(sight: _Sight, batches: Sequence[Batch]) -> list[Batch]:
    """Those whose receipts say something new: the others wait in blocks that are still there.

    A large batch has a large receipt, and waits through many rounds for its block to be final.
    """
    return [batch for batch in batches if not await sight.waits(batch)]


def _inclusion_of(batch: Batch, found: dict[str, Inclusion]) -> Inclusion | None:
    for attempt in batch.attempts:
        if attempt.transaction.ref in found:
            return found[attempt.transaction.ref]
    return None


async def _follow(
    ports: Ports,
    lane: Lane,
    batch: Batch,
    inclusion: Inclusion | None,
    sight: _Sight,
) -> int:
    chain, now = sight.chain, ports.clock.now()
    if inclusion is None:
        if batch.status is BatchStatus.MINED:
            return await _unmine(ports, lane, batch, now)
        await remind(ports, chain, lane, batch, sight.head, now)
        return 0
    is_news = batch.status is BatchStatus.SENT or batch.block_hash != inclusion.block_hash
    if is_news:
        batch = await _mine(ports, lane, batch, inclusion, now)
    if not await sight.is_final(inclusion):
        return int(is_news)
    if not has_paid(batch, inclusion) and await _is_recorded(chain, batch):
        # Asked before anything is written: its orders may be paid, so they must not be requeued.
        reason = f"batch {batch.id} paid nobody, yet the vault holds its id: somebody else did"
        await _stop(ports, lane, reason)
    wrong = contradiction(batch, await ports.store.payouts(batch.id), inclusion)
    if wrong is not None:
        await _stop(ports, lane, wrong)
    if pays_all(batch, inclusion):
        change = complete(batch, inclusion, chain)
    else:
        orders = await ports.store.in_batch(batch.id)
        change = conclude(batch, orders, inclusion, chain, now)
    await ports.store.apply_batch(lane, change, now)
    ports.log.info("batch_final", batch_id=batch.id, succeeded=inclusion.succeeded)
    return 1


async def _is_recorded(chain: ChainPort, batch: Batch) -> bool:
    return batch.kind is BatchKind.PAYOUT and await chain.batch_recorded(batch.id)


async def _stop(ports: Ports, lane: Lane, reason: str) -> NoReturn:
    await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
    ports.log.error("network_stopped", network=lane.network, reason=reason)
    raise NetworkStopped(reason)


async def _mine(
    ports: Ports, lane: Lane, batch: Batch, inclusion: Inclusion, now: datetime
) -> Batch:
    """In a block for now: orders show ``confirming`` once; a change of blocks is told."""
    patch = {
        "mined_ref": inclusion.ref,
        "block_number": inclusion.block_number,
        "block_hash": inclusion.block_hash,
    }
    change = BatchChange(batch, BatchStatus.MINED, patch)
    if batch.status is BatchStatus.MINED:
        orders = _reorganized(batch, await ports.store.in_batch(batch.id), now)
        change = replace(change, orders=orders)
    elif has_paid(batch, inclusion):
        # A refund or dispute noticed on the way stays on the order: the batch may yet revert.
        change = replace(change, step=advance(Status.SUBMITTED, Status.CONFIRMING))
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
    orders = _reorganized(batch, await ports.store.in_batch(batch.id), now)
    patch = {"mined_ref": None, "block_number": None, "block_hash": None}
    await ports.store.apply_batch(lane, BatchChange(batch, BatchStatus.SENT, patch, orders), now)
    ports.log.warning("batch_reorganized", batch_id=batch.id, block_number=batch.block_number)
    await rebroadcast(ports, chain, batch)
    return 1


def _reorganized(batch: Batch, orders: Sequence[Order], now: datetime) -> tuple[Change, ...]:
    """The public status does not go back; the history says what happened."""
    fact = Event(REORGANIZED, {"block_number": batch.block_number, "transaction": batch.mined_ref})
    return tuple(replace(stay(order, now, events=(fact,)), epoch=None) for order in orders)
