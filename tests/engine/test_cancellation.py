"""Calling a batch back: a self-transfer races it for the nonce, and a final block says who won."""

from dataclasses import replace

import pytest

from settlement.batch import BatchStatus
from settlement.errors import NetworkStopped, StaleLease
from settlement.ledger.accounts import PLATFORM, Account
from settlement.order import Status
from settlement.pipeline import settle
from settlement.ports.chain import ContractCall
from settlement.ports.store import RequestedCall
from tests.support.builders import signed
from tests.support.engine import Engine, an_engine

B = BatchStatus


async def in_flight(engine: Engine, orders: int = 2):
    """A sent batch, in the mempool."""
    members = [await engine.order() for _ in range(orders)]
    await settle(engine.ports)
    [batch] = engine.batches()
    return batch, members


async def ask_cancel(engine: Engine, batch_id: int) -> None:
    assert await engine.store.ask(batch_id, engine.clock.now(), cancel=True)


async def test_a_decided_batch_cannot_be_called_back():
    """It paid; the request is refused."""
    engine = await an_engine()
    batch, _ = await in_flight(engine)
    await engine.until_quiet()
    assert not await engine.store.ask(batch.id, engine.clock.now(), cancel=True)


async def test_nothing_but_a_self_transfer_is_stored_once_a_cancellation_is_asked_for():
    """Whoever read the batch before stores no payment after."""
    engine = await an_engine()
    batch, _ = await in_flight(engine)
    [lane] = await engine.scene.claims(engine.clock.now())
    await ask_cancel(engine, batch.id)
    with pytest.raises(StaleLease):
        await engine.store.store_attempt(lane, batch, signed(0, "0xnew"), engine.clock.now())


async def test_a_cancelled_batch_pays_nobody_and_its_orders_join_another():
    """The self-transfer is mined: gas is booked, a new batch with a new id pays everybody once."""
    engine = await an_engine()
    batch, members = await in_flight(engine)
    await ask_cancel(engine, batch.id)
    await settle(engine.ports)
    [batch] = engine.batches()
    assert [attempt.cancels for attempt in batch.attempts] == [False, True]
    for _ in range(5):
        await engine.step()
        if engine.batches()[0].status is B.CANCELLED:
            break
    assert engine.batches()[0].status is B.CANCELLED
    events = [event.type for event in await engine.store.events(members[0].id)]
    assert "order.requeued" in events
    payment, cancellation = (attempt.transaction.ref for attempt in batch.attempts)
    assert payment not in engine.chain.state.receipts
    gas = {row.account: row.debits_posted for row in await engine.store.balances(PLATFORM)}
    assert gas[Account.GAS] == engine.chain.state.receipts[cancellation].fee_paid_wei
    await engine.until_quiet()
    assert [b.status for b in engine.batches()] == [B.CANCELLED, B.FINAL]
    assert [engine.paid(order) for order in members] == [o.token.amount_minor for o in members]
    await engine.check()


async def test_an_original_that_wins_the_race_pays_as_if_nobody_had_asked():
    """It was in a block when the cancellation came."""
    engine = await an_engine()
    batch, members = await in_flight(engine)
    engine.chain.mine()
    await ask_cancel(engine, batch.id)
    await engine.until_quiet()
    assert [b.status for b in engine.batches()] == [B.FINAL]
    for order in members:
        assert (await engine.now(order)).status is Status.COMPLETED
    await engine.check()


async def test_a_race_that_a_reorganisation_decides_the_other_way():
    """The self-transfer was mined first; the chain that stays holds the payment."""
    engine = await an_engine()
    batch, members = await in_flight(engine)
    original = dict(engine.chain.mempool)
    await ask_cancel(engine, batch.id)
    await engine.step()
    await settle(engine.ports)
    assert engine.batches()[0].status is B.MINED
    engine.chain.reorganise(1, forget=True)
    engine.chain.mempool = original
    engine.chain.mine()
    await engine.until_quiet()
    assert [b.status for b in engine.batches()] == [B.FINAL]
    assert [engine.paid(order) for order in members] == [o.token.amount_minor for o in members]
    await engine.check()


async def test_what_the_chain_refuses_to_sign_is_cancelled_by_itself_in_time():
    """Tokens withdrawn after the plan: the lane is free again, the orders wait for tokens."""
    engine = await an_engine()
    order = await engine.order()
    engine.chain.before = _once(lambda: engine.chain.give("0xvault", tokens=-1), "sign")
    await settle(engine.ports)
    engine.chain.before = lambda _method: None
    [batch] = engine.batches()
    assert batch.status is B.PLANNED
    patience_s = engine.ports.policy.sign_patience_ms // 1_000
    engine.clock.pass_s(patience_s - 1)
    await settle(engine.ports)
    assert engine.batches()[0].cancel_asked_at is None
    engine.clock.pass_s(1)
    for _ in range(7):
        await engine.step()
    assert engine.batches()[0].status is B.CANCELLED
    assert engine.log.count("batch_given_up") == 1
    assert (await engine.now(order)).batch_id is None
    engine.chain.give("0xvault", tokens=1)
    engine.clock.pass_s(60)
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


def _once(happening, method):
    """A hook that does ``happening`` before the first call of ``method``."""
    done = []

    def hook(name: str) -> None:
        if name == method and not done:
            done.append(name)
            happening()

    return hook


async def test_a_batch_whose_id_the_vault_holds_is_never_requeued():
    """Somebody else recorded it: perhaps the orders were paid, so a person decides."""
    engine = await an_engine()
    batch, members = await in_flight(engine)
    await ask_cancel(engine, batch.id)
    await settle(engine.ports)
    engine.chain.mine(4)
    engine.chain.state.roots[batch.id] = "0xsomebody"
    with pytest.raises(NetworkStopped):
        await settle(engine.ports)
    assert (await engine.now(members[0])).batch_id == batch.id


async def test_a_planned_batch_that_is_called_back_is_never_signed():
    """Only its nonce is used up."""
    engine = await an_engine()
    order = await engine.order()
    engine.chain.before = _once(lambda: setattr(engine.chain, "paused", True), "sign")
    await settle(engine.ports)
    [batch] = engine.batches()
    assert batch.attempts == ()
    await ask_cancel(engine, batch.id)
    for _ in range(6):
        await engine.step()
    assert [a.cancels for a in engine.batches()[0].attempts] == [True]
    assert engine.batches()[0].status is B.CANCELLED
    engine.chain.paused = False
    engine.clock.pass_s(60)
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


async def test_a_call_whose_batch_was_cancelled_is_made_by_another():
    """It is still wanted."""
    engine = await an_engine()
    call = RequestedCall("call_1", "local", "0xlane0", ContractCall("0xto", b"data"))
    await engine.store.request_call(call, engine.clock.now())
    await settle(engine.ports)
    [batch] = engine.batches()
    await ask_cancel(engine, batch.id)
    for _ in range(12):
        await engine.step()
    assert [b.status for b in engine.batches()] == [B.CANCELLED, B.FINAL]
    assert engine.batches()[1].requested == replace(call)
