"""Receipts over the wire: nothing in one that its reader cannot check, but the network's name."""

from typing import Annotated

from msgspec import Meta, Struct

from settlement.receipt import RECEIPT_VERSION, PaidBatch, PayoutProof, ReceiptFacts

Hash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]


class FinalityView(Struct, kw_only=True):
    """Which block decides: the node's `finalized` tag, or one so many blocks below the head."""

    rule: Annotated[str, Meta(description="`finalized` or `depth`.")]
    depth_blocks: int | None


class ReceiptView(Struct, kw_only=True):
    """Proof that an order was paid. `scripts/verify-receipt` checks it against any node.

    The leaf is `keccak(keccak(abi.encode(index, order_hash, recipient, asset_address,
    amount_minor)))`; pairs are hashed in sorted order up to `root`, which the vault holds under
    `batch_id`.
    """

    object: str = "receipt"
    version: int = RECEIPT_VERSION
    order_id: str
    order_hash: Annotated[Hash, Meta(description="keccak-256 of `order_id`.")]
    network: str
    chain_id: int
    vault: str
    batch_id: str
    root: Hash
    index: Annotated[int, Meta(description="The order's row in the batch, from zero.")]
    recipient: str
    asset_address: Annotated[
        str, Meta(description="The token's contract; zero is the chain's own coin.")
    ]
    amount_minor: str
    proof: Annotated[list[Hash], Meta(description="Siblings from the leaf up.")]
    transaction: Hash
    block_number: int
    block_hash: Hash
    finality: FinalityView


class TransferReceiptView(Struct, kw_only=True):
    """Proof that an order of native coin was paid by a plain transfer of its own.

    The transaction's data are `batch_id` (8 bytes) and `root` (32 bytes), which is the leaf of a
    batch whose only row, with index 0, is the order: see `receipt`. `scripts/verify-receipt` checks
    it against any node. That `sender` pays for the bridge is not on the chain.
    """

    object: str = "transfer_receipt"
    version: int = RECEIPT_VERSION
    order_id: str
    order_hash: Annotated[Hash, Meta(description="keccak-256 of `order_id`.")]
    network: str
    chain_id: int
    sender: Annotated[str, Meta(description="The bridge's signing account.")]
    batch_id: str
    root: Hash
    recipient: str
    asset_address: Annotated[str, Meta(description="Zero: the chain's own coin.")]
    amount_minor: str
    transaction: Hash
    block_number: int
    block_hash: Hash
    finality: FinalityView


def receipt_view(
    batch: PaidBatch,
    vault: str,
    asset_address: str,
    index: int,
    proof: PayoutProof,
    facts: ReceiptFacts,
) -> ReceiptView:
    payout = batch.payouts[index]
    return ReceiptView(
        order_id=payout.order_id,
        order_hash=proof.order_hash,
        network=batch.network,
        chain_id=facts.chain_id,
        vault=vault,
        batch_id=str(batch.batch_id),
        root=batch.root,
        index=index,
        recipient=payout.wallet,
        asset_address=asset_address,
        amount_minor=str(payout.amount_minor),
        proof=list(proof.siblings),
        transaction=batch.transaction,
        block_number=batch.block_number,
        block_hash=batch.block_hash,
        finality=_finality(facts),
    )


def transfer_receipt_view(
    batch: PaidBatch, asset_address: str, proof: PayoutProof, facts: ReceiptFacts
) -> TransferReceiptView:
    [payout] = batch.payouts
    return TransferReceiptView(
        order_id=payout.order_id,
        order_hash=proof.order_hash,
        network=batch.network,
        chain_id=facts.chain_id,
        sender=batch.sender,
        batch_id=str(batch.batch_id),
        root=batch.root,
        recipient=payout.wallet,
        asset_address=asset_address,
        amount_minor=str(payout.amount_minor),
        transaction=batch.transaction,
        block_number=batch.block_number,
        block_hash=batch.block_hash,
        finality=_finality(facts),
    )


def _finality(facts: ReceiptFacts) -> FinalityView:
    depth = facts.finality_depth_blocks
    return FinalityView(rule="finalized" if depth is None else "depth", depth_blocks=depth)
