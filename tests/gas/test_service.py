"""The gas port over live heads: what it answers with much history, little, none, and no node."""

from datetime import UTC, datetime, timedelta

import pytest

from chain.errors import EndpointDown
from chain.gas import artifact
from chain.gas.history import History
from chain.gas.market import SHOWN_BLOCKS, Market
from chain.gas.recurrence import ETHEREUM, Parameters, bounds_wei, next_base_fee_wei
from chain.gas.service import GasService
from chain.gas.tips import tips_within_wei
from chain.networks.local import NETWORK
from settlement.ports.gas import Decision, Waiting
from settlement.quote import Speed
from tests.gas.chains import Node, Shelf, mined
from tests.support.waiting import eventually

START = datetime.fromtimestamp(1_000, UTC)


@pytest.fixture(scope="module")
def model():
    return artifact.load()


class Clock:
    def __init__(self):
        self.moment = START

    def now(self):
        return self.moment


class Share:
    """A rollup's share of L1, once its node answers."""

    def __init__(self):
        self.wei = None

    async def per_payout_wei(self):
        if self.wei is None:
            raise EndpointDown("nobody there")
        return self.wei


def service(node, model, *, waits=True, shelf=None, l1_shares=None):
    clock, shelf = Clock(), shelf or Shelf()
    made = GasService(
        {"local": (NETWORK, History("local", node, shelf))},
        shelf,
        clock,
        lambda: model,
        waits=frozenset({"local"} if waits else ()),
        l1_shares=l1_shares,
    )
    return made, clock, shelf


async def asked(gas, *, since=START, left=50):
    return await gas.outlook("local", [Waiting(since, left)])


async def test_there_is_no_opinion_without_a_node_a_history_or_leave_to_wait(model):
    """Whatever is missing, orders leave at once."""
    node = Node(mined(60), is_down=True)
    gas, _, shelf = service(node, model)
    assert await asked(gas) is None
    await gas.refresh()
    assert await asked(gas) is None
    assert await gas.quote_fee_wei("local", Speed.INSTANT) == 60_000 * NETWORK.static_fee_wei
    assert shelf.outlooks == []
    node.is_down = False
    node.chain = mined(10)
    await gas.refresh()
    [bounds] = (await asked(gas)).bounds
    assert bounds.below_wei is None
    never, _, _ = service(Node(mined(60)), model, waits=False)
    await never.refresh()
    assert await asked(never) is None


async def test_a_rollup_is_quoted_with_its_share_of_l1_or_by_the_networks_own_figures(model):
    """A quote without that share would be far too low, so nothing is told before it is known; once
    known, the last word stands while nobody answers."""
    share, node = Share(), Node(mined(120))
    gas, clock, shelf = service(node, model, l1_shares={"local": share})
    await gas.refresh()
    assert await gas.quote_fee_wei("local", Speed.INSTANT) == 60_000 * NETWORK.static_fee_wei
    assert shelf.outlooks == []
    share.wei = 7_000_000
    node.chain = mined(121)
    await gas.refresh()
    bare, _, _ = service(Node(mined(121)), model)
    await bare.refresh()
    without = await bare.quote_fee_wei("local", Speed.INSTANT)
    assert await gas.quote_fee_wei("local", Speed.INSTANT) == without + 7_000_000
    assert shelf.outlooks[-1]["l1_share_wei"] == 7_000_000
    share.wei = None
    clock.moment += timedelta(minutes=2)
    node.chain = mined(122)
    await gas.refresh()
    assert shelf.outlooks[-1]["head"]["number"] == 221
    assert shelf.outlooks[-1]["l1_share_wei"] == 7_000_000


async def test_with_history_it_answers_a_fee_that_falls_with_the_time_left(model):
    """The exact next fee, and what each order may wait for; at its deadline nothing."""
    chain = mined(120)
    gas, _, _ = service(Node(chain), model)
    await gas.refresh()
    waiting = [Waiting(START, left) for left in (0, 1, 20, 300)]
    outlook = await gas.outlook("local", waiting)
    assert outlook.fee_wei == next_base_fee_wei(chain[-1].block)
    none, *below = [bounds.below_wei for bounds in outlook.bounds]
    assert none is None
    assert below == sorted(below, reverse=True)
    assert below[-1] >= 1


async def test_waiting_ends_when_the_fee_has_risen_far_above_that_at_arrival(model):
    """Arrival is when the order was paid, by the blocks' own times."""
    chain = mined(120)
    gas, _, _ = service(Node(chain), model)
    await gas.refresh()
    arrived = datetime.fromtimestamp(chain[80].time_s + 1, UTC)
    [early] = (await asked(gas, since=arrived)).bounds
    assert early.stop_wei == 4 * chain[81].base_fee_wei
    [late] = (await asked(gas, since=datetime.fromtimestamp(10**6, UTC), left=300)).bounds
    assert late.stop_wei == 8 * next_base_fee_wei(chain[-1].block)


async def test_a_chain_that_fell_silent_is_trusted_no_more(model):
    """A decision looks for itself; when that fails for long, orders leave."""
    node = Node(mined(80))
    gas, clock, _ = service(node, model)
    await gas.refresh()
    node.is_down = True
    clock.moment += timedelta(seconds=30)
    assert await asked(gas) is not None
    clock.moment += timedelta(seconds=31)
    assert await asked(gas) is None


async def test_a_decision_sees_the_newest_head_and_a_reorganisation(model):
    """Without waiting for the regular look."""
    chain = mined(90)
    node = Node(chain[:80])
    gas, clock, shelf = service(node, model)
    await gas.refresh()
    node.chain = chain[:81]
    clock.moment += timedelta(seconds=1)
    assert (await asked(gas)).head_number == chain[80].number
    node.chain = [*chain[:79], *mined(3, first=179, tag="b", parent=chain[78].hash, fee=5 * 10**8)]
    clock.moment += timedelta(seconds=1)

    async def replayed():
        found = await asked(gas)
        return found if found.head_number == 181 else None

    outlook = await eventually(replayed, what="the replayed fork")
    assert outlook.fee_wei == next_base_fee_wei(node.chain[-1].block)
    assert shelf.outlooks[-1]["head"]["number"] == 181


def test_with_too_little_history_only_the_recurrence_bound_is_claimed(model):
    """And a quote then reckons with twice the next fee, not with thousands of it."""
    market = Market(model, 12_000)
    market.replay(mined(5), None)
    lowest, *_, highest = market.band(20).quantiles_wei
    assert (lowest, highest) == bounds_wei(market.next_fee_wei, 20)
    assert market.expected_fee_wei(50, 75) == 2 * market.next_fee_wei


def test_a_chain_of_other_parameters_is_told_by_its_blocks(model):
    """Where the node does not say what comes next, the recurrence does, with what was inferred."""
    market, own = Market(model, 2_000), Parameters(250, 6)
    rows = mined(150, parameters=own)
    market.replay(rows, None)
    assert market.parameters == own
    assert market.next_fee_wei == next_base_fee_wei(rows[-1].block, own)


def test_an_upgrade_that_changes_the_parameters_is_noticed_within_sixty_blocks(model):
    """Not only when the last block of before has left the window; until then it says neither."""
    market, own = Market(model, 2_000), Parameters(250, 6)
    before = mined(300)
    market.replay(before, None)
    assert market.parameters == ETHEREUM
    last = before[-1]
    fee = next_base_fee_wei(last.block)
    place = {"first": last.number + 1, "parent": last.hash, "time_s": last.time_s + 12}
    after = mined(100, fee=fee, parameters=own, **place)
    market.replay(after[:60], None)
    assert market.parameters == own
    for row in after[60:]:
        market.observe(row)
    assert market.next_fee_wei == next_base_fee_wei(after[-1].block, own)


def test_more_time_costs_less_and_the_report_says_what_was_thought(model):
    """Instant, standard, economy: never dearer with more time."""
    market = Market(model, 12_000)
    market.replay(mined(380), None)
    fees = [market.expected_fee_wei(left, 38) for left in (0, 48, 298)]
    assert fees == sorted(fees, reverse=True)
    report = market.report()
    assert [blocks for blocks, _ in report["reservations"]] == list(SHOWN_BLOCKS)
    assert report["watch"]["1"]["forecasts"] > 250
    assert 0.5 < report["watch"]["5"]["coverage"] <= 1
    assert abs(report["watch"]["1"]["drift"]) < 0.5


def test_tips_are_what_enough_blocks_would_have_taken():
    """The cheapest of n blocks in a row is enough within n; silence says nothing."""
    assert tips_within_wei([None, None]) == {}
    tips = [(tip, 9, 9, 9, 9) for tip in (5, 1, 5, 5, 1, 5, 5, 5)]
    found = tips_within_wei(tips)
    assert found[1] == (5, 5, 5)
    assert found[2] == (1, 5, 5)
    assert found[5] == (1, 1, 1)
    assert 10 not in found


async def test_a_wait_is_noted_when_its_reason_changes_and_every_sending(model):
    """Not at every block: a day of waiting would be thousands of rows that say the same."""
    gas, clock, shelf = service(Node(mined(60)), model)
    told = [("fee_cap", 0), ("fee_cap", 0), ("fee_may_fall", 0), ("fee_is_low", 1)]
    told += [("fee_may_fall", 0), ("fee_is_low", 1), ("fee_is_low", 1)]
    for reason, sent in told:
        times = (clock.now(), reason, 1, sent, clock.now(), clock.now())
        await gas.decided(Decision("local", "local:DUSD", *times))
    assert [(note.reason, note.sent) for note in shelf.notes] == [told[0], *told[2:]]
