"""Bids: raised enough, never above the cap, tried again, and nothing is dropped meanwhile."""

from itertools import pairwise

import pytest

from chain.resubmit import bid, market_fees, replacement_fees
from settlement.batch import BatchStatus
from settlement.errors import ChainUnknown, FeeCapReached
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from settlement.ports.chain import Fees
from settlement.schedule import Policy
from tests.support.engine import Engine, an_engine

GWEI = 10**9


async def stuck(engine: Engine):
    """A batch that is sent at a fee which no block takes any more."""
    order = await engine.order()
    await settle(engine.ports)
    engine.chain.base_fee_wei = 50 * GWEI
    return order


def refs(engine: Engine) -> list[str]:
    return [attempt.transaction.ref for attempt in engine.batches()[0].attempts]


def test_a_bid_above_the_cap_is_refused():
    """Neither a first bid nor one that would have to outbid what is at the cap already."""
    with pytest.raises(FeeCapReached):
        bid(market_fees(50 * GWEI, GWEI), None, 100 * GWEI)
    with pytest.raises(FeeCapReached):
        bid(market_fees(50 * GWEI, GWEI), Fees(90 * GWEI, GWEI), 100 * GWEI)


def test_between_the_least_that_outbids_and_the_market_the_cap_is_offered():
    """It is as much as we are willing to pay, and valid."""
    old = Fees(20 * GWEI, GWEI)
    fees = bid(market_fees(50 * GWEI, GWEI), old, 60 * GWEI)
    assert fees.max_fee_wei == 60 * GWEI
    assert fees.priority_fee_wei * 10 >= old.priority_fee_wei * 11
    assert fees.priority_fee_wei <= fees.max_fee_wei
    uncapped = bid(market_fees(GWEI, GWEI), old, None)
    assert uncapped == replacement_fees(old, market_fees(GWEI, GWEI))


async def test_every_replacement_raises_both_fees_by_a_tenth():
    """Nodes take no less, whatever the local chain does."""
    engine = await an_engine(policy=Policy(bump_ms=1_000))
    await stuck(engine)
    for _ in range(5):
        await engine.step(seconds=6, blocks=0)
    attempts = engine.batches()[0].attempts
    assert len(attempts) >= 4
    for old, new in pairwise(attempt.transaction.fees for attempt in attempts):
        assert new.max_fee_wei * 10 >= old.max_fee_wei * 11
        assert new.priority_fee_wei * 10 >= old.priority_fee_wei * 11


async def test_a_bump_that_failed_is_tried_again():
    """The node gave no answer when it was priced; the old bytes went on being sent meanwhile."""
    engine = await an_engine(policy=Policy(bump_ms=1_000))
    await stuck(engine)

    def silent(method: str) -> None:
        if method == "sign":
            raise ChainUnknown("no answer")

    engine.chain.before = silent
    engine.chain.evict()
    await engine.step(seconds=6)
    await engine.step(seconds=6)
    assert len(engine.batches()[0].attempts) == 1
    assert [t.ref for t in engine.chain.mempool.values()] == refs(engine)
    engine.chain.before = lambda _method: None
    await engine.until_quiet()
    assert len(engine.batches()[0].attempts) == 2
    await engine.check()


async def test_a_bump_above_the_cap_waits_while_the_old_bytes_are_sent_again():
    """An evicted transaction comes back, and is mined once gas has fallen."""
    policy = Policy(bump_ms=1_000, fee_caps_wei={"local": 2_200_000_000})
    engine = await an_engine(policy=policy)
    order = await stuck(engine)
    for _ in range(3):
        engine.clock.pass_s(6)
        engine.chain.evict()
        await engine.step()
        assert [t.ref for t in engine.chain.mempool.values()] == refs(engine)
    assert len(refs(engine)) == 1
    assert engine.batches()[0].status is BatchStatus.SENT
    assert engine.log.count("replacement_failed") >= 2
    engine.chain.base_fee_wei = GWEI
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


async def test_a_bump_is_made_when_gas_has_fallen_below_the_cap_again():
    """It had waited; nothing had been dropped."""
    policy = Policy(bump_ms=1_000, fee_caps_wei={"local": 30 * GWEI})
    engine = await an_engine(policy=policy)
    await stuck(engine)
    for _ in range(2):
        await engine.step(seconds=6)
    assert refs(engine)
    engine.chain.base_fee_wei = 14 * GWEI
    await engine.until_quiet()
    assert 1 < len(refs(engine)) <= 3
    assert all(a.transaction.fees.max_fee_wei <= 30 * GWEI for a in engine.batches()[0].attempts)
    await engine.check()


async def test_above_the_cap_orders_wait_with_a_reason_and_leave_when_gas_falls():
    """None fails; the reason goes with the obstacle."""
    engine = await an_engine(policy=Policy(fee_caps_wei={"local": 10 * GWEI}))
    engine.chain.base_fee_wei = 50 * GWEI
    order = await engine.order()
    await engine.step()
    held = await engine.now(order)
    assert (held.status, held.hold_reason) == (Status.CAPTURED, HoldReason.FEE_CAP)
    assert engine.batches() == []
    engine.chain.base_fee_wei = GWEI
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


async def test_a_planned_batch_above_the_cap_waits_unsigned_and_is_never_given_up():
    """Gas rose between the plan and the signature: waiting is no refusal."""
    engine = await an_engine(policy=Policy(fee_caps_wei={"local": 10 * GWEI}))
    order = await engine.order()

    def rises(method: str) -> None:
        if method == "sign":
            engine.chain.base_fee_wei = 50 * GWEI

    engine.chain.before = rises
    await settle(engine.ports)
    engine.chain.before = lambda _method: None
    engine.clock.pass_s(3_600)
    await settle(engine.ports)
    [batch] = engine.batches()
    assert (batch.status, batch.cancel_asked_at) == (BatchStatus.PLANNED, None)
    engine.chain.base_fee_wei = GWEI
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor


async def test_a_bump_that_an_operator_asks_for_is_made_once():
    """At once, and not again; one asked for by a clock ahead of ours waits for ours."""
    engine = await an_engine()
    await stuck(engine)
    [batch] = engine.batches()
    engine.clock.pass_s(1)
    assert await engine.store.ask(batch.id, engine.clock.now(), cancel=False)
    for _ in range(3):
        engine.clock.pass_s(1)
        await settle(engine.ports)
    assert len(refs(engine)) == 2
    engine.clock.pass_s(30)
    await engine.store.ask(batch.id, engine.clock.now(), cancel=False)
    engine.clock.pass_s(-20)
    for _ in range(3):
        engine.clock.pass_s(1)
        await settle(engine.ports)
    assert len(refs(engine)) == 2


async def test_the_same_bytes_are_not_sent_again_every_moment():
    """Once in ``rebroadcast_ms``, counted from the last time."""
    engine = await an_engine()
    await stuck(engine)
    sent = []
    engine.chain.before = lambda method: sent.append(method) if method == "send" else None
    for _ in range(20):
        engine.clock.pass_s(1)
        await settle(engine.ports)
    assert 3 <= len(sent) <= 5
