"""What follows what: the only file that knows all stages.

====================  ==========  =============================
status                stage       leads to
====================  ==========  =============================
awaiting_payment      charge      authorized, voiding
authorized            screen      cleared, in_review, voiding
in_review             screen      cleared, voiding
cleared               capture     capturing, voiding
capturing             capture     captured, voiding, refund_pending
captured              settle      submitted
submitted             settle      confirming
confirming            settle      completed, refund_pending
voiding               release     expired, canceled, rejected
refund_pending        refund      refunded, refund_failed
====================  ==========  =============================

An order that has filled an escrow's purse is completed; the escrow has a table of its own
(:data:`settlement.escrow.ESCROW`) and one stage, ``escrow``.

A tick claims what is due, decides, calls outside and stores the result. Running one twice, late,
or in two processes changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from settlement.batch import Lane
from settlement.batching.lease import under_lease
from settlement.order import Status
from settlement.ports.bundle import Ports
from settlement.stages import (
    capture,
    charge,
    confirm,
    escrow,
    inbox,
    refund,
    release,
    screen,
    submit,
)

Tick = Callable[[Ports], Awaitable[int]]

STAGES: Mapping[Status, str] = {
    Status.AWAITING_PAYMENT: "charge",
    Status.AUTHORIZED: "screen",
    Status.IN_REVIEW: "screen",
    Status.CLEARED: "capture",
    Status.CAPTURING: "capture",
    Status.CAPTURED: "settle",
    Status.SUBMITTED: "settle",
    Status.CONFIRMING: "settle",
    Status.VOIDING: "release",
    Status.REFUND_PENDING: "refund",
}


async def settle(ports: Ports) -> int:
    """One round over every free lane of every network, all at the same time.

    A network or a lane in trouble does not keep the others from being settled; the first trouble
    is raised when all are done.
    """
    return await _all(settle_network(ports, network) for network in ports.chains)


async def settle_network(ports: Ports, network: str) -> int:
    """Work what is free of one network."""
    return await _all(work_lane(ports, lane) for lane in await take_lanes(ports, network))


async def take_lanes(ports: Ports, network: str) -> list[Lane]:
    """Its share of the free lanes that it has keys for. A stopped network signs nothing."""
    state = await ports.store.network(network)
    if state is None or state.stop_reason is not None:
        return []
    lease_ms = ports.policy.lane_lease_ms
    return await ports.store.claim_lanes(
        network,
        ports.clock.now(),
        lease_ms=lease_ms,
        worker=ports.worker,
        among=ports.chains[network].signs_for,
    )


async def work_lane(ports: Ports, lane: Lane) -> int:
    """Follow what the lane has sent, then send what waits, and give it back."""
    return await under_lease(ports, lane, _round(ports, lane))


async def _round(ports: Ports, lane: Lane) -> int:
    return await confirm.tick(ports, lane) + await submit.tick(ports, lane)


async def _all(works: Iterable[Awaitable[int]]) -> int:
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return sum(outcome for outcome in outcomes if isinstance(outcome, int))


TICKS: Mapping[str, Tick] = {
    "inbox": inbox.tick,
    "charge": charge.tick,
    "screen": screen.tick,
    "capture": capture.tick,
    "settle": settle,
    "release": release.tick,
    "refund": refund.tick,
    "escrow": escrow.tick,
}
"""Every stage once, in the order of the business."""


async def advance(ports: Ports) -> int:
    """One tick of every stage; returns how much was touched. For tests and simulations."""
    touched = 0
    for tick in TICKS.values():
        touched += await tick(ports)
    return touched
