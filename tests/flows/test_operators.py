"""What an operator asks over the API, and what then happens on the chain: every order paid once."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from eth_account import Account as EthAccount

from bridge.api.auth import key_digest
from bridge.storage.records import KeyKind, Role
from chain.evm.client import EvmChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.batch import BatchStatus
from settlement.order import HoldReason, Order, Status
from settlement.pipeline import settle
from tests.flows.bridge import DEPLOYED, Bridge
from tests.flows.conftest import needs_anvil
from tests.flows.test_settlement import BeforeSending, captured
from tests.support.waiting import eventually

pytestmark = needs_anvil

OPERATOR_KEY = "tg_sk_test_operator00000000000000"
GWEI = 10**9
LOW_WEI = GWEI
HIGH_WEI = 100 * GWEI
DONE = Status.COMPLETED


@dataclass
class Control:
    """The bridge on a chain that mines only when told, and an operator's hands."""

    bridge: Bridge

    async def post(self, path: str) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {OPERATOR_KEY}",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        answer = await self.bridge.api.post(f"/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def show(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        answer = await self.bridge.api.get(f"/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def look(self, times: int = 1) -> None:
        """The worker's rounds, and a moment after each; no block."""
        for _ in range(times):
            await settle(self.bridge.ports)
            self.bridge.clock.ahead += timedelta(milliseconds=300)

    async def sent(self) -> Order:
        """An order whose batch is in the pool and in no block."""
        order_id = await captured(self.bridge)
        await self.look(2)
        order = await self.bridge.order(order_id)
        assert order.status is Status.SUBMITTED
        assert self.pool() == 1
        return order

    def pool(self) -> int:
        return int(self.bridge.world.rpc("txpool_status")["pending"], 16)

    def mine(self, base_fee_wei: int = LOW_WEI) -> None:
        self.bridge.world.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        self.bridge.world.rpc("evm_mine")

    async def finish(self, order_id: str, base_fee_wei: int = LOW_WEI) -> Order:
        """Rounds and blocks until the order is complete."""

        async def complete() -> Order | None:
            self.mine(base_fee_wei)
            await self.look()
            order = await self.bridge.order(order_id)
            return order if order.status is DONE else None

        order: Order = await eventually(complete, limit_s=30, what=f"{order_id} complete")
        assert self.bridge.world.balance(order.wallet) == order.token.amount_minor
        assert (await self.bridge.intent(order_id))["latest_charge"]["amount_refunded"] == 0
        await self.bridge.check_books()
        return order


@pytest.fixture
async def control(bridge: Bridge) -> AsyncIterator[Control]:
    """The chain is shared: afterwards it mines by itself at a low fee, as it did before."""
    await bridge.queries.create_key(
        bridge.tenant,
        key_hash=key_digest(OPERATOR_KEY),
        prefix=OPERATOR_KEY[:11],
        last4=OPERATOR_KEY[-4:],
        kind=KeyKind.SECRET,
        role=Role.OPERATOR,
        now=bridge.clock.now(),
    )
    bridge.world.rpc("evm_setAutomine", False)
    control = Control(bridge)
    yield control
    control.mine()
    bridge.world.rpc("evm_setAutomine", True)


async def test_a_stuck_batch_that_is_bumped_is_mined_at_a_higher_fee(control):
    """Blocks became dearer than what was bid; left alone it would wait for its next turn."""
    order = await control.sent()
    for _ in range(3):
        control.mine(HIGH_WEI)
        await control.look()
    before = await control.show(f"settlements/{order.batch_id}")
    assert (before["status"], len(before["attempts"])) == ("sent", 1)
    asked = await control.post(f"settlements/{order.batch_id}/bump")
    assert asked["bump_asked_at"] is not None
    await control.look()
    await control.finish(order.id, HIGH_WEI)
    after = await control.show(f"settlements/{order.batch_id}")
    first, second = after["attempts"]
    assert after["transaction"] == second["transaction"]
    for fee in ("max_fee_wei", "priority_fee_wei"):
        assert int(second[fee]) * 10 >= int(first[fee]) * 11
    assert first["nonce"] == second["nonce"]
    assert int(second["max_fee_wei"]) > HIGH_WEI > int(first["max_fee_wei"])
    assert after["confirmations"] >= 2


async def test_the_orders_of_a_cancelled_batch_are_paid_once_by_another(control):
    """What pays nobody is final first; only then do they join a new batch."""
    order = await control.sent()
    await control.post(f"settlements/{order.batch_id}/cancel")
    await control.look()
    assert (await control.bridge.order(order.id)).batch_id == order.batch_id, "not before the block"
    paid = await control.finish(order.id)
    assert paid.batch_id != order.batch_id
    gone = await control.show(f"settlements/{order.batch_id}")
    assert (gone["status"], gone["orders"]) == ("cancelled", [order.id])
    assert [attempt["cancels"] for attempt in gone["attempts"]] == [False, True]
    assert gone["transaction"] == gone["attempts"][1]["transaction"]
    assert "order.requeued" in await control.bridge.event_types(order.id)


async def test_a_cancellation_that_loses_the_race_changes_nothing(control):
    """The payment was mined just before the cancellation left: it completes as planned."""
    order = await control.sent()
    bridge = control.bridge
    late = BeforeSending(bridge.chain, control.mine)
    bridge.ports = replace(bridge.ports, chains={"local": late})
    await control.post(f"settlements/{order.batch_id}/cancel")
    await control.look()
    paid = await control.finish(order.id)
    assert paid.batch_id == order.batch_id
    shown = await control.show(f"settlements/{order.batch_id}")
    assert (shown["status"], shown["cancel_asked_at"] is None) == ("final", False)
    assert [attempt["cancels"] for attempt in shown["attempts"]] == [False, True]
    assert shown["transaction"] == shown["attempts"][0]["transaction"]
    assert "order.requeued" not in await bridge.event_types(order.id)


async def test_a_dropped_transaction_is_said_again_when_asked(control):
    """No node knows it any more; the same bytes are back at once, and nothing new is signed."""
    order = await control.sent()
    [attempt] = (await control.show(f"settlements/{order.batch_id}"))["attempts"]
    control.bridge.world.rpc("anvil_dropTransaction", attempt["transaction"])
    await control.look(2)
    assert control.pool() == 0, "its turn has not come yet"
    await control.post(f"settlements/{order.batch_id}/retry")
    await control.look()
    assert control.pool() == 1
    await control.finish(order.id)
    shown = await control.show(f"settlements/{order.batch_id}")
    assert [a["transaction"] for a in shown["attempts"]] == [attempt["transaction"]]


async def test_a_paused_network_lets_orders_wait_and_a_resumed_one_pays_them(control):
    """They say why, nobody is refunded, and what was sent before is followed to its end."""
    before = await control.sent()
    assert (await control.post("networks/local/pause"))["state"] == "paused"
    order_id = await captured(control.bridge)
    await control.look(2)
    waiting = await control.bridge.order(order_id)
    assert (waiting.status, waiting.hold_reason) == (Status.CAPTURED, HoldReason.PAUSED)
    assert (await control.show("networks/local"))["waiting"] == {"paused": 1}
    await control.finish(before.id)
    assert (await control.bridge.order(order_id)).batch_id is None
    assert (await control.post("networks/local/resume"))["state"] == "running"
    paid = await control.finish(order_id)
    assert paid.hold_reason is HoldReason.NONE


async def test_the_work_of_a_paused_lane_goes_to_another(control):
    """Nothing waits; the paused one ends what it began, and takes new work once resumed."""
    bridge, world = control.bridge, control.bridge.world
    keys = {who.address: who.private_key for who in (world.settler, world.second)}
    signers = {address: KeystoreSigner(EthAccount.from_key(key)) for address, key in keys.items()}
    deployment = replace(DEPLOYED(world), lanes=tuple(keys))
    chain = EvmChain(NETWORK, deployment, RpcClient(deployment.rpc_urls), signers)
    bridge.closing.append(chain.close)
    bridge.ports = replace(bridge.ports, chains={"local": chain})
    other = world.second.address
    await bridge.store.register_lane("local", other, await chain.nonce(other))
    await control.post(f"networks/local/lanes/{other}/pause")
    first = await control.sent()
    assert await lane_of(control, first) == world.settler.address
    await control.post(f"networks/local/lanes/{other}/resume")
    await control.post(f"networks/local/lanes/{world.settler.address}/pause")
    second = await captured(bridge)
    await control.finish(second)
    assert await lane_of(control, await bridge.order(second)) == other
    assert (await control.finish(first.id)).batch_id == first.batch_id
    [batch] = [
        b for b in (await control.show("settlements"))["data"] if b["id"] == str(first.batch_id)
    ]
    assert (batch["status"], batch["lane_state"]) == (BatchStatus.FINAL, "paused")


async def lane_of(control: Control, order: Order) -> str:
    return str((await control.show(f"settlements/{order.batch_id}"))["from_address"])
