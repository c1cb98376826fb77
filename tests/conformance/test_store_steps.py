"""Steps of whole batches and changes of several kinds at once, over both stores."""

from dataclasses import replace

import pytest

from settlement.batch import Batch, BatchStatus, Lane, payout_of
from settlement.errors import InvariantBroken, StaleLease
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.order import HoldReason, Status
from settlement.ports.store import BatchChange
from settlement.quote import Line, LineKind
from settlement.transitions import Completion, advance, completed, move, stay
from tests.support.builders import NOW, USD, Scene, after, signed, submit

MINED = {"mined_ref": "0xtx", "block_number": 41, "block_hash": "0xb41"}


def test_a_step_that_the_table_does_not_list_is_our_bug() -> None:
    """No batch takes its orders back, or past their end."""
    with pytest.raises(InvariantBroken):
        advance(Status.COMPLETED, Status.CONFIRMING)


async def test_a_batchs_step_moves_those_that_are_there_and_tells_it(scene: Scene) -> None:
    """Under the lane's lease alone; a hold that was noticed on the way stays."""
    lane = await scene.lane()
    orders = [await scene.captured() for _ in range(2)]
    stranger = await scene.captured()
    batch = await scene.batch(lane, orders)
    await scene.store.plan(lane, batch, [submit(order) for order in orders])
    later = replace(lane, next_nonce=lane.next_nonce + 1)
    other = await scene.batch(later, [stranger])
    await scene.store.plan(later, other, [submit(stranger)])
    assert await scene.store.payouts(batch.id) == [payout_of(order) for order in orders]
    await scene.store.store_attempt(lane, batch, signed(batch.nonce), NOW)
    await scene.store.mark_sent(lane, batch, signed(batch.nonce), NOW)
    [first, second] = await scene.store.in_batch(batch.id)
    held = stay(first, after(9), patch={"hold_reason": HoldReason.REFUNDED})
    assert await scene.store.apply_many([held]) == []
    [sent, _planned] = await scene.store.open_batches(lane)
    step = advance(Status.SUBMITTED, Status.CONFIRMING)
    change = BatchChange(sent, BatchStatus.MINED, MINED, step=step)
    await scene.store.apply_batch(lane, change, after(1))
    moved = await scene.store.in_batch(batch.id)
    assert [order.status for order in moved] == [Status.CONFIRMING] * 2
    assert [order.hold_reason for order in moved] == [HoldReason.REFUNDED, HoldReason.NONE]
    assert moved[1].epoch == second.epoch + 1
    assert moved[1].due_at == after(1)
    told = [event.type for event in await scene.store.events(second.id)]
    assert told.count("order.confirming") == 1
    left = await scene.store.get(stranger.id)
    assert left is not None
    assert left.status is Status.SUBMITTED
    with pytest.raises(StaleLease):
        await scene.store.apply_batch(lane, change, after(2))


LINES = (
    Line(LineKind.PRINCIPAL, 9_500),
    Line(LineKind.PROCESSING, 0),
    Line(LineKind.NETWORK, 250),
    Line(LineKind.SPREAD, 249),
    Line(LineKind.ROUNDING, 1),
)


async def mined(scene: Scene) -> tuple[Lane, Batch]:
    """A mined batch: one order confirming, one noticed as refunded, one not yet shown as mined."""
    lane = await scene.lane(address=f"0x{scene.tenant}")
    orders = [await scene.captured(lines=LINES) for _ in range(3)]
    batch = await scene.batch(lane, orders)
    await scene.store.plan(lane, batch, [submit(order) for order in orders])
    await scene.store.store_attempt(lane, batch, signed(batch.nonce), NOW)
    await scene.store.mark_sent(lane, batch, signed(batch.nonce), NOW)
    sent = replace(batch, status=BatchStatus.SENT)
    await scene.store.apply_batch(lane, BatchChange(sent, BatchStatus.MINED, MINED), after(1))
    first, second, _ = await scene.store.in_batch(batch.id)
    held = {"hold_reason": HoldReason.REFUNDED}
    shown = [move(one, Status.CONFIRMING, after(1), keeps_hold=True) for one in (first, second)]
    assert await scene.store.apply_many(shown) == []
    second = await scene.store.get(second.id)
    assert await scene.store.apply_many([stay(second, after(1), patch=held)]) == []
    return lane, replace(sent, status=BatchStatus.MINED, **MINED)


async def test_completing_a_whole_batch_does_what_completing_each_order_does(
    scene: Scene,
) -> None:
    """The same rows, books and history, whoever reads the orders: the store or the engine."""
    whole, singly = scene, Scene(scene.store)
    seen = []
    for one in (whole, singly):
        lane, batch = await mined(one)
        change = BatchChange(batch, BatchStatus.FINAL)
        if one is whole:
            change = replace(change, step=Completion(3))
        else:
            orders = await one.store.in_batch(batch.id)
            change = replace(change, orders=tuple(completed(o, after(2)) for o in orders))
        await one.store.apply_batch(lane, change, after(2))
        after_it = await one.store.in_batch(batch.id)
        books = {(b.account, b.asset): b for b in await one.store.balances(one.tenant)}
        told = [await one.store.events(order.id) for order in after_it]
        seen.append(
            (
                [(o.status, o.hold_reason, o.due_at, o.attempts, o.epoch) for o in after_it],
                [[(fact.type, fact.data) for fact in facts] for facts in told],
                books,
            )
        )
    assert seen[0] == seen[1]
    rows, _, books = seen[0]
    assert [row[:2] for row in rows] == [
        (Status.COMPLETED, HoldReason.NONE),
        (Status.COMPLETED, HoldReason.REFUNDED),
        (Status.COMPLETED, HoldReason.NONE),
    ]
    assert books[Account.SPREAD, USD].credits_posted == 3 * 249
    assert books[Account.CUSTOMER, USD].debits_posted == 3 * 10_000


async def test_a_batch_completes_with_all_its_orders_or_not_at_all(scene: Scene) -> None:
    """One that went another way meanwhile stops it: nothing is written, the batch stays mined."""
    lane, batch = await mined(scene)
    *_, third = await scene.store.in_batch(batch.id)
    gone = move(third, Status.REFUND_PENDING, after(1), bookings=(journal.unreserved(third),))
    assert await scene.store.apply_many([gone]) == []
    before = await scene.store.balances(scene.tenant)
    change = BatchChange(batch, BatchStatus.FINAL, step=Completion(3))
    with pytest.raises(InvariantBroken):
        await scene.store.apply_batch(lane, change, after(2))
    assert await scene.store.balances(scene.tenant) == before
    [still] = await scene.store.open_batches(lane)
    assert still.status is BatchStatus.MINED
    left = await scene.store.in_batch(batch.id)
    assert [order.status for order in left][:2] == [Status.CONFIRMING] * 2


async def test_changes_of_different_fields_in_one_write_touch_only_their_own(
    scene: Scene,
) -> None:
    """What one order's patch names, another's keeps."""
    held, plain = [await scene.captured() for _ in range(2)]
    mark = {"hold_reason": HoldReason.LIQUIDITY, "reason": "named"}
    assert await scene.store.apply_many([stay(held, after(3), patch=mark)]) == []
    held = (await scene.store.get(held.id)) or held
    changes = [stay(held, after(4)), stay(plain, after(5), patch={"reason": "other"})]
    assert await scene.store.apply_many(changes) == []
    kept, changed = [await scene.store.get(order.id) for order in (held, plain)]
    assert kept is not None
    assert changed is not None
    assert (kept.hold_reason, kept.reason) == (HoldReason.LIQUIDITY, "named")
    assert (changed.hold_reason, changed.reason) == (HoldReason.NONE, "other")
