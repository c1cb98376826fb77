"""Working a lane under its lease: renewed while the work goes on, and never outlived.

A dead or frozen worker renews nothing, so that its lane is free for others within
``lane_lease_ms``. One that wakes late finds its epoch stale at the first write.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from settlement.batch import Lane
from settlement.ports.bundle import Ports

RENEWALS = 4
"""How often the lease is renewed within its length; a renewal may take as long as two of these
parts, so that work ends before the lease does."""


async def under_lease(ports: Ports, lane: Lane, work: Coroutine[Any, Any, int]) -> int:
    """Do ``work`` while the lease can be renewed; whatever happens, the lane is given back.

    Work that outlasts its lease is cancelled, as if the process had died at that point: what it
    meant to do is stored, and whoever has the lane now does it.
    """
    part_s = ports.policy.lane_lease_ms / (1_000 * RENEWALS)
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=part_s))[0]:
            async with asyncio.timeout(2 * part_s):
                if not await _renewed(ports, lane):
                    ports.log.warning("lane_lost", lane=lane.address, network=lane.network)
                    return 0
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await ports.store.release_lane(lane)


async def _renewed(ports: Ports, lane: Lane) -> bool:
    lease_ms = ports.policy.lane_lease_ms
    return await ports.store.renew_lane(lane, ports.clock.now(), lease_ms=lease_ms)
