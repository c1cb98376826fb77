"""Claiming and changing orders, over both stores: the guards first."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from settlement.errors import InvariantBroken
from settlement.events import HELD, Event
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.order import FINAL, HoldReason, Order, Status
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.transitions import Change, move, stay, void
from tests.support.builders import NOW, Scene, after


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


async def test_orders_are_found_by_id_and_by_intent(scene: Scene) -> None:
    """By payment intent first, else by order id, else not at all."""
    order = await scene.captured()
    find = scene.store.find
    assert await find(order_id=order.id, intent_id="pi_unknown") == order
    assert await find(order_id="ord_unknown", intent_id=order.payment_intent_id) == order
    assert await find(order_id="ord_unknown") is None
    assert await find() is None
    assert await scene.store.unfinished("local", [Status.CAPTURED]) == [order]
    assert await scene.store.unfinished("local", [Status.CLEARED]) == []


async def test_an_intent_names_its_order_whatever_the_metadata_says(scene: Scene) -> None:
    """Metadata can be edited; an event about one order's money must not be worked at another."""
    paid, named = await scene.order(), await scene.order()
    patch = {"payment_intent_id": "pi_named"}
    await scene.apply(stay(paid, NOW, patch=patch))
    found = await scene.store.find(order_id=named.id, intent_id="pi_named")
    assert found is not None
    assert found.id == paid.id


async def test_a_screening_gets_an_id_of_its_own(scene: Scene) -> None:
    """Screened twice, recorded twice."""
    order = await scene.order()
    verdict = Verdict(Outcome.BLOCK, (Reason("list.ofac", "named"),), {"ofac": "2026-01"})
    first = await scene.store.save_screening(Subject.of(order), verdict, NOW)
    second = await scene.store.save_screening(Subject.of(order), verdict, NOW)
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
