"""Do the orders that were completed earlier still stand on the chain?

For each of the vault's batches the Merkle root is computed anew from the orders as they are stored
and compared with the root that the vault holds: a changed order, wallet or amount would show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.storage.store import PostgresStore
from chain.deployment import Deployment
from chain.evm import vault
from chain.rpc import RpcClient
from settlement.batch import batch_call
from settlement.errors import ChainError
from settlement.ports.bundle import Ports

BATCHES_MAX = 500
"""Newest first; a longer history is told as such."""

_BATCHES = """
    SELECT b.id, b.instance = n.instance AS is_current, count(*) AS orders
    FROM batches b
    JOIN networks n ON n.name = b.network
    JOIN orders o ON o.batch_id = b.id
    WHERE b.network = $1 AND b.kind = 'payout' AND o.status = 'completed'
    GROUP BY b.id, n.instance
    ORDER BY b.id DESC
    LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Completed orders: whose batch stands, does not stand, or was on an instance that is gone."""

    verified: int = 0
    missing: int = 0
    on_lost_chain: int = 0


async def recheck(
    store: PostgresStore, ports: Ports, network: str, deployment: Deployment, rpc: RpcClient
) -> Recheck:
    """Compare the newest :data:`BATCHES_MAX` batches with the vault of ``deployment``."""
    rows = await store.pool.fetch(_BATCHES, network, BATCHES_MAX)
    current = [row for row in rows if row["is_current"]]
    roots = await _roots(rpc, deployment.vault, [row["id"] for row in current])
    verified = missing = 0
    for row, root in zip(current, roots, strict=True):
        orders = await store.in_batch(row["id"])
        call = batch_call(row["id"], orders[0].token.asset, orders)
        if root == ports.chains[network].batch_root(call):
            verified += row["orders"]
        else:
            missing += row["orders"]
    lost = sum(row["orders"] for row in rows if not row["is_current"])
    return Recheck(verified, missing, lost)


async def _roots(rpc: RpcClient, vault_address: str, batch_ids: Sequence[int]) -> list[Any]:
    """The root that the vault holds for each batch; raises when the node gives no answer."""
    calls = [
        (
            "eth_call",
            ({"to": vault_address, "data": "0x" + vault.batch_root_data(number).hex()}, "latest"),
        )
        for number in batch_ids
    ]
    answers = await rpc.batch(calls)
    for answer in answers:
        if isinstance(answer, ChainError):
            raise answer
    return answers
