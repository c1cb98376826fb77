"""Lists in versions: what a refresh may not do, and that nothing is ever forgotten."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest

from bridge.console.lists import fetch
from bridge.storage.lists import add_own_on, remove_own_on
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from compliance_graph.lists import Lists
from settlement.errors import InvalidInput, NotFound
from settlement.ports.lists import OWN_BLOCK, Action, Entry, Listing, Publication
from tests.support.builders import NOW

BLOCK = Listing("ofac", Action.BLOCK, "sanctions", "SOMEBODY", "36")
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def queries(postgres_store: PostgresStore) -> Queries:
    return Queries(postgres_store.pool)


def address(number: int) -> str:
    return f"0x{number:040x}"


def publication(*numbers: int, digest: str | None = None) -> Publication:
    entries = tuple(Entry(address(n), "ETH", BLOCK) for n in numbers)
    return Publication("SDN.XML", digest or f"digest {numbers}", entries)


async def test_an_empty_or_shrunken_version_replaces_nothing(queries: Queries) -> None:
    """Unless a person says that it is right."""
    await queries.take_over("ofac", publication(*range(100)), "console", NOW)
    for refused in (publication(), publication(*range(79))):
        with pytest.raises(InvalidInput):
            await queries.take_over("ofac", refused, "console", LATER)
    [state] = await queries.list_states(None)
    assert (state.version, state.entries, state.refreshed_at) == (1, 100, NOW)
    done = await queries.take_over(
        "ofac", publication(*range(79)), "console", LATER, accept_shrinking=True
    )
    assert (done.version, done.removed, done.entries) == (2, 21, 79)


async def test_a_version_that_lifts_vetoes_in_disguise_is_refused(queries: Queries) -> None:
    """By other actions, by a second line for the same address, by an older date."""
    dated = replace(publication(*range(100)), published_on=date(2026, 9, 23))
    await queries.take_over("ofac", dated, "console", NOW)

    def acting(action: Action, *numbers: int) -> tuple[Entry, ...]:
        listing = Listing("ofac", action, "sanctions", "SOMEBODY", "36")
        return tuple(Entry(address(n), "ETH", listing) for n in numbers)

    blocks = acting(Action.BLOCK, *range(100))
    softened = acting(Action.LABEL, *range(21)) + blocks[21:]
    allowing = (*blocks, *acting(Action.ALLOW, 200))
    for refused, why in (
        (Publication("csv", "1", softened), "21 of 100 vetoes"),
        (Publication("csv", "2", allowing), "only officers"),
        (Publication("csv", "3", blocks, published_on=date(2026, 9, 22)), "older"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await queries.take_over("ofac", refused, "console", LATER)
    twice = Publication("csv", "4", (*blocks, *acting(Action.REVIEW, *range(100))))
    await queries.take_over("ofac", twice, "console", LATER)
    book = await Lists([], queries).book()
    assert {one.action for one in book.of("local", address(5), LATER)} == {Action.BLOCK}


async def test_walks_over_the_audit_trail_leave_the_database_to_others(queries: Queries) -> None:
    """One at a time: as many as there are connections do not take them all."""
    async with queries.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit_heads IN ACCESS EXCLUSIVE MODE")
            walks = [asyncio.create_task(queries.verify_audit("ten_a")) for _ in range(40)]
            async with asyncio.timeout(5):
                await asyncio.gather(*(queries.list_revision() for _ in range(3)))
        assert {walk.broken for walk in await asyncio.gather(*walks)} == {None}


async def test_a_list_is_fetched_over_https_alone(tmp_path: Path) -> None:
    """Nothing is asked of anybody before."""
    with pytest.raises(InvalidInput, match="not HTTPS"):
        await fetch("http://lists.invalid/sdn.xml", tmp_path / "sdn.xml")


async def test_a_delisted_address_is_free_from_then_on_and_its_history_stays(
    queries: Queries,
) -> None:
    """Listed until the refresh that no longer names it; listed anew, it has two spans."""
    lists = Lists([], queries)
    await queries.take_over("ofac", publication(1, 2), "console", NOW)
    before = await lists.book()
    assert before.of("local", address(2), NOW) == (BLOCK,)
    await queries.take_over("ofac", publication(1), "console", LATER)
    after = await lists.book()
    assert after.of("local", address(2), LATER) == ()
    assert after.of("local", address(1), LATER) == (BLOCK,)
    assert after.versions() != before.versions()
    again = LATER + timedelta(hours=1)
    await queries.take_over("ofac", publication(1, 2, digest="new"), "console", again)
    history = await queries.list_entries("", "ofac", Page(), address=address(2), ended=True)
    spans = [(one.added_in, one.removed_in, one.entry.until) for one in history.rows]
    assert spans == [(3, None, None), (1, 2, LATER)]
    versions = await queries.list_versions("", "ofac", Page())
    assert [(v.version, v.added, v.removed) for v in versions.rows] == [
        (3, 1, 0),
        (2, 0, 1),
        (1, 2, 0),
    ]
    assert [row.action for row in (await queries.audit_log(None, Page())).rows] == [
        "list.refreshed"
    ] * 3


async def test_the_same_content_again_is_no_new_version(queries: Queries) -> None:
    """Only the date of the look moves; whose name changed is a new entry."""
    await queries.take_over("ofac", publication(1, 2), "console", NOW)
    done = await queries.take_over("ofac", publication(1, 2), "console", LATER)
    assert (done.version, done.added, done.removed) == (1, 0, 0)
    [state] = await queries.list_states(None)
    assert state.refreshed_at == LATER
    renamed = Listing("ofac", Action.BLOCK, "sanctions", "SOMEBODY ELSE", "36")
    changed = Publication("SDN.XML", "x", (Entry(address(1), "ETH", renamed),))
    await queries.take_over("ofac", changed, "console", LATER)
    history = await queries.list_entries("", "ofac", Page(), address=address(1), ended=True)
    assert [one.entry.listing.name for one in history.rows] == ["SOMEBODY ELSE", "SOMEBODY"]


async def test_an_own_list_is_written_entry_by_entry(queries: Queries) -> None:
    """Once per address, ended once; every change is a version that a verdict names."""
    lists, entry = Lists([], queries), Entry(address(7), "ETH", Listing(OWN_BLOCK, Action.BLOCK))
    await queries.take_over("ofac", publication(1), "console", NOW)
    async with queries.pool.acquire() as connection:
        entry_id = await add_own_on(connection, "ten_a", OWN_BLOCK, entry, "key_1", NOW)
        with pytest.raises(InvalidInput):
            await add_own_on(connection, "ten_a", OWN_BLOCK, entry, "key_1", NOW)
        first = (await lists.book()).versions("ten_a")
        assert (await lists.book()).of("local", address(7), NOW, "ten_a") != ()
        assert (await lists.book()).of("local", address(7), NOW, "ten_b") == ()
        with pytest.raises(NotFound):
            await remove_own_on(connection, "ten_b", OWN_BLOCK, entry_id, "key_2", LATER)
        await remove_own_on(connection, "ten_a", OWN_BLOCK, entry_id, "key_1", LATER)
        with pytest.raises(NotFound):
            await remove_own_on(connection, "ten_a", OWN_BLOCK, entry_id, "key_1", LATER)
    book = await lists.book()
    assert book.of("local", address(7), LATER, "ten_a") == ()
    assert book.versions("ten_a") != first


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM list_entries",
        "UPDATE list_entries SET address = 'x'",
        "UPDATE list_entries SET removed_in = NULL",
        "DELETE FROM list_versions",
        "UPDATE list_versions SET entries = 0",
    ],
)
async def test_what_was_listed_cannot_be_rewritten(queries: Queries, statement: str) -> None:
    """Entries end; they are not edited, and nobody begins to exist again."""
    await queries.take_over("ofac", publication(1, 2), "console", NOW)
    await queries.take_over("ofac", publication(1), "console", LATER)
    with pytest.raises(asyncpg.RestrictViolationError):
        await queries.pool.execute(statement)
