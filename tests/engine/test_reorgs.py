"""Blocks that are taken back: healed and told above the final one, a stop below it."""

import pytest

from settlement.batch import BatchStatus
from settlement.errors import ChainPaused, ChainUnknown, NetworkStopped
from settlement.order import Status
from settlement.pipeline import settle
from settlement.stages import identity
from tests.support.engine import Engine, an_engine

B = BatchStatus


async def decided(engine: Engine) -> None:
    """One order whose final block is the anchor, and nothing else."""
    await engine.order()
    await engine.until_quiet()


@pytest.mark.parametrize("what", ["waits", "is in flight"])
async def test_a_reorganisation_below_what_we_acted_on_stops_the_network_at_once(what: str):
    """Before anything more is planned or decided; a person has to look."""
    engine = await an_engine()
    await decided(engine)
    order = await engine.order()
    if what == "is in flight":
        await settle(engine.ports)
    anchor = (await engine.store.network("local")).anchor_number
    engine.chain.reorganise(len(engine.chain.blocks) - anchor, forget=True)
    sent = len(engine.batches())
    with pytest.raises(NetworkStopped):
        await settle(engine.ports)
    assert f"final block {anchor}" in (await engine.store.network("local")).stop_reason
    assert len(engine.batches()) == sent
    before = await engine.now(order)
    await engine.step()
    assert await engine.now(order) == before


@pytest.mark.parametrize("what", ["waits", "is planned", "is in flight"])
async def test_nothing_is_built_on_a_chain_that_is_shorter_than_what_we_acted_on(what: str):
    """It was rolled back below the anchor, and nobody knows yet what will be there: nothing is
    planned, signed or decided. As soon as another block is in its place the network stops."""
    engine = await an_engine()
    await decided(engine)
    anchor = (await engine.store.network("local")).anchor_number
    order = await engine.order()
    if what == "is planned":
        engine.chain.before = _vault_pauses
        await settle(engine.ports)
        engine.chain.before = lambda _method: None
    elif what == "is in flight":
        await settle(engine.ports)
    engine.clock.pass_s(60)
    before = await engine.now(order), engine.batches()
    del engine.chain.blocks[anchor:]
    pool = dict(engine.chain.mempool)
    for _ in range(3):
        with pytest.raises(ChainUnknown, match=f"do not have final block {anchor} yet"):
            await settle(engine.ports)
        engine.clock.pass_s(60)
    stored = await engine.now(order)
    assert (stored.status, stored.batch_id) == (before[0].status, before[0].batch_id)
    assert (engine.batches(), engine.chain.mempool) == (before[1], pool)
    assert (await engine.store.network("local")).stop_reason is None
    engine.chain.mine(1)
    engine.chain.reorganise(1, forget=True)
    with pytest.raises(NetworkStopped, match=f"final block {anchor} is"):
        await settle(engine.ports)


def _vault_pauses(method: str) -> None:
    if method == "sign":
        raise ChainPaused("the vault is paused")


async def test_a_node_that_does_not_have_the_anchor_yet_stops_nothing():
    """It lags: the lane waits, and goes on by itself as soon as the node has it."""
    engine = await an_engine()
    await decided(engine)
    engine.chain.lag = len(engine.chain.blocks) - 1
    await engine.order()
    for _ in range(20):
        with pytest.raises(ChainUnknown):
            await settle(engine.ports)
        engine.clock.pass_s(60)
    assert (await engine.store.network("local")).stop_reason is None
    engine.chain.lag = 0
    await engine.until_quiet()
    await engine.check()


async def test_a_node_without_the_anchor_is_asked_again_before_it_is_believed():
    """At the start as well as later: a lagging node alone stops no network, and proves nothing."""
    engine = await an_engine()
    await decided(engine)
    engine.chain.lag = len(engine.chain.blocks) - 1
    with pytest.raises(ChainUnknown):
        await identity.verify(engine.ports, "local")
    state = await engine.store.network("local")
    assert state.stop_reason is None
    assert "None" in await identity.replaced(engine.chain, state, may_lag=False)
    engine.chain.lag = 0
    await identity.verify(engine.ports, "local")


async def test_a_batch_survives_one_reorganisation_after_another():
    """The same bytes each time; nobody's public status goes back; each is told."""
    engine = await an_engine()
    engine.chain.mine(5)
    order = await engine.order()
    await engine.step()
    for _ in range(4):
        await settle(engine.ports)
        assert engine.batches()[0].status is B.MINED
        engine.chain.reorganise(2, forget=True)
        await settle(engine.ports)
        assert engine.batches()[0].status is B.SENT
        engine.chain.mine()
    await engine.until_quiet()
    [batch] = engine.batches()
    assert len(batch.attempts) == 1
    events = [event.type for event in await engine.store.events(order.id)]
    assert events.count("order.reorganized") == 4
    assert events.count("order.confirming") == 1
    assert (await engine.now(order)).status is Status.COMPLETED
    await engine.check()


async def test_a_batch_that_comes_back_in_another_block_is_told_too():
    """It never left the chain for us, but what we had shown is no longer so."""
    engine = await an_engine()
    order = await engine.order()
    await engine.step()
    await settle(engine.ports)
    old = engine.batches()[0].block_hash
    engine.chain.reorganise(1, forget=False)
    engine.chain.mine()
    await settle(engine.ports)
    [batch] = engine.batches()
    assert batch.status is B.MINED
    assert batch.block_hash != old
    events = [event.type for event in await engine.store.events(order.id)]
    assert "order.reorganized" in events
    await engine.until_quiet()
    await engine.check()


async def test_the_same_transaction_reverting_in_another_block_pays_nobody():
    """What it did in the block that is gone counts for nothing."""
    engine = await an_engine()
    order = await engine.order()
    await engine.step()
    await settle(engine.ports)
    engine.chain.give("0xvault", tokens=-1)
    engine.chain.reorganise(1, forget=False)
    engine.chain.mine(5)
    await settle(engine.ports)
    assert engine.batches()[0].status is B.REVERTED
    assert engine.paid(order) == 0
    engine.chain.give("0xvault", tokens=1)
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()
