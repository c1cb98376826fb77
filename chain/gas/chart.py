"""A network's recent base fees and what may come, as a picture: plain SVG without a library."""

from collections.abc import Sequence
from math import exp, log

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1000, 420, 90, 20, 40, 50
_GWEI = 10**9


def draw(
    network: str,
    history: Sequence[tuple[int, int]],
    next_fee_wei: int,
    bands: Sequence[tuple[int, Sequence[int]]],
    reservations: Sequence[tuple[int, int | None]],
) -> str:
    """``history``: block number and base fee; ``bands``: blocks ahead and five quantiles, the 80%
    band outside; ``reservations``: below which fee an order leaves, by its remaining blocks."""
    ahead = [(blocks, fees) for blocks, fees in bands if blocks <= 300]
    shown = history[-300:]
    fees = [fee for _, fee in shown] + [next_fee_wei] + [f for _, q in ahead for f in (q[0], q[-1])]
    axes = _Axes(len(shown), max((b for b, _ in ahead), default=1), fees)
    now = len(shown)
    outer = _outline(now, next_fee_wei, ahead, 0, -1)
    inner = _outline(now, next_fee_wei, ahead, 1, -2)
    middle = [(now, next_fee_wei), *((now + blocks, q[2]) for blocks, q in ahead)]
    waits = [(now + blocks, fee) for blocks, fee in reservations if fee]
    first, last = (shown[0][0], shown[-1][0]) if shown else (0, 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *axes.lines(),
        f'<polygon points="{axes.points(outer)}" fill="#dbe7f5"/>',
        f'<polygon points="{axes.points(inner)}" fill="#b9d0ea"/>',
        _polyline(axes, middle, "#5a87b8"),
        _polyline(axes, list(enumerate(fee for _, fee in shown)), "#1f3b57"),
        _polyline(axes, waits, "#c8102e"),
        f'<text x="{_LEFT}" y="18">{network}: base fee of blocks {first} to {last}, and the next '
        "300: median, half and 80% of what may come</text>",
        f'<text x="{_LEFT}" y="33" fill="#c8102e">— below which an order leaves, by the blocks '
        "that it may still wait</text>",
        f'<text x="{axes.x(now) - 10}" y="{_HEIGHT - 25}">now</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Axes:
    """Blocks and log fees to pixels."""

    def __init__(self, known: int, ahead: int, fees: Sequence[int]) -> None:
        self._span = max(known + ahead, 1)
        self._low = log(max(min(fees), 1)) - 0.05
        self._high = max(log(max(*fees, 1)) + 0.05, self._low + 0.1)

    def x(self, block: float) -> float:
        return round(_LEFT + block / self._span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, fee_wei: float) -> float:
        share = (log(max(fee_wei, 1)) - self._low) / (self._high - self._low)
        share = min(max(share, 0.0), 1.0)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    def points(self, places: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(block)},{self.y(fee)}" for block, fee in places)

    def lines(self) -> list[str]:
        told = []
        for step in range(5):
            fee = exp(self._low + (self._high - self._low) * step / 4)
            y = self.y(fee)
            told.append(f'<text x="4" y="{y}">{fee / _GWEI:.3g} gwei</text>')
            told.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>'
            )
        return told


def _outline(
    now: int,
    fee_wei: int,
    bands: Sequence[tuple[int, Sequence[int]]],
    low: int,
    high: int,
) -> list[tuple[float, float]]:
    upper = [(now + blocks, q[high]) for blocks, q in bands]
    lower = [(now + blocks, q[low]) for blocks, q in bands]
    return [(now, fee_wei), *upper, *lower[::-1]]


def _polyline(axes: _Axes, places: Sequence[tuple[float, float]], colour: str) -> str:
    return f'<polyline points="{axes.points(places)}" fill="none" stroke="{colour}"/>'
