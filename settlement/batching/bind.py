"""Orders become a planned batch: id, the lane's next nonce and the orders, in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from settlement.batch import Batch, BatchKind, BatchStatus, Lane, batch_call
from settlement.errors import StaleLease
from settlement.money import Asset
from settlement.order import HoldReason, Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort
from settlement.schedule import retry_at
from settlement.transitions import Change, move, stay


async def bind(
    ports: Ports,
    chain: ChainPort,
    lane: Lane,
    asset: Asset,
    orders: Sequence[Order],
    kind: BatchKind = BatchKind.PAYOUT,
) -> Lane:
    """Plan the batch that pays ``orders``; returns the lane as it then is.

    By id, so that orders to one wallet and of one amount can be told apart by the root alone when
    all else is lost.
    """
    orders = sorted(orders, key=lambda order: order.id)
    now = ports.clock.now()
    batch_id = await ports.store.new_batch_id()
    batch = Batch(
        id=batch_id,
        network=lane.network,
        asset=asset,
        lane_id=lane.id,
        lane_address=lane.address,
        nonce=lane.next_nonce,
        status=BatchStatus.PLANNED,
        root=chain.batch_root(batch_call(batch_id, asset, orders)),
        order_count=len(orders),
        planned_at=now,
        kind=kind,
        value_minor=orders[0].token.amount_minor if kind is BatchKind.SINGLE else 0,
    )
    try:
        await ports.store.plan(lane, batch, [_placed(o, batch, i) for i, o in enumerate(orders)])
    except StaleLease as error:
        # One of them moved meanwhile (a refund, a hold): the others come again in a moment.
        ports.log.warning("plan_dropped", network=lane.network, error=str(error))
        soon = retry_at(now, 0, ports.policy)
        await ports.store.apply_many([stay(order, soon) for order in orders])
        return lane
    return replace(lane, next_nonce=lane.next_nonce + 1)


def _placed(order: Order, batch: Batch, index: int) -> Change:
    patch = {"batch_id": batch.id, "batch_index": index}
    if order.status is Status.CAPTURED:
        return move(order, Status.SUBMITTED, batch.planned_at, patch=patch)
    # Its earlier batch ended without paying it; the public status does not go backwards.
    return stay(order, batch.planned_at, patch={**patch, "hold_reason": HoldReason.NONE})
