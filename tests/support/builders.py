"""Objects of the core with sensible values, for tests that care about one or two of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from settlement.batch import Batch, BatchStatus, Lane
from settlement.ids import new_client_secret, new_id
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.limits import Limits
from settlement.money import Asset, Money
from settlement.order import Order, Status
from settlement.ports.accepting import AcceptOrder, Idempotency
from settlement.ports.chain import ChainIdentity, Fees, SignedTransaction
from settlement.ports.payment import ProviderEvent
from settlement.quote import Line, LineKind, Quote
from settlement.transitions import Change, move

USD = Asset("USD", 2)
DUSD = Asset("DUSD", 6, "local")
ETH = Asset("ETH", 18, "local")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WALLET = "0x00000000000000000000000000000000000000a1"
AMPLE = Limits(100, 10**15, 10**16)


def after(seconds: float) -> datetime:
    """A moment after :data:`NOW`."""
    return NOW + timedelta(seconds=seconds)


@dataclass
class Scene:
    """A tenant and a network that no other test knows."""

    store: Any
    tenant: str = field(default_factory=lambda: new_id("ten"))
    network: str = "local"

    def quote(self, **changes: Any) -> Quote:
        gross = changes.pop("gross_minor", 10_000)
        values: dict[str, Any] = {
            "id": new_id("quo"),
            "tenant_id": self.tenant,
            "network": self.network,
            "gross": Money(gross, USD),
            "token": Money(gross * 9_700, DUSD),
            "lines": (
                Line(LineKind.PRINCIPAL, gross - 300),
                Line(LineKind.PROCESSING, 200),
                Line(LineKind.SPREAD, 100),
            ),
            "rate": Fraction(1, 10_000),
            "created_at": NOW,
            "expires_at": after(900),
        }
        return Quote(**(values | changes))

    async def saved_quote(self, **changes: Any) -> Quote:
        quote = self.quote(**changes)
        stored: Quote = await self.store.save_quote(quote, key())
        return stored

    def command(self, quote: Quote, **changes: Any) -> AcceptOrder:
        order_id = new_id("ord")
        values: dict[str, Any] = {
            "order_id": order_id,
            "tenant_id": self.tenant,
            "quote_id": quote.id,
            "customer": "customer-1",
            "network": quote.network,
            "wallet": WALLET,
            "client_secret": new_client_secret(order_id),
            "metadata": {"cart": "42"},
        }
        return AcceptOrder(**(values | changes))

    async def order(self, *, now: datetime = NOW, **changes: Any) -> Order:
        """An accepted order; what its quote says and its ``customer`` may be given."""
        quoted = ("gross_minor", "token", "lines")
        gross = {name: changes.pop(name) for name in quoted if name in changes}
        quote = await self.saved_quote(expires_at=now + timedelta(seconds=900), **gross)
        accepted: Order = await self.store.accept(self.command(quote, **changes), AMPLE, key(), now)
        return accepted

    async def apply(self, change: Change) -> Order:
        """Apply one change that must match; returns the order as stored."""
        assert await self.store.apply_many([change]) == []
        stored: Order = await self.store.get(change.order.id)
        return stored

    async def fund(
        self, amount_minor: int, key_name: str | None = None, asset: Asset = DUSD
    ) -> None:
        """Put tokens into the tenant's vault inventory."""
        booking = journal.treasury_funded(Money(amount_minor, asset), Account.VAULT)
        assert await self.store.book(self.tenant, key_name or new_id("fund"), booking, NOW)

    async def captured(self, **changes: Any) -> Order:
        """An order whose money is captured and whose tokens are reserved."""
        order = await self.order(**changes)
        await self.fund(order.token.amount_minor, asset=order.token.asset)
        steps: Sequence[tuple[Status, tuple[Any, ...], dict[str, Any]]] = (
            (Status.AUTHORIZED, (journal.authorized,), {"payment_intent_id": new_id("pi")}),
            (Status.CLEARED, (), {}),
            (Status.CAPTURING, (journal.reserved,), {}),
            (Status.CAPTURED, (journal.captured,), {}),
        )
        for status, books, patch in steps:
            bookings = tuple(book(order) for book in books)
            change = move(
                order, status, NOW, patch=dict(patch), bookings=bookings, under_lease=False
            )
            order = await self.apply(change)
        return order

    async def lane(self, *, nonce: int = 7, address: str = "0xlane") -> Lane:
        """A claimed lane of a registered network."""
        if await self.store.network(self.network) is None:
            await self.store.register_network(self.network, IDENTITY, NOW)
        await self.store.register_lane(self.network, address, nonce)
        return await self.claim()

    async def claim(self, now: datetime = NOW, *, worker: str = "another", s: int = 60) -> Lane:
        """The lane that ``worker`` gets; there must be exactly one for it."""
        [lane] = await self.claims(now, worker=worker, s=s)
        return lane

    async def claims(
        self, now: datetime = NOW, *, worker: str = "another", s: int = 60
    ) -> list[Lane]:
        """All lanes that ``worker`` gets, for ``s`` seconds."""
        lanes: list[Lane] = await self.store.claim_lanes(
            self.network, now, lease_ms=s * 1_000, worker=worker
        )
        return lanes

    async def batch(self, lane: Lane, orders: Sequence[Order], **changes: Any) -> Batch:
        """A batch over ``orders``, not stored yet."""
        values: dict[str, Any] = {
            "id": await self.store.new_batch_id(),
            "network": self.network,
            "asset": DUSD,
            "lane_id": lane.id,
            "lane_address": lane.address,
            "nonce": lane.next_nonce,
            "status": BatchStatus.PLANNED,
            "root": "0xroot",
            "order_count": len(orders),
            "planned_at": NOW,
        }
        return Batch(**(values | changes))


IDENTITY = ChainIdentity("0xgenesis", "0xvault", "0xcode")


def key(name: str | None = None, fingerprint: str = "fingerprint") -> Idempotency:
    """An idempotency key, by default one that nobody used."""
    return Idempotency(name or new_id("key"), fingerprint)


def submit(order: Order) -> Change:
    return move(order, Status.SUBMITTED, NOW, under_lease=False)


def signed(nonce: int, ref: str = "0xtx", fee_wei: int = 2 * 10**9) -> SignedTransaction:
    return SignedTransaction(ref, b"\x02raw" + ref.encode(), nonce, Fees(fee_wei, 1), 500_000)


def provider_event(event_id: str, **changes: Any) -> ProviderEvent:
    values: dict[str, Any] = {
        "id": event_id,
        "type": "payment_intent.succeeded",
        "created_at": NOW,
        "intent_id": "pi_1",
        "order_id": None,
        "body": {"id": event_id, "data": {"object": {"amount": 10**30}}},
    }
    return ProviderEvent(**(values | changes))
