"""Claiming and changing orders, over both stores: the guards first."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from settlement.errors import InsufficientInventory, InvariantBroken
from settlement.events import HELD, Event
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.order import FINAL, HoldReason, Order, Status
from settlement.ports.screening import Outcome, Reason, Verdict
from settlement.transitions import Change, move, stay, void
from tests.support.builders import DUSD, NOW, USD, Scene, after


async def leased(scene: Scene, status: Status = Status.AWAITING_PAYMENT) -> Order:
    [order] = await scene.store.claim(status, after(1), limit=1, lease_ms=10_000)
    return order


async def test_a_change_under_a_stale_epoch_changes_nothing(scene: Scene) -> None:
    """A worker that wakes after its lease was taken over writes no status, entry or event."""
    await scene.order()
    slow = await leased(scene)
    [fast] = await scene.store.claim(slow.status, after(60), limit=1, lease_ms=10_000)
    late = move(slow, Status.AUTHORIZED, NOW, bookings=(journal.authorized(slow),))
    assert await scene.store.apply_many([late]) == [late]
    assert await scene.store.get(slow.id) == fast
    assert await scene.store.balances(scene.tenant) == []
    assert len(await scene.store.events(slow.id)) == 1


async def test_two_writes_on_one_reading_have_one_effect(scene: Scene) -> None:
    """Every write raises the epoch, so a second one on the same reading changes nothing."""
    order = await scene.order()
    first, second = stay(order, NOW, patch={"reason": "a"}), stay(order, NOW, patch={"reason": "b"})
    answers = await asyncio.gather(*(scene.store.apply_many([c]) for c in (first, second)))
    assert sorted(len(unmatched) for unmatched in answers) == [0, 1]
    stored = await scene.store.get(order.id)
    assert stored is not None
    assert (stored.epoch, stored.attempts) == (1, 1)


async def test_a_change_that_no_lease_protects_ends_every_lease(scene: Scene) -> None:
    """A dispute that arrives while a worker holds the order."""
    await scene.order()
    held = await leased(scene)
    seen = replace(stay(held, NOW, patch={"hold_reason": HoldReason.DISPUTED}), epoch=None)
    assert await scene.store.apply_many([seen]) == []
    late = move(held, Status.AUTHORIZED, NOW)
    assert await scene.store.apply_many([late]) == [late]


async def test_a_change_from_another_status_changes_nothing(scene: Scene) -> None:
    """The guard is status as well as epoch."""
    order = await scene.order()
    await scene.apply(move(order, Status.AUTHORIZED, NOW, under_lease=False))
    again = move(order, Status.AUTHORIZED, NOW, under_lease=False)
    assert await scene.store.apply_many([again]) == [again]


async def test_a_change_of_an_order_that_is_not_there_is_returned(scene: Scene) -> None:
    """Nothing is created by a change."""
    order = await scene.order()
    ghost = Change(order=_renamed(order), to=Status.AUTHORIZED, epoch=None, due_at=NOW)
    assert await scene.store.apply_many([ghost]) == [ghost]


async def test_unmatched_changes_do_not_hold_up_the_others(scene: Scene) -> None:
    """Of three changes one is stale; the two others happen with their entries."""
    orders = [await scene.order() for _ in range(3)]
    await scene.apply(void(orders[1], Status.EXPIRED, "late", NOW, under_lease=False))
    changes = [
        move(o, Status.AUTHORIZED, NOW, bookings=(journal.authorized(o),), under_lease=False)
        for o in orders
    ]
    assert await scene.store.apply_many(changes) == [changes[1]]
    pending = {b.account: b.debits_pending for b in await scene.store.balances(scene.tenant)}
    assert pending[Account.STRIPE] == 2 * orders[0].gross.amount_minor


async def test_two_changes_of_one_order_in_one_call_are_our_bug(scene: Scene) -> None:
    """A set-based statement could apply either one."""
    order = await scene.order()
    change = move(order, Status.AUTHORIZED, NOW, under_lease=False)
    with pytest.raises(InvariantBroken):
        await scene.store.apply_many([change, change])


@pytest.mark.parametrize("field", ["status", "epoch", "wallet", "gross", "client_secret"])
async def test_a_patch_cannot_change_what_is_fixed_at_acceptance(scene: Scene, field: str) -> None:
    """Least of all the wallet or the amount."""
    order = await scene.order()
    change = move(order, Status.AUTHORIZED, NOW, patch={field: "x"}, under_lease=False)
    with pytest.raises(InvariantBroken):
        await scene.store.apply_many([change])
    assert await scene.store.get(order.id) == order


async def test_two_orders_cannot_share_a_payment_intent(scene: Scene) -> None:
    """One card payment pays for one order."""
    first, second = await scene.order(), await scene.order()
    for order in (first, second):
        patch = {"payment_intent_id": "pi_same"}
        change = stay(order, NOW, patch=patch)
        if order is first:
            assert await scene.store.apply_many([change]) == []
        else:
            with pytest.raises(InvariantBroken):
                await scene.store.apply_many([change])


async def test_booking_the_same_event_twice_is_refused(scene: Scene) -> None:
    """The business key is permanent; the second change is undone as a whole."""
    order = await scene.order()
    booking = journal.authorized(order)
    order = await scene.apply(
        move(order, Status.AUTHORIZED, NOW, bookings=(booking,), under_lease=False)
    )
    with pytest.raises(InvariantBroken):
        await scene.store.apply_many(
            [move(order, Status.CLEARED, NOW, bookings=(booking,), under_lease=False)]
        )
    assert await scene.store.get(order.id) == order


async def test_no_reservation_without_inventory(scene: Scene) -> None:
    """An account that was never funded has nothing to reserve."""
    order = await _cleared(scene)
    with pytest.raises(InsufficientInventory):
        await scene.store.apply_many([_reserve(order)])
    assert await scene.store.get(order.id) == order


async def test_two_orders_racing_for_the_last_tokens_cannot_both_reserve(scene: Scene) -> None:
    """Inventory for one; five try at once."""
    orders = [await _cleared(scene) for _ in range(5)]
    await scene.fund(orders[0].token.amount_minor)
    tries = [scene.store.apply_many([_reserve(order)]) for order in orders]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert answers.count([]) == 1
    assert sum(isinstance(a, InsufficientInventory) for a in answers) == 4
    assert await _available(scene) == 0


async def test_a_set_that_would_overdraw_reserves_nothing_at_all(scene: Scene) -> None:
    """apply_many is all or nothing against a guarded account."""
    orders = [await _cleared(scene) for _ in range(2)]
    amount = orders[0].token.amount_minor
    await scene.fund(2 * amount - 1)
    with pytest.raises(InsufficientInventory):
        await scene.store.apply_many([_reserve(order) for order in orders])
    assert await _available(scene) == 2 * amount - 1


async def test_two_claims_never_overlap(scene: Scene) -> None:
    """Eight workers claim at once: every order has one holder."""
    ids = {(await scene.order()).id for _ in range(40)}
    claims = [
        scene.store.claim(Status.AWAITING_PAYMENT, NOW, limit=10, lease_ms=9_000) for _ in range(8)
    ]
    taken = [order.id for claimed in await asyncio.gather(*claims) for order in claimed]
    assert len(taken) == len(set(taken))
    assert set(taken) <= ids
    rest = await scene.store.claim(Status.AWAITING_PAYMENT, NOW, limit=100, lease_ms=9_000)
    assert set(taken) | {order.id for order in rest} == ids


async def test_a_claim_takes_the_longest_due_first_and_only_the_due(scene: Scene) -> None:
    """Order of ``due_at``, nothing from the future."""
    late, early = await scene.order(now=after(2)), await scene.order(now=after(1))
    await scene.order(now=after(50))
    found = await scene.store.claim(Status.AWAITING_PAYMENT, after(2), limit=9, lease_ms=1_000)
    assert [order.id for order in found] == [early.id, late.id]
    assert {order.epoch for order in found} == {1}
    assert {order.due_at for order in found} == {after(3)}


async def test_a_leased_order_can_be_claimed_again_only_after_its_lease(scene: Scene) -> None:
    """The lease is ``due_at``."""
    await scene.order()
    await leased(scene)
    assert await scene.store.claim(Status.AWAITING_PAYMENT, after(5), limit=1, lease_ms=1) == []
    [again] = await scene.store.claim(Status.AWAITING_PAYMENT, after(11), limit=1, lease_ms=1)
    assert again.epoch == 2


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_no_stage_ever_claims_a_final_order(scene: Scene, status: Status) -> None:
    """Final is final."""
    order = await scene.order()
    await scene.apply(Change(order, status, None, NOW))
    assert await scene.store.claim(status, after(9), limit=9, lease_ms=1) == []
    await scene.store.nudge([order.id], NOW - timedelta(days=1))
    stored = await scene.store.get(order.id)
    assert stored is not None
    assert stored.due_at == NOW


async def test_a_nudge_makes_due_and_touches_nothing_else(scene: Scene) -> None:
    """Status and epoch stay."""
    order = await scene.order(now=after(500))
    await scene.store.nudge([order.id, "ord_unknown"], NOW)
    [found] = await scene.store.claim(order.status, NOW, limit=1, lease_ms=1_000)
    assert (found.id, found.epoch) == (order.id, 1)


@pytest.mark.parametrize(
    "hold",
    [HoldReason.REVIEW, HoldReason.SANCTIONS, HoldReason.REFUNDED, HoldReason.DISPUTED],
)
async def test_an_order_with_a_veto_is_not_claimed_for_a_batch(
    scene: Scene, hold: HoldReason
) -> None:
    """A refund in the provider's dashboard stops an order that has not left."""
    order = await scene.captured()
    await scene.apply(stay(order, NOW, patch={"hold_reason": hold}))
    assert await scene.store.claim_for_batch("local", after(9), limit=9, lease_ms=1) == []


async def test_an_order_that_waits_for_fees_is_claimed_for_a_batch(scene: Scene) -> None:
    """Waiting is no veto; another network's claim does not see the order."""
    order = await scene.captured()
    await scene.apply(stay(order, NOW, patch={"hold_reason": HoldReason.FEE_CAP}))
    assert await scene.store.claim_for_batch("base", after(9), limit=9, lease_ms=1) == []
    [found] = await scene.store.claim_for_batch("local", after(9), limit=9, lease_ms=1)
    assert (found.id, found.status) == (order.id, Status.CAPTURED)


async def test_a_change_writes_status_fields_entries_and_events_together(scene: Scene) -> None:
    """All of a decision, read back."""
    order = await scene.order()
    patch = {
        "payment_intent_id": "pi_1",
        "authorized_at": after(3),
        "capture_before": after(10**6),
        "hold_reason": HoldReason.LIQUIDITY,
        "decline_code": None,
    }
    change = move(
        order,
        Status.AUTHORIZED,
        after(4),
        patch=patch,
        bookings=(journal.authorized(order),),
        events=(Event(HELD, {"hold_reason": HoldReason.LIQUIDITY, "minutes": 3}),),
        under_lease=False,
    )
    stored = await scene.apply(change)
    assert {name: getattr(stored, name) for name in patch} == patch
    assert (stored.status, stored.due_at) == (Status.AUTHORIZED, after(4))
    told = [(event.type, event.data) for event in await scene.store.events(order.id)]
    assert told[1:] == [
        ("order.authorized", {"from": "awaiting_payment", "reason": None}),
        (HELD, {"hold_reason": "liquidity", "minutes": 3}),
    ]


async def test_staying_counts_attempts_and_a_patch_may_clear_a_field(scene: Scene) -> None:
    """``None`` in a patch is a value, absence is not."""
    order = await scene.order()
    order = await scene.apply(stay(order, after(9), patch={"reason": "busy"}))
    assert (order.attempts, order.reason, order.due_at) == (1, "busy", after(9))
    order = await scene.apply(stay(order, after(10)))
    assert (order.attempts, order.reason) == (2, "busy")
    assert (await scene.apply(stay(order, after(11), patch={"reason": None}))).reason is None


async def test_a_second_resolution_of_pending_entries_is_a_no_op(scene: Scene) -> None:
    """Voiding what was posted changes no total."""
    order = await scene.captured()
    before = await scene.store.balances(scene.tenant)
    change = move(
        order, Status.REFUND_PENDING, NOW, bookings=(journal.voided(order),), under_lease=False
    )
    await scene.apply(change)
    assert await scene.store.balances(scene.tenant) == before


async def test_reserving_and_unreserving_leaves_the_inventory_as_it_was(scene: Scene) -> None:
    """Pending entries that are voided give the tokens back."""
    order = await _cleared(scene)
    await scene.fund(order.token.amount_minor)
    order = await scene.apply(_reserve(order))
    assert await _available(scene) == 0
    change = void(
        order, Status.EXPIRED, "x", NOW, bookings=(journal.unreserved(order),), under_lease=False
    )
    await scene.apply(change)
    assert await _available(scene) == order.token.amount_minor


async def test_a_completed_order_leaves_balanced_books(scene: Scene) -> None:
    """Payable back to zero, fees earned, tokens gone from the inventory."""
    order = await scene.captured()
    order = await scene.apply(move(order, Status.SUBMITTED, NOW, under_lease=False))
    done = journal.completed(order)
    await scene.apply(move(order, Status.COMPLETED, NOW, bookings=(done,), under_lease=False))
    totals = {
        (b.account, b.asset): b.debits_posted - b.credits_posted
        for b in await scene.store.balances(scene.tenant)
    }
    assert totals[Account.CUSTOMER, USD] == 0
    assert totals[Account.STRIPE, USD] == order.gross.amount_minor
    assert totals[Account.PROCESSING_FEES, USD] == -200
    assert totals[Account.VAULT, DUSD] == 0
    assert all(
        (b.debits_pending, b.credits_pending) == (0, 0)
        for b in await scene.store.balances(scene.tenant)
    )


async def test_funding_under_the_same_key_is_booked_once(scene: Scene) -> None:
    """``False`` says: known already."""
    booking = journal.treasury_funded(Money(5, DUSD), Account.VAULT)
    answers = await asyncio.gather(
        *(scene.store.book(scene.tenant, "fund-1", booking, NOW) for _ in range(4))
    )
    assert sorted(answers) == [False, False, False, True]
    assert await _available(scene) == 5
    assert await scene.store.totals(Account.VAULT, DUSD) == 5


async def test_taking_more_out_of_the_vault_than_it_holds_is_refused(scene: Scene) -> None:
    """The guard holds for bookings without an order too."""
    await scene.fund(5)
    booking = journal.chain_replaced(Money(6, DUSD), Account.VAULT)
    with pytest.raises(InsufficientInventory):
        await scene.store.book(scene.tenant, "gone", booking, NOW)


async def test_orders_are_found_by_id_and_by_intent(scene: Scene) -> None:
    """By order id first, else by payment intent, else not at all."""
    order = await scene.captured()
    find = scene.store.find
    assert await find(order_id=order.id, intent_id="pi_unknown") == order
    assert await find(order_id="ord_unknown", intent_id=order.payment_intent_id) == order
    assert await find(order_id="ord_unknown") is None
    assert await find() is None
    assert await scene.store.unfinished("local", [Status.CAPTURED]) == [order]
    assert await scene.store.unfinished("local", [Status.CLEARED]) == []


async def test_a_screening_gets_an_id_of_its_own(scene: Scene) -> None:
    """Screened twice, recorded twice."""
    order = await scene.order()
    verdict = Verdict(Outcome.BLOCK, (Reason("list.ofac", "named"),), {"ofac": "2026-01"})
    first = await scene.store.save_screening(order, verdict, NOW)
    second = await scene.store.save_screening(order, verdict, NOW)
    assert first != second
    assert first.startswith("scr_")


async def test_history_can_be_resumed_after_an_event(scene: Scene) -> None:
    """Ids grow within one order."""
    order = await scene.order()
    await scene.apply(move(order, Status.AUTHORIZED, NOW, under_lease=False))
    first, second = await scene.store.events(order.id)
    assert first.id < second.id
    assert await scene.store.events(order.id, first.id) == [second]
    assert await scene.store.events(order.id, second.id) == []


async def test_many_workers_changing_one_tenants_orders_never_deadlock(scene: Scene) -> None:
    """Overlapping accounts and limits, opposite orders, at once: every change happens."""
    orders = [await scene.order(customer=f"c{n % 3}") for n in range(24)]
    sets = [orders[n::4][:: 1 if n % 2 else -1] for n in range(4)]

    def authorize(order: Order) -> Change:
        books = (journal.authorized(order),)
        return move(order, Status.AUTHORIZED, NOW, bookings=books, under_lease=False)

    done = await asyncio.gather(*(scene.store.apply_many([authorize(o) for o in s]) for s in sets))
    assert done == [[], [], [], []]
    gone = [await scene.store.get(order.id) for order in orders]
    voids = [
        void(o, Status.EXPIRED, "x", NOW, under_lease=False, gives_back_limit=True) for o in gone
    ]
    done = await asyncio.gather(*(scene.store.apply_many(voids[n::4]) for n in range(4)))
    assert done == [[], [], [], []]


def _renamed(order: Order) -> Order:
    return replace(order, id="ord_ghost")


def _reserve(order: Order) -> Change:
    books = (journal.reserved(order),)
    return move(order, Status.CAPTURING, NOW, bookings=books, under_lease=False)


async def _cleared(scene: Scene) -> Order:
    order = await scene.order()
    for status in (Status.AUTHORIZED, Status.CLEARED):
        order = await scene.apply(move(order, status, NOW, under_lease=False))
    return order


async def _available(scene: Scene) -> int:
    pair = (scene.tenant, DUSD)
    free: dict[tuple[str, object], int] = await scene.store.available([pair])
    return free[pair]


async def test_unknown_inventory_is_zero(scene: Scene) -> None:
    """A tenant without books has nothing to give."""
    assert await _available(scene) == 0
    assert await scene.store.totals(Account.VAULT, DUSD) == 0
