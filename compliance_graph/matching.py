"""Which accounts of two data sets are the same one: transfers match by amount and time.

Public data sets renumber the same chain, each in its own way. An account that occurs in both would
be learned by heart on one side and recognised on the other, so transfers between sources are
judged without it.
"""

from collections import Counter, defaultdict

from compliance_graph.graph import TransferGraph

DIGITS = 6


def same_accounts(first: TransferGraph, second: TransferGraph) -> dict[int, int]:
    """Node of ``first`` to node of ``second``: the pairing most of their transfers agree on."""
    places: dict[tuple[int, float], list[tuple[int, int]]] = defaultdict(list)
    for key, ends in _single(second):
        places[key].append(ends)
    votes: Counter[tuple[int, int]] = Counter()
    for key, (src, dst) in _single(first):
        for other_src, other_dst in places.get(key, ()):
            votes[src, other_src] += 1
            votes[dst, other_dst] += 1
    found: dict[int, int] = {}
    for (node, other), _ in votes.most_common():
        found.setdefault(node, other)
    return found


def _single(graph: TransferGraph) -> list[tuple[tuple[int, float], tuple[int, int]]]:
    """Transfers that stand alone in their row: time and amount, then both ends."""
    rows = graph.rows.take((graph.rows.count == 1) & (graph.rows.amount > 0))
    amounts = [round(a, DIGITS) for a in rows.amount.tolist()]
    keys = zip(rows.time_s.tolist(), amounts, strict=True)
    ends = zip(rows.src.tolist(), rows.dst.tolist(), strict=True)
    return list(zip(keys, ends, strict=True))
