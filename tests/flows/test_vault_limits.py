"""A vault that has no room: what fits leaves, the rest waits, says why, and leaves later."""

from typing import Any

from settlement.order import HoldReason, Order, Status
from settlement.stages import refund
from tests.chain.world import LIMIT, fresh_address
from tests.flows.bridge import STOCK, Bridge
from tests.flows.crowd import (
    Settling,
    captured,
    check_three_books,
    is_in,
    orders_of,
    stepped,
    stepped_until,
    ticked_times,
)

DAY_S = 86_400


def waits(order: Order) -> bool:
    """Captured, with the reason shown."""
    return order.status is Status.CAPTURED and order.hold_reason is HoldReason.LIQUIDITY


def part_paid(count: int) -> Any:
    """So many completed, and all others wait with the reason shown."""

    def holds(orders: list[Order]) -> bool:
        done = [order for order in orders if order.status is Status.COMPLETED]
        return len(done) == count and all(waits(order) for order in orders if order not in done)

    return holds


def limit_to(bridge: Bridge, amount: int) -> None:
    """At most ``amount`` a day, half of it at once; lowering needs no announcement."""
    world = bridge.world
    call = world.vault.functions.setLimit(world.dollar.address, amount)
    assert world.do(call, world.owner).succeeded


def raise_limit(bridge: Bridge) -> None:
    world = bridge.world
    call = world.vault.functions.setLimit(world.dollar.address, LIMIT)
    assert world.do(world.announce(call), world.owner).succeeded


async def shown(bridge: Bridge, order_id: str) -> Any:
    return (await bridge.api.get(f"/v1/orders/{order_id}")).json()["hold_reason"]


async def test_a_full_window_lets_a_part_leave_and_the_rest_when_it_drains(bridge: Bridge) -> None:
    """Two of five fit into what may leave at once; nobody is refunded meanwhile."""
    ids = await captured(bridge, [fresh_address() for _ in range(5)])
    amount = (await bridge.order(ids[0])).token.amount_minor
    limit_to(bridge, 5 * amount)  # half at once: two and a half orders
    for paid in (2, 4):
        orders = await stepped_until(bridge, ids, part_paid(paid))
        left = next(order.id for order in orders if waits(order))
        assert await shown(bridge, left) == "liquidity"
        bridge.world.rpc("evm_increaseTime", DAY_S)
    orders = await stepped(bridge, ids, is_in(Status.COMPLETED))
    assert {order.hold_reason for order in orders} == {HoldReason.NONE}
    await check_three_books(bridge, ids)


async def test_an_order_that_never_fits_holds_up_none_behind_it(bridge: Bridge) -> None:
    """The first in line is larger than the bucket; the small ones behind it are paid."""
    [large] = await captured(bridge, [fresh_address()], amount="500.00")
    small = await captured(bridge, [fresh_address() for _ in range(3)])
    limit_to(bridge, 200 * 10**6)
    await stepped(bridge, small, is_in(Status.COMPLETED))
    assert waits(await bridge.order(large))
    raise_limit(bridge)
    await stepped(bridge, [large], is_in(Status.COMPLETED))
    await check_three_books(bridge, [large, *small])


async def test_a_delisted_asset_waits_until_it_is_listed_again(bridge: Bridge) -> None:
    """However often a worker looks, nobody is refunded and no nonce is spent."""
    limit_to(bridge, 0)
    ids = await captured(bridge, [fresh_address() for _ in range(3)])
    nonce = await bridge.chain.nonce(bridge.world.settler.address)
    await stepped(bridge, ids, waits)
    await ticked_times(bridge, 10, Settling, refund)
    assert all(map(waits, await orders_of(bridge, ids)))
    assert await bridge.chain.nonce(bridge.world.settler.address) == nonce
    raise_limit(bridge)
    await stepped(bridge, ids, is_in(Status.COMPLETED))
    await check_three_books(bridge, ids)


async def test_a_token_that_blocks_the_vault_makes_all_wait(bridge: Bridge) -> None:
    """Its issuer's decision, and no recipient's fault."""
    world = bridge.world
    block = world.dollar.functions.setBlocked
    assert world.do(block(world.vault.address, True), world.owner).succeeded
    ids = await captured(bridge, [fresh_address() for _ in range(3)])
    await stepped(bridge, ids, waits)
    assert world.do(block(world.vault.address, False), world.owner).succeeded
    await stepped(bridge, ids, is_in(Status.COMPLETED))
    await check_three_books(bridge, ids)


async def test_an_emptied_vault_pays_what_it_holds(bridge: Bridge) -> None:
    """Another settler was faster than our books: a part leaves, the rest waits for stock."""
    ids = await captured(bridge, [fresh_address() for _ in range(3)])
    amount = (await bridge.order(ids[0])).token.amount_minor
    bridge.world.drain(STOCK - amount)
    await stepped_until(bridge, ids, part_paid(1))
    bridge.world.stock(STOCK - amount)
    await stepped(bridge, ids, is_in(Status.COMPLETED))
    await check_three_books(bridge, ids)
