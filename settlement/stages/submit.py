"""captured → submitted: what is planned leaves, and what waits is planned.

Four effects with a crash possible between any two: the plan (batch id, nonce and orders in one
transaction), the signature, the stored bytes, the sending.
"""

from settlement.batch import BatchStatus, Lane
from settlement.batching.plan import plan_waiting
from settlement.batching.push import push
from settlement.ports.bundle import Ports


async def tick(ports: Ports, lane: Lane) -> int:
    """Push every batch that is not sent yet, then plan what waits on the lane's network.

    In this order, so that nothing more is bound to a lane that cannot sign what it holds.
    """
    pushed, blocked = await _push_open(ports, lane)
    if blocked:
        return pushed
    lane, planned = await plan_waiting(ports, lane)
    if not planned:
        return pushed
    return pushed + planned + (await _push_open(ports, lane))[0]


async def _push_open(ports: Ports, lane: Lane) -> tuple[int, bool]:
    """How many were pushed, and whether one of them could not be signed."""
    pushed = 0
    for batch in await ports.store.open_batches(lane):
        if batch.status in (BatchStatus.PLANNED, BatchStatus.SIGNED):
            if not await push(ports, lane, batch):
                return pushed, True
            pushed += 1
    return pushed, False
