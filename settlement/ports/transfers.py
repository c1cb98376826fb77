"""Who paid whom on a chain, block by block: what a screening's transfer graph is fed from.

Blocks carry their own and their parent's hash, so that whoever follows the chain notices that a
block it has read is no longer part of it, and takes it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from settlement.ids import TxRef

NATIVE_POSITION = -1
"""Stands for a log's index where a transfer is the transaction's own value."""


@dataclass(frozen=True, slots=True)
class ChainTransfer:
    """``amount_minor`` of ``asset`` (its code) from ``src`` to ``dst`` (normal forms).

    ``position`` is the index of the log in its block, or :data:`NATIVE_POSITION`: with ``tx`` it
    names the transfer once and for all.
    """

    tx: TxRef
    position: int
    asset: str
    scale: int
    src: str
    dst: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class TransferBlock:
    """One block's transfers of listed assets. ``time_s`` in seconds since 1970."""

    number: int
    hash: str
    parent_hash: str
    time_s: int
    transfers: tuple[ChainTransfer, ...]


class TransferFeed(Protocol):
    """Methods raise kinds of :class:`~settlement.errors.ChainError`; asking again is harmless."""

    network: str

    async def heights(self) -> tuple[int, int]:
        """The newest block's number, and the number of the newest that is final."""
        ...

    async def blocks(self, first: int, last: int) -> Sequence[TransferBlock]:
        """Every block from ``first`` to ``last``, both included, in order and each one's parent
        the one before: a reorganisation under way raises instead."""
        ...
