"""Fan-in and fan-out: many strangers pay one account within a day, or one account pays many.

a ─┐                     ┌─► x
b ─┼─► WALLET      WALLET┼─► y
c ─┘                     └─► z
"""

from compliance_graph.kernels import compiled
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
    begin, end = _densest(payments.time_s, rows, rule.at("window_s"))
    if end - begin < rule.at("least_peers"):
        return None
    worth = float(payments.worth[rows[begin:end]].sum())
    if worth < rule.at("least_worth"):
        return None
    fresh = peers[begin:end].tolist()
    share_ppm = round(PPM * len(fresh) / len(peers))
    pairs = [(account.node, p) if outgoing else (p, account.node) for p in fresh[:3]]
    detail = f"{len(fresh)} new {who} within {rule.at('window_s') // 3600} hours"
    steps = account.view.steps(*pairs)
    return Finding(f"pattern.{rule.name}", rule.severity, detail, share_ppm, steps)


@compiled
def _densest(time_s, rows, window_s):  # type: ignore[no-untyped-def]
    """From where to where among ``rows`` the window with the most of them lies, the first of
    equals."""
    first, begin, end = 0, 0, 0
    for at in range(len(rows)):
        while time_s[rows[first]] < time_s[rows[at]] - window_s:
            first += 1
        if at + 1 - first > end - begin:
            begin, end = first, at + 1
    return begin, end
