"""Does it hold on another source? Trained on one data set, judged on another it never saw.

Amounts, and even most ratios, encode the wealth of the people that a data set happens to hold, and
neighbours' histories encode how it was collected. What carries over is the rhythm of an account's
own transfers and the shape of its surroundings, each ranked within its own source. This is what
the shipped model uses, with a threshold set for few false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_graph.boosting import Boosted
from compliance_graph.features import Matrix, ranked, selected
from compliance_graph.graph import Bools, Floats, Ints
from compliance_graph.matching import same_accounts
from compliance_graph.metrics import bootstrap_errors, judged, summary
from compliance_graph.neighbourlabels import folds_of
from compliance_graph.problem import FOLDS, Source

FALSE_ALARMS = 0.01
"""Share of the training source's own honest accounts (held out) that the threshold lets through."""


def portable(names: Sequence[str]) -> list[str]:
    """Features of the shipped model: rhythm and shape of the account and its ego, no amounts."""
    kept = []
    for name in selected(names, amounts=False):
        words = name.split(".")
        if words[0] in ("own", "motif"):
            kept.append(name)
    return kept


@dataclass(frozen=True, slots=True)
class Carried:
    """One seed's verdict on the other source's accounts; ``held_auc`` on the own source."""

    scores: Floats
    predicted: Bools
    threshold: float
    held_auc: float


def carry(train: Matrix, labels: Ints, test: Matrix, seed: int) -> Carried:
    """Fit folds on the labelled training rows, judge the test rows with their mean.

    ``train`` and ``test`` hold all labelled accounts of their source, for the ranks; rows of
    ``train`` with a label below 0 are reference only.
    """
    names = [n for n in portable(train.names) if n in set(test.names)]
    here, there = train.only(names).values, test.only(names).values
    here, there = ranked(here, here), ranked(there, there)
    rows = np.flatnonzero(labels >= 0)
    fold = folds_of(labels[rows], seed, FOLDS)
    held, logits = np.zeros(len(rows)), np.zeros(len(there))
    for k in range(FOLDS):
        model = Boosted.fit(here[rows[fold != k]], labels[rows[fold != k]], seed * FOLDS + k, bag=1)
        held[fold == k] = model.logits(here[rows[fold == k]])
        logits += model.logits(there) / FOLDS
    honest = labels[rows] == 0
    threshold = float(np.quantile(held[honest], 1.0 - FALSE_ALARMS))
    figures = judged(labels[rows], held, held > threshold)
    scores = 1.0 / (1.0 + np.exp(-logits))
    return Carried(scores, logits > threshold, threshold, figures["auc"])


def overlapping(train: Source, test: Source) -> Bools:
    """Which of the test source's accounts are labelled accounts of the training source, too."""
    twins = same_accounts(test.graph.raw, train.graph.raw)
    known = set(train.accounts.nodes.tolist())
    return np.array([twins.get(n) in known for n in test.accounts.nodes.tolist()], dtype=bool)


def transfer_report(
    train: Source, test: Source, seeds: int
) -> tuple[dict[str, Any], list[Carried]]:
    """Figures on the other source's accounts with known labels, the overlapping ones removed."""
    labels = np.where(train.accounts.is_train, train.accounts.labels, -1)
    runs = [carry(train.features, labels, test.features, seed) for seed in range(seeds)]
    twin = overlapping(train, test)
    asked = test.accounts.is_test & (test.accounts.labels >= 0)
    if not asked.any():
        asked = test.accounts.labels >= 0
    use = asked & ~twin
    truth = test.accounts.labels[use]
    scores = np.stack([r.scores[use] for r in runs])
    predicted = np.stack([r.predicted[use] for r in runs])
    report: dict[str, Any] = {
        "evaluated_on": "another source",
        "seeds": seeds,
        "accounts_train": int((labels >= 0).sum()),
        "accounts_evaluated": int(use.sum()),
        "accounts_overlapping": int(twin.sum()),
        "features": len(portable(train.features.names)),
        "held_auc_on_own_source_mean": float(np.mean([r.held_auc for r in runs])),
    }
    if len(np.unique(truth)) == 2:
        per_seed = zip(scores, predicted, strict=True)
        report |= summary([judged(truth, s, p) for s, p in per_seed])
        report |= bootstrap_errors(truth, scores, predicted)
    return report, runs
