"""Makes the demo's world complete: tenant, keys, contracts, stock, books. Every step may be
repeated, so that a run which was killed anywhere is finished by the next one.

Only a local chain can be set up like this: its treasury is a public development key, and it alone
may be replaced by a new instance, with the orders that were on their way refunded.
"""

from dataclasses import dataclass, field
from pathlib import Path

from bridge.administering import adopt, create_key, create_tenant
from bridge.api.auth import key_digest
from bridge.bootstrap import open_ports
from bridge.operating import Actor
from bridge.serve.contracts import ensure_contracts, ensure_keys, open_treasury
from bridge.serve.folder import DemoSecrets
from bridge.serve.recheck import Recheck, recheck
from bridge.settings import Settings
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from bridge.storage.store import PostgresStore
from bridge.treasury.books import AuditedBooks
from bridge.treasury.funding import FundingDesk, Goal
from bridge.treasury.holdings import adoption, between_books, holdings
from bridge.wording import money
from chain.deployment import Deployment
from chain.evm.treasury import DEMO_DOLLAR, DEMO_DOLLAR_SCALE, Treasury
from chain.registry import load_network
from chain.rpc import RpcClient
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Asset, Money
from settlement.order import Order
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort
from settlement.stages import identity

NETWORK = "local"
TENANT = "ten_demo"
TENANT_NAME = "Demo shop"
ACTOR = Actor("setup")
"""Who the audit trail says it was, of what a start prepares."""

VAULT_STOCK_MINOR = 1_000_000 * 10**DEMO_DOLLAR_SCALE
VAULT_LOW_MINOR = 10_000 * 10**DEMO_DOLLAR_SCALE
VAULT_STOCK_WEI = 100 * 10**18
VAULT_LOW_WEI = 10 * 10**18
LANE_STOCK_WEI = 10 * 10**18
LANE_LOW_WEI = 10**18

_ORIGINS = ("http://127.0.0.1:8000", "http://localhost:8000", "http://localhost:3000")


@dataclass
class Report:
    """What a person should know of the set-up. ``refunding``: orders that a lost chain held;
    ``stocked``: what the vault was given; ``fuelled``: what lanes were given to pay gas with."""

    deployment: Deployment
    is_first: bool = False
    replaced: str | None = None
    stopped: str | None = None
    refunding: list[Order] = field(default_factory=list)
    stocked: list[Money] = field(default_factory=list)
    fuelled: list[Money] = field(default_factory=list)
    adopted: list[Money] = field(default_factory=list)
    earlier: Recheck = field(default_factory=Recheck)


async def set_up(settings: Settings, secrets: DemoSecrets, url: str) -> Report:
    """Complete the world on a migrated database and the local chain at ``url``.

    Raises kinds of :class:`~settlement.errors.TidegateError`.
    """
    network = load_network(NETWORK)
    rpc = RpcClient([url])
    try:
        lane = ensure_keys(settings)
        treasury = open_treasury(settings, network, rpc)
        deployment, is_new = await ensure_contracts(settings, treasury, lane, url)
        report = Report(deployment)
        async with open_ports(settings, signing=False) as ports:
            await _ensure_tenant(ports, settings, secrets)
            books = AuditedBooks(pool_of(ports).pool, ports.clock, ACTOR)
            desk = FundingDesk(Path(settings.state_dir), books)
            if is_new:
                await desk.forget()
            await _know_network(ports, report, is_new)
            await _stock(ports, desk, treasury, report)
            await _agree(ports, report)
            report.earlier = await recheck(pool_of(ports), ports, NETWORK, deployment, rpc)
        return report
    finally:
        await rpc.close()


def pool_of(ports: Ports) -> PostgresStore:
    """The store as what it is here: reads that are no part of the port need its pool."""
    assert isinstance(ports.store, PostgresStore)
    return ports.store


async def _ensure_tenant(ports: Ports, settings: Settings, secrets: DemoSecrets) -> None:
    queries, now = Queries(pool_of(ports).pool), ports.clock.now()
    if await queries.tenant(TENANT) is None:
        limits = settings.limits
        doing = create_tenant(
            ACTOR, TENANT_NAME, livemode=False, limits=limits, now=now, tenant_id=TENANT
        )
        await queries.perform(doing.deed, doing.work, now)
    keys = ((secrets.secret_key, KeyKind.SECRET), (secrets.publishable_key, KeyKind.PUBLISHABLE))
    for token, kind in keys:
        if await queries.login(key_digest(token)) is None:
            doing = create_key(
                ACTOR,
                TENANT,
                token,
                kind=kind,
                role=Role.MERCHANT,
                now=now,
                allowed_origins=_ORIGINS if kind is KeyKind.PUBLISHABLE else (),
                return_urls=[f"{origin}/" for origin in _ORIGINS],
            )
            await queries.perform(doing.deed, doing.work, now)


async def _know_network(ports: Ports, report: Report, is_new: bool) -> None:
    """Register the chain, or find out that it is another one and start over on it."""
    chain, store, now = ports.chains[NETWORK], ports.store, ports.clock.now()
    state = await store.network(NETWORK)
    if state is None:
        await store.register_network(NETWORK, await chain.identity(), now)
        report.is_first = True
    else:
        problem = await identity.difference(chain, store, state, may_lag=False)
        if problem is None and is_new:
            # A chain that lost its blocks may give the new contracts the old addresses.
            problem = "the vault was gone from the chain"
        problem = problem or await _lost_money(ports, report.deployment)
        if problem is not None:
            report.replaced = problem
            report.refunding = await identity.start_over(
                ports, state, [TENANT, PLATFORM], await chain.identity()
            )
        else:
            report.stopped = state.stop_reason
    for lane in report.deployment.lanes:
        await store.register_lane(NETWORK, lane, await chain.nonce(lane))


async def _lost_money(ports: Ports, deployment: Deployment) -> str | None:
    """A chain that holds less than was booked has lost its newest blocks (a kill, a full disk)."""
    if await between_books(ports.store, NETWORK):
        return None
    for holding in await holdings(ports.store, ports.chains[NETWORK], deployment):
        if holding.difference_minor < 0:
            missing = Money(-holding.difference_minor, holding.asset)
            return f"{money(missing)} of {holding.account} are missing: it lost its newest blocks"
    return None


async def _stock(ports: Ports, desk: FundingDesk, treasury: Treasury, report: Report) -> None:
    """Fill up what is low; first finish what an earlier run began."""
    chain, deployment = ports.chains[NETWORK], report.deployment
    genesis = (await chain.identity()).genesis_hash
    await desk.finish(treasury, genesis)
    dollars, token = deployment.asset(DEMO_DOLLAR), deployment.tokens[0].address
    if await chain.balance(dollars, deployment.vault) < VAULT_LOW_MINOR:
        amount = Money(VAULT_STOCK_MINOR, dollars)
        goal = Goal(TENANT, Account.VAULT, amount, deployment.vault)
        await desk.fund(
            treasury,
            genesis,
            goal,
            lambda: treasury.prepare_mint(token, goal.to, amount.amount_minor),
        )
        report.stocked.append(amount)
    if await chain.balance(chain.native, deployment.vault) < VAULT_LOW_WEI:
        to_vault = (TENANT, Account.VAULT, deployment.vault)
        report.stocked.append(await _coins(chain, desk, treasury, VAULT_STOCK_WEI, *to_vault))
    for lane in deployment.lanes:
        if await chain.balance(chain.native, lane) < LANE_LOW_WEI:
            to_lane = (PLATFORM, Account.HOT_WALLET, lane)
            report.fuelled.append(await _coins(chain, desk, treasury, LANE_STOCK_WEI, *to_lane))


async def _coins(
    chain: ChainPort,
    desk: FundingDesk,
    treasury: Treasury,
    wei: int,
    tenant: str,
    account: Account,
    to: str,
) -> Money:
    """Native coin from the treasury to ``to``, booked as ``tenant``'s."""
    genesis = (await chain.identity()).genesis_hash
    amount = Money(wei, chain.native)
    sign = lambda: treasury.prepare_transfer(None, to, wei)  # noqa: E731
    await desk.fund(treasury, genesis, Goal(tenant, account, amount, to), sign)
    return amount


async def _agree(ports: Ports, report: Report) -> None:
    """Book what the chain holds and the ledger does not know, unless orders explain it."""
    if await between_books(ports.store, NETWORK):
        return
    for holding in await holdings(ports.store, ports.chains[NETWORK], report.deployment):
        if holding.difference_minor > 0:
            tenant = TENANT if holding.account is Account.VAULT else PLATFORM
            found, now = await adoption(ports.store, holding, tenant), ports.clock.now()
            doing = adopt(ACTOR, found, now)
            await Queries(pool_of(ports).pool).perform(doing.deed, doing.work, now)
            report.adopted.append(found.amount)


def sample_asset() -> Asset:
    """What the sample order buys."""
    return Asset(DEMO_DOLLAR, DEMO_DOLLAR_SCALE, NETWORK)
