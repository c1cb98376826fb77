"""What has gone wrong in systems of this kind, each as a test on a chain behind bad endpoints.

From the issue trackers of those that run today; see the project's design, "What goes wrong in such
systems".
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bridge.payments.emulator.delivery import signature
from settlement.ledger.accounts import Account
from settlement.order import HoldReason, Status
from settlement.stages import capture, charge, inbox, screen
from tests.chain.world import fresh_address
from tests.flows.bridge import STOCK, WEBHOOK_SECRET, Bridge
from tests.flows.conftest import needs_anvil
from tests.flows.faulty import FaultyBridge, MinedWhileSigning, open_faulty
from tests.flows.test_settlement import BeforeSending, captured
from tests.support.faulty_rpc import SEND

pytestmark = needs_anvil

DONE = Status.COMPLETED


@pytest.fixture
async def faulty(bridge: Bridge, emulator_url: str) -> AsyncIterator[FaultyBridge]:
    """The flows' deployment behind proxies."""
    with ExitStack() as stack:
        opened = await open_faulty(stack, bridge, emulator_url)
        yield opened
        for source in (*opened.rpcs, opened.stripe):
            source.faults.lift()


async def test_1_a_retry_after_a_timeout_broadcasts_no_second_payment(faulty):
    """Every endpoint takes the bytes and answers nobody: what follows is the same bytes."""
    order_id = await captured(faulty.bridge)
    faulty.every("timeout_after", SEND)
    await faulty.reach(order_id, DONE)
    assert faulty.seen("timeout_after") == len(faulty.rpcs)
    assert len(await faulty.attempts()) == 1
    await faulty.paid_once(order_id)


async def test_2_a_settlement_that_takes_too_long_is_not_reported_as_failed(faulty):
    """All endpoints are away for a day after the sending: no refund, no second batch, no exit."""
    order_id = await captured(faulty.bridge)
    await faulty.reach(order_id, Status.SUBMITTED)
    faulty.everywhere(http_500=1.0)
    for _ in range(6):
        await faulty.step()
        faulty.bridge.clock.ahead += timedelta(hours=4)
    assert (await faulty.bridge.order(order_id)).status is Status.SUBMITTED
    faulty.everywhere()
    await faulty.reach(order_id, DONE)
    await faulty.paid_once(order_id)


async def test_3_a_failed_broadcast_leaves_no_gap_in_the_nonces(faulty):
    """The first batch never left; the second got the next nonce: both arrive, in order."""
    first = await captured(faulty.bridge)
    faulty.every("drop_before", SEND)
    await faulty.reach(first, Status.SUBMITTED)
    assert faulty.seen("drop_before") == len(faulty.rpcs)
    second = await captured(faulty.bridge)
    await faulty.reach(second, DONE)
    await faulty.reach(first, DONE)
    await faulty.paid_once(first)
    await faulty.paid_once(second)


GWEI = 10**9


@pytest.fixture
async def gas(faulty: FaultyBridge) -> AsyncIterator[Callable[[int], None]]:
    """Sets what the next blocks ask for a unit of gas; one comes only when somebody mines it."""
    world = faulty.bridge.world

    def costs(base_fee_wei: int) -> None:
        world.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        world.rpc("evm_mine")

    world.rpc("evm_setAutomine", False)
    costs(GWEI)
    yield costs
    world.rpc("evm_setAutomine", True)
    costs(GWEI)


async def sent(faulty: FaultyBridge, order_id: str) -> str:
    """The first transaction that pays the order, once it is in the pool."""
    world = faulty.bridge.world

    async def in_the_pool() -> str | None:
        refs = [str(attempt["ref"]) for attempt in await faulty.attempts()]
        known = [ref for ref in refs if world.rpc("eth_getTransactionByHash", ref)]
        return known[0] if known else None

    assert (await faulty.bridge.order(order_id)).status is Status.CAPTURED
    return str(await faulty.settled(in_the_pool, "the transaction in the pool"))


async def test_4_above_the_cap_an_evicted_transaction_waits_until_gas_falls(faulty, gas):
    """It bids the cap and no more, and the pool forgets it: said again all the while, never
    dropped, and mined when gas has fallen below the cap."""
    bridge, world = faulty.bridge, faulty.bridge.world
    bridge.with_policy(fee_caps_wei={"local": 10 * GWEI})
    order_id = await captured(bridge)
    await sent(faulty, order_id)
    gas(50 * GWEI)
    bridge.with_policy(bump_ms=0, rebroadcast_ms=0)
    for _ in range(4):
        for attempt in await faulty.attempts():
            world.rpc("anvil_dropTransaction", attempt["ref"])
        said = len(faulty.rpcs[0].sent)
        await faulty.settled(lambda heard=said: len(faulty.rpcs[0].sent) > heard, "said again")
    first, last = await faulty.attempts()
    assert first["max_fee_wei"] < last["max_fee_wei"] == 10 * GWEI
    assert (await bridge.order(order_id)).status is Status.SUBMITTED
    gas(3 * GWEI)
    await faulty.reach(order_id, DONE)
    assert len(await faulty.attempts()) == 2
    await faulty.paid_once(order_id)


TAKEN_ALL_THE_SAME = {
    "already known": {"code": -32000, "message": "already known"},
    "wrapped": {"code": -32603, "message": "Internal error", "data": {"message": "already known"}},
    "nonce too low": {"code": -32000, "message": "nonce too low: next nonce 1, tx nonce 0"},
    "nonce too low, wrapped": {"code": -32603, "message": "err: nonce too low (supplied 0)"},
    "in no table": {"code": -32099, "message": "Unbekannter Fehler 0x7b"},
}


@pytest.mark.parametrize("name", TAKEN_ALL_THE_SAME)
async def test_5_an_error_about_bytes_that_were_taken_is_no_failure(faulty, name):
    """Whatever the node says, the receipt decides; and nobody pauses all endpoints for it."""
    for rpc in faulty.rpcs:
        rpc.refusal = TAKEN_ALL_THE_SAME[name]
    order_id = await captured(faulty.bridge)
    faulty.every("wrapped_error", SEND, times=3)
    await faulty.reach(order_id, DONE)
    assert faulty.seen("wrapped_error") > 0
    await faulty.paid_once(order_id)
    after = await captured(faulty.bridge)
    await faulty.reach(after, DONE)
    await faulty.paid_once(after)


async def test_6_a_lagging_endpoints_empty_receipt_fails_nothing(faulty):
    """Seen in a block, then absent everywhere for a while: nobody is paid again or refunded."""
    order_id = await captured(faulty.bridge)
    await faulty.reach(order_id, Status.CONFIRMING)
    faulty.everywhere(lagging_receipt=1.0)
    for _ in range(8):
        await faulty.step()
        faulty.bridge.clock.ahead += timedelta(minutes=5)
    assert faulty.seen("lagging_receipt") > 0
    assert (await faulty.bridge.order(order_id)).status is Status.CONFIRMING
    faulty.everywhere()
    await faulty.reach(order_id, DONE)
    told = await faulty.bridge.event_types(order_id)
    assert "order.requeued" not in told
    assert "order.reorganized" not in told
    await faulty.paid_once(order_id)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_7_a_replacement_signed_after_the_original_was_mined_pays_nobody_again(
    faulty, gas, when
):
    """The block comes before the replacement is priced, or between its signature and sending."""
    gas(GWEI)
    bridge = faulty.bridge
    order_id = await captured(bridge)
    original = await sent(faulty, order_id)
    bridge.with_policy(bump_ms=0, rebroadcast_ms=0)
    late = MinedWhileSigning(bridge.chain, when, lambda: bridge.world.rpc("evm_mine"))
    bridge.ports = replace(bridge.ports, chains={"local": late})
    await faulty.settled(lambda: late.happened, "a replacement")
    await faulty.reach(order_id, DONE)
    attempts = await faulty.attempts()
    assert len(attempts) == (2 if when == "after" else 1)
    [batch] = {(a["batch_id"], a["batch_status"]) for a in attempts}
    mined = await bridge.queries.settlement(bridge.tenant, batch[0])
    assert (batch[1], mined.batch.mined_ref) == ("final", original)
    await faulty.paid_once(order_id)


async def test_7_a_replacement_bids_a_tenth_more_with_gas_estimated_anew_and_is_sent_until_taken(
    faulty, gas
):
    """Gas has fallen since, the wallet was emptied, and nobody heard of the bump at first."""
    bridge, world = faulty.bridge, faulty.bridge.world
    wallet = fresh_address()
    mint = world.dollar.functions.mint(wallet, 1)._encode_transaction_data()
    world.rpc("eth_sendRawTransaction", world.sign(world.owner, to=world.dollar.address, data=mint))
    gas(4 * GWEI)
    order_id = await captured(bridge, wallet=wallet)
    await sent(faulty, order_id)
    emptied_by_its_owner(faulty, wallet)
    bridge.with_policy(bump_ms=0, rebroadcast_ms=0)
    faulty.every("drop_before", SEND)
    first, second = await faulty.settled(partial(two_attempts, faulty), "a second attempt")
    assert faulty.seen("drop_before") == len(faulty.rpcs)
    assert second["sent_at"] is None
    assert second["max_fee_wei"] * 10 >= first["max_fee_wei"] * 11
    assert second["priority_fee_wei"] * 10 >= first["priority_fee_wei"] * 11
    assert second["gas_limit"] > first["gas_limit"]
    bridge.with_policy(bump_ms=600_000)
    await faulty.settled(
        lambda: world.rpc("eth_getTransactionByHash", second["ref"]), "the bump in the pool"
    )
    order = await faulty.reach(order_id, DONE)
    assert len(await faulty.attempts()) == 2
    assert faulty.transfers(wallet) == [1, order.token.amount_minor]


async def two_attempts(faulty: FaultyBridge) -> list[Any]:
    attempts = await faulty.attempts()
    return attempts if len(attempts) > 1 else []


def emptied_by_its_owner(faulty: FaultyBridge, wallet: str) -> None:
    """In a block that is too dear for what is in the pool; the next ones are cheap again."""
    world = faulty.bridge.world
    away = world.dollar.functions.transfer(fresh_address(), 1)._encode_transaction_data()
    world.rpc("anvil_setBalance", wallet, hex(10**18))
    world.rpc("anvil_impersonateAccount", wallet)
    call = {"from": wallet, "to": world.dollar.address, "data": away, "gas": hex(100_000)}
    world.rpc("eth_sendTransaction", {**call, "maxFeePerGas": hex(900 * GWEI)})
    world.rpc("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
    world.rpc("evm_mine")
    assert world.balance(wallet) == 0
    world.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    world.rpc("anvil_mine", "0x0")


async def test_8_what_a_reorganisation_took_from_chain_and_pool_is_said_again(faulty):
    """One endpoint still shows the old fork; the other two know better, and get the bytes."""
    bridge = faulty.bridge
    order_id = await captured(bridge)
    bridge.world.rpc("evm_mine")
    faulty.rpcs[0].faults.rates = {"stale_answer": 0.0}  # remembers what it answers
    order = await faulty.reach(order_id, Status.CONFIRMING)
    mined = await bridge.queries.settlement(bridge.tenant, order.batch_id)
    head = int(bridge.world.rpc("eth_blockNumber"), 16)
    said = [len(rpc.sent) for rpc in faulty.rpcs]
    bridge.world.rpc("anvil_reorg", head - mined.batch.block_number + 1, [])
    assert faulty.transfers(order.wallet) == []
    faulty.rpcs[0].faults.order("stale_answer", times=3)
    bridge.with_policy(rebroadcast_ms=0)
    await faulty.reach(order_id, DONE)
    assert sum(len(rpc.sent) for rpc in faulty.rpcs) > sum(said)
    assert len({raw for rpc in faulty.rpcs for raw in rpc.sent}) == 1, "other bytes were signed"
    assert "order.reorganized" in await bridge.event_types(order_id)
    await faulty.paid_once(order_id)


async def test_9_a_reverted_transaction_has_used_up_its_nonce(faulty):
    """The vault was empty when the block came: the next batch has the next nonce and pays."""
    bridge = faulty.bridge
    world = bridge.world
    order_id = await captured(bridge)
    thief = BeforeSending(bridge.chain, lambda: world.drain(world.balance(world.vault.address)))
    bridge.ports = replace(bridge.ports, chains={"local": thief})
    await bridge.until(order_id, lambda order: order.batch_id is not None)
    await bridge.until(order_id, lambda order: order.batch_id is None)
    world.stock(STOCK)
    await faulty.reach(order_id, DONE)
    attempts = await faulty.attempts()
    assert [a["batch_status"] for a in attempts] == ["reverted", "final"]
    assert attempts[1]["nonce"] == attempts[0]["nonce"] + 1
    await faulty.paid_once(order_id)


async def test_10_one_endpoints_fee_cap_or_rate_limit_does_not_lose_the_attempt(faulty):
    """One does not like the fee, one is busy, one is away: later they get the same bytes."""
    capped, busy, away = faulty.rpcs
    capped.refusal = {"code": -32000, "message": "tx fee (2.1 ether) exceeds the configured cap"}
    capped.faults.order("refused", SEND)
    busy.faults.order("http_429", SEND)
    away.faults.order("drop_before", SEND)
    order_id = await captured(faulty.bridge)
    await faulty.reach(order_id, DONE)
    assert [faulty.seen(kind) for kind in ("refused", "http_429", "drop_before")] == [1, 1, 1]
    assert len(await faulty.attempts()) == 1
    assert len({raw for rpc in faulty.rpcs for raw in rpc.sent}) == 1
    await faulty.paid_once(order_id)


async def test_11_two_deliveries_of_one_webhook_at_once_are_one_event(faulty):
    """Both are answered 2xx, the event is worked once, and its loss is booked once."""
    bridge = faulty.bridge
    order_id = await captured(bridge)
    order = await faulty.reach(order_id, DONE)
    params = {"payment_intent": order.payment_intent_id}
    refund = await bridge.stripe.v1.refunds.create_async(params)
    listed = await bridge.stripe.v1.events.list_async({"type": "charge.refunded", "limit": 1})
    body = json.dumps(listed.to_dict()["data"][0]).encode()
    headers = {"Stripe-Signature": signature(WEBHOOK_SECRET, body, int(time.time()))}
    path = "/v1/webhooks/stripe"
    both = await asyncio.gather(
        *(bridge.api.post(path, content=body, headers=headers) for _ in range(8))
    )
    assert {answer.status_code for answer in both} == {200}
    assert await bridge.store.pool.fetchval("SELECT count(*) FROM inbox") == 1
    await inbox.tick(bridge.ports)
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == refund.amount
    await bridge.check_books()


async def test_11_an_event_given_up_waits_for_a_person_and_can_be_replayed(faulty):
    """Stripe is away for longer than we try: dead, not lost; replayed, its effect comes once."""
    bridge = faulty.bridge
    bridge.with_policy(inbox_attempts_max=2)
    order_id = await captured(bridge)
    order = await faulty.reach(order_id, DONE)
    await bridge.stripe.v1.refunds.create_async({"payment_intent": order.payment_intent_id})
    await inbox.sweep(bridge.ports, order.created_at)
    faulty.stripe.faults.rates = {"http_500": 1.0}
    for _ in range(8):
        await faulty.step()
    dead = await bridge.queries.dead_letters()
    assert dead
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == 0
    faulty.stripe.faults.rates = {}
    assert await bridge.queries.replay_inbox(None, bridge.clock.now()) == len(dead)
    await faulty.step()
    assert await bridge.balance(Account.REFUND_LOSS, "USD") == order.gross.amount_minor
    await bridge.check_books()


async def test_13_what_is_reserved_counts_as_gone_and_a_refused_entry_leaves_nothing(faulty):
    """Six orders want more than the vault has, all at the same moment: five are captured."""
    bridge = faulty.bridge
    ids = [
        await bridge.place("2000.00", fresh_address(), customer=f"cus_{number}")
        for number in range(6)
    ]
    for order_id in ids:
        await bridge.pay(order_id)
    for order_id in ids:
        await bridge.tick_until(order_id, Status.CLEARED, charge.tick, screen.tick)
    for _ in range(12):
        await asyncio.gather(*(capture.tick(bridge.ports) for _ in range(4)))
        bridge.clock.ahead += timedelta(seconds=1)
    orders = [await bridge.order(order_id) for order_id in ids]
    waiting = [order for order in orders if order.status is Status.CLEARED]
    taken = [order for order in orders if order.status is Status.CAPTURED]
    assert (len(taken), len(waiting)) == (5, 1)
    assert waiting[0].hold_reason is HoldReason.LIQUIDITY
    assert (await bridge.intent(waiting[0].id))["amount_received"] == 0
    reserved = await bridge.store.pool.fetchval(
        "SELECT sum(amount_minor) FROM ledger_entries WHERE event = 'reserved'"
    )
    assert reserved == sum(order.token.amount_minor for order in taken) <= STOCK
    await bridge.check_books()
