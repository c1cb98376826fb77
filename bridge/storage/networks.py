"""Networks in SQL: which chain we know, and whether we may still trust it."""

from datetime import datetime
from typing import Any

from bridge.storage.codec import network_from
from bridge.storage.conditions import IS_OPEN
from bridge.storage.database import Part
from bridge.storage.lanes import hold, wake_held
from settlement.batch import Lane
from settlement.errors import InvariantBroken
from settlement.order import HoldReason
from settlement.ports.chain import ChainIdentity, Head
from settlement.ports.store import NetworkState

_NETWORK = "SELECT * FROM networks WHERE name = $1"

# A replaced chain takes its open batches with it: nothing of them can ever be mined.
_REGISTER = f"""
    WITH gone AS (
        UPDATE batches SET status = 'cancelled' WHERE network = $1 AND {IS_OPEN}
    )
    INSERT INTO networks AS n
        (name, instance, genesis_hash, vault_address, vault_code_hash, registered_at)
    VALUES ($1, 1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET
        instance = n.instance + 1,
        genesis_hash = EXCLUDED.genesis_hash,
        vault_address = EXCLUDED.vault_address,
        vault_code_hash = EXCLUDED.vault_code_hash,
        registered_at = EXCLUDED.registered_at,
        stop_reason = NULL, stopped_at = NULL, anchor_number = NULL, anchor_hash = NULL,
        head_number = NULL, final_number = NULL, head_at = NULL
"""

# On the same chain instance our own count is the truth and stays; a new instance starts over,
# and the epoch grows so that nobody goes on under an old lease.
_REGISTER_LANE = """
    WITH known AS (SELECT name, instance FROM networks WHERE name = $1),
    registered AS (
        INSERT INTO lanes AS l (network, address, instance, next_nonce, first_nonce)
        SELECT name, $2, instance, $3, $3 FROM known
        ON CONFLICT (network, address) DO UPDATE SET
            instance = EXCLUDED.instance,
            next_nonce = EXCLUDED.next_nonce,
            first_nonce = EXCLUDED.first_nonce,
            low_since = NULL,
            epoch = l.epoch + 1,
            leased_until = '-infinity'
        WHERE l.instance <> EXCLUDED.instance
    )
    SELECT count(*) FROM known
"""

# The first reason is the one that a person has to look into.
_STOP = """
    UPDATE networks SET stop_reason = $2, stopped_at = $3
    WHERE name = $1 AND stop_reason IS NULL
"""

_PAUSE = """
    UPDATE networks SET paused_at = $2, paused_by = $3
    WHERE name = $1 AND paused_at IS NULL RETURNING name
"""

_RESUME = """
    UPDATE networks SET paused_at = NULL, paused_by = NULL
    WHERE name = $1 AND paused_at IS NOT NULL RETURNING name
"""


_START = """
    UPDATE networks SET stop_reason = NULL, stopped_at = NULL
    WHERE name = $1 AND stop_reason = $2 RETURNING name
"""

# Writes nothing while the chain stands still.
_NOTE_HEAD = """
    UPDATE networks SET head_number = $2, final_number = $3, head_at = $4
    WHERE name = $1 AND (head_number, final_number) IS DISTINCT FROM ($2::bigint, $3::bigint)
      AND ($5::int IS NULL OR EXISTS (SELECT FROM lanes WHERE id = $5 AND epoch = $6))
"""


class NetworkPart(Part):
    """Implements :class:`settlement.ports.store.NetworkStore`."""

    async def network(self, name: str) -> NetworkState | None:
        row = await self.pool.fetchrow(_NETWORK, name)
        return None if row is None else network_from(row)

    async def register_network(self, name: str, identity: ChainIdentity, now: datetime) -> None:
        who = (identity.genesis_hash, identity.vault_address, identity.vault_code_hash)
        await self.pool.execute(_REGISTER, name, *who, now)

    async def register_lane(self, name: str, address: str, next_nonce: int) -> None:
        if not await self.pool.fetchval(_REGISTER_LANE, name, address, next_nonce):
            raise InvariantBroken(f"{name} is not registered, so it has no lanes")

    async def stop_network(
        self, name: str, reason: str, now: datetime, *, lane: Lane | None = None
    ) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if lane is not None:
                await hold(connection, lane)
            await connection.execute(_STOP, name, reason, now)

    async def start_network(self, name: str, reason: str) -> bool:
        return await start_network_on(self.pool, name, reason)

    async def note_head(
        self, name: str, head: Head, now: datetime, *, lane: Lane | None = None
    ) -> None:
        lease = (None, None) if lane is None else (lane.id, lane.epoch)
        await self.pool.execute(_NOTE_HEAD, name, head.number, head.final_number, now, *lease)

    async def pause_network(self, name: str, now: datetime, *, by: str) -> bool:
        return await pause_network_on(self.pool, name, now, by=by)

    async def resume_network(self, name: str, now: datetime) -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            return await resume_network_on(connection, name, now)


async def pause_network_on(connection: Any, name: str, now: datetime, *, by: str) -> bool:
    """Within the caller's transaction; ``False``: was paused already, or there is none."""
    return await connection.fetchval(_PAUSE, name, now, by) is not None


async def resume_network_on(connection: Any, name: str, now: datetime) -> bool:
    """Within the caller's transaction; ``False``: was not paused."""
    resumed = await connection.fetchval(_RESUME, name) is not None
    if resumed:
        await wake_held(connection, name, HoldReason.PAUSED, now)
    return resumed


async def start_network_on(connection: Any, name: str, reason: str) -> bool:
    """Within the caller's transaction; ``False``: not stopped, or for another reason by now."""
    return await connection.fetchval(_START, name, reason) is not None
