"""What is known of the accounts around: labels spread over shared counterparties, cross-fitted.

Swindlers cash out through the same deposit addresses and are funded by the same hands, so the
labels of accounts two steps away are evidence. It is honest only if no account ever sees its own
label, not even by way of a neighbour: a training account's columns are computed from the labels
of the *other* folds, and an account under test from the training labels alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from compliance_graph.features import Matrix
from compliance_graph.graph import Floats, Ints, TransferGraph

FOLDS = 10
SPREADS = ("direct", "payers", "payees", "mixed", "walk2", "walk4", "walk8")
NAMES = tuple(
    f"label.{way}.{kind}" for way in SPREADS for kind in ("risk", "weight", "licit", "illicit")
)
HUB_POWERS = 0.75
WALK_STEPS = (2, 4, 8)
PRIOR_WEIGHT = 0.02


@dataclass(frozen=True, slots=True)
class Spreader:
    """Sparse operators that carry a vector of seeds to all nodes; built once for a graph."""

    n_nodes: int
    paid_by: sparse.csr_matrix
    pays: sparse.csr_matrix
    ties: sparse.csr_matrix
    walk: sparse.csr_matrix
    damped: Floats

    @staticmethod
    def of(pairs: TransferGraph) -> "Spreader":
        rows, n = pairs.rows, pairs.n_nodes
        apart = rows.src != rows.dst
        src, dst = rows.src[apart], rows.dst[apart]
        pays = sparse.csr_matrix((np.ones(len(src)), (src, dst)), shape=(n, n))
        paid_by = pays.T.tocsr()
        ties = (pays + paid_by).sign().tocsr()
        degree = np.maximum(np.asarray(ties.sum(axis=1)).ravel(), 1.0)
        walk = (sparse.diags(1.0 / degree) @ ties).tocsr()
        return Spreader(n, paid_by, pays, ties, walk, degree**-HUB_POWERS)

    def columns(self, seedings: Sequence[tuple[Ints, Ints, Ints]]) -> list[Floats]:
        """For each ``(seeds, labels, nodes)`` the columns (len(nodes), len(NAMES)) of the nodes.

        None of the nodes may be among the seeds beside them. All seedings go in one sweep, since
        reading the graph costs more than the arithmetic.
        """
        marks = np.zeros((self.n_nodes, 2 * len(seedings)))
        for k, (seeds, labels, _) in enumerate(seedings):
            marks[seeds, 2 * k + labels] = 1.0
        back = self.damped[:, None]
        tied = self.ties @ marks
        carried = [
            tied,
            self.paid_by @ (back * (self.pays @ marks)),
            self.pays @ (back * (self.paid_by @ marks)),
            self.ties @ (back * tied),
        ]
        state = marks
        for step in range(1, WALK_STEPS[-1] + 1):
            state = 0.15 * marks + 0.85 * (self.walk @ state)
            if step in WALK_STEPS:
                carried.append(state)
        return [
            np.hstack([_readings(m[nodes, 2 * k : 2 * k + 2]) for m in carried])
            for k, (_, _, nodes) in enumerate(seedings)
        ]


def _readings(marks: Floats) -> Floats:
    licit, illicit = marks[:, 0], marks[:, 1]
    total = licit + illicit
    floor = PRIOR_WEIGHT * max(float(total.max(initial=0.0)), 1e-12)
    risk = np.where(total > 0, (illicit + 0.5 * floor) / (total + floor), np.nan)
    return np.stack(
        (risk, np.log1p(1e3 * total), np.log1p(1e3 * licit), np.log1p(1e3 * illicit)), 1
    )


def folds_of(labels: Ints, seed: int, folds: int = FOLDS) -> Ints:
    """A fold number for each account, both labels spread evenly."""
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        at = rng.permutation(np.flatnonzero(labels == label))
        fold[at] = (np.arange(len(at)) + rng.integers(folds)) % folds
    return fold


def cross_fitted(
    spreader: Spreader, train: Ints, labels: Ints, others: Sequence[Ints], seed: int
) -> tuple[Matrix, list[Matrix]]:
    """Columns for the training accounts (each from the other folds) and for the others."""
    fold = folds_of(labels, seed)
    parts = [fold == k for k in np.unique(fold)]
    seedings = [(train[~out], labels[~out], train[out]) for out in parts]
    seedings += [(train, labels, nodes) for nodes in others]
    found = spreader.columns(seedings)
    values: npt.NDArray[np.float64] = np.full((len(train), len(NAMES)), np.nan)
    for out, columns in zip(parts, found, strict=False):
        values[out] = columns
    return Matrix(NAMES, values), [Matrix(NAMES, columns) for columns in found[len(parts) :]]
