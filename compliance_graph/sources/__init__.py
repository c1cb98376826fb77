"""Where transfers come from, each brought into one form: rows that know what they are.

Rows of different sources meet in one graph, so a transfer has a key that is the same from whatever
source it came: network, transaction, asset, both ends, amount, and which of several equal transfers
of that transaction it is. Not every source tells the index of a log.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from compliance_graph.lists import normal_form
from settlement.ports.transfers import ChainTransfer, TransferBlock


@dataclass(frozen=True, slots=True)
class Arrival:
    """One transfer on its way into the graph. ``amount`` in whole units, ``time_s`` since 1970.

    ``block`` is the file's row where a source has no blocks.
    """

    key: bytes
    block: int
    tx: str
    asset: str
    src: str
    dst: str
    amount: float
    count: int
    time_s: int


def transfer_key(
    network: str, tx: str, asset: str, src: str, dst: str, amount: float, ordinal: int
) -> bytes:
    """16 bytes. ``ordinal`` counts equal transfers of one transaction from 0."""
    text = "|".join((network, tx, asset, src, dst, repr(amount), str(ordinal)))
    return blake2b(text.encode(), digest_size=16).digest()


def arrivals(network: str, blocks: Iterable[TransferBlock]) -> Iterator[Arrival]:
    """The blocks' transfers, in order. One that a node tells twice counts once."""
    for block in blocks:
        told: set[tuple[str, int]] = set()
        equal: Counter[tuple[str, str, str, str, int]] = Counter()
        for moved in block.transfers:
            if (moved.tx, moved.position) in told:
                continue
            told.add((moved.tx, moved.position))
            same = (moved.tx, moved.asset, moved.src, moved.dst, moved.amount_minor)
            yield _arrival(network, block, moved, equal[same])
            equal[same] += 1


def _arrival(network: str, block: TransferBlock, moved: ChainTransfer, ordinal: int) -> Arrival:
    src, dst = normal_form(moved.src), normal_form(moved.dst)
    amount = moved.amount_minor / 10**moved.scale
    tx = moved.tx.lower()
    key = transfer_key(network, tx, moved.asset, src, dst, amount, ordinal)
    return Arrival(key, block.number, tx, moved.asset, src, dst, amount, 1, block.time_s)
