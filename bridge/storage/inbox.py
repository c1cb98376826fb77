"""The inbox in SQL: provider events stored once, worked at our own pace."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from bridge.storage.codec import inbox_item_from
from bridge.storage.database import Part, retrying, storable
from settlement.ports.payment import ProviderEvent
from settlement.ports.store import InboxItem

# Sorted, so that two deliveries of the same events wait for each other instead of deadlocking.
_RECEIVE = """
    WITH fresh AS (
        INSERT INTO inbox (id, type, intent_id, order_id, body, created_at, received_at, due_at)
        SELECT id, type, intent_id, order_id, body, created_at, $1, $1
        FROM jsonb_to_recordset($2) AS t(
            id text, type text, intent_id text, order_id text, body jsonb,
            created_at timestamptz)
        ORDER BY id
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    SELECT count(*) FROM fresh
"""

_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id, due_at FROM inbox
        WHERE state = 'pending' AND due_at <= $1
        ORDER BY due_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE inbox i SET due_at = $3 FROM due WHERE i.id = due.id RETURNING i.*
    )
    SELECT taken.* FROM taken JOIN due USING (id) ORDER BY due.due_at, created_at, id
"""

_SETTLE = """
    UPDATE inbox SET state = 'done', settled_at = $2, error = NULL
    WHERE id = ANY($1::text[]) AND state <> 'done'
"""

_DEFER = """
    UPDATE inbox SET
        due_at = $2,
        attempts = attempts + CASE WHEN $3::text IS NULL THEN 0 ELSE 1 END,
        error = COALESCE($3, error),
        state = CASE WHEN $4 THEN 'dead' ELSE state END
    WHERE id = $1 AND state = 'pending'
"""

_NEWEST = "SELECT max(created_at) FROM inbox"


class InboxPart(Part):
    """Implements :class:`settlement.ports.store.InboxStore`."""

    async def receive(self, events: Sequence[ProviderEvent], now: datetime) -> int:
        rows = [
            {
                "id": event.id,
                "type": event.type,
                "intent_id": storable(event.intent_id),
                "order_id": storable(event.order_id),
                "body": storable(dict(event.body)),
                "created_at": event.created_at.isoformat(),
            }
            for event in events
        ]
        return int(await self.pool.fetchval(_RECEIVE, now, rows)) if rows else 0

    async def claim_inbox(self, now: datetime, *, limit: int, lease_ms: int) -> list[InboxItem]:
        until = now + timedelta(milliseconds=lease_ms)
        rows = await self.pool.fetch(_CLAIM, now, limit, until)
        return [inbox_item_from(row) for row in rows]

    async def settle_inbox(self, event_ids: Collection[str], now: datetime) -> None:
        if event_ids:
            await retrying(lambda: self.pool.execute(_SETTLE, sorted(event_ids), now))

    async def defer_inbox(
        self, event_id: str, due_at: datetime, *, error: str | None, dead: bool = False
    ) -> None:
        await self.pool.execute(_DEFER, event_id, due_at, error, dead)

    async def newest_event_at(self) -> datetime | None:
        newest: datetime | None = await self.pool.fetchval(_NEWEST)
        return newest
