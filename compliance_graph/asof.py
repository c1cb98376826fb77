"""What would have been known then: accounts as they stood after their first days.

A data set shows whole lives; a screening sees beginnings. Everything within two steps of the
account is cut at the account's own moment, so that neither its future nor its neighbours' leaks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from compliance_graph.boosting import Boosted
from compliance_graph.features import FeatureGraph, Matrix, matrix, selected
from compliance_graph.graph import Floats, Ints, TransferGraph, Transfers
from compliance_graph.metrics import best_threshold, judged, summary
from compliance_graph.neighbourlabels import folds_of
from compliance_graph.problem import FOLDS, Source
from compliance_graph.sequences import DAY_S

PEERS_KEPT = 256
WINDOW_S = 30 * DAY_S


def cut(graph: TransferGraph, node: int, until_s: int) -> tuple[TransferGraph, int]:
    """The account, its peers of that time and their transfers up to that time, renumbered."""
    own = _incident(graph, node)
    own = own[graph.rows.time_s[own] <= until_s]
    peers = np.unique(np.concatenate((graph.rows.src[own], graph.rows.dst[own])))
    around = [own, *(_incident(graph, int(p)) for p in peers[peers != node][:PEERS_KEPT])]
    numbers_of_rows = np.unique(np.concatenate(around))
    rows = graph.rows.take(numbers_of_rows)
    rows = rows.take(rows.time_s <= until_s)
    names, numbers = np.unique(np.concatenate((rows.src, rows.dst, [node])), return_inverse=True)
    n = len(rows)
    small = Transfers(numbers[:n], numbers[n : 2 * n], rows.amount, rows.count, rows.time_s)
    return TransferGraph.build(small, len(names)), int(numbers[-1])


def _incident(graph: TransferGraph, node: int) -> Ints:
    """Row numbers of all transfers from and to the node."""
    sent = np.arange(graph.out_start[node], graph.out_start[node + 1])
    received = graph.in_rows[graph.in_start[node] : graph.in_start[node + 1]]
    return np.concatenate((sent, received))


def as_of_matrix(source: Source, rows: Ints, days: int) -> Matrix:
    """Features of the accounts as of ``days`` after each one's first transfer."""
    graph, first = source.graph.raw, source.graph.index.first_s
    found = []
    for node in source.accounts.nodes[rows].tolist():
        small, centre = cut(graph, node, int(first[node]) + days * DAY_S)
        one = matrix(FeatureGraph.of(small), [centre], raw=source.graph.has_raw)
        found.append(one.only(source.features.names).values)
    return Matrix(source.features.names, np.vstack(found))


def as_of_report(source: Source, days: int, seeds: int) -> dict[str, Any]:
    """Trees trained and judged on the first days alone, by folds of the training part."""
    rows = np.flatnonzero(source.accounts.is_train)
    labels = source.accounts.labels[rows]
    young = as_of_matrix(source, rows, days)
    values = young.only(selected(young.names)).values
    runs = []
    for seed in range(seeds):
        scores = _held_out(values, labels, seed)
        fold = folds_of(labels, seed + 1, FOLDS)
        predicted = np.zeros(len(rows), dtype=bool)
        for k in range(FOLDS):
            limit = best_threshold(labels[fold != k], scores[fold != k])
            predicted[fold == k] = scores[fold == k] > limit
        runs.append(judged(labels, scores, predicted))
    about = {"days": days, "evaluated_on": "held-out training", "seeds": seeds}
    return about | {"accounts": len(rows)} | summary(runs)


def _held_out(values: Floats, labels: Ints, seed: int) -> Floats:
    fold = folds_of(labels, seed, FOLDS)
    scores = np.zeros(len(labels))
    for k in range(FOLDS):
        model = Boosted.fit(values[fold != k], labels[fold != k], seed, bag=1)
        scores[fold == k] = model.logits(values[fold == k])
    return scores


def contemporary_auc(labels: Ints, scores: Floats, first_s: Ints) -> float:
    """AUC over pairs of one licit and one illicit account first seen within 30 days.

    What remains when the two cannot be told apart by when they lived. NaN without such a pair.
    """
    bad, good = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    near = np.abs(first_s[bad][:, None] - first_s[good][None, :]) <= WINDOW_S
    wins = scores[bad][:, None] > scores[good][None, :]
    ties = scores[bad][:, None] == scores[good][None, :]
    return float((wins + 0.5 * ties)[near].mean()) if near.any() else float("nan")


def contemporary_report(labels: Ints, first_s: Ints, scores: Sequence[Floats]) -> dict[str, float]:
    """Mean and deviation over seeds of :func:`contemporary_auc`."""
    values = np.array([contemporary_auc(labels, one, first_s) for one in scores])
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"auc_mean": float(values.mean()), "auc_sd": deviation}
