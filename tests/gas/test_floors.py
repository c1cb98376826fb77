"""Where the fee cannot fall, nobody waits for it to, and no quote counts on it."""

import dataclasses

import numpy as np
import pytest

from chain.gas import artifact, backtest
from chain.gas.market import SHOWN_BLOCKS, Market
from chain.gas.recurrence import Parameters, bounds_wei
from chain.gas.windows import BlockWindow
from tests.gas.chains import LIMIT, mined
from tests.gas.conftest import market

MINIMUM = 10_000_000
FLOORED = Parameters(8, 2, MINIMUM)


def fed(model: artifact.Model, rows) -> Market:
    """Follows the chain as it is served: the node says what comes next."""
    made = Market(model, 2_000)
    made.replay(rows[:-1], rows[-1].base_fee_wei)
    return made


def at_the_floor(count: int):
    """A busy start, then blocks that are almost empty."""
    used = [LIMIT] * 10 + [LIMIT // 10] * (count - 10)
    return mined(count, fee=2 * MINIMUM, used=used, parameters=FLOORED)


def flat(count: int, fee: float = 1e8) -> BlockWindow:
    return dataclasses.replace(market(count), fees=np.full(count, fee))


def test_at_its_minimum_a_fee_is_as_low_as_any(model: artifact.Model):
    """Whatever time is left, the order leaves at the fee at hand."""
    followed = fed(model, at_the_floor(430))
    assert followed.next_fee_wei == MINIMUM
    assert followed.parameters == FLOORED
    assert followed.reservation_fees_wei(SHOWN_BLOCKS) == [MINIMUM] * len(SHOWN_BLOCKS)


def test_close_above_the_minimum_nobody_waits_for_less_than_it(model: artifact.Model):
    """The last block was not empty, so that the fee may fall again, but not below the floor."""
    rows = at_the_floor(430)
    used = [LIMIT * 6 // 10] * 2
    rows += mined(2, fee=MINIMUM, first=530, used=used, parent=rows[-1].hash)
    followed = fed(model, rows)
    answers = followed.reservation_fees_wei(SHOWN_BLOCKS)
    assert followed.next_fee_wei > MINIMUM
    assert min(answers) >= MINIMUM
    for blocks, answer in zip(SHOWN_BLOCKS, answers, strict=True):
        assert answer >= bounds_wei(followed.next_fee_wei, blocks, FLOORED)[0]


def test_no_quote_counts_on_a_fee_below_the_minimum(model: artifact.Model):
    """At the floor, and where the policy hopes that the fee falls back to it."""
    rows = at_the_floor(430)
    assert min(fed(model, rows).speed_fees_wei().values()) >= MINIMUM
    above = mined(12, fee=MINIMUM, first=530, used=[LIMIT] * 12, parent=rows[-1].hash)
    followed = fed(model, [*rows, *above])
    for blocks in (1, 10, 50, 300):
        assert followed.expected_fee_wei(blocks, 1) >= MINIMUM


def test_a_fee_that_never_moved_is_paid_at_once(model: artifact.Model):
    """As on a network whose fee is a constant; also before its blocks have told a minimum."""
    target = [LIMIT // 2] * 330  # just at target: no floor to be seen
    followed = fed(model, mined(330, used=target))
    assert followed.parameters.minimum_wei == 0
    assert followed.reservation_fees_wei(SHOWN_BLOCKS) == [10**9] * len(SHOWN_BLOCKS)
    assert {band.quantiles_wei for band in followed.bands()} == {(10**9,) * 5}


@pytest.mark.parametrize(("count", "deadline"), [(120, 5), (700, 300)])
def test_on_a_flat_file_the_policy_sends_at_once(model: artifact.Model, count, deadline):
    """And the forecast is as sure as persistence, which is right."""
    result = backtest.run(flat(count), deadline, model)
    assert result["longest_wait_blocks"] == 0
    assert result["deadline_kept"] == 1
    assert {loss["policy"] for loss in result["pinball"].values()} == {0}


def test_a_file_that_comes_to_rest_is_waited_on_no_more(model: artifact.Model):
    """Twenty blocks at the lowest fee of all are a floor, whatever was before."""
    window = flat(700)
    window.fees[:300] = market(300).fees + 2e8
    result = backtest.run(window, 50, model)
    arrived, decided = result["_rows"]
    waited = (decided - arrived)[arrived >= 320]
    assert len(waited) > 300
    assert waited.max() == 0


def test_a_fee_that_stands_above_its_lowest_may_fall_again(model: artifact.Model):
    """Twenty equal blocks after a lower fee are no floor."""
    fees = np.concatenate([market(300).fees, np.full(40, market(300).fees.max())])
    window = dataclasses.replace(market(340), fees=fees)
    arrived, decided = backtest.run(window, 5, model)["_rows"]
    assert (decided - arrived).max() > 0
