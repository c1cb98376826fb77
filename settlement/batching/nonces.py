"""Our count of a lane's nonces against the chain's: where they differ, who is right?

A nonce that the chain has used, or that some mempool holds bytes for, and that no batch of ours
explains was signed by somebody else, or a backup came back: the network stops. A count that ran
ahead of every batch (a broadcast that was given up, a counter that was restored) goes back; a hole
below a batch is filled by a transaction that does nothing, so that what comes after it is not stuck
for ever.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from settlement.batch import Batch, BatchKind, BatchStatus, Lane
from settlement.errors import NetworkStopped
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort, Nonces


@dataclass(frozen=True, slots=True)
class Reckoning:
    """``next_nonce`` as it should be; ``missing`` are nonces below it that no batch will use."""

    next_nonce: int
    missing: tuple[int, ...]


def reckon(lane: Lane, counts: Nonces, taken: Collection[int]) -> Reckoning | None:
    """``counts`` may be the answer of nodes that lag, so what our batches used up counts too.

    ``taken``: nonces of our batches from the smaller of both counts on. ``None``: the chain, or
    what waits in a mempool, is ahead of everything that we know of.
    """
    ours = max((nonce + 1 for nonce in taken), default=lane.first_nonce)
    if counts.mined > max(ours, lane.next_nonce) or counts.known > max(ours, counts.mined):
        return None
    low = max(counts.mined, lane.first_nonce)
    top = max(low, ours)
    known = frozenset(taken)
    return Reckoning(top, tuple(nonce for nonce in range(low, top) if nonce not in known))


def ahead(address: str, counts: Nonces, ours: int) -> str:
    """Why the network stops, in words: who knows more of the lane than we do."""
    who, at = "a mempool", counts.known
    if counts.mined > ours:
        who, at = "the chain", counts.mined
    return (
        f"lane {address}: {who} is at nonce {at}, we at {ours}; see `tidegate settlement rebuild`"
    )


async def reconcile(ports: Ports, chain: ChainPort, lane: Lane) -> Lane:
    """Returns the lane with the count that it has then; holes are filled, some at a time.

    Raises :class:`~settlement.errors.NetworkStopped` when the chain or a mempool is ahead of us.
    """
    counts = await chain.nonces(lane.address)
    taken = await ports.store.taken_nonces(lane, min(counts.mined, lane.next_nonce))
    reckoning = reckon(lane, counts, taken)
    if reckoning is None:
        reason = ahead(lane.address, counts, lane.next_nonce)
        await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
        ports.log.error("network_stopped", network=lane.network, reason=reason)
        raise NetworkStopped(reason)
    if reckoning.next_nonce != lane.next_nonce:
        ports.log.warning(
            "nonce_corrected",
            lane=lane.address,
            was=lane.next_nonce,
            now=reckoning.next_nonce,
            on_chain=counts.mined,
        )
        await ports.store.count_from(lane, reckoning.next_nonce)
        lane = replace(lane, next_nonce=reckoning.next_nonce)
    for nonce in reckoning.missing[: ports.policy.lane_depth]:
        await _fill(ports, chain, lane, nonce)
    return lane


async def _fill(ports: Ports, chain: ChainPort, lane: Lane, nonce: int) -> None:
    ports.log.warning("nonce_gap_filled", lane=lane.address, nonce=nonce)
    batch = Batch(
        id=await ports.store.new_batch_id(),
        network=lane.network,
        asset=chain.native,
        lane_id=lane.id,
        lane_address=lane.address,
        nonce=nonce,
        status=BatchStatus.PLANNED,
        root="",
        order_count=0,
        planned_at=ports.clock.now(),
        kind=BatchKind.CALL,
    )
    await ports.store.fill_gap(lane, batch)
