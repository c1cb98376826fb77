"""Following a chain's head: new blocks in, and out again when the chain takes them back.

Each step reads some blocks and stores them with the progress in one transaction. A block whose
parent is not the block that was read before it shows a reorganisation: what the chain no longer has
is forgotten first, back to the last block that both agree on.
"""

from collections.abc import Callable

from compliance_graph.sources import arrivals
from compliance_graph.store import GraphStore, OutOfStep, Progress, Source
from settlement.ports.transfers import TransferFeed

BLOCKS_AT_ONCE = 200
KIND = "chain"

Told = Callable[[Source], None]


async def follow(
    store: GraphStore, feed: TransferFeed, first_block: int = 0, told: Told = lambda _: None
) -> Source:
    """Read up to the newest block; ``told`` hears of every step. Returns the source as it is then.

    ``first_block`` counts for a source that is new. Raises kinds of
    :class:`~settlement.errors.ChainError`, and :class:`~compliance_graph.store.FinalTakenBack`.
    """
    name = f"chain:{feed.network}"
    source = await store.source(name, KIND, feed.network, first_block)
    newest, final = await feed.heights()
    while True:
        try:
            if await _agrees(store, feed, source, newest):
                if source.next_block > newest:
                    await store.looked_at(source)
                    return source
                await _read(store, feed, source, newest, final)
            else:
                await store.rewind(source, await _common(store, feed, source, newest))
        except OutOfStep:
            return await store.source(name, KIND, feed.network)  # somebody else is at it
        source = await store.source(name, KIND, feed.network)
        told(source)


async def _agrees(store: GraphStore, feed: TransferFeed, source: Source, newest: int) -> bool:
    """Whether the last block that was read is still part of the chain."""
    last = source.next_block - 1
    known = await store.block_hash(source, last)
    if known is None:
        return True
    if last > newest:
        return False
    [block] = await feed.blocks(last, last)
    return block.hash == known


async def _common(store: GraphStore, feed: TransferFeed, source: Source, newest: int) -> int:
    """The last block that was read and that the chain still has."""
    number = min(source.next_block - 1, newest)
    while (known := await store.block_hash(source, number)) is not None:
        [block] = await feed.blocks(number, number)
        if block.hash == known:
            break
        number -= 1
    return number


async def _read(
    store: GraphStore, feed: TransferFeed, source: Source, newest: int, final: int
) -> None:
    last = min(source.next_block + BLOCKS_AT_ONCE - 1, newest)
    blocks = await feed.blocks(source.next_block, last)
    hashes = [(b.number, b.hash) for b in blocks if b.number >= min(final, last)]
    progress = Progress(
        *(last + 1, min(final, last), newest),
        complete=last == newest,
        hashes=hashes,
        block_time_s=blocks[-1].time_s,
    )
    await store.append(source, list(arrivals(feed.network, blocks)), progress)
