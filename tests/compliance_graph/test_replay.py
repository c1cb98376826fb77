"""A verdict follows from its evidence alone, or the replay says that it does not."""

import json
from pathlib import Path

import pytest

from compliance_graph.assessment import Facts, assess
from compliance_graph.policy import load_policy
from compliance_graph.replay import replayed
from compliance_graph.screener import ListScreener
from settlement.errors import InvalidInput
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.screening import worst

WALLET, PARTY = "0x" + "1" * 40, "0x" + "2" * 40
POLICY = load_policy()


def stored(verdict: Verdict) -> Verdict:
    """As it comes back from the database: through JSON."""
    coverage, evidence = json.loads(json.dumps([verdict.coverage, verdict.evidence]))
    return Verdict(
        verdict.outcome,
        verdict.reasons,
        verdict.versions,
        verdict.score_ppm,
        coverage,
        evidence,
    )


def test_a_verdict_without_evidence_cannot_be_replayed() -> None:
    """It was recorded before evidence was kept."""
    with pytest.raises(InvalidInput):
        replayed(Verdict(Outcome.CLEAR, (), {}), WALLET, lambda _: POLICY)


async def test_a_verdict_of_the_lists_is_made_again_bit_for_bit(tmp_path: Path) -> None:
    """Even after the list has changed; evidence that was touched leads elsewhere."""
    path = tmp_path / "ofac.csv"
    path.write_text(f"asset,address,action\nETH,{WALLET},review\n")
    screener = ListScreener([path])
    verdict = stored(await screener.screen(Subject(TenantId("t"), "local", WALLET)))
    path.write_text("asset,address\n")
    assert verdict.outcome is Outcome.REVIEW
    assert replayed(verdict, WALLET, lambda _: POLICY).digest == verdict.digest
    touched = {**verdict.evidence, "listings": []}
    other = Verdict(verdict.outcome, verdict.reasons, verdict.versions, evidence=touched)
    assert replayed(other, WALLET, lambda _: POLICY).digest != other.digest


def test_a_verdict_over_several_addresses_is_made_again_from_each() -> None:
    """Rules, limits and the worst of all of them."""

    def facts(listed: Outcome, abstained: str | None) -> Facts:
        amount = Money(100_000_000, Asset("USD", 2))
        reasons = (Reason("list.x", "named"),) if listed is Outcome.REVIEW else ()
        return Facts(
            TenantId("t"),
            amount,
            listed,
            reasons,
            {"x": "1"},
            abstained=abstained,
            coverage={"sources": [["local", 7]]},
        )

    both = {
        WALLET: assess(facts(Outcome.CLEAR, "unknown"), POLICY),
        PARTY: assess(facts(Outcome.REVIEW, None), POLICY),
    }
    verdict = stored(worst(WALLET, both))
    assert verdict.outcome is Outcome.REVIEW
    assert replayed(verdict, WALLET, lambda _: POLICY).digest == verdict.digest
