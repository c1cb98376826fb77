"""For the people who run it: dead letters, the audit log, what is where."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.storage.audit import ACTIONS
from bridge.storage.codec import provider_event_from
from bridge.storage.conditions import NOT_FINAL
from bridge.storage.listing import listed
from bridge.storage.pages import Listing, Page
from bridge.storage.records import AuditRecord, DeadLetter
from settlement.errors import InvariantBroken
from settlement.ids import TenantId
from settlement.order import Status

_DEAD = "SELECT * FROM inbox WHERE state = 'dead' ORDER BY received_at, id LIMIT $1"
_REPLAY = """
    UPDATE inbox SET state = 'pending', due_at = $2, attempts = 0
    WHERE state = 'dead' AND ($1::text[] IS NULL OR id = ANY($1))
    RETURNING id
"""
_AUDIT = """
    INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
    VALUES ($1, $2, $3, $4, $5, $6)
    RETURNING id
"""
_BY_STATUS = f"SELECT status, count(*) AS orders FROM orders WHERE {NOT_FINAL} GROUP BY status"
_FORGET = "DELETE FROM idempotency_keys WHERE created_at < $1 RETURNING key"


class OperationQueries:
    pool: Any

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Provider events that were given up, oldest first."""
        rows = await self.pool.fetch(_DEAD, limit)
        return [_dead_letter_from(row) for row in rows]

    async def replay_inbox(self, event_ids: Sequence[str] | None, now: datetime) -> int:
        """Give dead events (``None``: all) another full set of attempts; returns how many."""
        return await replay_inbox_on(self.pool, event_ids, now)

    async def audit_log(
        self, tenant_id: TenantId | None, page: Page, *, object_id: str | None = None
    ) -> Listing[AuditRecord]:
        """The tenant's records, or (``None``) everybody's; of one object only."""
        where: list[tuple[str, Any]] = []
        if tenant_id is not None:
            where.append(("tenant_id = {}", tenant_id))
        if object_id is not None:
            where.append(("object_id = {}", object_id))
        select = "SELECT * FROM audit_log"
        return await listed(self.pool, select, where, page, _audit_from, numeric_id=True)

    async def counts_by_status(self) -> dict[Status, int]:
        """How many unfinished orders are in each status (for metrics)."""
        rows = await self.pool.fetch(_BY_STATUS)
        return {Status(row["status"]): row["orders"] for row in rows}

    async def forget_idempotency_keys(self, before: datetime) -> int:
        """Drop keys older than the promised 24 h; permanent business keys guard money beyond."""
        return len(await self.pool.fetch(_FORGET, before))


async def append_audit_on(
    connection: Any,
    *,
    actor: str,
    action: str,
    object_id: str,
    now: datetime,
    tenant_id: TenantId | None = None,
    data: Mapping[str, str | int | None] | None = None,
) -> int:
    """Write down who did what, within the transaction that does it; returns the record's id.
    Nothing ever changes it.

    Raises :class:`~settlement.errors.InvariantBroken` for what is not in
    :data:`~bridge.storage.audit.ACTIONS`.
    """
    if action not in ACTIONS:
        raise InvariantBroken(f"{action} is no action that the audit trail knows")
    what = (actor, action, object_id, dict(data or {}))
    return int(await connection.fetchval(_AUDIT, tenant_id, *what, now))


async def replay_inbox_on(connection: Any, event_ids: Sequence[str] | None, now: datetime) -> int:
    """Give dead events (``None``: all) another full set of attempts, within the caller's
    transaction; returns how many."""
    ids = None if event_ids is None else list(event_ids)
    return len(await connection.fetch(_REPLAY, ids, now))


def _dead_letter_from(row: Any) -> DeadLetter:
    return DeadLetter(provider_event_from(row), row["attempts"], row["error"], row["received_at"])


def _audit_from(row: Any) -> AuditRecord:
    return AuditRecord(
        id=row["id"],
        tenant_id=row["tenant_id"],
        actor=row["actor"],
        action=row["action"],
        object_id=row["object_id"],
        data=row["data"],
        at=row["at"],
        place=row["place"],
        hash=row["hash"],
    )
