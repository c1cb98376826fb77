"""The index of pairs, kept up from blocks, is the one that would be built from scratch."""

import numpy as np
import pytest

from compliance_graph.features import describe
from compliance_graph.graph import GrowingGraph, TransferGraph, Transfers
from compliance_graph.pairs import PairIndex
from compliance_graph.sampler import placed
from tests.compliance_graph.made import random_graph


def same(index: PairIndex, graph: TransferGraph) -> None:
    """Rows, numbers, features and neighbourhoods of every node."""
    fresh = PairIndex.of(graph.pairs())
    for node in range(graph.n_nodes):
        for mine, theirs in (
            (index.incoming.rows(node), fresh.incoming.rows(node)),
            (index.outgoing.rows(node), fresh.outgoing.rows(node)),
        ):
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)
        np.testing.assert_allclose(index.values[node], fresh.values[node], rtol=1e-6)
        mine, theirs = describe(index, node), describe(fresh, node)
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
        assert placed(index, node).peers[1].tolist() == placed(fresh, node).peers[1].tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_reorganisations_and_new_accounts_leave_the_same_index(seed):
    """Grown, rewound and grown another way, late rows and repeats included: as if built anew."""
    rng = np.random.default_rng(seed)
    rows = random_graph(40, 500, seed).rows
    rows = rows.take(rng.permutation(len(rows)))
    early = rows.take((rows.src < 30) & (rows.dst < 30))
    growing = GrowingGraph(TransferGraph.build(early.take(slice(0, 100)), 30))
    index = PairIndex.of(growing.base.pairs())
    marks = []
    for start in range(100, 400, 60):
        marks.append(growing.mark)
        growing.append(rows.take(slice(start, start + 60)))
        index.follow(growing)
        same(index, growing.merged())
        if start == 220:
            growing.rewind(marks[-2])
            growing.append(rows.take(slice(430, 470)))
            index.follow(growing)
            same(index, growing.merged())


def test_equal_times_settle_the_same_way_whichever_came_first():
    """The transfers of one block have one time: their order in the index is by account."""
    rows = [(0, peer, 1.0, 1, 1000) for peer in (3, 1, 2)]
    growing = GrowingGraph(TransferGraph.build(Transfers.of(()), 4))
    index = PairIndex.of(growing.base.pairs())
    for row in rows:
        growing.append(Transfers.of([row]))
        index.follow(growing)
    assert index.outgoing.rows(0)[0].tolist() == [1, 2, 3]
    same(index, growing.merged())


def test_single_transfers_and_pairs_make_one_index():
    """Many payments of one second, to oneself too: merged while indexing, or sorted before."""
    drawn = random_graph(12, 600, seed=3).rows
    crowded = Transfers(drawn.src, drawn.dst, drawn.amount, drawn.count, drawn.time_s % 7)
    graph = TransferGraph.build(crowded, 13)
    merged, fresh = PairIndex.of(graph), graph.pairs()
    assert merged.outgoing.used == len(fresh.rows) < len(graph.rows)
    for node in range(13):
        for side, rows, peers in (
            (merged.outgoing.rows(node), fresh.sent(node), fresh.sent(node).dst),
            (merged.incoming.rows(node), fresh.received(node), fresh.received(node).src),
        ):
            assert side[0].tolist() == peers.tolist()
            assert side[1].tolist() == rows.count.tolist()
            assert side[3].tolist() == rows.time_s.tolist()
            np.testing.assert_allclose(side[2], rows.amount, rtol=1e-12)
