"""The books, over both stores: what cannot be booked, then what each step leaves."""

import asyncio

import pytest

from settlement.errors import InsufficientInventory, InvariantBroken
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.order import Order, Status
from settlement.transitions import Change, move, void
from tests.support.builders import DUSD, NOW, USD, Scene


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


async def test_unknown_inventory_is_zero(scene: Scene) -> None:
    """A tenant without books has nothing to give."""
    assert await _available(scene) == 0
    assert await scene.store.totals(Account.VAULT, DUSD) == 0


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
