"""Cycles: value that comes back to where it started, by few accounts: wash trading.

         ┌──10──► b ──10──┐
    WALLET                WALLET       20 of 20 sent came back, in two rounds
         └──10──► c ──10──┘

A service in the round breaks it: who pays an exchange and is paid by it goes round with nobody.
"""

from collections.abc import Iterator

import networkx
import numpy as np

from compliance_graph.labels import SERVICE
from compliance_graph.policy import Rule
from compliance_graph.rules.findings import PPM, Account, ByPeer, Finding, Payments, View
from compliance_graph.rules.peers import heaviest


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding."""
    rule = account.view.policy.rules["cycles"]
    sent, received = account.sent, account.received
    if not len(sent) or not len(received) or sent.worth.sum() < rule.at("least_worth"):
        return ()
    view, most, depth = account.view, rule.at("peers_max"), rule.at("length_max")
    firsts = _heaviest(account.sent_to, sent, most)
    lasts = _heaviest(account.received_by, received, most)
    if not _may_suffice(view, rule, float(sent.worth.sum()), firsts, lasts):
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


def _may_suffice(
    view: View, rule: Rule, sent: float, firsts: dict[int, float], lasts: dict[int, float]
) -> bool:
    """Cheaply and before any graph is drawn: could the least share have come back? No more can
    than went to peers from whom a way leads back, nor than came from those to whom one leads."""
    least = (rule.at("least_ppm") - 1) * sent / PPM  # one less: sums are floats
    far, near = (np.fromiter(side, dtype=np.int64) for side in (firsts, lasts))
    ways = ((firsts, lasts, near, far, False), (lasts, firsts, far, near, True))
    for peers, others, begins, ends, outgoing in ways:
        if sum(peers.values()) < least or not others:
            return False
        reached = view.exposures.met(begins, ends, outgoing, view.policy.dust, rule.at("rows_max"))
        if sum(peers[node] for node in ends[reached].tolist()) < least:
            return False
    return True


def _heaviest(by: ByPeer, payments: Payments, most: int) -> dict[int, float]:
    """Worth by peer, services aside."""
    peers, worth = heaviest(by.peers, by.places, payments.worth, by.kinds, SERVICE, most)
    return dict(zip(peers.tolist(), worth.tolist(), strict=True))


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
            onwards = view.payments(peer, True, rows_max)
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
        before = view.payments(peer, False, rows_max)
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
    rings = list(_rings(graph, [node], depth))

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


def _rings(graph: networkx.DiGraph, path: list[int], depth: int) -> Iterator[list[int]]:
    """Those through the path's first account alone: all others would be many, and are nothing."""
    for peer in graph.successors(path[-1]):
        if peer == path[0]:
            yield path
        elif peer not in path and len(path) < depth:
            yield from _rings(graph, [*path, peer], depth)
