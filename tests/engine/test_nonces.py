"""Our count of nonces against the chain's, upward and downward."""

from copy import deepcopy
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from settlement.batch import BatchStatus, Lane
from settlement.batching.nonces import Reckoning, reckon, reconcile
from settlement.errors import ChainUnknown, NetworkStopped
from settlement.order import Status
from settlement.pipeline import settle
from settlement.ports.chain import Nonces, SelfTransfer
from settlement.schedule import Policy
from settlement.stages import identity
from tests.support.engine import Engine, an_engine

B = BatchStatus


def a_lane(next_nonce: int, first_nonce: int = 0) -> Lane:
    return Lane(1, "local", "0xlane0", next_nonce, 1, first_nonce)


def test_a_chain_that_is_ahead_of_everything_we_know_is_not_reckoned_with():
    """Somebody else signs with our key, or a backup came back."""
    assert reckon(a_lane(7), Nonces(8, 8), []) is None
    assert reckon(a_lane(7), Nonces(9, 9), [7]) is None


def test_a_mempool_that_holds_what_no_batch_of_ours_explains_is_not_reckoned_with():
    """Above our count, or below it where a count ran ahead: the same nonce signed twice might pay
    twice."""
    assert reckon(a_lane(7), Nonces(7, 8), []) is None
    assert reckon(a_lane(7), Nonces(5, 8), [5, 6]) is None
    assert reckon(a_lane(9), Nonces(7, 8), []) is None
    assert reckon(a_lane(9), Nonces(7, 9), [7, 8]) == Reckoning(9, ())


def test_a_lagging_node_lowers_nothing():
    """What our batches used up counts, and where the lane began."""
    assert reckon(a_lane(7), Nonces(3, 3), [3, 4, 5, 6]) == Reckoning(7, ())
    assert reckon(a_lane(7, first_nonce=7), Nonces(3, 7), []) == Reckoning(7, ())


def test_a_count_that_ran_ahead_goes_back():
    """Nobody has taken the nonces between."""
    assert reckon(a_lane(9), Nonces(7, 7), []) == Reckoning(7, ())
    assert reckon(a_lane(9), Nonces(6, 8), [6, 7]) == Reckoning(8, ())


def test_a_count_that_was_restored_too_low_goes_up_to_what_our_batches_hold():
    """They explain what the chain knows."""
    assert reckon(a_lane(5), Nonces(8, 8), [5, 6, 7, 8]) == Reckoning(9, ())


def test_holes_below_a_batch_are_named():
    """Nothing above them can be mined before they are filled."""
    assert reckon(a_lane(9), Nonces(4, 4), [6, 8]) == Reckoning(9, (4, 5, 7))


async def lose(engine: Engine, batch_id: int) -> None:
    """The batch is gone from our books without having used its nonce: a repair by hand."""
    batch = engine.store.tables.batches.pop(batch_id)
    for order in await engine.store.in_batch(batch.id):
        pulled = {"batch_id": None, "batch_index": None, "due_at": engine.clock.now()}
        engine.store.tables.orders[order.id] = replace(order, **pulled)


async def test_a_nonce_that_the_chain_knows_and_we_do_not_stops_the_network():
    """A restored backup must not pay twice."""
    engine = await an_engine()
    order = await engine.order()
    bytes_ = await engine.chain.sign("0xlane0", SelfTransfer(), 0, None)
    await engine.chain.send(bytes_.raw)
    engine.chain.mine()
    with pytest.raises(NetworkStopped):
        await settle(engine.ports)
    assert "nonce" in (await engine.store.network("local")).stop_reason
    assert engine.batches() == []
    assert (await engine.now(order)).batch_id is None


@pytest.mark.parametrize("who", ["verify", "plan"])
async def test_payments_that_only_a_mempool_knows_are_not_made_again(who: str):
    """Two batches wait there, the database is as it was before both: the start finds out, and where
    rows are lost under a running worker, planning does. Nobody is paid twice."""
    engine = await an_engine()
    first, second = await engine.order(), await engine.order()
    engine.chain.give("0xvault", tokens=10**12)  # enough for whatever would be paid twice
    tables = deepcopy(engine.store.tables)
    await later(engine, second.id, timedelta(hours=1))
    await settle(engine.ports)
    await later(engine, second.id, timedelta(0))
    await settle(engine.ports)
    assert sorted(nonce for _, nonce in engine.chain.mempool) == [0, 1]
    for table in fields(tables):
        setattr(engine.store.tables, table.name, getattr(tables, table.name))
    engine.clock.pass_s(120)
    with pytest.raises(NetworkStopped, match=r"a mempool is at nonce 2, we at 0.*rebuild"):
        await (identity.verify(engine.ports, "local") if who == "verify" else settle(engine.ports))
    for _ in range(8):
        await engine.step(seconds=31)
    for order in (first, second):
        assert engine.paid(order) == order.token.amount_minor
        assert (await engine.now(order)).status is Status.CAPTURED


async def later(engine: Engine, order_id: str, delay: timedelta) -> None:
    orders = engine.store.tables.orders
    orders[order_id] = replace(orders[order_id], due_at=engine.clock.now() + delay)


async def test_what_we_signed_ourselves_stops_nothing_wherever_it_waits():
    """Before, in and after blocks, behind nodes that lag: no count is ahead of our own."""
    engine = await an_engine()
    for lag in (0, 1, 3):
        for _ in range(2):
            await engine.order()
            await settle(engine.ports)
            await identity.verify(engine.ports, "local")
        engine.chain.mine(2)
        engine.chain.lag = min(lag, len(engine.chain.blocks) - 1)
        await identity.verify(engine.ports, "local")
        engine.chain.lag = 0
        engine.chain.reorganise(1, forget=False)
        await identity.verify(engine.ports, "local")
    await engine.until_quiet()
    await engine.check()


async def test_a_counter_ahead_of_every_batch_is_lowered():
    """After a broadcast that was lost for good: the next batch is not stuck behind a gap."""
    engine = await an_engine()
    order = await engine.order()
    engine.chain.before = _drops
    await settle(engine.ports)
    engine.chain.before = lambda _method: None
    engine.chain.evict()
    await lose(engine, 1)
    engine.clock.pass_s(60)
    await engine.until_quiet()
    [batch] = engine.batches()
    assert (batch.nonce, batch.status) == (0, B.FINAL)
    assert engine.log.count("nonce_corrected") == 1
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


def _drops(method: str) -> None:
    if method == "send":
        raise ChainUnknown("no answer")


async def test_a_hole_below_a_batch_is_filled_by_a_transaction_that_does_nothing():
    """Without any new order: what was stuck behind it is mined."""
    engine = await an_engine()
    engine.chain.before = _drops
    for _ in range(3):
        for _ in range(5):
            await engine.order()
        await settle(engine.ports)
    assert [batch.nonce for batch in engine.batches()] == [0, 1, 2]
    engine.chain.before = lambda _method: None
    engine.chain.evict()
    await lose(engine, 2)
    await engine.until_quiet()
    filler = next(batch for batch in engine.batches() if batch.order_count == 0)
    assert (filler.nonce, filler.status) == (1, B.CANCELLED)
    assert [b.nonce for b in engine.batches() if b.status is B.FINAL] == [0, 2, 3]
    assert engine.log.count("nonce_gap_filled") == 1
    await engine.check()


async def test_a_reverted_transaction_has_used_up_its_nonce():
    """The next batch takes the next one; nothing is counted twice."""
    engine = await an_engine()
    order = await engine.order()
    await settle(engine.ports)
    engine.chain.give("0xvault", tokens=-order.token.amount_minor)
    engine.chain.mine()
    engine.chain.give("0xvault", tokens=order.token.amount_minor)
    await engine.until_quiet()
    assert [(b.nonce, b.status) for b in engine.batches()] == [(0, B.REVERTED), (1, B.FINAL)]
    assert engine.log.count("nonce_corrected") == 0
    assert engine.paid(order) == order.token.amount_minor
    await engine.check()


async def test_a_node_that_lags_neither_lowers_the_count_nor_fills_what_is_no_gap():
    """Its nonce is an old one; what our own batches used up says so."""
    engine = await an_engine()
    for _ in range(3):
        await engine.order()
        await engine.until_quiet()
    [lane] = await engine.scene.claims(engine.clock.now())
    engine.chain.lag = len(engine.chain.blocks) - 1
    assert (await engine.chain.nonces(lane.address)).mined == 0
    assert await reconcile(engine.ports, engine.chain, lane) == lane
    await engine.store.release_lane(lane)
    await engine.order()
    engine.chain.lag = 0
    await engine.until_quiet()
    assert [batch.nonce for batch in engine.batches()] == [0, 1, 2, 3]
    assert engine.log.count("nonce_corrected") == engine.log.count("nonce_gap_filled") == 0
    await engine.check()


async def test_a_receipt_that_no_node_has_any_more_is_no_theft():
    """Two of three lag and the third is away: the chain itself says whose transaction it has."""
    engine = await an_engine(policy=Policy(rebroadcast_ms=0))
    order = await engine.order()
    await settle(engine.ports)
    engine.chain.receiptless = True
    for _ in range(6):
        await engine.step(blocks=2)
    assert (await engine.store.network("local")).stop_reason is None
    engine.chain.receiptless = False
    await engine.until_quiet()
    assert engine.paid(order) == order.token.amount_minor


async def test_a_theft_is_told_with_the_transaction_that_is_one():
    """Whoever is called at night needs to know what was signed with the key."""
    engine = await an_engine(policy=Policy(rebroadcast_ms=0))
    await engine.order()
    await settle(engine.ports)
    engine.chain.evict()
    theft = await engine.chain.sign("0xlane0", SelfTransfer(), 0, None)
    await engine.chain.send(theft.raw)
    engine.chain.mine(6)
    engine.clock.pass_s(2)
    with pytest.raises(NetworkStopped, match=theft.ref):
        await settle(engine.ports)
