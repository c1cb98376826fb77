"""What a fee market looks like just now, in numbers without a unit, so that regimes compare.

A row is a pure function of the trailing :data:`WINDOW` base fees, the newest of which is the next
block's (exactly known through :mod:`chain.gas.recurrence`), and of the block times before it. It
cannot look ahead because nothing later is handed to it, and multiplying all fees by any constant
changes nothing: raw fees taught on 100 gwei collapse at 0.06 gwei.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

WINDOW = 301
"""Fees that a row reads: 300 changes and their starting point."""

STILL_BLOCKS = 20
STILL_BLOCKS_MIN = 8
_CHUNK = 1024
_CALM = 1e-3
_LAGS = 6
_FULLNESS_SPANS = (3, 8, 20, 60)
_MEAN_SPANS = (5, 15, 50, 150, 300)
_RANK_SPANS = (6, 12, 25, 50, 100, 200, 300)
_EDGE_SPANS = (10, 50, 300)
_DEMAND = tuple((decay, width) for decay in (15, 60) for width in (0.04, 0.1))
_SLOPES = (20, 80)
_RATE_SPANS = (2, 5, 15, 50)
_DEMAND_LAGS = 150

NAMES: tuple[str, ...] = (
    "volatility",
    "volatility_ratio",
    *(f"fullness_lag{lag}" for lag in range(_LAGS)),
    *(f"fullness_mean{span}" for span in _FULLNESS_SPANS),
    *(f"full_share{span}" for span in (20, 100)),
    *(f"gap_mean{span}" for span in _MEAN_SPANS),
    *(f"rank{span}" for span in _RANK_SPANS),
    *(f"{edge}{span}" for span in _EDGE_SPANS for edge in ("above_min", "below_max")),
    "dispersion",
    *(f"demand_{decay}_{width}" for decay, width in _DEMAND),
    *(f"demand_{what}{decay}" for decay in _SLOPES for what in ("slope", "line")),
    "block_time_lag0",
    "block_time_lag1",
    *(f"gas_rate{span}" for span in _RATE_SPANS),
)
"""The columns of :func:`matrix`, in order."""


def matrix(fees: Array, times: Array | None = None, last: int | None = None) -> Array:
    """One row per fee, or for the ``last`` ones alone: shape ``(rows, len(NAMES))``.

    ``fees`` are wei in any scale, all positive; row ``t`` reads ``fees[:t + 1]``. ``times`` are
    seconds; row ``t`` reads ``times[:t]``, since the block that will pay ``fees[t]`` does not
    exist yet. Raises ``ValueError`` for fees that are not positive and finite.
    """
    if len(fees) == 0 or not np.all(np.isfinite(fees)) or np.any(fees <= 0):
        raise ValueError("fees must be positive and finite")
    rows = len(fees) if last is None else min(last, len(fees))
    logs = _windows(np.log(fees), rows, WINDOW)
    seconds = _windows(_block_seconds(len(fees), times), rows, WINDOW - 1)
    parts = [
        _rows(np.ascontiguousarray(logs[at : at + _CHUNK]), seconds[at : at + _CHUNK])
        for at in range(0, rows, _CHUNK)
    ]
    return np.concatenate(parts)


def is_still(logs: Array) -> bool:
    """Whether the newest of the trailing fees is the lowest and has stood for
    :data:`STILL_BLOCKS` (or for all that is known, if not less than a few).

    The recurrence moves the fee at every block unless a floor holds it or the network has none.
    """
    recent = logs[-(WINDOW - 1) :]
    newest = recent[-STILL_BLOCKS:]
    if len(newest) < STILL_BLOCKS_MIN:
        return False
    return bool(np.all(newest == recent[-1]) and recent[-1] <= np.min(recent))


def _windows(values: Array, rows: int, span: int) -> Array:
    padded = np.concatenate([np.full(span - 1, np.nan), values[-(rows + span - 1) :]])
    return sliding_window_view(padded, span)[-rows:]


def _block_seconds(count: int, times: Array | None) -> Array:
    """Time between the two newest known blocks, as of each row; NaN where it is not known."""
    seconds = np.full(count, np.nan)
    if times is not None and count > 2:
        seconds[2:] = np.clip(np.diff(times[: count - 1]), 0, 150)
    return seconds


def _rows(logs: Array, seconds: Array) -> Array:
    change = np.diff(logs, axis=1)
    known = np.isfinite(change)
    change = np.where(known, change, 0.0)
    fullness = np.clip(8 * np.expm1(change), -1, 1)
    volatility = _rms(change, known, 300)
    columns = [
        volatility,
        _rms(change, known, 30) / volatility,
        *(fullness[:, -1 - lag] for lag in range(_LAGS)),
        *_smoothed(fullness, known, _FULLNESS_SPANS),
        *(_share(fullness > 0.95, known, span) for span in (20, 100)),
        *_levels(logs, volatility),
        *_demand(logs, fullness, known),
        *_pace(fullness, known, seconds),
    ]
    return np.column_stack(columns)


def _rms(change: Array, known: NDArray[np.bool_], span: int) -> Array:
    count = np.maximum(known[:, -span:].sum(axis=1), 1)
    total: Array = np.sqrt(np.square(change[:, -span:]).sum(axis=1) / count) + _CALM
    return total


def _share(hits: NDArray[np.bool_], known: NDArray[np.bool_], span: int) -> Array:
    count = np.maximum(known[:, -span:].sum(axis=1), 1)
    share: Array = (hits & known)[:, -span:].sum(axis=1) / count
    return share


def _smoothed(values: Array, known: NDArray[np.bool_], spans: tuple[int, ...]) -> Iterator[Array]:
    """Exponential means, cut at the window so that serving and training agree to the bit."""
    age = np.arange(values.shape[1])[::-1]
    kernel = np.column_stack([(1 - 2 / (span + 1)) ** age for span in spans])
    means = (values @ kernel) / np.maximum(known.astype(np.float64) @ kernel, 1e-9)
    yield from means.T


def _levels(logs: Array, volatility: Array) -> Iterator[Array]:
    """Where the newest fee stands among the trailing ones."""
    newest = logs[:, -1:]
    recent = logs[:, 1:]
    known = np.isfinite(recent)
    gaps = np.where(known, newest - recent, 0.0)
    for mean in _smoothed(gaps, known, _MEAN_SPANS):
        yield mean / volatility
    below = recent < newest
    ties = recent == newest
    for span in _RANK_SPANS:
        others = np.maximum(known[:, -span:].sum(axis=1) - 1, 1)
        yield (below[:, -span:].sum(axis=1) + (ties[:, -span:].sum(axis=1) - 1) / 2) / others
    for span in _EDGE_SPANS:
        yield (newest[:, 0] - np.fmin.reduce(recent[:, -span:], axis=1)) / volatility
        yield (np.fmax.reduce(recent[:, -span:], axis=1) - newest[:, 0]) / volatility
    count = known.sum(axis=1)
    centre = gaps.sum(axis=1) / count
    spread = np.maximum(np.square(gaps).sum(axis=1) / count - np.square(centre), 0)
    yield np.sqrt(spread) / volatility / 10


def _demand(logs: Array, fullness: Array, known: NDArray[np.bool_]) -> Iterator[Array]:
    """How full blocks were when the fee stood where it stands now: the demand curve, locally."""
    used = np.where(known, fullness, 0.0)[:, -_DEMAND_LAGS:]
    faced = np.where(known, logs[:, :-1] - logs[:, -1:], 0.0)[:, -_DEMAND_LAGS:]
    mask = known[:, -_DEMAND_LAGS:]
    age = np.arange(_DEMAND_LAGS)[::-1]
    for decay, width in _DEMAND:
        near = np.exp(-0.5 * np.square(faced / width)) * np.exp(-age / decay) * mask
        yield (near * used).sum(axis=1) / (near.sum(axis=1) + 0.3)
    for decay in _SLOPES:
        weight = np.exp(-age / decay) * mask
        total = np.maximum(weight.sum(axis=1), 1e-9)
        mean_faced = (weight * faced).sum(axis=1) / total
        mean_used = (weight * used).sum(axis=1) / total
        joint = (weight * faced * used).sum(axis=1) / total - mean_faced * mean_used
        spread = (weight * np.square(faced)).sum(axis=1) / total - np.square(mean_faced)
        slope = joint / (np.maximum(spread, 0) + 0.003)
        yield slope
        yield mean_used - slope * mean_faced


def _pace(fullness: Array, known: NDArray[np.bool_], seconds: Array) -> Iterator[Array]:
    """Block times against their own mean, and gas per time: a short full block hides a queue."""
    timed = np.isfinite(seconds)
    clean = np.where(timed, seconds, 0.0)
    mean = np.maximum(clean.sum(axis=1) / np.maximum(timed.sum(axis=1), 1), 1.0)
    ratio = np.where(timed, clean / mean[:, None], 1.0)
    yield ratio[:, -1]
    yield ratio[:, -2]
    use = np.where(known, fullness + 1, 1.0)
    everything = np.ones_like(known)
    used = _smoothed(use, everything, _RATE_SPANS)
    paces = _smoothed(ratio, everything, _RATE_SPANS)
    for gas, time in zip(used, paces, strict=True):
        yield np.minimum(gas / (time + 0.05), 4.0) - 1
