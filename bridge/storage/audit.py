"""The audit trail as a chain: each row seals the one before, so that none can be changed, taken
out or put in between without every later seal being wrong.

The database makes the chain (a trigger, one chain per tenant, under the lock of its head) and
refuses to change or delete. Here it is checked with nothing but the rows and SHA-256. Whoever
rewrites a whole chain, seals and all, is found out by an older head that somebody noted down.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

from settlement.ids import TenantId

ACTIONS = frozenset(
    {
        *("tenant.created", "key.created", "key.revoked"),
        *("network.paused", "network.resumed", "network.started", "lane.paused", "lane.resumed"),
        *("settlement.bump_asked", "settlement.cancel_asked", "settlement.retry_asked"),
        *("settlement.rebuild", "settlement.rebuilt", "inbox.replayed"),
        *("treasury.fund_asked", "treasury.funded", "treasury.fund_failed"),
        *("treasury.adopted", "treasury.assigned"),
        *("case.opened", "case.closed"),  # by a trigger, with the order's own change
        *("case.claimed", "case.released", "case.noted"),
        *("case.first_approval", "case.approved", "case.rejected"),
        *("list.refreshed", "list.entry_added", "list.entry_removed", "screening.created"),
    }
)
"""Whatever the trail can say: nothing else is written down."""

_HEAD = "SELECT rows, hash FROM audit_heads WHERE chain = $1"
_CHAINS = "SELECT chain FROM audit_heads ORDER BY chain"
_PAGE = 5_000
# What the trigger seals, spelt again: a changed function would not agree with it.
_ROWS = """
    SELECT place, previous, hash, jsonb_build_array(
        place, COALESCE(tenant_id, ''), actor, action, object_id,
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), data, previous)::text AS text
    FROM audit_log
    WHERE COALESCE(tenant_id, '') = $1 AND place > $2 ORDER BY place LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """``broken`` is the first row whose seal is wrong, with what is wrong about it."""

    chain: TenantId
    rows: int
    head: str
    broken: str | None = None
    knows_head: bool | None = None


class AuditQueries:
    pool: Any
    verifying: asyncio.Lock

    async def audit_chains(self) -> list[TenantId]:
        return [row["chain"] for row in await self.pool.fetch(_CHAINS)]

    async def verify_audit(self, tenant_id: TenantId | None, noted: str | None = None) -> Verified:
        """Walk the whole chain of the tenant (``None``: of what belongs to no tenant).

        ``noted`` is a head that was noted earlier: it has to be one of the seals. One
        walk at a time: others wait without a connection, which a long trail would hold for long.
        """
        chain = tenant_id or ""
        async with (
            self.verifying,
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await connection.fetchrow(_HEAD, chain)
            return await _walk(connection, chain, head, noted)


async def _walk(connection: Any, chain: TenantId, head: Any, noted: str | None) -> Verified:
    place, seal = 0, ""
    known = noted == "" if noted is not None else None
    while rows := await connection.fetch(_ROWS, chain, place, _PAGE):
        for row in rows:
            if row["place"] != place + 1:
                return Verified(chain, place, seal, f"row {place + 1} is missing")
            if row["previous"] != seal:
                return Verified(chain, place, seal, f"row {row['place']} follows another row")
            if hashlib.sha256(row["text"].encode()).hexdigest() != row["hash"]:
                return Verified(chain, place, seal, f"row {row['place']} was changed")
            place, seal = row["place"], row["hash"]
            known = known or seal == noted if noted is not None else None
    expected = ("", 0) if head is None else (head["hash"], head["rows"])
    if expected != (seal, place):
        return Verified(chain, place, seal, f"the chain ends at row {place} of {expected[1]}")
    if known is False:
        return Verified(chain, place, seal, "the noted head is no row of this chain", known)
    return Verified(chain, place, seal, None, known)
