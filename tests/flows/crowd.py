"""Many customers at once: orders placed and paid in parallel, and stepped together."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from settlement.ledger.accounts import Account
from settlement.ledger.reconcile import differences
from settlement.order import Order, Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, screen
from tests.flows.bridge import STOCK, Bridge
from tests.support.waiting import eventually

AT_ONCE = 16
"""Customers who shop at the same time: as many calls as a small machine takes."""
PAUSE = timedelta(milliseconds=300)
"""Longer than a stage waits after its first try; passed in no time."""


async def captured(
    bridge: Bridge, wallets: Sequence[str], amount: str = "20.00", asset: str = "DUSD"
) -> list[str]:
    """One paid order per wallet, placed over the API in parallel; no tokens have left."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def place(wallet: str) -> str:
        async with seats:
            quote = await bridge.quote(amount, asset=asset)
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
    return await stepped_until(bridge, ids, lambda orders: all(map(condition, orders)))


async def stepped_until(bridge: Bridge, ids: Sequence[str], condition: Any) -> list[Order]:
    """The same for a condition on all of them together."""

    async def check() -> list[Order] | None:
        orders = await orders_of(bridge, ids)
        if condition(orders):
            return orders
        await bridge.step()
        return None

    return await eventually(check, limit_s=60, what=f"the condition of {len(ids)} orders")


class Settling:
    """The settle stage in the form of the others."""

    tick = staticmethod(settle)


async def ticked_times(bridge: Bridge, times: int, *stages: Any) -> None:
    """Without a new block, however often a worker looks."""
    for _ in range(times):
        for stage in stages:
            await stage.tick(bridge.ports)
        bridge.clock.ahead += PAUSE


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
