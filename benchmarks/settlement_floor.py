"""The least that any engine on this database must do: the same rows, written by plain SQL.

Batches of 200 orders (the last one holds the rest), each in four transactions as the engine has
them (planned, sent, mined, final): the guarded updates, the ledger entries with their totals, and
the events, all made by the database itself. No chain, no signatures, no leases, no JSON, nothing
read into a program.
"""

import time
from datetime import UTC, datetime

import asyncpg

from benchmarks.backlog import GROSS_MINOR, TENANT, TOKEN_MINOR

BATCH = 200

_BIND = """
    WITH due AS (
        SELECT id FROM orders WHERE status = 'captured' AND batch_id IS NULL
        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), numbered AS (SELECT id, row_number() OVER () - 1 AS place FROM due),
    moved AS (
        UPDATE orders o SET status = 'submitted', epoch = epoch + 1, due_at = $3, attempts = 0,
            batch_id = $2, batch_index = n.place
        FROM numbered n WHERE o.id = n.id AND o.status = 'captured'
        RETURNING o.id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, 'order.submitted', '{"from": "captured", "reason": null}', $3 FROM moved
"""

_CONFIRM = """
    WITH moved AS (
        UPDATE orders SET status = 'confirming', epoch = epoch + 1, due_at = $2, attempts = 0
        WHERE batch_id = $1 AND status = 'submitted' RETURNING id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, 'order.confirming', '{"from": "submitted", "reason": null}', $2 FROM moved
"""

_COMPLETE = """
    WITH moved AS (
        UPDATE orders SET status = 'completed', epoch = epoch + 1, due_at = $2, attempts = 0
        WHERE batch_id = $1 AND status = 'confirming' RETURNING id, tenant_id, lines
    ), resolved AS (
        UPDATE ledger_entries e SET state = 'posted' FROM moved m
        WHERE e.source = m.id AND e.event = 'reserved' AND e.state = 'pending'
          AND e.tenant_id IS NOT DISTINCT FROM m.tenant_id
    ), entered AS (
        INSERT INTO ledger_entries (tenant_id, source, event, line, debit, credit, asset,
                                    asset_scale, amount_minor, state, created_at)
        SELECT m.tenant_id, m.id, 'completed', l.place - 1, 'customer:payable',
               CASE l.line ->> 0 WHEN 'principal' THEN 'position'
                                 ELSE 'income:' || (l.line ->> 0) END,
               'USD', 2, (l.line ->> 1)::numeric, 'posted', $2
        FROM moved m, jsonb_array_elements(m.lines) WITH ORDINALITY AS l(line, place)
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, 'order.completed', '{"from": "confirming", "reason": null}', $2 FROM moved
"""

_TOTALS = """
    INSERT INTO ledger_accounts AS a (tenant_id, code, asset, asset_scale, debits_posted,
        credits_posted, debits_pending, credits_pending, guarded)
    SELECT $1, t.code, t.asset, t.scale, t.debits, t.credits, 0, 0, false
    FROM (VALUES ('customer:payable', 'USD', 2, $2::numeric, 0::numeric),
                 ('position', 'USD', 2, 0, $2), ('position', 'local:DUSD', 6, $3, 0),
                 ('vault:inventory', 'local:DUSD', 6, 0, $3),
                 ('income:processing', 'USD', 2, 0, $2)) AS t(code, asset, scale, debits, credits)
    ON CONFLICT (tenant_id, code, asset) DO UPDATE SET
        debits_posted = a.debits_posted + EXCLUDED.debits_posted,
        credits_posted = a.credits_posted + EXCLUDED.credits_posted
"""

_PLAN = """
    INSERT INTO batches (id, network, instance, asset, asset_scale, lane_id, nonce, status, root,
                         order_count, planned_at)
    SELECT $1, 'local', instance, 'DUSD', 6, id, next_nonce, 'planned', '', $2, $3 FROM lanes
    ORDER BY id LIMIT 1
"""

_ATTEMPT = """
    INSERT INTO batch_attempts (batch_id, ref, raw, nonce, max_fee_wei, priority_fee_wei,
                                gas_limit, signed_at)
    VALUES ($1::bigint, 'floor-' || $1::bigint, $2, 0, 1, 1, 1, $3)
"""

_NEXT_NONCE = "UPDATE lanes SET next_nonce = next_nonce + 1"
_BATCH_IS = "UPDATE batches SET status = $2 WHERE id = $1"


async def orders_per_s(dsn: str, orders: int) -> float:
    """Complete ``orders`` captured orders, batch after batch on one connection."""
    connection = await asyncpg.connect(dsn)
    try:
        started = time.perf_counter()
        for number, first in enumerate(range(0, orders, BATCH)):
            await _batch(connection, 10**9 + number, min(BATCH, orders - first))
        elapsed = time.perf_counter() - started
        done = await connection.fetchval("SELECT count(*) FROM orders WHERE status = 'completed'")
        if done != orders:
            raise RuntimeError(f"the floor completed {done} of {orders} orders")
        return orders / elapsed
    finally:
        await connection.close()


async def _batch(
    connection: "asyncpg.Connection[asyncpg.Record]", batch_id: int, count: int
) -> None:
    now = datetime.now(UTC)
    async with connection.transaction():
        await connection.execute(_PLAN, batch_id, count, now)
        await connection.execute(_NEXT_NONCE)
        await connection.execute(_BIND, count, batch_id, now)
    async with connection.transaction():
        await connection.execute(_ATTEMPT, batch_id, bytes(24 * count + 300), now)
        await connection.execute(_BATCH_IS, batch_id, "sent")
    async with connection.transaction():
        await connection.execute(_BATCH_IS, batch_id, "mined")
        await connection.execute(_CONFIRM, batch_id, now)
    async with connection.transaction():
        await connection.execute(_BATCH_IS, batch_id, "final")
        await connection.execute(_COMPLETE, batch_id, now)
        usd, tokens = GROSS_MINOR * count, TOKEN_MINOR * count
        await connection.execute(_TOTALS, TENANT, usd, tokens)
