"""What a receipt is: an order's row of a batch, and the proof that the vault's root holds it.

A receipt is computed from what was stored and checked against the root that went on-chain; whoever
holds it needs a node and nothing of ours (``scripts/verify-receipt``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from settlement.batch import BatchKind
from settlement.money import Asset
from settlement.ports.chain import BatchCall, Payout

RECEIPT_VERSION = 1
"""Of the published form. A field more or less is another version: readers refuse what they do not
know."""


@dataclass(frozen=True, slots=True)
class PayoutProof:
    """What the chain's own hashing makes of one row; all values ``0x`` hex of 32 bytes.

    ``siblings`` lead from the row's leaf up to ``root``.
    """

    order_hash: str
    root: str
    siblings: tuple[str, ...]


Prove = Callable[[BatchCall, str, int], PayoutProof]
"""(batch, asset's address, row) → proof, over all rows of the batch in their order."""


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What receipts of one network say beside the batch, and how they are proven.

    ``finality_depth_blocks`` is ``None`` where the node's ``finalized`` tag decides.
    ``native_address`` is how the vault names the chain's own coin.
    """

    chain_id: int
    finality_depth_blocks: int | None
    native_address: str
    prove: Prove


@dataclass(frozen=True, slots=True)
class PaidBatch:
    """A final batch with every row that it was made of, skipped ones included.

    ``vault`` is ``None`` when the chain that held the vault has been replaced. A ``kind`` of
    ``payout`` went through it, a ``single`` came from ``sender`` and says so in its own memo.
    """

    batch_id: int
    network: str
    asset: Asset
    vault: str | None
    root: str
    transaction: str
    block_number: int
    block_hash: str
    payouts: tuple[Payout, ...]
    sender: str
    kind: BatchKind = BatchKind.PAYOUT
