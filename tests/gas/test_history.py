"""A network's blocks as they come: back-fill, gaps, reorganisations, nodes that lag or lie."""

import pytest

from chain.errors import UnclearAnswer
from chain.gas.history import REORG_BLOCKS, History, unbroken
from chain.gas.store import GasStore
from tests.gas.chains import Node, Shelf, mined


def history(node, store=None, **options):
    return History("local", node, store or Shelf(), **options)


async def test_a_node_that_shows_a_torn_chain_changes_nothing():
    """The chain moved between two answers: next time it will be whole."""
    node, store = Node(mined(30)), Shelf()
    node.chain[10:20] = mined(10, first=110, tag="other")
    with pytest.raises(UnclearAnswer):
        await history(node, store).look()
    assert store.rows == {}


async def test_a_node_that_lags_far_behind_takes_nothing_away():
    """Old news is no news, and no reorganisation either."""
    node, store = Node(mined(200)), Shelf()
    known = history(node, store)
    await known.look()
    node.chain = node.chain[:20]
    with pytest.raises(UnclearAnswer):
        await known.look()
    node.chain = mined(200)[:190]
    assert (await known.look()).blocks == ()
    assert len(store.rows) == 200


async def test_the_first_look_fills_back_and_the_next_one_takes_the_head_alone():
    """As far back as is asked for, without a second question for what is known."""
    chain, store = mined(300), Shelf()
    node = Node(chain[:290])
    known = history(node, store, backfill_blocks=50)
    first = await known.look()
    assert first.is_break
    assert sorted(store.rows) == list(range(340, 390))
    node.asked.clear()
    node.chain = chain[:291]
    news = await known.look()
    assert ([row.number for row in news.blocks], news.is_break) == ([390], False)
    assert news.next_fee_wei == chain[291].base_fee_wei
    assert node.asked == []
    assert (await known.look()).blocks == ()


async def test_blocks_that_came_while_nobody_looked_are_fetched():
    """By a history that begins anew on what is stored."""
    chain, store = mined(100), Shelf()
    await history(Node(chain[:60]), store).look()
    node = Node(chain)
    news = await history(node, store).look()
    assert [row.number for row in news.blocks] == list(range(160, 200))
    assert not news.is_break
    assert node.asked == [(160, 198)]


async def test_a_gap_that_is_too_wide_stays_one():
    """What is older is kept for training; whoever follows the head begins behind the gap."""
    chain, store = mined(200), Shelf()
    await history(Node(chain[:50]), store).look()
    after = history(Node(chain), store, backfill_blocks=20)
    assert (await after.look()).is_break
    assert len(store.rows) == 70
    assert [row.number for row in await after.known(1_000)] == list(range(280, 300))


@pytest.mark.parametrize("deep", [1, 5, REORG_BLOCKS - 1])
async def test_a_reorganisation_replaces_what_it_left_behind(deep):
    """Back to the newest shared block and no further."""
    chain, store = mined(100), Shelf()
    known = history(Node(chain), store)
    await known.look()
    base = chain[: 100 - deep]
    fork = mined(deep + 2, first=200 - deep, tag="b", parent=base[-1].hash, time_s=9_000)
    known._source.chain = [*base, *fork]
    news = await known.look()
    assert news.is_break
    assert [row.hash for row in news.blocks] == [row.hash for row in fork]
    assert [store.rows[n].hash for n in sorted(store.rows)] == [r.hash for r in [*base, *fork]]


async def test_another_chain_under_the_same_name_starts_from_nothing():
    """A development chain that was thrown away."""
    store = Shelf()
    known = history(Node(mined(100)), store)
    await known.look()
    known._source.chain = mined(10, first=0, tag="new", time_s=99_000)
    assert (await known.look()).is_break
    assert sorted(store.rows) == list(range(10))


async def test_the_table_keeps_what_the_history_hands_it(postgres_store):
    """Fees, hashes and tips come back alike; a forgotten fork is gone, old rows are pruned."""
    store, chain = GasStore(postgres_store.pool), mined(60)
    known = history(Node(chain[:50]), store)
    await known.look()
    assert [row.base_fee_wei for row in await store.recent("local", 99)] == [
        row.base_fee_wei for row in chain[:50]
    ]
    last = (await store.recent("local", 1))[0]
    assert (last.hash, last.tips_wei, last.time_s) == (chain[49].hash, (1, 2, 3, 4, 5), 1_588)
    fork = mined(3, first=148, tag="b", parent=chain[47].hash)
    known._source.chain = [*chain[:48], *fork]
    await known.look()
    assert [row.hash for row in await store.recent("local", 3)] == [row.hash for row in fork]
    await store.prune("local", 10)
    assert [row.number for row in await known.known(99)] == list(range(141, 151))


def test_the_unbroken_end_is_what_follows_the_last_gap():
    """Numbers first; parents where they are known."""
    rows = mined(10)
    assert unbroken([*rows[:4], *rows[6:]]) == rows[6:]
    assert unbroken([*rows[:4], *mined(3, first=104, tag="b")], linked=True)[0].hash == b"b104"
    assert unbroken([]) == []
