"""What is done at the console is done with its line in the audit trail, or not at all."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from bridge import administering
from bridge.api.auth import key_digest
from bridge.operating import Actor, Doing
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from bridge.storage.records import AuditRecord, KeyKind, Role
from bridge.storage.store import PostgresStore
from bridge.treasury.books import AuditedBooks
from bridge.treasury.funding import Funding, Goal
from bridge.treasury.holdings import Adoption
from settlement.errors import NotFound
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money
from settlement.ports.clock import SystemClock
from tests.support.builders import DUSD, NOW, Scene, provider_event

CONSOLE = Actor("console")
TABLES = ("tenants", "tenant_limits", "api_keys", "inbox", "ledger_entries", "audit_log")
HUNDRED = Money(100, DUSD)


class Office:
    """A database with a tenant, a key, a dead event, and money of the platform's."""

    def __init__(self, scene: Scene, key_id: str) -> None:
        self.scene = scene
        self.key_id = key_id
        self.queries = Queries(scene.store.pool)

    async def do(self, doing: Doing) -> bool:
        return await self.queries.perform(doing.deed, doing.work, NOW) is not None

    async def rows(self) -> list[Any]:
        pool = self.scene.store.pool
        return [await pool.fetch(f"SELECT * FROM {name} ORDER BY 1, 2") for name in TABLES]

    async def trail(self) -> list[AuditRecord]:
        return (await self.queries.audit_log(None, Page())).rows


@pytest.fixture
async def office(postgres_store: PostgresStore) -> Office:
    scene = Scene(postgres_store)
    queries = Queries(postgres_store.pool)
    await queries.create_tenant("Shop", livemode=False, limits={}, now=NOW, tenant_id=scene.tenant)
    shown = {"prefix": "tg_sk_test_", "last4": "last", "kind": KeyKind.SECRET, "role": Role.ADMIN}
    key = await queries.create_key(scene.tenant, key_hash=key_digest("old"), now=NOW, **shown)  # type: ignore[arg-type]
    await postgres_store.receive([provider_event("evt_1")], NOW)
    await postgres_store.defer_inbox("evt_1", NOW, error="boom", dead=True)
    booking = journal.treasury_funded(HUNDRED, Account.VAULT)
    await postgres_store.book(PLATFORM, "advanced", booking, NOW)
    return Office(scene, key.id)


@pytest.fixture
async def mute(postgres_store: PostgresStore) -> AsyncIterator[None]:
    """A trail that takes no line."""
    alter = "ALTER TABLE audit_log"
    await postgres_store.pool.execute(f"{alter} ADD CONSTRAINT mute CHECK (false) NOT VALID")
    yield
    await postgres_store.pool.execute(f"{alter} DROP CONSTRAINT mute")


def a_tenant(_office: Office) -> Doing:
    return administering.create_tenant(CONSOLE, "New", livemode=False, limits={}, now=NOW)


def a_key(office: Office) -> Doing:
    access = {"kind": KeyKind.SECRET, "role": Role.OPERATOR}
    return administering.create_key(CONSOLE, office.scene.tenant, "a token", now=NOW, **access)  # type: ignore[arg-type]


def a_revocation(office: Office) -> Doing:
    return administering.revoke_key(CONSOLE, office.scene.tenant, office.key_id, NOW)


def a_replay(_office: Office) -> Doing:
    return administering.replay_inbox(CONSOLE, ["evt_1", "evt_unknown"], NOW)


def an_assignment(office: Office) -> Doing:
    return administering.assign_advances(CONSOLE, DUSD, office.scene.tenant, NOW)


def an_adoption(office: Office) -> Doing:
    booking = journal.treasury_funded(HUNDRED, Account.VAULT)
    adoption = Adoption(office.scene.tenant, "adopt:1", HUNDRED, booking)
    return administering.adopt(CONSOLE, adoption, NOW)


DEEDS = (a_tenant, a_key, a_revocation, a_replay, an_assignment, an_adoption)


@pytest.mark.usefixtures("mute")
@pytest.mark.parametrize("deed", DEEDS)
async def test_nothing_is_done_that_cannot_be_written_down(
    office: Office, deed: Callable[[Office], Doing]
) -> None:
    """The trail refuses the line, and the change goes with it."""
    before = await office.rows()
    with pytest.raises(asyncpg.CheckViolationError, match="mute"):
        await office.do(deed(office))
    assert await office.rows() == before


@pytest.mark.usefixtures("mute")
async def test_funding_is_not_booked_without_its_line(office: Office) -> None:
    """It stays stored, and whoever funds next books it with its line."""
    before, books = await office.rows(), in_trail(office)
    for told in (books.asked(a_funding(office)), books.funded(a_funding(office))):
        with pytest.raises(asyncpg.CheckViolationError, match="mute"):
            await told
    assert await office.rows() == before


@pytest.mark.parametrize("deed", DEEDS)
async def test_what_is_done_is_written_down_once(
    office: Office, deed: Callable[[Office], Doing]
) -> None:
    """By whom, what and to which object; done again it is refused, or changes nothing."""
    doing = deed(office)
    assert await office.do(doing)
    [line] = await office.trail()
    done = doing.deed
    assert (line.actor, line.action, line.object_id) == (done.actor, done.action, done.object_id)
    before = await office.rows()
    with contextlib.suppress(NotFound, asyncpg.UniqueViolationError):
        assert not await office.do(doing)
    assert await office.rows() == before


async def test_a_replay_says_how_many_and_which_events(office: Office) -> None:
    """The unknown one is named, too: it was asked for."""
    await office.do(a_replay(office))
    [line] = await office.trail()
    assert line.data == {"count": 1, "events": "evt_1, evt_unknown"}


async def test_funding_is_written_down_before_and_after_the_chain(office: Office) -> None:
    """Booked twice after a crash it has one line and one entry; what failed says why."""
    funding, books = a_funding(office), in_trail(office)
    await books.asked(funding)
    assert await office.scene.store.totals(Account.HOT_WALLET, DUSD) == 0
    for _ in range(2):
        await books.funded(funding)
    assert await office.scene.store.totals(Account.HOT_WALLET, DUSD) == 100
    await books.failed(funding, "another chain")
    failed, funded, asked = await office.trail()
    assert [line.action for line in (asked, funded, failed)] == [
        "treasury.fund_asked",
        "treasury.funded",
        "treasury.fund_failed",
    ]
    assert asked.data == {"amount_minor": "100", "asset": DUSD.id, "to": "0xlane"}
    assert failed.data["reason"] == "another chain"
    assert {line.object_id for line in (asked, funded, failed)} == {funding.ref}


def in_trail(office: Office) -> AuditedBooks:
    return AuditedBooks(office.scene.store.pool, SystemClock(), CONSOLE)


def a_funding(office: Office) -> Funding:
    goal = Goal(office.scene.tenant, Account.HOT_WALLET, HUNDRED, "0xlane")
    return Funding(goal, "0xgenesis", "00", "0xref")
