"""What receipts are made of: one final batch with all its rows, in one query."""

from typing import Any

from settlement.batch import BatchKind
from settlement.errors import InvariantBroken
from settlement.ids import TenantId
from settlement.money import Asset
from settlement.ports.chain import Payout
from settlement.receipt import PaidBatch

# All rows, those of other tenants too: the root is made of every one. The tenant must have one.
_PAID_BATCH = """
    SELECT b.id, b.network, b.asset, b.asset_scale, b.root, b.order_count, b.mined_ref,
           b.block_number, b.block_hash, b.kind, l.address AS sender,
           CASE WHEN n.instance = b.instance THEN n.vault_address END AS vault,
           o.id AS order_id, o.wallet, o.token_minor, o.batch_index
    FROM batches b
    JOIN networks n ON n.name = b.network
    JOIN lanes l ON l.id = b.lane_id
    JOIN orders o ON o.batch_id = b.id
    WHERE b.id = $2 AND b.status = 'final'
      AND EXISTS (SELECT FROM orders own WHERE own.batch_id = b.id AND own.tenant_id = $1)
    ORDER BY o.batch_index
"""


class ReceiptQueries:
    pool: Any

    async def paid_batch(self, tenant_id: TenantId, batch_id: int) -> PaidBatch | None:
        """``None`` unless the batch is final and pays an order of the tenant.

        Raises :class:`~settlement.errors.InvariantBroken` when a row of it is missing.
        """
        rows = await self.pool.fetch(_PAID_BATCH, tenant_id, batch_id)
        if not rows:
            return None
        batch = rows[0]
        if [row["batch_index"] for row in rows] != list(range(batch["order_count"])):
            raise InvariantBroken(f"batch {batch_id} has lost or gained a row")
        return PaidBatch(
            batch_id=batch["id"],
            network=batch["network"],
            asset=Asset(batch["asset"], batch["asset_scale"], batch["network"]),
            vault=batch["vault"],
            root=batch["root"],
            transaction=batch["mined_ref"],
            block_number=batch["block_number"],
            block_hash=batch["block_hash"],
            sender=batch["sender"],
            kind=BatchKind(batch["kind"]),
            payouts=tuple(
                Payout(row["order_id"], row["wallet"], int(row["token_minor"])) for row in rows
            ),
        )
