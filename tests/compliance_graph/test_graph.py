"""The transfer graph: what goes in comes out, in order, whatever its shape."""

import time

import numpy as np
import pytest

from compliance_graph.graph import GrowingGraph, Names, TransferGraph, Transfers
from compliance_graph.tables import read_labels, read_transfers
from tests.compliance_graph.made import NASTY, START_S, hub_graph, nasty_graph, random_graph


def as_sets(rows):
    return sorted(
        zip(*(getattr(rows, c).tolist() for c in ("src", "dst", "amount", "time_s")), strict=True)
    )


def test_refuses_negative_nodes():
    """A negative number would silently index from the end."""
    with pytest.raises(ValueError, match="node numbers"):
        TransferGraph.build(Transfers.of([(0, -1, 1.0, 1, START_S)]))
    with pytest.raises(ValueError, match="negative"):
        GrowingGraph(nasty_graph()).append(Transfers.of([(-1, 0, 1.0, 1, START_S)]))


def test_refuses_more_nodes_than_announced():
    """A graph that is too small for its rows would lose transfers."""
    with pytest.raises(ValueError, match="node numbers"):
        TransferGraph.build(Transfers.of([(0, 9, 1.0, 1, START_S)]), 5)


def test_refuses_torn_files(tmp_path):
    """A column that was cut short must not be read as a smaller graph."""
    nasty_graph().save(tmp_path)
    np.save(tmp_path / "amount.npy", np.zeros(2))
    with pytest.raises(ValueError, match="torn"):
        TransferGraph.load(tmp_path)


def test_refuses_tables_without_their_columns(tmp_path):
    """A wrong file is named, not read as something else."""
    path = tmp_path / "edges.csv"
    path.write_text("from,to,value_eth,timestamp\n1,2,1.0,5\n")
    with pytest.raises(ValueError, match="columns"):
        read_transfers(path)
    path.write_text("src,dst,value_eth,timestamp\n1,2,-1.0,5\n")
    with pytest.raises(ValueError, match="below zero"):
        read_transfers(path)
    path.write_text("node,label,split\n1,thief,train\n")
    with pytest.raises(ValueError, match="unknown label"):
        read_labels(path)
    path.write_text("node,label,split\n1,licit,train\n1,illicit,train\n")
    with pytest.raises(ValueError, match="twice"):
        read_labels(path)


def test_both_directions_hold_every_transfer_in_order_of_time():
    """Self-loops stand on both sides; duplicates and zeros are kept."""
    graph = nasty_graph()
    for node in range(4):
        sent, received = graph.sent(node), graph.received(node)
        assert as_sets(sent) == sorted((s, d, a, t) for s, d, a, _, t in NASTY if s == node)
        assert as_sets(received) == sorted((s, d, a, t) for s, d, a, _, t in NASTY if d == node)
        assert (np.diff(sent.time_s) >= 0).all()
        assert (np.diff(received.time_s) >= 0).all()


def test_pairs_sum_duplicates_and_keep_the_latest_time():
    """Two equal transfers in one second are two transfers."""
    pair = nasty_graph().pairs().sent(0)
    at = pair.dst.tolist().index(1)
    assert (pair.amount[at], pair.count[at], pair.time_s[at]) == (2.0, 2, START_S + 10)
    assert len(pair) == 2


def test_what_is_saved_is_mapped_back_the_same(tmp_path):
    """Mapped columns answer as the ones in memory do."""
    graph = random_graph(50, 500)
    graph.save(tmp_path)
    loaded = TransferGraph.load(tmp_path)
    assert isinstance(loaded.rows.amount, np.memmap)
    for node in range(50):
        assert as_sets(loaded.sent(node)) == as_sets(graph.sent(node))
        assert as_sets(loaded.received(node)) == as_sets(graph.received(node))


def test_an_empty_graph_is_a_graph(tmp_path):
    """The first block of a new deployment finds nothing to read."""
    graph = TransferGraph.build(Transfers.of(()))
    assert graph.n_nodes == 0
    assert len(graph.pairs().rows) == 0
    graph.save(tmp_path)
    assert TransferGraph.load(tmp_path).n_nodes == 0


def test_a_growing_graph_answers_like_one_built_anew():
    """Half the rows in the base, half appended in pieces: no difference can be seen."""
    whole = random_graph(30, 400)
    base = TransferGraph.build(whole.rows.take(slice(0, 200)), 20 + 10)
    growing = GrowingGraph(base)
    for start in range(200, 400, 50):
        growing.append(whole.rows.take(slice(start, start + 50)))
    merged = growing.merged()
    for node in range(30):
        for graph in (growing, merged):
            assert as_sets(graph.sent(node)) == as_sets(whole.sent(node))
            assert as_sets(graph.received(node)) == as_sets(whole.received(node))
        assert (np.diff(growing.received(node).time_s) >= 0).all()


def test_a_rewound_block_leaves_no_trace():
    """After a reorganisation the dropped transfers, and nodes known by them alone, are gone."""
    growing = GrowingGraph(nasty_graph())
    growing.append(Transfers.of([(3, 7, 1.0, 1, START_S + 50)]))
    mark = growing.mark
    growing.append(Transfers.of([(0, 9, 1.0, 1, START_S + 60), (9, 3, 1.0, 1, START_S + 61)]))
    growing.rewind(mark)
    assert growing.n_nodes == 8
    assert len(growing.received(3)) == 0
    assert growing.sent(0).dst.tolist() == nasty_graph().sent(0).dst.tolist()


def test_names_are_numbered_once():
    """An address seen twice is one account."""
    names = Names(["a", "b"])
    assert (names.add("b"), names.add("c"), names.number("c"), names.number("d")) == (1, 2, 2, None)
    with pytest.raises(ValueError, match="twice"):
        Names(["a", "a"])


def test_a_million_transfers_load_in_seconds(tmp_path):
    """Mapping reads no rows; a hub's slice costs no walk over the graph."""
    random_graph(300_000, 1_000_000).save(tmp_path)
    started = time.perf_counter()
    graph = TransferGraph.load(tmp_path)
    assert graph.n_nodes == 300_000
    assert sum(len(graph.sent(node)) for node in range(1000)) > 0
    assert time.perf_counter() - started < 5.0


def test_a_hub_is_one_slice():
    """Both directions of a hub are whole."""
    graph = hub_graph(5000)
    assert len(graph.sent(0)) == 5000
    assert graph.received(0).src.tolist() == [1]
