"""A backtest window as a picture: base fee, band, where we sent, where hindsight would have.

``python -m chain.gas.plot FILE --from 400 --blocks 400 --deadline-blocks 50 --out docs/gas.svg``

Plain SVG without a library, so that the command line can draw wherever it runs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chain.gas import artifact
from chain.gas.backtest import arrivals, foresight, reservation_rule, walk
from chain.gas.features import Array
from chain.gas.forecast import HORIZONS, walk_quantiles
from chain.gas.policy import walk_margins
from chain.gas.windows import BlockWindow, MalformedFile, read

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 1000, 420, 70, 40, 50
_BAND_HORIZON = 20
_EVERY = 10


class _Axes:
    """Rows and log fees to pixels."""

    def __init__(self, first: int, count: int, fees: Array) -> None:
        self.first, self.count = first, count
        self.low, self.high = float(np.log(fees.min())) - 0.05, float(np.log(fees.max())) + 0.05

    def x(self, row: float) -> float:
        return round(_LEFT + (row - self.first) / self.count * (_WIDTH - _LEFT - 20), 1)

    def y(self, log_fee: float) -> float:
        share = (min(max(log_fee, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def draw(
    window: BlockWindow, first: int, count: int, deadline_blocks: int, model: artifact.Model
) -> str:
    """SVG of rows ``first`` to ``first + count``; one order in ten is marked."""
    margins = walk_margins(window.fees, window.times, model)
    arrived = arrivals(window, deadline_blocks)
    decided = walk(window, deadline_blocks, reservation_rule(margins), stops=True)
    best = foresight(window, deadline_blocks)
    quantiles = walk_quantiles(window.fees, window.times, model)
    axes = _Axes(first, count, window.fees[first : first + count])
    shown = (arrived >= first) & (best + 1 < first + count) & (decided + 1 < first + count)
    shown &= arrived % _EVERY == 0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _band(axes, quantiles),
        _line(axes, window.fees),
        _marks(axes, window.fees, best[shown] + 1, "#2a9d5c", 5.0, "none"),
        _marks(axes, window.fees, decided[shown] + 1, "#c8102e", 2.8, "#c8102e"),
        _words(axes, window, deadline_blocks),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _band(axes: _Axes, quantiles: Array) -> str:
    """The 80% band as it was foretold twenty blocks before."""
    at = HORIZONS.index(_BAND_HORIZON)
    rows = range(max(axes.first, _BAND_HORIZON), axes.first + axes.count)
    edge = [f"{axes.x(t)},{axes.y(float(quantiles[t - _BAND_HORIZON, at, -1]))}" for t in rows]
    back = [f"{axes.x(t)},{axes.y(float(quantiles[t - _BAND_HORIZON, at, 0]))}" for t in rows]
    return f'<polygon points="{" ".join(edge + back[::-1])}" fill="#c9dcf2"/>'


def _line(axes: _Axes, fees: Array) -> str:
    rows = range(axes.first, axes.first + axes.count)
    points = " ".join(f"{axes.x(t)},{axes.y(float(np.log(fees[t])))}" for t in rows)
    return f'<polyline points="{points}" fill="none" stroke="#1f3b57" stroke-width="1"/>'


def _marks(
    axes: _Axes, fees: Array, rows: NDArray[np.int64], stroke: str, radius: float, fill: str
) -> str:
    return "\n".join(
        f'<circle cx="{axes.x(int(t))}" cy="{axes.y(float(np.log(fees[t])))}" r="{radius}" '
        f'fill="{fill}" stroke="{stroke}"/>'
        for t in rows
    )


def _words(axes: _Axes, window: BlockWindow, deadline_blocks: int) -> str:
    told = [
        f'<text x="{_LEFT}" y="18">{window.name}: base fee, the 80% band foretold '
        f"{_BAND_HORIZON} blocks before, one order in {_EVERY}, deadline {deadline_blocks} "
        "blocks</text>",
        f'<text x="{_LEFT}" y="33" fill="#c8102e">● where we sent</text>',
        f'<text x="{_LEFT + 120}" y="33" fill="#2a9d5c">○ where hindsight would have</text>',
    ]
    for log_fee in np.linspace(axes.low, axes.high, 5):
        y = axes.y(float(log_fee))
        told.append(f'<text x="4" y="{y}">{np.exp(log_fee) / 1e9:.3g} gwei</text>')
        told.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y}" y2="{y}" stroke="#ddd"/>')
    for row in np.linspace(axes.first, axes.first + axes.count - 1, 5):
        number = int(window.numbers[int(row)])
        x = min(axes.x(row), _WIDTH - 30)  # the last number must not leave the picture
        told.append(f'<text x="{x}" y="{_HEIGHT - 25}" text-anchor="middle">{number}</text>')
    return "\n".join(told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chain.gas.plot", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--from", dest="first", type=int, default=300, help="row to start at")
    parser.add_argument("--blocks", type=int, default=400)
    parser.add_argument("--deadline-blocks", type=int, default=50)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        window = read(options.file)
        if not 0 <= options.first < len(window) - 1 or options.blocks < 2:
            raise MalformedFile(f"{options.file}: has no such rows to draw")
        count = min(options.blocks, len(window) - options.first)
        model = artifact.load(options.model)
        picture = draw(window, options.first, count, options.deadline_blocks, model)
    except (MalformedFile, artifact.BadArtifact) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.write_text(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
