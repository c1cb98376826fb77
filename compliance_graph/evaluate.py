"""Trains from scratch and tells how good the screening is: ``python -m compliance_graph.evaluate``.

    python -m compliance_graph.evaluate --edges E.csv.gz --labels L.csv --seeds 10 --json
        [--predictions P.csv] [--no-amounts] [--test-edges E2 --test-labels L2]

With a second source the shipped model is trained on the first and judged on the second as it would
be served there (:mod:`compliance_graph.transfer`); it abstains from short histories, which counts
as not flagged (score 0), and the figures over the scored accounts alone stand beside
(``"over_scored"``).

Without, figures refer to the rows with ``split=test`` where their labels are given, and otherwise
to held-out parts of the training rows (``"evaluated_on"`` says which). Threshold, blend weights
and calibration come from the training rows alone.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from compliance_graph.asof import as_of_report, contemporary_report
from compliance_graph.graph import Bools, Floats, Ints
from compliance_graph.metrics import bootstrap_errors, judged, paired, summary
from compliance_graph.problem import Source, is_forward, read_source
from compliance_graph.train import JUDGES, SeedRuns, run_seed
from compliance_graph.transfer import transfer_report

FINAL = "blend"


def evaluate(source: Source, seeds: int, jobs: int) -> tuple[dict[str, Any], list[SeedRuns]]:
    """The report and the runs it rests on, one for each seed."""
    test = np.flatnonzero(source.accounts.is_test)
    known = source.accounts.labels[test] >= 0
    runs = _all_seeds(source, seeds, jobs, test)
    on_test = bool(known.any())
    report: dict[str, Any] = {
        "evaluated_on": "test" if on_test else "held-out training",
        "split": "forward in time" if is_forward(source.accounts) else "stratified folds",
        "seeds": seeds,
        "accounts_train": int(source.accounts.is_train.sum()),
        "accounts_test": len(test),
        "features": len(source.features.names),
    }
    stacks = {name: _stack(source, runs, name, on_test) for name in runs[0].runs}
    labels, scores, predicted = stacks[FINAL]
    report["accounts_evaluated"] = labels.shape[1]
    report |= _figures(labels, scores, predicted)
    report["first_seen_within_30_days"] = _contemporaries(source, runs, on_test)
    same = all((row == labels[0]).all() for row in labels)
    if same:
        report |= bootstrap_errors(labels[0], scores, predicted)
    report["ablation"] = {name: _figures(*stack) for name, stack in stacks.items()}
    report["blend_weights_mean"] = np.mean([r.runs[FINAL].weights for r in runs], 0).tolist()
    report["threshold_mean"] = float(np.mean([r.runs[FINAL].threshold for r in runs]))
    report["paired"] = {
        f"{FINAL} - {name}": paired(labels[0], scores, stack[1])
        for name, stack in stacks.items()
        if name != FINAL and same
    }
    return report, runs


def _all_seeds(source: Source, seeds: int, jobs: int, test: Ints) -> list[SeedRuns]:
    if jobs == 1:
        return [run_seed(source, seed, JUDGES, test) for seed in range(seeds)]
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run_seed, source, seed, JUDGES, test) for seed in range(seeds)]
        return [one.result() for one in waiting]


def _stack(
    source: Source, runs: Sequence[SeedRuns], name: str, on_test: bool
) -> tuple[Ints, Floats, Bools]:
    """Labels, scores, predictions, each (seeds, accounts), the accounts in one order."""
    rows: list[tuple[Ints, Floats, Bools]] = []
    for run in runs:
        one = run.runs[name]
        if on_test:
            labels = source.accounts.labels[run.test]
            use = labels >= 0
            rows.append((labels[use], one.test_scores[use], one.test_predicted[use]))
        else:
            at = np.flatnonzero(run.judged)
            at = at[np.argsort(run.held[at])]
            labels = source.accounts.labels[run.held[at]]
            rows.append((labels, one.held_scores[at], one.held_predicted[at]))
    labels, scores, predicted = (np.stack(column) for column in zip(*rows, strict=True))
    return labels, scores, predicted


def _contemporaries(source: Source, runs: Sequence[SeedRuns], on_test: bool) -> dict[str, float]:
    """Pairs of accounts of one time, judged by the final scores."""
    rows = runs[0].test if on_test else np.sort(runs[0].held[runs[0].judged])
    if on_test:
        rows = rows[source.accounts.labels[rows] >= 0]
    labels, scores, _ = _stack(source, runs, FINAL, on_test)
    first = source.graph.index.first_s[source.accounts.nodes[rows]]
    return contemporary_report(labels[0], first, list(scores))


def _figures(labels: Ints, scores: Floats, predicted: Bools) -> dict[str, float]:
    per_seed = zip(labels, scores, predicted, strict=True)
    return summary([judged(y, s, p) for y, s, p in per_seed])


Verdicts = Sequence[tuple[Floats, Bools]]
"""Scores and yes or no, for each seed."""


def _asked_rows(source: Source, verdicts: Verdicts) -> tuple[Ints, Verdicts]:
    """The rows with split=test, or all where a file has none."""
    test = source.accounts.is_test
    rows = np.flatnonzero(test) if test.any() else np.arange(len(test))
    return rows, [(scores[rows], predicted[rows]) for scores, predicted in verdicts]


def write_predictions(path: Path, source: Source, rows: Ints, verdicts: Verdicts) -> None:
    """``seed,node,score,predicted`` for every row with split=test; predicted is 1 for illicit."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("seed", "node", "score", "predicted"))
        for seed, (scores, predicted) in enumerate(verdicts):
            for row, score, flagged in zip(rows, scores, predicted, strict=True):
                writer.writerow((seed, source.accounts.names[row], f"{score:.6f}", int(flagged)))


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compliance_graph.evaluate", description=__doc__)
    parser.add_argument("--edges", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--no-amounts", action="store_true")
    parser.add_argument("--test-edges", type=Path)
    parser.add_argument("--test-labels", type=Path)
    parser.add_argument("--as-of-days", type=int, default=30, help="judge first days alone; 0: no")
    asked = parser.parse_args(argv)
    if (asked.test_edges is None) != (asked.test_labels is None):
        parser.error("--test-edges and --test-labels go together")
    return asked


def main(argv: Sequence[str] | None = None) -> None:
    asked = arguments(argv)
    started = time.monotonic()
    amounts, raw = not asked.no_amounts, False if asked.test_edges else None
    source = read_source(asked.edges, asked.labels, amounts, raw)
    if asked.test_edges:
        other = read_source(asked.test_edges, asked.test_labels, amounts, raw)
        report, carried = transfer_report(source, other, asked.seeds)
        verdicts = [(one.served.scores, one.served.predicted) for one in carried]
        if asked.predictions:
            write_predictions(asked.predictions, other, *_asked_rows(other, verdicts))
    else:
        report, runs = evaluate(source, asked.seeds, asked.jobs)
        finals = [(r.runs[FINAL].test_scores, r.runs[FINAL].test_predicted) for r in runs]
        if asked.as_of_days:
            report["as_of"] = as_of_report(source, asked.as_of_days, asked.seeds)
        if asked.predictions:
            test = np.flatnonzero(source.accounts.is_test)
            write_predictions(asked.predictions, source, test, finals)
    report["elapsed_s"] = round(time.monotonic() - started, 1)
    if asked.json:
        print(json.dumps(report, indent=2))
    else:
        for key, value in report.items():
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
