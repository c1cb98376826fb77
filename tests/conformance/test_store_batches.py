"""Lanes and batches, over both stores: stale leases first."""

import asyncio
from dataclasses import replace

import pytest

from settlement.batch import Batch, BatchKind, BatchStatus, Lane
from settlement.errors import InvariantBroken, StaleLease
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Asset, Money
from settlement.order import Order, Status
from settlement.ports.chain import ChainIdentity
from settlement.ports.store import BatchChange
from settlement.transitions import move, stay
from tests.support.builders import IDENTITY, NOW, Scene, after, signed, submit

B = BatchStatus
ETH = Asset("ETH", 18, "local")


async def planned(scene: Scene, orders: int = 2) -> tuple[Lane, Batch, list[Order]]:
    lane = await scene.lane()
    members = [await scene.captured() for _ in range(orders)]
    batch = await scene.batch(lane, members)
    await scene.store.plan(lane, batch, [submit(order) for order in members])
    return lane, batch, members


async def mined(scene: Scene) -> tuple[Lane, Batch, list[Order]]:
    lane, batch, _ = await planned(scene)
    await scene.store.store_attempt(lane, batch, signed(batch.nonce), NOW)
    await scene.store.mark_sent(lane, batch, signed(batch.nonce), NOW)
    [sent] = await scene.store.open_batches(lane)
    patch = {"mined_ref": "0xtx", "block_number": 41, "block_hash": "0xb41"}
    await scene.store.apply_batch(lane, BatchChange(sent, B.MINED, patch), NOW)
    [batch] = await scene.store.open_batches(lane)
    return lane, batch, await scene.store.in_batch(batch.id)


async def test_a_lane_has_one_holder(scene: Scene) -> None:
    """Eight workers want the only lane: one gets it."""
    await scene.store.register_network("local", IDENTITY, NOW)
    await scene.store.register_lane("local", "0xlane", 0)
    claims = [scene.claims(worker=f"w{n}") for n in range(8)]
    held = [lane for lanes in await asyncio.gather(*claims) for lane in lanes]
    assert len(held) == 1
    assert await scene.store.claim_lanes("base", NOW, lease_ms=60_000, worker="w1") == []


async def test_a_plan_under_a_stale_lease_writes_nothing(scene: Scene) -> None:
    """The lane was taken over in between: no batch, no nonce, no submitted order."""
    lane = await scene.lane()
    order = await scene.captured()
    taken = await scene.claim(after(61))
    with pytest.raises(StaleLease):
        await scene.store.plan(lane, await scene.batch(lane, [order]), [submit(order)])
    assert await scene.store.open_batches(taken) == []
    assert await scene.store.get(order.id) == order
    assert (taken.next_nonce, taken.epoch) == (lane.next_nonce, lane.epoch + 1)


async def test_a_plan_with_a_nonce_that_is_not_the_lanes_next_writes_nothing(
    scene: Scene,
) -> None:
    """Neither a used nonce nor one that would leave a gap."""
    lane = await scene.lane(nonce=7)
    order = await scene.captured()
    for nonce in (6, 8):
        batch = await scene.batch(lane, [order], nonce=nonce)
        with pytest.raises(StaleLease):
            await scene.store.plan(lane, batch, [submit(order)])
    assert await scene.store.open_batches(lane) == []


async def test_a_plan_with_one_stale_order_binds_none(scene: Scene) -> None:
    """All orders or nothing, the nonce included."""
    lane = await scene.lane()
    good, gone = await scene.captured(), await scene.captured()
    changes = [submit(good), submit(gone)]
    await scene.apply(move(gone, Status.REFUND_PENDING, NOW, under_lease=False))
    with pytest.raises(StaleLease):
        await scene.store.plan(lane, await scene.batch(lane, [good, gone]), changes)
    assert await scene.store.get(good.id) == good
    again = await scene.batch(lane, [good])
    await scene.store.plan(lane, again, [submit(good)])  # the nonce is still free
    assert [batch.id for batch in await scene.store.open_batches(lane)] == [again.id]


async def test_an_order_joins_no_second_batch_while_one_may_pay_it(scene: Scene) -> None:
    """``batch_id`` guards, whatever the status says."""
    lane, batch, _ = await planned(scene)
    [order, _other] = await scene.store.in_batch(batch.id)
    later = replace(lane, next_nonce=lane.next_nonce + 1)
    change = stay(order, NOW)
    with pytest.raises(StaleLease):
        await scene.store.plan(later, await scene.batch(later, [order]), [change])
    assert await scene.store.claim_for_batch("local", after(9), limit=9, lease_ms=1) == []


async def test_a_plan_that_counts_other_orders_than_it_binds_is_our_bug(scene: Scene) -> None:
    """The root is over as many payouts as there are orders."""
    lane = await scene.lane()
    order = await scene.captured()
    batch = await scene.batch(lane, [order], order_count=2)
    with pytest.raises(InvariantBroken):
        await scene.store.plan(lane, batch, [submit(order)])


async def test_a_plan_binds_its_orders_in_place(scene: Scene) -> None:
    """Index by index; the next batch takes the next nonce."""
    lane, batch, members = await planned(scene, orders=3)
    stored = await scene.store.in_batch(batch.id)
    assert [order.id for order in stored] == [order.id for order in members]
    assert [order.batch_index for order in stored] == [0, 1, 2]
    assert await scene.store.open_batches(lane) == [batch]
    following = replace(lane, next_nonce=lane.next_nonce + 1)
    order = await scene.captured()
    second = await scene.batch(following, [order])
    await scene.store.plan(following, second, [submit(order)])
    assert [b.nonce for b in await scene.store.open_batches(lane)] == [7, 8]


async def test_signed_bytes_are_not_stored_under_a_stale_lease(scene: Scene) -> None:
    """Nor marked sent, nor applied, nor does the release free another's lane."""
    lane, batch, _ = await planned(scene)
    owner = await scene.claim(after(61))
    for write in (
        scene.store.store_attempt(lane, batch, signed(7), NOW),
        scene.store.mark_sent(lane, batch, signed(7), NOW),
        scene.store.apply_batch(lane, BatchChange(batch, B.CANCELLED), NOW),
    ):
        with pytest.raises(StaleLease):
            await write
    await scene.store.release_lane(lane)
    assert await scene.claims(after(62)) == []
    assert await scene.store.open_batches(owner) == [batch]


async def test_a_mined_batch_takes_no_replacement(scene: Scene) -> None:
    """The original has used up the nonce."""
    lane, batch, _ = await mined(scene)
    with pytest.raises(StaleLease):
        await scene.store.store_attempt(lane, batch, signed(7, "0xnew"), NOW)


async def test_an_attempt_with_another_nonce_is_our_bug(scene: Scene) -> None:
    """Attempts exclude each other because they share the nonce."""
    lane, batch, _ = await planned(scene)
    with pytest.raises(InvariantBroken):
        await scene.store.store_attempt(lane, batch, signed(8), NOW)


async def test_bytes_that_were_never_stored_cannot_have_been_sent(scene: Scene) -> None:
    """Store, then send."""
    lane, batch, _ = await planned(scene)
    await scene.store.store_attempt(lane, batch, signed(7), NOW)
    with pytest.raises(InvariantBroken):
        await scene.store.mark_sent(lane, batch, signed(7, "0xother"), NOW)


async def test_attempts_come_back_byte_for_byte_oldest_first(scene: Scene) -> None:
    """Storing the same bytes twice is one attempt; the first sending counts."""
    lane, batch, _ = await planned(scene)
    first, second = signed(7, "0xz"), signed(7, "0xa", fee_wei=10**30)
    await scene.store.store_attempt(lane, batch, first, after(1))
    await scene.store.store_attempt(lane, batch, first, after(2))
    [stored] = await scene.store.open_batches(lane)
    assert stored.status is B.SIGNED
    await scene.store.mark_sent(lane, stored, first, after(3))
    await scene.store.mark_sent(lane, stored, first, after(4))
    await scene.store.store_attempt(lane, stored, second, after(5))
    [stored] = await scene.store.open_batches(lane)
    assert stored.status is B.SENT
    assert [attempt.transaction for attempt in stored.attempts] == [first, second]
    assert [attempt.sent_at for attempt in stored.attempts] == [after(3), None]


async def test_a_batch_that_moved_on_is_not_changed_again(scene: Scene) -> None:
    """Two decisions over one reading: the second is stale."""
    lane, batch, _ = await mined(scene)
    await scene.store.apply_batch(lane, BatchChange(batch, B.SENT), NOW)  # a reorganisation
    with pytest.raises(StaleLease):
        await scene.store.apply_batch(lane, BatchChange(batch, B.FINAL), NOW)


async def test_an_edge_that_the_table_does_not_list_is_our_bug(scene: Scene) -> None:
    """A planned batch cannot be final."""
    lane, batch, _ = await planned(scene)
    with pytest.raises(InvariantBroken):
        await scene.store.apply_batch(lane, BatchChange(batch, B.FINAL), NOW)


async def test_a_final_batch_with_one_stale_order_changes_nothing(scene: Scene) -> None:
    """Neither the batch, nor the other order, nor the platform's books, nor the anchor."""
    lane, batch, members = await mined(scene)
    changes = tuple(
        move(o, Status.COMPLETED, NOW, bookings=(journal.completed(o),), under_lease=False)
        for o in members
    )
    await scene.apply(move(members[1], Status.CONFIRMING, NOW, under_lease=False))
    gas = journal.gas_spent(Money(10**20, ETH))
    with pytest.raises(StaleLease):
        await scene.store.apply_batch(lane, BatchChange(batch, B.FINAL, {}, changes, (gas,)), NOW)
    assert await scene.store.open_batches(lane) == [batch]
    assert await scene.store.get(members[0].id) == members[0]
    assert await scene.store.balances(PLATFORM) == []
    assert (await scene.store.network("local")).anchor_number is None


async def test_a_final_batch_completes_its_orders_and_anchors_the_network(
    scene: Scene,
) -> None:
    """One transaction; gas goes to the platform's books; history keeps the batch."""
    lane, batch, members = await mined(scene)
    changes = tuple(
        move(o, Status.COMPLETED, NOW, bookings=(journal.completed(o),), under_lease=False)
        for o in members
    )
    gas = journal.gas_spent(Money(10**20, ETH))
    await scene.store.apply_batch(lane, BatchChange(batch, B.FINAL, {}, changes, (gas,)), NOW)
    assert await scene.store.open_batches(lane) == []
    assert {o.status for o in await scene.store.in_batch(batch.id)} == {Status.COMPLETED}
    assert await scene.store.totals(Account.GAS, ETH) == 10**20
    state = await scene.store.network("local")
    assert (state.anchor_number, state.anchor_hash) == (41, "0xb41")


async def test_orders_of_a_cancelled_batch_may_join_another(scene: Scene) -> None:
    """Leaving clears the place too, and the nonce may be planned again by a new batch."""
    lane, batch, _ = await planned(scene)
    members = await scene.store.in_batch(batch.id)
    changes = tuple(
        replace(stay(order, NOW, patch={"batch_id": None}), epoch=None) for order in members
    )
    await scene.store.apply_batch(lane, BatchChange(batch, B.CANCELLED, {}, changes), NOW)
    found = await scene.store.claim_for_batch("local", after(9), limit=9, lease_ms=1)
    assert {order.id for order in found} == {order.id for order in members}
    assert {(order.batch_id, order.batch_index) for order in found} == {(None, None)}


async def test_a_released_lane_is_free_at_once(scene: Scene) -> None:
    """With its nonce count and a new epoch."""
    lane = await scene.lane()
    await scene.store.release_lane(lane)
    again = await scene.claim()
    assert (again.id, again.epoch, again.next_nonce) == (lane.id, lane.epoch + 1, 7)


async def test_registering_a_lane_again_keeps_our_own_nonce_count(scene: Scene) -> None:
    """On the same chain instance a node's answer never overrules what we have given out."""
    lane, _batch, _ = await planned(scene)
    await scene.store.register_lane("local", lane.address, 3)
    again = await scene.claim(after(61))
    assert again.next_nonce == 8


async def test_a_new_chain_instance_resets_lanes_and_ends_old_leases(scene: Scene) -> None:
    """Running, without an anchor; a worker of the old chain can write nothing."""
    lane, batch, _ = await mined(scene)
    other = ChainIdentity("0xnew", "0xvault2", "0xcode2")
    await scene.store.register_network("local", other, after(5))
    await scene.store.register_lane("local", lane.address, 0)
    state = await scene.store.network("local")
    assert (state.instance, state.identity, state.anchor_hash) == (2, other, None)
    with pytest.raises(StaleLease):
        await scene.store.apply_batch(lane, BatchChange(batch, B.FINAL), NOW)
    fresh = await scene.claim(after(5))
    assert fresh.next_nonce == 0


async def test_a_replaced_chain_takes_its_open_batches_with_it(scene: Scene) -> None:
    """They are cancelled, can be decided by nobody, and do not anchor the new chain."""
    lane, batch, _ = await mined(scene)
    await scene.store.register_network("local", IDENTITY, after(5))
    await scene.store.register_lane("local", lane.address, 0)
    fresh = await scene.claim(after(5))
    assert await scene.store.open_batches(fresh) == []
    with pytest.raises(StaleLease):
        await scene.store.apply_batch(fresh, BatchChange(batch, B.FINAL), NOW)
    assert (await scene.store.network("local")).anchor_number is None


async def test_a_stopped_network_keeps_its_first_reason(scene: Scene) -> None:
    """The first mismatch is what a person has to look into."""
    assert await scene.store.network("local") is None
    await scene.store.register_network("local", IDENTITY, NOW)
    await scene.store.stop_network("local", "genesis differs", NOW)
    await scene.store.stop_network("local", "later", NOW)
    assert (await scene.store.network("local")).stop_reason == "genesis differs"


async def test_a_lane_needs_a_network(scene: Scene) -> None:
    """Registering in the wrong order is our bug."""
    with pytest.raises(InvariantBroken):
        await scene.store.register_lane("nowhere", "0xlane", 0)


async def test_batch_ids_are_never_given_twice(scene: Scene) -> None:
    """The id is the on-chain replay guard."""
    ids = await asyncio.gather(*(scene.store.new_batch_id() for _ in range(20)))
    assert len(set(ids)) == 20


async def test_a_single_that_carries_anything_but_its_orders_coins_is_our_bug(
    scene: Scene,
) -> None:
    """What leaves the lane's account is what one order is owed."""
    lane = await scene.lane()
    coins = [await scene.captured(token=Money(7 * 10**18, ETH)) for _ in range(2)]
    dollars = await scene.captured()
    owed = dollars.token.amount_minor
    for orders, value, kind in (
        (coins[:1], 1, BatchKind.SINGLE),
        (coins, 14 * 10**18, BatchKind.SINGLE),
        ([dollars], owed, BatchKind.SINGLE),
        (coins[:1], 7 * 10**18, BatchKind.PAYOUT),
    ):
        batch = await scene.batch(lane, orders, asset=ETH, kind=kind, value_minor=value)
        with pytest.raises(InvariantBroken):
            await scene.store.plan(lane, batch, [submit(order) for order in orders])


async def test_a_single_comes_back_with_what_it_carries(scene: Scene) -> None:
    """Lanes set it aside."""
    lane = await scene.lane()
    order = await scene.captured(token=Money(7 * 10**18, ETH))
    single = {"asset": ETH, "kind": BatchKind.SINGLE, "value_minor": 7 * 10**18}
    await scene.store.plan(lane, await scene.batch(lane, [order], **single), [submit(order)])
    [stored] = await scene.store.open_batches(lane)
    assert (stored.asset, stored.kind, stored.value_minor) == tuple(single.values())
