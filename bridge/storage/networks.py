"""Networks in SQL: which chain we know, and whether we may still trust it."""

from datetime import datetime

from bridge.storage.codec import network_from
from bridge.storage.conditions import IS_OPEN
from bridge.storage.database import Part
from settlement.errors import InvariantBroken
from settlement.ports.chain import ChainIdentity
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
        stop_reason = NULL, stopped_at = NULL, anchor_number = NULL, anchor_hash = NULL
"""

# On the same chain instance our own count is the truth and stays; a new instance starts over,
# and the epoch grows so that nobody goes on under an old lease.
_REGISTER_LANE = """
    WITH known AS (SELECT name, instance FROM networks WHERE name = $1),
    registered AS (
        INSERT INTO lanes AS l (network, address, instance, next_nonce)
        SELECT name, $2, instance, $3 FROM known
        ON CONFLICT (network, address) DO UPDATE SET
            instance = EXCLUDED.instance,
            next_nonce = EXCLUDED.next_nonce,
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

    async def stop_network(self, name: str, reason: str, now: datetime) -> None:
        await self.pool.execute(_STOP, name, reason, now)
