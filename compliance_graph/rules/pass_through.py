"""Rapid pass-through: an account that keeps nothing; what comes in is gone within the hour.

    a ──500──► WALLET ──500──► x      10 minutes later
    b ──700──► WALLET ──700──► y      20 minutes later

Passing on to a service is what an exchange's deposit addresses do, and no pattern.
"""

import numpy as np

from compliance_graph.labels import SERVICE
from compliance_graph.rules.findings import PPM, Account, Finding


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding."""
    rule = account.view.policy.rules["pass_through"]
    received, sent = account.received, account.sent
    if len(received) < rule.at("least_payments") or not len(sent):
        return ()
    total = float(received.worth.sum())
    if total < rule.at("least_worth"):
        return ()
    own = (account.sent_to.kinds != SERVICE)[account.sent_to.places]
    if not own.any():
        return ()
    times = sent.time_s[own]
    gone = np.concatenate([[0.0], np.cumsum(sent.worth[own])])
    begin = np.searchsorted(times, received.time_s)
    end = np.searchsorted(times, received.time_s + rule.at("window_s"), side="right")
    left = gone[end] - gone[begin]
    # What left in the window, but no more than came, payment by payment and in all.
    passed = float(np.minimum(received.worth, left).sum())
    reach = float(gone[np.maximum.accumulate(end)[-1]] - gone[begin[0]])
    share_ppm = round(PPM * min(passed, reach, total) / total)
    quick = np.flatnonzero(left >= 0.5 * received.worth)
    if share_ppm < rule.at("least_ppm") or len(quick) < rule.at("least_payments"):
        return ()
    came = [(int(received.peers[i]), account.node) for i in quick[-2:]]
    went = [(account.node, int(p)) for p in np.unique(sent.peers[own][-2:])]
    minutes = rule.at("window_s") // 60
    detail = f"{share_ppm / PPM:.0%} of what came in left again within {minutes} minutes"
    steps = account.view.steps(*dict.fromkeys([*came, *went]))
    return (Finding("pattern.pass_through", rule.severity, detail, share_ppm, steps),)
