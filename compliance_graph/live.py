"""The graph in memory, kept in step with PostgreSQL while it is being asked.

Settled transfers lie in a fixed graph that is mapped from a snapshot on disk; what came since is a
small delta above it. A look at the database costs what is new. When the delta has grown, a new
snapshot is built in a thread and takes the old one's place; nobody waits for it. After a
reorganisation the delta is read again: the snapshot holds only what is final.
"""

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np

from compliance_graph.addressbook import AddressBook
from compliance_graph.graph import GrowingGraph, TransferGraph, Transfers
from compliance_graph.store import GraphStore, Read, Source

COMPACT_ROWS = 50_000
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stand:
    """How far one source had been read when a verdict was given.

    ``last_block`` is -1 before the first; ``last_time_s`` the newest transfer's, seconds since
    1970; ``read_at_s`` when the source was last read; ``block_time_s`` the last block's own time.
    """

    source: str
    kind: str
    network: str
    last_block: int
    last_time_s: int | None
    transfers: int
    complete: bool
    read_at_s: int
    block_time_s: int | None


Coverage = tuple[Stand, ...]
_STAND = tuple(f.name for f in fields(Stand))
_INTERNAL = ["native coin sent on by contracts"]
_BLIND = {"chain": _INTERNAL, "indexer": _INTERNAL}


@dataclass(slots=True)
class Held:
    """What a screening reads. Replaced as a whole, never mended under a reader."""

    graph: GrowingGraph
    book: AddressBook
    base_id: int
    late_ids: list[int]


class LiveGraph:
    """``worth`` maps an asset's code to the worth of one whole unit; others are left out: tokens
    that anybody can print say nothing about anybody. ``folder`` keeps the snapshot."""

    def __init__(self, store: GraphStore, worth: Mapping[str, float], folder: Path | None) -> None:
        self._store = store
        self._worth = dict(worth)
        self._folder = folder
        self._rewinds = 0
        self._busy = asyncio.Lock()
        self.held = _empty()
        self.coverage: Coverage = ()
        self.is_ready = False

    @property
    def n_nodes(self) -> int:
        return max(len(self.held.book), self.held.graph.n_nodes)

    def number(self, address: str) -> int | None:
        """The account's number; ``None`` for one that no source has seen."""
        return self.held.book.number(address)

    def name(self, node: int) -> str:
        return self.held.book.name(node)

    def sent(self, node: int) -> Transfers:
        return self.held.graph.sent(node)

    def received(self, node: int) -> Transfers:
        return self.held.graph.received(node)

    async def refresh(self) -> int:
        """Take in what is new; returns how many transfers came. One at a time.

        Raises whatever the database raises; what is held stays as it was.
        """
        async with self._busy:
            if not self.is_ready:
                await self._open()
            sources = await self._store.sources()
            rewinds = sum(source.rewinds for source in sources)
            newest, settled = await self._store.last_ids()
            if rewinds != self._rewinds:
                self.held.graph.rewind(0)
                self.held.late_ids.clear()
            read = await self._store.read(self._last_id(), newest, self._worth)
            names = await self._store.names(len(self.held.book))
            self.held.book.extend(names)
            if self.held.base_id == 0 and len(read.ids) >= COMPACT_ROWS:
                await self._fold(read, settled)
            else:
                self.held.graph.append(read.rows)
                self.held.late_ids += read.ids.tolist()
            self._rewinds, self.coverage = rewinds, tuple(map(_stand, sources))
            self.is_ready = True
        return len(read.ids)

    async def compact(self, least_rows: int = COMPACT_ROWS) -> bool:
        """Fold what is settled into a new snapshot when the delta has grown; whether it did."""
        _, settled = await self._store.last_ids()
        async with self._busy:
            held = self.held
            if sum(1 for i in held.late_ids if i <= settled) < least_rows:
                return False
            late = Read(np.array(held.late_ids, dtype=np.int64), Transfers.of(held.graph.late))
            await self._fold(late, settled)
        return True

    def _last_id(self) -> int:
        return self.held.late_ids[-1] if self.held.late_ids else self.held.base_id

    async def _open(self) -> None:
        """Begin with the snapshot, if it is of this database."""
        found = await asyncio.to_thread(self._snapshot)
        if found is not None:
            held, anchor = found
            if await self._store.anchor(held.base_id) == anchor:
                self.held = held

    async def _fold(self, late: Read, settled: int) -> None:
        """What is settled of ``late`` becomes part of the fixed graph, the rest is the delta."""
        held = self.held
        count = int((late.ids <= settled).sum())
        if not count:
            held.graph.append(late.rows)
            held.late_ids += late.ids.tolist()
            return
        base_id = int(late.ids[count - 1])
        anchor = await self._store.anchor(base_id)
        self.held = await asyncio.to_thread(self._built, held, late, count, anchor)

    def _built(self, held: Held, late: Read, count: int, anchor: str) -> Held:
        base_id = int(late.ids[count - 1])
        rows = Transfers.join([held.graph.base.rows, late.rows.take(slice(0, count))])
        base = TransferGraph.build(rows, len(held.book))
        book = held.book.merged()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._saved(base, book, base_id, anchor)
                found = self._snapshot()
            if found is not None:
                base, book = found[0].graph.base, found[0].book
        graph = GrowingGraph(base)
        graph.append(late.rows.take(slice(count, None)))
        return Held(graph, book, base_id, late.ids[count:].tolist())

    def _saved(self, base: TransferGraph, book: AddressBook, base_id: int, anchor: str) -> None:
        """Written beside the old snapshot; the pointer is moved last, then the old one goes.

        Whoever has the old one mapped keeps it until it lets go.
        """
        assert self._folder is not None
        place = self._folder / f"snapshot-{base_id}-{os.getpid()}"
        base.save(place)
        book.save(place)
        about = {
            "format": FORMAT,
            "name": place.name,
            "base_id": base_id,
            "anchor": anchor,
            "worth": self._worth_digest(),
        }
        draft = self._folder / f"current-{os.getpid()}.tmp"
        draft.write_text(json.dumps(about))
        os.replace(draft, self._folder / "current.json")
        for old in self._folder.glob("snapshot-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def _snapshot(self) -> tuple[Held, str] | None:
        """The last snapshot and its anchor, unless it is torn, of other worths or not there."""
        if self._folder is None:
            return None
        try:
            about = json.loads((self._folder / "current.json").read_text())
            if about["format"] != FORMAT or about["worth"] != self._worth_digest():
                return None
            place = self._folder / str(about["name"])
            graph, book = GrowingGraph(TransferGraph.load(place)), AddressBook.load(place)
        except (OSError, ValueError, KeyError):
            return None
        return Held(graph, book, int(about["base_id"]), []), str(about["anchor"])

    def _worth_digest(self) -> str:
        return sha256(json.dumps(sorted(self._worth.items())).encode()).hexdigest()[:16]


def coverage_json(coverage: Coverage) -> list[dict[str, object]]:
    """For the verdict's record, with what each source cannot see."""
    return [
        {**{name: getattr(stand, name) for name in _STAND}, "misses": _BLIND.get(stand.kind, [])}
        for stand in coverage
    ]


def _empty() -> Held:
    book = AddressBook.of(())
    return Held(GrowingGraph(TransferGraph.build(Transfers.of(()))), book, 0, [])


def _stand(source: Source) -> Stand:
    return Stand(
        source.name,
        source.kind,
        source.network,
        source.next_block - 1,
        source.last_time_s,
        source.transfers,
        source.complete,
        int(source.updated_at.timestamp()),
        source.block_time_s,
    )
