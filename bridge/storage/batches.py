"""Batches in SQL: every write proves that its lane's lease is still ours."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg

from bridge.storage.codec import batch_from, plain, token_network_agrees
from bridge.storage.conditions import CALL_WAITS, IS_OPEN, quoted
from bridge.storage.database import Part, broken_guard, retrying
from bridge.storage.lanes import hold, stale
from bridge.storage.ledger import BOOKING_CTES, book_on
from bridge.storage.orders import apply_on
from settlement.batch import BATCH, Batch, BatchKind, BatchStatus, Lane
from settlement.errors import InvariantBroken
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money
from settlement.ports.chain import SignedTransaction
from settlement.ports.store import BatchChange
from settlement.transitions import COMPLETABLE, Advance, Change, Completion

_TAKE_NONCE = """
    UPDATE lanes SET next_nonce = next_nonce + 1
    WHERE id = $1 AND epoch = $2 AND next_nonce = $3 AND paused_at IS NULL
      AND NOT EXISTS (SELECT FROM networks n WHERE n.name = lanes.network
                      AND (n.stop_reason IS NOT NULL OR n.paused_at IS NOT NULL))
    RETURNING instance
"""

_PLAN = """
    INSERT INTO batches (id, network, instance, asset, asset_scale, lane_id, nonce, status,
                         root, order_count, planned_at, kind, value)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'planned', $8, $9, $10, $11, $12)
"""

_PLAN_CALL = f"""
    UPDATE contract_calls SET batch_id = $2 WHERE id = $1 AND {CALL_WAITS} RETURNING id
"""

# A call whose batch was cancelled is still wanted.
_GIVE_BACK_CALL = "UPDATE contract_calls SET batch_id = NULL WHERE batch_id = $1"

_CALLS_OF = "SELECT * FROM contract_calls WHERE batch_id = ANY($1::bigint[])"

BATCH_ROWS = """
    SELECT b.*, l.address AS lane_address
    FROM batches b JOIN lanes l ON l.id = b.lane_id
"""

_OPEN = f"{BATCH_ROWS} WHERE b.lane_id = $1 AND b.{IS_OPEN} ORDER BY b.nonce, b.id"

_ATTEMPTS = """
    SELECT * FROM batch_attempts WHERE batch_id = ANY($1::bigint[]) ORDER BY signed_at, ref
"""

# A mined batch gets no replacement: the original has used up the nonce. One that is to be cancelled
# gets nothing any more but what cancels it.
_SIGNED = """
    UPDATE batches SET status = CASE status WHEN 'planned' THEN 'signed' ELSE status END
    WHERE id = $1 AND lane_id = $2 AND status IN ('planned', 'signed', 'sent')
      AND (cancel_asked_at IS NOT NULL) = $3
      AND NOT EXISTS (SELECT FROM networks n WHERE n.name = batches.network
                      AND n.stop_reason IS NOT NULL)
    RETURNING id
"""

_STORE_ATTEMPT = """
    INSERT INTO batch_attempts
        (batch_id, ref, raw, nonce, max_fee_wei, priority_fee_wei, gas_limit, signed_at, cancels)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (batch_id, ref) DO NOTHING
"""

_SENT = """
    UPDATE batches SET reminded_at = $3,
        status = CASE status WHEN 'signed' THEN 'sent' ELSE status END
    WHERE id = $1 AND lane_id = $2 AND status IN ('signed', 'sent', 'mined')
    RETURNING id
"""

_ATTEMPT_SENT = """
    UPDATE batch_attempts SET sent_at = COALESCE(sent_at, $3)
    WHERE batch_id = $1 AND ref = $2
    RETURNING ref
"""

_BATCH_MOVES = """
    UPDATE batches SET status = $4, mined_ref = $5, block_number = $6, block_hash = $7
    WHERE id = $1 AND lane_id = $2 AND status = $3
    RETURNING instance
"""

_ADVANCE = """
    WITH moved AS (
        UPDATE orders SET status = $3, due_at = $4, attempts = 0, epoch = epoch + 1
        WHERE batch_id = $1 AND status = $2
        RETURNING id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, $5, $6, $4 FROM moved
"""

_INCOME = ", ".join(f"('{kind}', '{account}')" for kind, account in journal.INCOME.items())

# The bookings of settlement.ledger.journal.completed, from the lines as they are stored.
_COMPLETE = f"""
    WITH was AS MATERIALIZED (
        SELECT id, status FROM orders
        WHERE batch_id = $2 AND status IN ({quoted(sorted(COMPLETABLE))})
        ORDER BY id
        FOR UPDATE
    ), moved AS (
        UPDATE orders o SET status = 'completed', due_at = $1, attempts = 0, epoch = o.epoch + 1
        FROM was WHERE o.id = was.id
        RETURNING o.id, o.tenant_id, o.fiat, o.fiat_scale, o.lines, was.status AS was
    ), booking AS (
        -- A kind of line without an account is refused by NOT NULL, like any other hole.
        SELECT m.tenant_id, m.id AS source, 'completed' AS event,
               row_number() OVER (PARTITION BY m.id ORDER BY l.place) - 1 AS line,
               '{Account.CUSTOMER}' AS debit, i.account AS credit, m.fiat AS asset,
               m.fiat_scale AS asset_scale, (l.line ->> 1)::numeric AS amount_minor,
               'posted' AS state
        FROM moved m CROSS JOIN jsonb_array_elements(m.lines) WITH ORDINALITY AS l(line, place)
        LEFT JOIN (VALUES {_INCOME}) AS i(kind, account) ON i.kind = l.line ->> 0
        WHERE (l.line ->> 1)::numeric > 0
    ), resolution AS (
        SELECT tenant_id, id AS source, 'reserved' AS event, 'posted' AS state FROM moved
    ), {BOOKING_CTES}, told AS (
        INSERT INTO order_events (order_id, type, data, created_at)
        SELECT id, 'order.completed', jsonb_build_object('from', was, 'reason', NULL), $1
        FROM moved ORDER BY id
    )
    SELECT count(*) FROM moved
"""

# The newest final block that decided a batch of this chain instance.
_ANCHOR = """
    UPDATE networks SET anchor_number = $3, anchor_hash = $4
    WHERE name = $1 AND instance = $2 AND COALESCE(anchor_number, -1) <= $3
"""

BATCH_PATCH = frozenset({"mined_ref", "block_number", "block_hash"})
DECIDED = frozenset({BatchStatus.FINAL, BatchStatus.REVERTED, BatchStatus.CANCELLED})


def bound(batch: Batch, orders: Sequence[Change]) -> list[Change]:
    """The changes with the batch and the place in it written into their patches.

    Raises :class:`~settlement.errors.InvariantBroken` when a patch names another batch, the batch
    counts other orders than these, or a single carries anything but its order's coins.
    """
    if batch.order_count != len(orders):
        raise InvariantBroken(f"batch {batch.id} counts {batch.order_count}, got {len(orders)}")
    single = batch.kind is BatchKind.SINGLE
    if batch.value_minor != (sum(c.order.token.amount_minor for c in orders) if single else 0):
        raise InvariantBroken(f"batch {batch.id} carries {batch.value_minor}, which nobody is owed")
    if single and (len(orders) != 1 or orders[0].order.token.asset != batch.asset):
        raise InvariantBroken(f"batch {batch.id} is a single of {len(orders)} orders")
    result = []
    for index, change in enumerate(orders):
        place = {"batch_id": batch.id, "batch_index": index}
        patch = {**place, **change.patch}
        if patch["batch_id"] != batch.id:
            raise InvariantBroken(f"{change.order.id} is bound to another batch than {batch.id}")
        result.append(replace(change, patch=patch))
    return result


def batch_moves(change: BatchChange) -> Batch:
    """The batch after the change.

    Raises :class:`~settlement.errors.InvariantBroken` for an edge that the table does not list.
    """
    batch = change.batch
    if change.to is not batch.status and change.to not in BATCH[batch.status]:
        raise InvariantBroken(f"batch {batch.id}: {batch.status} → {change.to} is not an edge")
    unknown = change.patch.keys() - BATCH_PATCH
    if unknown:
        raise InvariantBroken(f"a batch patch cannot change {sorted(unknown)}")
    return replace(batch, status=change.to, **change.patch)


def completed_all(batch_id: int, whole: Completion, completed: int) -> None:
    """Raises :class:`~settlement.errors.InvariantBroken` unless it was every one of them."""
    if completed != whole.count:
        raise InvariantBroken(f"batch {batch_id} paid {whole.count}, {completed} could complete")


def same_nonce(batch: Batch, transaction: SignedTransaction) -> None:
    """All attempts of a batch share its nonce: that is what makes them exclude each other."""
    if transaction.nonce != batch.nonce:
        raise InvariantBroken(f"batch {batch.id} has nonce {batch.nonce}, not {transaction.nonce}")


class BatchPart(Part):
    """Implements :class:`settlement.ports.store.BatchStore`."""

    async def new_batch_id(self) -> int:
        return int(await self.pool.fetchval("SELECT nextval('batch_ids')"))

    async def plan(self, lane: Lane, batch: Batch, orders: Sequence[Change]) -> None:
        token_network_agrees(Money(0, batch.asset), batch.network)
        changes = bound(batch, orders)

        async def work() -> None:
            async with self.pool.acquire() as connection, connection.transaction():
                await _plan(connection, lane, batch, changes, self.now())

        await retrying(work)

    async def open_batches(self, lane: Lane) -> list[Batch]:
        return await with_attempts(self.pool, await self.pool.fetch(_OPEN, lane.id))

    async def store_attempt(
        self,
        lane: Lane,
        batch: Batch,
        transaction: SignedTransaction,
        now: datetime,
        *,
        cancels: bool = False,
    ) -> None:
        same_nonce(batch, transaction)
        fees = transaction.fees
        async with self.pool.acquire() as connection, connection.transaction():
            await hold(connection, lane)
            if await connection.fetchval(_SIGNED, batch.id, lane.id, cancels) is None:
                raise stale(f"batch {batch.id}")
            await connection.execute(
                _STORE_ATTEMPT,
                *(batch.id, transaction.ref, transaction.raw, transaction.nonce),
                *(fees.max_fee_wei, fees.priority_fee_wei, transaction.gas_limit, now, cancels),
            )

    async def mark_sent(
        self, lane: Lane, batch: Batch, transaction: SignedTransaction, now: datetime
    ) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await hold(connection, lane)
            if await connection.fetchval(_SENT, batch.id, lane.id, now) is None:
                raise stale(f"batch {batch.id}")
            marked = await connection.fetchval(_ATTEMPT_SENT, batch.id, transaction.ref, now)
            if marked is None:
                raise InvariantBroken(f"batch {batch.id}: sent bytes that were never stored")

    async def apply_batch(self, lane: Lane, change: BatchChange, now: datetime) -> None:
        after = batch_moves(change)

        async def work() -> None:
            async with self.pool.acquire() as connection, connection.transaction():
                await hold(connection, lane)
                await _apply(connection, lane, change, after, now)

        await retrying(work)


async def with_attempts(pool: Any, rows: Sequence[Any]) -> list[Batch]:
    """Batches from :data:`BATCH_ROWS`, each with its attempts, oldest first."""
    ids = [row["id"] for row in rows]
    attempts = await pool.fetch(_ATTEMPTS, ids) if rows else []
    calling = any(row["kind"] == BatchKind.CALL for row in rows)
    calls = {row["batch_id"]: row for row in await pool.fetch(_CALLS_OF, ids)} if calling else {}
    by_batch: dict[int, list[Any]] = {}
    for attempt in attempts:
        by_batch.setdefault(attempt["batch_id"], []).append(attempt)
    return [batch_from(row, by_batch.get(row["id"], ()), calls.get(row["id"])) for row in rows]


async def _plan(
    connection: Any, lane: Lane, batch: Batch, changes: list[Change], now: datetime
) -> None:
    instance = await connection.fetchval(_TAKE_NONCE, lane.id, lane.epoch, batch.nonce)
    if instance is None or batch.lane_id != lane.id:
        raise stale(f"lane {lane.address}")
    try:
        await connection.execute(
            _PLAN,
            *(batch.id, batch.network, instance, batch.asset.code, batch.asset.scale),
            *(lane.id, batch.nonce, batch.root, batch.order_count, batch.planned_at),
            *(plain(batch.kind), batch.value_minor),
        )
    except asyncpg.UniqueViolationError as error:
        raise InvariantBroken(f"batch {batch.id} or nonce {batch.nonce} exists") from error
    if batch.requested is not None:
        planned = await connection.fetchval(_PLAN_CALL, batch.requested.id, batch.id)
        if planned is None:
            raise stale(f"call {batch.requested.id}")
    await _all_or_nothing(connection, changes, now)


async def _apply(
    connection: Any, lane: Lane, change: BatchChange, after: Batch, now: datetime
) -> None:
    place = (after.mined_ref, after.block_number, after.block_hash)
    where = (after.id, lane.id, plain(change.batch.status), plain(change.to))
    instance = await connection.fetchval(_BATCH_MOVES, *where, *place)
    if instance is None:
        raise stale(f"batch {after.id}")
    if change.to is BatchStatus.CANCELLED and change.batch.kind is BatchKind.CALL:
        await connection.execute(_GIVE_BACK_CALL, after.id)
    await _all_or_nothing(connection, change.orders, now)
    match change.step:
        case Advance(was, to) as step:
            told = (step.event.type, step.event.data)
            await connection.execute(_ADVANCE, after.id, was, to, now, *told)
        case Completion() as step:
            await _complete(connection, after.id, step, now)
    await book_on(connection, PLATFORM, f"batch:{after.id}", change.platform_bookings, now)
    if change.to in DECIDED and after.block_number is not None:
        block = (after.block_number, after.block_hash)
        await connection.execute(_ANCHOR, after.network, instance, *block)


async def _complete(connection: Any, batch_id: int, whole: Completion, now: datetime) -> None:
    try:
        moved = await connection.fetchval(_COMPLETE, now, batch_id)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise broken_guard(error) from error
    completed_all(batch_id, whole, moved)


async def _all_or_nothing(connection: Any, changes: Collection[Change], now: datetime) -> None:
    unmatched = await apply_on(connection, tuple(changes), now)
    if unmatched:
        raise stale(", ".join(change.order.id for change in unmatched))
