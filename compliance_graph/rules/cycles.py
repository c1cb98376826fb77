"""Cycles: value that comes back to where it started, by few accounts: wash trading.

         ┌──10──► b ──10──┐
    WALLET                WALLET       20 of 20 sent came back, in two rounds
         └──10──► c ──10──┘

A service in the round breaks it: who pays an exchange and is paid by it goes round with nobody.
"""

import networkx
import numpy as np

from compliance_graph.labels import SERVICE
from compliance_graph.rules.findings import PPM, Account, Finding, Payments, View


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding."""
    rule = account.view.policy.rules["cycles"]
    sent, received = account.sent, account.received
    if not len(sent) or not len(received) or sent.worth.sum() < rule.at("least_worth"):
        return ()
    view, most, depth = account.view, rule.at("peers_max"), rule.at("length_max")
    firsts, lasts = _heaviest(view, sent, most), _heaviest(view, received, most)
    far, near = (np.fromiter(side, dtype=np.int64) for side in (firsts, lasts))
    if not view.exposures.may_return(far, near, rule.at("rows_max")):
        return ()
    graph = _around(view, account.node, firsts, lasts, depth, rule.at("rows_max"))
    if graph is None:
        return ()
    rounds, back = _rounds(graph, account.node, depth)
    share_ppm = min(PPM, round(PPM * back / float(sent.worth.sum())))
    if len(rounds) < rule.at("least_rounds") or share_ppm < rule.at("least_ppm"):
        return ()
    pairs = [pair for ring in rounds[:3] for pair in zip(ring, [*ring[1:], ring[0]], strict=True)]
    detail = f"{share_ppm / PPM:.0%} of what was sent came back, in {len(rounds)} rounds"
    steps = view.steps(*pairs)
    return (Finding("pattern.cycles", rule.severity, detail, share_ppm, steps),)


def _heaviest(view: View, payments: Payments, most: int) -> dict[int, float]:
    """Worth by peer, services aside."""
    peers, places = np.unique(payments.peers, return_inverse=True)
    worth = np.bincount(places, weights=payments.worth)
    worth[view.exposures.kinds_of(peers) == SERVICE] = 0
    order = np.argsort(-worth, kind="stable")[:most]
    return {int(peers[i]): float(worth[i]) for i in order if worth[i]}


def _around(
    view: View,
    node: int,
    firsts: dict[int, float],
    lasts: dict[int, float],
    depth: int,
    rows_max: int,
) -> networkx.DiGraph | None:
    """The accounts through which value may have come back; ``None`` when it cannot have."""
    graph = networkx.DiGraph()
    reached = set(firsts) & set(lasts)
    if depth > 2:
        for peer in firsts:
            onwards = view.payments(peer, True)
            ends, amounts = onwards.peers[-rows_max:], onwards.worth[-rows_max:]
            for end, worth in zip(ends.tolist(), amounts.tolist(), strict=True):
                if end in lasts and end != peer:
                    reached.add(peer)
                    _add(graph, peer, end, worth)
                elif depth > 3 and end not in (node, peer) and len(firsts) * len(ends) <= 1024:
                    _add(graph, peer, end, worth)
        _last_hop(view, graph, node, lasts, rows_max)
    if not reached and not graph:
        return None
    for peer, worth in firsts.items():
        _add(graph, node, peer, worth)
    for peer, worth in lasts.items():
        _add(graph, peer, node, worth)
    return graph


def _last_hop(
    view: View, graph: networkx.DiGraph, node: int, lasts: dict[int, float], rows_max: int
) -> None:
    """From accounts two steps out to those who pay the account: rounds of four."""
    for peer in lasts:
        before = view.payments(peer, False)
        ends, amounts = before.peers[-rows_max:], before.worth[-rows_max:]
        for end, worth in zip(ends.tolist(), amounts.tolist(), strict=True):
            if end in graph and end not in (node, peer) and not graph.has_edge(end, peer):
                _add(graph, end, peer, worth)


def _add(graph: networkx.DiGraph, src: int, dst: int, worth: float) -> None:
    before = graph[src][dst]["worth"] if graph.has_edge(src, dst) else 0.0
    graph.add_edge(src, dst, worth=before + worth)


def _rounds(graph: networkx.DiGraph, node: int, depth: int) -> tuple[list[list[int]], float]:
    """Rounds through the account, the heaviest first, and how much came back in them: what each
    carries is taken off its payments before the next one is counted."""
    part = graph.subgraph(
        networkx.node_connected_component(graph.to_undirected(as_view=True), node)
    )
    rings = [
        [*ring[ring.index(node) :], *ring[: ring.index(node)]]
        for ring in networkx.simple_cycles(part, length_bound=depth)
        if node in ring
    ]

    def carries(ring: list[int]) -> float:
        pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
        return float(min(left[pair] for pair in pairs))

    left = {(a, b): worth for a, b, worth in graph.edges(data="worth")}
    rings.sort(key=lambda ring: (-carries(ring), len(ring), ring))
    rounds, back = [], 0.0
    for ring in rings:
        worth = carries(ring)
        if worth > 0:
            rounds.append(ring)
            back += worth
            for pair in zip(ring, [*ring[1:], ring[0]], strict=True):
                left[pair] -= worth
    return rounds, back
