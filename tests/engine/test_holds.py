"""A hold that the provider's event puts on an order while its batch is looked at."""

from dataclasses import replace
from typing import Any

import pytest

from settlement.batch import Batch, Lane
from settlement.ids import OrderId
from settlement.order import HoldReason, Order, Status
from settlement.pipeline import settle
from settlement.transitions import stay
from tests.support.engine import Engine, an_engine


class Meanwhile:
    """A store on which somebody marks an order right after its batch or its orders were read."""

    def __init__(self, store: Any, order_id: OrderId, status: Status) -> None:
        self.store = store
        self.order_id = order_id
        self.status = status

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def in_batch(self, batch_id: int) -> list[Order]:
        found: list[Order] = await self.store.in_batch(batch_id)
        await self._mark()
        return found

    async def open_batches(self, lane: Lane) -> list[Batch]:
        found: list[Batch] = await self.store.open_batches(lane)
        await self._mark()
        return found

    async def _mark(self) -> None:
        order = await self.store.get(self.order_id)
        if order.status is self.status and order.hold_reason is HoldReason.NONE:
            patch = {"hold_reason": HoldReason.REFUNDED}
            await self.store.apply_many([stay(order, order.due_at, patch=patch)])


async def sent(engine: Engine) -> Order:
    order = await engine.order()
    await settle(engine.ports)
    return order


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.CONFIRMING])
async def test_a_refund_noticed_meanwhile_stays_on_the_order(status: Status) -> None:
    """Were it forgotten and the batch then reverted, the order would be paid as well."""
    engine = await an_engine()
    order = await sent(engine)
    marking = Meanwhile(engine.store, order.id, status)
    engine.ports = replace(engine.ports, store=marking)
    for _ in range(8):
        await engine.step()
    stored = await engine.now(order)
    assert (stored.status, stored.hold_reason) == (Status.COMPLETED, HoldReason.REFUNDED)
