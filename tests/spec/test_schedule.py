"""Which orders leave now and which wait for a lower fee: by deadline, cap, forecast and company."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.order import HoldReason, Status
from settlement.ports.gas import Bounds, Outlook
from settlement.quote import Speed
from settlement.schedule import Policy, Why, blocks_left, deadline, decide
from tests.spec.strategies import NOW, an_order

BLOCK_MS = 12_000
POLICY = Policy()


def minutes(count):
    return NOW + timedelta(minutes=count)


def waits(since=NOW, speed=Speed.STANDARD, **changes):
    """A paid order that waits since then."""
    return an_order(Status.CAPTURED, authorized_at=since, speed=speed, **changes)


def moment(orders, bounds, fee=100, now=NOW, policy=POLICY, cap=None, batch_max=200):
    """``bounds``: what each may wait for; ``None`` where the gas port has no opinion at all."""
    outlook = None
    if bounds is not None:
        below = tuple(b if isinstance(b, Bounds) else Bounds(b, 10**6) for b in bounds)
        outlook = Outlook(7, fee, now + timedelta(seconds=12), below)
    return decide(
        orders,
        now,
        batch_max=batch_max,
        block_ms=BLOCK_MS,
        bid_wei=fee * 2,
        policy=policy,
        outlook=outlook,
        fee_cap_wei=cap,
    )


def test_above_the_cap_nothing_leaves_however_late_it_is():
    """The cap holds against the bid, which is more than the base fee."""
    found = moment([waits()], [1], fee=100, cap=199, now=minutes(90))
    assert (found.sends, found.why, found.hold) == ((), Why.FEE_CAP, HoldReason.FEE_CAP)
    assert moment([waits()], [1], fee=100, cap=200, now=minutes(90)).sends


def test_a_fee_above_the_reservation_waits_for_the_next_block():
    """No hold is shown: waiting was asked for."""
    order = waits()
    found = moment([order], [99])
    assert (found.sends, found.waits, found.why) == ((), (order,), Why.FEE_MAY_FALL)
    assert (found.hold, found.below_wei) == (HoldReason.NONE, 99)
    assert found.until == NOW + timedelta(seconds=12)
    low = moment([order], [100])
    assert (low.sends, low.why) == ((order,), Why.FEE_IS_LOW)


@pytest.mark.parametrize(("speed", "within"), [("standard", 10), ("economy", 60)])
def test_at_its_deadline_an_order_leaves_at_any_fee(speed, within):
    """Two blocks earlier, so that its transaction is in a block by then."""
    order = waits(speed=Speed(speed))
    assert deadline(order, POLICY) == minutes(within)
    last = minutes(within) - timedelta(seconds=36)
    assert not moment([order], [1], now=last - timedelta(seconds=1)).sends
    found = moment([order], [1], now=last + timedelta(seconds=1))
    assert (found.sends, found.why) == ((order,), Why.DEADLINE)


def test_an_instant_order_never_waits():
    """Not even for company."""
    order = waits(speed=Speed.INSTANT)
    found = moment([order], [1], policy=Policy(gather_ms=60_000))
    assert (found.sends, found.why) == ((order,), Why.DEADLINE)


def test_an_escrow_that_ends_sooner_is_the_deadline():
    """A purse that is filled too late is worth nothing."""
    order = waits(speed=Speed.ECONOMY, settle_by=minutes(3))
    assert deadline(order, POLICY) == minutes(3)


def test_the_clock_starts_with_the_payment_and_counts_whole_blocks():
    """Two blocks are kept for the inclusion; never less than none."""
    order = waits(since=minutes(5), created_at=NOW)
    assert blocks_left(order, minutes(5), block_ms=BLOCK_MS, policy=POLICY) == 48
    assert blocks_left(order, minutes(99), block_ms=BLOCK_MS, policy=POLICY) == 0


def test_a_fee_that_ran_away_ends_the_waiting():
    """Regret has a bound: beyond it nobody hopes any more."""
    found = moment([waits()], [Bounds(1, 400)], fee=400)
    assert found.why is Why.FEE_ROSE
    assert moment([waits()], [Bounds(1, 400)], fee=399).why is Why.FEE_MAY_FALL


def test_without_an_opinion_orders_leave_at_once_or_when_they_have_gathered():
    """No forecast, no waiting for one."""
    order = waits()
    assert moment([order], None).why is Why.NO_OPINION
    assert moment([order], [None]).why is Why.NO_OPINION
    gathering = Policy(gather_ms=1_000)
    assert moment([order], None, policy=gathering).why is Why.GATHERING
    assert moment([order], None, policy=gathering, now=NOW + timedelta(seconds=1)).sends
    assert moment([order, waits()], None, policy=gathering, batch_max=2).sends


def test_a_low_fee_waits_for_company_where_that_is_wished():
    """A full batch, or one that has gathered long enough, leaves."""
    gathering = Policy(gather_ms=1_000)
    assert moment([waits()], [500], policy=gathering).why is Why.GATHERING
    assert moment([waits()], [500], policy=gathering, batch_max=1).why is Why.FEE_IS_LOW


def test_one_that_has_time_stays_behind_when_an_urgent_one_leaves():
    """Its row costs the same gas later, at a lower fee."""
    urgent, patient = waits(speed=Speed.INSTANT), waits(speed=Speed.ECONOMY)
    crowd = [waits(speed=Speed.ECONOMY) for _ in range(9)]
    found = moment([urgent, patient, *crowd], [1] + [30] * 10)
    assert found.sends == (urgent,)
    assert (len(found.waits), found.below_wei) == (10, 30)


def test_a_lonely_one_rides_along_when_a_batch_of_its_own_would_cost_more():
    """Half the fee saved on its row is less than a transaction of its own."""
    urgent, patient = waits(speed=Speed.INSTANT), waits(speed=Speed.ECONOMY)
    found = moment([urgent, patient], [1, 50])
    assert found.sends == (urgent, patient)


def test_whoever_sees_others_come_waits_for_a_lower_fee_than_one_alone():
    """The batch's own gas is shared by more, so a fee just as good is not good enough."""
    early = [waits(since=minutes(n)) for n in (0, 1)]
    assert moment(early, [100, 100], now=minutes(2)).why is Why.FEE_MAY_FALL
    assert moment(early, [140, 140], now=minutes(2)).why is Why.FEE_IS_LOW
    assert moment(early[:1], [100], now=minutes(2)).why is Why.FEE_IS_LOW


@given(
    ages=st.lists(st.integers(0, 4_000), min_size=1, max_size=12),
    fee=st.integers(1, 10**12),
    share=st.integers(1, 300),
)
def test_nobody_is_lost_and_nobody_is_late(ages, fee, share):
    """Everyone leaves or waits, and whoever has no blocks left leaves."""
    speeds = list(Speed)
    orders = [
        waits(since=NOW - timedelta(seconds=age), speed=speeds[age % 3]) for age in sorted(ages)
    ]
    found = moment(orders, [max(fee * share // 100, 1)] * len(orders), fee=fee)
    assert sorted(o.id for o in (*found.sends, *found.waits)) == sorted(o.id for o in orders)
    for order in found.waits:
        assert blocks_left(order, NOW, block_ms=BLOCK_MS, policy=POLICY) > 0
        assert NOW < found.until < deadline(order, POLICY)
