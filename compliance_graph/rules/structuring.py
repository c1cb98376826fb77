"""Structuring: a sum cut into payments that stay just below a limit at which somebody asks.

9,900 ─┐
9,800 ─┼─► WALLET        four payments in a week, all within a tenth below 10,000
9,950 ─┤
9,700 ─┘
"""

import numpy as np

from compliance_graph.kernels import compiled
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
    low = limit * (1 - rule.at("margin_ppm") / PPM)
    rows, count, near = _densest(
        payments.worth, payments.time_s, low, float(limit), rule.at("window_s")
    )
    share_ppm = round(PPM * count / near) if count else 0
    if len(rows) < rule.at("least_count") or share_ppm < rule.at("least_ppm"):
        return rows[:0], 0
    return rows, share_ppm


@compiled
def _densest(worth, time_s, low, limit, window_s):  # type: ignore[no-untyped-def]
    """Rows of the window with the most payments from ``low`` to below ``limit`` (the first of
    equals), how many there are at any time, and how many as far above the limit as well."""
    below = np.empty(len(worth), dtype=np.int64)
    count, near, first, best_from, best_to = 0, 0, 0, 0, 0
    for row in range(len(worth)):
        if not low <= worth[row] < 2 * limit - low:
            continue
        near += 1
        if worth[row] < limit:
            below[count] = row
            count += 1
            while time_s[below[first]] < time_s[row] - window_s:
                first += 1
            if count - first > best_to - best_from:
                best_from, best_to = first, count
    return below[best_from:best_to], count, near


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
