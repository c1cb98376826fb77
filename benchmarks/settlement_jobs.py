"""One procrastinate job per order and step: the design that most would start with.

Needs the extra ``bench``. Three jobs an order (submitted, confirming, completed), each one small
transaction with its events and entries, run by two worker processes with 8 jobs at a time. No
chain and no signatures, so it is flattered.
"""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import asyncpg

from benchmarks.settlement_world import completed

WORKERS = 2
CONCURRENCY = 8
LIMIT_S = 300.0

_MOVE = """
    WITH moved AS (
        UPDATE orders SET status = $3, epoch = epoch + 1, due_at = $4
        WHERE id = $1 AND status = $2 RETURNING id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, 'order.' || $3::text, '{}', $4 FROM moved
"""
_POST = "UPDATE ledger_entries SET state = 'posted' WHERE source = $1 AND event = 'reserved'"
_BOOK = """
    INSERT INTO ledger_entries (tenant_id, source, event, line, debit, credit, asset,
                                asset_scale, amount_minor, state, created_at)
    SELECT o.tenant_id, o.id, 'completed', l.place - 1, 'customer:payable',
           CASE l.line ->> 0 WHEN 'principal' THEN 'position' ELSE 'income:' || (l.line ->> 0) END,
           'USD', 2, (l.line ->> 1)::numeric, 'posted', $2
    FROM orders o, jsonb_array_elements(o.lines) WITH ORDINALITY AS l(line, place)
    WHERE o.id = $1
"""
_STEPS = {"submitted": "captured", "confirming": "submitted", "completed": "confirming"}
_NEXT = {"submitted": "confirming", "confirming": "completed"}
_PRIORITY = {"submitted": 0, "confirming": 1, "completed": 2}
"""What was begun is finished first: in the order of arrival all orders would complete in one burst
of last steps, and a rate between completions would count those alone."""


def application(dsn: str) -> Any:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))
    pools: list[Any] = []

    @app.task(name="step")  # type: ignore[untyped-decorator,unused-ignore]
    async def step(order_id: str, to: str) -> None:
        if not pools:
            pools.append(await asyncpg.create_pool(dsn, min_size=2, max_size=CONCURRENCY))
        now = datetime.now(UTC)
        async with pools[0].acquire() as connection, connection.transaction():
            await connection.execute(_MOVE, order_id, _STEPS[to], to, now)
            if to == "completed":
                await connection.execute(_POST, order_id)
                await connection.execute(_BOOK, order_id, now)
        if to in _NEXT:
            to = _NEXT[to]
            await step.configure(priority=_PRIORITY[to]).defer_async(order_id=order_id, to=to)

    return app


async def orders_per_s(dsn: str, orders: int) -> float:
    """Orders per second between the 10th and the 90th percentile of completions."""
    app = application(dsn)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        connection = await asyncpg.connect(dsn)
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM orders")]
        await connection.close()
        for order_id in ids:
            await app.tasks["step"].defer_async(order_id=order_id, to="submitted")
    command = [sys.executable, "-m", "benchmarks.settlement_jobs"]
    env = {**os.environ, "DATABASE_URL": dsn}
    running = [await asyncio.to_thread(subprocess.Popen, command, env=env) for _ in range(WORKERS)]
    try:
        moments = await completed(dsn, orders, LIMIT_S)
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
    return orders * 0.8 / (moments[orders * 9 // 10] - moments[orders // 10])


async def _work() -> None:
    app = application(os.environ["DATABASE_URL"])
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, wait=True)


if __name__ == "__main__":
    asyncio.run(_work())
