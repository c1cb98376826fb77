"""From facts to a verdict: who is blocked, reviewed and cleared, and that it can be made again."""

import json
from dataclasses import replace

import pytest

from compliance_graph.assessment import (
    INCOMPLETE,
    INDEXER,
    STALE,
    UNKNOWN,
    Facts,
    ModelAnswer,
    assess,
)
from compliance_graph.policy import PolicyError, complete_policy, parse_policy, read_policy
from compliance_graph.rules.findings import Finding, Step
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.screening import Outcome, Reason, Unscored
from tests.compliance_graph.town import POLICY

USD = Asset("USD", 2)
CALM = ModelAnswer(10_000, None, "m1")
FACTS = Facts(TenantId("ten_1"), Money(99_900, USD), Outcome.CLEAR, (), {"ofac": "1"}, answer=CALM)


def finding(code: str, severity: str, share_ppm: int = 500_000) -> Finding:
    step = Step("0xa", "0xb", 12_345, 1, 1_600_000_000, 1_600_000_000)
    return Finding(code, severity, "half of it", share_ppm, (step,))


def outcome(**changes):
    verdict = assess(replace(FACTS, **changes), POLICY)
    return verdict.outcome, [reason.code for reason in verdict.reasons]


def test_a_veto_list_blocks_whatever_else_is_known():
    """Nothing else is said beside a veto."""
    found = {"findings": (finding("exposure.mixer.in", "review"),)}
    listed = {"listed": Outcome.BLOCK, "list_reasons": (Reason("list.ofac", "names it"),)}
    assert outcome(**listed, **found) == (Outcome.BLOCK, ["list.ofac"])


def test_neither_the_model_nor_a_rule_ever_blocks():
    """The worst of both is a review."""
    worst = ModelAnswer(1_000_000, None, "m1", review=True)
    found = (finding("exposure.sanctioned.in", "review"),)
    assert outcome(answer=worst) == (Outcome.REVIEW, ["model.score"])
    assert outcome(answer=worst, findings=found) == (
        Outcome.REVIEW,
        ["exposure.sanctioned.in", "model.score"],
    )


def test_one_note_is_no_review_but_three_are():
    """Many small oddities together are looked at."""
    notes = tuple(finding(f"pattern.{i}", "note") for i in range(3))
    assert outcome(findings=notes[:2]) == (Outcome.CLEAR, [])
    assert outcome(findings=notes)[0] is Outcome.REVIEW
    assert outcome(findings=notes[:1] * 3) == (Outcome.CLEAR, [])


def test_an_officers_allow_list_spares_rules_and_model():
    """Cleared with a reason is allowed."""
    listed = {"list_reasons": (Reason("list.own_allow", "allows"),)}
    assert outcome(**listed, answer=ModelAnswer(999_999, None, "m", review=True)) == (
        Outcome.CLEAR,
        ["list.own_allow"],
    )


def test_no_allow_list_outweighs_an_exposure_to_sanctioned_wallets():
    """Whatever the amount; other exposures are spared."""
    listed = {"list_reasons": (Reason("list.own_allow", "allows"),)}
    found = finding("exposure.sanctioned.in", "review"), finding("exposure.mixer.in", "review")
    assert outcome(**listed, findings=found) == (
        Outcome.REVIEW,
        ["list.own_allow", "exposure.sanctioned.in"],
    )
    assert outcome(**listed, findings=found[1:]) == (Outcome.CLEAR, ["list.own_allow"])
    assert outcome(**listed, findings=(finding("exposure.sanctioned.in", "note"),)) == (
        Outcome.CLEAR,
        ["list.own_allow"],
    )


def test_an_allow_list_that_does_not_spare_stands_among_the_reasons():
    """As if nobody had allowed the wallet: doubts and silences count."""
    listed = {"list_reasons": (Reason("list.own_allow", "allows"),), "allowance_spares": False}
    doubt = {"answer": ModelAnswer(999_999, None, "m", review=True)}
    assert outcome(**listed) == (Outcome.CLEAR, ["list.own_allow"])
    assert outcome(**listed, **doubt) == (Outcome.REVIEW, ["list.own_allow", "model.score"])
    silent = {"abstained": UNKNOWN, "amount": Money(100_001, USD)}
    assert outcome(**listed, **silent) == (Outcome.REVIEW, ["list.own_allow", "abstained.unknown"])
    verdict = assess(replace(FACTS, **listed, **doubt), POLICY)
    stored = json.loads(json.dumps(dict(verdict.evidence)))
    assert assess(Facts.from_json(stored, {}), POLICY).digest == verdict.digest


@pytest.mark.parametrize(
    ("changes", "risk_ppm"),
    [
        ({"findings": (finding("exposure.mixer.in", "review", 1_000_000),)}, 1_000_000),
        ({"findings": (finding("exposure.mixer.in", "review", 60_000),)}, 60_000),
        ({"findings": (finding("exposure.mixer.in", "review", 5_000),)}, 20_000),
        ({"findings": (finding("pattern.x", "review", 0),)}, 500_000),
        ({"findings": tuple(finding(f"pattern.{i}", "note", 900_000) for i in "abc")}, 500_000),
        ({"listed": Outcome.REVIEW, "list_reasons": (Reason("list.x", "asks"),)}, 500_000),
        ({"abstained": UNKNOWN, "amount": None, "answer": None}, 500_000),
        ({"answer": ModelAnswer(930_000, None, "m1", review=True)}, 930_000),
    ],
)
def test_a_calm_score_ranks_no_grave_finding_below_a_silence(changes, risk_ppm):
    """The queue goes by the greatest of score, shares, and a half for whatever else asked."""
    assert assess(FACTS, POLICY).risk_ppm is None  # cleared: nobody waits
    facts = replace(FACTS, **{"answer": ModelAnswer(20_000, None, "m1"), **changes})
    verdict = assess(facts, POLICY)
    assert (verdict.outcome, verdict.risk_ppm) == (Outcome.REVIEW, risk_ppm)


@pytest.mark.parametrize(
    ("silence", "code"),
    [
        ({"abstained": UNKNOWN}, "abstained.unknown"),
        ({"abstained": STALE}, "abstained.stale"),
        ({"abstained": INCOMPLETE}, "abstained.incomplete"),
        ({"abstained": INDEXER}, "abstained.indexer"),
        ({"answer": ModelAnswer(None, "two transfers", "m1")}, "abstained.model"),
        ({"answer": None}, "abstained.no_model"),
    ],
)
def test_an_abstention_clears_up_to_the_limit_and_asks_above(silence, code):
    """A fresh wallet is the normal customer; an unknown currency or amount is none."""
    assert outcome(**silence) == (Outcome.CLEAR, [code])
    for amount in (Money(100_001, USD), Money(1, Asset("JPY", 0)), None):
        assert outcome(**silence, amount=amount) == (Outcome.REVIEW, [code])


ABOVE = Money(100_001, USD)


@pytest.mark.parametrize("passing", [STALE, INCOMPLETE, INDEXER])
def test_a_silence_that_passes_is_waited_for_though_the_order_was_counted(passing):
    """It goes away by itself, and is looked at again; within the limit it never counted."""
    silent = {"abstained": passing, "counted": True}
    assert outcome(**silent, amount=ABOVE) == (Outcome.REVIEW, [f"abstained.{passing}"])
    assert outcome(**silent) == (Outcome.CLEAR, [f"abstained.{passing}"])


@pytest.mark.parametrize(
    "doubt",
    [
        {"answer": ModelAnswer(999_999, None, "m1", review=True)},
        {"findings": (finding("exposure.sanctioned.in", "review"),)},
        {"listed": Outcome.REVIEW, "list_reasons": (Reason("list.watched", "asks"),)},
        {"listed": Outcome.BLOCK, "list_reasons": (Reason("list.ofac", "names it"),)},
    ],
)
def test_a_doubt_counts_though_the_order_was_counted(doubt):
    """Beside a silence, too: only the silence itself was answered for."""
    for silent in ({}, {"abstained": UNKNOWN}):
        expected = outcome(**doubt, **silent)
        assert expected[0] is not Outcome.CLEAR
        assert outcome(**doubt, **silent, counted=True) == expected


@pytest.mark.parametrize(
    ("silence", "code"),
    [
        ({"abstained": UNKNOWN}, "abstained.unknown"),
        ({"answer": ModelAnswer(None, "two transfers", "m1")}, "abstained.model"),
        ({"answer": None}, "abstained.no_model"),
    ],
)
def test_a_silence_about_the_wallet_itself_is_not_asked_about_twice(silence, code):
    """Whatever is paid: the order answered for it before its money was taken."""
    assert outcome(**silence, amount=ABOVE) == (Outcome.REVIEW, [code])
    for amount in (ABOVE, Money(1, Asset("JPY", 0)), None):
        assert outcome(**silence, amount=amount, counted=True) == (Outcome.CLEAR, [code])


def test_a_counted_verdict_replays_and_one_from_before_comes_out_as_it_was():
    """The evidence says that it was counted, and says nothing where it was not."""
    facts = replace(FACTS, abstained=UNKNOWN, amount=ABOVE)
    outcomes = {False: Outcome.REVIEW, True: Outcome.CLEAR}
    for counted, expected in outcomes.items():
        verdict = assess(replace(facts, counted=counted), POLICY)
        stored = json.loads(json.dumps(dict(verdict.evidence)))
        again = assess(Facts.from_json(stored, {}), POLICY)
        assert (again.outcome, again.digest) == (expected, verdict.digest)
        assert stored.get("counted", "nothing") == (True if counted else "nothing")


@pytest.mark.parametrize(
    ("unscored", "codes"),
    [
        (Unscored(200_101, 0), ["unscored.customer"]),
        (Unscored(0, 200_101), ["unscored.wallet"]),
        (Unscored(200_101, 200_101), ["unscored.customer", "unscored.wallet"]),
        (Unscored(200_100, 200_100), []),
    ],
)
def test_small_orders_to_fresh_wallets_add_up(unscored, codes):
    """Else a sum is cut until no piece is looked at; what is scored is not asked about it."""
    silent = {"abstained": UNKNOWN, "unscored": unscored}
    expected = Outcome.REVIEW if codes else Outcome.CLEAR
    assert outcome(**silent) == (expected, ["abstained.unknown", *codes])
    assert outcome(unscored=unscored) == (Outcome.CLEAR, [])
    verdict = assess(replace(FACTS, **silent), POLICY)
    stored = json.loads(json.dumps(dict(verdict.evidence)))
    assert assess(Facts.from_json(stored, {}), POLICY).digest == verdict.digest


def test_a_policy_to_judge_by_has_a_window_and_an_older_one_replays_without():
    """What was cleared before there was a window is cleared again; nothing new is judged so."""
    content = read_policy()
    older = b"\n".join(row for row in content.splitlines() if b"_window" not in row)
    with pytest.raises(PolicyError, match="clear_in_window"):
        complete_policy(older)
    facts = replace(FACTS, abstained=UNKNOWN, unscored=Unscored(10**9, 10**9))
    assert assess(facts, parse_policy(older)).outcome is Outcome.CLEAR
    assert assess(facts, complete_policy(content)).outcome is Outcome.REVIEW


def test_a_tenant_may_have_limits_of_its_own():
    """The policy names them."""
    policy = replace(POLICY, tenants={TenantId("ten_1"): {"USD": 5}})
    facts = replace(FACTS, abstained=UNKNOWN)
    assert assess(facts, policy).outcome is Outcome.REVIEW
    assert assess(replace(facts, tenant_id=TenantId("ten_2")), policy).outcome is Outcome.CLEAR


@pytest.mark.parametrize("currency", ["USD", "CHF"])
def test_a_tenants_own_limit_is_not_undone_by_the_window_of_all(currency):
    """Above it, or in a currency that it does not name: one such order passes, no second."""
    policy = replace(POLICY, tenants={TenantId("ten_1"): {currency: 5_000}})
    amount = Money(500_000, Asset(currency, 2))
    facts = replace(FACTS, abstained=UNKNOWN, amount=amount, unscored=Unscored(0, 0))
    assert assess(facts, policy).outcome is Outcome.CLEAR
    after_another = replace(facts, unscored=Unscored(1, 0))
    reasons = assess(after_another, policy).reasons
    assert [r.code for r in reasons] == ["abstained.unknown", "unscored.customer"]


def test_a_verdict_is_made_again_from_what_was_stored_bit_for_bit():
    """Evidence and coverage through JSON and back: the same digest."""
    facts = replace(
        FACTS,
        findings=(finding("exposure.mixer.in", "review"), finding("pattern.fan_in", "note")),
        versions={"labels:x": "ab"},
        explanation={"log_odds": -0.0, "parts": ({"value": 2.0}, {"value": 0.125})},
        coverage={"sources": [{"source": "chain:local", "last_block": 7}]},
    )
    verdict = assess(facts, POLICY)
    stored = json.loads(json.dumps({"e": dict(verdict.evidence), "c": dict(verdict.coverage)}))
    again = assess(Facts.from_json(stored["e"], stored["c"]), POLICY)
    assert again.digest == verdict.digest
    assert "allowance_spares" not in verdict.evidence  # verdicts from before it come out as before
    assert verdict.versions == {
        "ofac": "1",
        "labels:x": "ab",
        "policy": POLICY.version,
        "model": "m1",
    }
