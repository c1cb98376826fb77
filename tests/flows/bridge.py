"""A whole deployment in one process, stepped by hand: real PostgreSQL, chain and Stripe emulator.

The API is called as a merchant calls it, cards are paid with the official SDK as a customer's
browser pays them, and the worker's stages run when the test says so.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import stripe
from eth_account import Account as EthAccount
from litestar import Litestar

from bridge.api.auth import key_digest
from bridge.app import Services, create_app, state_over
from bridge.bootstrap import network_info
from bridge.metrics import Metrics
from bridge.payments.stripe import StripePayments, verify_webhook
from bridge.prices.static import StaticPrices, parse_prices
from bridge.settings import load
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from bridge.storage.store import PostgresStore
from bridge.storage.wake import Wake
from chain.deployment import NATIVE, Deployment, Token
from chain.evm.client import EvmChain
from chain.gas.static import StaticGas
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner
from compliance_graph.lists.addresses import checked_form
from compliance_graph.screener import ListScreener
from settlement.batch import sealed_call
from settlement.batching.plan import plan_waiting
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.limits import Limits
from settlement.money import Money
from settlement.order import Order, Status
from settlement.pipeline import advance
from settlement.ports.bundle import Ports
from settlement.schedule import Policy
from tests.chain.world import World, fresh_address
from tests.support.waiting import eventually

SECRET_KEY = "tg_sk_test_flows000000000000000000"
FRONTEND_KEY = "tg_pk_test_flows000000000000000000"
WEBHOOK_SECRET = "whsec_flows0000000000000000000000"
STRIPE_KEY = "sk_test_flows"
FACTS_KEY = "what signs the facts in these flows"
LIMITS = {"USD": Limits(500, 200_000, 500_000)}
STOCK = 10_000 * 10**6
SANCTIONED = "0x00000000000000000000000000000000000bad01"
DOUBTFUL = "0x00000000000000000000000000000000000bad02"


class MovableClock:
    """The real time plus whatever a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Bridge:
    """What a test holds in its hands."""

    store: PostgresStore
    queries: Queries
    ports: Ports
    api: httpx.AsyncClient
    world: World
    chain: EvmChain
    clock: MovableClock
    stripe: stripe.StripeClient
    emulator: httpx.AsyncClient
    lists: Path
    tenant: str = "tn_flows"
    closing: list[Any] = field(default_factory=list)

    # The merchant's frontend ---------------------------------------------------------------

    async def quote(self, amount: str = "100.00", **changes: Any) -> dict[str, Any]:
        body = {
            "network": "local",
            "asset": "DUSD",
            "currency": "USD",
            "amount": amount,
            "amount_in": "fiat",
            **changes,
        }
        answer = await self.post("/v1/quotes", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def place(
        self, amount: str = "100.00", wallet: str | None = None, customer: str = "cus_1"
    ) -> str:
        """Quote and order; returns the order's id once it has its payment intent."""
        quote = await self.quote(amount)
        body = {
            "quote_id": quote["id"],
            "wallet": {"network": "local", "address": wallet or fresh_address()},
            "customer": customer,
        }
        answer = await self.post("/v1/orders", body)
        assert answer.status_code == 201, answer.text
        order_id = str(answer.json()["id"])
        await self.until(order_id, lambda order: order.payment_intent_id)
        return order_id

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        headers = {"Idempotency-Key": uuid.uuid4().hex, **headers}
        return await self.api.post(path, json=body, headers=headers)

    async def cancel(self, order_id: str) -> httpx.Response:
        return await self.post(f"/v1/orders/{order_id}/cancel")

    async def event_types(self, order_id: str) -> list[str]:
        return [event.type for event in await self.store.events(order_id)]

    # The customer's card -------------------------------------------------------------------

    async def pay(self, order_id: str, card: str = "pm_card_visa") -> Any:
        """Confirm the order's intent with a card; raises the SDK's ``CardError`` on a decline."""
        order = await self.order(order_id)
        params: Any = {"payment_method": card, "return_url": "https://shop.example/return"}
        return await self.stripe.v1.payment_intents.confirm_async(
            str(order.payment_intent_id), params
        )

    async def intent(self, order_id: str) -> Any:
        order = await self.order(order_id)
        params: Any = {"expand": ["latest_charge"]}
        intent = await self.stripe.v1.payment_intents.retrieve_async(
            str(order.payment_intent_id), params
        )
        return intent.to_dict()

    # The worker ----------------------------------------------------------------------------

    async def order(self, order_id: str) -> Order:
        order = await self.store.get(order_id)
        assert order is not None
        return order

    async def step(self) -> None:
        """One tick of every stage, one block, and a moment later."""
        await advance(self.ports)
        self.world.rpc("evm_mine")
        self.clock.ahead += timedelta(milliseconds=300)

    async def until(self, order_id: str, condition: Any, limit_s: float = 20) -> Order:
        """Step until ``condition(order)``; returns the order."""

        async def check() -> Order | None:
            order = await self.order(order_id)
            if condition(order):
                return order
            await self.step()
            return None

        return await eventually(check, limit_s=limit_s, what=f"{order_id}: the condition")

    async def reach(self, order_id: str, *statuses: Status) -> Order:
        return await self.until(order_id, lambda order: order.status in statuses)

    async def tick_until(self, order_id: str, status: Status, *stages: Any) -> Order:
        """Run only ``stages`` until the order is in ``status``: it goes no further."""

        async def check() -> Order | None:
            for stage in stages:
                await stage(self.ports)
            self.clock.ahead += timedelta(milliseconds=300)
            order = await self.order(order_id)
            return order if order.status is status else None

        return await eventually(check, what=f"{order_id}: {status}")

    async def signed_and_not_sent(self, order_id: str) -> bytes:
        """Plan and sign what waits as the engine does, store the bytes, and stop there."""
        [lane] = await self.store.claim_lanes(
            "local", self.clock.now(), lease_ms=30_000, worker="stopped"
        )
        under_way = await self.store.open_batches(lane)
        lane, _ = await plan_waiting(self.ports, lane, under_way)
        [batch] = [b for b in await self.store.open_batches(lane) if not b.attempts]
        payouts = await self.store.payouts(batch.id)
        assert order_id in [payout.order_id for payout in payouts]
        call = sealed_call(self.chain, batch, payouts)
        signed = await self.chain.sign(lane.address, call, batch.nonce, None)
        await self.store.store_attempt(lane, batch, signed, self.clock.now())
        return signed.raw

    # The books -----------------------------------------------------------------------------

    async def stock(self, amount: int = STOCK) -> None:
        """Tokens into the vault, and into the tenant's books."""
        self.world.stock(amount)
        await self.booked(Money(amount, self.ports_asset()))

    async def stock_coins(self, wei: int) -> None:
        """Native coin likewise."""
        self.world.send(self.world.owner, self.world.vault.address, "0x", value=wei)
        await self.booked(Money(wei, NETWORK.native))

    async def booked(self, amount: Money) -> None:
        """What is in the vault already."""
        booking = journal.treasury_funded(amount, Account.VAULT)
        await self.store.book(self.tenant, f"fund:{uuid.uuid4().hex}", booking, self.clock.now())

    def ports_asset(self) -> Any:
        return DEPLOYED(self.world).asset("DUSD")

    async def balance(self, account: Account, asset: str) -> int:
        """Posted debits minus credits of the tenant."""
        for row in await self.store.balances(self.tenant):
            if (row.account, row.asset.id) == (account, asset):
                return row.debits_posted - row.credits_posted
        return 0

    async def check_books(self) -> None:
        """Every asset sums to zero, and the vault holds on-chain what the ledger says."""
        totals: dict[str, int] = {}
        for tenant in (self.tenant, PLATFORM):
            for row in await self.store.balances(tenant):
                net = row.debits_posted - row.credits_posted
                pending = row.debits_pending - row.credits_pending
                totals[row.asset.id] = totals.get(row.asset.id, 0) + net + pending
        assert not any(totals.values()), totals
        on_chain = self.world.balance(self.world.vault.address)
        assert await self.store.totals(Account.VAULT, self.ports_asset()) == on_chain

    def with_policy(self, **changes: int) -> None:
        self.ports = replace(self.ports, policy=replace(self.ports.policy, **changes))


def DEPLOYED(world: World) -> Deployment:  # noqa: N802
    """The deployment file's content for one world."""
    return Deployment(
        network="local",
        rpc_urls=(str(world.http.base_url),),
        vault=world.vault.address,
        tokens=(Token("DUSD", 6, world.dollar.address), Token("ETH", 18, NATIVE)),
        lanes=(world.settler.address,),
        escrow=world.escrow.address,
    )


async def open_bridge(
    dsn: str, world: World, emulator_url: str, folder: Path, *, fresh: bool = True
) -> Bridge:
    """Wire everything the way ``bridge.bootstrap`` does, with a clock that can be moved.

    ``fresh``: on an empty database, which is filled; else on one that knows all of it.
    """
    clock = MovableClock()
    store = await PostgresStore.connect(dsn, 2, 8)
    queries = Queries(store.pool)
    lists = folder / "sanctions.csv"
    lists.write_text(f"asset,address,action\nETH,{SANCTIONED},block\nETH,{DOUBTFUL},review\n")
    deployment = DEPLOYED(world)
    signer = KeystoreSigner(EthAccount.from_key(world.settler.private_key))
    chain = EvmChain(
        NETWORK, deployment, RpcClient(deployment.rpc_urls), {world.settler.address: signer}
    )
    gas = StaticGas({"local": NETWORK})
    ports = Ports(
        store=store,
        payment=StripePayments(STRIPE_KEY, api_base=emulator_url, timeout_s=2, facts_key=FACTS_KEY),
        screening=ListScreener([lists], queries, queries, clock),
        chains={"local": chain},
        gas=gas,
        prices=StaticPrices(parse_prices("DUSD=1.00 USD,ETH=3000.00 USD"), clock),
        clock=clock,
        policy=Policy(poll_ms=250, escrow_poll_ms=250),
        escrows={"local": chain.escrows},
    )
    if fresh:
        await _register(store, queries, chain, world, clock.now())
    wake = Wake(dsn)
    await wake.start()
    settings = load({"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "TIDEGATE_ACCESS_LOG": "false"})
    services = Services(
        settings=settings,
        store=store,
        queries=queries,
        wake=wake,
        networks={"local": network_info(NETWORK, deployment)},
        prices=StaticPrices(settings.prices, clock),
        gas=gas,
        verify_webhook=lambda body, header: verify_webhook(body, header, [WEBHOOK_SECRET]),
        clock=clock,
        metrics=Metrics(),
        probes={},
        screening=ports.screening,
        list_address=checked_form,
    )
    api = httpx.AsyncClient(
        transport=httpx.ASGITransport(_application(services)),
        base_url="http://tidegate",
        headers={"Authorization": f"Bearer {SECRET_KEY}"},
    )
    emulator = httpx.AsyncClient(base_url=emulator_url, trust_env=False, verify=False)
    shop = _shop(emulator_url)
    bridge = Bridge(store, queries, ports, api, world, chain, clock, shop, emulator, lists)
    bridge.closing = [api.aclose, emulator.aclose, wake.stop, chain.close, store.close]
    if fresh:
        await bridge.stock()
    return bridge


_built: list[Litestar] = []


def _application(services: Services) -> Litestar:
    """The API over ``services``; its routes are built once, which takes longer than most tests.

    One deployment is open at a time: the one that was opened last is answered from.
    """
    if not _built:
        _built.append(create_app(services))
    _built[0].state = state_over(services)
    return _built[0]


@cache
def _shop(emulator_url: str) -> stripe.StripeClient:
    """The customer's browser: loads the certificates of the world once."""
    return stripe.StripeClient(
        STRIPE_KEY,
        base_addresses={"api": emulator_url},
        max_network_retries=0,
        http_client=stripe.HTTPXClient(),
    )


async def _register(
    store: PostgresStore, queries: Queries, chain: EvmChain, world: World, now: datetime
) -> None:
    await store.register_network("local", await chain.identity(), now)
    lane = world.settler.address
    await store.register_lane("local", lane, await chain.nonce(lane))
    await queries.create_tenant(
        "Flows", livemode=False, limits=LIMITS, now=now, tenant_id="tn_flows"
    )
    for key, kind in ((SECRET_KEY, KeyKind.SECRET), (FRONTEND_KEY, KeyKind.PUBLISHABLE)):
        await queries.create_key(
            "tn_flows",
            key_hash=key_digest(key),
            prefix=key[:11],
            last4=key[-4:],
            kind=kind,
            role=Role.MERCHANT,
            now=now,
        )


def types(events: Sequence[Any]) -> list[str]:
    return [event.type for event in events]
