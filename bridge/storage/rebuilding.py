"""Writing lost rows down again, in SQL. Used by one command, while nothing else runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bridge.storage.codec import lines_json, order_from
from bridge.storage.conditions import IS_OPEN
from bridge.storage.operations import append_audit_on
from settlement.batch import Lane
from settlement.errors import InvariantBroken
from settlement.ids import OrderId, TxRef
from settlement.order import Order
from settlement.ports.chain import PaidBatch
from settlement.rebuild import REBUILT

_INSERT = """
    WITH known AS (SELECT id FROM tenants WHERE id = $2),
    written AS (
        INSERT INTO orders (id, tenant_id, quote_id, customer, wallet, network, fiat, fiat_scale,
                            gross_minor, token, token_scale, token_minor, lines, client_secret,
                            created_at, expires_at, due_at, payment_intent_id, metadata)
        SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
               '{}'
        FROM known
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, $19, '{"to": "awaiting_payment"}', $17 FROM written
    RETURNING order_id
"""

_KNOWN = "SELECT * FROM orders WHERE id = ANY($1::text[])"

_CANDIDATES = """
    SELECT * FROM orders
    WHERE network = $1 AND (batch_id = $2 OR batch_id IS NULL) AND wallet = ANY($3::text[])
    ORDER BY id
"""

_OURS = "SELECT ref FROM batch_attempts WHERE ref = ANY($1::text[])"

_DECIDED = "SELECT id FROM batches WHERE network = $1 AND status = 'final'"

_FITS = """
    SELECT EXISTS (SELECT FROM lanes WHERE network = $2 AND address = $3) AS has_lane,
           (SELECT root FROM batches WHERE id = $1) AS root
"""

# What the chain holds is final; a batch that we knew as open, or not at all, becomes so.
_RECORD = """
    INSERT INTO batches AS b (id, network, instance, asset, asset_scale, lane_id, nonce, status,
                              root, order_count, planned_at, mined_ref, block_number, block_hash,
                              kind, value)
    SELECT $1, l.network, l.instance, $3, $4, l.id, $5, 'final', $6, $7, $8, $9, $10, $11, $13, $14
    FROM lanes l WHERE l.network = $12 AND l.address = $2
    ON CONFLICT (id) DO UPDATE SET
        status = 'final', nonce = EXCLUDED.nonce, lane_id = EXCLUDED.lane_id,
        mined_ref = EXCLUDED.mined_ref, block_number = EXCLUDED.block_number,
        block_hash = EXCLUDED.block_hash
    WHERE b.root = EXCLUDED.root AND b.instance = EXCLUDED.instance
    RETURNING id
"""

_ATTEMPT = """
    INSERT INTO batch_attempts (batch_id, ref, raw, nonce, max_fee_wei, priority_fee_wei,
                                gas_limit, signed_at, sent_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
    ON CONFLICT (batch_id, ref) DO NOTHING
"""

# Their nonces are used up by something else: what was signed for them can never be mined.
_RELEASE = f"""
    WITH gone AS (
        UPDATE batches
        SET status = 'cancelled', mined_ref = NULL, block_number = NULL, block_hash = NULL
        WHERE network = $1 AND {IS_OPEN} AND NOT (id = ANY($2::bigint[]))
        RETURNING id
    ), freed AS (
        UPDATE orders o SET batch_id = NULL, batch_index = NULL, epoch = epoch + 1, due_at = $3
        FROM gone WHERE o.batch_id = gone.id
        RETURNING o.id, gone.id AS batch_id
    )
    INSERT INTO order_events (order_id, type, data, created_at)
    SELECT id, 'order.requeued', jsonb_build_object('batch_id', batch_id), $3 FROM freed
    RETURNING order_id
"""

_COUNT = """
    UPDATE lanes
    SET next_nonce = $3, first_nonce = $3, epoch = epoch + 1, leased_until = '-infinity'
    WHERE network = $1 AND address = $2
"""

# The first nonce of the lane that no batch of ours explains, and a block before it was used.
_EXPLAINED = """
    WITH lane AS (SELECT * FROM lanes WHERE network = $1 AND address = $2),
    decided AS (
        SELECT b.nonce, b.block_number FROM batches b
        JOIN lane l ON b.lane_id = l.id AND b.instance = l.instance
        WHERE b.status IN ('final', 'reverted', 'cancelled') AND b.block_number IS NOT NULL
    ), unexplained AS (
        SELECT min(n.nonce) AS nonce
        FROM (SELECT first_nonce AS nonce FROM lane UNION SELECT nonce + 1 FROM decided) n
        WHERE n.nonce >= (SELECT first_nonce FROM lane)
          AND n.nonce NOT IN (SELECT nonce FROM decided)
    )
    SELECT u.nonce, COALESCE(max(d.block_number), 0) AS block
    FROM unexplained u LEFT JOIN decided d ON d.nonce < u.nonce GROUP BY u.nonce
"""

_PAST_IDS = "SELECT setval('batch_ids', greatest($1, (SELECT last_value FROM batch_ids)))"

_STOPPED = "SELECT stop_reason FROM networks WHERE name = $1 FOR UPDATE"
_START = """
    UPDATE networks SET stop_reason = NULL, stopped_at = NULL WHERE name = $1
"""


class Rebuilding:
    """Takes the pool of a :class:`~bridge.storage.store.PostgresStore`, and whose work it is."""

    def __init__(self, pool: Any, actor: str) -> None:
        self._pool = pool
        self._actor = actor

    async def known(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Order]:
        rows = await self._pool.fetch(_KNOWN, list(order_ids))
        return {row["id"]: order_from(row) for row in rows}

    async def write_down(self, order: Order, now: datetime) -> bool:
        """``False``: the order is there, or its tenant is not."""
        gross, token = order.gross, order.token
        written = await self._pool.fetchval(
            _INSERT,
            *(order.id, order.tenant_id, order.quote_id, order.customer, order.wallet),
            *(order.network, gross.asset.code, gross.asset.scale, gross.amount_minor),
            *(token.asset.code, token.asset.scale, token.amount_minor, lines_json(order.lines)),
            *(order.client_secret, order.created_at, order.expires_at, now),
            *(order.payment_intent_id, REBUILT),
        )
        return written is not None

    async def candidates(self, paid: PaidBatch, network: str) -> list[Order]:
        """Orders that the batch may have paid: of its wallets, in it or in none."""
        wallets = sorted({wallet for wallet, _ in paid.rows})
        rows = await self._pool.fetch(_CANDIDATES, network, paid.batch_id, wallets)
        return [order_from(row) for row in rows]

    async def decided(self, network: str) -> set[int]:
        """Batches that our own rows call final."""
        return {row["id"] for row in await self._pool.fetch(_DECIDED, network)}

    async def explained_until(self, lane: Lane) -> tuple[int, int]:
        """The nonce, and the block, from which on the lane may have sent what our rows do not
        know."""
        row = await self._pool.fetchrow(_EXPLAINED, lane.network, lane.address)
        return row["nonce"], row["block"]

    async def signed_here(self, refs: Sequence[TxRef]) -> set[TxRef]:
        """Those of ``refs`` that are attempts of batches in our own rows."""
        return {row["ref"] for row in await self._pool.fetch(_OURS, list(refs))}

    async def can_record(self, paid: PaidBatch, network: str) -> bool:
        """``False``: we know another batch by this id, or no lane of its sender."""
        row = await self._pool.fetchrow(_FITS, paid.batch_id, network, paid.lane_address)
        return bool(row["has_lane"]) and row["root"] in (None, paid.root)

    async def record(self, paid: PaidBatch, network: str, now: datetime) -> None:
        """Write the batch down as final, with the attempt that was mined."""
        signed, inclusion = paid.transaction, paid.inclusion
        async with self._pool.acquire() as connection, connection.transaction():
            recorded = await connection.fetchval(
                _RECORD,
                *(paid.batch_id, paid.lane_address, paid.asset.code, paid.asset.scale),
                *(signed.nonce, paid.root, len(paid.rows), now, signed.ref),
                *(inclusion.block_number, inclusion.block_hash, network),
                *(("single", paid.rows[0][1]) if paid.single else ("payout", 0)),
            )
            if recorded is None:
                raise InvariantBroken(f"batch {paid.batch_id} cannot be written down")
            await connection.execute(
                _ATTEMPT,
                *(paid.batch_id, signed.ref, signed.raw, signed.nonce),
                *(signed.fees.max_fee_wei, signed.fees.priority_fee_wei),
                *(signed.gas_limit, now),
            )

    async def release_open(self, network: str, but: Sequence[int], now: datetime) -> int:
        """Batches that will never be mined give their orders back; returns how many orders."""
        return len(await self._pool.fetch(_RELEASE, network, list(but), now))

    async def count_from(self, lane: Lane, nonce: int) -> None:
        await self._pool.execute(_COUNT, lane.network, lane.address, nonce)

    async def past_batch_ids(self, batch_id: int) -> None:
        """Never give out an id up to ``batch_id`` again."""
        await self._pool.fetchval(_PAST_IDS, batch_id)

    async def start(self, network: str, now: datetime) -> None:
        """Whatever it was stopped for; with its line in the audit log, or not at all."""
        async with self._pool.acquire() as connection, connection.transaction():
            reason = await connection.fetchval(_STOPPED, network)
            if reason is None:
                return
            await connection.execute(_START, network)
            await append_audit_on(
                connection,
                actor=self._actor,
                action="network.started",
                object_id=network,
                now=now,
                tenant_id=None,
                data={"stop_reason": reason},
            )
