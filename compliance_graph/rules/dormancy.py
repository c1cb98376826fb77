"""Dormancy, then a burst: an old account that sleeps for months and suddenly moves a lot.

2019 ●●              200 days of silence              ●●●●●●●●●●●● within a week
"""

import numpy as np

from compliance_graph.kernels import compiled
from compliance_graph.rules.findings import PPM, Account, Finding


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding: about the latest such awakening."""
    rule = account.view.policy.rules["dormant_burst"]
    received, sent = account.received, account.sent
    count = len(received) + len(sent)
    if count <= rule.at("least_count"):
        return ()
    if not _slept(received.time_s, sent.time_s, rule.at("dormant_s")):
        return ()
    times = np.concatenate([received.time_s, sent.time_s])
    order = np.argsort(times, kind="stable")
    times = times[order]
    slept = np.flatnonzero(np.diff(times) >= rule.at("dormant_s"))
    woke = slept + 1
    until = np.searchsorted(times, times[woke] + rule.at("burst_s"), side="right")
    worth = np.concatenate([received.worth, sent.worth])[order]
    sums = np.concatenate([[0.0], np.cumsum(worth)])
    burst = (until - woke >= rule.at("least_count")) & (
        sums[until] - sums[woke] >= rule.at("least_worth")
    )
    if not burst.any():
        return ()
    at = int(np.flatnonzero(burst)[-1])
    days = int(times[woke[at]] - times[slept[at]]) // 86_400
    moved = int(until[at] - woke[at])
    share_ppm = round(PPM * float(sums[until[at]] - sums[woke[at]]) / float(sums[-1]))
    rows = order[woke[at] : until[at]][:5].tolist()
    pairs = [
        (int(received.peers[i]), account.node)
        if i < len(received)
        else (account.node, int(sent.peers[i - len(received)]))
        for i in rows
    ]
    detail = f"{moved} transfers within a week after {days} days without any"
    steps = account.view.steps(*dict.fromkeys(pairs))
    return (Finding("pattern.dormant_burst", rule.severity, detail, share_ppm, steps),)


@compiled
def _slept(first, second, dormant_s):  # type: ignore[no-untyped-def]
    """Is there so long a silence between payments of both directions together?"""
    i, j = 0, 0
    before = min(first[0] if len(first) else second[0], second[0] if len(second) else first[0])
    while i < len(first) or j < len(second):
        if j == len(second) or (i < len(first) and first[i] <= second[j]):
            now = first[i]
            i += 1
        else:
            now = second[j]
            j += 1
        if now - before >= dormant_s:
            return True
        before = now
    return False
