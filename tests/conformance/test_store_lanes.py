"""Who works which lane, pauses, and nonces, over both stores: refusals first."""

from dataclasses import replace

import pytest

from settlement.batch import BatchKind, BatchStatus
from settlement.errors import InvariantBroken, StaleLease
from settlement.order import HoldReason, Status
from settlement.ports.chain import ContractCall, Head
from settlement.ports.store import BatchChange, RequestedCall
from settlement.transitions import stay
from tests.conformance.test_store_batches import planned
from tests.support.builders import IDENTITY, NOW, Scene, after, signed, submit

B = BatchStatus


async def with_lanes(scene: Scene, count: int) -> None:
    await scene.store.register_network("local", IDENTITY, NOW)
    for number in range(count):
        await scene.store.register_lane("local", f"0xlane{number}", 0)


async def test_somebody_who_woke_late_neither_stops_nor_cancels_nor_refuses(scene: Scene) -> None:
    """What it found out compares the chain with what we knew long ago."""
    lane, batch, _ = await planned(scene)
    call = RequestedCall("call_1", "local", lane.address, ContractCall("0xto", b"data"))
    assert await scene.store.request_call(call, NOW)
    owner = await scene.claim(after(61))
    for write in (
        scene.store.stop_network("local", "the nonce differs", NOW, lane=lane),
        scene.store.ask(batch.id, NOW, cancel=True, lane=lane),
        scene.store.refuse_call(lane, call.id, "reverted", NOW),
        scene.store.count_from(lane, 9),
        scene.store.fill_gap(lane, await scene.batch(lane, [], nonce=7)),
    ):
        with pytest.raises(StaleLease):
            await write
    assert not await scene.store.renew_lane(lane, NOW, lease_ms=1)
    assert not await scene.store.mark_low(lane, True, NOW)
    assert (await scene.store.network("local")).stop_reason is None
    assert await scene.store.requested_calls(owner, limit=9) == [call]
    assert await scene.store.open_batches(owner) == [batch]
    [state] = await scene.store.lanes("local")
    assert (state.lane.next_nonce, state.lane.low_since) == (8, None)


async def test_no_lane_starves_beside_workers_that_give_theirs_back_at_once(scene: Scene) -> None:
    """Whoever looks finds the same lanes free again and again; each of them has its turn."""
    await with_lanes(scene, 4)
    taken: set[int] = set()
    for beat in range(8):
        worker = f"wrk_{beat % 2}"
        lanes = await scene.store.claim_lanes("local", after(beat), lease_ms=10_000, worker=worker)
        if beat > 1:  # by then each knows of the other, and takes half
            taken |= {lane.id for lane in lanes}
            assert len(lanes) == 2
        for lane in lanes:
            await scene.store.release_lane(lane)
    assert len(taken) == 4


async def test_a_stopped_network_plans_and_signs_nothing(scene: Scene) -> None:
    """Whoever was in the middle of it when another lane found the trouble stops there."""
    lane, batch, _ = await planned(scene)
    order = await scene.captured()
    await scene.store.stop_network("local", "a person decides", NOW)
    later = replace(lane, next_nonce=lane.next_nonce + 1)
    with pytest.raises(StaleLease):
        await scene.store.plan(later, await scene.batch(later, [order]), [submit(order)])
    with pytest.raises(StaleLease):
        await scene.store.store_attempt(lane, batch, signed(batch.nonce), NOW)
    assert await scene.store.open_batches(lane) == [batch]


@pytest.mark.parametrize("what", ["network", "lane"])
async def test_what_is_paused_plans_nothing_and_follows_what_it_has(
    scene: Scene, what: str
) -> None:
    """Signing and concluding go on; a resumed one plans again."""
    lane, batch, _ = await planned(scene)
    order = await scene.captured()
    where = ("local",) if what == "network" else ("local", lane.address)
    pause = getattr(scene.store, f"pause_{what}")
    resume = getattr(scene.store, f"resume_{what}")
    assert await pause(*where, NOW, by="op_1")
    assert not await pause(*where, NOW, by="op_2")
    following = replace(lane, next_nonce=lane.next_nonce + 1)
    with pytest.raises(StaleLease):
        await scene.store.plan(following, await scene.batch(following, [order]), [submit(order)])
    await scene.store.store_attempt(lane, batch, signed(batch.nonce), NOW)
    assert await resume(*where, NOW)
    assert not await resume(*where, NOW)
    await scene.store.plan(following, await scene.batch(following, [order]), [submit(order)])


async def test_a_pause_says_since_when_and_by_whom(scene: Scene) -> None:
    """The first one counts; a network or lane that nobody knows cannot be paused."""
    await with_lanes(scene, 1)
    assert not await scene.store.pause_network("nowhere", NOW, by="op_1")
    assert not await scene.store.pause_lane("local", "0xnobody", NOW, by="op_1")
    await scene.store.pause_network("local", NOW, by="op_1")
    await scene.store.pause_lane("local", "0xlane0", after(1), by="op_2")
    state = await scene.store.network("local")
    [lane] = await scene.store.lanes("local")
    assert (state.paused_at, state.paused_by) == (NOW, "op_1")
    assert (lane.lane.paused_at, lane.paused_by) == (after(1), "op_2")


async def test_a_resumed_network_looks_at_its_held_orders_at_once(scene: Scene) -> None:
    """Those held for another reason wait as long as they were told to."""
    await with_lanes(scene, 1)
    paused, poor = await scene.captured(), await scene.captured()
    for order, reason in ((paused, HoldReason.PAUSED), (poor, HoldReason.LIQUIDITY)):
        await scene.apply(stay(order, after(600), patch={"hold_reason": reason}))
    await scene.store.pause_network("local", NOW, by="op_1")
    await scene.store.resume_network("local", after(5))
    found = await scene.store.claim_for_batch("local", after(5), limit=9, lease_ms=1)
    assert [order.id for order in found] == [paused.id]
    [lane] = await scene.claims(after(5))
    assert await scene.store.mark_low(lane, True, after(5))
    assert not await scene.store.mark_low(lane, True, after(6))
    assert await scene.store.mark_low(lane, False, after(7))
    found = await scene.store.claim_for_batch("local", after(7), limit=9, lease_ms=1)
    assert poor.id in [order.id for order in found]


async def test_workers_have_equal_shares_of_the_lanes(scene: Scene) -> None:
    """The first takes all; once a second is seen, it keeps no more than half."""
    await with_lanes(scene, 4)
    first = await scene.claims(worker="w1", s=10)
    assert len(first) == 4
    assert await scene.claims(after(1), worker="w2", s=10) == []
    for lane in first:
        await scene.store.release_lane(lane)
    assert len(await scene.claims(after(2), worker="w1", s=10)) == 2
    assert await scene.claims(after(2), worker="w1", s=10) == []
    assert len(await scene.claims(after(2), worker="w2", s=10)) == 2


async def test_the_lanes_of_a_dead_worker_go_to_the_living_within_a_lease(scene: Scene) -> None:
    """It neither renews nor is seen; one that ends in order frees its part at once."""
    await with_lanes(scene, 4)
    await scene.claims(worker="dead", s=10)
    assert await scene.claims(after(9), worker="w2", s=10) == []
    assert len(await scene.claims(after(10), worker="w2", s=10)) == 4
    await scene.claims(after(11), worker="w3", s=10)
    await scene.store.leave_lanes("w2")
    for state in await scene.store.lanes("local"):
        await scene.store.release_lane(state.lane)
    assert len(await scene.claims(after(12), worker="w3", s=10)) == 4


async def test_a_renewed_lease_lasts_and_keeps_its_epoch(scene: Scene) -> None:
    """A long look at a slow node is no reason to lose the lane."""
    lane = await scene.lane()
    assert await scene.store.renew_lane(lane, after(59), lease_ms=60_000)
    assert await scene.claims(after(61), worker="other") == []
    [state] = await scene.store.lanes("local")
    assert (state.lane.epoch, state.leased_until) == (lane.epoch, after(119))


async def test_nonces_that_were_given_out_are_never_counted_again(scene: Scene) -> None:
    """Neither an open batch's nor one that a block used up."""
    lane, batch, _ = await planned(scene)
    [lane] = await scene.claims(after(61))
    for nonce in (6, 7):
        with pytest.raises((InvariantBroken, StaleLease)):
            await scene.store.count_from(lane, nonce)
    place = {"block_number": 4, "block_hash": "0xb4", "mined_ref": "0xtx"}
    members = await scene.store.in_batch(batch.id)
    gone = tuple(replace(stay(o, NOW, patch={"batch_id": None}), epoch=None) for o in members)
    await scene.store.apply_batch(lane, BatchChange(batch, B.CANCELLED, place, gone), NOW)
    assert await scene.store.taken_nonces(lane, 0) == [7]
    with pytest.raises(InvariantBroken):
        await scene.store.count_from(lane, 7)


async def test_a_nonce_that_nobody_used_is_given_out_again(scene: Scene) -> None:
    """Its batch was cancelled without a block: the count goes back, under the lease."""
    lane, batch, _ = await planned(scene)
    [lane] = await scene.claims(after(61))
    members = await scene.store.in_batch(batch.id)
    gone = tuple(replace(stay(o, NOW, patch={"batch_id": None}), epoch=None) for o in members)
    await scene.store.apply_batch(lane, BatchChange(batch, B.CANCELLED, {}, gone), NOW)
    assert await scene.store.taken_nonces(lane, 0) == []
    await scene.store.count_from(lane, 7)
    with pytest.raises(StaleLease):
        await scene.store.count_from(lane, 7)  # what was read has moved
    [state] = await scene.store.lanes("local")
    assert state.lane.next_nonce == 7


async def test_a_gap_is_filled_by_a_batch_that_pays_nobody(scene: Scene) -> None:
    """Below the count, at a nonce without a batch, once."""
    lane, batch, _ = await planned(scene)
    [lane] = await scene.claims(after(61))
    filler = {"kind": BatchKind.CALL, "root": ""}
    with pytest.raises(InvariantBroken):
        await scene.store.fill_gap(lane, await scene.batch(lane, [], nonce=8, **filler))
    with pytest.raises(StaleLease):
        await scene.store.fill_gap(lane, await scene.batch(lane, [], nonce=7, **filler))
    await scene.store.count_from(lane, 9)
    [lane] = await scene.claims(after(122))
    gap = await scene.batch(lane, [], nonce=8, **filler)
    await scene.store.fill_gap(lane, gap)
    with pytest.raises(StaleLease):
        await scene.store.fill_gap(lane, await scene.batch(lane, [], nonce=8, **filler))
    stored = await scene.store.open_batches(lane)
    assert [b.nonce for b in stored] == [7, 8]
    assert stored[1] == replace(gap, cancel_asked_at=gap.planned_at)
    assert (await scene.store.in_batch(batch.id))[0].status is Status.SUBMITTED


async def test_a_stop_is_taken_back_only_for_the_reason_that_was_looked_into(scene: Scene) -> None:
    """Another one may have been found meanwhile; and what runs is not started."""
    await with_lanes(scene, 1)
    assert not await scene.store.start_network("local", "the nonce differs")
    await scene.store.stop_network("local", "the nonce differs", NOW)
    assert not await scene.store.start_network("local", "genesis differs")
    assert not await scene.store.start_network("nowhere", "the nonce differs")
    assert (await scene.store.network("local")).stop_reason == "the nonce differs"
    assert await scene.store.start_network("local", "the nonce differs")
    assert (await scene.store.network("local")).stop_reason is None


async def test_the_head_is_remembered_with_the_moment_it_moved(scene: Scene) -> None:
    """A chain that stands still gets older; a successor starts without a head."""
    await scene.store.note_head("nowhere", Head(1, "0xh", 0), NOW)
    await with_lanes(scene, 1)
    seen = []
    for second, number, final in ((1, 20, 18), (2, 20, 18), (3, 20, 19), (4, 19, 19)):
        await scene.store.note_head("local", Head(number, "0xh", final), after(second))
        state = await scene.store.network("local")
        seen.append((state.head_number, state.final_number, state.head_at))
    moved = [(20, 18, after(1)), (20, 18, after(1)), (20, 19, after(3)), (19, 19, after(4))]
    assert seen == moved
    await scene.store.register_network("local", replace(IDENTITY, genesis_hash="0xnew"), NOW)
    state = await scene.store.network("local")
    assert (state.head_number, state.final_number, state.head_at) == (None, None, None)


async def test_bytes_are_said_again_only_while_their_batch_is_open(scene: Scene) -> None:
    """Asked for, they are due at the next look, whenever they were said last."""
    lane, batch, _ = await planned(scene)
    transaction = signed(batch.nonce)
    await scene.store.store_attempt(lane, batch, transaction, NOW)
    await scene.store.mark_sent(lane, batch, transaction, NOW)
    assert not await scene.store.ask_again(batch.id + 1)
    assert await scene.store.ask_again(batch.id)
    [stored] = await scene.store.open_batches(lane)
    assert (stored.status, stored.reminded_at, len(stored.attempts)) == (B.SENT, None, 1)
    members = await scene.store.in_batch(batch.id)
    gone = tuple(replace(stay(o, NOW, patch={"batch_id": None}), epoch=None) for o in members)
    await scene.store.apply_batch(lane, BatchChange(stored, B.CANCELLED, {}, gone), NOW)
    assert not await scene.store.ask_again(batch.id)
