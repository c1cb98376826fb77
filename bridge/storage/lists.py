"""Address lists in SQL: taking a new version over, the officers' own lists, and reading all of it.

A version is one transaction: the entries that are new, an end for those that are gone, the line
that says so, and the audit row of whoever did it. The guard against an empty or a torn file
stands here too, beside the rows that it protects.
"""

import hashlib
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

import asyncpg

from bridge.storage.listing import listed
from bridge.storage.operations import append_audit_on
from bridge.storage.pages import Listing as PageOf
from bridge.storage.pages import Page
from bridge.storage.records import ListEntryRecord, ListVersionRecord
from settlement.errors import InvalidInput, NotFound, ScreeningUnavailable
from settlement.ids import TenantId
from settlement.ports.lists import (
    EVERYBODY,
    Action,
    Entry,
    Listing,
    ListState,
    Publication,
    Refreshed,
    StoredLists,
)

SHRINKS_BY_PERCENT_MAX = 20
SHRINKS_BY_MIN = 10
"""A refresh may always drop this many, and beyond that this part of the list."""

_Key = tuple[str, str]

_REVISION = "SELECT COALESCE(sum(version), 0)::bigint FROM address_lists"
_STATES = "SELECT * FROM address_lists ORDER BY tenant_id, name"
_STANDING = "SELECT * FROM list_entries WHERE removed_in IS NULL"
_OF_LIST = f"{_STANDING} AND tenant_id = $1 AND list = $2"
_LOCK = """
    INSERT INTO address_lists (tenant_id, name, version, digest, refreshed_at, entries)
    VALUES ($1, $2, 0, '', $3, 0)
    ON CONFLICT (tenant_id, name) DO UPDATE SET refreshed_at = EXCLUDED.refreshed_at
    RETURNING *
"""
_BEGIN = """
    INSERT INTO list_entries (tenant_id, list, address, asset, action, category, name, reference,
                              since, until, added_in)
    SELECT $1, $2, t.*, $11 FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::timestamptz[], $10::timestamptz[]) AS t
"""
_END = """
    UPDATE list_entries
    SET removed_in = $2, until = LEAST(until, GREATEST($3, COALESCE(since, $3)))
    WHERE id = ANY($1::bigint[])
"""
_STATE = """
    UPDATE address_lists SET version = $3, digest = $4, published_on = $5, entries = $6
    WHERE tenant_id = $1 AND name = $2
"""
_VERSION = """
    INSERT INTO list_versions (tenant_id, list, version, digest, format, published_on, entries,
                               added, removed, unreadable, actor, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_STANDING_ONE = f"{_OF_LIST} AND id = $3 FOR UPDATE"
_USED = """
    SELECT wallet FROM orders WHERE tenant_id = $1 AND customer = $2 AND status = 'completed'
    GROUP BY wallet ORDER BY max(created_at) DESC LIMIT 200
"""


class ListQueries:
    """Implements :class:`settlement.ports.lists.ListSource` and ``WalletHistory``."""

    pool: Any

    async def list_revision(self) -> int:
        try:
            return int(await self.pool.fetchval(_REVISION))
        except (OSError, asyncpg.PostgresError) as error:
            raise ScreeningUnavailable(f"the lists cannot be read: {error}") from error

    async def stored_lists(self) -> StoredLists:
        try:
            # One snapshot: entries of the versions that the states name.
            async with (
                self.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                revision = int(await connection.fetchval(_REVISION))
                states = [state_from(row) for row in await connection.fetch(_STATES)]
                entries = [_entry_from(row) for row in await connection.fetch(_STANDING)]
        except (OSError, asyncpg.PostgresError) as error:
            raise ScreeningUnavailable(f"the lists cannot be read: {error}") from error
        return StoredLists(revision, tuple(states), tuple(entries))

    async def used_wallets(self, tenant_id: TenantId, customer: str) -> Sequence[str]:
        rows = await self.pool.fetch(_USED, tenant_id, customer)
        return [row["wallet"] for row in rows]

    async def list_states(self, tenant_id: TenantId | None) -> list[ListState]:
        """Everybody's lists and the tenant's own; ``None``: all tenants'."""
        rows = await self.pool.fetch(_STATES)
        return [
            state_from(row)
            for row in rows
            if tenant_id is None or row["tenant_id"] in (EVERYBODY, tenant_id)
        ]

    async def list_entries(
        self,
        tenant_id: TenantId,
        name: str,
        page: Page,
        *,
        address: str | None = None,
        ended: bool = False,
    ) -> PageOf[ListEntryRecord]:
        """Newest first; ``ended``: with those that were delisted. The cursor is the entry's id."""
        where: list[tuple[str, Any]] = [("tenant_id = {}", tenant_id), ("list = {}", name)]
        if address is not None:
            hexadecimal = address[:2] in ("0x", "0X")  # stored without case, base58 exactly
            where.append(("address = {}", address.lower() if hexadecimal else address))
        if not ended:
            where.append(("(removed_in IS NULL) = {}", True))
        select = "SELECT * FROM list_entries"
        return await listed(self.pool, select, where, page, record_from, numeric_id=True)

    async def list_versions(
        self, tenant_id: TenantId, name: str, page: Page
    ) -> PageOf[ListVersionRecord]:
        where = [("tenant_id = {}", tenant_id), ("list = {}", name)]
        select, by = "SELECT * FROM list_versions", "version"
        return await listed(
            self.pool, select, where, page, _version_from, id_column=by, numeric_id=True
        )

    async def take_over(
        self,
        name: str,
        publication: Publication,
        actor: str,
        now: datetime,
        *,
        accept_shrinking: bool = False,
    ) -> Refreshed:
        """Make the publication the list's newest version, for everybody.

        Addresses that it no longer names are listed until ``now`` and no longer. The same content
        again changes nothing but the date of the look. Raises
        :class:`~settlement.errors.InvalidInput` for an empty one, one that allows (officers
        alone do), one that is older than the last, and for one that drops far more than a list
        loses in a day, addresses or vetoes, unless ``accept_shrinking``.
        """
        if not publication.entries:
            raise InvalidInput(f"the new version of {name} names nobody: refused")
        if any(entry.listing.action is Action.ALLOW for entry in publication.entries):
            raise InvalidInput(f"the new version of {name} allows; only officers do: refused")
        async with self.pool.acquire() as connection, connection.transaction():
            state = state_from(await connection.fetchrow(_LOCK, EVERYBODY, name, now))
            if state.digest == publication.digest:
                return Refreshed(state.version, 0, 0, state.entries)
            dates = (publication.published_on, state.published_on)
            if None not in dates and dates[0] < dates[1]:  # type: ignore[operator]
                raise InvalidInput(
                    f"{name} of {dates[0]} is older than that of {dates[1]}: refused"
                )
            rows = await connection.fetch(_OF_LIST, EVERYBODY, name)
            new = _one_each(publication.entries)
            old = {(row["address"], row["asset"]): row for row in rows}
            kept = {key for key, row in old.items() if _same(row, new.get(key))}
            if not accept_shrinking:
                _check_shrinking(name, "addresses", old.keys(), new.keys())
                before = {key for key, row in old.items() if row["action"] == Action.BLOCK}
                after = {key for key, e in new.items() if e.listing.action is Action.BLOCK}
                _check_shrinking(name, "vetoes", before, after)
            lost = len(old.keys() - new.keys())
            begun = [new[key] for key in new.keys() - kept]
            ended = [old[key]["id"] for key in old.keys() - kept]
            version = state.version + 1
            await _end(connection, ended, version, now)
            await _begin(connection, EVERYBODY, name, begun, version, now if old else None)
            done = Refreshed(version, len(new.keys() - old.keys()), lost, len(new))
            await _close_version(connection, EVERYBODY, name, done, publication, actor, now)
            return done


def _check_shrinking(name: str, what: str, before: Set[_Key], after: Set[_Key]) -> None:
    lost = len(before - after)
    if lost > max(SHRINKS_BY_MIN, len(before) * SHRINKS_BY_PERCENT_MAX // 100):
        raise InvalidInput(
            f"the new version of {name} drops {lost} of {len(before)} {what}: refused"
        )


def _one_each(entries: Sequence[Entry]) -> dict[_Key, Entry]:
    """Of several for one address of one asset a veto counts, else the last."""
    vetoes_last = sorted(entries, key=lambda entry: entry.listing.action is Action.BLOCK)
    return {(entry.address, entry.asset): entry for entry in vetoes_last}


async def add_own_on(
    connection: Any, tenant_id: TenantId, name: str, entry: Entry, actor: str, now: datetime
) -> int:
    """Write an address on a tenant's own list; returns the entry's id.

    Raises :class:`~settlement.errors.InvalidInput` when it stands there already.
    """
    state = state_from(await connection.fetchrow(_LOCK, tenant_id, name, now))
    version = state.version + 1
    rows = await connection.fetch(_OF_LIST, tenant_id, name)
    if any((row["address"], row["asset"]) == (entry.address, entry.asset) for row in rows):
        raise InvalidInput(f"{entry.address} is on {name} already", param="address")
    await _begin(connection, tenant_id, name, [entry], version, now)
    change = f"+{entry.address}:{entry.asset}:{entry.since}:{entry.until}"
    await _own_version(connection, tenant_id, state, change, len(rows) + 1, actor, now)
    found = await connection.fetchval(
        "SELECT max(id) FROM list_entries WHERE tenant_id = $1 AND list = $2", tenant_id, name
    )
    return int(found)


async def remove_own_on(
    connection: Any, tenant_id: TenantId, name: str, entry_id: int, actor: str, now: datetime
) -> str:
    """End an entry of a tenant's own list; returns its address. Raises ``NotFound``."""
    state = state_from(await connection.fetchrow(_LOCK, tenant_id, name, now))
    row = await connection.fetchrow(_STANDING_ONE, tenant_id, name, entry_id)
    if row is None:
        raise NotFound("no such entry on this list")
    await _end(connection, [entry_id], state.version + 1, now)
    change = f"-{row['address']}:{row['asset']}"
    await _own_version(connection, tenant_id, state, change, state.entries - 1, actor, now)
    return str(row["address"])


async def _own_version(
    connection: Any,
    tenant_id: TenantId,
    state: ListState,
    change: str,
    entries: int,
    actor: str,
    now: datetime,
) -> None:
    """The digest of a list that is written line by line seals its whole history."""
    digest = hashlib.sha256(f"{state.digest}\n{change}".encode()).hexdigest()
    added = 1 if change.startswith("+") else 0
    done = Refreshed(state.version + 1, added, 1 - added, entries)
    written = Publication("own", digest, ())
    await _close_version(connection, tenant_id, state.name, done, written, actor, now)


async def _begin(
    connection: Any,
    tenant_id: TenantId,
    name: str,
    entries: Sequence[Entry],
    version: int,
    since: datetime | None,
) -> None:
    columns = [
        [entry.address for entry in entries],
        [entry.asset for entry in entries],
        [entry.listing.action.value for entry in entries],
        [entry.listing.category for entry in entries],
        [entry.listing.name for entry in entries],
        [entry.listing.reference for entry in entries],
        [entry.since or since for entry in entries],
        [entry.until for entry in entries],
    ]
    await connection.execute(_BEGIN, tenant_id, name, *columns, version)


async def _end(connection: Any, ids: Sequence[int], version: int, now: datetime) -> None:
    await connection.execute(_END, list(ids), version, now)


async def _close_version(
    connection: Any,
    tenant_id: TenantId,
    name: str,
    done: Refreshed,
    publication: Publication,
    actor: str,
    now: datetime,
) -> None:
    facts = (publication.digest, publication.published_on)
    await connection.execute(_STATE, tenant_id, name, done.version, *facts, done.entries)
    await connection.execute(
        _VERSION,
        tenant_id,
        name,
        done.version,
        publication.digest,
        publication.format,
        publication.published_on,
        done.entries,
        done.added,
        done.removed,
        len(publication.unreadable),
        actor,
        now,
    )
    if publication.format != "own":  # those are written down as what the officer did
        counts = {"version": done.version, "added": done.added, "removed": done.removed}
        await append_audit_on(
            connection,
            actor=actor,
            action="list.refreshed",
            object_id=name,
            now=now,
            data={**counts, "digest": publication.digest},
        )


def _same(row: Any, entry: Entry | None) -> bool:
    return entry is not None and entry.listing == _listing(row)


def _listing(row: Any) -> Listing:
    facts = (row["category"], row["name"], row["reference"])
    return Listing(row["list"], Action(row["action"]), *facts)


def _entry_from(row: Any) -> Entry:
    span = (row["since"], row["until"])
    return Entry(row["address"], row["asset"], _listing(row), *span, row["tenant_id"])


def record_from(row: Any) -> ListEntryRecord:
    return ListEntryRecord(row["id"], _entry_from(row), row["added_in"], row["removed_in"])


def _version_from(row: Any) -> ListVersionRecord:
    return ListVersionRecord(
        list=row["list"],
        version=row["version"],
        digest=row["digest"],
        format=row["format"],
        published_on=row["published_on"],
        entries=row["entries"],
        added=row["added"],
        removed=row["removed"],
        unreadable=row["unreadable"],
        actor=row["actor"],
        at=row["at"],
    )


def state_from(row: Any) -> ListState:
    return ListState(
        name=row["name"],
        tenant_id=row["tenant_id"],
        version=row["version"],
        digest=row["digest"],
        published_on=row["published_on"],
        refreshed_at=row["refreshed_at"],
        entries=row["entries"],
    )
