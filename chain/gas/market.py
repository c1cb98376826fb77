"""One network's fee market as it is served: fed each head once, asked as often as one likes.

Holds the learned policy and the forecast beside the exact next fee, what inclusion costs on top
of it, and how well its own earlier forecasts did.
"""

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chain.gas import features, recurrence
from chain.gas.artifact import Model
from chain.gas.features import Array
from chain.gas.forecast import HISTORY_MIN, LEVELS, Band, Forecaster, band
from chain.gas.history import GasHeader
from chain.gas.policy import Policy, stop_fee_wei
from chain.gas.tips import tips_within_wei
from chain.gas.watch import Watch
from settlement.ports.gas import Bounds
from settlement.quote import Speed
from settlement.schedule import SETTLE_WITHIN_MS, blocks_to_include
from settlement.schedule import Policy as Schedule

SHOWN_BLOCKS = (1, 2, 5, 10, 20, 50, 100, 200, 300)
_SHOWN_HOURS = (3, 6)
_UPPER = LEVELS.index(0.75)
_INFERRED_FROM = (200, 60)
_INFER_EVERY = 50
QUOTED_AHEAD_MS = 450_000
"""Between a quote and its payment: half of what a quote lives by default."""
_REMEMBERED = 2_000


class Market:
    """What one chain's blocks have taught. Not shared between threads."""

    def __init__(self, model: Model, block_ms: int) -> None:
        self.model = model
        self._block_ms = block_ms
        self._policy = Policy(model)
        self._forecaster = Forecaster(model)
        self._headers: list[GasHeader] = []
        self._fees: list[float] = []
        self._times: list[float] = []
        self._changes: Array | None = None
        self.watch = Watch()
        self.parameters = recurrence.ETHEREUM
        self.next_fee_wei = 0
        self._uninferred = 0
        self._reach = recurrence.Reach(0)

    @property
    def head(self) -> GasHeader | None:
        return self._headers[-1] if self._headers else None

    def replay(self, rows: Sequence[GasHeader], next_fee_wei: int | None) -> None:
        """Learn from connected blocks; ``next_fee_wei`` is what follows the last of them."""
        for row, after in zip(rows, [*rows[1:], None], strict=True):
            self.observe(row, next_fee_wei if after is None else after.base_fee_wei)
        self._infer()

    def observe(self, header: GasHeader, next_fee_wei: int | None = None) -> None:
        """A new head, connected to the one before. Without ``next_fee_wei`` the recurrence says
        what follows, with the parameters that this chain's blocks have shown."""
        self._headers.append(header)
        self._uninferred += 1
        if len(self._headers) > 2 * _REMEMBERED:
            del self._headers[:_REMEMBERED]
        if next_fee_wei is None:
            if self._uninferred >= _INFER_EVERY or len(self._headers) < HISTORY_MIN:
                self._infer()
            next_fee_wei = recurrence.next_base_fee_wei(header.block, self.parameters)
        self.next_fee_wei = max(next_fee_wei, 1)
        self._reach = recurrence.Reach(self.next_fee_wei, self.parameters)
        self._policy.observe(self.next_fee_wei, float(header.time_s))
        self._forecast(float(header.time_s))

    def _infer(self) -> None:
        """After an upgrade that changes them, the newest blocks explain themselves long before all
        of them do; where they are too few or too calm to tell, the older ones are asked."""
        found = recurrence.ETHEREUM
        for count in _INFERRED_FROM:
            recent = [row.block for row in self._headers[-count:]]
            found = recurrence.infer(recent, found)
        self.parameters = found
        self._uninferred = 0
        self._reach = recurrence.Reach(self.next_fee_wei, self.parameters)

    def _forecast(self, head_time_s: float) -> None:
        self._fees.append(float(self.next_fee_wei))
        self._times.append(head_time_s)
        del self._fees[: -features.WINDOW - 2], self._times[: -features.WINDOW - 2]
        fees = np.array(self._fees)
        row = features.matrix(fees, np.array([*self._times[1:], np.nan]), last=1)
        prior = self.model.forecast.forest.predict(row)[0]
        log_fee = float(np.log(fees[-1]))
        answer = self._forecaster.answer(row[0], prior, log_fee)
        known = len(self._headers) >= HISTORY_MIN
        self._changes = answer if known else None
        self.watch.note(log_fee, answer if known else None)

    def bands(self) -> list[Band]:
        """Quantiles of the base fee at :data:`SHOWN_BLOCKS` and some hours ahead."""
        hours = [hour * 3_600_000 // self._block_ms for hour in _SHOWN_HOURS]
        return [self.band(blocks) for blocks in (*SHOWN_BLOCKS, *hours) if blocks > 0]

    def band(self, blocks: int) -> Band:
        return band(self.next_fee_wei, blocks, self._changes, self._reach)

    def reservation_fees_wei(self, remaining: Sequence[int]) -> list[int | None]:
        """The policy's, and nothing below what so many empty blocks can lead to: at a floor the
        fee at hand is as low as any, and whoever waited for less would wait for nothing."""
        answers = self._policy.reservation_fees_wei(remaining)
        return [
            None if fee is None else max(fee, self._reach.bounds_wei(blocks)[0])
            for blocks, fee in zip(remaining, answers, strict=True)
        ]

    def bounds(self, since_s: float, blocks_left: int) -> Bounds:
        """For an order that waits since then. Past its time there is nothing to bound."""
        if blocks_left <= 0:
            return Bounds()
        [below] = self.reservation_fees_wei([blocks_left])
        if below is None:
            return Bounds()
        return Bounds(below, stop_fee_wei(self.fee_at_wei(since_s), blocks_left))

    def fee_at_wei(self, moment_s: float) -> int:
        """What sending at that moment would have paid: the next block's fee, as far as known."""
        later = bisect.bisect_right(self._headers, moment_s, key=lambda row: row.time_s)
        if later >= len(self._headers):
            return self.next_fee_wei
        return max(self._headers[later].base_fee_wei, 1)

    def expected_fee_wei(self, deadline_blocks: int, ahead_blocks: int) -> int:
        """What an order that comes within ``ahead_blocks`` may count on paying per unit of gas.

        The upper quartile of the fee until then, times what waiting up to the deadline saves: the
        value of the policy's own stopping problem, since the reservation fee is what waiting costs.
        Never below what the fee can fall to until then.
        """
        level = self.band(max(ahead_blocks, 1)).quantiles_wei[_UPPER]
        if self._changes is None:  # the recurrence's bound means little so far ahead
            level = min(level, 2 * self.next_fee_wei)
        [below] = self.reservation_fees_wei([deadline_blocks]) if deadline_blocks else [None]
        if below is None:
            return level
        expected = -(-level * min(below, self.next_fee_wei) // self.next_fee_wei)
        return max(expected, self._reach.bounds_wei(ahead_blocks + deadline_blocks)[0])

    def speed_fees_wei(self) -> dict[Speed, int]:
        """Per unit of gas and speed, what a quote made now should reckon with, its tip included."""
        ahead = max(QUOTED_AHEAD_MS // self._block_ms, 1)
        kept = blocks_to_include(self._block_ms, Schedule())
        tips = self.tips_wei().get(1, (0,))
        return {
            speed: self.expected_fee_wei(max(within_ms // self._block_ms - kept, 0), ahead)
            + tips[-1]
            for speed, within_ms in SETTLE_WITHIN_MS.items()
        }

    def tips_wei(self) -> dict[int, tuple[int, ...]]:
        """The tip needed for inclusion within so many blocks, see :mod:`chain.gas.tips`."""
        return tips_within_wei([row.tips_wei for row in self._headers])

    def report(self) -> Mapping[str, Any]:
        """JSON-ready, for those who cannot ask this process."""
        head = self._headers[-1]
        return {
            "head": {"number": head.number, "time_s": head.time_s, "fee_wei": head.base_fee_wei},
            "next_fee_wei": self.next_fee_wei,
            "blocks": len(self._headers),
            "parameters": {
                "denominator": self.parameters.denominator,
                "elasticity": self.parameters.elasticity,
                "minimum_wei": self.parameters.minimum_wei,
            },
            "bands": [[one.blocks, list(one.quantiles_wei)] for one in self.bands()],
            "reservations": [
                [blocks, fee]
                for blocks, fee in zip(
                    SHOWN_BLOCKS, self.reservation_fees_wei(SHOWN_BLOCKS), strict=True
                )
            ],
            "fees": {speed.value: fee for speed, fee in self.speed_fees_wei().items()},
            "tips": [[blocks, list(fees)] for blocks, fees in self.tips_wei().items()],
            "watch": self.watch.report(),
            "model": self.model.digest,
        }
