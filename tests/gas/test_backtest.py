"""The walk over recorded blocks: its convention, and that it cannot see what comes."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chain.gas import artifact, backtest, features, scores
from chain.gas.forecast import walk_quantiles
from chain.gas.policy import walk_margins
from chain.gas.windows import BlockWindow, read
from tests.gas.conftest import market, write

DEADLINE = 20


@pytest.fixture(scope="module")
def window() -> BlockWindow:
    return market(700)


def decisions(path: Path) -> dict[int, int]:
    with path.open() as file:
        return {int(row["arrival"]): int(row["decided"]) for row in csv.DictReader(file)}


def test_an_altered_future_changes_no_earlier_decision(tmp_path: Path, window: BlockWindow):
    """Fees from some block on are replaced; what was decided two blocks earlier stays."""
    cut = 400
    altered = dataclasses.replace(window, fees=window.fees.copy())
    altered.fees[cut:] = altered.fees[cut:] * 3.7 + np.arange(len(window) - cut) * 10**7
    told = []
    for name, some in (("real", window), ("altered", altered)):
        file = write(some, tmp_path / f"{name}.csv")
        out = tmp_path / f"{name}-decisions.csv"
        line = [str(file), "--deadline-blocks", str(DEADLINE), "--decisions", str(out), "--json"]
        assert backtest.main(line) == 0
        told.append(decisions(out))
    before = int(window.numbers[cut]) - 1
    early = {arrival: row for arrival, row in told[0].items() if row < before}
    assert len(early) > 200
    assert {arrival: told[1][arrival] for arrival in early} == early
    assert told[0] != told[1]


def test_features_forecasts_and_margins_read_nothing_later(
    window: BlockWindow, model: artifact.Model
):
    """A file that ends early gives the same rows up to its end."""
    assert window.times is not None
    end = 350
    fees, times = window.fees[:end], window.times[:end]
    rows = features.matrix(window.fees, window.times)[:end]
    np.testing.assert_allclose(features.matrix(fees, times), rows, atol=1e-9)
    longer = walk_margins(window.fees, window.times, model)[:end]
    np.testing.assert_allclose(walk_margins(fees, times, model), longer, atol=1e-6)
    longer = walk_quantiles(window.fees, window.times, model)[:end]
    np.testing.assert_allclose(walk_quantiles(fees, times, model), longer, atol=1e-5)


def test_every_order_is_sent_within_its_deadline_also_across_gaps(model: artifact.Model):
    """Deadlines are block numbers, so that a gap in the file shortens the rows that fit."""
    window = market(600, seed=3)
    numbers = window.numbers + np.cumsum(np.random.default_rng(1).integers(0, 2, 600))
    gapped = dataclasses.replace(window, numbers=numbers)
    result = backtest.run(gapped, DEADLINE, model)
    arrived, decided = result["_rows"]
    waited = gapped.numbers[decided] - gapped.numbers[arrived]
    assert waited.min() >= 0
    assert waited.max() <= DEADLINE
    assert result["deadline_kept"] == 1.0


def test_the_report_holds_what_was_promised(tmp_path: Path, window: BlockWindow, capsys):
    """The JSON keys, the arrivals' convention, and every rule that ours is compared with."""
    file = write(window, tmp_path / "blocks.csv")
    assert backtest.main([str(file), "--deadline-blocks", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"captured", "deadline_kept", "mean_vs_at_once", "p99_vs_at_once", "pinball"} <= set(
        report
    )
    assert report["arrivals"] == 700 - 5 - 1 - 700 // 8
    assert set(report["policies"]) == {
        "policy",
        "foresight",
        "at_once",
        "declining_percentile",
        "rainbow_wait",
        "fixed_threshold",
    }
    assert set(report["pinball"]) == {"1", "5", "20", "50", "300"}
    assert report["policies"]["foresight"]["captured"] == 1
    assert report["policies"]["at_once"]["captured"] == 0
    low, high = report["captured_interval_95"]
    assert low <= report["captured"] <= high


def test_a_spike_cannot_cost_more_than_the_stop_allows():
    """A fee that only rises while the rule never accepts: the stop sends at 4 times, not at 300."""
    fees = 1e9 * 1.12 ** np.concatenate([np.zeros(100), np.arange(1, 81)])
    window = BlockWindow("spike", np.arange(180), None, fees, None, None)

    def never(row: NDArray[np.int64], _: int) -> NDArray[np.bool_]:
        return np.zeros(len(row), np.bool_)

    arrived = backtest.arrivals(window, 50)
    for stops, least, most in ((False, 200, 400), (True, 4, 4.5)):
        decided = backtest.walk(window, 50, never, stops=stops)
        worst = (fees[decided + 1] / fees[arrived + 1]).max()
        assert least <= worst <= most


def test_foresight_is_the_least_that_any_rule_can_pay(window: BlockWindow):
    """Against a plain loop over every arrival."""
    best = backtest.foresight(window, 7)
    for arrival, row in zip(backtest.arrivals(window, 7), best, strict=True):
        reachable = window.fees[arrival + 1 : arrival + 9]
        assert window.fees[row + 1] == reachable.min()


def test_the_policy_saves_where_fees_revert(window: BlockWindow, model: artifact.Model):
    """A market made to fall back: whoever waits well must capture a good share."""
    for deadline, least in ((5, 0.2), (50, 0.4)):
        result = backtest.run(window, deadline, model)
        assert result["captured"] > least
        assert result["mean_vs_at_once"] < 1


def test_the_shipped_model_and_the_code_belong_together(recorded: Path, model: artifact.Model):
    """A smoke test that the shipped file and the code belong together.

    The shipped model has seen these blocks: the figures that count are those of models that have
    not, in the documentation.
    """
    window = read(recorded / "eth_l1_2026-02-06_gasused_only.csv.gz")
    result = backtest.run(window, 5, model)
    assert result["captured"] > 0.28
    assert result["mean_vs_at_once"] < 1
    assert scores.milliseconds_per_forecast(window, model) > 0


def test_captured_is_zero_where_there_was_nothing_to_save():
    """A flat market has no foresight to divide by."""
    flat = np.full(10, 5.0)
    assert scores.captured(flat, flat, flat) == 0


@pytest.mark.parametrize(
    ("count", "deadline", "length"),
    [(9_300, 300, 465), (1_275, 300, 301), (257, 5, 12), (40, 50, 40)],
)
def test_the_bootstrap_draws_runs_that_no_order_shares_with_the_next(count, deadline, length):
    """As long as the blocks that one order may look at, or a twentieth; never longer than all."""
    assert scores.run_length(count, deadline) == length


def test_orders_that_share_their_blocks_do_not_make_the_interval_narrow(window: BlockWindow):
    """What one saves the next saves, too, so runs that are too short claim too much."""
    arrived = backtest.arrivals(window, 50)
    best = backtest.foresight(window, 50)
    decided = np.where(arrived // 150 % 2 == 0, best, arrived)
    low, high = scores.captured_interval(window, arrived, decided, best, 50)
    narrow_low, narrow_high = scores.captured_interval(window, arrived, decided, best, 1)
    assert high - low > narrow_high - narrow_low
