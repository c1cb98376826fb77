"""What the policy must beat: simple rules for when to send, and persistence as a forecast."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from chain.gas.features import Array
from chain.gas.windows import BlockWindow

_TRAILING = 300
_RESIDUALS = 2000
_VOLATILITY_SPAN = 30


def rules(
    window: BlockWindow, deadline_blocks: int
) -> dict[str, Callable[[NDArray[np.int64], int], NDArray[np.bool_]]]:
    """Row and remaining blocks to "send now", one rule per name."""
    fees = window.fees
    rank = trailing_rank(fees)
    usual = _trailing_quantile(fees, 0.5)
    rising = np.append(False, fees[1:] > fees[:-1])

    def at_once(row: NDArray[np.int64], _: int) -> NDArray[np.bool_]:
        return np.ones(len(row), np.bool_)

    def declining_percentile(row: NDArray[np.int64], remaining: int) -> NDArray[np.bool_]:
        """From the 5th percentile at arrival to the 80th at the deadline."""
        share = 1 - remaining / deadline_blocks
        accepted: NDArray[np.bool_] = rank[row + 1] <= 0.05 + 0.75 * share**0.6
        return accepted

    def rainbow(row: NDArray[np.int64], remaining: int) -> NDArray[np.bool_]:
        """Wallets' habit: wait while the fee falls or stands above its recent middle."""
        accepted: NDArray[np.bool_] = rising[row + 1] & (fees[row + 1] <= usual[row + 1])
        return accepted if remaining > deadline_blocks // 2 else accepted | rising[row + 1]

    def fixed_threshold(row: NDArray[np.int64], _: int) -> NDArray[np.bool_]:
        """The 20th percentile of the warm-up, for ever."""
        warm = fees[: min(_TRAILING, len(fees) // 8) + 1]
        accepted: NDArray[np.bool_] = fees[row + 1] <= np.quantile(warm, 0.2)
        return accepted

    return {
        "at_once": at_once,
        "declining_percentile": declining_percentile,
        "rainbow_wait": rainbow,
        "fixed_threshold": fixed_threshold,
    }


def trailing_rank(fees: Array) -> Array:
    """The share of the trailing 300 fees below each one."""
    padded = np.concatenate([np.full(_TRAILING - 1, np.nan), fees])
    windows = sliding_window_view(padded, _TRAILING)
    below = np.array([(view < view[-1]).sum() for view in windows])
    return below / np.clip(np.arange(len(fees)), 1, _TRAILING - 1)


def _trailing_quantile(fees: Array, share: float) -> Array:
    return np.array(
        [np.quantile(fees[max(t - _TRAILING + 1, 0) : t + 1], share) for t in range(len(fees))]
    )


def persistence(logs: Array, horizon: int, levels: tuple[float, ...]) -> Array:
    """Point persistence: every quantile is the fee at hand. Shape ``(rows, levels)``."""
    del horizon
    return np.repeat(logs[:, None], len(levels), axis=1)


def volatility_scaled(logs: Array, horizon: int, levels: tuple[float, ...]) -> Array:
    """Persistence, spread by past changes in units of the volatility then, times that of now."""
    scale = volatility(logs)
    known = np.full(len(logs), np.nan)
    known[horizon:] = (logs[horizon:] - logs[:-horizon]) / scale[:-horizon]
    spread = np.zeros((len(logs), len(levels)))
    for at in range(len(logs)):
        past = known[max(at - _RESIDUALS, 0) : at + 1]
        past = past[np.isfinite(past)]
        if len(past):
            spread[at] = np.quantile(past, levels)
    return logs[:, None] + spread * scale[:, None]


def volatility(logs: Array) -> Array:
    """Root of the exponentially weighted mean of squared one-block changes."""
    keep = 1 - 2 / (_VOLATILITY_SPAN + 1)
    total = weight = 0.0
    scale = np.empty(len(logs))
    for at, change in enumerate(np.diff(logs, prepend=logs[0])):
        total, weight = keep * total + change * change, keep * weight + 1.0
        scale[at] = (total / weight) ** 0.5 + 1e-3
    return scale
