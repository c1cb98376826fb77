"""Features: what must not move a score does not, and no shape of graph breaks them."""

import numpy as np
import pytest

from compliance_graph.features import (
    PEERS_MAX,
    FeatureGraph,
    Matrix,
    grid_of,
    matrix,
    ranks_within,
    selected,
)
from tests.compliance_graph.made import hub_graph, nasty_graph, random_graph, scaled, shifted


def same(one: Matrix, other: Matrix) -> None:
    assert one.names == other.names
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6, atol=1e-6, equal_nan=True)


def named(source: FeatureGraph, node: int) -> dict[str, float]:
    found = matrix(source, [node])
    return dict(zip(found.names, found.values[0].tolist(), strict=True))


@pytest.mark.parametrize("seconds", [86_400 * 365, -86_400 * 900 - 12_345, 1])
def test_no_feature_knows_the_date(seconds):
    """All times moved by one constant, no feature moves: age of the data set is no evidence."""
    graph = random_graph(40, 600)
    nodes = range(40)
    before = matrix(FeatureGraph.of(graph), nodes)
    same(before, matrix(FeatureGraph.of(shifted(graph, seconds)), nodes))


def test_scale_free_features_know_no_currency():
    """All amounts multiplied, only the absolute amounts move."""
    graph = random_graph(40, 600)
    plain, rich = (matrix(FeatureGraph.of(g), range(40)) for g in (graph, scaled(graph, 1024.0)))
    free = selected(plain.names, scale_free=True)
    kept = [n for n in free if not n.startswith(("peer", "hop2")) or ".amt." not in n]
    same(plain.only(kept), rich.only(kept))
    moved = [n for n in plain.names if ".amt." in n and n.endswith("sum")]
    assert moved
    assert not np.allclose(plain.only(moved).values, rich.only(moved).values, equal_nan=True)


def test_without_amounts_no_feature_needs_one():
    """Every amount replaced by one: what is left says the same."""
    graph = random_graph(40, 600)
    plain = matrix(FeatureGraph.of(graph), range(40))
    kept = selected(plain.names, amounts=False)
    rng = np.random.default_rng(1)
    other = random_graph(40, 600)
    other.rows.amount[:] = rng.lognormal(size=600)
    same(plain.only(kept), matrix(FeatureGraph.of(other), range(40)).only(kept))


def test_an_account_without_history_has_no_opinion_of_itself():
    """An empty account, a self-loop, zeros and duplicates: numbers or NaN, never an error."""
    source = FeatureGraph.of(nasty_graph())
    for node in range(4):
        assert not np.isinf(matrix(source, [node]).values).any()
    assert named(source, 3)["own.shape.in"] == 0.0
    assert named(source, 0)["motif.shape.self"] == 1.0
    assert named(source, 1)["motif.shape.self"] == 0.0


def test_the_order_of_rows_in_a_file_changes_nothing():
    """Only content counts; equal times are the exception that no order can settle."""
    graph = random_graph(30, 300)
    distinct = graph.rows.take(np.unique(graph.rows.time_s, return_index=True)[1])
    one = type(graph).build(distinct, 30)
    other = type(graph).build(distinct.take(np.arange(len(distinct))[::-1]), 30)
    same(matrix(FeatureGraph.of(one), range(30)), matrix(FeatureGraph.of(other), range(30)))


def test_a_hub_is_described_from_a_bounded_sample():
    """Twice the neighbours, the same amount of reading: the peers' statistics stay steady."""
    found = [named(FeatureGraph.of(hub_graph(n)), 0) for n in (PEERS_MAX * 4, PEERS_MAX * 8)]
    for f in found:
        assert f["peer.out.shape.leaf"] == pytest.approx(1.0, abs=0.01)
    assert found[1]["own.shape.out"] > found[0]["own.shape.out"]


def test_an_account_is_taken_out_of_its_neighbours_sums():
    """Two hops away means somebody else: a pair that knows only each other sees nobody there."""
    graph = hub_graph(1)
    for name, value in named(FeatureGraph.of(graph), 0).items():
        assert np.isnan(value) or not (name.startswith("hop2.out_in") and name.endswith(".mean"))


def test_ranks_compare_within_a_source():
    """The middle of any source is one half, whatever its unit; unknown stays unknown."""
    values = np.array([[1.0], [5.0], [9.0], [np.nan]])
    for unit in (1.0, 1e6):
        got = ranks_within(values * unit, grid_of(values * unit))[:, 0]
        assert got[1] == pytest.approx(0.5, abs=0.01)
        assert np.isnan(got[3])
