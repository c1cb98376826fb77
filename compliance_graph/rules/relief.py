"""What would change an exposure: the payments without which no rule would ask for a review.

    MIXER ──600──► wallet ◄──400── shop      without the payments from MIXER: 0%, below 10%

Told to the officer beside the path, whoever else asked. Taken out are all payments with a peer, the
weightiest peer first, one more each time.
"""

from typing import Any

import numpy as np

from compliance_graph.graph import Floats, Ints
from compliance_graph.labels import NOBODY
from compliance_graph.policy import Category
from compliance_graph.rules.findings import PPM, Finding, View

PEERS_MAX = 6


def reliefs(view: View, node: int, findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """For each exposure that asks for a review: ``without`` whom which ``share_ppm`` is left of
    the rest, and whether that ``is_enough``. JSON's own types."""
    categories = {category.name: category for category in view.policy.categories}
    found = []
    for finding in findings:
        family, _, rest = finding.code.partition(".")
        name, _, way = rest.rpartition(".")
        if finding.severity == "review" and family == "exposure" and name in categories:
            found.append(_relief(view, node, finding, categories[name], way == "out"))
    return found


def _relief(
    view: View, node: int, finding: Finding, category: Category, outgoing: bool
) -> dict[str, Any]:
    shares, total = view.exposures.of(node, outgoing)
    peers, sums = _by_peer(view, node, outgoing)
    bad = sums * _shares(view, peers, category.number, outgoing)
    if bad.sum() > 0:
        # A peer's share is of one hop more than its part in the account's: all parts are one sum.
        bad *= float(shares[category.number - 1]) * total / bad.sum()
    least_ppm = category.out_ppm if outgoing else category.in_ppm
    order = np.lexsort((peers, -bad))[:PEERS_MAX]
    order = order[bad[order] > 0]
    gone, left_ppm, enough = 0, finding.share_ppm, False
    while gone < len(order) and not enough:
        gone += 1
        rest = total - float(sums[order[:gone]].sum())
        worth = max(0.0, float(bad.sum() - bad[order[:gone]].sum()))
        left_ppm = min(PPM, round(PPM * worth / rest)) if rest > 0 else 0
        enough = left_ppm < least_ppm or worth < view.policy.least_worth
    return {
        "code": finding.code,
        "without": [view.book.name(int(peer)) for peer in peers[order[:gone]]],
        "share_ppm": left_ppm,
        "least_ppm": least_ppm,
        "is_enough": enough,
    }


def _by_peer(view: View, node: int, outgoing: bool) -> tuple[Ints, Floats]:
    """Whom the account paid, or who paid it, and how much each: as exposures count."""
    rows = view.graph.sent(node) if outgoing else view.graph.received(node)
    ends = rows.dst if outgoing else rows.src
    kept = (ends != node) & (rows.amount > 0)
    peers, places = np.unique(ends[kept], return_inverse=True)
    sums = np.bincount(places, rows.amount[kept], len(peers)).astype(np.float64)
    return peers.astype(np.int64), sums


def _shares(view: View, peers: Ints, kind: int, outgoing: bool) -> Floats:
    tables = view.exposures
    kinds, shares = tables.kinds_of(peers), tables.sides[outgoing].shares
    found = (kinds == kind).astype(np.float64)
    unknown = (kinds == NOBODY) & (peers < len(shares))
    found[unknown] = shares[peers[unknown], kind - 1]
    late = tables.late_shares(peers, kind, outgoing)
    return np.where(np.isnan(late), found, late) if len(late) else found
