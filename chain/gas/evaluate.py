"""The honest figures: each file scored by a model trained on all the others.

``python -m chain.gas.evaluate FILE... [--keep FOLDER]`` trains one model per file and prints one
line per file and deadline. ``--keep`` writes each fold's model as ``without-<file>.json``, which
``python -m chain.gas.backtest FILE --model …`` then reads for the whole report.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from chain.gas import artifact, scores, train
from chain.gas.backtest import arrivals, foresight, reservation_rule, walk, warm_up
from chain.gas.forecast import walk_quantiles
from chain.gas.policy import walk_margins
from chain.gas.windows import BlockWindow, MalformedFile, read

DEADLINES_BLOCKS = (5, 50, 300)


def lines(window: BlockWindow, model: artifact.Model) -> list[str]:
    """One line per deadline that fits the window, and one per forecast horizon."""
    margins = walk_margins(window.fees, window.times, model)
    told = []
    for deadline in DEADLINES_BLOCKS:
        try:
            arrived = arrivals(window, deadline)
        except MalformedFile:
            continue
        decided = walk(window, deadline, reservation_rule(margins), stops=True)
        best = foresight(window, deadline)
        score = scores.outcome(window, arrived, decided, best, deadline)
        low, high = scores.captured_interval(window, arrived, decided, best, deadline)
        told.append(
            f"{window.name}\tdeadline {deadline}\tcaptured {score['captured']:.3f}"
            f" ({low:.3f} to {high:.3f})\tmean {score['mean_vs_at_once']:.4f}"
            f"\tp99 {score['p99_vs_at_once']:.2f}\tworst {score['worst_vs_at_once']:.2f}"
            f"\tkept {score['deadline_kept']:.4f}\torders {len(arrived)}"
        )
    quantiles = walk_quantiles(window.fees, window.times, model)
    for horizon, loss in scores.pinball(window, quantiles, warm_up(len(window))).items():
        told.append(
            f"{window.name}\thorizon {horizon}\tpinball {loss['policy']:.5f}"
            f"\tvolatility-scaled {loss['volatility_scaled']:.5f}"
            f"\tpersistence {loss['persistence']:.5f}\tcoverage {loss['coverage_80']:.3f}"
        )
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chain.gas.evaluate", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="blocks as .csv or .csv.gz")
    parser.add_argument("--keep", type=Path, help="write each fold's model to this folder")
    options = parser.parse_args(arguments)
    try:
        windows = [read(path) for path in options.files]
    except MalformedFile as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if len(windows) < 2:
        print("error: leaving one file out needs two", file=sys.stderr)
        return 2
    for at, window in enumerate(windows):
        try:
            made = train.content(windows[:at] + windows[at + 1 :], {})
        except MalformedFile as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            text = json.dumps(made, separators=(",", ":")) + "\n"
            (options.keep / f"without-{window.name.split('.')[0]}.json").write_text(text)
        print("\n".join(lines(window, artifact.build(made))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
