"""Make a stored verdict again, from its own evidence: no list, graph or chain is asked, and the
model only what it was asked then.

That it ends in the same digest shows that the verdict followed from what it says it did.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from compliance_graph.assessment import Facts, ModelAnswer, assess
from compliance_graph.policy import Policy
from compliance_graph.screener import judged_again
from settlement.errors import InvalidInput
from settlement.ports.screening import Verdict
from settlement.screening import BY_ADDRESS, worst

PolicyOf = Callable[[str], Policy]
"""Version → the policy; raises :class:`~settlement.errors.NotFound` for one that was not kept."""

Ask = Callable[[ModelAnswer], ModelAnswer]
"""A stored answer → what the model says to the same question now; see
:class:`compliance_graph.rescoring.Rescorer`."""


def replayed(
    stored: Verdict, wallet: str, policy_of: PolicyOf, ask: Ask = lambda answer: answer
) -> Verdict:
    """The verdict that the stored evidence leads to.

    ``wallet`` is whom the order pays. Without ``ask`` the model's answer is taken as it stands;
    with it, a model that answers otherwise makes another digest. Raises
    :class:`~settlement.errors.InvalidInput` for a verdict from before its evidence was kept.
    """
    several = stored.evidence.get(BY_ADDRESS)
    if several is None:
        return _one(stored, stored.evidence, stored.coverage, policy_of, ask)
    coverage = stored.coverage[BY_ADDRESS]
    verdicts = {
        address: _one(stored, evidence, coverage[address], policy_of, ask)
        for address, evidence in several.items()
    }
    return worst(wallet, verdicts)


def models_of(stored: Verdict) -> frozenset[str]:
    """The versions of the models that answered."""
    parts = stored.evidence.get(BY_ADDRESS, {"": stored.evidence}).values()
    answers = [part.get("answer") for part in parts]
    return frozenset(answer["version"] for answer in answers if answer is not None)


def _one(
    stored: Verdict,
    evidence: Mapping[str, Any],
    coverage: Mapping[str, Any],
    policy_of: PolicyOf,
    ask: Ask,
) -> Verdict:
    if "listings" in evidence:
        return judged_again(evidence, stored.versions, coverage)
    if "findings" not in evidence:
        raise InvalidInput("this screening was recorded without its evidence")
    facts = Facts.from_json(evidence, coverage)
    if facts.answer is not None:
        facts = replace(facts, answer=ask(facts.answer))
    return assess(facts, policy_of(stored.versions["policy"]))
