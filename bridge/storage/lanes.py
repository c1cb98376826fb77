"""Lanes in SQL: who works which, for how long, and what their nonces are."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from bridge.storage.codec import lane_from, plain
from bridge.storage.conditions import PAYABLE
from bridge.storage.database import Part, retrying
from settlement.batch import Batch, Lane
from settlement.errors import InvariantBroken, StaleLease
from settlement.order import HoldReason
from settlement.ports.store import LaneState

# Every worker seen within a lease has an equal part of the network's lanes, rounded up. Those
# whose workers were not seen any more are free when their leases end.
_CLAIM = """
    WITH seen AS (
        INSERT INTO lane_workers AS w (network, id, seen_at)
        SELECT name, $3, $2 FROM networks WHERE name = $1
        ON CONFLICT (network, id) DO UPDATE SET seen_at = EXCLUDED.seen_at
        WHERE w.seen_at < $5
    ), gone AS (
        DELETE FROM lane_workers WHERE network = $1 AND id <> $3 AND seen_at <= $6
    ), shares AS (
        SELECT (SELECT count(*) FROM lanes WHERE network = $1) AS lanes,
               (SELECT count(*) FROM lane_workers
                WHERE network = $1 AND id <> $3 AND seen_at > $6) AS others,
               (SELECT count(*) FROM lanes
                WHERE network = $1 AND holder = $3 AND leased_until > $2) AS mine
    ), free AS (
        SELECT id FROM lanes
        WHERE network = $1 AND leased_until <= $2
          AND ($7::text[] IS NULL OR address = ANY($7))
        ORDER BY epoch, id  -- whichever was taken least often: none may starve
        LIMIT (SELECT greatest((lanes + others) / (others + 1) - mine, 0) FROM shares)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE lanes l SET epoch = l.epoch + 1, leased_until = $4, holder = $3
    FROM free WHERE l.id = free.id
    RETURNING l.*
"""

_RENEW = "UPDATE lanes SET leased_until = $3 WHERE id = $1 AND epoch = $2 RETURNING id"

_RELEASE = "UPDATE lanes SET leased_until = '-infinity' WHERE id = $1 AND epoch = $2"

_LEAVE = "DELETE FROM lane_workers WHERE id = $1"

# Locks the lane's row, so that a claim waits for the write and the write for a claim.
_HOLD = "SELECT id FROM lanes WHERE id = $1 AND epoch = $2 FOR UPDATE"

# Nonces that were given out for good: by an open batch, or used up by one that a block decided.
_TAKEN = """
    SELECT b.nonce FROM batches b JOIN lanes l
      ON l.id = $1 AND b.lane_id = l.id AND b.network = l.network AND b.instance = l.instance
    WHERE b.status <> 'cancelled' AND b.nonce >= $2
    UNION
    SELECT b.nonce FROM batches b JOIN lanes l
      ON l.id = $1 AND b.lane_id = l.id AND b.instance = l.instance
    WHERE b.status = 'cancelled' AND b.block_number IS NOT NULL AND b.nonce >= $2
    ORDER BY nonce
"""

_COUNT_FROM = """
    UPDATE lanes SET next_nonce = $4
    WHERE id = $1 AND epoch = $2 AND next_nonce = $3 AND first_nonce <= $4
    RETURNING id
"""

_FILL = """
    INSERT INTO batches (id, network, instance, asset, asset_scale, lane_id, nonce, status, root,
                         order_count, planned_at, kind, cancel_asked_at)
    SELECT $2, network, instance, $3, $4, id, $5, 'planned', '', 0, $6, $7, $6
    FROM lanes WHERE id = $1 AND $5 < next_nonce
    RETURNING id
"""

_LOW = """
    UPDATE lanes SET low_since = $3
    WHERE id = $1 AND epoch = $2 AND (low_since IS NULL) <> ($3::timestamptz IS NULL)
    RETURNING id
"""

_LANES = "SELECT * FROM lanes WHERE network = $1 ORDER BY id"

_PAUSE_LANE = """
    UPDATE lanes SET paused_at = $3, paused_by = $4
    WHERE network = $1 AND address = $2 AND paused_at IS NULL RETURNING id
"""

_RESUME_LANE = """
    UPDATE lanes SET paused_at = NULL, paused_by = NULL
    WHERE network = $1 AND address = $2 AND paused_at IS NOT NULL RETURNING id
"""

_WAKE_HELD = f"""
    UPDATE orders SET due_at = $2
    WHERE network = $1 AND {PAYABLE} AND hold_reason = $3 AND due_at > $2
"""

LEASE_PARTS = 4
"""A worker says that it lives this many times in a lease."""


def stale(what: str) -> StaleLease:
    return StaleLease(f"{what} was taken over or has moved on; nothing was written")


async def hold(connection: Any, lane: Lane) -> None:
    """Lock the lane's row for the transaction; raises ``StaleLease`` under another epoch."""
    if await connection.fetchval(_HOLD, lane.id, lane.epoch) is None:
        raise stale(f"lane {lane.address}")


async def wake_held(connection: Any, network: str, reason: HoldReason, now: datetime) -> None:
    """Orders that were held for ``reason`` are looked at again at once."""
    await connection.execute(_WAKE_HELD, network, now, reason.value)


class LanePart(Part):
    """Implements :class:`settlement.ports.store.LaneStore`."""

    async def claim_lanes(
        self,
        network: str,
        now: datetime,
        *,
        lease_ms: int,
        worker: str,
        among: Collection[str] | None = None,
    ) -> list[Lane]:
        lease = timedelta(milliseconds=lease_ms)
        when = (now + lease, now - lease / LEASE_PARTS, now - lease)
        addresses = None if among is None else list(among)

        async def work() -> Any:
            return await self.pool.fetch(_CLAIM, network, now, worker, *when, addresses)

        return [lane_from(row) for row in await retrying(work)]

    async def renew_lane(self, lane: Lane, now: datetime, *, lease_ms: int) -> bool:
        until = now + timedelta(milliseconds=lease_ms)
        return await self.pool.fetchval(_RENEW, lane.id, lane.epoch, until) is not None

    async def release_lane(self, lane: Lane) -> None:
        await self.pool.execute(_RELEASE, lane.id, lane.epoch)

    async def leave_lanes(self, worker: str) -> None:
        await self.pool.execute(_LEAVE, worker)

    async def lanes(self, network: str) -> list[LaneState]:
        return [
            LaneState(lane_from(row), row["holder"], row["leased_until"], row["paused_by"])
            for row in await self.pool.fetch(_LANES, network)
        ]

    async def taken_nonces(self, lane: Lane, since: int) -> list[int]:
        return [row["nonce"] for row in await self.pool.fetch(_TAKEN, lane.id, since)]

    async def count_from(self, lane: Lane, nonce: int) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await hold(connection, lane)
            if await connection.fetch(_TAKEN, lane.id, nonce):
                raise InvariantBroken(f"lane {lane.address}: nonce {nonce} or a later one is taken")
            where = (lane.id, lane.epoch, lane.next_nonce)
            if await connection.fetchval(_COUNT_FROM, *where, nonce) is None:
                raise stale(f"the nonce of lane {lane.address}")

    async def fill_gap(self, lane: Lane, batch: Batch) -> None:
        what = (batch.id, batch.asset.code, batch.asset.scale, batch.nonce, batch.planned_at)
        async with self.pool.acquire() as connection, connection.transaction():
            await hold(connection, lane)
            try:
                filled = await connection.fetchval(_FILL, lane.id, *what, plain(batch.kind))
            except asyncpg.UniqueViolationError as error:
                raise stale(f"nonce {batch.nonce} of lane {lane.address}") from error
            if filled is None:
                raise InvariantBroken(f"nonce {batch.nonce} was never given out: no gap")

    async def mark_low(self, lane: Lane, low: bool, now: datetime) -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            since = now if low else None
            changed = await connection.fetchval(_LOW, lane.id, lane.epoch, since) is not None
            if changed and not low:
                await wake_held(connection, lane.network, HoldReason.LIQUIDITY, now)
        return changed

    async def pause_lane(self, network: str, address: str, now: datetime, *, by: str) -> bool:
        return await pause_lane_on(self.pool, network, address, now, by=by)

    async def resume_lane(self, network: str, address: str, now: datetime) -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            return await resume_lane_on(connection, network, address, now)


async def pause_lane_on(
    connection: Any, network: str, address: str, now: datetime, *, by: str
) -> bool:
    """Within the caller's transaction; ``False``: was paused already, or there is none."""
    return await connection.fetchval(_PAUSE_LANE, network, address, now, by) is not None


async def resume_lane_on(connection: Any, network: str, address: str, now: datetime) -> bool:
    """Within the caller's transaction; ``False``: was not paused."""
    resumed = await connection.fetchval(_RESUME_LANE, network, address) is not None
    if resumed:
        await wake_held(connection, network, HoldReason.PAUSED, now)
    return resumed
