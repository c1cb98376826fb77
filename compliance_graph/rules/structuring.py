"""Structuring: a sum cut into payments that stay just below a limit at which somebody asks.

9,900 ─┐
9,800 ─┼─► WALLET        four payments in a week, all within a tenth below 10,000
9,950 ─┤
9,700 ─┘
"""

import numpy as np

from compliance_graph.policy import Rule
from compliance_graph.rules.findings import PPM, Account, Finding, Payments, View


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding per direction: of the limit with the most payments below it."""
    rule = account.view.policy.rules["structuring"]
    found = []
    for way, outgoing in (("in", False), ("out", True)):
        payments = account.sent if outgoing else account.received
        if len(payments) < rule.at("least_count"):
            continue
        best: tuple[int, float, int, np.ndarray] | None = None
        for limit in rule.at("limits"):
            rows, share_ppm = _below(payments, limit, rule)
            if len(rows) and (best is None or len(rows) > best[0]):
                best = len(rows), limit, share_ppm, rows
        if best is not None:
            found.append(_finding(account.view, account.node, payments, way, best, rule))
    return tuple(found)


def _below(payments: Payments, limit: float, rule: Rule) -> tuple[np.ndarray, int]:
    """Rows of the densest window just below the limit, and their share of those near it."""
    none = np.zeros(0, dtype=np.int64)
    low = limit * (1 - rule.at("margin_ppm") / PPM)
    near = (payments.worth >= low) & (payments.worth < 2 * limit - low)
    below = np.flatnonzero(near & (payments.worth < limit))
    if len(below) < rule.at("least_count"):
        return none, 0
    share_ppm = round(PPM * len(below) / int(near.sum()))
    times = payments.time_s[below]
    first = np.searchsorted(times, times - rule.at("window_s"))
    counts = np.arange(1, len(times) + 1) - first
    at = int(np.argmax(counts))
    if counts[at] < rule.at("least_count") or share_ppm < rule.at("least_ppm"):
        return none, 0
    return below[first[at] : at + 1], share_ppm


def _finding(
    view: View,
    node: int,
    payments: Payments,
    way: str,
    best: tuple[int, float, int, np.ndarray],
    rule: Rule,
) -> Finding:
    count, limit, share_ppm, rows = best
    peers = list(dict.fromkeys(payments.peers[rows].tolist()))[:5]
    pairs = [(node, peer) if way == "out" else (peer, node) for peer in peers]
    days = rule.at("window_s") // 86_400
    detail = f"{count} payments {way} within {days} days, each just below a worth of {limit:.0f}"
    code = f"pattern.structuring.{way}"
    return Finding(code, rule.severity, detail, share_ppm, view.steps(*pairs))
