"""Reads (and rare writes) of the API and the console: everything that moves no money."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from bridge.storage.pages import Listing, Page
from bridge.storage.records import (
    ApiKey,
    AuditRecord,
    DeadLetter,
    KeyKind,
    LedgerEntry,
    Login,
    Role,
    ScreeningRecord,
    Settlement,
    Tenant,
)
from settlement.events import StoredEvent
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.limits import Limits
from settlement.money import Asset
from settlement.order import Order, Status
from settlement.quote import Quote


class Queries:
    """Takes the pool of a :class:`~bridge.storage.store.PostgresStore` (``store.pool``)."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    # Objects of one tenant -----------------------------------------------------------------

    async def quote(self, tenant_id: TenantId, quote_id: str) -> Quote | None:
        raise NotImplementedError

    async def quotes(self, tenant_id: TenantId, page: Page) -> Listing[Quote]:
        raise NotImplementedError

    async def order(self, tenant_id: TenantId, order_id: OrderId) -> Order | None:
        raise NotImplementedError

    async def orders(
        self,
        tenant_id: TenantId,
        page: Page,
        *,
        status: Status | None = None,
        customer: str | None = None,
    ) -> Listing[Order]:
        raise NotImplementedError

    async def order_events(
        self, tenant_id: TenantId, order_id: OrderId, after_id: int = 0, limit: int = 100
    ) -> list[StoredEvent]:
        """The order's events after ``after_id``, oldest first; empty for another's order."""
        raise NotImplementedError

    async def settlements(self, tenant_id: TenantId, page: Page) -> Listing[Settlement]:
        raise NotImplementedError

    async def settlement(self, tenant_id: TenantId, batch_id: int) -> Settlement | None:
        raise NotImplementedError

    async def screening(self, tenant_id: TenantId, screening_id: str) -> ScreeningRecord | None:
        raise NotImplementedError

    async def ledger_entries(
        self,
        tenant_id: TenantId,
        page: Page,
        *,
        source: str | None = None,
        account: Account | None = None,
        asset: Asset | None = None,
    ) -> Listing[LedgerEntry]:
        raise NotImplementedError

    async def limit_used(self, tenant_id: TenantId, customer: str, currency: str, day: date) -> int:
        """Minor units of ``currency`` that the customer's orders of the UTC day have taken."""
        raise NotImplementedError

    # Tenants and keys ----------------------------------------------------------------------

    async def create_tenant(
        self,
        name: str,
        *,
        livemode: bool,
        limits: Mapping[str, Limits],
        now: datetime,
        tenant_id: TenantId | None = None,
    ) -> Tenant:
        raise NotImplementedError

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        raise NotImplementedError

    async def tenants(self) -> list[Tenant]:
        raise NotImplementedError

    async def set_limits(self, tenant_id: TenantId, currency: str, limits: Limits) -> None:
        raise NotImplementedError

    async def login(self, key_hash: bytes) -> Login | None:
        """The unrevoked key with this SHA-256 digest, its tenant and the tenant's limits."""
        raise NotImplementedError

    async def origin_listed(self, origin: str) -> bool:
        """Whether any unrevoked publishable key has ``origin`` among its allowed origins."""
        raise NotImplementedError

    async def create_key(
        self,
        tenant_id: TenantId,
        *,
        key_hash: bytes,
        prefix: str,
        last4: str,
        kind: KeyKind,
        role: Role,
        now: datetime,
        allowed_origins: Sequence[str] = (),
        return_urls: Sequence[str] = (),
    ) -> ApiKey:
        raise NotImplementedError

    async def keys(self, tenant_id: TenantId) -> list[ApiKey]:
        raise NotImplementedError

    async def revoke_key(self, tenant_id: TenantId, key_id: str, now: datetime) -> bool:
        """``False``: no such key of this tenant, or revoked before."""
        raise NotImplementedError

    # Operations ----------------------------------------------------------------------------

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        raise NotImplementedError

    async def replay_inbox(self, event_ids: Sequence[str] | None, now: datetime) -> int:
        """Give dead events (``None``: all) another full set of attempts; returns how many."""
        raise NotImplementedError

    async def append_audit(
        self,
        *,
        actor: str,
        action: str,
        object_id: str,
        now: datetime,
        tenant_id: TenantId | None = None,
        data: Mapping[str, str | int | None] | None = None,
    ) -> int:
        raise NotImplementedError

    async def audit_log(self, tenant_id: TenantId | None, page: Page) -> Listing[AuditRecord]:
        raise NotImplementedError

    async def counts_by_status(self) -> dict[Status, int]:
        """How many unfinished orders are in each status (for metrics)."""
        raise NotImplementedError
