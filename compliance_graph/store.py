"""The graph in PostgreSQL: every transfer once, and how far each source has been read.

Whoever writes holds one advisory lock until the commit, so that numbers of accounts have no gaps
and ids of transfers become visible in their order: a reader that remembers the last id has missed
nothing. Rows travel by COPY; reading a million of them back takes about a second.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Transfers
from compliance_graph.sources import Arrival
from settlement.errors import TidegateError

_LOCK = 7_310_384_602  # any number that nobody else in this database uses

_ARRIVING = """
    CREATE TEMP TABLE arriving (
        at BIGINT, key BYTEA, block BIGINT, tx TEXT, asset TEXT, src TEXT, dst TEXT,
        amount DOUBLE PRECISION, count INTEGER, time_s BIGINT
    ) ON COMMIT DROP
"""
_NUMBER = """
    INSERT INTO graph_nodes (id, address)
    SELECT (SELECT coalesce(max(id), -1) FROM graph_nodes) + row_number() OVER (ORDER BY first),
           address
    FROM (
        SELECT address, min(at) AS first
        FROM (SELECT src AS address, 2 * at AS at FROM arriving
              UNION ALL SELECT dst, 2 * at + 1 FROM arriving) AS ends
        GROUP BY address
    ) AS fresh
    WHERE NOT EXISTS (SELECT FROM graph_nodes n WHERE n.address = fresh.address)
"""
_KEEP = """
    INSERT INTO graph_transfers
        (key, source_id, block, tx, asset, src, dst, amount, count, time_s)
    SELECT a.key, $1, a.block, a.tx, a.asset, s.id, d.id, a.amount, a.count, a.time_s
    FROM arriving a
    JOIN graph_nodes s ON s.address = a.src
    JOIN graph_nodes d ON d.address = a.dst
    ORDER BY a.at
    ON CONFLICT (key) DO NOTHING
"""
_ADVANCE = """
    UPDATE graph_sources
    SET next_block = $3, final_block = greatest(final_block, $4), target_block = $5,
        last_time_s = greatest(last_time_s, $6), transfers = transfers + $7, complete = $8,
        block_time_s = $9, updated_at = now()
    WHERE id = $1 AND next_block = $2
    RETURNING id
"""
_READ = """
    SELECT t.id, t.src, t.dst, t.amount * w.worth, t.count, t.time_s
    FROM graph_transfers t
    JOIN unnest($2::text[], $3::float8[]) AS w (asset, worth) ON w.asset = t.asset
    WHERE t.id > $1 AND t.id <= $4 ORDER BY t.id
"""
# OFFSET 0 keeps the planner from walking all ids upwards in search of one that is not final.
_LAST_IDS = """
    SELECT coalesce(newest, 0) AS newest, coalesce(unsettled - 1, newest, 0) AS settled
    FROM (SELECT max(id) AS newest FROM graph_transfers) AS every, (
        SELECT min(late.id) AS unsettled
        FROM graph_sources s CROSS JOIN LATERAL (
            SELECT t.id FROM graph_transfers t
            WHERE t.source_id = s.id AND t.block > s.final_block OFFSET 0
        ) AS late
    ) AS open
"""
_ROW = np.dtype(
    [("fields", ">i2")]
    + [
        part
        for name, kind in (
            ("id", ">i8"),
            ("src", ">i8"),
            ("dst", ">i8"),
            ("amount", ">f8"),
            ("count", ">i4"),
            ("time_s", ">i8"),
        )
        for part in ((f"{name}_size", ">i4"), (name, kind))
    ]
)
"""One row of PostgreSQL's binary COPY: https://www.postgresql.org/docs/current/sql-copy.html."""
_FOR_EVER = 2**62
_HEADER_BYTES, _TRAILER_BYTES = 19, 2


class OutOfStep(TidegateError):
    """Somebody else has read this source further meanwhile; read its state again."""

    code = "out_of_step"


class FinalTakenBack(TidegateError):
    """The chain contradicts what it called final: a person has to look."""

    code = "final_taken_back"


@dataclass(frozen=True, slots=True)
class Source:
    """See :class:`compliance_graph.schema.GraphSource`."""

    id: int
    name: str
    kind: str
    network: str
    next_block: int
    final_block: int
    target_block: int
    last_time_s: int | None
    transfers: int
    rewinds: int
    complete: bool
    updated_at: datetime
    block_time_s: int | None


@dataclass(frozen=True, slots=True)
class Read:
    """Transfers as numbers, worth in the policy's unit; ``ids`` (rows,) ascend."""

    ids: npt.NDArray[np.int64]
    rows: Transfers


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source has been read with what is being added: the next block (or row) to read,
    the last one that is final, the last one there is; ``hashes`` of blocks that are not final;
    ``block_time_s`` is the last block's own time."""

    next_block: int
    final_block: int
    target_block: int
    complete: bool = False
    hashes: Sequence[tuple[int, str]] = ()
    block_time_s: int | None = None


class GraphStore:
    """``pool`` is an asyncpg pool on a migrated database."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def source(self, name: str, kind: str, network: str, first_block: int = 0) -> Source:
        """The source of that name, made if there is none."""
        await self._pool.execute(
            "INSERT INTO graph_sources (name, kind, network, next_block) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (name) DO NOTHING",
            *(name, kind, network, first_block),
        )
        row = await self._pool.fetchrow("SELECT * FROM graph_sources WHERE name = $1", name)
        return Source(**row)

    async def sources(self) -> list[Source]:
        rows = await self._pool.fetch("SELECT * FROM graph_sources ORDER BY id")
        return [Source(**row) for row in rows]

    async def append(self, source: Source, arrivals: Sequence[Arrival], progress: Progress) -> int:
        """Keep what is new and note the progress, in one transaction; returns how many were new.

        Raises :class:`OutOfStep` when ``source`` is no longer as it was read.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            fresh = await _keep(connection, source.id, arrivals)
            moved = await connection.fetchval(
                _ADVANCE,
                *(source.id, source.next_block, progress.next_block, progress.final_block),
                *(progress.target_block, max((a.time_s for a in arrivals), default=None)),
                *(fresh, progress.complete, progress.block_time_s),
            )
            if moved is None:
                raise OutOfStep(source.name)
            await self._note_hashes(connection, source.id, progress)
        return fresh

    async def merge(self, source: Source, arrivals: Sequence[Arrival]) -> int:
        """Keep what is new of a source that is asked here and there and tells only what is final.
        Returns how many were new."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            fresh = await _keep(connection, source.id, arrivals)
            await connection.execute(
                "UPDATE graph_sources SET final_block = $2, transfers = transfers + $3, "
                "last_time_s = greatest(last_time_s, $4), updated_at = now() WHERE id = $1",
                *(source.id, _FOR_EVER, fresh, max((a.time_s for a in arrivals), default=None)),
            )
        return fresh

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether nobody else follows chains; if so, nobody will for the length of the block."""
        async with self._pool.acquire() as connection:
            taken = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK + 1)
            try:
                yield bool(taken)
            finally:
                if taken:
                    await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK + 1)

    async def _note_hashes(self, connection: Any, source_id: int, progress: Progress) -> None:
        await connection.executemany(
            "INSERT INTO graph_blocks (source_id, number, hash) VALUES ($1, $2, $3)",
            [(source_id, number, digest) for number, digest in progress.hashes],
        )
        await connection.execute(
            "DELETE FROM graph_blocks WHERE source_id = $1 AND number < $2",
            *(source_id, min(progress.final_block, progress.next_block - 1)),
        )

    async def block_hash(self, source: Source, number: int) -> str | None:
        """The hash under which that block was read; ``None`` where it is not remembered."""
        digest: str | None = await self._pool.fetchval(
            "SELECT hash FROM graph_blocks WHERE source_id = $1 AND number = $2",
            *(source.id, number),
        )
        return digest

    async def looked_at(self, source: Source) -> None:
        """There was nothing new: it is as fresh as if there had been. Written once a minute."""
        await self._pool.execute(
            "UPDATE graph_sources SET updated_at = now() "
            "WHERE id = $1 AND updated_at < now() - interval '1 minute'",
            source.id,
        )

    async def rewind(self, source: Source, last_block: int) -> int:
        """Forget what was read above that block; returns how many transfers went.

        Raises :class:`OutOfStep` when ``source`` is no longer as it was read, and
        :class:`FinalTakenBack` for a block that was final: snapshots hold it.
        """
        if last_block < source.final_block:
            raise FinalTakenBack(f"{source.name}: block {last_block + 1} was final")
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            done = await connection.execute(
                "DELETE FROM graph_transfers WHERE source_id = $1 AND block > $2",
                *(source.id, last_block),
            )
            gone = int(done.split()[-1])
            await connection.execute(
                "DELETE FROM graph_blocks WHERE source_id = $1 AND number > $2",
                *(source.id, last_block),
            )
            moved = await connection.fetchval(
                "UPDATE graph_sources SET next_block = $3, transfers = transfers - $4, "
                "rewinds = rewinds + 1, updated_at = now() "
                "WHERE id = $1 AND next_block = $2 RETURNING id",
                *(source.id, source.next_block, last_block + 1, gone),
            )
            if moved is None:
                raise OutOfStep(source.name)
        return gone

    async def names(self, first: int) -> list[str]:
        """Addresses of the accounts from that number on, in order."""
        rows = await self._pool.fetch(
            "SELECT address FROM graph_nodes WHERE id >= $1 ORDER BY id", first
        )
        return [row[0] for row in rows]

    async def read(self, after_id: int, last_id: int, worth: Mapping[str, float]) -> Read:
        """Transfers with ``after_id < id <= last_id`` of the assets that are worth something."""
        out = BytesIO()
        async with self._pool.acquire() as connection:
            await connection.copy_from_query(
                *(_READ, after_id, list(worth), list(worth.values()), last_id),
                output=out,
                format="binary",
            )
        content = out.getbuffer()[_HEADER_BYTES:-_TRAILER_BYTES]
        table = np.frombuffer(content, dtype=_ROW)
        ints = {c: table[c].astype(np.int64) for c in ("id", "src", "dst", "count", "time_s")}
        rows = Transfers(
            ints["src"],
            ints["dst"],
            table["amount"].astype(np.float64),
            ints["count"],
            ints["time_s"],
        )
        return Read(ints["id"], rows)

    async def last_ids(self) -> tuple[int, int]:
        """The newest transfer's id, and the last below which every transfer is final."""
        row = await self._pool.fetchrow(_LAST_IDS)
        return int(row["newest"]), int(row["settled"])

    async def anchor(self, transfer_id: int) -> str:
        """What tells this database from another: the key of the transfer with that id, in hex."""
        key = await self._pool.fetchval(
            "SELECT key FROM graph_transfers WHERE id = $1", transfer_id
        )
        return "" if key is None else key.hex()


async def _keep(connection: Any, source_id: int, arrivals: Sequence[Arrival]) -> int:
    """How many were new."""
    if not arrivals:
        return 0
    await connection.execute(_ARRIVING)
    records = [(at, *_fields(arrival)) for at, arrival in enumerate(arrivals)]
    await connection.copy_records_to_table("arriving", records=records)
    await connection.execute("ANALYZE arriving")
    await connection.execute(_NUMBER)
    return int((await connection.execute(_KEEP, source_id)).split()[-1])


def _fields(arrival: Arrival) -> tuple[Any, ...]:
    a = arrival
    return (a.key, a.block, a.tx, a.asset, a.src, a.dst, a.amount, a.count, a.time_s)
