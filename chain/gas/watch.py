"""How well the forecasts do that were served: the 80% band's coverage, and drift.

Kept per horizon over about the last :data:`HALF_LIFE` settled forecasts, so that a model that has
grown old shows before it costs much.
"""

from collections import deque

from chain.gas.features import Array
from chain.gas.forecast import HORIZONS, LEVELS

WATCHED = (1, 5, 20, 50, 300)
HALF_LIFE = 500

_MIDDLE = LEVELS.index(0.5)
_KEEP = 0.5 ** (1 / HALF_LIFE)
_NARROWEST = 1e-6


class Watch:
    """Fed each log fee with the forecast made from it; settles those whose time has come.

    ``drift``: the mean of (what came − the median) over the band's width: 0 when the forecast is
    centred, 0.5 when what comes lies on the band's upper edge on average.
    """

    def __init__(self) -> None:
        self._open: deque[tuple[float, Array | None]] = deque(maxlen=WATCHED[-1] + 1)
        self._weight = dict.fromkeys(WATCHED, 0.0)
        self._inside = dict.fromkeys(WATCHED, 0.0)
        self._drift = dict.fromkeys(WATCHED, 0.0)

    def note(self, log_fee: float, changes: Array | None) -> None:
        """``changes``: log changes of shape ``(horizons, levels)``, from this fee on."""
        self._open.append((log_fee, changes))
        for blocks in WATCHED:
            if len(self._open) > blocks:
                then, foretold = self._open[-1 - blocks]
                if foretold is not None:
                    self._settle(blocks, log_fee - then, foretold[HORIZONS.index(blocks)])

    def _settle(self, blocks: int, change: float, levels: Array) -> None:
        low, middle, high = float(levels[0]), float(levels[_MIDDLE]), float(levels[-1])
        self._weight[blocks] = self._weight[blocks] * _KEEP + 1
        self._inside[blocks] = self._inside[blocks] * _KEEP + (low <= change <= high)
        off = (change - middle) / max(high - low, _NARROWEST)
        self._drift[blocks] = self._drift[blocks] * _KEEP + min(max(off, -2.0), 2.0)

    def report(self) -> dict[str, dict[str, float]]:
        """By horizon: ``coverage`` (0.8 is right), ``drift``, ``forecasts`` (about how many)."""
        return {
            str(blocks): {
                "coverage": round(self._inside[blocks] / weight, 4),
                "drift": round(self._drift[blocks] / weight, 4),
                "forecasts": round(weight, 1),
            }
            for blocks, weight in self._weight.items()
            if weight
        }
