"""Contract calls that wait for a lane, and what operators ask of a batch, in SQL."""

from datetime import datetime
from typing import Any

from bridge.storage.codec import requested_from
from bridge.storage.conditions import CALL_WAITS, IS_OPEN
from bridge.storage.database import Part
from bridge.storage.lanes import hold
from settlement.batch import Lane, RequestedCall

_REQUEST = """
    INSERT INTO contract_calls (id, network, sender, to_address, data, value, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""

_WAITING = f"""
    SELECT * FROM contract_calls
    WHERE network = $1 AND sender = $2 AND {CALL_WAITS}
    ORDER BY created_at, id LIMIT $3
"""

_REFUSE = f"""
    UPDATE contract_calls SET refused_at = $3, refused_reason = $2 WHERE id = $1 AND {CALL_WAITS}
"""

_ASK_CANCEL = f"""
    UPDATE batches SET cancel_asked_at = COALESCE(cancel_asked_at, $2)
    WHERE id = $1 AND {IS_OPEN} RETURNING id
"""

_ASK_BUMP = f"UPDATE batches SET bump_asked_at = $2 WHERE id = $1 AND {IS_OPEN} RETURNING id"

# Nobody has said it yet, as far as the next look is concerned.
_ASK_AGAIN = f"UPDATE batches SET reminded_at = NULL WHERE id = $1 AND {IS_OPEN} RETURNING id"


async def request_on(connection: Any, requested: RequestedCall, now: datetime) -> bool:
    """Store a call on a connection whose transaction the caller may hold; ``False``: known."""
    call = requested.call
    where = (requested.id, requested.network, requested.sender, call.to)
    what = (call.data, call.value_minor, now)
    return await connection.fetchval(_REQUEST, *where, *what) is not None


class CallPart(Part):
    """Implements the part of :class:`settlement.ports.store.BatchStore` that requests."""

    async def request_call(self, requested: RequestedCall, now: datetime) -> bool:
        return await request_on(self.pool, requested, now)

    async def requested_calls(self, lane: Lane, *, limit: int) -> list[RequestedCall]:
        rows = await self.pool.fetch(_WAITING, lane.network, lane.address, limit)
        return [requested_from(row) for row in rows]

    async def refuse_call(self, lane: Lane, call_id: str, reason: str, now: datetime) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await hold(connection, lane)
            await connection.execute(_REFUSE, call_id, reason, now)

    async def ask(
        self, batch_id: int, now: datetime, *, cancel: bool, lane: Lane | None = None
    ) -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            if lane is not None:
                await hold(connection, lane)
            return await ask_on(connection, batch_id, now, cancel=cancel)

    async def ask_again(self, batch_id: int) -> bool:
        return await ask_again_on(self.pool, batch_id)


async def ask_on(connection: Any, batch_id: int, now: datetime, *, cancel: bool) -> bool:
    """Ask for a cancellation or a bump within the caller's transaction; ``False``: not open."""
    statement = _ASK_CANCEL if cancel else _ASK_BUMP
    return await connection.fetchval(statement, batch_id, now) is not None


async def ask_again_on(connection: Any, batch_id: int) -> bool:
    """Have the stored bytes said at once, within the caller's transaction; ``False``: not open."""
    return await connection.fetchval(_ASK_AGAIN, batch_id) is not None
