"""What one tenant may read of its own objects. Every statement names the tenant."""

from datetime import date
from typing import Any

from bridge.storage.codec import asset_from_id, event_from, order_from, quote_from
from bridge.storage.escrows import with_actions
from bridge.storage.listing import listed
from bridge.storage.operators import OF_TENANT, SETTLEMENT_ROWS, settlements_from
from bridge.storage.pages import Listing, Page
from bridge.storage.records import LedgerEntry, ScreeningRecord, Settlement
from bridge.storage.screenings import screening_from
from settlement.escrow import Escrow, EscrowStatus
from settlement.events import StoredEvent
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.ledger.entry import EntryState
from settlement.money import Asset
from settlement.order import Order, Status
from settlement.quote import Quote

_QUOTE = "SELECT * FROM quotes WHERE tenant_id = $1 AND id = $2"
_ORDER = "SELECT * FROM orders WHERE tenant_id = $1 AND id = $2"
_EVENTS = """
    SELECT e.* FROM order_events e JOIN orders o ON o.id = e.order_id
    WHERE o.tenant_id = $1 AND e.order_id = $2 AND e.id > $3
    ORDER BY e.id LIMIT $4
"""
_ESCROW = "SELECT * FROM escrows WHERE tenant_id = $1 AND id = $2"
_ESCROW_EVENTS = """
    SELECT e.* FROM order_events e JOIN orders o ON o.id = e.order_id
    WHERE o.tenant_id = $1 AND e.order_id = $2 AND e.type LIKE 'escrow.%'
    ORDER BY e.id
"""
_SETTLEMENT = f"{SETTLEMENT_ROWS} WHERE b.id = $2 AND {OF_TENANT.format('$1')}"
_SCREENING = "SELECT * FROM screenings WHERE ($1::text IS NULL OR tenant_id = $1) AND id = $2"
_USED = """
    SELECT used FROM limit_usage
    WHERE tenant_id = $1 AND customer = $2 AND currency = $3 AND day = $4
"""


class ReadQueries:
    pool: Any

    async def quote(self, tenant_id: TenantId, quote_id: str) -> Quote | None:
        row = await self.pool.fetchrow(_QUOTE, tenant_id, quote_id)
        return None if row is None else quote_from(row)

    async def quotes(self, tenant_id: TenantId, page: Page) -> Listing[Quote]:
        where = [("tenant_id = {}", tenant_id)]
        return await listed(self.pool, "SELECT * FROM quotes", where, page, quote_from)

    async def order(self, tenant_id: TenantId, order_id: OrderId) -> Order | None:
        row = await self.pool.fetchrow(_ORDER, tenant_id, order_id)
        return None if row is None else order_from(row)

    async def orders(
        self,
        tenant_id: TenantId,
        page: Page,
        *,
        status: Status | None = None,
        customer: str | None = None,
    ) -> Listing[Order]:
        where = [("tenant_id = {}", tenant_id)]
        if status is not None:
            where.append(("status = {}", status.value))
        if customer is not None:
            where.append(("customer = {}", customer))
        return await listed(self.pool, "SELECT * FROM orders", where, page, order_from)

    async def order_events(
        self, tenant_id: TenantId, order_id: OrderId, after_id: int = 0, limit: int = 100
    ) -> list[StoredEvent]:
        """The order's events after ``after_id``, oldest first; empty for another's order."""
        rows = await self.pool.fetch(_EVENTS, tenant_id, order_id, after_id, limit)
        return [event_from(row) for row in rows]

    async def escrow(self, tenant_id: TenantId, escrow_id: str) -> Escrow | None:
        rows = await self.pool.fetch(_ESCROW, tenant_id, escrow_id)
        found = await with_actions(self.pool, rows)
        return found[0] if found else None

    async def escrows(
        self, tenant_id: TenantId, page: Page, *, status: EscrowStatus | None = None
    ) -> Listing[Escrow]:
        where = [("tenant_id = {}", tenant_id)]
        if status is not None:
            where.append(("status = {}", status.value))
        found = await listed(self.pool, "SELECT * FROM escrows", where, page, lambda row: row)
        return Listing(await with_actions(self.pool, found.rows), found.has_more)

    async def escrow_events(self, tenant_id: TenantId, order_id: OrderId) -> list[StoredEvent]:
        """What was told of the order's escrow, oldest first."""
        rows = await self.pool.fetch(_ESCROW_EVENTS, tenant_id, order_id)
        return [event_from(row) for row in rows]

    async def settlements(self, tenant_id: TenantId, page: Page) -> Listing[Settlement]:
        """Batches that hold an order of the tenant. The cursor is the batch id as text."""
        found = await listed(
            self.pool,
            SETTLEMENT_ROWS,
            [(OF_TENANT, tenant_id)],
            page,
            lambda row: row,
            id_column="b.id",
            numeric_id=True,
        )
        rows = await settlements_from(self.pool, found.rows, tenant_id)
        return Listing(rows, found.has_more)

    async def settlement(self, tenant_id: TenantId, batch_id: int) -> Settlement | None:
        rows = await self.pool.fetch(_SETTLEMENT, tenant_id, batch_id)
        found = await settlements_from(self.pool, rows, tenant_id)
        return found[0] if found else None

    async def screening(
        self, tenant_id: TenantId | None, screening_id: str
    ) -> ScreeningRecord | None:
        """``tenant_id`` ``None``: whoever's."""
        row = await self.pool.fetchrow(_SCREENING, tenant_id, screening_id)
        return None if row is None else screening_from(row)

    async def ledger_entries(
        self,
        tenant_id: TenantId,
        page: Page,
        *,
        source: str | None = None,
        account: Account | None = None,
        asset: Asset | None = None,
    ) -> Listing[LedgerEntry]:
        """The tenant's journal; ``source`` is an order id or a booking's own key."""
        where: list[tuple[str, Any]] = [("tenant_id = {}", tenant_id)]
        if source is not None:
            where.append(("source = {}", source))
        if account is not None:
            where.append(("{} IN (debit, credit)", account.value))
        if asset is not None:
            where.append(("asset = {}", asset.id))
        select = "SELECT * FROM ledger_entries"
        return await listed(self.pool, select, where, page, _entry_from, numeric_id=True)

    async def limit_used(self, tenant_id: TenantId, customer: str, currency: str, day: date) -> int:
        """Minor units of ``currency`` that the customer's orders of the UTC day have taken."""
        used = await self.pool.fetchval(_USED, tenant_id, customer, currency, day)
        return int(used or 0)


def _entry_from(row: Any) -> LedgerEntry:
    return LedgerEntry(
        id=row["id"],
        tenant_id=row["tenant_id"],
        source=row["source"],
        event=row["event"],
        line=row["line"],
        debit=Account(row["debit"]),
        credit=Account(row["credit"]),
        asset=asset_from_id(row["asset"], row["asset_scale"]),
        amount_minor=int(row["amount_minor"]),
        state=EntryState(row["state"]),
        created_at=row["created_at"],
    )
