"""Steps of whole batches and changes of several kinds at once, over both stores."""

from dataclasses import replace

import pytest

from settlement.batch import BatchStatus, payout_of
from settlement.errors import InvariantBroken, StaleLease
from settlement.order import HoldReason, Status
from settlement.ports.store import BatchChange
from settlement.transitions import advance, stay
from tests.support.builders import NOW, Scene, after, signed, submit

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
    change = BatchChange(sent, BatchStatus.MINED, MINED, advance=step)
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
