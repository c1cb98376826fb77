"""Proofs for receipts, from the rows of a batch alone: no node is asked."""

from chain.evm import merkle, vault
from chain.network import Network
from settlement.ports.chain import BatchCall
from settlement.receipt import PayoutProof, ReceiptFacts


def prove(call: BatchCall, asset: str, index: int) -> PayoutProof:
    """The proof of row ``index``, as ``verifyReceipt`` takes it."""
    leaves = [merkle.leaf(i, payout, asset) for i, payout in enumerate(call.payouts)]
    siblings = merkle.proof(leaves, leaves[index])
    return PayoutProof(
        order_hash="0x" + merkle.order_hash(call.payouts[index].order_id).hex(),
        root="0x" + merkle.root(leaves).hex(),
        siblings=tuple("0x" + sibling.hex() for sibling in siblings),
    )


def receipt_facts(network: Network) -> ReceiptFacts:
    """What every receipt of the network says."""
    return ReceiptFacts(network.chain_id, network.finality_depth_blocks, vault.NATIVE, prove)
