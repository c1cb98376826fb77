"""Make a stored verdict again, from its own evidence alone: no list, graph or chain is asked.

That it ends in the same digest shows that the verdict followed from what it says it did.
"""

from collections.abc import Callable, Mapping
from typing import Any

from compliance_graph.assessment import Facts, assess
from compliance_graph.policy import Policy
from compliance_graph.screener import judged_again
from settlement.errors import InvalidInput
from settlement.ports.screening import Verdict
from settlement.screening import BY_ADDRESS, worst

PolicyOf = Callable[[str], Policy]
"""Version → the policy; raises :class:`~settlement.errors.NotFound` for one that was not kept."""


def replayed(stored: Verdict, wallet: str, policy_of: PolicyOf) -> Verdict:
    """The verdict that the stored evidence leads to.

    ``wallet`` is whom the order pays. Raises :class:`~settlement.errors.InvalidInput` for a
    verdict from before its evidence was kept.
    """
    several = stored.evidence.get(BY_ADDRESS)
    if several is None:
        return _one(stored, stored.evidence, stored.coverage, policy_of)
    coverage = stored.coverage[BY_ADDRESS]
    verdicts = {
        address: _one(stored, evidence, coverage[address], policy_of)
        for address, evidence in several.items()
    }
    return worst(wallet, verdicts)


def _one(
    stored: Verdict, evidence: Mapping[str, Any], coverage: Mapping[str, Any], policy_of: PolicyOf
) -> Verdict:
    if "listings" in evidence:
        return judged_again(evidence, stored.versions, coverage)
    if "findings" not in evidence:
        raise InvalidInput("this screening was recorded without its evidence")
    return assess(Facts.from_json(evidence, coverage), policy_of(stored.versions["policy"]))
