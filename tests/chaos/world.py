"""Sets the stage once: contracts, lanes, stock, gas money, tenant, webhook endpoint."""

import json
import os
from pathlib import Path
from typing import Any

import stripe
from eth_account import Account as EthAccount

from bridge.api.auth import key_digest
from bridge.bootstrap import open_ports
from bridge.payments.stripe import EVENT_TYPES
from bridge.serve.demo import pool_of
from bridge.settings import load
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from chain.deployment import NATIVE, Deployment, Token, save_deployment
from chain.evm.treasury import DEMO_DOLLAR, DEMO_DOLLAR_SCALE, Treasury
from chain.local.accounts import dev_accounts
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import KeystoreSigner, create_keystore
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.limits import Limits
from settlement.money import Money
from tests.chaos.options import GAS_MONEY_WEI, STOCK_MINOR, STOCK_WEI

API_KEY = "tg_sk_test_chaos000000000000000000"
STRIPE_KEY = "sk_test_chaos"
TENANT = "ten_chaos"
_LIMITS = {"USD": Limits(500, 200_000, 500_000)}


def create_lanes(folder: Path, count: int) -> list[str]:
    """Signing accounts with quickly unlocked keystores; their addresses."""
    keystore = folder / "keystore"
    keystore.mkdir(mode=0o700)
    password = keystore / "password"
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write("chaos")
    lanes = []
    for _ in range(count):
        account = EthAccount.create()
        path = keystore / f"{account.address}.json"
        create_keystore(path, "chaos", private_key=bytes(account.key), scrypt_n=2**12)
        lanes.append(str(account.address))
    return lanes


async def deploy(chain_url: str, lanes: list[str], stock_minor: int) -> Deployment:
    """Vault and token, stocked; the endpoints are added by the caller."""
    rpc = RpcClient([chain_url])
    key = dev_accounts()[0].private_key
    treasury = Treasury(NETWORK, rpc, KeystoreSigner(EthAccount.from_key(key)))
    try:
        token = await treasury.deploy_demo_dollar()
        vault = await treasury.deploy_vault(lanes)
        await treasury.list_demo_dollar(vault, token, 10**30)
        await treasury.list_native(vault, 10**30)
        await treasury.deliver((await treasury.prepare_mint(token, vault, stock_minor)).raw)
        for to, wei in ((vault, STOCK_WEI), *((lane, GAS_MONEY_WEI) for lane in lanes)):
            await treasury.deliver((await treasury.prepare_transfer(None, to, wei)).raw)
    finally:
        await rpc.close()
    native = Token(NETWORK.native.code, NETWORK.native.scale, NATIVE)
    tokens = (Token(DEMO_DOLLAR, DEMO_DOLLAR_SCALE, token), native)
    return Deployment(NETWORK.name, (chain_url,), vault, tokens, tuple(lanes))


def write_deployment(folder: Path, deployment: Deployment, urls: list[str]) -> None:
    """The file that the processes read: the endpoints are the proxies'."""
    path = folder / "deployments.json"
    save_deployment(path, deployment)
    content = json.loads(path.read_text())
    content[deployment.network]["rpc_urls"] = urls
    path.write_text(json.dumps(content))


async def register(environment: dict[str, str], deployment: Deployment) -> None:
    """Network, lanes, tenant and opening balances, in an empty migrated database."""
    settings = load(environment)
    async with open_ports(settings, signing=False) as ports:
        store, now, chain = ports.store, ports.clock.now(), ports.chains[NETWORK.name]
        await store.register_network(NETWORK.name, await chain.identity(), now)
        for lane in deployment.lanes:
            await store.register_lane(NETWORK.name, lane, await chain.nonce(lane))
        queries = Queries(pool_of(ports).pool)
        await queries.create_tenant(
            "Chaos", livemode=False, limits=_LIMITS, now=now, tenant_id=TENANT
        )
        await queries.create_key(
            TENANT,
            key_hash=key_digest(API_KEY),
            prefix=API_KEY[:11],
            last4=API_KEY[-4:],
            kind=KeyKind.SECRET,
            role=Role.MERCHANT,
            now=now,
        )
        stock = Money(STOCK_MINOR, deployment.asset(DEMO_DOLLAR))
        gas = Money(GAS_MONEY_WEI * len(deployment.lanes), chain.native)
        for tenant, amount, into in (
            (TENANT, stock, Account.VAULT),
            (TENANT, Money(STOCK_WEI, chain.native), Account.VAULT),
            (PLATFORM, gas, Account.HOT_WALLET),
        ):
            booking = journal.treasury_funded(amount, into)
            await store.book(tenant, f"chaos:{into}:{amount.asset.id}", booking, now)


def stripe_client(base: str) -> stripe.StripeClient:
    """The official SDK, as the merchant's and the customers' side use it."""
    return stripe.StripeClient(
        STRIPE_KEY,
        base_addresses={"api": base},
        max_network_retries=3,
        http_client=stripe.HTTPXClient(timeout=30),
    )


async def webhook_secret(client: stripe.StripeClient, url: str) -> str:
    """Register the endpoint; its signing secret."""
    params: Any = {"url": url, "enabled_events": list(EVENT_TYPES)}
    made = await client.v1.webhook_endpoints.create_async(params)
    return str(made.secret)
