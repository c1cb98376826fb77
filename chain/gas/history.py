"""A network's own blocks, as they come: what forecast, policy and training learn from.

Each look asks for what is missing and nothing else: one head, a gap, or on the first start the
last :data:`BACKFILL_BLOCKS`. A block is ours only if it stands on the one before it; where it does
not, the chain was reorganised, and what it left behind is forgotten. Only *when* to send depends
on all this, so one node's word is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chain.errors import UnclearAnswer
from chain.gas.recurrence import Block

BACKFILL_BLOCKS = 2_000
KEPT_BLOCKS = 100_000
REORG_BLOCKS = 64
TIP_PERCENTILES = (10, 25, 50, 75, 90)


@dataclass(frozen=True, slots=True)
class GasHeader:
    """What a block tells about its fees. ``tips_wei``: :data:`TIP_PERCENTILES` of what its
    transactions tipped, weighted by gas (``eth_feeHistory``); ``None`` where nobody says."""

    number: int
    hash: bytes
    parent: bytes
    time_s: int
    base_fee_wei: int
    gas_used: int
    gas_limit: int
    tips_wei: tuple[int, ...] | None = None

    @property
    def block(self) -> Block:
        return Block(self.base_fee_wei, self.gas_used, self.gas_limit)


@dataclass(frozen=True, slots=True)
class Newest:
    """The head, and the next block's base fee as the node computes it (``None``: not said)."""

    header: GasHeader
    next_fee_wei: int | None


class FeeSource(Protocol):
    """One network's node. Methods raise kinds of :class:`~settlement.errors.ChainError`."""

    async def newest(self) -> Newest: ...

    async def headers(self, first: int, last: int) -> Sequence[GasHeader]:
        """Blocks ``first`` to ``last``, both included, rising."""
        ...


class BlockStore(Protocol):
    """Where blocks are kept; ``chain.gas.store`` has the real one."""

    async def recent(self, network: str, limit: int) -> Sequence[GasHeader]:
        """The newest rows, rising, without their parents' hashes."""
        ...

    async def keep(
        self, network: str, rows: Sequence[GasHeader], *, forget_from: int | None = None
    ) -> None:
        """In one transaction: forget everything from that number on, if any, and keep ``rows``."""
        ...

    async def prune(self, network: str, keep: int) -> None: ...


@dataclass(frozen=True, slots=True)
class News:
    """What one look found: ``blocks`` are new, rising, and connected unless ``is_break``.

    ``is_break``: they do not continue what was known before (a reorganisation, or a gap too wide
    to fill): whoever follows must begin again from :meth:`History.known`.
    """

    blocks: tuple[GasHeader, ...] = ()
    is_break: bool = False
    next_fee_wei: int | None = None


class History:
    """One network's blocks, kept up to the head."""

    def __init__(
        self,
        network: str,
        source: FeeSource,
        store: BlockStore,
        *,
        backfill_blocks: int = BACKFILL_BLOCKS,
        kept_blocks: int = KEPT_BLOCKS,
    ) -> None:
        self.network = network
        self._source = source
        self._store = store
        self._backfill = backfill_blocks
        self._kept = kept_blocks
        self._tail: list[GasHeader] | None = None
        self._written = 0

    async def known(self, limit: int) -> list[GasHeader]:
        """The newest stored blocks without a gap between them, rising."""
        return unbroken(await self._store.recent(self.network, limit))

    async def look(self) -> News:
        """Ask the node once, fetch and keep what is new.

        Raises kinds of :class:`~settlement.errors.ChainError`; nothing was kept then.
        """
        if self._tail is None:
            self._tail = await self.known(REORG_BLOCKS)
        newest = await self._source.newest()
        head, tail = newest.header, self._tail
        if any(row.number == head.number and row.hash == head.hash for row in tail):
            is_head = tail[-1].number == head.number
            return News(next_fee_wei=newest.next_fee_wei if is_head else None)
        fresh, start = await self._missing(head, tail)
        is_break = not tail or start != tail[-1].number + 1
        await self._keep(start, fresh, is_reorg=bool(tail) and start <= tail[-1].number)
        return News(tuple(fresh), is_break, newest.next_fee_wei)

    async def _missing(
        self, head: GasHeader, tail: Sequence[GasHeader]
    ) -> tuple[list[GasHeader], int]:
        """The blocks to append, and the number from which they replace what was known."""
        lowest = max(head.number - self._backfill + 1, 0)
        if tail and lowest <= tail[-1].number < head.number:
            rows = await self._fetch(tail[-1].number + 1, head)
            if rows[0].parent == tail[-1].hash:
                return rows, rows[0].number
            return await self._reorganised(head, tail)
        if tail and head.number <= tail[-1].number:
            return await self._reorganised(head, tail)
        # Nothing yet, or a gap too wide: what is older stays, the gap is a gap.
        return await self._fetch(lowest, head), lowest

    async def _reorganised(
        self, head: GasHeader, tail: Sequence[GasHeader]
    ) -> tuple[list[GasHeader], int]:
        """Back to the newest block that both chains share; with none, this is another chain."""
        if head.number < tail[0].number and head.time_s <= tail[-1].time_s:
            raise UnclearAnswer(f"the node lags far behind block {tail[-1].number}")
        first = min(tail[0].number, head.number)
        rows = await self._fetch(first, head)
        ours = {row.number: row.hash for row in tail}
        shared = [row.number for row in rows if ours.get(row.number) == row.hash]
        if shared:
            return [row for row in rows if row.number > shared[-1]], shared[-1] + 1
        return await self._fetch(max(head.number - self._backfill + 1, 0), head), 0

    async def _fetch(self, first: int, head: GasHeader) -> list[GasHeader]:
        rows = []
        if first < head.number:
            rows = list(await self._source.headers(first, head.number - 1))
        rows.append(head)
        if unbroken(rows, linked=True) != rows:
            raise UnclearAnswer("the chain moved while its blocks were read")
        return rows

    async def _keep(self, start: int, rows: Sequence[GasHeader], *, is_reorg: bool) -> None:
        # Only then: another worker may be a block ahead of us.
        forget_from = start if is_reorg else None
        await self._store.keep(self.network, rows, forget_from=forget_from)
        before = [row for row in self._tail or () if row.number < start]
        self._tail = unbroken([*before, *rows])[-REORG_BLOCKS:]
        self._written += len(rows)
        if self._written >= 1_000:
            self._written = 0
            await self._store.prune(self.network, self._kept)


def unbroken(rows: Sequence[GasHeader], *, linked: bool = False) -> list[GasHeader]:
    """The longest end of ``rows`` with consecutive numbers (and, ``linked``, parents)."""
    start = len(rows) - 1
    while start > 0 and rows[start - 1].number + 1 == rows[start].number:
        if linked and rows[start - 1].hash != rows[start].parent:
            break
        start -= 1
    return list(rows[max(start, 0) :])
