"""Peel chain: a sum that wanders through fresh accounts, each keeping a slice and passing the rest.

1000 ──► a ──900──► b ──800──► c ──700──► WALLET
         └─100      └─100      └─100
"""

from itertools import pairwise

import numpy as np

from compliance_graph.policy import Rule
from compliance_graph.rules.findings import PPM, Account, Finding, View


def find(account: Account) -> tuple[Finding, ...]:
    """At most one finding: the chain that ends at the account, runs through it or begins there."""
    view = account.view
    rule = view.policy.rules["peel_chain"]
    before = _back(view, account.node, rule)
    after = _onwards(view, account.node, rule)
    chain = [*reversed(before), account.node, *after]
    if len(chain) - 1 < rule.at("least_steps"):
        return ()
    pairs = list(pairwise(chain))
    steps = view.steps(*pairs)
    kept_ppm = round(PPM * steps[-1].worth_cents / max(1, steps[0].worth_cents))
    detail = f"a sum went through {len(pairs)} accounts in a row, each of which kept a slice of it"
    return (Finding("pattern.peel_chain", rule.severity, detail, min(PPM, kept_ppm), steps),)


def _onwards(view: View, node: int, rule: Rule) -> list[int]:
    """The accounts after ``node``, as long as each peels."""
    chain: list[int] = []
    while len(chain) < rule.at("steps_max"):
        heir = _heir(view, node, rule)
        if heir is None or heir in chain:
            break
        chain.append(heir)
        node = heir
    return chain


def _back(view: View, node: int, rule: Rule) -> list[int]:
    """The accounts before ``node``, as long as each peels towards the one after it."""
    chain: list[int] = []
    while len(chain) < rule.at("steps_max"):
        received = view.payments(node, False, rule.at("sends_max") + 1)
        if not len(received) or len(received) > rule.at("sends_max"):
            break
        donor = int(received.peers[np.argmax(received.worth)])
        if donor in chain or _heir(view, donor, rule) != node:
            break
        chain.append(donor)
        node = donor
    return chain


def _heir(view: View, node: int, rule: Rule) -> int | None:
    """Who got most of what this account passed on; ``None`` when it did not peel."""
    if view.is_service(node):
        return None
    few = rule.at("sends_max")  # one more tells that there are too many
    sent = view.payments(node, True, few + 1)
    if not 2 <= len(sent) <= few:
        return None
    received = view.payments(node, False, few + 1)
    if not 1 <= len(received) <= len(sent):
        return None
    total, at = float(sent.worth.sum()), int(np.argmax(sent.worth))
    part_ppm = PPM * float(sent.worth[at]) / max(total, float(received.worth.sum()))
    took_s = int(sent.time_s[at] - received.time_s.min())
    peels = rule.at("kept_ppm") <= part_ppm <= rule.at("passed_ppm")
    if not peels or total < rule.at("least_worth") or not 0 <= took_s <= rule.at("window_s"):
        return None
    return int(sent.peers[at])
