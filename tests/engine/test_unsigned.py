"""A batch that was planned long before it could be signed: the world is looked at again first."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chain.simulated import SimulatedChain
from settlement.batch import BatchStatus
from settlement.errors import ScreeningUnavailable
from settlement.order import HoldReason, Order, Status
from settlement.pipeline import settle
from settlement.ports.payment import IntentStatus
from settlement.schedule import Policy
from settlement.transitions import stay
from tests.engine.escrows import an_escrow_order
from tests.engine.stories import rounds
from tests.engine.test_outages import ListsDown
from tests.support.builders import NOW
from tests.support.engine import Engine, an_engine

HOURS_S = 5 * 3_600


def pause(chain: SimulatedChain) -> None:
    """The vault is paused between the plan and the signature."""

    def hook(method: str) -> None:
        chain.paused = chain.paused or method == "sign"

    chain.before = hook


def resume(chain: SimulatedChain) -> None:
    chain.before = lambda _method: None
    chain.paused = False


async def planned_long_ago() -> tuple[Engine, list[Order]]:
    engine = await an_engine()
    orders = [await engine.order() for _ in range(2)]
    pause(engine.chain)
    await settle(engine.ports)
    [batch] = engine.batches()
    assert (batch.status, batch.attempts) == (BatchStatus.PLANNED, ())
    engine.clock.pass_s(HOURS_S)
    resume(engine.chain)
    return engine, orders


async def named(engine: Engine, order: Order) -> None:
    engine.screening.named.add(order.wallet)


async def refunded(engine: Engine, order: Order) -> None:
    stored = await engine.now(order)
    patch = {"hold_reason": HoldReason.REFUNDED}
    await engine.store.apply_many([stay(stored, stored.due_at, patch=patch)])


@pytest.mark.parametrize(
    ("happening", "hold"), [(named, HoldReason.SANCTIONS), (refunded, HoldReason.REFUNDED)]
)
async def test_what_happened_since_the_plan_calls_the_batch_back(happening, hold) -> None:
    """The one is not paid; the other joins another batch."""
    engine, (unwanted, other) = await planned_long_ago()
    await happening(engine, unwanted)
    for _ in range(12):
        await engine.step()
    first, second = engine.batches()
    assert [attempt.cancels for attempt in first.attempts] == [True]
    assert (first.status, second.order_count) == (BatchStatus.CANCELLED, 1)
    assert (engine.paid(unwanted), engine.paid(other)) == (0, other.token.amount_minor)
    assert (await engine.now(unwanted)).hold_reason is hold
    assert (await engine.now(other)).status is Status.COMPLETED
    await engine.check()


async def test_nothing_is_signed_late_while_the_lists_are_out_of_reach() -> None:
    """It stays planned; the lists answer, and it pays."""
    engine, orders = await planned_long_ago()
    listening, engine.ports = engine.ports, replace(engine.ports, screening=ListsDown())
    await engine.step()
    assert [batch.attempts for batch in engine.batches()] == [()]
    engine.ports = listening
    await engine.until_quiet()
    assert [engine.paid(order) for order in orders] == [o.token.amount_minor for o in orders]


async def test_a_batch_that_is_signed_at_once_reads_the_lists_once() -> None:
    """What was just planned was just looked at."""
    engine = await an_engine()
    await engine.order()
    reads = []

    class Counted(ListsDown):
        async def vetoed(self, _network, wallets, _tenant_id):
            reads.append(wallets)
            if len(reads) > 1:
                raise ScreeningUnavailable("read twice")
            return frozenset()

    engine.ports = replace(engine.ports, screening=Counted())
    await engine.until_quiet()
    assert len(reads) == 1


@pytest.mark.parametrize("when", ["before the plan", "after the plan"])
async def test_a_purse_is_not_filled_once_its_escrow_is_over(when: str) -> None:
    """The money goes back, whether the pause came before the plan or after it."""
    engine = await an_escrow_order()
    [order] = engine.orders.values()
    if when == "after the plan":
        pause(engine.chain)
    else:
        await engine.store.pause_network("local", engine.clock.now(), by="a person")
    await rounds(engine, engine.ports)
    stored = await engine.now(order)
    assert stored.settle_by is not None
    assert stored.status is (Status.SUBMITTED if engine.chain.paused else Status.CAPTURED)
    engine.clock.moment = stored.settle_by + timedelta(seconds=1)
    resume(engine.chain)
    await engine.store.resume_network("local", engine.clock.now())
    await rounds(engine, engine.ports, 12, seconds=10)
    ended = await engine.now(order)
    assert (ended.status, ended.reason) == (Status.REFUNDED, "escrow_expired")
    assert engine.paid(order) == 0
    [intent] = engine.cards.intents.values()
    assert intent.status is IntentStatus.SUCCEEDED
    assert [refund.amount_minor for _, refund in engine.cards.refunds[intent.id]] == [10_000]
    await engine.check()


async def test_waiting_for_a_fee_is_no_failed_attempt() -> None:
    """An hour above the cap; the first error afterwards is tried again as soon as any first one."""
    engine = await an_engine(policy=Policy(fee_caps_wei={"local": 1}))
    order = await engine.order()
    for _ in range(20):
        await engine.step(seconds=180)
    stored = await engine.now(order)
    assert engine.clock.now() > NOW + timedelta(minutes=50)
    assert (stored.hold_reason, stored.attempts) == (HoldReason.FEE_CAP, 0)
