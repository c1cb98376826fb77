"""Fan-in and fan-out: many strangers pay one account within a day, or one account pays many.

a ─┐                     ┌─► x
b ─┼─► WALLET      WALLET┼─► y
c ─┘                     └─► z
"""

import numpy as np

from compliance_graph.policy import Rule
from compliance_graph.rules.findings import PPM, Account, Finding, Payments


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding per direction."""
    rules = account.view.policy.rules
    found = (
        _finding(account, rules["fan_in"], account.received, "senders", outgoing=False),
        _finding(account, rules["fan_out"], account.sent, "receivers", outgoing=True),
    )
    return tuple(finding for finding in found if finding is not None)


def _finding(
    account: Account, rule: Rule, payments: Payments, who: str, outgoing: bool
) -> Finding | None:
    """Each peer counts once, when it first appears."""
    if len(payments) < rule.at("least_peers"):
        return None
    by = account.sent_to if outgoing else account.received_by
    peers, rows = by.peers, by.first
    times = payments.time_s[rows]
    begin = np.searchsorted(times, times - rule.at("window_s"))
    counts = np.arange(1, len(times) + 1) - begin
    at = int(np.argmax(counts)) if len(counts) else 0
    if not len(counts) or counts[at] < rule.at("least_peers"):
        return None
    worth = float(payments.worth[rows[begin[at] : at + 1]].sum())
    if worth < rule.at("least_worth"):
        return None
    fresh = peers[begin[at] : at + 1].tolist()
    share_ppm = round(PPM * len(fresh) / len(peers))
    pairs = [(account.node, p) if outgoing else (p, account.node) for p in fresh[:3]]
    detail = f"{len(fresh)} new {who} within {rule.at('window_s') // 3600} hours"
    steps = account.view.steps(*pairs)
    return Finding(f"pattern.{rule.name}", rule.severity, detail, share_ppm, steps)
