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
from settlement.ports.lists import Action, Entry, Listing, StoredLists
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.screening import worst

WALLET, PARTY = "0x" + "1" * 40, "0x" + "2" * 40
POLICY = load_policy()


class Allowing:
    """An officer of the tenant ``t`` allowed the wallet."""

    async def list_revision(self) -> int:
        return 1

    async def stored_lists(self) -> StoredLists:
        allowance = Listing("own_allow", Action.ALLOW)
        return StoredLists(1, (), (Entry(WALLET, "ETH", allowance, None, None, "t"),))


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
    path.write_text(f"asset,address,action\nETH,{WALLET},review\nETH,{PARTY},block\n")
    screener = ListScreener([path])
    verdict = stored(await screener.screen(Subject(TenantId("t"), "local", WALLET)))
    path.write_text("asset,address\n")
    assert verdict.outcome is Outcome.REVIEW
    assert replayed(verdict, WALLET, lambda _: POLICY).digest == verdict.digest
    touched = {**verdict.evidence, "listings": []}
    other = Verdict(verdict.outcome, verdict.reasons, verdict.versions, evidence=touched)
    assert replayed(other, WALLET, lambda _: POLICY).digest != other.digest


async def test_an_allowance_spares_a_review_up_to_one_officers_limit(tmp_path: Path) -> None:
    """Above it, or for nobody knows how much, it is a reason beside the doubts; both replay."""
    path = tmp_path / "watched.csv"
    path.write_text(f"asset,address,action\nETH,{WALLET},review\nETH,{PARTY},block\n")
    screener = ListScreener([path], Allowing(), allow_up_to={"USD": 100_000})

    async def judged(amount: Money | None) -> tuple[Outcome, list[str]]:
        subject = Subject(TenantId("t"), "local", WALLET, amount=amount)
        verdict = stored(await screener.screen(subject))
        assert replayed(verdict, WALLET, lambda _: POLICY).digest == verdict.digest
        return verdict.outcome, [reason.code for reason in verdict.reasons]

    reviewed = (Outcome.REVIEW, ["list.own_allow", "list.watched"])
    usd = Asset("USD", 2)
    assert await judged(Money(100_000, usd)) == (Outcome.CLEAR, ["list.own_allow"])
    assert await judged(Money(100_001, usd)) == reviewed
    assert await judged(Money(1, Asset("JPY", 0))) == reviewed
    assert await judged(None) == reviewed


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
