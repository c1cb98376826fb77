"""Rapid pass-through: an account that keeps nothing; what comes in is gone within the hour.

    a ──500──► WALLET ──500──► x      10 minutes later
    b ──700──► WALLET ──700──► y      20 minutes later

Passing on to a service is what an exchange's deposit addresses do, and no pattern.
"""

import numpy as np

from compliance_graph.kernels import compiled
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
    by, window_s = account.sent_to, rule.at("window_s")
    columns = (sent.worth, sent.time_s, by.places, by.kinds)
    left, reach = _left_within(received.time_s, *columns, SERVICE, window_s)
    # What left in the window, but no more than came, payment by payment and in all.
    passed = float(np.minimum(received.worth, left).sum())
    share_ppm = round(PPM * min(passed, reach, total) / total)
    quick = np.flatnonzero(left >= rule.at("payment_ppm") / PPM * received.worth)
    if share_ppm < rule.at("least_ppm") or len(quick) < rule.at("least_payments"):
        return ()
    came = [(int(received.peers[i]), account.node) for i in quick[-2:]]
    own = (by.kinds != SERVICE)[by.places]
    went = [(account.node, int(p)) for p in np.unique(sent.peers[own][-2:])]
    minutes = window_s // 60
    detail = f"{share_ppm / PPM:.0%} of what came in left again within {minutes} minutes"
    steps = account.view.steps(*dict.fromkeys([*came, *went]))
    return (Finding("pattern.pass_through", rule.severity, detail, share_ppm, steps),)


@compiled
def _left_within(came_s, worth, time_s, places, kinds, without, window_s):  # type: ignore[no-untyped-def]
    """For each payment that came, how much went within the window after it, to others than one
    kind; and how much went between the first payment's coming and the last window's end."""
    gone = np.zeros(len(worth) + 1)
    times = np.empty(len(worth), dtype=np.int64)
    n = 0
    for row in range(len(worth)):
        if kinds[places[row]] != without:
            times[n] = time_s[row]
            gone[n + 1] = gone[n] + worth[row]
            n += 1
    left = np.empty(len(came_s))
    begin, end, first = 0, 0, 0
    for i in range(len(came_s)):
        while begin < n and times[begin] < came_s[i]:
            begin += 1
        while end < n and times[end] <= came_s[i] + window_s:
            end += 1
        if i == 0:
            first = begin
        left[i] = gone[end] - gone[begin]
    return left, gone[end] - gone[first]
