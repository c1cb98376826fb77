"""Escrows in SQL: claim, change, attest. Every change is one transaction, its call included."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from bridge.storage.accepting import KEEP_KEY, KNOWN_KEY, check_fingerprint
from bridge.storage.calls import request_on
from bridge.storage.codec import plain
from bridge.storage.conditions import ESCROW_LIVES, NOTE_WAITS, quoted
from bridge.storage.database import Part, broken_guard, retrying
from bridge.storage.escrow_codec import (
    MUTABLE,
    action_from,
    as_requested,
    content_of,
    escrow_from,
    outcome_from,
    patch_json,
)
from bridge.storage.ledger import book_on
from bridge.storage.screenings import reasons_from
from settlement.errors import InvariantBroken, NotFound
from settlement.escrow import Action, CallOutcome, Escrow, EscrowChange, EscrowId, EscrowStatus
from settlement.events import Event
from settlement.ids import OrderId, TenantId
from settlement.order import FINAL
from settlement.ports.accepting import Attest, Idempotency
from settlement.ports.escrow_store import Note
from settlement.ports.screening import Reason

# An escrow awaits its order: it is looked at once that order has ended, not before.
_CLAIM = f"""
    WITH due AS MATERIALIZED (
        SELECT e.id, e.due_at FROM escrows e
        WHERE e.{ESCROW_LIVES} AND e.due_at <= $1
          AND (e.status <> 'awaiting_funding' OR EXISTS (
              SELECT FROM orders o
              WHERE o.id = e.order_id AND o.status IN ({quoted(sorted(FINAL))})))
        ORDER BY e.due_at
        LIMIT $2
        FOR UPDATE OF e SKIP LOCKED
    ), taken AS (
        UPDATE escrows e SET epoch = e.epoch + 1, due_at = $3
        FROM due WHERE e.id = due.id
        RETURNING e.*
    )
    SELECT taken.* FROM taken JOIN due USING (id) ORDER BY due.due_at, id
"""

_FIELDS = ", ".join(MUTABLE)

_APPLY = f"""
    UPDATE escrows e SET
        status = $4,
        due_at = $5,
        epoch = e.epoch + 1,
        note_due_at = CASE WHEN $6::jsonb ? 'version' THEN $7 ELSE e.note_due_at END,
        ({_FIELDS}) = (SELECT {_FIELDS} FROM jsonb_populate_record(e, $6))
    WHERE e.id = $1 AND e.status = $2 AND e.epoch = $3
    RETURNING e.id
"""

_ACTION = """
    INSERT INTO escrow_actions
        (escrow_id, sequence, kind, content, digest, requested_at,
         changed_at, status, hold, reason, tries, ref)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (escrow_id, sequence) DO UPDATE SET
        changed_at = EXCLUDED.changed_at, status = EXCLUDED.status, hold = EXCLUDED.hold,
        reason = EXCLUDED.reason, tries = EXCLUDED.tries, ref = EXCLUDED.ref
"""

# Event ids grow within one order because its row is locked while one is written.
_LOCK_ORDER = "SELECT id FROM orders WHERE id = $1 FOR UPDATE"
_TELL = "INSERT INTO order_events (order_id, type, data, created_at) VALUES ($1, $2, $3, $4)"

_ACTIONS = """
    SELECT * FROM escrow_actions WHERE escrow_id = ANY($1::text[]) ORDER BY escrow_id, sequence
"""
_OF_NETWORK = """
    SELECT * FROM escrows WHERE network = $1 AND status = ANY($2::text[]) ORDER BY id
"""
# An order may be held after its review: all its cases are about the one screening. What was noted
# beside a clearance was put to nobody.
_APPROVED = """
    SELECT reasons FROM screenings
    WHERE outcome = 'review'
      AND id IN (SELECT screening_id FROM cases WHERE order_id = $1 AND status = 'approved')
    ORDER BY created_at, id
"""
_CALL = """
    SELECT b.status, b.mined_ref, b.block_number, c.refused_reason
    FROM contract_calls c LEFT JOIN batches b ON b.id = c.batch_id
    WHERE c.id = $1
"""
_BATCH = """
    SELECT status, mined_ref, block_number, NULL AS refused_reason FROM batches WHERE id = $1
"""
_WITHDRAW = """
    UPDATE contract_calls SET refused_at = $3, refused_reason = $2
    WHERE id = $1 AND batch_id IS NULL AND refused_at IS NULL
"""

# Without a payment intent there is nobody to tell.
_CLAIM_NOTES = f"""
    WITH due AS MATERIALIZED (
        SELECT e.id, o.payment_intent_id
        FROM escrows e JOIN orders o ON o.id = e.order_id
        WHERE e.{NOTE_WAITS} AND e.note_due_at <= $1
        ORDER BY e.note_due_at
        LIMIT $2
        FOR UPDATE OF e SKIP LOCKED
    )
    UPDATE escrows e SET
        note_due_at = $3,
        told = CASE WHEN due.payment_intent_id IS NULL THEN e.version ELSE e.told END
    FROM due WHERE e.id = due.id
    RETURNING e.*, due.payment_intent_id
"""
_NOTED = "UPDATE escrows SET told = GREATEST(told, $2) WHERE id = $1"

_LOCK = "SELECT * FROM escrows WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
_ONE_ACTION = "SELECT * FROM escrow_actions WHERE escrow_id = $1 AND sequence = $2"
_NAME_RESOURCE = """
    UPDATE idempotency_keys SET resource_id = $3 WHERE tenant_id = $1 AND key = $2
"""


class EscrowPart(Part):
    """Implements :mod:`settlement.ports.escrow_store`."""

    async def claim_escrows(self, now: datetime, *, limit: int, lease_ms: int) -> list[Escrow]:
        until = now + timedelta(milliseconds=lease_ms)
        return await with_actions(self.pool, await self.pool.fetch(_CLAIM, now, limit, until))

    async def apply_escrow(self, change: EscrowChange) -> bool:
        async def work() -> bool:
            async with self.pool.acquire() as connection, connection.transaction():
                return await _apply(connection, change, self.now())

        try:
            return await retrying(work)
        except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
            raise broken_guard(error) from error

    async def escrows_in(self, network: str, statuses: Collection[EscrowStatus]) -> list[Escrow]:
        names = [status.value for status in statuses]
        return await with_actions(self.pool, await self.pool.fetch(_OF_NETWORK, network, names))

    async def approved_reasons(self, order_id: OrderId) -> list[Reason]:
        rows = await self.pool.fetch(_APPROVED, order_id)
        return [reason for row in rows for reason in reasons_from(row["reasons"])]

    async def call_outcome(self, call_id: str) -> CallOutcome | None:
        row = await self.pool.fetchrow(_CALL, call_id)
        return None if row is None else outcome_from(row)

    async def withdraw_call(self, call_id: str, reason: str, now: datetime) -> None:
        await self.pool.execute(_WITHDRAW, call_id, reason, now)

    async def batch_outcome(self, batch_id: int) -> CallOutcome | None:
        row = await self.pool.fetchrow(_BATCH, batch_id)
        return None if row is None else outcome_from(row)

    async def claim_notes(self, now: datetime, *, limit: int, lease_ms: int) -> list[Note]:
        until = now + timedelta(milliseconds=lease_ms)
        rows = await self.pool.fetch(_CLAIM_NOTES, now, limit, until)
        return [
            Note(escrow_from(row), row["order_id"], row["payment_intent_id"])
            for row in rows
            if row["payment_intent_id"] is not None
        ]

    async def noted(self, escrow_id: EscrowId, version: int) -> None:
        await self.pool.execute(_NOTED, escrow_id, version)

    async def attest(
        self,
        tenant_id: TenantId,
        escrow_id: EscrowId,
        attest: Attest,
        idempotency: Idempotency,
        now: datetime,
    ) -> Action:
        async with self.pool.acquire() as connection, connection.transaction():
            key = (tenant_id, idempotency.key)
            kept = (*key, idempotency.fingerprint, escrow_id, now)
            if await connection.fetchval(KEEP_KEY, *kept) is None:
                row = await connection.fetchrow(KNOWN_KEY, *key)
                check_fingerprint(row["fingerprint"], idempotency)
                return await _replayed(connection, row["resource_id"])
            row = await connection.fetchrow(_LOCK, tenant_id, escrow_id)
            if row is None:
                raise NotFound("no such escrow")
            [escrow] = await with_actions(connection, [row])
            change = attest(escrow)
            if not await _apply(connection, change, now):
                raise InvariantBroken(f"{escrow_id} changed although its row was locked")
            [action] = change.actions
            await connection.execute(_NAME_RESOURCE, *key, action.id)
            return action


async def with_actions(pool: Any, rows: Sequence[Any]) -> list[Escrow]:
    """Escrows from their rows, each with its actions by sequence."""
    ids = [row["id"] for row in rows]
    actions = await pool.fetch(_ACTIONS, ids) if rows else []
    by_escrow: dict[str, list[Any]] = {}
    for action in actions:
        by_escrow.setdefault(action["escrow_id"], []).append(action)
    return [escrow_from(row, by_escrow.get(row["id"], ())) for row in rows]


async def _replayed(connection: Any, action_id: str) -> Action:
    escrow_id, _, sequence = action_id.rpartition(":")
    row = await connection.fetchrow(_ONE_ACTION, escrow_id, int(sequence))
    return as_requested(action_from(row))


async def _apply(connection: Any, change: EscrowChange, now: datetime) -> bool:
    escrow, patch = change.escrow, patch_json(change)
    guard = (escrow.id, plain(escrow.status), escrow.epoch)
    done = await connection.fetchval(_APPLY, *guard, plain(change.to), change.due_at, patch, now)
    if done is None:
        return False
    # Ended ones first: of two actions that change places, only one may be submitted at any time.
    for action in sorted(change.actions, key=lambda a: a.status == "submitted"):
        await connection.execute(_ACTION, *_columns(action))
    if change.events:
        await _tell(connection, escrow.terms.order_id, change.events, now)
    await book_on(connection, escrow.tenant_id, escrow.id, change.bookings, now)
    if change.call is not None and not await request_on(connection, change.call, now):
        raise InvariantBroken(f"call {change.call.id} was requested before")
    return True


async def _tell(connection: Any, order_id: str, events: Sequence[Event], now: datetime) -> None:
    await connection.fetchval(_LOCK_ORDER, order_id)
    for event in events:
        data = {name: plain(value) for name, value in event.data.items()}
        await connection.execute(_TELL, order_id, event.type, data, now)


def _columns(action: Action) -> tuple[Any, ...]:
    return (
        *(action.escrow_id, action.sequence, plain(action.kind), content_of(action.what)),
        *(action.digest, action.requested_at, action.changed_at, plain(action.status)),
        *(plain(action.hold), action.reason, action.tries, action.ref),
    )
