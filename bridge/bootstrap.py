"""Wires everything: the only file that sees every layer.

``open_ports`` gives a worker what its stages reach outside through; ``open_services`` gives the
API what its handlers need. Both close what they opened.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import httpx

from bridge import logging
from bridge.api.errors import WebhookInvalid
from bridge.api.services import NetworkInfo, Services, TokenInfo, VerifyWebhook
from bridge.gas import gas_service
from bridge.graph import open_graph
from bridge.metrics import Metrics
from bridge.payments.stripe import StripePayments, verify_webhook
from bridge.prices.exchanges import EXCHANGES
from bridge.prices.market import MarketPrices, Rules
from bridge.prices.static import StaticPrices
from bridge.settings import Settings, SettingsError
from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from bridge.storage.wake import WORK, Wake, somebody_listens
from chain.deployment import Deployment, load_deployments
from chain.evm import vault
from chain.evm.addresses import normalize_address
from chain.evm.client import EvmChain
from chain.evm.escrow import EvmEscrows
from chain.evm.proofs import receipt_facts
from chain.gas.reader import GasReader
from chain.gas.store import GasStore
from chain.network import Network
from chain.registry import load_network
from chain.rpc import RpcClient
from chain.signers import EvmSigner, open_signer
from compliance_graph.lists.addresses import checked_form
from compliance_graph.screener import ListScreener
from settlement.errors import InvalidInput
from settlement.ports.bundle import Ports
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.escrow import EscrowScheme
from settlement.ports.payment import PaymentPort, ProviderEvent
from settlement.ports.price import PricePort
from settlement.ports.screening import ScreeningPort
from settlement.schedule import Policy


@asynccontextmanager
async def open_ports(
    settings: Settings, *, policy: Policy | None = None, signing: bool = True
) -> AsyncIterator[Ports]:
    """Everything that a worker needs, on a migrated database.

    Without ``signing`` no key is unlocked: for whoever only looks.
    """
    async with AsyncExitStack() as stack:
        store = await PostgresStore.connect(database_url(settings), 2, settings.database_pool)
        stack.push_async_callback(store.close)
        deployments = load_deployments(deployments_path(settings))
        networks = _networks(settings, deployments)
        caps = fee_caps(settings, networks)
        clock = SystemClock()
        chains = {}
        for name, deployment in deployments.items():
            keys = signers(settings, deployment) if signing else {}
            chains[name] = open_chain(networks[name], deployment, keys)
            stack.push_async_callback(chains[name].close)
        yield Ports(
            store=store,
            payment=open_payments(settings),
            screening=await open_screening(stack, settings, store, deployments, clock),
            chains=chains,
            gas=gas_service(settings, networks, chains, store.pool),
            clock=clock,
            prices=await open_prices(settings, clock, stack),
            policy=policy
            or Policy(fee_caps_wei=caps, price_tolerance_bps=settings.price_tolerance_bps),
            log=logging.get("worker"),
            escrows={name: chain.escrows for name, chain in chains.items()},
        )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that the API needs, on a migrated database. It never talks to a chain."""
    async with AsyncExitStack() as stack:
        url = database_url(settings)
        store = await PostgresStore.connect(url, 2, settings.database_pool)
        stack.push_async_callback(store.close)
        wake = await open_wake(url)
        stack.push_async_callback(wake.stop)
        deployments = load_deployments(deployments_path(settings))
        networks = _networks(settings, deployments)
        clock = SystemClock()
        yield Services(
            settings=settings,
            store=store,
            queries=Queries(store.pool),
            wake=wake,
            networks={name: network_info(networks[name], d) for name, d in deployments.items()},
            prices=await open_prices(settings, clock, stack),
            gas=GasReader(networks, GasStore(store.pool), clock),
            verify_webhook=webhook_verifier(settings),
            clock=clock,
            metrics=Metrics(),
            probes={"worker": partial(no_worker, store.pool)},
            screening=await open_screening(stack, settings, store, deployments, clock),
            list_address=checked_form,
        )


async def open_prices(settings: Settings, clock: Clock, stack: AsyncExitStack) -> PricePort:
    """The chosen sources behind one port; what it opens is closed with ``stack``.

    Raises :class:`SettingsError` in live mode for a table alone that nobody said is meant.
    """
    static = StaticPrices(settings.prices, clock)
    names = [name for name in settings.price_sources if name != "static"]
    if not names:
        if settings.mode == "live" and not settings.static_prices_are_meant:
            raise SettingsError(
                "TIDEGATE_PRICE_SOURCES: live mode does not sell at prices written down by hand; "
                "name exchanges (kraken,coinbase), or set TIDEGATE_STATIC_PRICES_ARE_MEANT=true "
                "if TIDEGATE_PRICES is what you want to sell at"
            )
        return static
    if len(names) == 1:
        # Nobody is there to disagree with it: a wrong ticker would be sold at.
        logging.get("prices").warning("prices_from_one_exchange", exchange=names[0])
    http = await stack.enter_async_context(httpx.AsyncClient())
    rules = Rules(
        timedelta(seconds=settings.price_age_s), settings.price_apart_bps, min(2, len(names))
    )
    otherwise = static if "static" in settings.price_sources else None
    return MarketPrices([EXCHANGES[name](http) for name in names], clock, rules, otherwise)


def _networks(settings: Settings, deployments: Mapping[str, Deployment]) -> dict[str, Network]:
    """The facts of every deployed network. Raises :class:`SettingsError` for toys in live mode, and
    for what is listed in the place of a network's own coin."""
    networks = {name: load_network(name) for name in deployments}
    for name, deployment in deployments.items():
        try:
            deployment.check_native(networks[name].native)
        except InvalidInput as error:
            raise SettingsError(f"{deployments_path(settings)}: {error}") from error
    toys = [name for name, network in networks.items() if network.local]
    if toys and settings.mode == "live":
        raise SettingsError(f"TIDEGATE_MODE: live, but {', '.join(toys)} is a local chain")
    return networks


DEMO_FEE_CAP_WEI = 1_000 * 10**9
"""A local chain's base fee starts at 1 gwei; only a mistake bids a thousand times as much."""


def fee_caps(settings: Settings, networks: Mapping[str, Network]) -> dict[str, int]:
    """The caps that were set, and one for every local chain without.

    Raises :class:`SettingsError` in live mode for a network that has none.
    """
    local = {name: DEMO_FEE_CAP_WEI for name, network in networks.items() if network.local}
    caps = {**local, **settings.fee_caps_wei}
    uncapped = [name for name in networks if name not in caps]
    if uncapped and settings.mode == "live":
        raise SettingsError(
            "TIDEGATE_FEE_CAPS: live mode needs the most that is ever bid on every network, none "
            f"is given for {', '.join(uncapped)}; for example {uncapped[0]}=200gwei"
        )
    return caps


def check_facts_keys(settings: Settings) -> None:
    """Raises :class:`SettingsError` in live mode without any: who may edit an intent's metadata
    could then say whom a rebuilt order pays."""
    if settings.mode == "live" and not settings.facts_keys:
        raise SettingsError(
            "TIDEGATE_FACTS_KEYS: live mode signs what Stripe's metadata says of an order; set a "
            "random key of 32 characters or more and keep it apart from the database's backups"
        )


async def no_worker(pool: Any) -> str | None:
    """A worker is whoever listens for work: it starts to when it is ready to tick."""
    return None if await somebody_listens(pool, WORK) else "no worker is running"


async def open_wake(url: str) -> Wake:
    """Wake-ups over the same database; its task runs until ``stop``."""
    wake = Wake(url)
    await wake.start()
    return wake


def network_info(network: Network, deployment: Deployment) -> NetworkInfo:
    """What the API shows and checks of a network, without a connection to it."""
    return NetworkInfo(
        name=network.name,
        native=network.native,
        assets=tuple(
            TokenInfo(deployment.asset(token.code), token.address) for token in deployment.tokens
        ),
        normalize_address=partial(normalize_address, swallowing=deployment.contracts),
        payout_max_minor=vault.AMOUNT_MAX_MINOR,
        block_ms=network.block_ms,
        escrow=escrow_scheme(network, deployment),
        receipts=receipt_facts(network),
    )


def escrow_scheme(network: Network, deployment: Deployment) -> EscrowScheme | None:
    """How escrows are named and signed on the network; ``None`` where none can be made."""
    if deployment.escrow is None or not deployment.lanes:
        return None
    return EvmEscrows(network.chain_id, deployment.escrow, operator=deployment.lanes[0])


def webhook_verifier(settings: Settings) -> VerifyWebhook:
    """Checks deliveries with the configured secrets; without any, refuses them all."""

    def verify(body: bytes, signature: str) -> ProviderEvent:
        try:
            return verify_webhook(body, signature, settings.stripe_webhook_secrets)
        except InvalidInput as error:
            raise WebhookInvalid(str(error)) from error

    return verify


def database_url(settings: Settings) -> str:
    """Raises :class:`SettingsError`: only ``tidegate serve`` starts a database of its own."""
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL: set it, or run everything with `tidegate serve`")
    return settings.database_url


def open_payments(settings: Settings) -> PaymentPort:
    """Stripe, or whatever speaks its API at ``STRIPE_API_BASE``.

    Raises :class:`SettingsError` for a key of the other mode: real money never moves by mistake.
    """
    if settings.stripe_api_key is None:
        raise SettingsError("STRIPE_API_KEY: set it, or run the emulator with `tidegate serve`")
    if ("_live_" in settings.stripe_api_key) is not (settings.mode == "live"):
        raise SettingsError(f"STRIPE_API_KEY: not a {settings.mode} key; see TIDEGATE_MODE")
    return StripePayments(
        settings.stripe_api_key,
        api_base=settings.stripe_api_base,
        facts_key=next(iter(settings.facts_keys), None),
    )


def open_chain(network: Network, deployment: Deployment, keys: Mapping[str, EvmSigner]) -> EvmChain:
    """The adapter of the network's family."""
    if network.family != "evm":
        raise SettingsError(f"network {network.name}: no adapter for {network.family!r}")
    rpc = RpcClient(
        deployment.rpc_urls,
        quorum=deployment.quorum,
        block_ms=network.block_ms,
        log=logging.get("chain"),
    )
    return EvmChain(network, deployment, rpc, keys)


def signers(settings: Settings, deployment: Deployment) -> dict[str, EvmSigner]:
    """One unlocked keystore per lane. Raises :class:`~chain.errors.SignerError`."""
    folder = keystore_folder(settings)
    password_file = settings.keystore_password_file or str(folder / "password")
    return {
        lane: open_signer(
            "keystore", {"path": str(folder / f"{lane}.json"), "password_file": password_file}
        )
        for lane in deployment.lanes
    }


def keystore_folder(settings: Settings) -> Path:
    return Path(settings.keystore_dir or Path(settings.state_dir) / "keystore")


def deployments_path(settings: Settings) -> Path:
    return Path(settings.deployments or Path(settings.state_dir) / "deployments.json")


async def open_screening(
    stack: AsyncExitStack,
    settings: Settings,
    store: PostgresStore,
    deployments: Mapping[str, Deployment],
    clock: Clock,
) -> ScreeningPort:
    """Lists from files and from the database, and the transfer graph where there is one; without
    any list nobody is cleared."""
    queries = Queries(store.pool)
    paths, limits = list_paths(settings), settings.second_officer_above
    log = logging.get("lists")
    lists = ListScreener(paths, queries, queries, clock, allow_up_to=limits, log=log)
    return await open_graph(stack, settings, lists, deployments, store.pool, clock)


def list_paths(settings: Settings) -> list[Path]:
    """The configured address lists, or the demo's; in live mode never that one."""
    if settings.address_lists or settings.mode == "live":
        return [Path(text) for text in settings.address_lists]
    demo = resources.files("compliance_graph") / "artifacts" / "demo_sanctions.csv"
    return [Path(str(demo))]
