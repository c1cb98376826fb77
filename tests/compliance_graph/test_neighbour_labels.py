"""Labels of neighbours: evidence for others, never for the account they belong to."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed (extra train)")

from compliance_graph.graph import TransferGraph, Transfers
from compliance_graph.neighbourlabels import NAMES, Spreader, cross_fitted, folds_of
from tests.compliance_graph.made import START_S, random_graph


def setup():
    graph = random_graph(60, 400).pairs()
    rng = np.random.default_rng(3)
    return Spreader.of(graph), np.arange(40), rng.integers(2, size=40)


def test_no_account_sees_its_own_label():
    """Flip one label: the columns of that account stay as they were, in every fold layout."""
    spreader, train, labels = setup()
    fold = folds_of(labels, seed=5)
    for account in (0, 7, 23):
        mates = fold == fold[account]
        before = spreader.columns([(train[~mates], labels[~mates], train[mates])])[0]
        flipped = labels.copy()
        flipped[account] ^= 1
        after = spreader.columns([(train[~mates], flipped[~mates], train[mates])])[0]
        np.testing.assert_array_equal(before, after)


def test_cross_fitting_uses_the_other_folds_alone():
    """Each training account's columns are those computed without its fold."""
    spreader, train, labels = setup()
    known, _ = cross_fitted(spreader, train, labels, [], seed=5)
    fold = folds_of(labels, seed=5)
    for k in np.unique(fold):
        out = fold == k
        expected = spreader.columns([(train[~out], labels[~out], train[out])])[0]
        np.testing.assert_array_equal(known.values[out], expected)


def test_a_shared_payee_carries_a_label_two_steps():
    """Two accounts cash out at one address; the known one makes the other suspect."""
    rows = [(0, 9, 1.0, 1, START_S), (1, 9, 1.0, 1, START_S + 5), (2, 8, 1.0, 1, START_S)]
    spreader = Spreader.of(TransferGraph.build(Transfers.of(rows)))
    found = spreader.columns([(np.array([0]), np.array([1]), np.array([1, 2]))])[0]
    at = NAMES.index("label.payees.risk")
    assert found[0, at] > 0.5
    assert np.isnan(found[1, at])


def test_the_worth_of_a_shared_hub_is_small():
    """An exchange that everybody uses says less than an address that two share."""
    pair = [(0, 9, 1.0, 1, START_S), (1, 9, 1.0, 1, START_S)]
    crowd = [*pair, *((i, 9, 1.0, 1, START_S) for i in range(10, 200))]
    at = NAMES.index("label.payees.weight")
    weights = [
        Spreader.of(TransferGraph.build(Transfers.of(rows))).columns(
            [(np.array([0]), np.array([1]), np.array([1]))]
        )[0][0, at]
        for rows in (pair, crowd)
    ]
    assert weights[1] < weights[0]
