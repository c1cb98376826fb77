"""The Merkle root that a batch leaves on-chain, from which each order's receipt can be proven.

Leaves are hashed twice and pairs are hashed in sorted order, the form that OpenZeppelin's
``MerkleProof`` verifies (https://docs.openzeppelin.com/contracts/5.x/api/utils#MerkleProof): a
leaf can then never be passed off as an inner node. A leaf names its row, since the vault records
by row who was skipped: a skipped order's receipt must not pass as another row's.
"""

from collections.abc import Sequence
from functools import lru_cache

from eth_hash.backends import pysha3
from eth_hash.main import Keccak256

from settlement.ports.chain import Payout

# Several times quicker than the one that is chosen by itself, and a batch needs a thousand hashes.
keccak = Keccak256(pysha3.backend)


@lru_cache(maxsize=64)
def batch_root(payouts: tuple[Payout, ...], asset: str) -> bytes:
    """The root over the leaves of ``payouts``, 32 bytes.

    Kept for equal payouts, since one batch asks for it when it is planned, tried, checked and
    signed, and hashing costs more than all else that a payout needs.
    """
    return root([leaf(index, payout, asset) for index, payout in enumerate(payouts)])


def leaf(index: int, payout: Payout, asset: str) -> bytes:
    """``keccak(keccak(abi.encode(index, keccak(order id), recipient, asset, amount)))``, 32 bytes.

    ``asset`` is the token's address, or the zero address for the native coin.
    """
    words = (_word(index), order_hash(payout.order_id), _address(payout.wallet), _address(asset))
    return bytes(keccak(keccak(b"".join((*words, _word(payout.amount_minor))))))


def order_hash(order_id: str) -> bytes:
    """How a leaf names an order, 32 bytes."""
    return bytes(keccak(order_id.encode()))


def _word(number: int) -> bytes:
    """``uint256`` as ``abi.encode`` writes it; by hand, since the general encoder takes longer
    than the hashing."""
    return number.to_bytes(32, "big")


def _address(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


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
    return nodes[0] if len(nodes) == 1 else bytes(keccak(b"".join(sorted(nodes))))
