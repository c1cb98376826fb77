"""What officers approved in an order's case holds none of its escrow's payments up again."""

from dataclasses import replace

import pytest

from settlement.escrow import Action, ActionStatus, Hold, Release
from settlement.escrowing.act import act, plan
from settlement.ports.chain import ContractCall
from settlement.ports.screening import Outcome, Reason, Verdict
from settlement.schedule import Policy
from settlement.screening import reasons_about, spared, worst
from tests.support.escrows import NOON, PAYEE, PAYER, an_escrow, seen

PURSE = "0x" + "9" * 40
SCORE, FRESH = Reason("model.score", "illicit with 61%"), Reason("abstained.unknown", "not seen")
TAINTED = Reason("exposure.sanctioned.in", "half of it")


def verdict(outcome: Outcome, *reasons: Reason) -> Verdict:
    return Verdict(outcome, reasons, {"policy": "1"}, evidence={"made": "from this"})


def review(*reasons: Reason) -> Verdict:
    return verdict(Outcome.REVIEW, *reasons)


def of_case(**verdicts: Verdict) -> tuple[Reason, ...]:
    """The reasons of an order's screening, as an officer was shown them."""
    addresses = {"payee": PAYEE, "payer": PAYER, "purse": PURSE}
    return worst(PURSE, {addresses[who]: found for who, found in verdicts.items()}).reasons


APPROVED = of_case(payee=review(SCORE, FRESH), payer=review(FRESH))


@pytest.mark.parametrize(
    ("approved", "judged"),
    [
        ((), review(SCORE)),
        (APPROVED, review(TAINTED)),
        (APPROVED, review(SCORE, TAINTED)),
        (APPROVED, review()),
        (APPROVED, verdict(Outcome.BLOCK, SCORE)),
        (of_case(payer=review(SCORE)), review(SCORE)),
        (of_case(purse=review(SCORE)), review(SCORE)),
        (of_case(purse=review(SCORE), payee=verdict(Outcome.CLEAR, SCORE)), review(SCORE)),
    ],
    ids=["no-case", "new", "one-new", "no-reason", "veto", "payers", "purses", "of-a-clearance"],
)
def test_what_nobody_approved_about_this_address_is_not_spared(
    approved: tuple[Reason, ...], judged: Verdict
) -> None:
    """A new doubt beside a known one, a veto, a doubt about somebody else, a word about nobody."""
    assert spared({PAYEE: judged}, approved)[PAYEE].outcome is judged.outcome


@pytest.mark.parametrize("judged", [review(SCORE), review(FRESH), review(FRESH, SCORE)])
def test_what_officers_approved_about_this_address_is_spared(judged: Verdict) -> None:
    """By its code: the numbers in the sentence are other ones by now."""
    moved = replace(judged, reasons=tuple(replace(r, detail="else") for r in judged.reasons))
    assert spared({PAYEE: moved}, APPROVED)[PAYEE].outcome is Outcome.CLEAR


def test_each_address_is_spared_its_own() -> None:
    """The payer was approved unknown, and not by its score."""
    found = spared({PAYEE: review(SCORE), PAYER: review(SCORE)}, APPROVED)
    assert [found[one].outcome for one in (PAYEE, PAYER)] == [Outcome.CLEAR, Outcome.REVIEW]


def test_reasons_about_an_address_come_back_as_they_were_judged() -> None:
    """Whatever was written about several into one screening; of a purse nothing comes back."""
    written = of_case(payee=review(SCORE, FRESH), payer=review(FRESH), purse=review(TAINTED))
    assert reasons_about(PAYEE, written) == (SCORE, FRESH)
    assert reasons_about(PAYER, written) == (FRESH,)
    assert reasons_about(PURSE, written) == ()
    assert reasons_about(PAYEE[:-1], written) == ()


@pytest.mark.parametrize(
    ("judged", "held"),
    [
        (review(SCORE), None),
        (review(SCORE, TAINTED), (Hold.REVIEW, "exposure.sanctioned.in: half of it")),
        (verdict(Outcome.BLOCK, SCORE), (Hold.SANCTIONS, "model.score: illicit with 61%")),
    ],
)
def test_a_release_is_held_for_what_is_new_and_says_so(
    judged: Verdict, held: tuple[Hold, str] | None
) -> None:
    """The reason shown is the one that nobody has approved."""
    escrow = an_escrow()
    release = Release(40, "0x" + "e1" * 32, "0xsig")
    escrow = replace(escrow, actions=(Action(escrow.id, 1, release, "digest", NOON, NOON),))
    decisive = spared({PAYEE: judged}, APPROVED)
    policy = Policy()
    planned = plan(escrow, seen(), NOON, policy)
    call = ContractCall("0xescrow", b"release")
    [done] = act(escrow, planned, decisive, lambda _: call, NOON, policy).actions
    assert (done.status is ActionStatus.HELD) == (held is not None)
    assert (done.hold, done.reason) == (held or (None, None))
