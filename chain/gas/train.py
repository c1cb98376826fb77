"""Learn the policy's prior from recorded blocks: ``python -m chain.gas.train FILE...``.

Least-squares Monte Carlo stopping (Longstaff and Schwartz, 2001) by gradient boosting: for each
number of remaining blocks, regress the log of what waiting really cost, under the decisions
already learned for fewer remaining blocks, over the fee at hand. Needs the extra ``gas``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from chain.gas import artifact, features, forest
from chain.gas.features import Array
from chain.gas.forecast import HORIZONS, LEVELS
from chain.gas.windows import BlockWindow, MalformedFile, read

GRID = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 60)
"""Remaining blocks that get trees of their own."""

LINEAR = (
    "fullness_lag0",
    "fullness_lag1",
    "fullness_lag2",
    "fullness_mean8",
    "gap_mean5",
    "gap_mean15",
    "gap_mean50",
    "rank25",
    "rank300",
    "demand_15_0.1",
    "demand_60_0.1",
    "demand_line20",
    "volatility_ratio",
    "block_time_lag0",
    "block_time_lag1",
    "gas_rate2",
    "gas_rate5",
    "gas_rate15",
    "gas_rate50",
)
"""What the regressions that learn while they run look at."""

BLEND = {"half_blocks": 40.0, "power": 4.0, "percentile_blocks": 2.0}
CORRECTION = {
    "corrected_blocks": 60,
    "half_life_blocks": 2000.0,
    "ridge": 100.0,
    "solve_every_blocks": 8,
}
HINGES = 100
FORECAST = {
    "location_share": [1.0, 1.0, 1.0, 0.6, 0.4, 0.2, 0.1, 0.0, 0.0],
    "ridge": [100.0, 100.0, 300.0, 1000.0, 3000.0, 1e4, 1e5, 1e6, 1e6],
    "trust_after": [20.0, 10.0, 10.0, 10.0, 10.0, 8.0, 6.0, 4.0, 3.0],
    "stretch_rate": 0.01,
    "half_life_blocks": 4000.0,
}
FITTED_SHARE = 0.5
"""How much of a target is the fitted value one block later, the rest being the real cost."""

_SKIP = 60
_WEIGHT_POWER = 0.5
_ROUNDS = 50
_FORECAST_ROUNDS = 40
_VOLATILITY = features.NAMES.index("volatility")
_RATIO = features.NAMES.index("volatility_ratio")
_BOOSTING: dict[str, Any] = {
    "objective": "regression",
    "num_leaves": 12,
    "learning_rate": 0.06,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "seed": 20261123,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(slots=True)
class _Course:
    """One window while it is being learned: rows, fees, and the cost of the decisions so far."""

    rows: Array
    fees: Array
    cost: Array
    value: Array


def stopping_models(windows: Sequence[BlockWindow]) -> list[list[dict[str, Any]]]:
    """One list of trees per entry of :data:`GRID`: log of (cost of waiting / fee at hand)."""
    courses = [
        _Course(features.matrix(window.fees, window.times), window.fees, window.fees, window.fees)
        for window in windows
    ]
    models: list[list[dict[str, Any]]] = []
    answers: list[Array] = []
    for remaining in range(1, GRID[-1] + 1):
        if remaining in GRID:
            booster = _fit(courses, remaining)
            models.append(forest.from_lightgbm(booster.model_to_string()))
            answers = [booster.predict(course.rows, num_threads=1) for course in courses]
        for course, answer in zip(courses, answers, strict=True):
            waited = np.append(course.cost[1:], np.nan)
            course.cost = np.where(answer >= 0, course.fees, waited)
            course.value = course.fees * np.exp(np.minimum(answer, 0))
            course.cost[max(len(course.fees) - remaining, 0) :] = np.nan
    return models


def _fit(courses: Sequence[_Course], remaining: int) -> Any:
    import lightgbm

    rows: list[Array] = []
    targets: list[Array] = []
    weights: list[Array] = []
    for course in courses:
        usable = np.arange(_SKIP, len(course.fees) - remaining)
        if len(usable) == 0:
            continue
        rows.append(course.rows[usable])
        cost, value = course.cost[usable + 1], course.value[usable + 1]
        waiting = (1 - FITTED_SHARE) * np.log(cost) + FITTED_SHARE * np.log(value)
        targets.append(waiting - np.log(course.fees[usable]))
        weights.append(np.full(len(usable), float(len(usable)) ** -_WEIGHT_POWER))
    weight = np.concatenate(weights)
    data = lightgbm.Dataset(np.vstack(rows), np.concatenate(targets), weight=weight / weight.mean())
    return lightgbm.train(_BOOSTING, data, _ROUNDS)


def forecast_models(
    windows: Sequence[BlockWindow],
) -> tuple[list[list[dict[str, Any]]], list[list[float]], list[float]]:
    """Trees for the location, the table of standardised quantiles, and how volatility reverts.

    The table comes from errors of the location without trees: those that the trees make on what
    they have learned from would be too small.
    """
    import lightgbm

    powers = [0.6 if h <= 5 else 0.45 if h <= 50 else 0.3 for h in HORIZONS]
    matrices = [features.matrix(window.fees, window.times) for window in windows]
    models: list[list[dict[str, Any]]] = []
    table: list[list[float]] = []
    for horizon, power in zip(HORIZONS, powers, strict=True):
        rows, targets, scaled, weights = [], [], [], []
        for window, matrix in zip(windows, matrices, strict=True):
            usable = np.arange(_SKIP, len(window) - horizon)
            if len(usable) == 0:
                continue
            logs = np.log(window.fees)
            change = logs[usable + horizon] - logs[usable]
            scale = matrix[usable, _VOLATILITY] * matrix[usable, _RATIO] ** power
            rows.append(matrix[usable])
            targets.append(change)
            scaled.append(change / scale)
            weights.append(np.full(len(usable), float(len(usable)) ** -_WEIGHT_POWER))
        weight = np.concatenate(weights)
        data = lightgbm.Dataset(
            np.vstack(rows), np.concatenate(targets), weight=weight / weight.mean()
        )
        booster = lightgbm.train(_BOOSTING | {"num_leaves": 8}, data, _FORECAST_ROUNDS)
        models.append(forest.from_lightgbm(booster.model_to_string()))
        table.append(_quantiles(np.concatenate(scaled), weight))
    return models, table, powers


def _quantiles(values: Array, weight: Array) -> list[float]:
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return [round(float(values[order][np.searchsorted(share, level)]), 4) for level in LEVELS]


def hinges() -> dict[str, list[Any]]:
    """Random directions and offsets, the same in every file."""
    random = np.random.default_rng(_BOOSTING["seed"])
    directions = random.normal(0, 1, (len(LINEAR), HINGES)) / np.sqrt(len(LINEAR))
    offsets = random.uniform(-1, 1, HINGES)
    return {
        "hinge_directions": directions.round(3).tolist(),
        "hinge_offsets": offsets.round(3).tolist(),
    }


def content(windows: Sequence[BlockWindow], hashes: dict[str, str]) -> dict[str, Any]:
    """The artifact: what was learned, from which files, and the few numbers set by hand.

    Raises :class:`MalformedFile` where no window is longer than the longest horizon.
    """
    if max(len(window) for window in windows) <= _SKIP + HORIZONS[-1]:
        names = ", ".join(window.name for window in windows)
        raise MalformedFile(f"{names}: learning needs more than {_SKIP + HORIZONS[-1]} blocks")
    matrices = np.vstack(
        [features.matrix(w.fees, w.times)[min(300, len(w) // 4) :] for w in windows]
    )
    columns = [features.NAMES.index(name) for name in LINEAR]
    trees, table, powers = forecast_models(windows)
    made: dict[str, Any] = {
        "format": artifact.FORMAT,
        "features": list(features.NAMES),
        "sources": hashes,
        "grid": list(GRID),
        "horizon_blocks": 300,
        "blend": BLEND,
        "linear": {
            "names": list(LINEAR),
            "mean": [round(float(x), 6) for x in matrices[:, columns].mean(axis=0)],
            # What never changed (block times of a rollup) tells nothing and divides nothing.
            "scale": [round(float(x), 6) or 1.0 for x in matrices[:, columns].std(axis=0)],
            **hinges(),
            **CORRECTION,
        },
        "trees": stopping_models(windows),
        "forecast": {"trees": trees, "table": table, "ratio_power": powers, **FORECAST},
    }
    made["sha256"] = artifact.digest(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chain.gas.train", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="blocks as .csv or .csv.gz")
    parser.add_argument("--out", type=Path, default=artifact.SHIPPED)
    options = parser.parse_args(arguments)
    try:
        windows = [read(path) for path in options.files]
        hashes = {path.name: sha256(path.read_bytes()).hexdigest() for path in options.files}
        made = content(windows, hashes)
    except MalformedFile as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    print(f"{options.out}: {options.out.stat().st_size} bytes, sha256 {made['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
