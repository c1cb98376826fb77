"""The chain side when it does not go smoothly: pause, refusal, reorganisation, revert."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_account import Account as EthAccount

from chain.evm.client import EvmChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.errors import NetworkStopped
from settlement.ledger.accounts import PLATFORM, Account
from settlement.order import HoldReason, Status
from settlement.pipeline import settle
from settlement.stages import capture, charge, identity, screen
from tests.chain.world import World, fresh_address
from tests.flows.bridge import DEPLOYED, STOCK
from tests.flows.conftest import needs_anvil


async def captured(bridge, amount="100.00", wallet=None):
    """An order whose money is captured and whose tokens have not left."""
    order_id = await bridge.place(amount, wallet=wallet)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    return order_id


async def test_a_paused_vault_leaves_orders_waiting_with_a_reason(bridge):
    """Nobody is refunded, no nonce is spent; after the pause everyone is paid."""
    wallet = fresh_address()
    bridge.world.do(bridge.world.vault.functions.pause(), bridge.world.owner)
    order_id = await captured(bridge, wallet=wallet)
    nonce = await bridge.chain.nonce(bridge.world.settler.address)
    order = await bridge.until(order_id, lambda o: o.hold_reason is HoldReason.PAUSED)
    assert order.status is Status.CAPTURED
    assert await bridge.chain.nonce(bridge.world.settler.address) == nonce
    bridge.world.do(bridge.world.vault.functions.unpause(), bridge.world.owner)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert bridge.world.balance(wallet) == order.token.amount_minor


async def test_a_recipient_that_the_token_refuses_is_refunded_once_final(bridge):
    """The others of the batch are paid; the books keep the refused tokens."""
    blocked, fine = fresh_address(), fresh_address()
    bridge.world.do(bridge.world.dollar.functions.setBlocked(blocked, True), bridge.world.owner)
    one = await captured(bridge, wallet=blocked)
    two = await captured(bridge, wallet=fine)
    paid = await bridge.reach(two, Status.COMPLETED)
    refused = await bridge.reach(one, Status.REFUNDED)
    assert refused.reason == "recipient_refused"
    assert bridge.world.balance(blocked) == 0
    assert bridge.world.balance(fine) == paid.token.amount_minor
    assert (await bridge.intent(one))["latest_charge"]["amount_refunded"] == 10_000
    assert await bridge.balance(Account.VAULT, "local:DUSD") == STOCK - paid.token.amount_minor
    await bridge.check_books()


async def test_the_gas_really_paid_is_booked(bridge):
    """Read from the receipt, in the platform's books."""
    lane = bridge.world.settler.address
    before = await bridge.chain.balance(NETWORK.native, lane)
    await bridge.reach(await captured(bridge), Status.COMPLETED)
    spent = before - await bridge.chain.balance(NETWORK.native, lane)
    rows = {row.account: row for row in await bridge.store.balances(PLATFORM)}
    assert rows[Account.GAS].debits_posted == spent > 0


async def test_only_a_final_block_completes_an_order(bridge):
    """Mined is not final: the order stays confirming until the block is deep enough."""
    if bridge.world.rpc("web3_clientVersion").lower().startswith("anvil"):
        order_id = await captured(bridge)
        # No block comes beside its own, which the node mines a moment after it took the bytes.
        await bridge.tick_until(order_id, Status.CONFIRMING, settle)
        await bridge.reach(order_id, Status.COMPLETED)
    else:
        await bridge.reach(await captured(bridge), Status.COMPLETED)


@needs_anvil
async def test_a_reorganisation_takes_the_block_and_the_same_bytes_are_sent_again(bridge):
    """The public status does not go back, the history tells it, the wallet is paid once."""
    wallet = fresh_address()
    order_id = await captured(bridge, wallet=wallet)
    bridge.world.rpc("evm_mine")
    await bridge.until(order_id, lambda o: o.status is Status.CONFIRMING)
    order = await bridge.order(order_id)
    mined = await bridge.queries.settlement(bridge.tenant, order.batch_id)
    head = int(bridge.world.rpc("eth_blockNumber"), 16)
    bridge.world.rpc("anvil_reorg", head - mined.batch.block_number + 1, [])
    assert bridge.world.balance(wallet) == 0
    bridge.with_policy(rebroadcast_ms=0)
    order = await bridge.reach(order_id, Status.COMPLETED)
    events = await bridge.event_types(order_id)
    assert "order.reorganized" in events
    assert events.count("order.confirming") == 1
    assert bridge.world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


async def test_a_batch_that_reverts_pays_nobody_and_its_orders_join_another(bridge):
    """The vault was emptied between the signature and the block: one payment in the end."""
    wallet = fresh_address()
    order_id = await captured(bridge, wallet=wallet)
    world = bridge.world
    thief = BeforeSending(bridge.chain, lambda: _empty_vault(world))
    bridge.ports = replace(bridge.ports, chains={"local": thief})
    await bridge.until(order_id, lambda o: o.batch_id is not None)
    order = await bridge.until(order_id, lambda o: o.batch_id is None)
    assert order.status in (Status.SUBMITTED, Status.CONFIRMING)
    assert "order.requeued" in await bridge.event_types(order_id)
    world.stock(STOCK)
    order = await bridge.reach(order_id, Status.COMPLETED)
    assert world.balance(wallet) == order.token.amount_minor
    await bridge.check_books()


def _empty_vault(world: World) -> None:
    world.drain(world.balance(world.vault.address))


@dataclass
class BeforeSending:
    """The real adapter, with something that happens once just before the first bytes leave."""

    chain: EvmChain
    happening: Callable[[], None] | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    async def send(self, raw: bytes) -> None:
        if self.happening is not None:
            self.happening()
            self.happening = None
        await self.chain.send(raw)


async def test_a_nonce_that_we_did_not_give_out_stops_the_network(bridge):
    """Somebody else signs with our key, or a backup was restored: a person decides."""
    order_id = await captured(bridge)
    world = bridge.world
    world.send(world.settler, fresh_address(), "0x", value=1)
    with pytest.raises(NetworkStopped):
        await settle(bridge.ports)
    state = await bridge.store.network("local")
    assert "nonce" in state.stop_reason
    await bridge.step()
    assert (await bridge.order(order_id)).status is Status.CAPTURED


async def test_another_chain_stops_the_network_and_a_demo_may_start_over(bridge):
    """Orders in flight are refunded, the old vault is written off, new orders are paid."""
    done = await bridge.reach(await captured(bridge), Status.COMPLETED)
    flying = await captured(bridge)
    replaced = World(str(bridge.world.http.base_url))
    bridge.ports = replace(bridge.ports, chains={"local": _adapter(replaced)})
    with pytest.raises(NetworkStopped, match="vault"):
        await identity.verify(bridge.ports, "local")
    state = await bridge.store.network("local")
    chain = bridge.ports.chains["local"]
    refunded = await identity.start_over(
        bridge.ports, state, [bridge.tenant, PLATFORM], await chain.identity()
    )
    assert [order.id for order in refunded] == [flying]
    lane = replaced.settler.address
    await bridge.store.register_lane("local", lane, await chain.nonce(lane))
    assert await bridge.balance(Account.VAULT, "local:DUSD") == 0
    bridge.world = replaced
    await bridge.stock()
    await bridge.reach(flying, Status.REFUNDED)
    again = await bridge.reach(await captured(bridge), Status.COMPLETED)
    assert replaced.balance(again.wallet) == again.token.amount_minor
    assert (await bridge.order(done.id)).status is Status.COMPLETED
    await bridge.check_books()
    replaced.close()


def _adapter(world: World) -> EvmChain:
    deployment = DEPLOYED(world)
    signer = KeystoreSigner(EthAccount.from_key(world.settler.private_key))
    rpc = RpcClient(deployment.rpc_urls)
    return EvmChain(NETWORK, deployment, rpc, {world.settler.address: signer})
