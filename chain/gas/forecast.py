"""Quantiles of the base fee, from the block after the next one to 300 blocks ahead and beyond.

The next base fee is exact (:mod:`chain.gas.recurrence`), so a horizon of *h* counts from it. The
log change to *h* is a location (boosted trees, corrected by a ridge regression that recent blocks
teach) plus the volatility at hand times a quantile of the standardised errors of this chain's own
recent forecasts. That starts from those of the training files, leaves them as errors come in, and
widens with every miss of the 80% band (adaptive conformal inference; Gibbs and Candès, 2021).
No quantile leaves what the recurrence allows; with little history its bounds are all that is
claimed. After a whole window of one fee that fee is the forecast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chain.gas import features, recurrence
from chain.gas.artifact import Model
from chain.gas.features import Array

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
HORIZONS = (1, 2, 5, 10, 20, 50, 100, 200, 300)
HISTORY_MIN = 20

_VOLATILITY = features.NAMES.index("volatility")
_RATIO = features.NAMES.index("volatility_ratio")
_SPAN = HORIZONS[-1] + 1
_ERRORS = 2000
_RENEW_EVERY_BLOCKS = 10
_H = np.array(HORIZONS)


@dataclass(frozen=True, slots=True)
class Band:
    """The base fee ``blocks`` after the next block: wei per level of :data:`LEVELS`, rising."""

    blocks: int
    quantiles_wei: tuple[int, ...]


class Forecaster:
    """Fed one row at a time; answers log changes of shape ``(horizons, levels)``."""

    def __init__(self, model: Model) -> None:
        learned = model.forecast
        self._model = model
        self._learned = learned
        self._spread: Array = learned.table.copy()
        self._stretch: Array = np.zeros(len(_H))
        self._errors: Array = np.full((_ERRORS, len(_H)), np.nan)
        width = len(model.linear_columns) + 1
        self._gram: Array = np.zeros((width, width))
        self._moment: Array = np.zeros((width, len(_H)))
        self._weights: Array = np.zeros((width, len(_H)))
        self._inputs: Array = np.zeros((_SPAN, width))
        self._logs: Array = np.full(_SPAN, np.nan)
        self._priors: Array = np.zeros((_SPAN, len(_H)))
        self._locations: Array = np.zeros((_SPAN, len(_H)))
        self._scales: Array = np.ones((_SPAN, len(_H)))
        self._bands: Array = np.zeros((_SPAN, len(_H), 2))
        self._seen = 0

    def answer(self, row: Array, prior: Array, log_fee: float) -> Array:
        """Learn from what ``log_fee`` settled, then forecast from it.

        ``row``: one row of features; ``prior``: the trees' log changes, shape ``(horizons,)``.
        """
        self._learn(log_fee)
        scaled = (row[self._model.linear_columns] - self._model.linear_mean) / (
            self._model.linear_scale
        )
        inputs = np.concatenate([[1.0], np.clip(scaled, -3, 3)])
        location = prior * self._learned.location_share + inputs @ self._weights
        scale = row[_VOLATILITY] * row[_RATIO] ** self._learned.ratio_power
        at = self._seen % _SPAN
        self._inputs[at], self._logs[at], self._priors[at] = inputs, log_fee, prior
        self._locations[at], self._scales[at] = location, scale
        spread = self._stretched()
        self._bands[at] = spread[:, [0, -1]]
        quantiles = location[:, None] + scale[:, None] * spread
        low, high = recurrence.step_bounds()
        self._seen += 1
        known = self._logs[: self._seen]
        if len(known) >= features.STILL_BLOCKS_MIN and np.all(known == log_fee):
            return np.zeros_like(quantiles)
        bounded: Array = np.clip(quantiles, (low * _H)[:, None], (high * _H)[:, None])
        return bounded

    def _stretched(self) -> Array:
        """The spread, wider where the 80% band was missed too often, about its middle."""
        middle = self._spread[:, [LEVELS.index(0.5)]]
        wider = np.exp(np.clip(self._stretch, -1, 1))[:, None]
        stretched: Array = middle + (self._spread - middle) * wider
        return stretched

    def _learn(self, log_fee: float) -> None:
        """Settle, per horizon, the forecast that was made just so many blocks ago."""
        learned = self._learned
        due = np.flatnonzero(self._seen >= _H)
        if len(due) == 0:
            return
        then = (self._seen - _H[due]) % _SPAN
        change = log_fee - self._logs[then]
        if self._seen >= HISTORY_MIN:
            newest = self._inputs[(self._seen - 1) % _SPAN]
            keep = 0.5 ** (1 / learned.half_life_blocks)
            self._gram = self._gram * keep + np.outer(newest, newest)
            surprise = change - self._priors[then, due] * learned.location_share[due]
            self._moment *= keep
            self._moment[:, due] += (self._inputs[then] * surprise[:, None]).T
            if self._seen % 8 == 0:
                ridge = learned.ridge[:, None, None] * np.eye(len(newest))
                right = self._moment.T[:, :, None]
                weights = np.linalg.solve(self._gram + ridge, right)[:, :, 0].T
                self._weights = weights.astype(np.float64)
        error = (change - self._locations[then, due]) / self._scales[then, due]
        self._errors[self._seen % _ERRORS, due] = error
        outside = (error < self._bands[then, due, 0]) | (error > self._bands[then, due, 1])
        self._stretch[due] += self._learned.stretch_rate * (outside - 0.2)
        if self._seen % _RENEW_EVERY_BLOCKS == 0:
            self._renew(due)

    def _renew(self, due: NDArray[np.int64]) -> None:
        """Quantiles of recent errors, shrunk to the learned ones while few are independent."""
        errors = self._errors[: self._seen + 1]
        for at in due:
            known = errors[:, at][np.isfinite(errors[:, at])]
            trust = len(known) / (len(known) + self._learned.trust_after[at] * HORIZONS[at])
            seen = np.quantile(known, LEVELS)
            self._spread[at] = trust * seen + (1 - trust) * self._learned.table[at]


def walk_quantiles(fees: Array, times: Array | None, model: Model) -> Array:
    """Forecasts made at every row: log fee, shape ``(rows, horizons, levels)``."""
    rows = features.matrix(fees, times)
    priors = model.forecast.forest.predict(rows)
    logs = np.log(fees)
    forecaster = Forecaster(model)
    answers = np.empty((len(fees), len(_H), len(LEVELS)))
    for at in range(len(fees)):
        answers[at] = forecaster.answer(rows[at], priors[at], logs[at]) + logs[at]
    return answers


def at_horizon(changes: Array, blocks: int) -> Array:
    """The quantiles at any horizon, from those at :data:`HORIZONS`.

    Linear in the square root between them, and spread with it beyond the last.
    """
    if blocks < 0:
        raise ValueError("a horizon is not negative")
    if blocks > HORIZONS[-1]:
        centre = changes[-1, LEVELS.index(0.5)]
        grown: Array = centre + (changes[-1] - centre) * (blocks / HORIZONS[-1]) ** 0.5
        return grown
    knots = np.sqrt(np.array([0, *HORIZONS]))
    padded = np.vstack([np.zeros((1, changes.shape[1])), changes])
    return np.array([np.interp(blocks**0.5, knots, padded[:, at]) for at in range(len(LEVELS))])


def band(
    next_fee_wei: int,
    blocks: int,
    changes: Array | None,
    reach: recurrence.Reach | None = None,
) -> Band:
    """Quantiles in wei ``blocks`` after the next block; without ``changes``, the bounds alone.

    ``reach``: from ``next_fee_wei``, by the network's own parameters; ``None``: by Ethereum's.
    """
    low, high = (reach or recurrence.Reach(next_fee_wei)).bounds_wei(blocks)
    if changes is None:
        middle = min(max(next_fee_wei, low), high)
        return Band(blocks, (low, low, middle, high, high))
    logs = at_horizon(changes, blocks)
    raw = [int(next_fee_wei * float(np.exp(min(log, 60.0)))) for log in logs]
    return Band(blocks, tuple(sorted(min(max(fee, low), high) for fee in raw)))
