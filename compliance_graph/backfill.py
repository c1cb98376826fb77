"""Reading a source from where it was left: files here, chains in :mod:`compliance_graph.follow`.

Each step is one transaction with its progress in it, so that an interrupted reading goes on where
it was, and none is read twice.
"""

import asyncio
from collections.abc import Callable

from compliance_graph.sources.files import TransferFile
from compliance_graph.store import GraphStore, Progress, Source

Told = Callable[[Source], None]


async def read_file(store: GraphStore, file: TransferFile, told: Told = lambda _: None) -> Source:
    """Bring the whole file in; ``told`` hears of every step. Returns the source as it is then.

    Raises :class:`~compliance_graph.sources.files.SourceError`; what was read before stays.
    """
    name = await asyncio.to_thread(lambda: file.name)
    source = await store.source(name, "file", file.network)
    chunks = file.chunks(source.next_block)
    while not source.complete:
        chunk = await asyncio.to_thread(next, chunks, None)
        after = source.next_block + len(chunk or ())
        progress = Progress(after, after - 1, -1, complete=chunk is None)
        await store.append(source, chunk or (), progress)
        source = await store.source(name, "file", file.network)
        told(source)
    return source
