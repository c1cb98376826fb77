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

from collections.abc import Awaitable, Callable, Mapping

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
    """One round over every network: follow what was sent, then send what waits."""
    moved, trouble = 0, None
    for network in ports.chains:
        try:
            moved += await settle_network(ports, network)
        except Exception as error:
            # A network in trouble must not keep the others from being settled.
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return moved


async def settle_network(ports: Ports, network: str) -> int:
    """Take a free lane, work it, give it back. A stopped network signs nothing."""
    state = await ports.store.network(network)
    if state is None or state.stop_reason is not None:
        return 0
    now, lease_ms = ports.clock.now(), ports.policy.lease_ms
    lane = await ports.store.claim_lane(network, now, lease_ms=lease_ms)
    if lane is None:
        return 0
    try:
        return await confirm.tick(ports, lane) + await submit.tick(ports, lane)
    finally:
        await ports.store.release_lane(lane)


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
