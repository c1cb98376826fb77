"""The books in SQL: how bookings become entries and running totals, in the caller's statement."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import asyncpg

from bridge.storage.arrays import Columns
from bridge.storage.codec import balance_from, entry_rows, resolution_rows
from bridge.storage.database import Part, broken_guard
from settlement.errors import InvariantBroken
from settlement.ids import TenantId
from settlement.ledger.accounts import GUARDED, Account
from settlement.ledger.entry import Booking
from settlement.money import Asset
from settlement.ports.store import Balance

_GUARDED = ", ".join(f"'{account}'" for account in sorted(GUARDED))

BOOKING_CTES = f"""
    -- Needs: booking (entries to write), resolution (what pending entries become).
    entered AS (
        INSERT INTO ledger_entries (tenant_id, source, event, line, debit, credit,
                                    asset, asset_scale, amount_minor, state, created_at)
        SELECT tenant_id, source, event, line, debit, credit,
               asset, asset_scale, amount_minor, state, $1
        FROM booking
        RETURNING tenant_id, debit, credit, asset, asset_scale, amount_minor, state
    ), resolved AS (
        -- What is no longer pending stays as it is: resolving twice changes nothing.
        UPDATE ledger_entries e SET state = r.state
        FROM resolution r
        WHERE e.source = r.source AND e.event = r.event AND e.state = 'pending'
          -- Says the same as "=", but cannot lead the planner to a tenant's whole journal.
          AND e.tenant_id IS NOT DISTINCT FROM r.tenant_id
        RETURNING e.tenant_id, e.debit, e.credit, e.asset, e.asset_scale, e.amount_minor, e.state
    ), movement AS (
        SELECT tenant_id, debit, credit, asset, asset_scale,
               CASE state WHEN 'posted' THEN amount_minor ELSE 0 END AS posted,
               CASE state WHEN 'pending' THEN amount_minor ELSE 0 END AS pending
        FROM entered
        UNION ALL
        SELECT tenant_id, debit, credit, asset, asset_scale,
               CASE state WHEN 'posted' THEN amount_minor ELSE 0 END,
               -amount_minor
        FROM resolved
    ), side AS (
        SELECT tenant_id, debit AS code, asset, asset_scale, posted AS debits_posted,
               0 AS credits_posted, pending AS debits_pending, 0 AS credits_pending
        FROM movement
        UNION ALL
        SELECT tenant_id, credit, asset, asset_scale, 0, posted, 0, pending FROM movement
    ), delta AS (
        SELECT tenant_id, code, asset, max(asset_scale) AS asset_scale,
               sum(debits_posted) AS debits_posted, sum(credits_posted) AS credits_posted,
               sum(debits_pending) AS debits_pending, sum(credits_pending) AS credits_pending
        FROM side
        GROUP BY tenant_id, code, asset
    ), totalled AS (
        -- A CHECK judges the proposed row before it is known to conflict, and here the proposed
        -- row is only a difference. So it is proposed unguarded when the account exists (whose
        -- own flag then counts: accounts are never deleted), and guarded when it would be new.
        INSERT INTO ledger_accounts AS a
            (tenant_id, code, asset, asset_scale, debits_posted, credits_posted,
             debits_pending, credits_pending, guarded)
        SELECT tenant_id, code, asset, asset_scale, debits_posted, credits_posted,
               debits_pending, credits_pending,
               code IN ({_GUARDED}) AND NOT EXISTS (
                   SELECT FROM ledger_accounts k
                   WHERE k.tenant_id = delta.tenant_id AND k.code = delta.code
                     AND k.asset = delta.asset)
        FROM delta
        ORDER BY tenant_id, code, asset  -- every statement locks accounts in this order
        ON CONFLICT (tenant_id, code, asset) DO UPDATE SET
            debits_posted = a.debits_posted + EXCLUDED.debits_posted,
            credits_posted = a.credits_posted + EXCLUDED.credits_posted,
            debits_pending = a.debits_pending + EXCLUDED.debits_pending,
            credits_pending = a.credits_pending + EXCLUDED.credits_pending
    )"""

ENTRIES = Columns(
    tenant_id="text",
    source="text",
    event="text",
    line="smallint",
    debit="text",
    credit="text",
    asset="text",
    asset_scale="smallint",
    amount_minor="numeric",
    state="text",
)

RESOLUTIONS = Columns(tenant_id="text", source="text", event="text", state="text")

BOOK = f"""
    WITH booking AS (SELECT * FROM {ENTRIES.source(2)} AS t({ENTRIES.names})),
    resolution AS (
        SELECT * FROM {RESOLUTIONS.source(2 + len(ENTRIES))} AS t({RESOLUTIONS.names})
    ),
    {BOOKING_CTES}
    SELECT (SELECT count(*) FROM entered) + (SELECT count(*) FROM resolved)
"""

_AVAILABLE = """
    SELECT a.tenant_id, a.asset, a.debits_posted - a.credits_posted - a.credits_pending AS free
    FROM ledger_accounts a
    JOIN unnest($2::text[], $3::text[]) AS p(tenant_id, asset) USING (tenant_id, asset)
    WHERE a.code = $1
"""

_BALANCES = "SELECT * FROM ledger_accounts WHERE tenant_id = $1 ORDER BY code, asset"

_TOTAL = """
    SELECT COALESCE(sum(debits_posted - credits_posted), 0)
    FROM ledger_accounts WHERE code = $1 AND asset = $2
"""


async def book_on(
    connection: Any, tenant_id: TenantId, source: str, bookings: Collection[Booking], now: datetime
) -> None:
    """Book on a connection whose transaction the caller holds."""
    entries = entry_rows(tenant_id, source, bookings)
    resolutions = resolution_rows(tenant_id, source, bookings)
    if entries or resolutions:
        await connection.fetchval(
            BOOK, now, *ENTRIES.arrays(entries), *RESOLUTIONS.arrays(resolutions)
        )


async def available_on(
    connection: Any, pairs: Collection[tuple[TenantId, Asset]]
) -> dict[tuple[TenantId, Asset], int]:
    """Inventory that is neither paid out nor reserved, as the caller's transaction sees it."""
    tenants = [tenant_id for tenant_id, _ in pairs]
    assets = [asset.id for _, asset in pairs]
    rows = await connection.fetch(_AVAILABLE, Account.VAULT.value, tenants, assets)
    free = {(row["tenant_id"], row["asset"]): int(row["free"]) for row in rows}
    return {(tenant, asset): free.get((tenant, asset.id), 0) for tenant, asset in pairs}


async def book_once_on(
    connection: Any, tenant_id: TenantId, key: str, booking: Booking, now: datetime
) -> bool:
    """Book what belongs to no order, once per ``key``; ``False``: known already, and the caller's
    transaction, where there is one, goes on."""
    if not booking.entries:
        raise InvariantBroken(f"{key}: without entries nothing would remember the booking")
    try:
        async with connection.transaction():
            await book_on(connection, tenant_id, key, (booking,), now)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "ledger_entries_business_key":
            return False
        raise
    except asyncpg.CheckViolationError as error:
        raise broken_guard(error) from error
    return True


class LedgerPart(Part):
    """Implements :class:`settlement.ports.store.LedgerStore`."""

    async def available(
        self, pairs: Collection[tuple[TenantId, Asset]]
    ) -> dict[tuple[TenantId, Asset], int]:
        return await available_on(self.pool, pairs)

    async def book(self, tenant_id: TenantId, key: str, booking: Booking, now: datetime) -> bool:
        async with self.pool.acquire() as connection:
            return await book_once_on(connection, tenant_id, key, booking, now)

    async def balances(self, tenant_id: TenantId) -> list[Balance]:
        return [balance_from(row) for row in await self.pool.fetch(_BALANCES, tenant_id)]

    async def totals(self, account: Account, asset: Asset) -> int:
        return int(await self.pool.fetchval(_TOTAL, account.value, asset.id))
