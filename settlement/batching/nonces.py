"""Our count of a lane's nonces against the chain's: where they differ, who is right?

A nonce that the chain has used and no batch of ours explains was signed by somebody else, or a
backup came back: the network stops. A count that ran ahead of every batch (a broadcast that was
given up, a counter that was restored) goes back; a hole below a batch is filled by a transaction
that does nothing, so that what comes after it is not stuck for ever.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from settlement.batch import Batch, BatchKind, BatchStatus, Lane
from settlement.errors import NetworkStopped
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort


@dataclass(frozen=True, slots=True)
class Reckoning:
    """``next_nonce`` as it should be; ``missing`` are nonces below it that no batch will use."""

    next_nonce: int
    missing: tuple[int, ...]


def reckon(lane: Lane, on_chain: int, taken: Collection[int]) -> Reckoning | None:
    """``on_chain`` may be the answer of a node that lags, so what our batches used up counts too.

    ``taken``: nonces of our batches from the smaller of both counts on. ``None``: the chain is
    ahead of everything that we know of.
    """
    ours = max((nonce + 1 for nonce in taken), default=lane.first_nonce)
    if on_chain > max(ours, lane.next_nonce):
        return None
    low = max(on_chain, lane.first_nonce)
    top = max(low, ours)
    known = frozenset(taken)
    return Reckoning(top, tuple(nonce for nonce in range(low, top) if nonce not in known))


async def reconcile(ports: Ports, chain: ChainPort, lane: Lane) -> Lane:
    """Returns the lane with the count that it has then; holes are filled, some at a time.

    Raises :class:`~settlement.errors.NetworkStopped` when the chain is ahead of us.
    """
    on_chain = await chain.nonce(lane.address)
    taken = await ports.store.taken_nonces(lane, min(on_chain, lane.next_nonce))
    reckoning = reckon(lane, on_chain, taken)
    if reckoning is None:
        reason = f"lane {lane.address}: the chain is at nonce {on_chain}, we at {lane.next_nonce}"
        await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
        ports.log.error("network_stopped", network=lane.network, reason=reason)
        raise NetworkStopped(reason)
    if reckoning.next_nonce != lane.next_nonce:
        ports.log.warning(
            "nonce_corrected",
            lane=lane.address,
            was=lane.next_nonce,
            now=reckoning.next_nonce,
            on_chain=on_chain,
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
