"""Trains the judges, blends them by what they did on held-out accounts, and sets the threshold.

Three judges are trained side by side: boosted trees on an account's own transfers (the yardstick),
boosted trees on all features with the neighbours' labels, and the graph network. The blend's
weights and the threshold come from accounts of the training part that the judges had not seen, so
the honest winner decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from compliance_graph.boosting import Boosted
from compliance_graph.features import selected
from compliance_graph.graph import Bools, Floats, Ints
from compliance_graph.metrics import best_threshold
from compliance_graph.problem import Source, Task, positions, rounds_of

Judge = Callable[[Task], list[Floats]]
"""Fit on the task's rows, then give the logits of each further group of rows."""


def own_trees(task: Task) -> list[Floats]:
    """Boosted trees that see nothing but the account's own transfers."""
    features = task.source.features.only(selected(task.source.features.names, own_only=True)).values
    model = Boosted.fit(features[task.fit], task.labels, task.seed, bag=1)
    return [model.logits(features[rows]) for rows in task.others]


def graph_trees(task: Task) -> list[Floats]:
    """Boosted trees on everything, the neighbours' labels cross-fitted."""
    values = task.source.features.values
    model = Boosted.fit(np.hstack((values[task.fit], task.known)), task.labels, task.seed)
    return [
        model.logits(np.hstack((values[rows], extra)))
        for rows, extra in zip(task.others, task.spread, strict=True)
    ]


def graph_net(task: Task) -> list[Floats]:
    """The graph network; the one judge that needs PyTorch, so nobody else imports it."""
    from compliance_graph import nettrain

    return nettrain.graph_net(task)


JUDGES: dict[str, Judge] = {"own": own_trees, "graph": graph_trees, "net": graph_net}
BLENDED = ("graph", "net")


@dataclass(frozen=True, slots=True)
class Blend:
    """A calibrated log-odds: ``logits @ weights + offset``; no weight is negative."""

    weights: Floats
    offset: float

    @staticmethod
    def fit(logits: Floats, labels: Ints) -> "Blend":
        """``logits`` (n, judges). Judges with a negative weight are dropped and the rest refit."""
        used = np.ones(logits.shape[1], dtype=bool)
        while True:
            model = LogisticRegression(C=10.0, max_iter=1000).fit(logits[:, used], labels)
            found = model.coef_[0]
            if (found >= 0).all() or used.sum() == 1:
                break
            used[np.flatnonzero(used)[int(np.argmin(found))]] = False
        weights = np.zeros(logits.shape[1])
        weights[used] = np.maximum(found, 1e-6)
        return Blend(weights, float(model.intercept_[0]))

    def scores(self, logits: Floats) -> Floats:
        out: Floats = 1.0 / (1.0 + np.exp(-(logits @ self.weights + self.offset)))
        return out


@dataclass(frozen=True, slots=True)
class Run:
    """One judge (or the blend) with one seed: probabilities and yes or no, held and test."""

    held_scores: Floats
    held_predicted: Bools
    test_scores: Floats
    test_predicted: Bools
    threshold: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """``held`` lists the held-out rows in order; ``judged`` marks those with a prior threshold."""

    held: Ints
    judged: Bools
    test: Ints
    runs: dict[str, Run]


def run_seed(source: Source, seed: int, judges: dict[str, Judge], test: Ints) -> SeedRuns:
    """Everything for one seed: held-out logits by round, test logits from all of the training."""
    rounds = rounds_of(source.accounts, seed)
    held, places = positions(rounds)
    train = np.flatnonzero(source.accounts.is_train)
    tasks = [Task.of(source, r.fit, [r.held], seed) for r in rounds]
    last = Task.of(source, train, [test], seed)
    held_logits = {n: np.concatenate([judge(t)[0] for t in tasks]) for n, judge in judges.items()}
    test_logits = {n: judge(last)[0] for n, judge in judges.items()}
    labels = source.accounts.labels[held]
    judged = np.zeros(len(held), dtype=bool)
    for r, place in zip(rounds, places, strict=True):
        judged[place] = bool(r.prior)
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in judges}
    blended = tuple(name for name in BLENDED if name in judges)
    groups["blend"] = blended or tuple(judges)
    runs = {}
    for name, members in groups.items():
        stacked = np.stack([held_logits[m] for m in members], 1)
        test_stack = np.stack([test_logits[m] for m in members], 1)
        priors = [r.prior for r in rounds]
        runs[name] = _decided(stacked, labels, test_stack, places, priors)
    return SeedRuns(held, judged, test, runs)


def _decided(
    held: Floats,
    labels: Ints,
    test: Floats,
    places: Sequence[slice],
    priors: Sequence[tuple[int, ...]],
) -> Run:
    """Blend and threshold from all held rows for the test; from prior rounds for the held."""
    scores, predicted = np.zeros(len(labels)), np.zeros(len(labels), dtype=bool)
    everything = np.arange(len(labels))
    for place, prior in zip(places, priors, strict=True):
        rows = (
            np.concatenate([everything[places[p]] for p in prior]) if prior else everything[place]
        )
        blend, threshold = _settled(held[rows], labels[rows])
        scores[place] = blend.scores(held[place])
        predicted[place] = scores[place] > threshold
    blend, threshold = _settled(held, labels)
    test_scores = blend.scores(test)
    return Run(
        scores, predicted, test_scores, test_scores > threshold, threshold, tuple(blend.weights)
    )


def _settled(logits: Floats, labels: Ints) -> tuple[Blend, float]:
    blend = Blend.fit(logits, labels)
    return blend, best_threshold(labels, blend.scores(logits))
