"""What an evaluation rests on, without the extra ``train``: who is held out, what is compared, and
trees that learn from each account's first days."""

import os
from pathlib import Path

import numpy as np
import pytest

from compliance_graph.asof import as_of_report, contemporary_auc, cut
from compliance_graph.matching import same_accounts
from compliance_graph.metrics import auc, best_threshold, judged
from compliance_graph.problem import is_forward, read_source, rounds_of
from tests.compliance_graph.made import START_S, nasty_graph, shifted, write_market


def test_trees_that_know_the_first_days_alone_are_judged_on_accounts_held_out(tmp_path):
    """Learned and judged from scratch, as many seeds as were asked for."""
    write_market(tmp_path, accounts=48)
    source = read_source(tmp_path / "edges.csv", tmp_path / "labels.csv", amounts=True)
    report = as_of_report(source, 60, 2)
    assert (report["days"], report["seeds"], report["accounts"]) == (60, 2, 36)
    assert report["evaluated_on"] == "held-out training"
    assert report["auc_mean"] > 0.9


def test_equal_scores_are_worth_half_and_no_limit_parts_them():
    """Figures worked out by hand: two pairs of equal scores, one of them of both kinds."""
    labels, scores = np.array([1, 1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.8, 0.3, 0.2, 0.2])
    found = judged(labels, scores, scores > 0.5)
    assert found["auc"] == auc(labels, scores) == pytest.approx((3 + 2.5 + 2) / 9)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert found["recall_at_1pct_fpr"] == pytest.approx(1 / 3)
    assert found["false_positive_rate"] == pytest.approx(1 / 3)
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_held_out_accounts_are_never_fitted_on(tmp_path):
    """Every round's held accounts are absent from its fit, and every training account is held."""
    write_market(tmp_path)
    accounts = read_source(tmp_path / "edges.csv", tmp_path / "labels.csv", amounts=True).accounts
    assert not is_forward(accounts)
    rounds = rounds_of(accounts, seed=0)
    assert all(not set(r.fit) & set(r.held) for r in rounds)
    held = np.concatenate([r.held for r in rounds])
    assert sorted(held) == np.flatnonzero(accounts.is_train).tolist()
    assert all(i not in r.prior for i, r in enumerate(rounds))


def test_a_cut_graph_knows_nothing_later():
    """As of a moment: no later transfer, each earlier one once."""
    graph = nasty_graph()
    small, centre = cut(graph, 0, START_S + 20)
    assert small.rows.time_s.max() == START_S + 20
    assert len(small.sent(centre)) == 3
    assert len(small.rows) == 4


def test_contemporaries_alone_are_compared():
    """A score that is nothing but age is worth nothing among accounts of one month."""
    day = 86_400
    first = np.array([0, 10 * day, 400 * day, 410 * day])
    labels = np.array([0, 1, 0, 1])
    assert contemporary_auc(labels, np.array([0.1, 0.2, 0.8, 0.9]), first) == 1.0
    assert contemporary_auc(labels, np.array([0.5, 0.5, 0.5, 0.5]), first) == 0.5
    assert np.isnan(contemporary_auc(labels[:2], first[:2] * 0.0, np.array([0, 90 * day])))


def test_the_same_account_is_recognised_under_another_number():
    """Amount and time name a transfer, whatever its accounts are called."""
    graph = nasty_graph()
    rows = graph.rows
    turned = type(rows)(3 - rows.src, 3 - rows.dst, rows.amount, rows.count, rows.time_s)
    found = same_accounts(graph, type(graph).build(turned, 4))
    assert {0: 3, 1: 2, 2: 1}.items() <= found.items()
    assert same_accounts(graph, shifted(graph, 5)) == {}


def test_the_threshold_is_where_f1_peaks():
    """Between the lowest score flagged and the next one, with perfect scores right between."""
    labels = np.array([0] * 50 + [1] * 50)
    scores = np.concatenate((np.linspace(0, 0.4, 50), np.linspace(0.6, 1, 50)))
    limit = best_threshold(labels, scores)
    assert 0.35 < limit < 0.65
    assert judged(labels, scores, scores > limit)["f1"] > 0.95


def test_shared_sources_overlap_as_known():
    """The two public sources share 330 labelled accounts."""
    folder = os.environ.get("TIDEGATE_DATA")
    if not folder:
        pytest.skip("TIDEGATE_DATA names no folder with the shared wallets")
    from compliance_graph.tables import read_labels, read_transfers

    wallets = Path(folder) / "wallets"
    one = read_transfers(wallets / "tedge_edges.csv.gz")
    other = read_transfers(wallets / "tsgn_transfers.csv.gz")
    found = same_accounts(one.graph, other.graph)
    here = [one.names.number(r.node) for r in read_labels(wallets / "tedge_labels.csv")]
    there = {other.names.number(r.node) for r in read_labels(wallets / "tsgn_labels.csv")}
    assert sum(found.get(node) in there for node in here) == 330
