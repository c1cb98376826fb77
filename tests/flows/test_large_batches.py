"""Many orders in one batch: one bad recipient, the same batch twice, a pause; and the three books
agree to the last unit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from chain.evm.client import EvmChain
from settlement.errors import NetworkStopped
from settlement.ledger.accounts import Account
from settlement.ledger.reconcile import differences
from settlement.order import HoldReason, Order, Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, refund, screen
from tests.chain.world import World, fresh_address
from tests.flows.bridge import STOCK, Bridge
from tests.support.waiting import eventually

AT_ONCE = 16
"""Customers who shop at the same time: as many calls as a small machine takes."""
PAUSE = timedelta(milliseconds=300)
"""Longer than a stage waits after its first try; passed in no time."""


async def captured(bridge: Bridge, wallets: Sequence[str], amount: str = "20.00") -> list[str]:
    """One paid order per wallet, placed over the API in parallel; no tokens have left."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def place(wallet: str) -> str:
        async with seats:
            quote = await bridge.quote(amount)
            answer = await bridge.post(
                "/v1/orders",
                {
                    "quote_id": quote["id"],
                    "wallet": {"network": "local", "address": wallet},
                    "customer": f"cus_{wallet}",
                },
            )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def pay(order_id: str) -> None:
        async with seats:
            await bridge.pay(order_id)

    ids = list(await asyncio.gather(*map(place, wallets)))
    await ticked(bridge, ids, lambda order: order.payment_intent_id, charge)
    await asyncio.gather(*map(pay, ids))
    await ticked(bridge, ids, is_in(Status.CAPTURED), charge, screen, capture)
    return ids


async def ticked(bridge: Bridge, ids: Sequence[str], condition: Any, *stages: Any) -> None:
    """Run only ``stages`` until every order is as wanted: none goes further."""

    async def check() -> bool:
        for stage in stages:
            await stage.tick(bridge.ports)
        bridge.clock.ahead += PAUSE
        return all(condition(order) for order in await orders_of(bridge, ids))

    await eventually(check, limit_s=60, what=f"the condition of {len(ids)} orders")


async def orders_of(bridge: Bridge, ids: Sequence[str]) -> list[Order]:
    return list(await asyncio.gather(*map(bridge.order, ids)))


def is_in(*statuses: Status) -> Any:
    return lambda order: order.status in statuses


async def stepped(bridge: Bridge, ids: Sequence[str], condition: Any) -> list[Order]:
    """Step the whole deployment until every order is as wanted; returns them."""

    async def check() -> list[Order] | None:
        orders = await orders_of(bridge, ids)
        if all(map(condition, orders)):
            return orders
        await bridge.step()
        return None

    return await eventually(check, limit_s=60, what=f"the condition of {len(ids)} orders")


async def charges_of(bridge: Bridge, orders: Sequence[Order]) -> list[Any]:
    """The orders' charges as Stripe lists them, every page."""
    intents = {order.payment_intent_id for order in orders}
    listing = await bridge.stripe.v1.charges.list_async({"limit": 100})
    return [c async for c in listing.auto_paging_iter() if c.payment_intent in intents]


async def check_three_books(bridge: Bridge, ids: Sequence[str]) -> None:
    """Ledger, chain and Stripe, order by order and in sum."""
    orders = await orders_of(bridge, ids)
    paid = [order for order in orders if order.status is Status.COMPLETED]
    booked = {order.wallet: order.token.amount_minor for order in paid}
    held = {order.wallet: bridge.world.balance(order.wallet) for order in orders}
    assert differences(booked, held) == []
    charges = await charges_of(bridge, orders)
    assert len(charges) == len(orders)
    kept = sum(charge.amount_captured - charge.amount_refunded for charge in charges)
    ledger = {
        "vault": await bridge.balance(Account.VAULT, "local:DUSD"),
        "stripe": await bridge.balance(Account.STRIPE, "USD"),
        "owed to customers": await bridge.balance(Account.CUSTOMER, "USD"),
    }
    outside = {
        "vault": bridge.world.balance(bridge.world.vault.address),
        "stripe": kept,
        "owed to customers": 0,
    }
    assert differences(ledger, outside) == []
    assert outside["vault"] == STOCK - sum(booked.values())
    assert kept == sum(order.gross.amount_minor for order in paid)
    await bridge.check_books()


async def test_two_hundred_orders_and_one_blocked_recipient(bridge: Bridge) -> None:
    """One transaction pays 199; the one that the token refuses is refunded, and not before the
    block is final."""
    wallets = [fresh_address() for _ in range(200)]
    unlucky = 77
    world = bridge.world
    world.do(world.dollar.functions.setBlocked(wallets[unlucky], True), world.owner)
    ids = await captured(bridge, wallets)
    await ticked(bridge, ids, is_in(Status.CONFIRMING), Settling)
    batches = {order.batch_id for order in await orders_of(bridge, ids)}
    assert len(batches) == 1

    await ticked_times(bridge, 5, Settling, refund)
    refused = await bridge.order(ids[unlucky])
    assert refused.status is Status.CONFIRMING
    assert (await bridge.intent(refused.id))["latest_charge"]["amount_refunded"] == 0

    orders = await stepped(bridge, ids, is_in(Status.COMPLETED, Status.REFUNDED))
    outcomes = {order.id: order.status for order in orders}
    assert outcomes.pop(ids[unlucky]) is Status.REFUNDED
    assert set(outcomes.values()) == {Status.COMPLETED}
    assert (await bridge.order(ids[unlucky])).reason == "recipient_refused"
    await check_three_books(bridge, ids)


class Settling:
    """The settle stage in the form of the others."""

    tick = staticmethod(settle)


async def ticked_times(bridge: Bridge, times: int, *stages: Any) -> None:
    """Without a new block, however often a worker looks."""
    for _ in range(times):
        for stage in stages:
            await stage.tick(bridge.ports)
        bridge.clock.ahead += PAUSE


async def test_the_same_batch_again_moves_nothing(bridge: Bridge) -> None:
    """Neither our own bytes a second time, nor another settler's transaction with the same call."""
    world = bridge.world
    ids = await captured(bridge, [fresh_address() for _ in range(5)])
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    settlement = await bridge.queries.settlement(bridge.tenant, orders[0].batch_id)
    [attempt] = settlement.batch.attempts
    raw = attempt.transaction.raw

    assert "error" in world.ask("eth_sendRawTransaction", "0x" + raw.hex())
    await bridge.chain.send(raw)  # done already is done, to the adapter
    sent = world.rpc("eth_getTransactionByHash", attempt.transaction.ref)
    again = world.send(world.second, world.vault.address, sent["input"])
    assert again["status"] == "0x0"

    world.rpc("anvil_mine", "0x3")
    await bridge.step()
    assert [o.status for o in await orders_of(bridge, ids)] == [Status.COMPLETED] * 5
    await check_three_books(bridge, ids)


@dataclass
class Overtaken:
    """The real adapter, with a second settler who makes the very same call first."""

    chain: EvmChain
    world: World
    overtakes: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    async def send(self, raw: bytes) -> None:
        if not self.overtakes:
            self.overtakes += 1
            call = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            data = "0x" + call["data"].hex()
            mined = self.world.send(self.world.second, self.world.vault.address, data)
            assert mined["status"] == "0x1"
        await self.chain.send(raw)


async def test_a_second_settler_who_is_faster_pays_once_and_stops_the_network(
    bridge: Bridge,
) -> None:
    """Our transaction reverts. That the vault holds the id tells us not to pay again: a person
    decides, and nobody is refunded what they hold."""
    wallets = [fresh_address() for _ in range(5)]
    ids = await captured(bridge, wallets)
    overtaken = Overtaken(bridge.chain, bridge.world)
    bridge.ports = replace(bridge.ports, chains={"local": overtaken})
    with pytest.raises(NetworkStopped, match="somebody else"):
        await stepped(bridge, ids, is_in(Status.COMPLETED, Status.REFUNDED))
    for _ in range(3):
        await bridge.step()
    orders = await orders_of(bridge, ids)
    assert {order.status for order in orders} == {Status.SUBMITTED}
    assert {order.batch_id for order in orders} != {None}
    held = {order.wallet: bridge.world.balance(order.wallet) for order in orders}
    assert held == {order.wallet: order.token.amount_minor for order in orders}
    charges = await charges_of(bridge, orders)
    assert [charge.amount_refunded for charge in charges] == [0] * 5


async def test_a_pause_makes_every_order_wait_and_refunds_none(bridge: Bridge) -> None:
    """Each shows the reason for as long as it waits; all are paid when the vault is resumed."""
    world = bridge.world
    world.do(world.vault.functions.pause(), world.owner)
    ids = await captured(bridge, [fresh_address() for _ in range(12)])
    await stepped(bridge, ids, lambda order: order.hold_reason is HoldReason.PAUSED)
    await ticked_times(bridge, 5, Settling, refund)
    waiting = await orders_of(bridge, ids)
    assert {(o.status, o.hold_reason) for o in waiting} == {(Status.CAPTURED, HoldReason.PAUSED)}
    shown = (await bridge.api.get(f"/v1/orders/{ids[0]}")).json()
    assert shown["hold_reason"] == "paused"
    world.do(world.vault.functions.unpause(), world.owner)
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    assert {order.hold_reason for order in orders} == {HoldReason.NONE}
    await check_three_books(bridge, ids)
