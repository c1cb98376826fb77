"""What a person does: the change, its line in the audit log and its answer, or nothing at all.

All of it is one transaction, so that nothing is done without being written down, and an answer
that is repeated to the same idempotency key stands for one action.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.storage.accepting import check_fingerprint
from bridge.storage.operations import append_audit_on
from settlement.errors import InvariantBroken
from settlement.ids import TenantId
from settlement.ports.accepting import Idempotency

_KEEP = """
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, resource_id, created_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
    RETURNING key
"""
_KEY = "SELECT * FROM idempotency_keys WHERE tenant_id = $1 AND key = $2"
_REMEMBER = "UPDATE idempotency_keys SET response = $3 WHERE tenant_id = $1 AND key = $2"

Work = Callable[[Any], Awaitable[Any]]
"""Takes the transaction's connection; says whether anything changed, or (a :class:`Deed`) what."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Who does what to which object: the line of the audit log.

    ``actor`` is the id of an API key, or the console; ``tenant_id`` is the tenant of that key.
    """

    actor: str
    action: str
    object_id: str
    tenant_id: TenantId | None = None
    data: Mapping[str, str | int | None] = field(default_factory=dict)


class ActionQueries:
    pool: Any

    async def perform(self, deed: Deed, work: Work, now: datetime) -> Deed | None:
        """Do ``work``, which says whether anything changed, and write it down if so; returns what
        was written down."""
        async with self.pool.acquire() as connection, connection.transaction():
            return await _perform(connection, deed, work, now)

    async def perform_once(
        self, deed: Deed, work: Work, answer: Work, idempotency: Idempotency, now: datetime
    ) -> tuple[Any, bool]:
        """The same once per key: the answer as JSON values, and whether it is a repetition.

        Raises whatever ``work`` refuses with, and then nothing is kept, the key neither; and
        :class:`~settlement.errors.IdempotencyMismatch`.
        """
        if deed.tenant_id is None:
            raise InvariantBroken("an idempotency key belongs to a tenant")
        key = (deed.tenant_id, idempotency.key)
        async with self.pool.acquire() as connection, connection.transaction():
            kept = (*key, idempotency.fingerprint, deed.object_id, now)
            # Waits here while the same key is being used.
            if await connection.fetchval(_KEEP, *kept) is None:
                row = await connection.fetchrow(_KEY, *key)
                check_fingerprint(row["fingerprint"], idempotency)
                return row["response"], True
            await _perform(connection, deed, work, now)
            response = await answer(connection)
            await connection.execute(_REMEMBER, *key, response)
            return response, False


async def _perform(connection: Any, deed: Deed, work: Work, now: datetime) -> Deed | None:
    done = await work(connection)
    if not done:
        return None
    if isinstance(done, Deed):  # only the work itself can tell
        deed = done
    await append_audit_on(
        connection,
        actor=deed.actor,
        action=deed.action,
        object_id=deed.object_id,
        now=now,
        tenant_id=deed.tenant_id,
        data=deed.data,
    )
    return deed
