"""Would the policy have saved money? A walk over recorded blocks, without looking ahead.

``python -m chain.gas.backtest FILE --deadline-blocks 50 --json [--decisions D.csv]``

Convention: one decides after block *s*, when the base fee of *s + 1* is exactly known, and pays
it. An order arrives at every block from the end of the warm-up, min(300, n/8) blocks, to
n − deadline − 1, and must be sent within the deadline. Captured: the share of perfect foresight's
saving, ``(at once − policy) / (at once − foresight)``.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from chain.gas import artifact, baselines, scores
from chain.gas.features import Array
from chain.gas.forecast import walk_quantiles
from chain.gas.policy import stop_fee_wei, walk_margins
from chain.gas.windows import BlockWindow, MalformedFile, read

Rule = Callable[[NDArray[np.int64], int], NDArray[np.bool_]]
"""Send after these rows, with so many blocks remaining?"""


def arrivals(window: BlockWindow, deadline_blocks: int) -> NDArray[np.int64]:
    """Rows after which an order arrives. Raises :class:`MalformedFile` where none can."""
    count = len(window)
    first = warm_up(count)
    if deadline_blocks < 1:
        raise MalformedFile("a deadline is at least one block")
    if first < 1 or count - deadline_blocks - 1 <= first:
        raise MalformedFile(
            f"{window.name}: {count} blocks are too few for a warm-up of {first} and a deadline "
            f"of {deadline_blocks}"
        )
    return np.arange(first, count - deadline_blocks - 1)


def warm_up(count: int) -> int:
    return min(300, count // 8)


def walk(
    window: BlockWindow, deadline_blocks: int, rule: Rule, *, stops: bool = False
) -> NDArray[np.int64]:
    """The row after which each arrival is sent; the deadline itself always sends.

    Deadlines are block numbers: where the file has gaps, fewer rows fit into one. ``stops``: also
    send once the fee has risen to :func:`~chain.gas.policy.stop_fee_wei`.
    """
    arrived = arrivals(window, deadline_blocks)
    due = window.numbers[arrived] + deadline_blocks
    decided = np.full(len(arrived), -1)
    stop = [stop_fee_wei(1, deadline_blocks - waited) for waited in range(deadline_blocks + 1)]
    for waited in range(deadline_blocks + 1):
        row = arrived + waited
        open_ = decided < 0
        last = np.append(window.numbers, np.iinfo(np.int64).max)[row + 1] > due
        remaining = deadline_blocks - waited
        sends = last if remaining == 0 else last | rule(row, remaining)
        if stops:
            sends = sends | (window.fees[row + 1] >= window.fees[arrived + 1] * stop[waited])
        decided = np.where(open_ & sends, row, decided)
    return decided


def foresight(window: BlockWindow, deadline_blocks: int) -> NDArray[np.int64]:
    """The best row within each deadline, had one known."""
    arrived = arrivals(window, deadline_blocks)
    reach = sliding_window_view(window.fees[1:], deadline_blocks + 1)[arrived]
    rows = arrived[:, None] + np.arange(deadline_blocks + 1)
    in_time = window.numbers[rows] <= (window.numbers[arrived] + deadline_blocks)[:, None]
    best: NDArray[np.int64] = arrived + np.argmin(np.where(in_time, reach, np.inf), axis=1)
    return best


def reservation_rule(margins: Array) -> Rule:
    """``margins[t, r - 1]``: log of (reservation fee / fee of row t) with r blocks remaining."""

    def rule(row: NDArray[np.int64], remaining: int) -> NDArray[np.bool_]:
        sends: NDArray[np.bool_] = margins[row + 1, min(remaining, margins.shape[1]) - 1] >= 0
        return sends

    return rule


def run(window: BlockWindow, deadline_blocks: int, model: artifact.Model) -> dict[str, Any]:
    """Everything that is reported, JSON-ready, and the policy's decisions under ``_rows``."""
    arrived = arrivals(window, deadline_blocks)
    margins = walk_margins(window.fees, window.times, model)
    decided = walk(window, deadline_blocks, reservation_rule(margins), stops=True)
    best = foresight(window, deadline_blocks)
    quantiles = walk_quantiles(window.fees, window.times, model)
    rules = baselines.rules(window, deadline_blocks)
    outcomes = {"policy": decided, "foresight": best}
    outcomes |= {name: walk(window, deadline_blocks, rule) for name, rule in rules.items()}
    ours = scores.outcome(window, arrived, decided, best, deadline_blocks)
    return {
        "file": window.name,
        "blocks": len(window),
        "warm_up_blocks": warm_up(len(window)),
        "deadline_blocks": deadline_blocks,
        "arrivals": len(arrived),
        **ours,
        "captured_interval_95": scores.captured_interval(
            window, arrived, decided, best, deadline_blocks
        ),
        "policies": {
            name: scores.outcome(window, arrived, rows, best, deadline_blocks)
            for name, rows in outcomes.items()
        },
        "pinball": scores.pinball(window, quantiles, warm_up(len(window))),
        "ms_per_forecast": scores.milliseconds_per_forecast(window, model),
        "_rows": (arrived, decided),
    }


def write_decisions(path: Path, window: BlockWindow, result: dict[str, Any]) -> None:
    """``arrival,decided`` as block numbers; the order pays the block after ``decided``."""
    arrived, decided = result["_rows"]
    with path.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["arrival", "decided"])
        pairs = zip(window.numbers[arrived], window.numbers[decided], strict=True)
        lines.writerows((int(start), int(end)) for start, end in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chain.gas.backtest", description=__doc__)
    parser.add_argument("file", type=Path, help="blocks as .csv or .csv.gz")
    parser.add_argument("--deadline-blocks", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--decisions", type=Path, help="write arrival,decided to this file")
    parser.add_argument("--model", type=Path, help="another artifact than the shipped one")
    options = parser.parse_args(arguments)
    try:
        window = read(options.file)
        model = artifact.load(options.model)
        result = run(window, options.deadline_blocks, model)
    except (MalformedFile, artifact.BadArtifact) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.decisions is not None:
        try:
            write_decisions(options.decisions, window, result)
        except OSError as error:
            print(f"error: {options.decisions}: cannot be written: {error}", file=sys.stderr)
            return 2
    del result["_rows"]
    print(json.dumps(result, indent=2) if options.json else scores.table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
