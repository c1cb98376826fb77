"""A hold that the provider's event puts on an order while its batch is looked at."""

from dataclasses import replace
from typing import Any

import pytest

from settlement.batch import Batch, Lane
from settlement.errors import ChainRefused
from settlement.escrow import ActionStatus, Hold
from settlement.ids import OrderId
from settlement.order import HoldReason, Order, Status
from settlement.pipeline import settle
from settlement.ports.screening import Outcome, Reason, Scope, Subject, Verdict
from settlement.transitions import stay
from tests.engine.escrows import an_escrow_order, attest, the_escrow
from tests.engine.stories import rounds
from tests.support.engine import Engine, Nobody, an_engine


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


async def test_what_the_card_gave_back_is_not_released_from_its_escrow() -> None:
    """Not even when the call waits for its lane already; it goes on when the dispute is won."""
    engine = await an_escrow_order()
    await rounds(engine, engine.ports)
    await attest(engine)
    await engine.store.pause_network("local", engine.clock.now(), by="a person")
    await rounds(engine, engine.ports, 2)
    assert the_escrow(engine).actions[0].status is ActionStatus.SUBMITTED
    await marked(engine, HoldReason.DISPUTED)
    await rounds(engine, engine.ports, 4)
    await engine.store.resume_network("local", engine.clock.now())
    await rounds(engine, engine.ports, 4)
    [action] = the_escrow(engine).actions
    assert (action.status, action.hold) == (ActionStatus.HELD, Hold.DISPUTED)
    told = [event.data for event in engine.store.tables.events if event.type == "escrow.held"]
    assert {fact["hold_reason"] for fact in told} == {"disputed"}
    assert the_escrow(engine).released_minor == 0
    await marked(engine, HoldReason.NONE)
    await rounds(engine, engine.ports)
    assert the_escrow(engine).actions[0].status is ActionStatus.FINAL


async def test_one_node_that_refuses_an_escrows_call_only_makes_it_wait() -> None:
    """A failed action would be the word of a liar; the beat does not run hot over it."""
    engine = await an_escrow_order()
    await rounds(engine, engine.ports)

    def lie(method: str) -> None:
        if method == "preflight":
            raise ChainRefused("execution reverted")

    engine.chain.before = lie
    await attest(engine)
    await rounds(engine, engine.ports, 4)
    assert the_escrow(engine).actions[0].status is ActionStatus.SUBMITTED
    assert await settle(engine.ports) == 0
    engine.chain.before = lambda _method: None
    await rounds(engine, engine.ports)
    assert the_escrow(engine).actions[0].status is ActionStatus.FINAL


class Window(Nobody):
    """A screening to which orders come to too much from some moment on."""

    full = False

    async def screen(self, subject: Subject) -> Verdict:
        if self.full and subject.scope is Scope.ALL:
            return Verdict(Outcome.REVIEW, (Reason("unscored.wallet", "full"),), {})
        return await super().screen(subject)


async def test_an_escrow_is_paid_though_orders_after_it_came_to_too_much() -> None:
    """It was counted before its money was taken; nobody could decide about a payment from it."""
    engine, window = await an_escrow_order(), Window()
    engine.ports = replace(engine.ports, screening=window)
    await rounds(engine, engine.ports)
    window.full = True
    await attest(engine)
    await rounds(engine, engine.ports)
    assert the_escrow(engine).actions[0].status is ActionStatus.FINAL


async def marked(engine: Engine, hold: HoldReason) -> None:
    """What the provider's event does to the order behind the escrow."""
    [order] = engine.orders.values()
    stored = await engine.now(order)
    await engine.store.apply_many([stay(stored, stored.due_at, patch={"hold_reason": hold})])
