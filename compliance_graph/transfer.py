"""Does it hold on another source? Trained on one data set, judged on another as it would be served.

Amounts, and even most ratios, encode the wealth of the people that a data set happens to hold, and
counts encode how it was collected. What carries over is rhythm and shape, and of these the rank
among the accounts of one's own source. :func:`fitted` trains that model as the shipped one is
trained (:mod:`compliance_graph.train_shipped`), and :func:`judged_as_served` asks it through the
serving code itself: exported trees, ranks within the judged graph, abstentions. An account that
the model abstains from is not flagged, whatever it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_graph.artifact import RANKS, Artifact
from compliance_graph.asof import contemporary_auc
from compliance_graph.boosting import Boosted
from compliance_graph.export import forest_of, onnx_forests
from compliance_graph.features import SERVED_NAMES, Matrix, grid_of, selected, served_rows
from compliance_graph.graph import Bools, Floats, Ints
from compliance_graph.matching import same_accounts
from compliance_graph.metrics import bootstrap_errors, judged, summary
from compliance_graph.neighbourlabels import folds_of
from compliance_graph.pairs import PairIndex
from compliance_graph.problem import FOLDS, Source
from compliance_graph.scoring import INPUT, Scorer

REVIEW_LOG_ODDS = 3.0
"""Chosen with both public sources in view (two numbers each way), so the figures for these two are
a little kinder than those of a third would be. A limit that the training source alone chooses (a
share of its own honest accounts, or of its illicit ones) held in one direction only."""
ROUNDS = 250
BAG = 3


@dataclass(frozen=True, slots=True)
class Trees:
    """What serves: forests, the features that they read as ranks, and the training accounts'
    quantiles of these."""

    model: Boosted
    names: tuple[str, ...]
    grid: Floats

    def onnx(self) -> bytes:
        """One input and one output, as :class:`~compliance_graph.scoring.Scorer` asks."""
        built = onnx_forests({INPUT: (self.model, len(self.names))})
        content: bytes = built.SerializeToString()
        return content

    def artifact(self) -> Artifact:
        """As if it had been shipped: without calibration and without a second opinion."""
        about = {
            "review_log_odds": REVIEW_LOG_ODDS,
            "calibration": {"slope": 1.0, "offset": 0.0},
        }
        forest = forest_of(self.model)
        return Artifact("trial", about, self.onnx(), b"", self.names, forest, {RANKS: self.grid})


@dataclass(frozen=True, slots=True)
class Answers:
    """What the scorer said of some accounts; ``log_odds`` is NaN where it abstained."""

    log_odds: Floats
    predicted: Bools

    @property
    def scored(self) -> Bools:
        return np.isfinite(self.log_odds)

    @property
    def scores(self) -> Floats:
        """Uncalibrated probabilities; 0 where it abstained, for such an account is not flagged."""
        odds = np.exp(np.where(self.scored, self.log_odds, 0.0))
        return np.where(self.scored, odds / (1.0 + odds), 0.0)

    def of(self, rows: Bools) -> "Answers":
        return Answers(self.log_odds[rows], self.predicted[rows])


@dataclass(frozen=True, slots=True)
class Carried:
    """One seed's verdict on all of the other source's accounts; ``few`` as in a graph with too few
    accounts to rank among; ``held`` are figures on accounts of the own source held out."""

    served: Answers
    few: Answers
    held: dict[str, float]


def read_names(names: Sequence[str]) -> list[str]:
    """Everything served within one hop, without amounts, that a source can give."""
    known = set(names)
    return selected([n for n in SERVED_NAMES if n in known], amounts=False)


def fitted(parts: Sequence[tuple[Matrix, Ints]], seed: int) -> Trees:
    """Train on sources with their labels, each account ranked among its own source's labelled ones.

    Rows with a label below 0 are not learned from; they count among the quantiles that are kept
    for graphs with too few accounts of their own.
    """
    shared = set.intersection(*(set(features.names) for features, _ in parts))
    names = read_names([*shared])
    values = [features.only(names).values for features, _ in parts]
    known = [labels >= 0 for _, labels in parts]
    every = np.arange(len(names))
    places = [served_rows(v[k], every, grid_of(v)) for v, k in zip(values, known, strict=True)]
    labels = np.concatenate([labels[k] for (_, labels), k in zip(parts, known, strict=True)])
    model = Boosted.fit(np.vstack(places).astype(np.float64), labels, seed, BAG, ROUNDS)
    return Trees(model, tuple(names), grid_of(np.vstack(values)))


def judged_as_served(scorer: Scorer, index: PairIndex, nodes: Ints) -> Answers:
    """Through the code that serves, the scorer's ranks as they are."""
    found = scorer.score_many(index, nodes.tolist())
    log_odds = [np.nan if one.log_odds is None else one.log_odds for one in found]
    return Answers(np.array(log_odds), np.array([one.review for one in found], dtype=bool))


def carry(train: Source, test: Source, seed: int) -> Carried:
    """Fit on all labelled training rows, judge all accounts of the other source."""
    scorer = Scorer(fitted([(train.features, known_labels(train))], seed).artifact())
    index, nodes = test.graph.index, test.accounts.nodes
    served = judged_as_served(scorer.ranked_within(index), index, nodes)
    few = judged_as_served(scorer, index, nodes)
    return Carried(served, few, held_out(train, seed))


def known_labels(source: Source) -> Ints:
    """Of the training part; -1 elsewhere."""
    return np.where(source.accounts.is_train, source.accounts.labels, -1)


def held_out(source: Source, seed: int) -> dict[str, float]:
    """Figures on the own source, as served: each fold judged by what the others taught."""
    labels = known_labels(source)
    rows = np.flatnonzero(labels >= 0)
    nodes, truth = source.accounts.nodes[rows], labels[rows]
    fold, index = folds_of(truth, seed, FOLDS), source.graph.index
    log_odds, predicted = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    for k in range(FOLDS):
        left = labels.copy()
        left[rows[fold == k]] = -1
        scorer = Scorer(fitted([(source.features, left)], seed * FOLDS + k).artifact())
        found = judged_as_served(scorer.ranked_within(index), index, nodes[fold == k])
        log_odds[fold == k], predicted[fold == k] = found.log_odds, found.predicted
    own = Answers(log_odds, predicted)
    near = contemporary_auc(truth, own.scores, index.first_s[nodes])
    return judged(truth, own.scores, predicted) | {"auc_of_contemporaries": near}


def overlapping(train: Source, test: Source) -> Bools:
    """Which of the test source's accounts are labelled accounts of the training source, too."""
    twins = same_accounts(test.published, train.published)
    known = set(train.accounts.nodes.tolist())
    return np.array([twins.get(n) in known for n in test.accounts.nodes.tolist()], dtype=bool)


def asked_about(train: Source, test: Source) -> Bools:
    """The other source's accounts with known labels (those of its test part, if it tells any),
    without the overlapping ones."""
    asked = test.accounts.is_test & (test.accounts.labels >= 0)
    if not asked.any():
        asked = test.accounts.labels >= 0
    return asked & ~overlapping(train, test)


def transfer_report(
    train: Source, test: Source, seeds: int
) -> tuple[dict[str, Any], list[Carried]]:
    """Figures on the accounts that :func:`asked_about` chooses."""
    runs = [carry(train, test, seed) for seed in range(seeds)]
    use = asked_about(train, test)
    truth = test.accounts.labels[use]
    served = [run.served.of(use) for run in runs]
    silent = ~served[0].scored
    report: dict[str, Any] = {
        "evaluated_on": "another source",
        "judged": "as served; not flagged where the model abstains",
        "seeds": seeds,
        "accounts_train": int((known_labels(train) >= 0).sum()),
        "accounts_evaluated": int(use.sum()),
        "accounts_overlapping": int(overlapping(train, test).sum()),
        "accounts_abstained": {
            "licit": int((truth[silent] == 0).sum()),
            "illicit": int((truth[silent] == 1).sum()),
        },
        "features": len(read_names(train.features.names)),
        "review_log_odds": REVIEW_LOG_ODDS,
        "on_own_source_held_out": {
            "evaluated_on": "held-out training",
            "split": f"{FOLDS} stratified folds",
            **summary([run.held for run in runs]),
        },
    }
    if len(np.unique(truth)) == 2:
        report |= _figures(truth, served)
        report["over_scored"] = _figures(truth[~silent], [one.of(~silent) for one in served])
        few = [run.few.of(use) for run in runs]
        report["ranked_among_training_accounts"] = _figures(truth, few)
    return report, runs


def _figures(truth: Ints, runs: Sequence[Answers]) -> dict[str, float]:
    scores, predicted = np.stack([r.scores for r in runs]), np.stack([r.predicted for r in runs])
    per_seed = zip(scores, predicted, strict=True)
    found = summary([judged(truth, s, p) for s, p in per_seed])
    return found | bootstrap_errors(truth, scores, predicted)
