"""Below which fee to send, for each number of remaining blocks: the learned part of timing.

Three opinions about one question, each as the log of (reservation fee / fee at hand):

- a *prior* of boosted trees over scale-free features, taught offline what waiting costs;
- a *correction*, a ridge regression over the features and random hinges of them (Rahimi and Recht,
  2008) that this chain's own recent blocks teach it while it runs (fitted value iteration: each
  block tells what the answer one block earlier should have been);
- a *threshold*, a low percentile of the trailing fees that rises towards the deadline.

Short deadlines follow the first two, long ones the third. More time never raises the answer. Where
the fee stands still at its lowest, none of them is asked: there is nothing to wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from chain.gas import features
from chain.gas.artifact import Model
from chain.gas.features import Array

_WAIT_FOR_BLOCKS = 20
_LOG_LIMIT = 4.0
_NEAR_BLOCKS = 5
_RATIO_MIN = 0.1


STOP_NEAR_BLOCKS = 60
STOP_NEAR_RATIO = 4
STOP_FAR_RATIO = 8


def stop_fee_wei(arrival_fee_wei: int, remaining_blocks: int) -> int:
    """Send at or above this, whatever the policy waits for: it bounds regret in spikes.

    ``arrival_fee_wei``: what sending at once would have cost. Since a block raises the base fee by
    an eighth at most, no order pays more than 9 times that, and 4.5 times with a deadline of 60
    blocks or fewer. Far from the deadline a spike usually passes, so the far ratio is generous.
    """
    near = remaining_blocks <= STOP_NEAR_BLOCKS
    return arrival_fee_wei * (STOP_NEAR_RATIO if near else STOP_FAR_RATIO)


class Correction:
    """Ridge regression with forgetting, one target per number of remaining blocks.

    What an order pays is a mean of fees, not of their logs, so near the deadline the regression is
    about the ratio itself; farther off it is about the log, since a few spikes would drown a mean.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        width = len(model.linear_columns) + len(model.hinge_offsets) + 2
        self._gram: Array = np.zeros((width, width))
        self._moment: Array = np.zeros((width, model.corrected_blocks))
        self._weights: Array = np.zeros((width, model.corrected_blocks))
        self._before: tuple[Array, Array, float] | None = None
        self._seen = 0

    def answer(self, row: Array, prior: Array, log_fee: float) -> Array:
        """The corrected prior after one more block; learns from it what came before.

        ``row``: one row of features. ``prior``: shape ``(horizon,)``.
        """
        model = self._model
        span = model.corrected_blocks
        scaled = (row[model.linear_columns] - model.linear_mean) / model.linear_scale
        scaled = np.clip(scaled, -3, 3)
        hinges = np.maximum(scaled @ model.hinge_directions + model.hinge_offsets, 0) - 0.5
        inputs = np.concatenate([[1.0, prior[0] * 20], scaled, hinges])
        answer = prior.copy()
        answer[:span] = _log(_relative(prior[:span]) + inputs @ self._weights)
        if self._before is not None:
            self._learn(self._before, log_fee, answer)
        self._before = (inputs, prior, log_fee)
        return answer

    def _learn(self, before: tuple[Array, Array, float], log_fee: float, answer: Array) -> None:
        inputs, prior, log_fee_before = before
        self._seen += 1
        if self._seen < _WAIT_FOR_BLOCKS:
            return
        span = self._model.corrected_blocks
        worth = np.concatenate([[0.0], np.minimum(answer[: span - 1], 0.0)])
        target = _relative(log_fee - log_fee_before + worth) - _relative(prior[:span])
        keep = 0.5 ** (1 / self._model.half_life_blocks)
        self._gram = self._gram * keep + np.outer(inputs, inputs)
        self._moment = self._moment * keep + np.outer(inputs, target)
        if self._seen % self._model.solve_every_blocks == 0:
            ridge = self._model.ridge * np.eye(len(inputs))
            weights = np.linalg.solve(self._gram + ridge, self._moment)
            self._weights = weights.astype(np.float64)


def _relative(logs: Array) -> Array:
    """What the correction regresses: near the deadline the ratio less one, farther off its log."""
    return np.concatenate([np.expm1(logs[:_NEAR_BLOCKS]), logs[_NEAR_BLOCKS:]])


def _log(relative: Array) -> Array:
    """The inverse of :func:`_relative`."""
    near = np.log(np.maximum(1 + relative[:_NEAR_BLOCKS], _RATIO_MIN))
    return np.concatenate([near, relative[_NEAR_BLOCKS:]])


def margins(model: Model, corrected: Array, logs: Array) -> Array:
    """Log of (reservation fee / newest fee), per number of remaining blocks: shape ``(horizon,)``.

    ``logs``: the trailing log fees; ``corrected``: what the first two opinions say together.
    """
    if features.is_still(logs):
        return np.zeros(model.horizon)
    return blend(model, corrected, thresholds(logs, model))


def blend(model: Model, corrected: Array, threshold: Array) -> Array:
    """Mix by remaining blocks, then forbid that more time accepts a higher fee."""
    mixed = model.learned_share * corrected + (1 - model.learned_share) * threshold
    monotone: Array = np.minimum.accumulate(np.clip(mixed, -_LOG_LIMIT, _LOG_LIMIT), axis=-1)
    return monotone


def thresholds(logs: Array, model: Model) -> Array:
    """Log of (percentile of the trailing fees / newest fee), per number of remaining blocks."""
    ordered = np.sort(logs[-(features.WINDOW - 1) :])
    at = model.percentiles * (len(ordered) - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    level: Array = ordered[low] + (at - low) * (ordered[high] - ordered[low]) - logs[-1]
    return level


def walk_margins(fees: Array, times: Array | None, model: Model) -> Array:
    """The policy's answer at every row of a file, as it would have given it then.

    Shape ``(rows, horizon)``: log of (reservation fee / fee of that row), with 1, 2, … blocks
    remaining. Row ``t`` depends on ``fees[:t + 1]`` and ``times[:t]`` alone.
    """
    rows = features.matrix(fees, times)
    priors = model.prior(rows)
    logs = np.log(fees)
    correction = Correction(model)
    answers = np.empty((len(fees), model.horizon))
    for at in range(len(fees)):
        corrected = correction.answer(rows[at], priors[at], logs[at])
        recent = logs[max(at - features.WINDOW + 2, 0) : at + 1]
        answers[at] = margins(model, corrected, recent)
    return answers


@dataclass(slots=True)
class Policy:
    """The policy as it serves: fed one head at a time, asked for reservation fees in wei."""

    model: Model
    _fees: list[float] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _correction: Correction | None = None
    _margins: Array | None = None

    def observe(self, next_fee_wei: int, head_time_s: float) -> None:
        """A new head: its timestamp, and the base fee that follows from it, exactly known."""
        if next_fee_wei <= 0:
            raise ValueError("a base fee is positive")
        self._fees.append(float(next_fee_wei))
        self._times.append(head_time_s)
        del self._fees[: -features.WINDOW - 2], self._times[: -features.WINDOW - 2]
        if self._correction is None:
            self._correction = Correction(self.model)
        fees = np.array(self._fees)
        # Row t reads times[:t]; the newest fee belongs to the block after the newest head.
        times = np.array([*self._times[1:], np.nan])
        row = features.matrix(fees, times, last=1)
        logs = np.log(fees)
        corrected = self._correction.answer(row[0], self.model.prior(row)[0], float(logs[-1]))
        self._margins = margins(self.model, corrected, logs)

    def reservation_fees_wei(self, remaining: Sequence[int]) -> list[int | None]:
        """Send at or below this; ``None``: no opinion. Never rises with more remaining blocks.

        With no blocks left, or less history than an opinion needs, there is none.
        """
        if any(blocks < 0 for blocks in remaining):
            raise ValueError("remaining blocks are not negative")
        if self._margins is None or len(self._fees) < _WAIT_FOR_BLOCKS:
            return [None for _ in remaining]
        newest = int(self._fees[-1])
        return [
            None if blocks == 0 else _scaled_wei(newest, self._margins[self._at(blocks)])
            for blocks in remaining
        ]

    def _at(self, blocks: int) -> int:
        return min(blocks, self.model.horizon) - 1


def _scaled_wei(fee_wei: int, log_ratio: float) -> int:
    """``fee_wei`` times a ratio in millionths, so that the answer's last digits mean nothing."""
    millionths = int(np.floor(np.exp(log_ratio) * 1_000_000))
    return fee_wei * millionths // 1_000_000
