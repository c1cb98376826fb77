"""The policy as it serves: integers, monotone in time, silent without history."""

import json
from pathlib import Path

import numpy as np
import pytest

from chain.gas import artifact
from chain.gas.forecast import HORIZONS, Forecaster, at_horizon, band, walk_quantiles
from chain.gas.policy import Policy, walk_margins
from chain.gas.recurrence import bounds_wei
from tests.gas.conftest import market


def fed(model: artifact.Model, count: int, scale: int = 1) -> Policy:
    window = market(count)
    assert window.times is not None
    policy = Policy(model)
    heads = [window.times[0] - 12, *window.times[:-1]]
    for fee, head in zip(window.fees, heads, strict=True):
        policy.observe(int(fee) * scale, head)
    return policy


def test_negative_remaining_blocks_are_refused(model: artifact.Model):
    """A deadline that has passed is the caller's to notice."""
    with pytest.raises(ValueError, match="not negative"):
        Policy(model).reservation_fees_wei([-1])


def test_a_fee_of_zero_is_refused(model: artifact.Model):
    """A chain without a base fee has nothing to wait for; the port must not ask."""
    with pytest.raises(ValueError, match="positive"):
        Policy(model).observe(0, 1.0)


def test_without_history_there_is_no_opinion(model: artifact.Model):
    """None means send now: never a guess from five blocks."""
    assert Policy(model).reservation_fees_wei([1, 300]) == [None, None]
    assert fed(model, 5).reservation_fees_wei([1, 300]) == [None, None]


def test_with_no_block_left_there_is_no_opinion(model: artifact.Model):
    """At the deadline the order leaves at any fee."""
    assert fed(model, 60).reservation_fees_wei([0]) == [None]


@pytest.mark.parametrize("count", [25, 120, 400])
def test_answers_are_integers_that_never_rise_with_time_left(model: artifact.Model, count: int):
    """Who may wait longer accepts at most as much."""
    answers = fed(model, count).reservation_fees_wei(list(range(1, 2000)))
    assert all(type(answer) is int and answer > 0 for answer in answers)
    assert answers == sorted(answers, reverse=True, key=lambda fee: fee or 0)


def test_the_scale_of_fees_changes_nothing(model: artifact.Model):
    """A market a thousand times dearer is the same market."""
    small, large = fed(model, 200), fed(model, 200, scale=1000)
    for a, b in zip(
        small.reservation_fees_wei([1, 5, 50]), large.reservation_fees_wei([1, 5, 50]), strict=True
    ):
        assert a is not None
        assert b is not None
        assert abs(b / 1000 / a - 1) < 1e-4


def test_serving_answers_what_the_backtest_walked(model: artifact.Model):
    """One head at a time or a whole file: the same policy."""
    window = market(400)
    margins = walk_margins(window.fees, window.times, model)
    answers = fed(model, 400).reservation_fees_wei([1, 5, 50, 300])
    for remaining, answer in zip([1, 5, 50, 300], answers, strict=True):
        assert answer is not None
        expected = window.fees[-1] * np.exp(margins[-1, remaining - 1])
        assert abs(answer / expected - 1) < 1e-4


def test_without_history_a_band_is_the_recurrences_bound():
    """All that is certain: so many empty or full blocks."""
    low, high = bounds_wei(10**9, 5)
    assert band(10**9, 5, None).quantiles_wei == (low, low, 10**9, high, high)


def test_bands_rise_and_stay_within_the_bounds(model: artifact.Model):
    """Quantiles are ordered, also between the horizons that were learned and beyond them."""
    window = market(350)
    logs = walk_quantiles(window.fees, window.times, model)[-1] - np.log(window.fees[-1])
    for blocks in (1, 3, 7, 49, 250, 300, 900):
        quantiles = band(int(window.fees[-1]), blocks, logs).quantiles_wei
        low, high = bounds_wei(int(window.fees[-1]), blocks)
        assert list(quantiles) == sorted(quantiles)
        assert low <= quantiles[0]
        assert quantiles[-1] <= high


def test_the_next_block_is_certain():
    """Horizon 0 is the next base fee, which is known."""
    assert at_horizon(np.ones((len(HORIZONS), 5)), 0).tolist() == [0, 0, 0, 0, 0]


def test_a_forecast_with_one_block_of_history_is_finite(model: artifact.Model):
    """The first head after a start must not fail."""
    window = market(1)
    assert np.isfinite(walk_quantiles(window.fees, None, model)).all()
    assert Forecaster(model) is not None


@pytest.mark.parametrize("fault", ["missing", "no json", "format", "hash", "features"])
def test_a_damaged_artifact_is_refused(tmp_path: Path, fault: str):
    """A model that was changed or belongs to other features must not choose fees."""
    content = json.loads(artifact.SHIPPED.read_text())
    file = tmp_path / "model.json"
    if fault == "format":
        content["format"] = "other"
    elif fault == "hash":
        content["blend"]["power"] = 1
    elif fault == "features":
        content["features"] = content["features"][:-1]
        content["sha256"] = artifact.digest(content)
    if fault != "missing":
        file.write_text("{" if fault == "no json" else json.dumps(content))
    with pytest.raises(artifact.BadArtifact):
        artifact.load(file)
