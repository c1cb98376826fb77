"""How decisions and forecasts are scored once the future is known."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chain.gas import baselines, features
from chain.gas.artifact import Model
from chain.gas.features import Array
from chain.gas.forecast import HORIZONS, LEVELS, Forecaster
from chain.gas.windows import BlockWindow

SCORED_HORIZONS = (1, 5, 20, 50, 300)
_RESAMPLES = 1000
_SEED = 1559


def outcome(
    window: BlockWindow,
    arrived: NDArray[np.int64],
    decided: NDArray[np.int64],
    best: NDArray[np.int64],
    deadline_blocks: int,
) -> dict[str, Any]:
    """What a list of decisions cost, against sending at once and against foresight."""
    at_once, paid, least = (window.fees[rows + 1] for rows in (arrived, decided, best))
    waited = window.numbers[decided] - window.numbers[arrived]
    kept = (decided >= arrived) & (waited <= deadline_blocks)
    ratio = paid / at_once
    return {
        "captured": round(captured(at_once, paid, least), 4),
        "deadline_kept": round(float(kept.mean()), 6),
        "mean_vs_at_once": round(float(paid.mean() / at_once.mean()), 6),
        "p99_vs_at_once": round(float(np.quantile(ratio, 0.99)), 4),
        "worst_vs_at_once": round(float(ratio.max()), 4),
        "mean_fee_wei": int(paid.mean()),
        "mean_wait_blocks": round(float(waited.mean()), 2),
        "longest_wait_blocks": int(waited.max()),
    }


def captured(at_once: Array, paid: Array, least: Array) -> float:
    """Share of foresight's saving; 0 where there was nothing to save."""
    saving = float(at_once.mean() - least.mean())
    return float(at_once.mean() - paid.mean()) / saving if saving > 0 else 0.0


def captured_interval(
    window: BlockWindow,
    arrived: NDArray[np.int64],
    decided: NDArray[np.int64],
    best: NDArray[np.int64],
    deadline_blocks: int,
) -> tuple[float, float]:
    """95% interval of the share captured, by a circular block bootstrap.

    Runs of neighbouring arrivals are drawn, a twentieth of them long, and as long as the
    blocks that one arrival may look at where that is more: those share what they pay.
    """
    count = len(arrived)
    length = run_length(count, deadline_blocks)
    sums = []
    for rows in (arrived, decided, best):
        fees = window.fees[rows + 1]
        total = np.concatenate([[0.0], np.cumsum(np.concatenate([fees, fees[:length]]))])
        sums.append(total[length : length + count] - total[:count])
    draws = np.random.default_rng(_SEED).integers(0, count, (_RESAMPLES, -(-count // length)))
    at_once, paid, least = (run[draws].sum(axis=1) for run in sums)
    saving = at_once - least
    shares = np.where(saving > 0, (at_once - paid) / np.where(saving > 0, saving, 1), 0.0)
    low, high = np.quantile(shares, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def run_length(count: int, deadline_blocks: int) -> int:
    """How many neighbouring arrivals the bootstrap draws together."""
    return min(max(deadline_blocks + 1, count // 20), count)


def pinball(window: BlockWindow, quantiles: Array, first: int) -> dict[str, Any]:
    """Mean pinball loss of the log base fee, and the share of fees inside the 80% band.

    Horizon *h*: made when the next base fee is known, of the fee *h* blocks after it. Loss is in
    log units, so about a share of the fee, averaged over :data:`~chain.gas.forecast.LEVELS`.
    """
    logs = np.log(window.fees)
    report: dict[str, Any] = {}
    for horizon in SCORED_HORIZONS:
        rows = np.arange(first + 1, len(logs) - horizon)
        if len(rows) == 0:
            continue
        truth = logs[rows + horizon]
        ours = quantiles[rows, HORIZONS.index(horizon)]
        scaled = baselines.volatility_scaled(logs, horizon, LEVELS)[rows]
        point = baselines.persistence(logs, horizon, LEVELS)[rows]
        report[str(horizon)] = {
            "policy": _loss(truth, ours),
            "persistence": _loss(truth, point),
            "volatility_scaled": _loss(truth, scaled),
            "coverage_80": coverage(truth, ours),
            "coverage_80_volatility_scaled": coverage(truth, scaled),
        }
    return report


def _loss(truth: Array, quantiles: Array) -> float:
    error = truth[:, None] - quantiles
    levels = np.array(LEVELS)
    return round(float(np.maximum(levels * error, (levels - 1) * error).mean()), 6)


def coverage(truth: Array, quantiles: Array) -> float:
    inside = (truth >= quantiles[:, 0]) & (truth <= quantiles[:, -1])
    return round(float(inside.mean()), 4)


def milliseconds_per_forecast(window: BlockWindow, model: Model, repeats: int = 20) -> float:
    """CPU time of one forecast as it is served: features, trees, quantiles of every horizon."""
    fees = window.fees[: features.WINDOW + 2]
    times = None if window.times is None else window.times[: features.WINDOW + 2]
    forecaster = Forecaster(model)
    spent: list[float] = []
    for _ in range(repeats):
        started = time.thread_time()
        row = features.matrix(fees, times, last=1)
        forecaster.answer(row[0], model.forecast.forest.predict(row)[0], float(np.log(fees[-1])))
        spent.append((time.thread_time() - started) * 1000)
    return round(float(np.median(spent)), 3)


def table(result: dict[str, Any]) -> str:
    """The report for people."""
    low, high = result["captured_interval_95"]
    lines = [
        f"{result['file']}: {result['blocks']} blocks, {result['arrivals']} orders, "
        f"deadline {result['deadline_blocks']} blocks",
        f"captured {result['captured']:.3f} (95%: {low:.3f} to {high:.3f}), "
        f"{result['ms_per_forecast']} ms a forecast",
        "",
        f"{'rule':22}{'captured':>9}{'mean gwei':>11}{'vs at once':>11}{'p99':>7}{'worst':>7}"
        f"{'mean wait':>10}{'longest':>8}{'kept':>7}",
    ]
    for name, score in result["policies"].items():
        lines.append(
            f"{name:22}{score['captured']:9.3f}{score['mean_fee_wei'] / 1e9:11.4g}"
            f"{score['mean_vs_at_once']:11.4f}"
            f"{score['p99_vs_at_once']:7.2f}{score['worst_vs_at_once']:7.2f}"
            f"{score['mean_wait_blocks']:10.1f}{score['longest_wait_blocks']:8d}"
            f"{score['deadline_kept']:7.3f}"
        )
    lines += [
        "",
        f"{'pinball, blocks':16}{'ours':>9}{'volatility':>11}{'point':>9}{'80% band':>10}",
    ]
    for horizon, loss in result["pinball"].items():
        lines.append(
            f"{horizon:16}{loss['policy']:9.5f}{loss['volatility_scaled']:11.5f}"
            f"{loss['persistence']:9.5f}{loss['coverage_80']:10.3f}"
        )
    return "\n".join(lines)
