"""captured → submitted: what is planned leaves, and what waits is planned.

Four effects with a crash possible between any two: the plan (batch id, nonce and orders in one
transaction), the signature, the stored bytes, the sending.
"""

from collections.abc import Sequence

from settlement.batch import Batch, BatchStatus, Lane
from settlement.batching.plan import plan_waiting
from settlement.batching.push import push
from settlement.ports.bundle import Ports


async def tick(ports: Ports, lane: Lane) -> int:
    """Push every batch that is not sent yet, then plan what waits on the lane's network.

    In this order, so that nothing more is bound to a lane that cannot sign what it holds.
    """
    batches = await ports.store.open_batches(lane)
    pushed, under_way = await _push(ports, lane, batches)
    if len(under_way) < len(batches):
        return pushed
    lane, planned = await plan_waiting(ports, lane, under_way)
    if not planned:
        return pushed
    return pushed + planned + (await _push(ports, lane, await ports.store.open_batches(lane)))[0]


async def _push(ports: Ports, lane: Lane, batches: Sequence[Batch]) -> tuple[int, list[Batch]]:
    """How many were pushed, and the batches as they then are, up to the first that could not be
    signed."""
    pushed, under_way = 0, []
    for batch in batches:
        is_sent = batch.status not in (BatchStatus.PLANNED, BatchStatus.SIGNED)
        now = batch if is_sent else await push(ports, lane, batch)
        if now is None:
            break
        pushed += not is_sent
        under_way.append(now)
    return pushed, under_way
