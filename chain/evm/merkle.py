"""The Merkle root that a batch leaves on-chain, from which each order's receipt can be proven.

Leaves are hashed twice and pairs are hashed in sorted order, the form that OpenZeppelin's
``MerkleProof`` verifies (https://docs.openzeppelin.com/contracts/5.x/api/utils#MerkleProof): a
leaf can then never be passed off as an inner node. A leaf names its row, since the vault records
by row who was skipped: a skipped order's receipt must not pass as another row's.
"""

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from settlement.ports.chain import Payout

_LEAF = ["uint256", "bytes32", "address", "address", "uint256"]


def leaf(index: int, payout: Payout, asset: str) -> bytes:
    """``keccak(keccak(abi.encode(index, keccak(order id), recipient, asset, amount)))``, 32 bytes.

    ``asset`` is the token's address, or the zero address for the native coin.
    """
    fields = (index, order_hash(payout.order_id), payout.wallet, asset, payout.amount_minor)
    return keccak(keccak(encode(_LEAF, fields)))


def order_hash(order_id: str) -> bytes:
    """How a leaf names an order, 32 bytes."""
    return keccak(text=order_id)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over sorted leaves; an odd one out rises unpaired. One leaf is its own root."""
    return _levels(leaves)[-1][0]


def proof(leaves: Sequence[bytes], leaf_: bytes) -> list[bytes]:
    """The siblings from ``leaf_`` up, as ``verifyReceipt`` takes them; empty for a single leaf.

    Raises :class:`ValueError` when the leaf is not among ``leaves``.
    """
    levels = _levels(leaves)
    position = levels[0].index(leaf_)
    siblings = []
    for level in levels[:-1]:
        if position ^ 1 < len(level):
            siblings.append(level[position ^ 1])
        position //= 2
    return siblings


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """From the sorted leaves up to the root alone."""
    levels = [sorted(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([_pair(below[i : i + 2]) for i in range(0, len(below), 2)])
    return levels


def _pair(nodes: Sequence[bytes]) -> bytes:
    return nodes[0] if len(nodes) == 1 else keccak(b"".join(sorted(nodes)))
