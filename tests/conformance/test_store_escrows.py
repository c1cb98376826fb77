"""Escrows, over both stores: stale writes and double words first."""

import asyncio
from dataclasses import replace

import pytest

from settlement.batch import BatchKind, BatchStatus, RequestedCall
from settlement.errors import IdempotencyMismatch, InvariantBroken, NotFound, WrongEscrowState
from settlement.escrow import (
    Action,
    ActionStatus,
    Consent,
    Escrow,
    EscrowChange,
    EscrowStatus,
    Release,
    change,
)
from settlement.escrowing.attest import request
from settlement.events import ESCROW_HELD, Event
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.order import Status
from settlement.ports.chain import ContractCall
from settlement.transitions import move
from tests.support.builders import DUSD, IDENTITY, NOW, Scene, after, key
from tests.support.escrows import PAYEE, PAYER, agree

E = EscrowStatus
RELEASE = Release(10**30, "0x" + "e1" * 32, "0xsig")
CALL = RequestedCall("esc:1:1", "local", "0xlane", ContractCall("0xescrow", b"call"))


async def agreed(scene: Scene) -> Escrow:
    """An accepted order and the escrow that it will fill."""
    order, escrow = await agree(scene)
    assert (order.escrow_id, order.wallet, order.parties) == (
        escrow.id,
        escrow.purse,
        (PAYEE, PAYER),
    )
    assert await scene.store.get(order.id) == order
    return escrow


async def ended(scene: Scene, escrow: Escrow) -> None:
    """The order ends; how does not matter here."""
    order = await scene.store.get(escrow.terms.order_id)
    for status in (Status.VOIDING, Status.CANCELED):
        change_ = move(order, status, NOW, patch={"exit_to": Status.CANCELED}, under_lease=False)
        order = await scene.apply(change_)


async def funded(scene: Scene) -> Escrow:
    """A claimed escrow with money in it."""
    escrow = await agreed(scene)
    await ended(scene, escrow)
    [escrow] = await scene.store.claim_escrows(NOW, limit=10, lease_ms=60_000)
    amount = escrow.terms.amount
    fund = change(escrow, NOW, to=E.FUNDED, bookings=(journal.escrow_funded(amount),))
    assert await scene.store.apply_escrow(fund)
    [escrow] = await scene.store.claim_escrows(NOW, limit=10, lease_ms=60_000)
    return escrow


def action(escrow: Escrow, sequence: int = 1, digest: str = "d", **changes: object) -> Action:
    made = Action(escrow.id, sequence, RELEASE, digest, NOW, NOW)
    return replace(made, **changes)


async def test_an_escrow_waits_until_its_order_has_ended(scene: Scene) -> None:
    """Nothing is claimed before; then it is, once under a lease."""
    escrow = await agreed(scene)
    assert await scene.store.claim_escrows(NOW, limit=10, lease_ms=60_000) == []
    await ended(scene, escrow)
    [claimed] = await scene.store.claim_escrows(NOW, limit=10, lease_ms=60_000)
    assert claimed == replace(escrow, created_at=NOW, epoch=1, due_at=after(60))
    assert await scene.store.claim_escrows(NOW, limit=10, lease_ms=60_000) == []
    [again] = await scene.store.claim_escrows(after(61), limit=10, lease_ms=60_000)
    assert again.epoch == 2


async def test_a_change_on_an_old_reading_writes_nothing(scene: Scene) -> None:
    """Neither status, action, booking, event nor call."""
    escrow = await funded(scene)
    await scene.store.register_network("local", IDENTITY, NOW)
    late = change(
        replace(escrow, epoch=escrow.epoch - 1),
        NOW,
        to=E.RELEASED,
        patch={"released_minor": escrow.terms.amount_minor},
        actions=(action(escrow),),
        bookings=(journal.escrow_released(escrow.terms.amount, 1),),
        events=(Event(ESCROW_HELD),),
        call=CALL,
    )
    assert not await scene.store.apply_escrow(late)
    [found] = await scene.store.escrows_in("local", [E.FUNDED])
    assert (found.released_minor, found.actions) == (0, ())
    types = [event.type for event in await scene.store.events(escrow.terms.order_id)]
    assert ESCROW_HELD not in types
    assert await scene.store.call_outcome(CALL.id) is None


async def test_more_than_was_held_cannot_be_given_out(scene: Scene) -> None:
    """The row's own constraint, and the guarded account, stop what nobody should ever ask."""
    escrow = await funded(scene)
    amount = escrow.terms.amount_minor
    with pytest.raises(InvariantBroken):
        await scene.store.apply_escrow(change(escrow, NOW, patch={"released_minor": amount + 1}))
    with pytest.raises(InvariantBroken):
        await scene.store.apply_escrow(change(escrow, NOW, patch={"purse": "0xthief"}))


async def test_two_calls_at_once_and_the_same_word_twice_are_refused(scene: Scene) -> None:
    """Whatever the core decided."""
    escrow = await funded(scene)
    submitted = [action(escrow, n, f"d{n}", status=ActionStatus.SUBMITTED) for n in (1, 2)]
    with pytest.raises(InvariantBroken):
        await scene.store.apply_escrow(change(escrow, NOW, actions=tuple(submitted)))
    twice = (action(escrow, 1, "d"), action(escrow, 2, "d"))
    with pytest.raises(InvariantBroken):
        await scene.store.apply_escrow(change(escrow, NOW, actions=twice))
    [found] = await scene.store.escrows_in("local", [E.FUNDED])
    assert found.actions == ()


async def test_an_action_and_its_call_are_one_write(scene: Scene) -> None:
    """And the call goes its way as any other does."""
    escrow = await funded(scene)
    await scene.store.register_network("local", IDENTITY, NOW)
    submitted = action(escrow, status=ActionStatus.SUBMITTED, tries=1)
    stored = change(escrow, NOW, actions=(submitted,), events=(Event(ESCROW_HELD),), call=CALL)
    assert await scene.store.apply_escrow(stored)
    [found] = await scene.store.escrows_in("local", [E.FUNDED])
    assert found.actions == (submitted,)
    outcome = await scene.store.call_outcome(CALL.id)
    assert (outcome.status, outcome.refused_reason) == (None, None)
    lane = await scene.lane()
    [waiting] = await scene.store.requested_calls(lane, limit=10)
    assert waiting == CALL
    batch = await scene.batch(lane, [], kind=BatchKind.CALL, requested=CALL, root="")
    await scene.store.plan(lane, batch, [])
    outcome = await scene.store.call_outcome(CALL.id)
    assert outcome.status is BatchStatus.PLANNED
    await scene.store.withdraw_call(CALL.id, "late", NOW)
    assert (await scene.store.call_outcome(CALL.id)).refused_reason is None


async def test_a_call_can_be_withdrawn_while_no_lane_has_planned_it(scene: Scene) -> None:
    """Its recipient was listed meanwhile."""
    await scene.store.register_network("local", IDENTITY, NOW)
    await scene.store.request_call(CALL, NOW)
    await scene.store.withdraw_call(CALL.id, "withdrawn", NOW)
    assert (await scene.store.call_outcome(CALL.id)).refused_reason == "withdrawn"
    assert await scene.store.requested_calls(await scene.lane(), limit=10) == []


async def test_what_leaves_the_purse_leaves_the_books(scene: Scene) -> None:
    """Under the escrow's own id, each part once."""
    escrow = await funded(scene)
    part = Money(40, DUSD)
    release = change(
        escrow,
        NOW,
        patch={"released_minor": 40},
        bookings=(journal.escrow_released(part, 40),),
    )
    assert await scene.store.apply_escrow(release)
    held = escrow.terms.amount_minor - 40
    balances = {row.account: row for row in await scene.store.balances(scene.tenant)}
    account = balances[Account.ESCROW_HELD]
    assert account.debits_posted - account.credits_posted == held
    assert await scene.store.totals(Account.ESCROW_OWED, DUSD) == -held
    [found] = await scene.store.escrows_in("local", [E.FUNDED])
    assert (found.released_minor, found.version) == (40, 2)


# Attesting -------------------------------------------------------------------------------------


def taking(what: object, digest: str):
    def attest(escrow: Escrow) -> EscrowChange:
        return request(escrow, what, digest, NOW)

    return attest


async def test_an_attestation_about_nobodys_escrow_is_not_found(scene: Scene) -> None:
    """Another tenant's is nobody's; the key stays free."""
    escrow = await funded(scene)
    attest = taking(RELEASE, "d")
    with pytest.raises(NotFound):
        await scene.store.attest("ten_other", escrow.id, attest, key("k"), NOW)
    with pytest.raises(NotFound):
        await scene.store.attest(scene.tenant, "esc_none", attest, key("k"), NOW)
    assert await scene.store.attest(scene.tenant, escrow.id, attest, key("k"), NOW)


async def test_a_refusal_leaves_nothing_behind(scene: Scene) -> None:
    """Not even the key."""
    escrow = await funded(scene)

    def refuse(_: Escrow) -> EscrowChange:
        raise WrongEscrowState("no")

    with pytest.raises(WrongEscrowState):
        await scene.store.attest(scene.tenant, escrow.id, refuse, key("k"), NOW)
    assert await scene.store.attest(scene.tenant, escrow.id, taking(RELEASE, "d"), key("k"), NOW)


async def test_a_key_answers_what_it_answered_first(scene: Scene) -> None:
    """As it was taken up, however far it has got; another body is a mistake."""
    escrow = await funded(scene)
    arguments = (scene.tenant, escrow.id, taking(Consent(1, 2, "0x01", "0x02"), "d"))
    first = await scene.store.attest(*arguments, key("k"), NOW)
    [current] = await scene.store.escrows_in("local", [E.FUNDED])
    moved = replace(first, status=ActionStatus.FINAL, ref="0xtx", changed_at=after(5))
    assert await scene.store.apply_escrow(change(current, NOW, actions=(moved,)))
    assert await scene.store.attest(*arguments, key("k"), NOW) == first
    with pytest.raises(IdempotencyMismatch):
        await scene.store.attest(*arguments, key("k", "other"), NOW)


async def test_attesting_ends_every_earlier_reading(scene: Scene) -> None:
    """A stage that numbers an action of its own on an old reading writes nothing."""
    escrow = await funded(scene)
    words = [taking(RELEASE, f"d{n}") for n in range(5)]
    taken = await asyncio.gather(
        *(scene.store.attest(scene.tenant, escrow.id, word, key(), NOW) for word in words)
    )
    assert sorted(a.sequence for a in taken) == [1, 2, 3, 4, 5]
    assert not await scene.store.apply_escrow(change(escrow, NOW, actions=(action(escrow),)))
    [found] = await scene.store.escrows_in("local", [E.FUNDED])
    assert found.actions[0].what == RELEASE


# Telling the provider --------------------------------------------------------------------------


async def test_what_is_told_is_told_until_it_arrived(scene: Scene) -> None:
    """One at a time, again after the lease, and no more once it is noted."""
    escrow = await agreed(scene)
    order = await scene.store.get(escrow.terms.order_id)
    intent = {"payment_intent_id": "pi_1", "exit_to": Status.CANCELED}
    await scene.apply(move(order, Status.VOIDING, NOW, patch=intent, under_lease=False))
    order = await scene.store.get(order.id)
    await scene.apply(move(order, Status.CANCELED, NOW, under_lease=False))
    [escrow] = await scene.store.claim_escrows(NOW, limit=10, lease_ms=1)
    assert await scene.store.apply_escrow(change(escrow, NOW, to=E.FUNDED))
    due = after(10**9)  # notes are dated by the store's own clock
    [note] = await scene.store.claim_notes(due, limit=10, lease_ms=60_000)
    assert (note.intent_id, note.escrow.status, note.escrow.version) == ("pi_1", E.FUNDED, 1)
    assert await scene.store.claim_notes(due, limit=10, lease_ms=60_000) == []
    later = after(10**9 + 61)
    assert len(await scene.store.claim_notes(later, limit=10, lease_ms=1)) == 1
    await scene.store.noted(escrow.id, 1)
    assert await scene.store.claim_notes(after(10**9 + 99), limit=10, lease_ms=1) == []


async def test_without_a_payment_intent_nobody_is_told(scene: Scene) -> None:
    """And nobody keeps trying."""
    await funded(scene)
    assert await scene.store.claim_notes(after(10**9), limit=10, lease_ms=1) == []
    assert await scene.store.claim_notes(after(10**9 + 9), limit=10, lease_ms=1) == []
