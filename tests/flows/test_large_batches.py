"""Many orders in one batch: one bad recipient, the same batch twice, a pause; and the three books
agree to the last unit."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from chain.evm.client import EvmChain
from settlement.errors import NetworkStopped
from settlement.order import HoldReason, Status
from settlement.stages import refund
from tests.chain.world import World, fresh_address
from tests.flows.bridge import Bridge
from tests.flows.crowd import (
    Settling,
    captured,
    charges_of,
    check_three_books,
    is_in,
    orders_of,
    stepped,
    ticked,
    ticked_times,
)


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

    for _ in range(4):
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


@dataclass
class Misreporting:
    """The real adapter on a chain whose vault pays one unit more than its rows say."""

    chain: EvmChain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    async def inclusions(self, refs: Any) -> list[Any]:
        found = await self.chain.inclusions(refs)
        return [replace(one, paid_minor=one.paid_minor + 1) for one in found]


async def test_a_batch_that_paid_another_sum_than_its_orders_stops_the_network(
    bridge: Bridge,
) -> None:
    """Something moved that we did not mean: no order completes on it, and none is refunded."""
    ids = await captured(bridge, [fresh_address() for _ in range(3)])
    bridge.ports = replace(bridge.ports, chains={"local": Misreporting(bridge.chain)})
    with pytest.raises(NetworkStopped, match="the vault paid"):
        await stepped(bridge, ids, is_in(Status.COMPLETED, Status.REFUNDED))
    await bridge.step()
    assert {o.status for o in await orders_of(bridge, ids)} == {Status.CONFIRMING}
    state = await bridge.store.network("local")
    assert "minor units" in state.stop_reason
