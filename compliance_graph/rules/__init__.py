"""Rules: what an officer should know about a wallet, by name, threshold and evidence.

One file per family; each has ``find(account) -> tuple[Finding, ...]``. They note or ask for a
review; none of them blocks. Their cost is bounded: whatever a hub does, at most the latest
``transfers_max`` payments in each direction are looked at, and networkx is given only what a cheap
look found possible.
"""

from compliance_graph.rules import (
    cycles,
    dormancy,
    exposure,
    fan,
    pass_through,
    peel_chain,
    structuring,
)
from compliance_graph.rules.findings import Account, Finding, Step, View

FAMILIES = (exposure, cycles, structuring, peel_chain, fan, pass_through, dormancy)


def evaluate(view: View, node: int) -> tuple[Finding, ...]:
    """All findings about the account, reviews first. A service's own patterns are none."""
    if view.is_service(node):
        return ()
    account = Account(view, node)
    found = [finding for family in FAMILIES for finding in family.find(account)]
    return tuple(sorted(found, key=lambda f: (f.severity != "review", -f.share_ppm, f.code)))


__all__ = ["FAMILIES", "Account", "Finding", "Step", "View", "evaluate"]
