"""A deployment whose every word to the chain and to Stripe goes through proxies that fail."""

import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from eth_account import Account as EthAccount

from bridge.payments.stripe import StripePayments
from chain.evm.client import EvmChain
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from settlement.errors import TidegateError
from settlement.order import Status
from settlement.pipeline import advance, settle
from tests.emulator.servers import served
from tests.flows.bridge import DEPLOYED, STRIPE_KEY, Bridge
from tests.support.faulty_rpc import FaultyRpc
from tests.support.faulty_stripe import FaultyStripe
from tests.support.waiting import eventually

ENDPOINTS = 3


@dataclass
class FaultyBridge:
    """``bridge`` with three endpoints (two must agree), each with faults of its own."""

    bridge: Bridge
    rpcs: list[FaultyRpc]
    stripe: FaultyStripe

    def every(self, kind: str, subject: str = "*", times: int = 1) -> None:
        """Order a fault at each endpoint."""
        for rpc in self.rpcs:
            rpc.faults.order(kind, subject, times)

    def everywhere(self, **rates: float) -> None:
        """Each endpoint fails at these rates; without any, none does."""
        for rpc in self.rpcs:
            rpc.faults.rates = rates

    def seen(self, kind: str) -> int:
        """How often a fault has really happened."""
        return sum(rpc.faults.counts[kind] for rpc in [*self.rpcs, self.stripe])

    async def step(self) -> None:
        """One tick of everything, one block; what fails today is tried tomorrow."""
        with suppress(TidegateError):
            await advance(self.bridge.ports)
        self.bridge.world.rpc("evm_mine")
        self.bridge.clock.ahead += timedelta(milliseconds=300)

    async def reach(self, order_id: str, *statuses: Status) -> Any:
        async def there() -> Any:
            order = await self.bridge.order(order_id)
            if order.status in statuses:
                return order
            await self.step()
            return None

        return await eventually(there, limit_s=60, what=f"{order_id} {statuses}")

    async def settled(self, condition: Callable[[], Any], what: str) -> Any:
        """Work the lanes, without a block, until ``condition``; any endpoint may be late."""

        async def check() -> Any:
            with suppress(TidegateError):
                await settle(self.bridge.ports)
            self.bridge.clock.ahead += timedelta(milliseconds=300)
            answer = condition()
            return await answer if inspect.isawaitable(answer) else answer

        return await eventually(check, limit_s=60, what=what)

    async def attempts(self) -> list[Any]:
        """Every signed transaction that was ever stored, with its batch's status."""
        query = """
            SELECT a.*, b.status AS batch_status FROM batch_attempts a
            JOIN batches b ON b.id = a.batch_id ORDER BY a.nonce, a.signed_at
        """
        return list(await self.bridge.store.pool.fetch(query))

    def transfers(self, wallet: str) -> list[int]:
        """Amounts of the Transfer logs to a wallet, read from the chain itself."""
        logs = self.bridge.world.rpc(
            "eth_getLogs",
            {
                "fromBlock": "0x0",
                "toBlock": "latest",
                "address": self.bridge.world.dollar.address,
                "topics": [None, None, "0x" + wallet[2:].lower().rjust(64, "0")],
            },
        )
        return [int(log["data"], 16) for log in logs]

    async def paid_once(self, order_id: str) -> None:
        """One transfer of the right amount, no refund, nonces without a gap, books that agree."""
        bridge = self.bridge
        order = await bridge.order(order_id)
        assert self.transfers(order.wallet) == [order.token.amount_minor]
        intent = await bridge.intent(order_id)
        assert intent["amount_received"] == order.gross.amount_minor
        assert intent["latest_charge"]["amount_refunded"] == 0
        await self.no_gap()
        await bridge.check_books()

    async def no_gap(self) -> None:
        lane = self.bridge.world.settler.address
        on_chain = int(self.bridge.world.rpc("eth_getTransactionCount", lane, "latest"), 16)
        ours = await self.bridge.store.pool.fetchval(
            "SELECT next_nonce FROM lanes WHERE address = $1", lane
        )
        assert ours == on_chain
        nonces = Counter(a["nonce"] for a in await self.attempts() if a["batch_status"] == "final")
        assert not nonces or sorted(nonces) == list(range(min(nonces), on_chain))


@dataclass
class MinedWhileSigning:
    """The real adapter; what is in the pool is mined before or after the first replacement."""

    chain: EvmChain
    when: str
    mine: Callable[[], Any]
    happened: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    async def sign(self, *args: Any) -> Any:
        if self.when == "before":
            self._mine()
        signed = await self.chain.sign(*args)
        self._mine()
        return signed

    def _mine(self) -> None:
        if not self.happened:
            self.mine()
            self.happened = True


async def open_faulty(stack: ExitStack, bridge: Bridge, emulator_url: str) -> FaultyBridge:
    """Put the proxies between the bridge and the world."""
    node = str(bridge.world.http.base_url)
    rpcs = [FaultyRpc(node) for _ in range(ENDPOINTS)]
    stripe = FaultyStripe(emulator_url)
    urls = [stack.enter_context(served(app)) for app in (*rpcs, stripe)]
    deployment = replace(DEPLOYED(bridge.world), rpc_urls=tuple(urls[:ENDPOINTS]))
    signer = KeystoreSigner(EthAccount.from_key(bridge.world.settler.private_key))
    rpc = RpcClient(deployment.rpc_urls, timeout_ms=1_000)
    chain = EvmChain(NETWORK, deployment, rpc, {bridge.world.settler.address: signer})
    bridge.closing.append(chain.close)
    payment = StripePayments(STRIPE_KEY, api_base=urls[ENDPOINTS], timeout_s=1)
    bridge.ports = replace(bridge.ports, chains={"local": chain}, payment=payment)
    bridge.chain = chain
    return FaultyBridge(bridge, rpcs, stripe)
