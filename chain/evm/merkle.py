"""The Merkle root that a batch leaves on-chain, from which each order's receipt can be proven.

Leaves are hashed twice and pairs are hashed in sorted order, the form that OpenZeppelin's
``MerkleProof`` verifies (https://docs.openzeppelin.com/contracts/5.x/api/utils#MerkleProof): a
leaf can then never be passed off as an inner node.
"""

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from settlement.ports.chain import Payout


def leaf(payout: Payout, token: str) -> bytes:
    """``keccak(keccak(abi.encode(keccak(order id), recipient, token, amount)))``, 32 bytes.

    ``token`` is the zero address for the native coin.
    """
    fields = (keccak(text=payout.order_id), payout.wallet, token, payout.amount_minor)
    return keccak(keccak(encode(["bytes32", "address", "address", "uint256"], fields)))


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over sorted leaves; an odd one out rises unpaired. One leaf is its own root."""
    level = sorted(leaves)
    while len(level) > 1:
        level = [_pair(level[i : i + 2]) for i in range(0, len(level), 2)]
    return level[0]


def _pair(nodes: Sequence[bytes]) -> bytes:
    return nodes[0] if len(nodes) == 1 else keccak(b"".join(sorted(nodes)))
