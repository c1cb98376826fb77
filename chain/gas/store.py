"""This package's tables in SQL, over a pool of PostgreSQL connections that is handed in."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from chain.gas.history import GasHeader
from settlement.ports.gas import Decision

_RECENT = """
    SELECT number, hash, time_s, base_fee_wei, gas_used, gas_limit, tips_wei FROM gas_blocks
    WHERE network = $1 ORDER BY number DESC LIMIT $2
"""
_FORGET = "DELETE FROM gas_blocks WHERE network = $1 AND number >= $2"
_KEEP = """
    INSERT INTO gas_blocks
        (network, number, hash, time_s, base_fee_wei, gas_used, gas_limit, tips_wei)
    SELECT $1, * FROM jsonb_to_recordset($2) AS t(
        number bigint, hash bytea, time_s bigint, base_fee_wei bigint, gas_used bigint,
        gas_limit bigint, tips_wei bigint[])
    -- Several workers see the same head; the newest word about a number counts.
    ON CONFLICT (network, number) DO UPDATE SET
        (hash, time_s, base_fee_wei, gas_used, gas_limit, tips_wei) =
        (EXCLUDED.hash, EXCLUDED.time_s, EXCLUDED.base_fee_wei, EXCLUDED.gas_used,
         EXCLUDED.gas_limit, EXCLUDED.tips_wei)
    WHERE gas_blocks.hash <> EXCLUDED.hash
"""
_PRUNE = """
    DELETE FROM gas_blocks
    WHERE network = $1 AND number <= (SELECT max(number) - $2 FROM gas_blocks WHERE network = $1)
"""
_SAVE_OUTLOOK = """
    INSERT INTO gas_outlooks (network, head_number, seen_at, content) VALUES ($1, $2, $3, $4)
    ON CONFLICT (network) DO UPDATE SET (head_number, seen_at, content) =
        (EXCLUDED.head_number, EXCLUDED.seen_at, EXCLUDED.content)
    WHERE gas_outlooks.seen_at <= EXCLUDED.seen_at
"""
_OUTLOOK = "SELECT seen_at, content FROM gas_outlooks WHERE network = $1"
_NOTE = """
    INSERT INTO gas_decisions (network, asset, decided_at, reason, orders, sent, waiting_since,
                               deadline, head_number, fee_wei, below_wei, order_ids)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
# The oldest come first, so that no table is read to find them.
_FORGET_DECISIONS = """
    DELETE FROM gas_decisions WHERE decided_at < $2 AND id IN (
        SELECT id FROM gas_decisions WHERE network = $1 ORDER BY id LIMIT 1000
    )
"""
_DECISIONS_KEPT = timedelta(days=30)
_SAVE_MODEL = """
    INSERT INTO gas_models (network, digest, trained_at, promoted_at, scores, content)
    VALUES ($1, $2, $3::timestamptz, CASE WHEN $4 THEN $3::timestamptz END, $5, $6)
    ON CONFLICT DO NOTHING
"""
_PROMOTED = """
    SELECT digest FROM gas_models WHERE network = $1 AND promoted_at IS NOT NULL
    ORDER BY promoted_at DESC LIMIT 1
"""
_BEGIN_TRAINING = """
    INSERT INTO gas_trainings (network, begun_at) VALUES ($1, $2)
    ON CONFLICT (network) DO UPDATE SET begun_at = greatest(gas_trainings.begun_at, $2)
"""
_TRAINED = """
    SELECT o.network, t.begun_at, max(m.trained_at) AS trained_at
    FROM gas_outlooks o LEFT JOIN gas_trainings t USING (network)
         LEFT JOIN gas_models m USING (network)
    GROUP BY o.network, t.begun_at ORDER BY o.network
"""
_TRAINING_LOCK = 0x7464_6761_7374_726E
_MODEL = "SELECT content FROM gas_models WHERE network = $1 AND digest = $2"


class GasStore:
    """Blocks and outlooks; ``pool`` is asyncpg's, whose ``jsonb`` values are Python objects."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def recent(self, network: str, limit: int) -> list[GasHeader]:
        rows = await self._pool.fetch(_RECENT, network, limit)
        return [_header(row) for row in reversed(rows)]

    async def keep(
        self, network: str, rows: Sequence[GasHeader], *, forget_from: int | None = None
    ) -> None:
        content = [_row(row) for row in rows]
        if forget_from is None:
            await self._pool.execute(_KEEP, network, content)
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_FORGET, network, forget_from)
            await connection.execute(_KEEP, network, content)

    async def prune(self, network: str, keep: int) -> None:
        await self._pool.execute(_PRUNE, network, keep)

    async def save_outlook(
        self, network: str, head_number: int, seen_at: datetime, content: Mapping[str, Any]
    ) -> None:
        await self._pool.execute(_SAVE_OUTLOOK, network, head_number, seen_at, dict(content))

    async def outlook(self, network: str) -> tuple[datetime, dict[str, Any]] | None:
        """When the newest head was seen, and what was thought then."""
        row = await self._pool.fetchrow(_OUTLOOK, network)
        return None if row is None else (row["seen_at"], row["content"])

    async def note(self, decision: Decision) -> None:
        """One row per decision, however many orders it was about."""
        await self._pool.execute(
            _NOTE,
            *(decision.network, decision.asset, decision.decided_at, str(decision.reason)),
            *(decision.orders, decision.sent, decision.waiting_since, decision.deadline),
            *(decision.head_number, decision.fee_wei, decision.below_wei),
            list(decision.order_ids),
        )

    async def forget_decisions(self, network: str, now: datetime) -> None:
        """Those that are a month old, some at a time."""
        await self._pool.execute(_FORGET_DECISIONS, network, now - _DECISIONS_KEPT)

    @asynccontextmanager
    async def training(self) -> AsyncIterator[bool]:
        """Alone on this database as long as it is open, unless it says ``False``: somebody else
        trains. The lock falls with the connection, so a killed training blocks nobody."""
        async with self._pool.acquire() as connection:
            is_ours = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _TRAINING_LOCK)
            try:
                yield is_ours
            finally:
                if is_ours:
                    await connection.execute("SELECT pg_advisory_unlock($1)", _TRAINING_LOCK)

    async def begin_training(self, network: str, now: datetime) -> None:
        await self._pool.execute(_BEGIN_TRAINING, network, now)

    async def trained(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        """Of every followed network: when a training last ended in a model, and last began."""
        rows = await self._pool.fetch(_TRAINED)
        return {row["network"]: (row["trained_at"], row["begun_at"]) for row in rows}

    async def save_model(
        self,
        network: str,
        content: Mapping[str, Any],
        scores: Mapping[str, Any],
        now: datetime,
        *,
        promote: bool,
    ) -> None:
        """Every challenger is kept with its scores; the newest promoted one serves."""
        text = json.dumps(content, separators=(",", ":"))
        digest = content["sha256"]
        await self._pool.execute(_SAVE_MODEL, network, digest, now, promote, dict(scores), text)

    async def promoted(self, network: str) -> str | None:
        """The digest of the model that serves; ``None``: the one that is shipped."""
        digest: str | None = await self._pool.fetchval(_PROMOTED, network)
        return digest

    async def model(self, network: str, digest: str) -> dict[str, Any]:
        """A stored model's content."""
        content: dict[str, Any] = json.loads(await self._pool.fetchval(_MODEL, network, digest))
        return content


def _row(header: GasHeader) -> dict[str, Any]:
    return {
        "number": header.number,
        "hash": "\\x" + header.hash.hex(),
        "time_s": header.time_s,
        "base_fee_wei": header.base_fee_wei,
        "gas_used": header.gas_used,
        "gas_limit": header.gas_limit,
        "tips_wei": None if header.tips_wei is None else list(header.tips_wei),
    }


def _header(row: Mapping[str, Any]) -> GasHeader:
    tips = row["tips_wei"]
    return GasHeader(
        number=row["number"],
        hash=row["hash"],
        parent=b"",
        time_s=row["time_s"],
        base_fee_wei=row["base_fee_wei"],
        gas_used=row["gas_used"],
        gas_limit=row["gas_limit"],
        tips_wei=None if tips is None else tuple(tips),
    )
