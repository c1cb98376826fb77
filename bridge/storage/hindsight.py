"""What became of the orders that a decision let go: what they paid, and what they might have paid.

Orders and batches are of this package, blocks and decisions of :mod:`chain.gas`, so they meet here.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from bridge.storage.conditions import IS_OPEN
from chain.gas.store import GasStore
from settlement.schedule import SETTLE_WITHIN_MS

PATIENCE = timedelta(hours=6)
"""How long after the deadline a batch is waited for that is not final yet."""

# Each order by its own times: an instant one has nothing to gain, and takes nothing from those
# beside it. What it paid is the base fee of the block that it got into; where that is unknown, of
# the one it was meant for. A block's number narrows the search, its time decides.
_SCORE = f"""
    WITH due AS (
        SELECT id, decided_at, head_number, fee_wei, order_ids FROM gas_decisions d
        WHERE network = $1 AND scored_at IS NULL AND sent > 0 AND deadline < $2
          AND (deadline < $5 OR NOT EXISTS (
              SELECT FROM orders o JOIN batches b ON b.id = o.batch_id AND b.{IS_OPEN}
              WHERE o.id = ANY (d.order_ids)))
        ORDER BY deadline LIMIT 200
    ), gone AS (
        SELECT due.id, due.decided_at, coalesce(due.head_number, b.block_number) AS head,
               t.since, least(t.since + ($4::jsonb ->> o.speed)::bigint * interval '1 ms',
                              o.settle_by) AS until,
               coalesce(block.base_fee_wei, due.fee_wei) AS paid
        FROM due JOIN orders o ON o.id = ANY (due.order_ids)
        CROSS JOIN LATERAL (SELECT coalesce(o.authorized_at, o.created_at) AS since) t
        LEFT JOIN batches b ON b.id = o.batch_id
        LEFT JOIN gas_blocks block ON block.network = $1 AND block.number = b.block_number
    ), seen AS (
        SELECT id, avg(coalesce(at_once, paid)) AS at_once, avg(paid) AS paid,
               avg(least(best, paid)) AS best
        FROM gone LEFT JOIN LATERAL (
            SELECT (array_agg(base_fee_wei ORDER BY number))[1] AS at_once,
                   min(base_fee_wei) AS best
            FROM gas_blocks
            WHERE network = $1 AND to_timestamp(time_s) > since AND to_timestamp(time_s) <= until
              AND number BETWEEN head - 10
                                 - 2 * (extract(epoch FROM decided_at - since) * 1000 / $3)::bigint
                             AND head + 10 + 2 * greatest(
                                 (extract(epoch FROM until - decided_at) * 1000 / $3)::bigint, 0)
        ) blocks ON true
        WHERE paid IS NOT NULL
        GROUP BY id
    )
    UPDATE gas_decisions d SET scored_at = $2, at_once_wei = seen.at_once, best_wei = seen.best,
                               paid_wei = seen.paid
    FROM due LEFT JOIN seen USING (id)
    WHERE d.id = due.id
    RETURNING d.id
"""


class HindsightStore(GasStore):
    """The gas port's tables, and the orders that its decisions were about."""

    async def score(self, network: str, now: datetime, block_ms: int) -> int:
        """Say of every decision whose deadlines have passed what its orders paid in the mean, per
        unit of gas, what the first block after each began to wait asked for, and the best block
        until its deadline; returns how many. What is a month old is forgotten."""
        await self.forget_decisions(network, now)
        within: Mapping[str, int] = {str(speed): ms for speed, ms in SETTLE_WITHIN_MS.items()}
        late = now - PATIENCE
        return len(await self._pool.fetch(_SCORE, network, now, block_ms, dict(within), late))
