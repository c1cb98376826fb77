"""A worker that starts beside a node that does not answer: a backup may have come back."""

from dataclasses import replace
from typing import Any

from bridge.storage.wake import Wake
from bridge.worker import Worker
from settlement.errors import ChainUnknown
from settlement.ids import payment_key
from settlement.order import Status
from settlement.ports.bundle import stopped
from settlement.stages import charge, refund, release
from tests.support.engine import Engine, an_engine


async def started(engine: Engine) -> Worker:
    worker = Worker(engine.ports, Wake("postgresql://nobody"), tick_ms=10**6, sweep_s=10**6)
    await worker.start()
    return worker


async def paid_since_the_backup(engine: Engine) -> str:
    """To this database an unpaid order; the provider has its money, and its wallet the tokens."""
    order = await engine.accepted()
    await charge.tick(engine.ports)
    intent_id = str((await engine.now(order)).payment_intent_id)
    engine.cards.pay(intent_id, engine.clock.now())
    await engine.cards.capture(intent_id, 10_000, payment_key(order.id, "capture"))
    engine.clock.pass_s(60)
    return order.id


async def test_nothing_is_given_back_before_the_chain_was_looked_at():
    """The order may be paid out; only its chain can tell that our rows are old."""
    engine = await an_engine()
    order_id = await paid_since_the_backup(engine)

    def away(method: str) -> None:
        raise ChainUnknown(method)

    engine.chain.before = away
    worker = await started(engine)
    for _ in range(4):
        for tick in (charge.tick, release.tick, refund.tick):
            await tick(engine.ports)
        engine.clock.pass_s(120)
    assert engine.cards.refunds == {}
    stored = await engine.store.get(order_id)
    assert stored is not None
    assert stored.status is Status.AWAITING_PAYMENT
    engine.chain.before = lambda _method: None
    await worker.verify()
    for _ in range(4):
        for tick in (charge.tick, release.tick, refund.tick):
            await tick(engine.ports)
        engine.clock.pass_s(120)
    stored = await engine.store.get(order_id)
    assert stored is not None
    assert stored.status is Status.REFUNDED
    await worker.stop()


class Away:
    """A chain whose nodes are all down."""

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any, **__: Any) -> Any:
            raise ChainUnknown(name)

        return call


async def test_a_network_that_does_not_answer_holds_up_no_other():
    """Each is waited for by itself."""
    engine = await an_engine()
    now = engine.clock.now()
    await engine.store.register_network("other", await engine.chain.identity(), now)
    engine.ports = replace(engine.ports, chains={"other": Away(), **engine.ports.chains})
    worker = await started(engine)
    assert await stopped(engine.ports, ["local", "other"]) == {"other"}
    await worker.stop()
