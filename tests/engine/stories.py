"""What may happen to a deployment, told so that it can be interrupted anywhere and gone on with.

A story's ``play`` drives rounds with the given ports, which may stop; its ``world`` (customers, the
chain, the provider) does not. ``settled`` says when nothing more is to be waited for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chain.simulated import VAULT
from settlement.batch import OPEN, BatchKind
from settlement.batching.lease import under_lease
from settlement.errors import NetworkStopped
from settlement.order import FINAL, Order, Status
from settlement.pipeline import advance, take_lanes
from settlement.ports.bundle import Ports
from settlement.ports.chain import ContractCall, SelfTransfer
from settlement.ports.payment import IntentStatus, ProviderEvent
from settlement.ports.store import RequestedCall
from settlement.stages import inbox
from tests.engine.escrows import an_escrow_order, escrows_wait, released, withdrawn
from tests.support.engine import RICH_WEI, Engine, an_engine
from tests.support.waiting import eventually

Play = Callable[[Engine, Ports], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """``begin`` makes the deployment, ``play`` may be interrupted and is then not played again."""

    name: str
    begin: Callable[[], Awaitable[Engine]]
    play: Play
    ends: frozenset[Status] = field(default=FINAL)
    may_stop: bool = False


async def rounds(engine: Engine, ports: Ports, count: int = 8, seconds: int = 2) -> None:
    """Ticks of every stage; after each, customers pay and a block comes."""
    for _ in range(count):
        await advance(ports)
        world(engine, seconds)


def world(engine: Engine, seconds: int = 2) -> None:
    """Everybody who may pays; a block; some time."""
    for intent in list(engine.cards.intents.values()):
        if intent.status is IntentStatus.REQUIRES_PAYMENT_METHOD and engine.customers_pay:
            engine.cards.pay(intent.id, engine.clock.now())
    engine.chain.mine()
    engine.clock.pass_s(seconds)


async def _captured(lanes: int = 1, orders: int = 3, **changes: Any) -> Engine:
    engine = await an_engine(lanes, **changes)
    for _ in range(orders):
        await engine.order()
    return engine


async def _coins() -> Engine:
    engine = await _captured(1, 1)
    for _ in range(3):
        await engine.coins()
    return engine


async def _coins_refused(engine: Engine, ports: Ports) -> None:
    """One recipient refuses once its transfer is signed, one transfer is called back."""
    await advance(ports)
    singles = [batch for batch in engine.batches() if batch.kind is BatchKind.SINGLE]
    for order in await engine.store.in_batch(singles[0].id) if singles else []:
        engine.chain.refusing.add(order.wallet)
    if len(singles) > 1:
        await engine.store.ask(singles[1].id, engine.clock.now(), cancel=True)
    await rounds(engine, ports, 12)


async def _accepted(pays: bool, named: bool = False) -> Engine:
    engine = await an_engine()
    engine.customers_pay = pays
    order = await engine.accepted()
    if named:
        engine.screening.named.add(order.wallet)
    return engine


async def _expires(engine: Engine, ports: Ports) -> None:
    await rounds(engine, ports, 2)
    await rounds(engine, ports, 4, seconds=600)


async def _refused(engine: Engine, ports: Ports) -> None:
    engine.chain.refusing.add(next(iter(engine.orders.values())).wallet)
    await rounds(engine, ports, 10)


async def _outbid(engine: Engine, ports: Ports) -> None:
    await advance(ports)
    engine.chain.base_fee_wei *= 20
    await rounds(engine, ports, 3, seconds=61)
    engine.chain.base_fee_wei //= 20
    await rounds(engine, ports, 6)


async def _called_back(engine: Engine, ports: Ports) -> None:
    await advance(ports)
    for batch in engine.batches():
        await engine.store.ask(batch.id, engine.clock.now(), cancel=True)
    await rounds(engine, ports, 14)


async def _reorganised(engine: Engine, ports: Ports) -> None:
    for forget in (True, False):
        await rounds(engine, ports, 2)
        engine.chain.reorganise(2, forget=forget)
    await rounds(engine, ports, 10, seconds=6)


async def _reverted(engine: Engine, ports: Ports) -> None:
    await advance(ports)
    engine.chain.give(VAULT, tokens=-1)
    engine.chain.mine()
    engine.chain.give(VAULT, tokens=1)
    await rounds(engine, ports, 12)


async def _given_up(engine: Engine, ports: Ports) -> None:
    def drained(method: str) -> None:
        if method == "sign" and engine.chain.state.tokens[VAULT] > 0:
            engine.chain.give(VAULT, tokens=-(10**12))

    engine.chain.before = drained
    try:
        await advance(ports)
        await rounds(engine, ports, 3, seconds=300)
    finally:
        engine.chain.before = lambda _method: None
        if engine.chain.state.tokens[VAULT] < 0:
            engine.chain.give(VAULT, tokens=10**12)
    await rounds(engine, ports, 12, seconds=30)


async def _holes(engine: Engine, ports: Ports) -> None:
    """Our books lost the middle one of three batches and its nonce, and the counter ran ahead."""
    for _ in range(3):
        await advance(ports)
    lost = [batch for batch in engine.batches() if batch.nonce == 1]
    for batch in lost:
        del engine.store.tables.batches[batch.id]
        for order in await engine.store.in_batch(batch.id):
            free = replace(order, batch_id=None, batch_index=None, due_at=engine.clock.now())
            engine.store.tables.orders[order.id] = free
    engine.chain.evict()
    await rounds(engine, ports, 12, seconds=6)


async def _ran_ahead(engine: Engine, ports: Ports) -> None:
    for row in engine.store.tables.lanes.values():
        ahead = replace(row.lane, next_nonce=row.lane.next_nonce + 3)
        engine.store.tables.lanes[row.lane.id] = replace(row, lane=ahead)
    await rounds(engine, ports, 8)


async def _poor(engine: Engine, ports: Ports) -> None:
    had = engine.chain.state.coins["0xlane0"]
    engine.chain.give("0xlane0", coins=-had)
    try:
        await rounds(engine, ports, 3)
    finally:
        engine.chain.give("0xlane0", coins=RICH_WEI)
    await rounds(engine, ports, 10, seconds=10)


async def _calls(engine: Engine, ports: Ports) -> None:
    engine.chain.refusing.add("0xrefusing")
    for number, to in enumerate(("0xto", "0xrefusing")):
        call = RequestedCall(f"call_{number}", "local", "0xlane0", ContractCall(to, b"data"))
        await engine.store.request_call(call, engine.clock.now())
    await rounds(engine, ports, 8)


async def _a_stranger(engine: Engine, ports: Ports) -> None:
    bytes_ = await engine.chain.sign("0xlane0", SelfTransfer(), 0, None)
    await engine.chain.send(bytes_.raw)
    engine.chain.mine()
    try:
        await rounds(engine, ports, 2)
    except NetworkStopped:
        await rounds(engine, ports, 2)


async def _announced(engine: Engine, ports: Ports) -> None:
    """A webhook says that the card was authorised before anybody would have looked."""
    await advance(ports)
    world(engine, seconds=0)
    [order] = engine.orders.values()
    intent_id = (await engine.now(order)).payment_intent_id
    event = ProviderEvent(
        "evt_1", "payment_intent.amount_capturable_updated", engine.clock.now(), intent_id, None, {}
    )
    await ports.store.receive([event], engine.clock.now())
    await rounds(engine, ports)


async def _told(engine: Engine, ports: Ports) -> None:
    """The provider's events: one that says nothing new, one of a refund made by hand."""
    engine.customers_pay = True
    [order] = engine.orders.values()
    intent_id = str((await engine.now(order)).payment_intent_id)
    await engine.cards.refund(intent_id, 4_000, order.id, "by hand")
    for event_type in ("payment_intent.succeeded", "charge.refunded"):
        event = ProviderEvent(
            f"evt_{event_type}", event_type, engine.clock.now(), intent_id, None, {}
        )
        engine.cards.events.append(event)
    await advance(ports)  # the order has left
    await inbox.sweep(ports, engine.clock.now())
    await rounds(engine, ports, 12)


async def _long_and_last(engine: Engine, ports: Ports) -> None:
    """Work that outlasts a part of its lease, and a worker that ends in order."""
    ports = replace(ports, policy=replace(ports.policy, lane_lease_ms=200))
    for lane in await take_lanes(ports, "local"):
        [state] = await engine.store.lanes("local")
        engine.clock.pass_s(1)
        await under_lease(ports, lane, _until_renewed(engine, state.leased_until))
    await ports.store.leave_lanes(ports.worker)
    await rounds(engine, ports, 8)


async def _until_renewed(engine: Engine, until: datetime | None) -> int:
    async def renewed() -> bool:
        return (await engine.store.lanes("local"))[0].leased_until != until

    await eventually(renewed, what="the renewal")
    return 0


STORIES = (
    Story("a card order completes", lambda: _accepted(True), rounds),
    Story("a card order is announced", lambda: _accepted(True), _announced),
    Story("a card order expires", lambda: _accepted(False), _expires),
    Story("a listed wallet is refused", lambda: _accepted(True, named=True), rounds),
    Story("two lanes pay many orders", lambda: _captured(2, 12), rounds),
    Story("a recipient is refused", _captured, _refused),
    Story("coins leave singly", _coins, _coins_refused),
    Story("a batch is outbid", _captured, _outbid),
    Story("a batch is called back", _captured, _called_back),
    Story("a batch is reorganised away", _captured, _reorganised),
    Story("a batch reverts", _captured, _reverted),
    Story("a batch is given up", _captured, _given_up),
    Story("a hole in the nonces", lambda: _captured(1, 11), _holes),
    Story("a counter ran ahead", _captured, _ran_ahead),
    Story("a lane runs low", _captured, _poor),
    Story("calls are requested", lambda: _captured(1, 1), _calls),
    Story("the provider tells", lambda: _captured(1, 1), _told),
    Story("a lease is renewed", _captured, _long_and_last),
    Story("an escrow is released", an_escrow_order, lambda e, p: released(e, p, rounds)),
    Story("a payee is listed late", an_escrow_order, lambda e, p: withdrawn(e, p, rounds)),
    Story(
        "a stranger signs", _captured, _a_stranger, ends=frozenset({Status.CAPTURED}), may_stop=True
    ),
)


async def go_on(engine: Engine, story: Story, limit: int = 60) -> list[Order]:
    """Another worker takes over, after every lease has ended; returns the orders as they ended."""
    world(engine, 60)
    ports = engine.another_worker()
    for _ in range(limit):
        stored = [await engine.now(order) for order in engine.orders.values()]
        open_ = [batch for batch in engine.batches() if batch.status in OPEN]
        quiet = not open_ and not escrows_wait(engine)
        if quiet and all(order.status in story.ends for order in stored):
            return stored
        try:
            await advance(ports)
        except NetworkStopped:
            assert story.may_stop
        world(engine, 30)
    raise AssertionError([(o.id, o.status, o.hold_reason, o.batch_id) for o in stored])
