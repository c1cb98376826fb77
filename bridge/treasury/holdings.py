"""What the chain holds for us against what the ledger says, and how to book what it missed."""

from dataclasses import dataclass

from chain.deployment import Deployment
from settlement.errors import InvariantBroken
from settlement.ids import TenantId
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking
from settlement.money import Asset, Money
from settlement.order import Status
from settlement.ports.chain import ChainPort
from settlement.ports.store import LedgerStore, OrderStore

BETWEEN_BOOKS = frozenset({Status.SUBMITTED, Status.CONFIRMING})
"""The chain may have paid these already; the ledger says so once the block is final."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One account in one asset's minor units, by the chain and by the ledger."""

    network: str
    account: Account
    asset: Asset
    chain_minor: int
    ledger_minor: int

    @property
    def difference_minor(self) -> int:
        """Positive: the chain holds money that the ledger does not know."""
        return self.chain_minor - self.ledger_minor


async def holdings(store: LedgerStore, chain: ChainPort, deployment: Deployment) -> list[Holding]:
    """The vault in every listed token and in native coin, and all lanes together."""
    found = []
    listed = [deployment.asset(token.code) for token in deployment.tokens]
    for asset in dict.fromkeys((*listed, chain.native)):
        held = await chain.balance(asset, deployment.vault)
        booked = await store.totals(Account.VAULT, asset)
        if held or booked or asset != chain.native:
            found.append(Holding(chain.network, Account.VAULT, asset, held, booked))
    gas = sum([await chain.balance(chain.native, lane) for lane in deployment.lanes])
    booked = await store.totals(Account.HOT_WALLET, chain.native)
    found.append(Holding(chain.network, Account.HOT_WALLET, chain.native, gas, booked))
    return found


async def between_books(store: OrderStore, network: str) -> int:
    """How many orders make a difference normal right now."""
    return len(await store.unfinished(network, BETWEEN_BOOKS))


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the chain holds beyond the ledger, as it is to be booked: ``key`` holds all that was
    ever booked in, so that two who adopt the same difference book it once."""

    tenant_id: TenantId
    key: str
    amount: Money
    booking: Booking


async def adoption(store: LedgerStore, holding: Holding, tenant_id: TenantId) -> Adoption:
    """The difference, as inventory of ``tenant_id``. Ask while :func:`between_books` is zero."""
    if holding.difference_minor <= 0:
        raise InvariantBroken(f"{holding.asset.id}: the chain holds nothing to adopt")
    ever = sum(
        balance.debits_posted
        for balance in await store.balances(tenant_id)
        if balance.account == holding.account and balance.asset == holding.asset
    )
    key = f"adopt:{holding.account}:{holding.asset.id}:{ever}"
    amount = Money(holding.difference_minor, holding.asset)
    return Adoption(tenant_id, key, amount, journal.treasury_funded(amount, holding.account))
