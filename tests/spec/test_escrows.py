"""Escrow decisions without a chain: what is refused, what is believed, what is done next."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from settlement.batch import BatchStatus
from settlement.errors import AttestationKnown, InvariantBroken, WrongEscrowState
from settlement.escrow import (
    ENDED,
    ESCROW,
    Action,
    ActionStatus,
    CallOutcome,
    Consent,
    Dispute,
    EscrowStatus,
    Expiry,
    Hold,
    Release,
    Resolution,
    change,
)
from settlement.escrowing.act import act, plan
from settlement.escrowing.attest import check_attestation, request
from settlement.escrowing.observe import WITHDRAWN, chain_gone, observe
from settlement.order import HoldReason
from settlement.ports.chain import ContractCall
from settlement.ports.screening import Outcome, Reason, Verdict
from settlement.schedule import Policy
from tests.support.escrows import AMOUNT, NOON, PAYEE, PAYER, an_escrow, seen, some_terms

E = EscrowStatus
POLICY = Policy()
LATE = NOON + timedelta(days=2)
RELEASE = Release(40, "0x" + "e1" * 32, "0xsig")
FINAL_CALL = CallOutcome(BatchStatus.FINAL, "0xtx", 10)


def action(escrow, what=RELEASE, sequence=1, **changes):
    digest = changes.pop("digest", f"digest-{sequence}")
    return Action(escrow.id, sequence, what, digest, NOON, NOON, **changes)


def with_actions(escrow, *actions):
    return replace(escrow, actions=tuple(actions))


def verdict(outcome=Outcome.CLEAR):
    return Verdict(outcome, (Reason("list.x", "named"),), {})


def encode(what):
    return ContractCall("0xescrow", type(what).__name__.encode())


# The table -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "to"),
    [(a, b) for a, b in product(E, E) if a is not b and b not in ESCROW[a]],
)
def test_refuses_every_edge_that_is_not_listed(start, to):
    """Moving along an unlisted edge is our own bug and stops there."""
    with pytest.raises(InvariantBroken):
        change(an_escrow(start), NOON, to=to)


def test_what_is_over_stays_over():
    """No way leads out of an end, and every end is known as one."""
    assert {status for status, edges in ESCROW.items() if not edges} == set(ENDED)


# What can be attested --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [E.AWAITING_FUNDING, *sorted(ENDED)])
@pytest.mark.parametrize(
    "what",
    [RELEASE, Consent(1, 0, "", ""), Dispute(PAYER, "", ""), Resolution(AMOUNT, 0, "")],
)
def test_nothing_can_be_attested_about_an_escrow_without_money(status, what):
    """Neither before it is filled nor after it is over."""
    with pytest.raises(WrongEscrowState):
        check_attestation(an_escrow(status), what, NOON)


@pytest.mark.parametrize(
    ("escrow", "what", "now"),
    [
        (an_escrow(terms=some_terms(oracle=None)), RELEASE, NOON),
        (an_escrow(E.DISPUTED), RELEASE, NOON),
        (an_escrow(E.DISPUTED), Dispute(PAYEE, "", ""), NOON),
        (an_escrow(), Dispute(PAYEE, "", ""), LATE),
        (an_escrow(), Resolution(AMOUNT, 0, ""), NOON),
    ],
)
def test_refuses_what_the_contract_would_refuse(escrow, what, now):
    """At once, with a reason, and before anybody pays for gas."""
    with pytest.raises(WrongEscrowState):
        check_attestation(escrow, what, now)


def test_a_party_disputes_once():
    """A dispute that lapsed cannot be raised again by the same party; the other still can."""
    escrow = an_escrow()
    first = action(escrow, Dispute(PAYER, "", ""), status=ActionStatus.FINAL)
    escrow = with_actions(escrow, first)
    with pytest.raises(WrongEscrowState):
        check_attestation(escrow, Dispute(PAYER, "", ""), NOON)
    check_attestation(escrow, Dispute(PAYEE, "", ""), NOON)


def test_the_same_word_is_taken_up_again_only_when_it_failed():
    """Whatever it waits for, it is one word."""
    escrow = an_escrow()
    for status in ActionStatus:
        known = with_actions(escrow, action(escrow, digest="d", status=status))
        if status is ActionStatus.FAILED:
            assert request(known, RELEASE, "d", NOON).actions[0].sequence == 2
        else:
            with pytest.raises(AttestationKnown):
                request(known, RELEASE, "d", NOON)


def test_the_other_party_may_dispute_for_the_same_reason():
    """Its message is the same, its signature is not."""
    escrow = an_escrow()
    first = request(escrow, Dispute(PAYER, "0x00", ""), "d", NOON).actions[0]
    known = with_actions(escrow, replace(first, status=ActionStatus.FINAL))
    second = request(known, Dispute(PAYEE, "0x00", ""), "d", NOON).actions[0]
    assert second.digest != first.digest
    with pytest.raises(AttestationKnown):
        request(known, Dispute(PAYER, "0x00", ""), "d", NOON)


# What is believed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now", [{"released_minor": 0}, {"released_minor": 5, "refunded_minor": AMOUNT}]
)
def test_a_final_block_that_takes_back_what_was_final_stops_us(now):
    """It is another chain, or a lie; neither may be booked."""
    escrow = an_escrow(released_minor=5, read_block=9)
    with pytest.raises(InvariantBroken):
        observe(escrow, seen(**now), None, NOON)


def test_a_node_that_lags_behind_says_nothing_new():
    """Not even what would be a contradiction at a newer block."""
    escrow = an_escrow(released_minor=5, read_block=11)
    assert observe(escrow, seen(10), None, NOON) is None


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        CallOutcome(None),
        CallOutcome(BatchStatus.SENT),
        CallOutcome(BatchStatus.MINED, "0xtx", 10),
        CallOutcome(BatchStatus.FINAL, "0xtx", 11),
    ],
)
def test_nothing_is_concluded_while_a_call_of_ours_is_undecided(outcome):
    """A payment would be taken for somebody else's, and lose its transaction."""
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow, status=ActionStatus.SUBMITTED))
    assert observe(escrow, seen(10, released_minor=40), outcome, NOON) is None


def test_a_final_release_is_booked_once_under_its_total():
    """The key of the booking is all that the payee has."""
    escrow = an_escrow(released_minor=10)
    escrow = with_actions(escrow, action(escrow, status=ActionStatus.SUBMITTED))
    news = observe(escrow, seen(10, released_minor=40), FINAL_CALL, NOON)
    assert [booking.event for booking in news.bookings] == ["escrow_released:40"]
    assert news.bookings[0].entries[0].amount_minor == 30
    assert (news.actions[0].status, news.actions[0].ref) == (ActionStatus.FINAL, "0xtx")
    assert news.to is E.FUNDED


@pytest.mark.parametrize(
    ("shares", "to"),
    [((AMOUNT, 0), E.RELEASED), ((0, AMOUNT), E.REFUNDED), ((1, AMOUNT - 1), E.SPLIT)],
)
def test_how_it_ends_says_who_was_paid(shares, to):
    """Whoever made the call."""
    released, refunded = shares
    now = seen(10, released_minor=released, refunded_minor=refunded, ended=True)
    assert observe(an_escrow(), now, None, NOON).to is to


def test_a_dispute_that_nobody_resolves_lapses():
    """Then oracle and date count again."""
    escrow = an_escrow(E.DISPUTED, disputed_at=NOON)
    news = observe(escrow, seen(10, disputed_at=NOON), None, NOON)
    assert (news.to, news.events[0].type) == (E.FUNDED, "escrow.dispute_lapsed")


def test_a_call_that_failed_leaves_the_money_where_it_is():
    """The action says why; nothing is booked."""
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow, status=ActionStatus.SUBMITTED))
    for outcome, reason in (
        (CallOutcome(BatchStatus.REVERTED, "0xtx", 9), "reverted"),
        (CallOutcome(BatchStatus.CANCELLED), "cancelled"),
        (CallOutcome(None, refused_reason="the escrow refuses: TooLate(1)"), "TooLate"),
    ):
        news = observe(escrow, seen(10), outcome, NOON)
        assert (news.actions[0].status, news.bookings) == (ActionStatus.FAILED, ())
        assert reason in news.actions[0].reason


def test_a_withdrawn_call_waits_instead_of_failing():
    """Its recipient was listed before a lane had planned it; the word still counts."""
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow, status=ActionStatus.SUBMITTED, tries=1))
    news = observe(escrow, seen(10), CallOutcome(None, refused_reason=WITHDRAWN), NOON)
    assert (news.actions[0].status, news.actions[0].hold) == (ActionStatus.HELD, Hold.SANCTIONS)
    again = act(
        with_actions(escrow, news.actions[0]),
        plan(with_actions(escrow, news.actions[0]), seen(10), NOON, POLICY),
        {PAYEE: verdict()},
        encode,
        NOON,
        POLICY,
    )
    assert again.call.id == f"{escrow.id}:1:2"


def test_what_a_lost_chain_held_is_written_off():
    """Demos alone lose chains; the books must still balance."""
    gone = chain_gone(an_escrow(released_minor=7), NOON)
    assert (gone.to, gone.bookings[0].entries[0].amount_minor) == (E.VOID, AMOUNT - 7)


# What is done next -----------------------------------------------------------------------------


def test_one_call_at_a_time():
    """The next one would be judged by a state that this one changes."""
    escrow = an_escrow()
    escrow = with_actions(
        escrow,
        action(escrow, status=ActionStatus.SUBMITTED),
        action(escrow, sequence=2),
    )
    assert plan(escrow, seen(10), NOON, POLICY).actions == ()


def test_a_held_release_does_not_hold_up_a_refund():
    """The payee is listed; what the parties signed for the payer goes ahead."""
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow), action(escrow, Consent(0, 5, "", ""), sequence=2))
    planned = plan(escrow, seen(10), NOON, POLICY)
    verdicts = {PAYEE: verdict(Outcome.BLOCK), PAYER: verdict()}
    done = act(escrow, planned, verdicts, encode, NOON, POLICY)
    assert [a.status for a in done.actions] == [ActionStatus.HELD, ActionStatus.SUBMITTED]
    assert done.call.call.data == b"Consent"


@pytest.mark.parametrize(
    ("reason", "hold"),
    [(HoldReason.REFUNDED, Hold.REFUNDED), (HoldReason.DISPUTED, Hold.DISPUTED)],
)
def test_what_the_card_gave_back_is_not_released_and_the_payer_not_held_up(reason, hold):
    """The payee would be paid with nobody's money; what goes back to the payer does not wait."""
    both, back = Consent(1, 1, "0xs", "0xs"), Consent(0, 1, "0xs", "0xs")
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow), action(escrow, both, 2))
    verdicts = {PAYEE: verdict(), PAYER: verdict()}
    planned = plan(escrow, seen(), NOON, POLICY)
    done = act(escrow, planned, verdicts, encode, NOON, POLICY, reason)
    assert done.call is None
    assert {(a.status, a.hold) for a in done.actions} == {(ActionStatus.HELD, hold)}
    held = with_actions(escrow, *done.actions, action(escrow, back, 3))
    planned = plan(held, seen(), NOON, POLICY)
    assert act(held, planned, verdicts, encode, NOON, POLICY, reason).call.call.data == b"Consent"
    over = act(held, planned, verdicts, encode, NOON, POLICY, HoldReason.NONE)
    assert over.call.call.data == b"Release"


def test_a_dispute_pays_nobody_and_is_never_held():
    """Listed or not, a party may stop the money."""
    escrow = an_escrow()
    escrow = with_actions(escrow, action(escrow, Dispute(PAYEE, "", "")))
    planned = plan(escrow, seen(10), NOON, POLICY)
    assert planned.parties(escrow) == frozenset()
    assert act(escrow, planned, {}, encode, NOON, POLICY).call is not None


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (seen(10), ()),
        (seen(10, time=LATE, dispute_open=True), ()),
        (seen(10, time=LATE, ended=True), ()),
        (seen(10, time=LATE), ({"status": ActionStatus.HELD, "hold": Hold.REVIEW},)),
    ],
)
def test_nothing_expires_early_or_over_somebodys_head(state, actions):
    """Not before the chain's own date, in a dispute, or while a person has to decide."""
    escrow = an_escrow()
    escrow = with_actions(escrow, *(action(escrow, **changes) for changes in actions))
    planned = plan(escrow, state, LATE, POLICY)
    assert not any(isinstance(a.what, Expiry) for a in planned.actions)


def test_a_failed_expiry_is_tried_again_in_a_while():
    """Under a number of its own, and not at once."""
    escrow = an_escrow()
    failed = action(escrow, Expiry(), status=ActionStatus.FAILED)
    escrow = with_actions(escrow, replace(failed, changed_at=LATE))
    assert plan(escrow, seen(10, time=LATE), LATE, POLICY).actions == ()
    later = LATE + timedelta(minutes=5)
    [again] = plan(escrow, seen(10, time=LATE), later, POLICY).actions
    assert (again.sequence, again.digest) == (2, "expiry:2")
