"""A screening problem made of files: graph, labelled accounts, features, and who is held out when.

Who is held out follows the split that is asked for. Where every account under test was first seen
after all training accounts, the training part is held out forward in time as well (train on the
past, judge the next block), because the mix of labels drifts; elsewhere by stratified folds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compliance_graph.features import FeatureGraph, Matrix, matrix, selected
from compliance_graph.graph import Floats, Ints, TransferGraph
from compliance_graph.neighbourlabels import Spreader, cross_fitted, folds_of
from compliance_graph.sampler import Ego, sample
from compliance_graph.tables import LabelRow, read_labels, read_transfers

FOLDS = 5
FORWARD_CUTS = (0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Accounts:
    """``nodes`` in the graph, ``labels`` (-1 where withheld), ``names`` as in the file."""

    names: tuple[str, ...]
    nodes: Ints
    labels: Ints
    is_train: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    is_test: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    first_seen_s: Ints


@dataclass(frozen=True, slots=True)
class Source:
    """One data set ready to learn from; row i of every array is account i.

    ``published`` keeps the amounts even where ``graph`` is without: they tell accounts of two
    sources apart, and are no feature.
    """

    accounts: Accounts
    graph: FeatureGraph
    features: Matrix
    spreader: Spreader
    published: TransferGraph
    egos: Sequence[Ego]

    def with_features(self, names: Sequence[str]) -> "Source":
        return replace(self, features=self.features.only(names))


@dataclass(frozen=True, slots=True)
class Task:
    """One training: fit on the rows ``fit``, then judge each group of rows in ``others``.

    ``known`` (len(fit), n) and ``spread`` (one for each group) are the columns of neighbours'
    labels, cross-fitted.
    """

    source: Source
    fit: Ints
    others: tuple[Ints, ...]
    seed: int
    known: Floats
    spread: tuple[Floats, ...]

    @staticmethod
    def of(source: Source, fit: Ints, others: Sequence[Ints], seed: int) -> "Task":
        nodes, labels = source.accounts.nodes, source.accounts.labels
        known, spread = cross_fitted(
            source.spreader, nodes[fit], labels[fit], [nodes[rows] for rows in others], seed
        )
        return Task(source, fit, tuple(others), seed, known.values, tuple(m.values for m in spread))

    @property
    def labels(self) -> Ints:
        """Of the rows to fit on."""
        return self.source.accounts.labels[self.fit]


@dataclass(frozen=True, slots=True)
class Round:
    """Fit on ``fit`` and judge ``held`` (row numbers); ``prior`` names rounds that may be used
    to choose a threshold for this one."""

    fit: Ints
    held: Ints
    prior: tuple[int, ...]


def read_source(edges: Path, labels: Path, amounts: bool, raw: bool | None = None) -> Source:
    """Read, number and describe. Raises :class:`ValueError` for files of another form."""
    named, rows = read_transfers(edges), read_labels(labels)
    nodes = [named.names.add(row.node) for row in rows]
    graph = named.graph if amounts else _without_amounts(named.graph)
    graph = TransferGraph.build(graph.rows, len(named.names))
    sight = FeatureGraph.of(graph)
    features = matrix(sight, nodes, raw)
    if not amounts:
        features = features.only(selected(features.names, amounts=False))
    return Source(
        _accounts(rows, nodes, sight),
        sight,
        _varying(features),
        Spreader.of(sight.pairs),
        named.graph,
        [sample(sight.index, node) for node in nodes],
    )


def _accounts(rows: Sequence[LabelRow], nodes: Sequence[int], sight: FeatureGraph) -> Accounts:
    seen = [
        int(sight.index.first_s[node]) if row.first_seen_s is None else row.first_seen_s
        for row, node in zip(rows, nodes, strict=True)
    ]
    return Accounts(
        tuple(row.node for row in rows),
        np.array(nodes, dtype=np.int64),
        np.array([-1 if row.label is None else row.label for row in rows], dtype=np.int64),
        np.array([row.split == "train" and row.label is not None for row in rows], dtype=bool),
        np.array([row.split == "test" for row in rows], dtype=bool),
        np.array(seen, dtype=np.int64),
    )


def _without_amounts(graph: TransferGraph) -> TransferGraph:
    return replace(graph, rows=replace(graph.rows, amount=np.ones_like(graph.rows.amount)))


def _varying(features: Matrix) -> Matrix:
    """Without columns that say the same of everybody."""
    kept = []
    for c, name in enumerate(features.names):
        known = features.values[np.isfinite(features.values[:, c]), c]
        gaps = len(known) < len(features.values)
        if len(known) and (gaps or known.min() < known.max()):
            kept.append(name)
    return features.only(kept)


def is_forward(accounts: Accounts) -> bool:
    """Were all accounts under test first seen after all of the training part?"""
    train, test = accounts.first_seen_s[accounts.is_train], accounts.first_seen_s[accounts.is_test]
    return len(train) > 0 and len(test) > 0 and bool(test.min() >= train.max())


def rounds_of(accounts: Accounts, seed: int) -> list[Round]:
    """How the training part judges itself."""
    train = np.flatnonzero(accounts.is_train)
    if is_forward(accounts):
        ordered = train[np.argsort(accounts.first_seen_s[train], kind="stable")]
        cuts = [round(share * len(ordered)) for share in FORWARD_CUTS]
        return [
            Round(ordered[:a], ordered[a:b], tuple(range(i)))
            for i, (a, b) in enumerate(itertools.pairwise(cuts))
        ]
    fold = folds_of(accounts.labels[train], seed, FOLDS)
    others = [tuple(j for j in range(FOLDS) if j != k) for k in range(FOLDS)]
    return [Round(train[fold != k], train[fold == k], others[k]) for k in range(FOLDS)]


def positions(rounds: Sequence[Round]) -> tuple[Ints, list[slice]]:
    """All held accounts one after another, and where each round's lie."""
    held = np.concatenate([r.held for r in rounds])
    ends = np.cumsum([len(r.held) for r in rounds])
    return held, [slice(int(e) - len(r.held), int(e)) for e, r in zip(ends, rounds, strict=True)]


def finite(values: Floats) -> Floats:
    """For models that know no NaN."""
    out: Floats = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return out
