"""The fan-out sampler: bounded, repeatable, and at home in every shape of graph."""

import numpy as np
import pytest

from compliance_graph.pairs import PairIndex
from compliance_graph.sampler import FAN_OUT, INCOMING, OUTGOING, Ego, sample
from tests.compliance_graph.made import START_S, hub_graph, nasty_graph, random_graph, shifted


def ego_of(graph, node):
    return sample(PairIndex.of(graph.pairs()), node)


def test_an_account_without_transfers_is_an_ego_of_one():
    """Nothing around it, and still something that the network can be asked about."""
    ego = ego_of(nasty_graph(), 3)
    assert ego.centres.tolist() == [3]
    assert [len(hop.peers) for hop in ego.hops] == [0, 0]


def test_a_hub_costs_no_more_than_the_fan_out():
    """Twenty thousand neighbours, and as many rows as the fan-out allows."""
    ego = ego_of(hub_graph(20_000), 0)
    assert len(ego.hops[0].peers) == FAN_OUT[0] + 1
    assert len(ego.hops[1].peers) <= (FAN_OUT[0] + 1) * 2 * FAN_OUT[1]


def test_dust_cannot_push_old_payments_out():
    """The thinning spreads over the whole history: first and last payments always stay."""
    sent = ego_of(hub_graph(5000), 0).hops[0]
    peers = sent.peers[sent.way == OUTGOING]
    assert peers[0] == 1
    assert peers[-1] == 5000
    assert np.diff(peers).max() < 2 * 5000 / FAN_OUT[0]


def test_directions_are_told_apart():
    """Who pays and who is paid is the first thing a swindler cannot hide."""
    hop = ego_of(nasty_graph(), 2).hops[0]
    assert hop.peers[hop.way == INCOMING].tolist() == [1]
    assert hop.peers[hop.way == OUTGOING].tolist() == [0]


@pytest.mark.parametrize("node", range(4))
def test_loops_duplicates_and_cycles_end(node):
    """Two hops are two hops, though the way leads back."""
    ego = ego_of(nasty_graph(), node)
    assert all(np.isfinite(hop.attributes).all() for hop in ego.hops)


def test_samples_are_repeatable_and_know_no_date():
    """The same ego today and after every clock has moved."""
    graph = random_graph(30, 600)
    for node in range(30):
        one, other = ego_of(graph, node), ego_of(shifted(graph, START_S // 3), node)
        for a, b in zip(one.hops, other.hops, strict=True):
            assert a.peers.tolist() == b.peers.tolist()
            np.testing.assert_array_equal(a.attributes, b.attributes)


def test_egos_side_by_side_stay_apart():
    """Joined for one pass, every row still points to its own account's node."""
    graph = random_graph(30, 600)
    egos = [ego_of(graph, node) for node in range(5)]
    joined = Ego.join(egos)
    sizes = [len(e.hops[0].peers) for e in egos]
    assert joined.centres.tolist() == list(range(5))
    assert np.bincount(joined.hops[0].near, minlength=5).tolist() == sizes
    starts = np.cumsum([0, *sizes])
    for i, ego in enumerate(egos):
        own = (joined.hops[1].near >= starts[i]) & (joined.hops[1].near < starts[i + 1])
        assert joined.hops[1].peers[own].tolist() == ego.hops[1].peers.tolist()
